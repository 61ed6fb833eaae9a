//! One pool, watched: batch after batch is fetched, repeated and checked; what is wrong goes to the
//! docket, what is missing is asked for. A task of its own for each pool, so that one that does not
//! answer stops no other.

use super::{
    brief::{Brief, Committed},
    check,
    docket::Docket,
    files,
    known::{Known, OnChain, PoolKnown},
    mirror::Mirror,
    say::Said,
    shown::Answers,
    silence::{self, Silence},
    sources::Sources,
    words::Words,
};
use crate::output::Output;
use quorate_chain::{
    B256, Outbox,
    court::{Court, Proof},
};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    ids::PoolId,
    keys::{Signature, recover},
    messages::{Message as _, Separator},
    word::{Said as Saying, Word},
};
use quorate_grid::{
    audit::{Accusation, Books, Registry, StepProof, check_signatures},
    evidence::{BatchFile, Seal, TaskEvidence},
    ledger::Identity,
};
use quorate_scheduler::http::batches::SealedBatch;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};

/// How often a pool is looked at when the chain has no news of it: for evidence that was missing, words,
/// and challenges whose time has come.
const LOOK: Duration = Duration::from_secs(1);
/// How often what could not be had is asked for again from URLs that do not have it.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the books go to disk while batches come in: what is lost is repeated from the mirror.
const SAVE: Duration = Duration::from_secs(10);
/// Longest wait for the block after an announcement, with `--once`.
const LATER_BLOCK: Duration = Duration::from_secs(120);

/// What all pools share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) known: Arc<RwLock<Known>>,
    pub(super) court: Court,
    pub(super) outbox: Option<Outbox>,
    pub(super) sources: Arc<Sources>,
    pub(super) words: Vec<PathBuf>,
    pub(super) data: PathBuf,
    pub(super) asking: silence::Settings,
    pub(super) output: Output,
    /// One batch at a time is in memory.
    pub(super) desk: Arc<Semaphore>,
    pub(super) once: bool,
}

/// What the chain's reader tells the pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Grows with every range of blocks.
    pub(super) ranges: u64,
    /// Everything final was read.
    pub(super) caught_up: bool,
    /// The program ends.
    pub(super) stop: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// A fraud.
    pub(super) fraud: bool,
    /// Something could not be checked.
    pub(super) unchecked: bool,
}

/// What goes to disk of a pool's progress.
#[derive(Serialize, Deserialize)]
struct Progress {
    books: Books,
    /// Batches whose steps hold and whose signatures, or whose check against words, are missing.
    unsealed: BTreeSet<u64>,
}

/// See the module.
pub(super) struct PoolWatch {
    id: PoolId,
    shared: Shared,
    separator: Separator,
    mirror: Mirror,
    books: Option<Books>,
    saved: (u64, Instant),
    dirty: bool,
    docket: Docket,
    silence: Silence,
    words: Words,
    /// As in [`Progress`].
    unsealed: BTreeSet<u64>,
    /// The batch whose steps do not hold.
    wrong: Option<u64>,
    tried: Option<Instant>,
    tally: Tally,
}

impl PoolWatch {
    /// Takes up what is on disk.
    pub(super) fn open(id: PoolId, shared: &Shared) -> Result<Self, Failure> {
        let mirror = Mirror::open(&shared.data, id)?;
        let progress: Option<Progress> = files::get_encoded(&mirror.path("progress"))?;
        let fresh = || Progress { books: Books::new(id), unsealed: BTreeSet::new() };
        let Progress { books, unsealed } = progress.unwrap_or_else(fresh);
        let saved = (books.head().0, Instant::now());
        let separator = shared.court.settlement().separator();
        let (court, outbox) = (&shared.court, shared.outbox.clone());
        let docket = Docket::open(id, &mirror, court, outbox, shared.output)?;
        let silence = Silence::open(id, &mirror, shared.asking, shared.output)?;
        let words = Words::new(shared.words.clone(), id, separator);
        Ok(Self {
            id,
            shared: shared.clone(),
            separator,
            books: Some(books),
            saved,
            dirty: false,
            docket,
            silence,
            words,
            unsealed,
            wrong: None,
            tried: None,
            tally: Tally::default(),
            mirror,
        })
    }

