//! The orders placed from this machine: one JSON line each, appended. It makes short ids work, and
//! keeps the signed order for the folder of results. Losing it loses no order: the scheduler has them.

use crate::{config, failure};
use quorate_common::{
    B256,
    api::PlaceOrder,
    exit::{Code, Failure},
    messages::{Domain, Message as _},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Fewest digits of a short id: with four, a hundred orders clash in a hundred and fifty thousand tries.
const PREFIX_MIN: usize = 4;
/// Digits shown where an id is shortened.
const SHORT: usize = 10;

/// One order that was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub order: B256,
    /// The scheduler it was placed at.
    pub api: String,
    /// Chain and contract.
    pub domain: Domain,
    /// The requester's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Unix milliseconds.
    pub placed_unix_ms: u64,
    /// What was signed.
    pub placed: Placed,
}

/// [`PlaceOrder`], comparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The order.
    pub req: quorate_common::messages::ReqOrder,
    /// Hex of 64 bytes.
    pub signature: String,
}

impl From<&PlaceOrder> for Placed {
    fn from(order: &PlaceOrder) -> Self {
        Self { req: order.req.clone(), signature: order.signature.clone() }
    }
}

impl From<&Placed> for PlaceOrder {
    fn from(placed: &Placed) -> Self {
        Self::alone(placed.req.clone(), placed.signature.clone())
    }
}

/// The list of orders.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
}

impl History {
    /// The user's list, in the state folder.
    ///
    /// # Errors
    /// No home folder is known.
    pub fn of_user() -> Result<Self, Failure> {
        Ok(Self { path: config::state_dir()?.join("orders.jsonl") })
    }

    /// Adds an order.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, entry: &Entry) -> Result<(), Failure> {
        debug_assert_eq!(entry.order, entry.placed.req.struct_hash());
        let line = serde_json::to_string(entry)
            .map_err(|error| Failure::new(Code::Internal, format!("order: {error}")))?;
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir).map_err(|error| failure::file("make", dir, &error))?;
        }
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.create(true).append(true).mode(0o600).open(&self.path)?;
            file.write_all(format!("{line}\n").as_bytes())
        };
        write().map_err(|error| failure::file("write", &self.path, &error))
    }

    /// Every order, oldest first. Lines of later versions are passed over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failure::file("read", &self.path, &error)),
        };
        let mut entries = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| failure::file("read", &self.path, &error))?;
            entries.extend(serde_json::from_str::<Entry>(&line));
        }
        Ok(entries)
    }

    /// The order an id or the beginning of one means, and its entry if it was placed from here.
    ///
    /// # Errors
    /// [`Code::NotFound`], or [`Code::Usage`] for what is no id or the beginning of several.
    pub fn find(&self, text: &str) -> Result<(B256, Option<Entry>), Failure> {
        let digits = text.strip_prefix("0x").unwrap_or(text).to_lowercase();
        if digits.is_empty()
            || !digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            || digits.len() > 64
        {
            return Err(usage(format!(
                "order `{text}`: expected its id, or the first digits of it"
            )));
        }
        let found = self.entries()?;
        let mut found: Vec<Entry> = found
            .into_iter()
            .filter(|entry| hex::encode(entry.order).starts_with(&digits))
            .collect();
        found.dedup_by_key(|entry| entry.order);
        match (found.len(), digits.parse::<B256>()) {
            (1, _) => {
                Ok(found.pop().map_or((B256::ZERO, None), |entry| (entry.order, Some(entry))))
            }
            (_, Ok(order)) => Ok((order, found.pop())),
            (0, _) if digits.len() < PREFIX_MIN => {
                Err(usage(format!("order `{text}`: expected at least {PREFIX_MIN} digits")))
            }
            (0, _) => {
                Err(Failure::new(Code::NotFound, format!("no order `{text}` was placed from here"))
                    .hint("`quorate order ls --all` lists them; a whole id needs no list"))
            }
            (count, _) => {
                let ids: Vec<String> =
                    found.iter().take(5).map(|entry| short(entry.order)).collect();
                Err(usage(format!(
                    "order `{text}` is the beginning of {count}: {}",
                    ids.join(", ")
                )))
            }
        }
    }
}

/// The first digits of an id.
pub fn short(order: B256) -> String {
    hex::encode(order)[..SHORT].to_owned()
}

fn usage(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::{Address, ids::PoolId, messages::ReqOrder};

    fn entry(salt: u8) -> Entry {
        let req = ReqOrder {
            requester: Address::ZERO,
            app: B256::ZERO,
            params: B256::ZERO,
            pool_restrict: PoolId(1).restrict(),
            max_unit_price: 1,
            tasks: 1,
            trust: 1,
            replicas: 1,
            max_task_time: 1,
            expiry: 1,
            deadline: 1,
            salt: B256::repeat_byte(salt),
            ..ReqOrder::default()
        };
        Entry {
            order: req.struct_hash(),
            api: "http://x".into(),
            domain: Domain { chain_id: 1, contract: Address::ZERO },
            name: None,
            placed_unix_ms: 1,
            placed: Placed { req, signature: String::new() },
        }
    }

    #[test]
    fn orders_are_found_by_the_beginning_of_their_id() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let history = History { path: dir.path().join("deep/orders.jsonl") };
        assert!(history.entries().expect("none").is_empty());
        let entries: Vec<Entry> = (0..40).map(entry).collect();
        for entry in &entries {
            history.add(entry).expect("added");
        }
        assert_eq!(history.entries().expect("read"), entries);
        for entry in &entries {
            for text in [entry.order.to_string(), hex::encode(entry.order), short(entry.order)] {
                let (order, found) = history.find(&text).expect("found");
                assert_eq!((order, found.as_ref()), (entry.order, Some(entry)));
            }
        }
        // Forty orders share sixteen first digits.
        let first: Vec<String> = (0..16).map(|digit| format!("{digit:x}")).collect();
        assert!(first.iter().any(|digit| history.find(digit).is_err_and(|error| error.exit == 2)));
        let unknown = B256::repeat_byte(0xee);
        assert_eq!(history.find(&unknown.to_string()).expect("a whole id"), (unknown, None));
        assert_eq!(history.find("eeeeeeee").expect_err("unknown").exit, 3);
        for text in ["", "0x", "xyz", &"0".repeat(65)] {
            assert_eq!(history.find(text).expect_err(text).exit, 2);
        }
    }
}
