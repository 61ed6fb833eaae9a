//! A scheduler that cheats, for the tests of those who watch it: `QUORATE_MISBEHAVE=late-vote@2` adds a
//! vote to batch 2. Everything around the misdeed is made to fit, as somebody who means it would: what is
//! left to find is the misdeed. Compiled only with the feature `byzantine`, which no release has.
//!
//! | word | what it does |
//! |---|---|
//! | `drop-votes` | acknowledges one commit in fifty and forgets it |
//! | `late-vote` | pays a friend for a vote whose commitment was in no signed set |
//! | `two-headers` | shows another header than the one it commits |
//! | `pay-friend` | gives a winner's earnings to somebody else |
//! | `withhold` | shows nobody evidence or signatures |
//! | `show-bits` | does what `pay-friend` does, and shows no more than the tasks it is asked for on chain |
//! | `settle-twice` | settles a task a second time |
//!
//! With `!` behind it, `late-vote@2!`, the scheduler repeats its own batch before it signs, as every release
//! does, and finds itself out.

use crate::{
    actors::{
        session::{Deliver, SessionActor},
        settler::SealBatch,
    },
    http::batches::SealedBatch,
    shared::Shared,
};
use actix::Addr;
use quorate_common::{
    B256,
    accounts::{TaskRec, WorkerAccount, votes_hash},
    digest::Digest,
    exit::{Code, Failure},
    ids::{PoolId, WorkerIdx},
    merkle::{STATE_DEPTH, Sparse, TASKS_DEPTH, Tree},
    messages::{Header, Message as _},
    wire::CommitAckItem,
};
use quorate_grid::{
    audit::Books,
    deal::Opened,
    effect::ToSession,
    evidence::{BatchFile, TaskEvidence},
    input::{SessionId, SignedVotes},
    ledger::{Identity, Ledger, Settling, deal_leaf, worker_leaf},
    poco::{Ballot, Outcome},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is asked for, and from which batch on.
const VARIABLE: &str = "QUORATE_MISBEHAVE";
/// One commit in so many is forgotten.
const DROP_EVERY: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    DropVotes,
    LateVote,
    TwoHeaders,
    PayFriend,
    Withhold,
    ShowBits,
    SettleTwice,
}

/// Whether the scheduler looks at its own batches: behind the misdeed.
const CHECKED: char = '!';

static ASKED: LazyLock<Option<(Misdeed, u64)>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok()?;
    let asked = text.trim_end_matches(CHECKED);
    let (word, batch) = asked.split_once('@').unwrap_or((asked, "1"));
    let misdeed = match word {
        "drop-votes" => Misdeed::DropVotes,
        "late-vote" => Misdeed::LateVote,
        "two-headers" => Misdeed::TwoHeaders,
        "pay-friend" => Misdeed::PayFriend,
        "withhold" => Misdeed::Withhold,
        "show-bits" => Misdeed::ShowBits,
        "settle-twice" => Misdeed::SettleTwice,
        _ => panic!("{VARIABLE}={text}: there is no such misdeed"),
    };
    let batch = batch.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text}: expected WORD@BATCH"));
    tracing::warn!(?misdeed, batch, "this scheduler cheats");
    Some((misdeed, batch))
});

static SESSIONS: Mutex<BTreeMap<u64, Addr<SessionActor>>> = Mutex::new(BTreeMap::new());
static HIDDEN: Mutex<BTreeSet<Digest>> = Mutex::new(BTreeSet::new());
static COMMITS: AtomicU64 = AtomicU64::new(0);
static BOOKS: Mutex<Option<Cooked>> = Mutex::new(None);

/// Whether anything was asked for.
pub(crate) fn is_asked() -> bool {
    ASKED.is_some()
}

/// Whether it commits what its own check would find.
pub(crate) fn is_unchecked() -> bool {
    static UNCHECKED: LazyLock<bool> =
        LazyLock::new(|| std::env::var(VARIABLE).is_ok_and(|text| !text.ends_with(CHECKED)));
    *UNCHECKED
}

fn does(misdeed: Misdeed, index: u64) -> bool {
    ASKED.is_some_and(|(asked, from)| asked == misdeed && index >= from)
}

fn locked<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers who listens, to lie to them.
pub(crate) fn meet(session: SessionId, addr: &Addr<SessionActor>) {
    if is_asked() {
        locked(&SESSIONS).insert(session.0, addr.clone());
    }
}