    /// Watches until it is told to stop, or with `--once` until all that is known was checked.
    pub(super) async fn run(mut self, mut news: watch::Receiver<News>) -> Tally {
        let mut stop = news.clone();
        let began = Instant::now();
        loop {
            let now = *news.borrow_and_update();
            let round = tokio::select! {
                round = self.round() => round,
                () = stopped(&mut stop) => break,
            };
            let failed = round.as_ref().err().map(ToString::to_string);
            if let Some(failure) = &failed {
                // The node, or the disk: it is tried again, and says so each time.
                tracing::warn!(pool = %self.id, "{failure}");
            }
            if self.shared.once && now.caught_up && self.is_done(failed.is_some(), began) {
                self.tally.unchecked |= failed.is_some() || self.behind();
                break;
            }
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        if let Err(failure) = self.save() {
            tracing::warn!(pool = %self.id, "{failure}");
        }
        self.tally.fraud |= self.docket.is_busy();
        self.tally
    }

    fn is_done(&self, failed: bool, began: Instant) -> bool {
        let waits = self.docket.is_busy() || failed;
        !waits || began.elapsed() > LATER_BLOCK
    }

    /// Whether batches are on chain that were not repeated, or are not sealed.
    fn behind(&self) -> bool {
        let head = self.head();
        let known = self.of_pool(|pool| pool.head()).unwrap_or(0);
        self.wrong.is_none() && (head < known || !self.unsealed.is_empty())
    }

    async fn round(&mut self) -> Result<(), Failure> {
        let again = self.tried.is_none_or(|tried| tried.elapsed() >= AGAIN);
        self.advance(again).await?;
        self.hear_words().await?;
        if again {
            self.seal_later().await?;
            self.ask().await?;
            self.tried = Some(Instant::now());
        }
        self.docket.drive().await?;
        self.tidy()
    }

    fn head(&self) -> u64 {
        self.books.as_ref().map_or(self.saved.0, |books| books.head().0)
    }

    /// Batches that were forgotten, because they were repeated once, cannot be repeated again.
    fn check_gap(&self) -> Result<(), Failure> {
        let first = self.of_pool(|pool| pool.batches.keys().next().copied()).flatten();
        match first {
            Some(first) if first > self.head() + 1 => {
                let text = format!("{}: batches before {first} are forgotten", self.id);
                let folder = self.shared.data.display();
                Err(Failure::new(Code::Conflict, text).hint(format!(
                    "its progress was lost: delete {folder}/chain to read all again"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Every batch that has come since. What is missing is looked for only `again`.
    async fn advance(&mut self, again: bool) -> Result<(), Failure> {
        self.check_gap()?;
        while self.wrong.is_none() {
            let Some(next) = self.next() else { break };
            let index = next.batch.header.index;
            if self.silence.knows(index) && !again {
                break;
            }
            let Some(file) = self.evidence(&next).await? else { break };
            self.take(&next, file).await?;
            if self.head() < index {
                break;
            }
        }
        Ok(())
    }

    /// The next batch on chain that was not repeated.
    fn next(&self) -> Option<OnChain> {
        self.on_chain(self.head() + 1)
    }

    fn on_chain(&self, index: u64) -> Option<OnChain> {
        self.of_pool(|pool| pool.batches.get(&index).cloned()).flatten()
    }

    /// A batch's evidence: from the mirror, from the chain if all of it was shown there, or from whoever
    /// has it.
    async fn evidence(&mut self, next: &OnChain) -> Result<Option<BatchFile>, Failure> {
        let (header, index) = (&next.batch.header, next.batch.header.index);
        if self.mirror.evidence(header)?.is_none() {
            if let Some(file) = self.shown(next)? {
                return Ok(Some(file));
            }
            let digest = Digest::from(header.evidence);
            let path = self.mirror.evidence_path(index);
            let sources = Arc::clone(&self.shared.sources);
            if let Err(why) = sources.file(self.id, digest, &path).await? {
                self.silence.note(index, "evidence", &why)?;
                return Ok(None);
            }
        }
        match self.mirror.evidence(header)? {
            Some(Ok(file)) => Ok(Some(file)),
            // Bytes that nobody can read show nothing.
            Some(Err(why)) => self.silence.note(index, "evidence", &why).map(|()| None),
            None => Ok(None),
        }
    }

    /// A batch's evidence as it was shown on chain, if all of it was.
    fn shown(&self, next: &OnChain) -> Result<Option<BatchFile>, Failure> {
        let answers = Answers::open(&self.mirror, next.batch.header.index)?;
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(pool) = known.pools.get(&self.id.0) else { return Ok(None) };
        Ok(answers.evidence(next, &pool.deals, &known.workers))
    }

    /// Evidence that is here.
    fn kept(&self, next: &OnChain) -> Result<Option<BatchFile>, Failure> {
        match self.mirror.evidence(&next.batch.header)? {
            Some(Ok(file)) => Ok(Some(file)),
            Some(Err(_)) | None => self.shown(next),
        }
    }

    /// Takes the sets that were shown on chain for words of the scheduler: they are signed like those.
    fn hear_shown(&mut self, index: u64) -> Result<(), Failure> {
        let Some(signer) = self.of_pool(|pool| pool.signer) else { return Ok(()) };
        let answers = Answers::open(&self.mirror, index)?;
        for signed in answers.tasks().flat_map(|shown| &shown.sets) {
            let said = Saying::CommitSet(signed.set.clone());
            self.words.hear(Word { said, proof: signed.proof.clone() }, signer);
        }
        Ok(())
    }

    /// Repeats a batch; what is wrong with it is brought before the Court.
    async fn take(&mut self, next: &OnChain, file: BatchFile) -> Result<(), Failure> {
        let batch = &next.batch;
        let index = batch.header.index;
        let before = self.on_chain(index - 1);
        let registry = self.registry(&file);
        let (file, outcome) = self.replay(batch.clone(), file, registry).await?;
        match outcome {
            Ok(()) => {
                let count = batch.header.count;
                let said = Said::new("checked", self.id, Some(index), format!("{count} tasks, ok"));
                said.with("tasks", count).say(self.shared.output)?;
                self.silence.found(index)?;
                // Until it is: an error on the way must not let a batch go unchecked.
                (self.dirty, _) = (true, self.unsealed.insert(index));
                self.seal_and_check(next, &file).await
            }
            Err((fault, accusation)) => {
                let before = before.map(|before| before.batch);
                self.accuse(batch, before.as_ref(), &fault, &accusation).await
            }
        }
    }

    /// Off the threads that wait for the network, and one batch at a time.
    async fn replay(
        &mut self,
        batch: Committed,
        file: BatchFile,
        registry: Registry,
    ) -> Result<(BatchFile, Result<(), (String, Box<Accusation>)>), Failure> {
        let permit = self.shared.desk.clone().acquire_owned().await;
        let mut books = self.books.take().unwrap_or_else(|| Books::new(self.id));
        let separator = self.separator;
        let steps = self.mirror.steps_path(batch.header.index);
        let work = tokio::task::spawn_blocking(move || {
            let given_up = books.given_up(&separator, &registry, &batch.header, &file);
            // Only now the accounts are as those steps find them.
            let kept =
                if given_up.is_empty() { Ok(()) } else { files::put_encoded(&steps, &given_up) };
            let outcome =
                kept.map(|()| check::replay(&mut books, &separator, &registry, &batch, &file));
            drop(permit);
            (books, file, outcome)
        });
        let (books, file, outcome) = work
            .await
            .map_err(|error| Failure::new(Code::Internal, format!("a replay: {error}")))?;
        self.books = Some(books);
        Ok((file, outcome?))
    }

    async fn accuse(
        &mut self,
        batch: &Committed,
        before: Option<&Committed>,
        fault: &str,
        accusation: &Accusation,
    ) -> Result<(), Failure> {
        let index = batch.header.index;
        if let Accusation::Hidden(_) = accusation {
            return self.silence.note(index, "evidence", fault);
        }
        let proofs = Brief { batch, before, accusation }.proofs(self.docket.court());
        let convinced = self.docket.bring(index, fault, proofs).await?;
        self.tally.fraud = true;
        self.wrong = Some(index);
        if !convinced {
            let text = format!("WRONG: {fault}; but nothing here convinces the Court of it");
            Said::new("wrong", self.id, Some(index), text).say(self.shared.output)?;
        }
        Ok(())
    }

    /// Gets a batch's signatures and checks what a replay does not see. Without signatures some of that
    /// cannot be seen either, so it is done again when they are here.
    async fn seal_and_check(&mut self, next: &OnChain, file: &BatchFile) -> Result<(), Failure> {
        let index = next.batch.header.index;
        self.hear_shown(index)?;
        // Shown on chain each set came with its signature, and nobody shows the others.
        let on_chain = self.mirror.evidence(&next.batch.header)?.is_none();
        let seal = if on_chain { None } else { self.seal(next, file).await? };
        self.check(next, file, seal.as_ref()).await?;
        if on_chain || seal.is_some() {
            (self.dirty, _) = (true, self.unsealed.remove(&index));
            self.silence.found(index)?;
        }
        Ok(())
    }

    /// The signatures of a batch, from the mirror or from whoever has them. Another header with the
    /// pool's signature is a fraud of its own.
    async fn seal(&mut self, next: &OnChain, file: &BatchFile) -> Result<Option<Seal>, Failure> {
        let header = &next.batch.header;
        if let Some(kept) = self.mirror.seal(header)? {
            return Ok(Some(kept.seal));
        }
        let (found, mut why) = self.shared.sources.clone().seals(self.id, header.index).await;
        let signer = self.of_pool(|pool| pool.signer).unwrap_or_default();
        let mut right = None;
        for sealed in found {
            if sealed.header != *header {
                why = "another header".to_owned();
                self.two_headers(&sealed).await?;
                continue;
            }
            match check_signatures(&self.separator, signer, header, file, &sealed.seal) {
                Ok(()) => right = Some(sealed),
                Err(fault) => why = fault.to_string(),
            }
        }
        match &right {
            Some(sealed) => self.mirror.keep_seal(sealed)?,
            None => self.silence.note(header.index, "signatures", &why)?,
        }
        Ok(right.map(|sealed| sealed.seal))
    }

    /// Brings a second header before the Court, if it is one.
    async fn two_headers(&mut self, other: &SealedBatch) -> Result<(), Failure> {
        let index = other.header.index;
        let Some(there) = self.on_chain(index) else { return Ok(()) };
        let signer = self.of_pool(|pool| pool.signer);
        let digest = self.separator.digest(other.header.struct_hash());
        let signed = recover(digest, &other.seal.header).is_some_and(|who| signer == Some(who));
        if !signed || other.header == there.batch.header || other.header.pool != self.id {
            return Ok(());
        }
        let Some(ours) = self.signature_on_chain(&there).await? else { return Ok(()) };
        let (a, b) = ((&there.batch.header, &ours), (&other.header, &other.seal.header));
        let proof = self.docket.court().two_headers(a, b);
        self.bring_one(index, "the scheduler has signed another header for it", proof).await
    }

    /// The header's signature, from the transaction that committed the batch.
    async fn signature_on_chain(&self, there: &OnChain) -> Result<Option<Signature>, Failure> {
        let chain = self.shared.court.settlement().chain();
        let data = chain.input(there.tx).await.map_err(|error| crate::failure::chain(&error))?;
        let signature = data.and_then(|data| Court::header_signature(&data, &there.batch.header));
        let signer = self.of_pool(|pool| pool.signer);
        let digest = self.separator.digest(there.batch.header.struct_hash());
        Ok(signature.filter(|signature| recover(digest, signature) == signer))
    }

    async fn bring_one(&mut self, index: u64, fault: &str, proof: Proof) -> Result<(), Failure> {
        if self.docket.bring(index, fault, vec![proof]).await? {
            self.tally.fraud = true;
        }
        Ok(())
    }

    /// What a replay does not see.
    async fn check(
        &mut self,
        next: &OnChain,
        file: &BatchFile,
        seal: Option<&Seal>,
    ) -> Result<(), Failure> {
        let Some(pool) = self.of_pool(PoolKnown::without_deals) else { return Ok(()) };
        let (leaving, registry) = (self.leaving(), self.registry(file));
        let index = next.batch.header.index;
        let before = self.on_chain(index - 1).map(|before| before.batch);
        let given_up: Option<Vec<StepProof>> = files::get_encoded(&self.mirror.steps_path(index))?;
        let proofs = check::Known {
            batch: &next.batch,
            before: before.as_ref(),
            given_up: &given_up.unwrap_or_default(),
            file,
            seal,
            pool: &pool,
            leaving: &leaving,
            words: &self.words,
            registry: &registry,
            separator: &self.separator,
            window_s: self.shared.court.settlement().window_s(),
        }
        .proofs(self.docket.court());
        for proof in proofs {
            let fault = proof.what;
            self.bring_one(index, fault, proof).await?;
        }
        Ok(())
    }

    /// Signatures that were missing.
    async fn seal_later(&mut self) -> Result<(), Failure> {
        for index in self.unsealed.clone() {
            let pending = self.of_pool(|pool| pool.is_pending(index)).unwrap_or(false);
            let Some(next) = self.on_chain(index).filter(|_| pending) else {
                (self.dirty, _) = (true, self.unsealed.remove(&index));
                continue;
            };
            if let Some(file) = self.kept(&next)? {
                self.seal_and_check(&next, &file).await?;
            }
        }
        Ok(())
    }

    /// New words, against each other and against every batch that can still be dropped.
    async fn hear_words(&mut self) -> Result<(), Failure> {
        let Some(signer) = self.of_pool(|pool| pool.signer) else { return Ok(()) };
        let fresh = self.words.look(signer)?;
        for sealed in &fresh.headers {
            self.two_headers(sealed).await?;
        }
        for task in &fresh.tasks {
            for proof in self.words.contradictions(self.docket.court(), *task) {
                self.bring_one(0, proof.what, proof).await?;
            }
        }
        if !fresh.tasks.is_empty() {
            for next in self.of_pool(PoolKnown::pending).unwrap_or_default() {
                self.hold_against(&next, &fresh.tasks).await?;
            }
        }
        Ok(())
    }

    /// Checks a batch again that has some of these tasks.
    async fn hold_against(
        &mut self,
        next: &OnChain,
        tasks: &BTreeSet<B256>,
    ) -> Result<(), Failure> {
        let header = &next.batch.header;
        if header.index > self.head() {
            return Ok(());
        }
        let Some(file) = self.kept(next)? else { return Ok(()) };
        let told =
            |task: &TaskEvidence| tasks.contains(&task.rec.deal_id.task_id(task.rec.task_idx));
        if file.tasks.iter().any(told) {
            let seal = self.mirror.seal(header)?.map(|sealed| sealed.seal);
            self.check(next, &file, seal.as_ref()).await?;
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        let pending = self.of_pool(PoolKnown::pending).unwrap_or_default();
        let still: BTreeSet<u64> = pending.iter().map(|next| next.batch.header.index).collect();
        self.silence.keep(|index| still.contains(&index))?;
        if self.of_pool(|pool| pool.convicted).unwrap_or(true) {
            return Ok(());
        }
        let window_s = self.shared.court.settlement().window_s();
        for batch in pending {
            self.silence.drive(&batch, window_s, &mut self.docket).await?;
        }
        Ok(())
    }

    fn tidy(&mut self) -> Result<(), Failure> {
        if !self.dirty || self.saved.1.elapsed() < SAVE {
            return Ok(());
        }
        self.save()?;
        let finalized = self.of_pool(|pool| pool.finalized).unwrap_or(0);
        let window_s = self.shared.court.settlement().window_s();
        self.mirror.prune(finalized.min(self.saved.0), window_s)?;
        let mut known = self.shared.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = known.pools.get_mut(&self.id.0) {
            pool.forget(self.saved.0);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Failure> {
        // While a batch is being repeated the books are not here: the disk has what was before.
        if !self.dirty {
            return Ok(());
        }
        let Some(books) = self.books.take() else { return Ok(()) };
        let progress = Progress { books, unsealed: self.unsealed.clone() };
        let written = files::put_encoded(&self.mirror.path("progress"), &progress);
        self.saved = (progress.books.head().0, Instant::now());
        (self.books, self.dirty) = (Some(progress.books), written.is_err());
        written
    }

    /// Something of what the chain has said of the pool by now.
    fn of_pool<T>(&self, read: impl FnOnce(&PoolKnown) -> T) -> Option<T> {
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        known.pools.get(&self.id.0).map(read)
    }

    fn leaving(&self) -> BTreeMap<u32, u64> {
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        known.leaving.clone()
    }

    fn registry(&self, file: &BatchFile) -> Registry {
        let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
        let workers: &BTreeMap<u32, Identity> = &known.workers;
        let pool = known.pools.get(&self.id.0);
        pool.map_or_else(Registry::default, |pool| check::registry(file, workers, pool))
    }
}

async fn stopped(news: &mut watch::Receiver<News>) {
    // A reader that is gone has ended.
    let _ = news.wait_for(|news| news.stop).await;
}
