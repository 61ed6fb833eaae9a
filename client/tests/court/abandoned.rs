//! A pool that settled for a while and then fell silent, with two final batches and a task it left: what
//! its workers have kept is enough to end it, to be paid for standing by, and to have the task settled, as
//! the real contract sees it. The programs' commands are in `byzantine.rs`; here it is what they prove.

use super::{
    in_runtime,
    pool::{Pool, Sides, key},
};
use quorate_chain::settlement::PoolState;
use quorate_common::{
    frame::{self, FrameTree},
    ids::WorkerIdx,
    keccak256,
    merkle::{SET_DEPTH, Tree},
    messages::{Assign, CommitAck, CommitSet, Reveal, Word as _},
    word::{KeptVote, Said, Word},
};
use quorate_grid::evidence::BatchFile;
use quorate_worker::remains::{
    Remains, RemainsError, Source,
    acts::{Outcome, Report, Sender},
    promises::Promises,
};
use std::{fs, path::Path};

const DAY_S: u64 = 24 * 3600;
/// The task that is left.
const LEFT: u32 = 6;
/// Its voters, all with accounts in the final books, and the last for something else.
const VOTERS: [(u32, char); 5] = [(1, 'a'), (3, 'a'), (5, 'a'), (6, 'a'), (4, 'b')];

/// What a scheduler signed and workers kept, as JSON lines.
struct Kept {
    words: Vec<Word>,
    votes: Vec<KeptVote>,
}

impl Kept {
    fn of(pool: &Pool<'_>, task_idx: u32) -> Self {
        let deal = pool.deal.id();
        let (task_id, attempt, pool_id) = (deal.task_id(task_idx), 0, pool.id);
        let digest = |what: char| keccak256(what.to_string());
        let salt = |worker: u32| keccak256([task_id.0, worker.word()].as_flattened());
        let commitment = |(worker, what): (u32, char)| {
            let worker_idx = WorkerIdx(worker);
            pool.separator.commitment(task_id, attempt, worker_idx, digest(what), salt(worker))
        };
        let leaf =
            |vote: &(u32, char)| keccak256([vote.0.word(), commitment(*vote).0].as_flattened());
        let tree = Tree::new(SET_DEPTH, VOTERS.iter().map(leaf).collect());
        let n = u8::try_from(VOTERS.len()).unwrap();
        let mut said = vec![Said::CommitSet(CommitSet {
            pool: pool_id,
            task_id,
            attempt,
            root: tree.root(),
            n,
            reveal_deadline: pool.deal.terms.deadline,
        })];
        let mut votes = Vec::new();
        for (place, vote) in (0..).zip(VOTERS) {
            let worker = WorkerIdx(vote.0);
            said.push(Said::Assign(Assign {
                pool: pool_id,
                deal,
                task_idx,
                attempt,
                worker,
                ..Assign::default()
            }));
            let commitment = commitment(vote);
            let ack = CommitAck { pool: pool_id, task_id, attempt, worker, commitment, seq: 1 };
            said.push(Said::CommitAck(ack));
            let (set_root, digest, salt) = (tree.root(), digest(vote.1), salt(vote.0));
            let reveal = Reveal { pool: pool_id, task_id, attempt, set_root, digest, salt };
            let path = tree.path(u64::from(place)).try_into().unwrap();
            votes.push(KeptVote { worker, reveal, place, path });
        }
        Self { words: said.into_iter().map(|said| signed(pool, said)).collect(), votes }
    }

    /// Each worker's folder has what it was told, and its own vote; a damaged line harms no other.
    fn write(&self, dir: &Path) {
        let lines = |dir: &Path, lines: Vec<String>| {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("1.jsonl"), lines.join("\n") + "\n").unwrap();
        };
        let mut words: Vec<String> =
            self.words.iter().map(|word| serde_json::to_string(word).unwrap()).collect();
        words.insert(1, "{\"half a li".into());
        lines(&dir.join("words"), words);
        let votes = self.votes.iter().map(|vote| serde_json::to_string(vote).unwrap());
        lines(&dir.join("votes"), votes.collect());
    }
}

fn signed(pool: &Pool<'_>, said: Said) -> Word {
    let hash = said.struct_hash();
    let signature = frame::sign(&pool.signer, &pool.separator, &[hash]);
    Word { said, proof: FrameTree::new(&[hash]).proof(0, signature) }
}

/// The pool's evidence, as a watcher keeps it.
fn mirror(dir: &Path, pool: &Pool<'_>, files: &[&BatchFile]) {
    let dir = dir.join(format!("pool-{}", pool.id.0));
    fs::create_dir_all(&dir).unwrap();
    for file in files {
        fs::write(dir.join(format!("{:012}.evidence", file.index)), file.to_bytes()).unwrap();
    }
}

async fn open(
    pool: &Pool<'_>,
    dir: &Path,
    sender: &Sender,
) -> Result<(Remains, Promises), RemainsError> {
    let settlement = &pool.sides.chain.settlement;
    let sources = [Source::Folder("/nowhere".into()), Source::Folder(dir.join("seen"))];
    let remains = Remains::open(settlement, pool.id, 0, &sources, sender).await?;
    let (words, votes) = ([dir.join("words")], [dir.join("votes")]);
    let promises = Promises::read(&remains, &words, &votes).unwrap();
    Ok((remains, promises))
}