/// Acknowledges one commit in fifty and keeps it from the grid. Only the acknowledgement is left of it.
pub(crate) fn forget(session: SessionId, mut votes: SignedVotes) -> SignedVotes {
    if !does(Misdeed::DropVotes, u64::MAX) {
        return votes;
    }
    let sessions = locked(&SESSIONS);
    votes.commits.retain(|commit| {
        let seq = COMMITS.fetch_add(1, Ordering::Relaxed) + 1;
        let forgotten = seq.is_multiple_of(DROP_EVERY);
        if let (true, Some(addr)) = (forgotten, sessions.get(&session.0)) {
            let (task, attempt, commitment) = (commit.task, commit.attempt, commit.commitment);
            let ack = CommitAckItem { task, attempt, commitment, seq };
            addr.do_send(Deliver(vec![ToSession::CommitAck(ack)]));
        }
        !forgotten
    });
    votes
}

fn withholds(index: u64) -> bool {
    does(Misdeed::Withhold, index) || does(Misdeed::ShowBits, index)
}

/// Whether not even an ask is answered.
pub(crate) fn is_silent(index: u64) -> bool {
    does(Misdeed::Withhold, index)
}

/// Whether a blob is hidden.
pub(crate) fn hides(digest: Digest) -> bool {
    locked(&HIDDEN).contains(&digest)
}

/// What is shown of a batch.
pub(crate) fn shown(shared: &Shared, batch: SealedBatch) -> Result<SealedBatch, Failure> {
    let index = batch.header.index;
    if withholds(index) {
        return Err(Failure::new(Code::NotFound, format!("batch {index} is not sealed")));
    }
    if !does(Misdeed::TwoHeaders, index) {
        return Ok(batch);
    }
    let mut other = batch;
    other.header.fees += 1;
    let digest = shared.separator.digest(other.header.struct_hash());
    other.seal.header = shared.signer.sign(digest);
    Ok(other)
}

/// The batch as it is signed instead.
pub(crate) fn twist(shared: &Shared, seal: SealBatch) -> SealBatch {
    let index = seal.header.index;
    let seal = cooked(shared, seal);
    if withholds(index) {
        locked(&HIDDEN).insert(Digest::from(seal.header.evidence));
    }
    seal
}

fn cooked(shared: &Shared, seal: SealBatch) -> SealBatch {
    let cooks = [Misdeed::LateVote, Misdeed::PayFriend, Misdeed::ShowBits, Misdeed::SettleTwice];
    if !ASKED.is_some_and(|(asked, from)| cooks.contains(&asked) && seal.header.index <= from) {
        return seal;
    }
    let mut books = locked(&BOOKS);
    let books = books.get_or_insert_with(|| Cooked::new(shared.pool));
    let (header, file) = books.cook(shared, &seal.file);
    SealBatch { header, file: Box::new(file) }
}

/// The pool's books, kept a second time: what the honest ones say, and then something else.
struct Cooked {
    ledger: Ledger,
    books: Books,
}

impl Cooked {
    fn new(pool: PoolId) -> Self {
        Self { ledger: Ledger::new(pool), books: Books::new(pool) }
    }

    fn cook(&mut self, shared: &Shared, honest: &BatchFile) -> (Header, BatchFile) {
        let index = honest.index;
        let mut tasks = honest.tasks.clone();
        if does(Misdeed::LateVote, index) {
            add_friend(&mut tasks);
        }
        for task in tasks {
            self.settle(honest, task);
        }
        self.ledger.close();
        let (mut header, mut file) =
            self.ledger.unsealed_at(index).expect("it was closed just now");
        let replayed = self.books.replay(&shared.separator, None, &header, &file, None);
        let pays = does(Misdeed::PayFriend, index) || does(Misdeed::ShowBits, index);
        if replayed.is_ok() && pays {
            self.pay_friend(&mut file);
        }
        if does(Misdeed::SettleTwice, index) {
            settle_twice(&mut file);
        }
        fit(&mut header, &file);
        (header, file)
    }

    fn settle(&mut self, honest: &BatchFile, task: TaskEvidence) {
        let deal = honest.terms.iter().find(|opened| opened.slot == task.slot);
        let deal: Opened = deal.expect("a batch has the terms of its tasks").clone();
        let TaskEvidence { rec, sets, votes, identities, .. } = task;
        let TaskRec { deal_id, task_idx, attempt, .. } = rec;
        let votes = votes.into_iter().zip(identities).map(|(vote, identity)| {
            let worker = WorkerIdx(vote.worker);
            let digest = (!vote.digest.is_zero()).then_some(vote.digest);
            let ballot = Ballot { score: self.ledger.score(worker), digest };
            (worker, identity, vote, ballot)
        });
        let votes = votes.collect();
        let outcome = Outcome::from_number(rec.outcome).expect("the grid's own");
        let winner = (!rec.winner_digest.is_zero()).then_some(rec.winner_digest);
        let settling = Settling { deal, deal_id, task_idx, attempt, outcome, winner, sets, votes };
        self.ledger.settle(1, settling);
    }

