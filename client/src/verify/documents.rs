//! `order.json`, `bag.json` and `anchor.json`: each in its one spelling, and each hanging together
//! with the others. Without an order that reads there is nothing to hold the rest against.

use super::{Anchors, Fault, distinct, tree::Tree};
use crate::{
    directory::{self, ANCHOR, AnchorFile, BAG, BatchState, DOCUMENT_BYTES_MAX, ORDER, OrderFile},
    place,
};
use quorate_common::{
    B256,
    bag::{BAG_BYTES_MAX, Bag},
    digest::Digest,
    exit::Failure,
    ids::TASKS_MAX,
    messages::{Domain, Message as _},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// What receipts and results are held against.
#[derive(Debug)]
pub(super) struct Documents {
    /// The order.
    pub(super) order: OrderFile,
    /// Chain and contract the anchors are of.
    pub(super) domain: Domain,
    /// Header hashes that count.
    roots: BTreeSet<B256>,
    /// What `anchor.json` says, if it reads.
    file: Option<AnchorFile>,
}

impl Documents {
    /// Reads all three. `None` if there is no order that reads, or nothing to anchor to.
    pub(super) fn read(
        tree: &Tree,
        given: Option<&Anchors>,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<Self>, Failure> {
        let order: Option<OrderFile> = document(tree, ORDER, OrderFile::SCHEMA, faults)?;
        let file: Option<AnchorFile> = if given.is_some() && !tree.has(ANCHOR) {
            None
        } else {
            document(tree, ANCHOR, AnchorFile::SCHEMA, faults)?
        };
        let Some(order) = order else { return Ok(None) };
        check_order(&order, faults);
        check_bag(tree, &order, faults)?;
        if let Some(file) = &file {
            check_anchor(file, &order, faults);
        }
        let (domain, roots) = match (given, &file) {
            (Some(given), file) => {
                check_given(given, &order, file.as_ref(), faults);
                (given.domain, distinct(&given.roots))
            }
            (None, Some(file)) => {
                (file.domain, file.batches.iter().map(|batch| batch.hash).collect())
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { order, domain, roots, file }))
    }

    /// Whether a header's hash is among the anchors, and if not, why.
    pub(super) fn check_root(&self, index: u64, hash: B256) -> Result<(), String> {
        if !self.roots.contains(&hash) {
            let count = self.roots.len();
            return Err(format!(
                "batch {index} has hash {hash}; expected one of the {count} anchors"
            ));
        }
        let known =
            self.file.iter().flat_map(|file| &file.batches).find(|batch| batch.hash == hash);
        match known {
            Some(batch) if batch.index != index => {
                Err(format!("batch {hash} is {index}; {ANCHOR} says {}", batch.index))
            }
            _ => Ok(()),
        }
    }

    /// What `anchor.json` says of a batch.
    pub(super) fn state(&self, hash: B256) -> Option<BatchState> {
        let mut batches = self.file.iter().flat_map(|file| &file.batches);
        batches.find(|batch| batch.hash == hash).map(|batch| batch.state)
    }

    /// Every batch `anchor.json` names must be one a receipt is of: else nothing proves the line.
    pub(super) fn check_used(&self, used: &BTreeMap<u64, B256>, faults: &mut Vec<Fault>) {
        for batch in self.file.iter().flat_map(|file| &file.batches) {
            if used.get(&batch.index) != Some(&batch.hash) {
                let text =
                    format!("batch {} with hash {}: no receipt is of it", batch.index, batch.hash);
                faults.push(Fault::new(ANCHOR, "anchor", text));
            }
        }
    }
}

fn document<T: DeserializeOwned + Serialize + HasSchema>(
    tree: &Tree,
    path: &str,
    schema: &str,
    faults: &mut Vec<Fault>,
) -> Result<Option<T>, Failure> {
    let before = faults.len();
    let Some(bytes) = tree.get(path, DOCUMENT_BYTES_MAX, faults)? else {
        if faults.len() == before {
            faults.push(Fault::new(path, "complete", "is missing"));
        }
        return Ok(None);
    };
    match directory::decode::<T>(&bytes) {
        Ok(document) if document.schema() == schema => Ok(Some(document)),
        Ok(document) => {
            let text = format!("is `{}`; expected `{schema}`", document.schema());
            faults.push(Fault::new(path, "schema", text));
            Ok(None)
        }
        Err(error) => {
            faults.push(Fault::new(path, "canonical form", error));
            Ok(None)
        }
    }
}

trait HasSchema {
    fn schema(&self) -> &str;
}

impl HasSchema for OrderFile {
    fn schema(&self) -> &str {
        &self.schema
    }
}

impl HasSchema for AnchorFile {
    fn schema(&self) -> &str {
        &self.schema
    }
}

/// The order's terms hash to its id, and the requester signed them.
fn check_order(order: &OrderFile, faults: &mut Vec<Fault>) {
    let mut fault = |check, text: String| faults.push(Fault::new(ORDER, check, text));
    let hash = order.req.struct_hash();
    if hash != order.order {
        fault("order hash", format!("is {}; expected {hash}", order.order));
    }
    if order.req.tasks > TASKS_MAX {
        fault("tasks", format!("is {}; expected at most {TASKS_MAX}", order.req.tasks));
    }
    // Hex has two spellings; only one of them counts.
    let one_spelling = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let signed =
        |text: &String| one_spelling(text) && place::is_signed(&order.req, text, &order.domain);
    if order.signature.as_ref().is_some_and(|text| !signed(text)) {
        let requester = order.req.requester;
        fault(
            "order signature",
            format!("is not by the requester {requester} for this chain and contract"),
        );
    }
}

/// The bag is the one the order names.
fn check_bag(tree: &Tree, order: &OrderFile, faults: &mut Vec<Fault>) -> Result<(), Failure> {
    let before = faults.len();
    let Some(bytes) = tree.get(BAG, BAG_BYTES_MAX as u64, faults)? else {
        if faults.len() == before {
            faults.push(Fault::new(BAG, "complete", "is missing"));
        }
        return Ok(());
    };
    let (found, expected) = (Digest::of(&bytes), Digest::from(order.req.params));
    if found != expected {
        let text = format!("has sha256 {found}; expected {expected}, as ordered");
        faults.push(Fault::new(BAG, "bag digest", text));
        return Ok(());
    }
    match Bag::parse(&bytes) {
        Ok(bag) if bag.app == Digest::from(order.req.app) => {}
        Ok(bag) => {
            let text = format!("is for app {}; expected {}", bag.app, Digest::from(order.req.app));
            faults.push(Fault::new(BAG, "bag", text));
        }
        Err(error) => faults.push(Fault::new(BAG, "bag", error)),
    }
    Ok(())
}

fn check_anchor(file: &AnchorFile, order: &OrderFile, faults: &mut Vec<Fault>) {
    if file.domain != order.domain {
        let text = format!("is {}; {ORDER} says {}", show(&file.domain), show(&order.domain));
        faults.push(Fault::new(ANCHOR, "domain", text));
    }
    if !file.batches.is_sorted_by(|one, next| one.index < next.index) {
        faults.push(Fault::new(ANCHOR, "anchor", "batches are not in order, each once"));
    }
}

/// What is known from elsewhere must agree with what the folder says.
fn check_given(
    given: &Anchors,
    order: &OrderFile,
    file: Option<&AnchorFile>,
    faults: &mut Vec<Fault>,
) {
    if order.domain != given.domain {
        let text = format!("is {}; expected {}", show(&order.domain), show(&given.domain));
        faults.push(Fault::new(ORDER, "domain", text));
    }
    for batch in file.into_iter().flat_map(|file| &file.batches) {
        if !given.roots.contains(&batch.hash) {
            let text = format!(
                "batch {} with hash {} is not among the given roots",
                batch.index, batch.hash
            );
            faults.push(Fault::new(ANCHOR, "anchor", text));
        }
    }
}

fn show(domain: &Domain) -> String {
    format!("contract {} on chain {}", domain.contract, domain.chain_id)
}