/// The one report there is, done; what it paid.
fn done(reports: &[Report], act: &str) -> u128 {
    let [Report { act: found, task, outcome, .. }] = reports else { panic!("{reports:?}") };
    assert_eq!((*found, *task), (act, LEFT));
    let Outcome::Done { paid, .. } = outcome else { panic!("{act}: {outcome:?}") };
    paid.map_or(0, |paid| paid.0)
}

fn refused(reports: &[Report]) -> &str {
    let [Report { outcome: Outcome::Refused { error, .. }, .. }] = reports else {
        panic!("{reports:?}")
    };
    error
}

#[test]
fn what_a_dead_pool_left_is_settled_by_what_its_workers_kept() {
    in_runtime(async {
        let sides = Sides::start().await;
        let mut pool = Pool::open(&sides).await;
        pool.settle_two_batches().await;
        let file = pool.draft(|_| {});
        pool.commit(file.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        mirror(&dir.path().join("seen"), &pool, &[&file]);
        Kept::of(&pool, LEFT).write(dir.path());
        let settlement = &sides.chain.settlement;
        let sender = Sender::Outbox(sides.outbox(77).await);

        // While batches are pending nobody's evidence is needed, and nothing can be shown.
        let (remains, promises) = open(&pool, dir.path(), &Sender::Nobody).await.unwrap();
        assert_eq!(promises.len(), 1);
        settlement.chain().warp(8 * DAY_S).await.unwrap();
        let reports = remains.neglect(&promises, &Sender::Nobody).await.unwrap();
        assert_eq!(refused(&reports), "Pending");
        // What is due is made final on the way; then the first batch's evidence is missed by name.
        let error = open(&pool, dir.path(), &sender).await.unwrap_err();
        assert!(matches!(error, RemainsError::NoEvidence { index: 1, .. }), "{error}");
        let view = settlement.pool(pool.id).await.unwrap();
        assert_eq!((view.head, view.finalized), (2, 2));
        mirror(&dir.path().join("seen"), &pool, &[&pool.first_file(), &file]);
        let (remains, promises) = open(&pool, dir.path(), &sender).await.unwrap();
        for settled in 0..6 {
            assert!(remains.unsettled(pool.deal.id(), settled).is_none(), "task {settled}");
        }

        // Nothing is paid before its time, and a dry run changes nothing.
        let worker = WorkerIdx(1);
        let would = remains.neglect(&promises, &Sender::Nobody).await.unwrap();
        assert!(matches!(would[..], [Report { outcome: Outcome::Would { .. }, .. }]), "{would:?}");
        let early = remains.show(&promises, worker, &key(1), &sender).await.unwrap();
        assert_eq!(refused(&early), "PoolLive");
        assert_eq!(settlement.pool(pool.id).await.unwrap().state, PoolState::Live);
        done(&remains.neglect(&promises, &sender).await.unwrap(), "neglect");
        let dead = settlement.pool(pool.id).await.unwrap().state;
        assert!(matches!(dead, PoolState::Abandoned(_)), "{dead:?}");

        paid_what_was_provable(&pool, &remains, &promises, &sender).await;
    });
}

/// Standby first for one of them, then everybody's votes, then the judgement: what it comes to is the same.
async fn paid_what_was_provable(
    pool: &Pool<'_>,
    remains: &Remains,
    promises: &Promises,
    sender: &Sender,
) {
    let settlement = &pool.sides.chain.settlement;
    let price = pool.deal.terms.unit_price;
    let owner = |n: u32| quorate_scheduler::dev::account(100 + n).address();
    let mut before = Vec::new();
    for (n, _) in VOTERS {
        before.push(settlement.free_of(owner(n)).await.unwrap());
    }
    let claim = async |n| remains.claim_abandoned(promises, WorkerIdx(n), sender).await.unwrap();
    assert_eq!(done(&claim(1).await, "claim"), price * 30 / 100);
    assert_eq!(refused(&claim(1).await), "PaidBefore");
    for (n, _) in VOTERS {
        let shown = remains.show(promises, WorkerIdx(n), &key(n), sender).await.unwrap();
        assert_eq!(done(&shown, "show"), 0);
        let again = remains.show(promises, WorkerIdx(n), &key(n), sender).await.unwrap();
        assert_eq!(again[0].outcome, Outcome::Already);
    }
    assert_eq!(refused(&remains.settle(sender).await.unwrap()), "TooEarly");
    let window = settlement.window_s();
    settlement.chain().warp(window + 3 * DAY_S + 1).await.unwrap();
    let settled = done(&remains.settle(sender).await.unwrap(), "settle");
    assert_eq!(remains.settle(sender).await.unwrap()[0].outcome, Outcome::Already);
    let mut gained = Vec::new();
    for ((n, _), before) in VOTERS.into_iter().zip(before) {
        gained.push(settlement.free_of(owner(n)).await.unwrap() - before);
    }
    assert_eq!(gained.pop(), Some(0), "the last voted for something else");
    assert!(gained.iter().all(|gained| *gained > 0), "{gained:?}");
    let sum: u128 = gained.iter().sum();
    assert_eq!(sum, settled + price * 30 / 100, "{gained:?}");
    // A hundredth is the scheduler's, and stays with who pays; so does what cannot be divided. Whoever
    // stood by for more than its share keeps it.
    let share = price * 99 / 100;
    assert!((share - 4..=share + price * 30 / 100).contains(&sum), "{gained:?}");
}