    /// Moves the earnings of a winner of the last task to somebody else.
    fn pay_friend(&self, file: &mut BatchFile) {
        let mut workers: BTreeMap<u32, WorkerAccount> =
            self.books.workers().map(|(idx, account)| (idx.0, account.clone())).collect();
        let Some(last) = file.tasks.last_mut() else { return };
        let voters: BTreeSet<u32> = last.votes.iter().map(|vote| vote.worker).collect();
        let robbed = voters.iter().copied().find(|idx| workers[idx].cum_earned > 0);
        let friend = workers.keys().copied().find(|idx| !voters.contains(idx));
        let friend = friend.or(voters.last().copied());
        let (Some(robbed), Some(friend)) = (robbed, friend) else { return };
        let loot = workers.get_mut(&robbed).map(|account| std::mem::take(&mut account.cum_earned));
        if let Some(account) = workers.get_mut(&friend) {
            account.cum_earned += loot.unwrap_or_default();
        }
        last.rec.post_state_root = self.root(&workers);
    }

    fn root(&self, workers: &BTreeMap<u32, WorkerAccount>) -> B256 {
        let workers = workers.iter().map(|(idx, a)| (worker_leaf(WorkerIdx(*idx)), a.leaf()));
        let deals = self.books.deals().map(|(slot, b)| (deal_leaf(slot), b.account.leaf()));
        let mut tree = Sparse::new(STATE_DEPTH);
        tree.set(&workers.chain(deals).collect());
        tree.root()
    }
}

/// A friend who did not take part has the winner's result, too, and is paid for it.
fn add_friend(tasks: &mut [TaskEvidence]) {
    let all = tasks.iter().flat_map(|task| task.votes.iter().zip(&task.identities));
    let all: BTreeMap<u32, Identity> = all.map(|(vote, who)| (vote.worker, *who)).collect();
    for task in tasks {
        let won = |vote: &&quorate_common::accounts::Vote| vote.digest == task.rec.winner_digest;
        let Some(mut late) = task.votes.iter().find(won).cloned() else { continue };
        let took_part = |idx: &u32| task.votes.iter().any(|vote| vote.worker == *idx);
        let Some((friend, identity)) = all.iter().find(|(idx, _)| !took_part(idx)) else {
            continue;
        };
        late.worker = *friend;
        task.votes.push(late);
        task.identities.push(*identity);
        return;
    }
}

/// The batch's first task comes once more, in the place of the last: money for more tasks than were paid
/// for is what the contract itself refuses.
fn settle_twice(file: &mut BatchFile) {
    file.tasks.pop();
    let (Some(first), Some(last)) = (file.tasks.first(), file.tasks.last()) else { return };
    let (mut again, last) = (first.clone(), last.rec.clone());
    again.rec.run_payout += last.run_payout;
    again.rec.run_fees += last.run_fees;
    again.rec.run_royalties += last.run_royalties;
    again.rec.run_slash += last.run_slash;
    again.rec.post_state_root = last.post_state_root;
    file.tasks.push(again);
}

/// Makes leaves, header and evidence say the same.
fn fit(header: &mut Header, file: &BatchFile) {
    let Some(last) = file.tasks.last() else { return };
    let before = header.cum_fees - header.fees;
    (header.payout, header.fees) = (last.rec.run_payout, last.rec.run_fees);
    (header.royalties, header.slashed) = (last.rec.run_royalties, last.rec.run_slash);
    header.cum_fees = before + header.fees;
    header.state_root = last.rec.post_state_root;
    header.count = u32::try_from(file.tasks.len()).expect("at most 2^16");
    let leaves = file.tasks.iter().map(|task| task.rec.leaf()).collect();
    header.tasks_root = Tree::new(TASKS_DEPTH, leaves).root();
    header.evidence = file.digest().word();
    debug_assert!(file.tasks.iter().all(|task| {
        let roots: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
        task.rec.votes_hash == votes_hash(&roots, &task.votes)
    }));
}
