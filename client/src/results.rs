//! Filling a folder with an order's results and receipts. What is there already is checked and kept,
//! what is missing is fetched, nothing is ever half there: files are written beside their place and
//! moved. So a fetch can be broken off and repeated at any time.

mod fetch;
mod receipts;

use crate::{
    api::Api,
    directory::{self, OrderFile, PARTIAL},
    failure,
    output::Output,
    place,
};
use fetch::Task;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quorate_common::{
    B256,
    api::{OrderView, PlaceOrder, TaskPhase, TaskView},
    bag::BAG_BYTES_MAX,
    digest::Digest,
    exit::{Code, Failure},
    manifest::Ended,
    messages::{Domain, Message as _, ReqOrder},
};
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Downloads at once.
const FETCHES_AT_ONCE: usize = 8;
/// Tasks asked for at once: the scheduler's own page.
const PAGE: u32 = 1_000;

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Want {
    /// The order.
    pub order: B256,
    /// The order as it was placed, where it was placed from here.
    pub placed: Option<PlaceOrder>,
    /// Chain and contract it was placed on.
    pub domain: Domain,
    /// Whether to wait for receipts.
    pub receipts: bool,
}

/// What a fetch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// Accepted results in the folder.
    pub results: u32,
    /// Of these, fetched now.
    pub new_results: u32,
    /// Accepted results whose program did not end with exit code 0.
    pub not_ok: u32,
    /// Receipts in the folder.
    pub receipts: u32,
    /// Tasks over without an accepted result.
    pub failed: u32,
    /// Tasks not over yet.
    pub open: u32,
    /// Bytes of results in the folder.
    pub bytes: u64,
    /// How the order's only task ended, for `--exit-status`.
    #[serde(skip)]
    pub ended: Option<Ended>,
}

/// Fetches what is missing of an order's results, and its receipts if wanted.
///
/// # Errors
/// The scheduler's refusals; [`Code::Failed`] if it sends other bytes than it should; the disk's.
pub async fn write(api: &Api, dir: &Path, want: &Want, output: Output) -> Result<Fetched, Failure> {
    let folder = Folder::open(dir)?;
    let order = api.order(want.order).await?;
    let tasks = all_tasks(api, want.order).await?;
    folder.order_file(want, &order)?;
    folder.bag(api, &order).await?;
    let mut fetched = results(api, &folder, &tasks).await?;
    if want.receipts {
        fetched.receipts = receipts::write(api, &folder, want, &tasks, output).await?;
    }
    folder.close()?;
    Ok(fetched)
}

/// The manifest and standard output of one task, in memory: for an order without a folder.
///
/// # Errors
/// The scheduler's; [`Code::Failed`] for other bytes than it should send.
pub async fn stdout(api: &Api, digest: Digest) -> Result<(Ended, Vec<u8>), Failure> {
    let manifest = fetch::manifest(api, digest).await?;
    let Some(entry) = &manifest.stdout else { return Ok((manifest.ended, Vec::new())) };
    let bytes = api.blob(directory::digest_of(entry), entry.len).await?;
    fetch::check(&bytes, entry, "standard output")?;
    Ok((manifest.ended, bytes))
}

/// Every task of an order.
///
/// # Errors
/// The scheduler's.
pub async fn all_tasks(api: &Api, order: B256) -> Result<Vec<TaskView>, Failure> {
    let mut tasks = Vec::new();
    let mut offset = Some(0);
    while let Some(at) = offset {
        let page = api.tasks(order, at, PAGE).await?;
        offset = page.next.filter(|next| *next > at);
        tasks.extend(page.tasks);
    }
    Ok(tasks)
}

