//! `quorate verify`: whether a folder of results and receipts is what it says, to the last byte.
//! Needs no network: a receipt leads from the workers' signatures to a batch's header, and the hash
//! of that header is all one must know from elsewhere. What a receipt proves is `quorate_grid::audit`'s;
//! here its file, the result it names and everything lying around are held against it.

mod chain;
mod documents;
mod task;
mod tree;

pub use chain::compare as compare_with_chain;

use crate::directory::{self, AnchorBatch, BatchState};
use documents::Documents;
use quorate_common::{
    B256,
    exit::{Code, Failure},
    ids::{PoolId, TASKS_MAX},
    messages::Domain,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use task::TaskCheck;
use tree::Tree;

/// Faults named one by one; a folder that is wrong everywhere needs no longer list.
pub const FAULTS_MAX: usize = 100;

/// What a verifier knows from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors {
    /// Chain and contract.
    pub domain: Domain,
    /// Hashes of finalized headers.
    pub roots: Vec<B256>,
}

/// What a verification takes for granted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Known from elsewhere; `None`: the folder's own `anchor.json`.
    pub anchors: Option<Anchors>,
    /// Tasks with neither result nor receipt are no fault.
    pub partial: bool,
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file, below the folder.
    pub file: String,
    /// The check's short name; never changes.
    pub check: String,
    /// What was found and what was expected.
    pub message: String,
}

impl Fault {
    fn new(file: impl Into<String>, check: &str, message: impl ToString) -> Self {
        Self { file: file.into(), check: check.into(), message: message.to_string() }
    }
}

/// Where the anchors came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorSource {
    /// The command line: the strongest, since it is independent of the folder.
    Given,
    /// The folder itself: everything hangs together, and it is left to compare the anchors.
    Folder,
}

/// What a verification came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `quorate.verification/v1`.
    pub schema: &'static str,
    /// Whether there is no fault.
    pub ok: bool,
    /// The order, if `order.json` reads.
    pub order: Option<B256>,
    /// Chain and contract.
    pub domain: Option<Domain>,
    /// The pool whose receipts they are.
    pub pool: Option<PoolId>,
    /// Where the anchors came from.
    pub anchors: AnchorSource,
    /// Tasks of the order.
    pub tasks: u32,
    /// Receipts that hold.
    pub receipts: u32,
    /// Tasks proven to have ended with consensus.
    pub accepted: u32,
    /// Tasks proven to have ended without.
    pub failed: u32,
    /// Tasks with neither receipt nor result.
    pub missing: u32,
    /// Votes proven.
    pub votes: u64,
    /// Of these, against the accepted result or never revealed.
    pub dissents: u64,
    /// Result files checked, manifests included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The batches the receipts are of.
    pub batches: Vec<AnchorBatch>,
    /// What does not hold, by file; at most [`FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// All of them.
    pub faults_total: usize,
}

impl Report {
    /// The failure that ends the program, if anything does not hold.
    ///
    /// # Errors
    /// [`Code::Failed`], naming the first fault.
    pub fn settle(&self) -> Result<(), Failure> {
        let Some(Fault { file, check, message }) = self.faults.first() else { return Ok(()) };
        let more = match self.faults_total - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Err(Failure::new(Code::Failed, format!("{file}: {check}: {message}{more}")))
    }
}

/// Checks a folder.
///
/// # Errors
/// [`Failure`] only where it cannot be read; what does not hold is in the report.
pub fn directory(dir: &Path, options: &Options) -> Result<Report, Failure> {
    let mut faults = Vec::new();
    let tree = Tree::read(dir, &mut faults)?;
    let documents = Documents::read(&tree, options.anchors.as_ref(), &mut faults)?;
    let mut report = empty(options, &documents);
    if let Some(documents) = &documents {
        let checks = check_tasks(&tree, documents)?;
        let used = add_up(&mut report, checks, options, &mut faults);
        documents.check_used(&used, &mut faults);
        report.batches = batches(documents, &used);
        tree.check_nothing_else(&mut faults);
    }
    faults.sort();
    faults.dedup();
    report.ok = faults.is_empty();
    report.faults_total = faults.len();
    faults.truncate(FAULTS_MAX);
    report.faults = faults;
    Ok(report)
}

fn empty(options: &Options, documents: &Option<Documents>) -> Report {
    let order = documents.as_ref().map(|documents| &documents.order);
    Report {
        schema: "quorate.verification/v1",
        ok: false,
        order: order.map(|order| order.order),
        domain: order.map(|order| order.domain),
        pool: None,
        anchors: if options.anchors.is_some() { AnchorSource::Given } else { AnchorSource::Folder },
        tasks: order.map_or(0, |order| order.req.tasks),
        receipts: 0,
        accepted: 0,
        failed: 0,
        missing: 0,
        votes: 0,
        dissents: 0,
        files: 0,
        bytes: 0,
        batches: Vec::new(),
        faults: Vec::new(),
        faults_total: 0,
    }
}

/// Every task, on all cores: recovering a signature takes 50 µs, and a receipt has many.
fn check_tasks(tree: &Tree, documents: &Documents) -> Result<Vec<TaskCheck>, Failure> {
    // An order that claims more is a fault already.
    let tasks = documents.order.req.tasks.min(TASKS_MAX);
    let next = AtomicU32::new(0);
    let checks = Mutex::new(Ok(Vec::new()));
    let work = || {
        loop {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            if idx >= tasks {
                break;
            }
            let check = task::check(tree, documents, idx);
            let mut checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *checks, check) {
                (Ok(checks), Ok(check)) => checks.push(check),
                (_, Err(failure)) => *checks = Err(failure),
                (Err(_), Ok(_)) => break,
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(tasks as usize);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    checks.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Sums the checks up. Returns the batches they are of.
fn add_up(
    report: &mut Report,
    checks: Vec<TaskCheck>,
    options: &Options,
    faults: &mut Vec<Fault>,
) -> BTreeMap<u64, B256> {
    let mut used = BTreeMap::new();
    for check in checks {
        report.files += check.files;
        report.bytes += check.bytes;
        if check.missing {
            report.missing += 1;
            if !options.partial {
                let text = "is missing, and so is the result; `quorate order results` fetches them";
                faults.push(Fault::new(directory::receipt(check.idx), "complete", text));
            }
        }
        if let Some(proven) = check.proven {
            report.receipts += 1;
            report.pool = Some(proven.pool);
            report.votes += proven.votes;
            report.dissents += proven.dissents;
            *(if proven.accepted { &mut report.accepted } else { &mut report.failed }) += 1;
        }
        used.extend(check.batch);
        faults.extend(check.faults);
    }
    used
}

fn batches(documents: &Documents, used: &BTreeMap<u64, B256>) -> Vec<AnchorBatch> {
    let batch = |(index, hash): (&u64, &B256)| AnchorBatch {
        index: *index,
        hash: *hash,
        state: documents.state(*hash).unwrap_or(BatchState::Closed),
    };
    used.iter().map(batch).collect()
}

/// The roots to compare with: each once.
fn distinct(roots: &[B256]) -> BTreeSet<B256> {
    roots.iter().copied().collect()
}
