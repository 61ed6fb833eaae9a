//! Whom the door turned away of late, and what workers call themselves: for people who ask why a worker is
//! not here. Volatile and bounded; nothing is decided by it.

use alloy_primitives::B256;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Refusals that are remembered: a hundred workers that each try twice. More are an attack, of which the last
/// hundreds say enough.
const REFUSALS_MAX: usize = 256;
/// Names that are remembered: those of a large pool, 2 MiB.
const NAMES_MAX: usize = 16_384;

/// Somebody was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Unix milliseconds.
    pub at_unix_ms: u64,
    /// From where.
    pub from: IpAddr,
    /// Its node key, if it came so far as to show one.
    pub node_key: Option<B256>,
    /// Why, as it was told.
    pub reason: String,
    /// How often in a row.
    pub times: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Visitors {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    refusals: VecDeque<Refusal>,
    names: BTreeMap<B256, String>,
}

impl Visitors {
    /// Notes a refusal; the same one again is counted.
    pub fn refused(&self, now_unix_ms: u64, from: IpAddr, node_key: Option<B256>, reason: &str) {
        let refusals = &mut self.lock().refusals;
        let same =
            |r: &&mut Refusal| r.from == from && r.node_key == node_key && r.reason == reason;
        if let Some(known) = refusals.iter_mut().find(same) {
            (known.at_unix_ms, known.times) = (now_unix_ms, known.times.saturating_add(1));
            return;
        }
        if refusals.len() >= REFUSALS_MAX {
            refusals.pop_front();
        }
        let (at_unix_ms, reason) = (now_unix_ms, reason.chars().take(300).collect());
        refusals.push_back(Refusal { at_unix_ms, from, node_key, reason, times: 1 });
    }

    /// Notes what a worker calls itself.
    pub fn named(&self, node_key: B256, name: &str) {
        let names = &mut self.lock().names;
        if names.len() >= NAMES_MAX && !names.contains_key(&node_key) {
            // Strangers can fill this too: one of them goes, or somebody who says hello again soon.
            names.pop_first();
        }
        names.insert(node_key, name.to_owned());
    }

    /// The refusals, newest first; of one node key, if one is given.
    pub fn refusals(&self, of: Option<B256>) -> Vec<Refusal> {
        let inner = self.lock();
        let mut found: Vec<Refusal> = inner
            .refusals
            .iter()
            .filter(|refusal| of.is_none() || refusal.node_key == of)
            .cloned()
            .collect();
        found.sort_by_key(|refusal| std::cmp::Reverse(refusal.at_unix_ms));
        found
    }

    /// What a worker calls itself; empty where it never said.
    pub fn name(&self, node_key: B256) -> String {
        self.lock().names.get(&node_key).cloned().unwrap_or_default()
    }

    /// The node keys of those whose name has this text in it, in any case.
    pub fn find(&self, text: &str) -> Vec<B256> {
        let text = text.to_lowercase();
        let inner = self.lock();
        let fits = |(_, name): &(&B256, &String)| name.to_lowercase().contains(&text);
        inner.names.iter().filter(fits).map(|(key, _)| *key).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn what_repeats_is_counted_and_what_is_old_goes() {
        let visitors = Visitors::default();
        let key = |n: u8| Some(B256::repeat_byte(n));
        let from = |n: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        for at in 0..3 {
            visitors.refused(at, from(1), key(1), "too old");
        }
        visitors.refused(9, from(2), key(2), "unknown");
        let all = visitors.refusals(None);
        assert_eq!((all.len(), all[0].times, all[1].times), (2, 1, 3));
        assert_eq!(visitors.refusals(key(1)).len(), 1);
        for n in 0..=255 {
            visitors.refused(10, from(n), None, "slow");
        }
        assert_eq!(visitors.refusals(None).len(), REFUSALS_MAX);
        assert!(visitors.refusals(key(1)).is_empty());
    }

    #[test]
    fn names_are_found_in_any_case() {
        let visitors = Visitors::default();
        visitors.named(B256::repeat_byte(1), "Ada's Laptop");
        assert_eq!(visitors.find("laptop"), [B256::repeat_byte(1)]);
        assert!(visitors.find("desk").is_empty());
    }
}
