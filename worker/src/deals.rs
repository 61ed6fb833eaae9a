//! What the tasks of a deal share, fetched and prepared once: the bag, and the module, runtime pack or image.

mod cell;
mod image;
mod prepare;

use crate::{
    blobs::{BLOB_BYTES_MAX, Blobs, Holder},
    brake::Brake,
    engine::Cancel,
    pace::Pace,
    runner::{Program, Runner},
    transfer::{self, Line, TransferError},
};
use cell::{Cell, Outcome};
use prepare::{Machine, prepare_blocking};
use quorate_common::{
    bag::{BAG_BYTES_MAX, Bag, InputFile, Task},
    digest::Digest,
    keys::NodeKey,
    pack::{DOCUMENT_BYTES_MAX, PIECE_BYTES, Pack},
    report::Chain,
    sealed::FilesKey,
    wire::{DealInfo, GiveUpReason},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Deals kept prepared. At worst each holds a bag of 16 MiB and a module of 64 MiB in memory;
/// another deal than the last few is fetched from the blob folder again.
const DEALS_MAX: usize = 4;
/// Blobs fetched at once: half of the streams a connection may have.
const FETCHES_MAX: usize = 8;
/// Tries for a blob the scheduler says it does not have: it may still be on its way there.
const TRIES_MAX: u32 = 4;
/// Pause between them; the fourth try comes after three seconds.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Bytes of input files one task may have: they are held in memory while it runs.
const INPUTS_BYTES_MAX: u64 = 512 << 20;

/// A deal whose bag was read and whose module was compiled, if it can be.
#[derive(Debug)]
pub struct PreparedDeal {
    /// Its tasks.
    pub bag: Bag,
    /// sha256 of the module or image, or of the document that names a pack or an image.
    pub app: Digest,
    /// What is run.
    pub code: Program,
    /// Opens the input files that are sealed.
    pub files: Option<FilesKey>,
}

/// A deal's bag and module.
type Named = (Digest, Digest);

/// Fetches what jobs need.
pub struct Deals {
    line: Line,
    pace: Pace,
    blobs: Arc<Blobs>,
    runner: Arc<dyn Runner>,
    memory_bytes: u64,
    /// Holds compilers when nothing may run.
    brake: Brake,
    /// Opens what is sealed to this worker.
    node_key: NodeKey,
    /// Most recently used last.
    prepared: Mutex<VecDeque<(Named, Arc<Cell>)>>,
    permits: Semaphore,
    flights: Mutex<BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
}

impl Deals {
    /// Fetches over `line` at its pace, and gives back tasks that may take more than `memory_bytes` each.
    pub fn new(
        (line, pace): (Line, Pace),
        blobs: Arc<Blobs>,
        runner: Arc<dyn Runner>,
        memory_bytes: u64,
        brake: Brake,
        node_key: NodeKey,
    ) -> Self {
        let permits = Semaphore::new(FETCHES_MAX);
        let (prepared, flights) = (Mutex::default(), Mutex::default());
        Self {
            line,
            pace,
            blobs,
            runner,
            memory_bytes,
            brake,
            node_key,
            prepared,
            permits,
            flights,
        }
    }

    /// Makes everything one task needs be here, and stay for `holder`.
    ///
    /// # Errors
    /// Why the replica is given back. Without a connection this waits; who asked stops it.
    pub async fn fetch(
        &self,
        holder: Holder,
        deal: &DealInfo,
        idx: u32,
    ) -> Result<Arc<PreparedDeal>, GiveUpReason> {
        self.blobs.hold(holder, &[deal.bag, deal.app]);
        let cell = self.cell(deal);
        let prepared = {
            let _waiter = cell.wait();
            let prepare = || self.prepare(holder, deal, &cell);
            cell.ready.get_or_try_init(prepare).await?.clone()?
        };
        self.blobs.hold(holder, &prepared.code.blobs());
        let task = task_of(&prepared.bag, deal.first, idx).ok_or_else(|| {
            tracing::warn!(deal = %deal.slot, idx, "the bag has no such task");
            GiveUpReason::Input
        })?;
        let mut bytes = 0;
        for InputFile { digest, .. } in prepared.bag.files.iter().chain(&task.files) {
            self.blobs.hold(holder, &[*digest]);
            self.bring(*digest, BLOB_BYTES_MAX).await?;
            bytes += self.blobs.len(*digest);
            if bytes > INPUTS_BYTES_MAX {
                tracing::warn!(deal = %deal.slot, idx, bytes, "the input files are too large");
                return Err(GiveUpReason::Input);
            }
        }
        Ok(prepared)
    }

    /// Ends what is being prepared, to end the program.
    pub fn stop(&self) {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().for_each(|(_, cell)| cell.stop());
    }

    fn cell(&self, deal: &DealInfo) -> Arc<Cell> {
        let key = (deal.bag, deal.app);
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = prepared.iter().position(|(known, _)| *known == key);
        let entry = known.and_then(|at| prepared.remove(at));
        let entry = entry.unwrap_or_else(|| (key, Arc::default()));
        if prepared.len() >= DEALS_MAX {
            prepared.pop_front();
        }
        prepared.push_back(entry.clone());
        entry.1
    }

    /// The turn to fetch a blob: jobs that need the same one wait for one fetch.
    fn flight(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(&digest).and_then(Weak::upgrade) {
            return flight;
        }
        let flight = Arc::default();
        flights.insert(digest, Arc::downgrade(&flight));
        flight
    }

    async fn prepare(&self, holder: Holder, deal: &DealInfo, cell: &Cell) -> Outcome {
        self.bring(deal.bag, BAG_BYTES_MAX as u64).await?;
        // A module may have less, which its engine says; an image is known by its bag only.
        self.bring(deal.app, BLOB_BYTES_MAX).await?;
        let pack = self.pack(deal.app)?;
        if let Some(pack) = &pack {
            if !self.runner.packs() {
                tracing::info!(deal = %deal.slot, "a runtime pack, which the owner does not want");
                return Ok(Err(GiveUpReason::Pack));
            }
            self.bring_pieces(holder, pack).await?;
        }
        let image = self.image(deal)?;
        if let Some(image) = &image {
            let registries = self.runner.registries();
            let Some(registries) = registries.filter(|list| list.lists(&image.registry)) else {
                let registry = &image.registry;
                tracing::info!(deal = %deal.slot, registry, "a registry that is not in docker.registries");
                return Ok(Err(GiveUpReason::Registry));
            };
            self.bring_image(holder, registries, image).await?;
        }
        let (blobs, runner) = (self.blobs.clone(), self.runner.clone());
        let (deal, memory_bytes) = (deal.clone(), self.memory_bytes);
        let node_key = self.node_key.clone();
        let work = move |cancel: &Cancel| {
            let machine = Machine { blobs, runner: &*runner, memory_bytes, node_key: &node_key };
            prepare_blocking(machine, &deal, image, cancel)
        };
        let begin = |cancel| tokio::task::spawn_blocking(move || work(&cancel));
        cell.outcome(Cancel::of(self.brake.aside()), pack.is_some(), begin).await
    }

    /// The runtime pack that the app is, if it is one.
    fn pack(&self, app: Digest) -> Result<Option<Pack>, GiveUpReason> {
        if self.blobs.len(app) > DOCUMENT_BYTES_MAX as u64 {
            return Ok(None);
        }
        let document = self.blobs.read(app).map_err(|_| GiveUpReason::Input)?;
        Ok(Pack::parse(&document).ok())
    }

    /// Makes a pack's pieces be here: one that is here already stays.
    async fn bring_pieces(&self, holder: Holder, pack: &Pack) -> Result<(), GiveUpReason> {
        let pieces: Vec<Digest> = pack.pieces().collect();
        self.blobs.hold(holder, &pieces);
        for piece in pieces {
            self.bring(piece, PIECE_BYTES).await?;
        }
        Ok(())
    }

    /// Makes a blob be here. A broken connection is waited out, a missing blob tried a few times.
    async fn bring(&self, digest: Digest, most: u64) -> Result<(), GiveUpReason> {
        let mut tries = 0;
        while !self.blobs.has(digest) {
            let mut line = self.line.clone();
            let connection = match line.wait_for(Option::is_some).await {
                Ok(connection) => connection.clone(),
                Err(_) => return Err(GiveUpReason::Leaving),
            };
            let Some(connection) = connection else { continue };
            let flight = self.flight(digest);
            let _turn = flight.lock().await;
            let permit = self.permits.acquire().await;
            if self.blobs.has(digest) {
                return Ok(());
            }
            let outcome = transfer::get((&connection, &self.pace), &self.blobs, digest, most).await;
            drop(permit);
            match outcome {
                Ok(()) => return Ok(()),
                Err(TransferError::Broken(reason)) => {
                    tracing::debug!(%digest, reason, "a fetch broke off");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(TransferError::Refused(_)) if tries + 1 < TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(error @ TransferError::Month { .. }) => {
                    tracing::info!("{error}");
                    return Err(GiveUpReason::Leaving);
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a blob cannot be fetched");
                    return Err(GiveUpReason::Input);
                }
            }
        }
        Ok(())
    }
}

/// The bag's task that a deal's is: a request may be several deals, one after the other.
pub fn task_of(bag: &Bag, first: u32, idx: u32) -> Option<&Task> {
    bag.tasks.get(first.checked_add(idx)? as usize)
}

impl fmt::Debug for Deals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deals").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::bag::{Limits, SCHEMA};

    #[test]
    fn a_later_deals_tasks_are_the_bags_later_ones() {
        let task = |n: u32| Task { args: vec![n.to_string()], ..Task::default() };
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app: Digest::ZERO,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: Vec::new(),
            tasks: (0..5).map(task).collect(),
        };
        let args = |first, idx| task_of(&bag, first, idx).map(|task| task.args.join(""));
        assert_eq!(args(0, 0).as_deref(), Some("0"));
        assert_eq!(args(3, 1).as_deref(), Some("4"));
        assert_eq!((args(3, 2), args(u32::MAX, 1)), (None, None));
    }
}
