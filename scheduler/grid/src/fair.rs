//! Fair shares: whose turn it is. Start-time fair queueing with equal weights, first between requesters,
//! then between each one's deals, so that ten thousand tasks do not starve ten, and a thousand deals of
//! one requester get one share.
//!
//! Every flow has a *tag*: the virtual time at which it may begin next. The least tag is served first and
//! moves on by what was taken: milliseconds of a worker's slot, by expectation at first, corrected by
//! what it really took. A flow that comes back after a while begins at the present: time not used is not
//! saved. Everything here is volatile: after a restart all begin equal.

use alloy_primitives::Address;
use quorate_common::ids::DealSlot;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Flows that wait for nothing whose tags are remembered, before those that lost their meaning are
/// swept out: 50 bytes each.
const IDLE_MAX: usize = 4_096;

/// Flows by tag. All of it O(log flows).
#[derive(Clone, Debug)]
pub struct Queue<K> {
    /// The tag that was served last: the present.
    now: u64,
    tags: BTreeMap<K, u64>,
    waiting: BTreeSet<(u64, K)>,
    /// The last flow that was looked at in vain, when there were too many for one look.
    looked_to: Option<(u64, K)>,
}

impl<K: Copy + Ord> Default for Queue<K> {
    fn default() -> Self {
        Self { now: 0, tags: BTreeMap::new(), waiting: BTreeSet::new(), looked_to: None }
    }
}

impl<K: Copy + Ord> Queue<K> {
    /// A flow has work. If it had none before, it begins at the present.
    pub fn join(&mut self, flow: K) {
        let tag = self.tags.entry(flow).or_insert(self.now);
        if !self.waiting.contains(&(*tag, flow)) {
            *tag = (*tag).max(self.now);
            self.waiting.insert((*tag, flow));
        }
    }

    /// A flow has no work any more. What it has taken in advance is remembered.
    pub fn leave(&mut self, flow: K) {
        let Some(tag) = self.tags.get(&flow).copied() else { return };
        self.waiting.remove(&(tag, flow));
        if tag <= self.now {
            self.tags.remove(&flow);
        }
        if self.tags.len() > self.waiting.len() + IDLE_MAX {
            let (now, waiting) = (self.now, &self.waiting);
            self.tags.retain(|flow, tag| *tag > now || waiting.contains(&(*tag, *flow)));
        }
    }

    /// A flow was served, at this cost. The present is where it began.
    pub fn charge(&mut self, flow: K, cost: u64) {
        let tag = self.tags.get(&flow).copied().unwrap_or(self.now);
        self.now = self.now.max(tag);
        self.set(flow, self.now.saturating_add(cost));
    }

    /// What it took was more or less than what it was charged.
    pub fn correct(&mut self, flow: K, charged: u64, taken: u64) {
        let Some(tag) = self.tags.get(&flow).copied() else { return };
        let corrected = tag.saturating_add(taken).saturating_sub(charged);
        self.set(flow, corrected.max(self.now));
    }

    /// The first flow behind this one that has work, in the order of their turns.
    pub fn after(&self, looked: Option<(u64, K)>) -> Option<(u64, K)> {
        let from = looked.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.range((from, Bound::Unbounded)).next().copied()
    }

    /// Where the last look ended, if it did not come to the end; the next one goes on from there.
    pub fn take_looked(&mut self) -> Option<(u64, K)> {
        self.looked_to.take()
    }

    /// The look ended here, before the end.
    pub fn looked(&mut self, to: (u64, K)) {
        self.looked_to = Some(to);
    }

    /// The flow's tag, while it has work.
    pub fn tag(&self, flow: K) -> Option<u64> {
        let tag = self.tags.get(&flow).copied()?;
        self.waiting.contains(&(tag, flow)).then_some(tag)
    }

    /// Whether nobody has work.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn set(&mut self, flow: K, tag: u64) {
        let before = self.tags.insert(flow, tag);
        if before.is_some_and(|before| self.waiting.remove(&(before, flow))) {
            self.waiting.insert((tag, flow));
        }
    }
}

/// Requesters, and the deals of each.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// Between requesters.
    pub requesters: Queue<Address>,
    /// Between the deals of one.
    pub deals: BTreeMap<Address, Queue<DealSlot>>,
}