async fn results(api: &Api, folder: &Folder, tasks: &[TaskView]) -> Result<Fetched, Failure> {
    let mut fetched = Fetched::default();
    for task in tasks {
        match task.phase {
            TaskPhase::Queued | TaskPhase::Open => fetched.open += 1,
            TaskPhase::NoQuorum | TaskPhase::Expired => fetched.failed += 1,
            TaskPhase::Consensus => {}
        }
    }
    let accepted = tasks.iter().filter(|task| task.phase == TaskPhase::Consensus);
    let accepted = accepted.filter_map(|task| Some((task.idx, task.result?)));
    let fetches = accepted.map(|(idx, digest)| fetch::task(api, folder, idx, digest));
    let add = |mut sum: Fetched, task: Task| async move {
        sum.results += 1;
        sum.new_results += u32::from(task.is_new);
        sum.not_ok += u32::from(task.ended != Ended::Exit(0));
        sum.bytes += task.bytes;
        sum.ended = Some(task.ended);
        Ok(sum)
    };
    stream::iter(fetches).buffer_unordered(FETCHES_AT_ONCE).try_fold(fetched, add).await
}

/// The folder being filled.
#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    partial: PathBuf,
    next: AtomicU64,
}

impl Folder {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let partial = dir.join(PARTIAL);
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failure::file("removed", &partial, &error));
            }
            _ => {}
        }
        fs::create_dir_all(&partial).map_err(|error| failure::file("make", &partial, &error))?;
        Ok(Self { dir: dir.to_owned(), partial, next: AtomicU64::new(0) })
    }

    fn close(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.partial)
            .map_err(|error| failure::file("removed", &self.partial, &error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A place for a file on its way.
    fn draft(&self) -> PathBuf {
        self.partial.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Moves a finished draft to its place.
    fn keep(&self, draft: &Path, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failure::file("make", parent, &error))?;
        }
        fs::rename(draft, &path).map_err(|error| failure::file("write", &path, &error))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let draft = self.draft();
        fs::write(&draft, bytes).map_err(|error| failure::file("write", &draft, &error))?;
        self.keep(&draft, name)
    }

    /// What is at `name`, if it is there and not longer than `bytes_max`.
    fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > bytes_max => Ok(None),
            Ok(_) => {
                fs::read(&path).map(Some).map_err(|error| failure::file("read", &path, &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure::file("read", &path, &error)),
        }
    }

    /// Writes the order, and refuses a folder that holds another.
    fn order_file(&self, want: &Want, order: &OrderView) -> Result<(), Failure> {
        if let Some(bytes) = self.get(directory::ORDER, directory::DOCUMENT_BYTES_MAX)? {
            let known = directory::decode::<OrderFile>(&bytes).ok().map(|file| file.order);
            if known.is_some_and(|known| known != want.order) {
                let text = format!("{} holds another order's results", self.dir.display());
                return Err(
                    Failure::new(Code::Conflict, text).hint("choose another folder with -o")
                );
            }
        }
        match &want.placed {
            Some(placed) => {
                self.put_order(want, placed.req.clone(), Some(placed.signature.clone()))
            }
            None => self.put_order(want, order.req.clone(), None),
        }
    }

    fn put_order(
        &self,
        want: &Want,
        req: ReqOrder,
        signature: Option<String>,
    ) -> Result<(), Failure> {
        let order = req.struct_hash();
        if order != want.order {
            let text = format!("the order's terms hash to {order}; expected {}", want.order);
            return Err(Failure::new(Code::Failed, text));
        }
        let signature = signature.filter(|text| place::is_signed(&req, text, &want.domain));
        let schema = OrderFile::SCHEMA.into();
        let file = OrderFile { schema, domain: want.domain, order, req, signature };
        self.put(directory::ORDER, &directory::encode(&file))
    }

    async fn bag(&self, api: &Api, order: &OrderView) -> Result<(), Failure> {
        let bytes_max = BAG_BYTES_MAX as u64;
        let known = self.get(directory::BAG, bytes_max)?;
        if known.is_some_and(|bytes| Digest::of(&bytes) == order.bag) {
            return Ok(());
        }
        let bytes = api.blob(order.bag, bytes_max).await?;
        let found = Digest::of(&bytes);
        if found != order.bag {
            let text =
                format!("the scheduler sent a bag with digest {found}; expected {}", order.bag);
            return Err(Failure::new(Code::Failed, text));
        }
        self.put(directory::BAG, &bytes)
    }
}