impl Shares {
    /// A deal has work.
    pub fn join(&mut self, requester: Address, deal: DealSlot) {
        self.deals.entry(requester).or_default().join(deal);
        self.requesters.join(requester);
    }

    /// A deal has no work any more.
    pub fn leave(&mut self, requester: Address, deal: DealSlot) {
        let Some(deals) = self.deals.get_mut(&requester) else { return };
        deals.leave(deal);
        if deals.is_empty() {
            self.deals.remove(&requester);
            self.requesters.leave(requester);
        }
    }

    /// A deal was given time of a slot, in milliseconds.
    pub fn charge(&mut self, requester: Address, deal: DealSlot, cost: u64) {
        self.requesters.charge(requester, cost);
        if let Some(deals) = self.deals.get_mut(&requester) {
            deals.charge(deal, cost);
        }
    }

    /// It took more or less than it was charged.
    pub fn correct(&mut self, requester: Address, deal: DealSlot, charged: u64, taken: u64) {
        self.requesters.correct(requester, charged, taken);
        if let Some(deals) = self.deals.get_mut(&requester) {
            deals.correct(deal, charged, taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves whoever is first, so often; how often each was.
    fn serve(queue: &mut Queue<u8>, times: usize, cost: impl Fn(u8) -> u64) -> BTreeMap<u8, usize> {
        let mut served = BTreeMap::new();
        for _ in 0..times {
            let (_, flow) = queue.after(None).expect("somebody has work");
            queue.charge(flow, cost(flow));
            *served.entry(flow).or_default() += 1;
        }
        served
    }

    #[test]
    fn equal_costs_share_equally() {
        let mut queue = Queue::default();
        (0..3).for_each(|flow| queue.join(flow));
        assert_eq!(serve(&mut queue, 30, |_| 7), BTreeMap::from([(0, 10), (1, 10), (2, 10)]));
    }

    #[test]
    fn time_is_shared_and_not_turns() {
        let mut queue = Queue::default();
        (0..2).for_each(|flow| queue.join(flow));
        let served = serve(&mut queue, 110, |flow| if flow == 0 { 10 } else { 100 });
        assert_eq!(served, BTreeMap::from([(0, 100), (1, 10)]));
    }

    #[test]
    fn who_comes_later_begins_at_the_present() {
        let mut queue = Queue::default();
        queue.join(0);
        serve(&mut queue, 1_000, |_| 5);
        queue.join(1);
        let served = serve(&mut queue, 20, |_| 5);
        assert_eq!(served, BTreeMap::from([(0, 10), (1, 10)]));
    }

    #[test]
    fn who_leaves_and_returns_keeps_its_debt() {
        let mut queue = Queue::default();
        (0..2).for_each(|flow| queue.join(flow));
        queue.charge(0, 100);
        queue.leave(0);
        queue.join(0);
        assert_eq!(serve(&mut queue, 10, |_| 10), BTreeMap::from([(1, 10)]));
    }

    #[test]
    fn a_correction_gives_back_and_takes_more_but_saves_nothing() {
        let mut queue = Queue::default();
        (0..2).for_each(|flow| queue.join(flow));
        queue.charge(0, 1_000);
        queue.correct(0, 1_000, 10);
        assert_eq!(queue.tag(0), Some(10));
        queue.correct(0, 0, 90);
        assert_eq!(queue.tag(0), Some(100));
        serve(&mut queue, 9, |_| 10);
        queue.correct(0, 1_000, 0);
        assert_eq!(queue.tag(0), Some(queue.now));
    }

    #[test]
    fn what_lost_its_meaning_is_swept_out() {
        let mut queue = Queue::default();
        for flow in 0..20_000_u32 {
            queue.join(flow);
            queue.charge(flow, 1);
            queue.leave(flow);
        }
        queue.join(u32::MAX);
        queue.charge(u32::MAX, 100);
        queue.charge(u32::MAX, 1);
        queue.leave(u32::MAX);
        assert!(queue.tags.len() <= IDLE_MAX + 1, "{} tags", queue.tags.len());
    }
}
