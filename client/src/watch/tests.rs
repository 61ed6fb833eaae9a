//! What a replay does not see, against the real Court: votes called silent that were not, tasks given up
//! early, and words that the batch denies. One batch holds them all, beside tasks that are as they should be.

use super::{brief::Committed, check, known::Known, words::Words};
use quorate_chain::{
    B256, Finality, Follower, Outbox, Signer,
    court::Court,
    settlement::{Orders, Signed},
};
use quorate_common::{
    accounts::Vote,
    anchor::SLACK_S,
    frame::{self, FrameTree},
    ids::{DealSlot, PoolId, WorkerIdx},
    keccak256,
    keys::{NodeKey, VoteKey},
    merkle::{SET_DEPTH, Tree},
    messages::{
        Assign, Commit, CommitAck, CommitSet, Message as _, PoolOrder, ReqOrder, Reveal, RevealAck,
        Separator, Word as _,
    },
    terms::DealTerms,
    word::{Said, Word},
};
use quorate_grid::{
    audit::{Books, seal_hashes},
    deal::{Opened, money},
    evidence::{BatchFile, Seal},
    ledger::{Identity, Ledger, Settling},
    poco::{Ballot, Outcome, decided},
    task::SetRec,
};
use quorate_scheduler::dev::{self, DevChain};
use std::{collections::BTreeSet, fs};

const WORKERS: u32 = 4;
const PRICE: u128 = 1_000;
const TASKS: u32 = 10;

/// A pool whose scheduler says what it likes.
struct Stage {
    chain: DevChain,
    gas: Outbox,
    pool: PoolId,
    signer: VoteKey,
    separator: Separator,
    deal: Opened,
    ledger: Ledger,
    identities: Vec<Identity>,
    /// The chain's clock at the beginning.
    now: u64,
    words: Vec<Word>,
    expire: bool,
}

fn key(n: u32) -> VoteKey {
    VoteKey::from_bytes(&keccak256(format!("vote key {n}")).0).expect("a key")
}

fn digest() -> B256 {
    keccak256("result")
}

impl Stage {
    async fn set() -> Self {
        let chain = DevChain::start(None).await.expect("a chain");
        let signer = key(99);
        let pool = chain.pool(signer.address(), keccak256("node")).await.expect("a pool");
        let mut identities = Vec::new();
        for n in 1..=WORKERS {
            let owner = dev::account(100 + n);
            chain.fund(&owner, 100_000).await.expect("funds");
            let node_key = NodeKey::from_bytes(&[u8::try_from(n).expect("few"); 32]);
            let worker = chain.register_worker(&owner, &node_key, &key(n)).await.expect("a worker");
            chain.stake(&owner, pool, worker, 100_000).await.expect("a stake");
            identities.push(Identity { owner: owner.address(), vote_key: key(n).address() });
        }
        let requester = dev::account(1);
        chain.fund(&requester, 1_000_000).await.expect("funds");
        let separator = chain.settlement.separator();
        let gas = chain.outbox(dev::gas());
        let deal = open_deal(&chain, &gas, pool, &signer, &requester).await;
        let now = chain.settlement.chain().head().await.expect("a head").timestamp;
        let (ledger, words) = (Ledger::new(pool), Vec::new());
        let expire = false;
        Self { chain, gas, pool, signer, separator, deal, ledger, identities, now, words, expire }
    }

    fn task_id(&self, task_idx: u32) -> B256 {
        self.deal.id().task_id(task_idx)
    }

    fn salt(&self, task_idx: u32, worker: u32) -> B256 {
        keccak256([self.task_id(task_idx).0, worker.word()].as_flattened())
    }

    fn commitment(&self, task_idx: u32, worker: u32) -> B256 {
        let (id, salt) = (self.task_id(task_idx), self.salt(task_idx, worker));
        self.separator.commitment(id, 0, WorkerIdx(worker), digest(), salt)
    }

    fn reveal(&self, task_idx: u32, worker: u32, set_root: B256) -> Reveal {
        let (pool, task_id) = (self.pool, self.task_id(task_idx));
        let salt = self.salt(task_idx, worker);
        Reveal { pool, task_id, attempt: 0, set_root, digest: digest(), salt }
    }

    /// Gives a task up that these workers have decided.
    fn give_up(&mut self, task_idx: u32, voters: &[u32]) -> CommitSet {
        self.expire = true;
        let set = self.settle(task_idx, voters, None, self.now);
        self.expire = false;
        set
    }

    /// Settles a task by these workers' votes; `silent` is shown as never revealed. Returns its set.
    fn settle(
        &mut self,
        task_idx: u32,
        voters: &[u32],
        silent: Option<u32>,
        until: u64,
    ) -> CommitSet {
        let leaf = |worker: &u32| {
            let commitment = self.commitment(task_idx, *worker);
            keccak256([worker.word(), commitment.0].as_flattened())
        };
        let root = Tree::new(SET_DEPTH, voters.iter().map(leaf).collect()).root();
        let n = u8::try_from(voters.len()).expect("few");
        let votes = voters.iter().map(|worker| {
            let (vote, revealed) = self.vote(task_idx, *worker, root, silent == Some(*worker));
            let score = self.ledger.score(WorkerIdx(*worker));
            let identity = self.identities[*worker as usize - 1];
            (WorkerIdx(*worker), identity, vote, Ballot { score, digest: revealed })
        });
        let votes: Vec<_> = votes.collect();
        let ballots: Vec<Ballot> = votes.iter().map(|(.., ballot)| *ballot).collect();
        let winner = decided(&money(&self.deal.terms), &ballots).filter(|_| !self.expire);
        let outcome = match winner {
            _ if self.expire => Outcome::Expired,
            Some(_) => Outcome::Consensus,
            None => Outcome::NoQuorum,
        };
        let sets = vec![SetRec { root, n, reveal_deadline: until }];
        self.enter(task_idx, outcome, winner, sets, votes);
        let (pool, task_id) = (self.pool, self.task_id(task_idx));
        CommitSet { pool, task_id, attempt: 0, root, n, reveal_deadline: until }
    }

    fn vote(&self, task_idx: u32, worker: u32, root: B256, silent: bool) -> (Vote, Option<B256>) {
        let commitment = self.commitment(task_idx, worker);
        let (hash, salt) = if silent {
            let (pool, task_id) = (self.pool, self.task_id(task_idx));
            (Commit { pool, task_id, attempt: 0, commitment }.struct_hash(), commitment)
        } else {
            (self.reveal(task_idx, worker, root).struct_hash(), self.salt(task_idx, worker))
        };
        let signature = frame::sign(&key(worker), &self.separator, &[hash]);
        let revealed = (!silent).then(digest);
        let vote = Vote {
            worker,
            attempt: 0,
            digest: revealed.unwrap_or_default(),
            salt,
            frame_index: 0,
            frame_count: 1,
            path: Vec::new(),
            r: signature.r,
            vs: signature.vs,
        };
        (vote, revealed)
    }

    fn enter(
        &mut self,
        task_idx: u32,
        outcome: Outcome,
        winner: Option<B256>,
        sets: Vec<SetRec>,
        votes: Vec<(WorkerIdx, Identity, Vote, Ballot)>,
    ) {
        let (deal, deal_id, attempt) = (self.deal.clone(), self.deal.id(), 0);
        let settling = Settling { deal, deal_id, task_idx, attempt, outcome, winner, sets, votes };
        self.ledger.settle(1, settling);
    }

    /// The scheduler says something, each in a frame of its own.
    fn say(&mut self, said: Said) {
        let hash = said.struct_hash();
        let signature = frame::sign(&self.signer, &self.separator, &[hash]);
        self.words.push(Word { said, proof: FrameTree::new(&[hash]).proof(0, signature) });
    }

    fn acks(&mut self, task_idx: u32, worker: u32, root: B256) {
        let (pool, task_id, attempt) = (self.pool, self.task_id(task_idx), 0);
        let (worker_idx, seq) = (WorkerIdx(worker), 1);
        let commitment = self.commitment(task_idx, worker);
        let vote_hash = self.reveal(task_idx, worker, root).struct_hash();
        self.say(Said::CommitAck(CommitAck {
            pool,
            task_id,
            attempt,
            worker: worker_idx,
            commitment,
            seq,
        }));
        self.say(Said::RevealAck(RevealAck {
            pool,
            task_id,
            attempt,
            worker: worker_idx,
            vote_hash,
            stored: true,
            seq,
        }));
    }

    fn assign(&self, task_idx: u32, worker: u32, reveal_deadline: u64) -> Assign {
        Assign {
            pool: self.pool,
            deal: self.deal.id(),
            task_idx,
            worker: WorkerIdx(worker),
            commit_deadline: self.now,
            reveal_deadline,
            ..Assign::default()
        }
    }

    /// Closes, signs and commits the batch.
    async fn commit(&mut self) -> (Committed, BatchFile, Seal) {
        self.ledger.close();
        let (header, file) = self.ledger.unsealed_at(1).expect("a batch");
        let mut books = Books::new(self.pool);
        books.replay(&self.separator, None, &header, &file, None).expect("every step holds");
        let digest = self.separator.digest(header.struct_hash());
        let sets = seal_hashes(&file);
        let sets = sets.iter().map(|hashes| frame::sign(&self.signer, &self.separator, hashes));
        let seal = Seal { header: self.signer.sign(digest), sets: sets.collect() };
        let s = &self.chain.settlement;
        self.gas.send(s.commit_batch(&header, &seal.header)).await.expect("committed");
        let opening = s.opening(self.pool, 1).await.expect("a node").expect("a batch");
        (Committed { header, opening }, file, seal)
    }

    async fn heard(&self) -> Known {
        let s = &self.chain.settlement;
        let (chain, address) = (s.chain().clone(), s.address());
        let follower = Follower::start(chain, address, Finality::Latest, 1).await;
        let (mut follower, mut known) = (follower.expect("a follower"), Known::default());
        while let Some(batch) = follower.next_batch().await.expect("a node") {
            batch.events.into_iter().for_each(|located| known.hear(located));
        }
        known
    }
}

async fn open_deal(
    chain: &DevChain,
    gas: &Outbox,
    pool: PoolId,
    signer: &VoteKey,
    requester: &Signer,
) -> Opened {
    let s = &chain.settlement;
    let now = s.chain().head().await.expect("a head").timestamp;
    let req = ReqOrder {
        requester: requester.address(),
        app: keccak256("app"),
        params: keccak256("bag"),
        max_unit_price: PRICE,
        tasks: TASKS,
        trust: 5,
        replicas: 7,
        max_task_time: 60,
        expiry: now + 100_000,
        deadline: now + 100_000,
        ..ReqOrder::default()
    };
    let offer = PoolOrder {
        pool,
        unit_price: PRICE,
        tasks: TASKS,
        trust: 10,
        stake_ratio: 30,
        scheduler_ratio: 1,
        max_task_time: 60,
        expiry: now + 100_000,
        ..PoolOrder::default()
    };
    let digest = |hash: B256| s.separator().digest(hash);
    let req_signature = requester.sign(digest(req.struct_hash())).to_bytes();
    let offer_signature = signer.sign(digest(offer.struct_hash())).to_bytes();
    let orders = Orders {
        req: Signed { order: &req, signature: &req_signature },
        offer: Signed { order: &offer, signature: &offer_signature },
        app: None,
        dataset: None,
        sponsor: None,
    };
    gas.send(s.open_deal(&orders, TASKS)).await.expect("a deal");
    Opened { slot: DealSlot(0), terms: DealTerms::of(&req, &offer, 0, TASKS) }
}

/// Everything that is asked of the Court about a batch, and what convinces it.
async fn convincing(stage: &Stage, batch: (Committed, BatchFile, Seal)) -> BTreeSet<&'static str> {
    let (batch, file, seal) = batch;
    let court = Court::connect(&stage.chain.settlement).await.expect("a court");
    let known = stage.heard().await;
    let pool = &known.pools[&stage.pool.0];
    let registry = check::registry(&file, &known.workers, pool);
    let dir = tempfile::tempdir().expect("a folder");
    let lines = stage.words.iter().map(|word| serde_json::to_string(word).expect("JSON") + "\n");
    let text: String = lines.collect();
    // A line that is no word, and half of one, are no words.
    fs::write(dir.path().join("7.jsonl"), format!("what?\n{text}{{\"said\"")).expect("a file");
    let mut words = Words::new(vec![dir.path().into()], stage.pool, stage.separator);
    let fresh = words.look(stage.signer.address()).expect("a look");
    let again = words.look(stage.signer.address()).expect("a look");
    assert!(again.tasks.is_empty(), "nothing is read twice");
    let given_up =
        Books::new(stage.pool).given_up(&stage.separator, &registry, &batch.header, &file);
    let mut proofs = check::Known {
        batch: &batch,
        before: None,
        given_up: &given_up,
        file: &file,
        seal: Some(&seal),
        pool,
        leaving: &known.leaving,
        words: &words,
        registry: &registry,
        separator: &stage.separator,
        window_s: stage.chain.settlement.window_s(),
    }
    .proofs(&court);
    for task in fresh.tasks {
        proofs.extend(words.contradictions(&court, task));
    }
    let mut convinced = BTreeSet::new();
    for proof in proofs {
        match court.convinces(&proof).await.expect("a node") {
            Ok(()) => drop(convinced.insert(proof.what)),
            Err(why) => println!("{}: {why}", proof.what),
        }
    }
    convinced
}

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(test);
}

#[test]
fn silence_that_was_none_and_ends_that_came_early_are_found() {
    on_runtime(async {
        let mut stage = Stage::set().await;
        let (now, s) = (stage.now, stage.chain.settlement.clone());
        // Worker 3 says its vote on chain in time, worker 2 asks for a set nobody showed it.
        let soon = now + 1_000;
        let posted = stage.settle(0, &[1, 2, 3], Some(3), soon);
        stage.settle(1, &[1, 2, 3], Some(2), soon);
        stage.settle(2, &[1, 2, 3], Some(1), now + 100_000);
        stage.enter(3, Outcome::Expired, None, Vec::new(), Vec::new());
        let assign = stage.assign(1, 2, soon);
        stage.say(Said::Assign(assign));
        let reveal = stage.reveal(0, 3, posted.root);
        let signature = frame::sign(&key(3), &stage.separator, &[reveal.struct_hash()]);
        let proof = FrameTree::new(&[reveal.struct_hash()]).proof(0, signature);
        stage.gas.send(s.force_vote(&reveal, &proof)).await.expect("posted");
        let demand = s.demand_set(stage.pool, stage.task_id(1), 0, WorkerIdx(2));
        stage.gas.send(demand).await.expect("posted");
        s.chain().warp(1_000 + 2 * SLACK_S).await.expect("a warp");
        let batch = stage.commit().await;
        let found = convincing(&stage, batch).await;
        let expected = ["an early close", "an early end", "an ignored demand", "an ignored vote"];
        assert_eq!(found, expected.into());
    });
}

#[test]
fn every_broken_word_is_found() {
    on_runtime(async {
        let mut stage = Stage::set().await;
        let (now, s) = (stage.now, stage.chain.settlement.clone());
        let until = now + 10;
        let set = stage.settle(0, &[1, 2, 3], None, until);
        // Worker 4 was told that commit and reveal are in.
        stage.acks(0, 4, set.root);
        let second = stage.settle(1, &[1, 2, 3], None, until);
        stage.say(Said::CommitSet(CommitSet { n: 4, ..second.clone() }));
        stage.say(Said::CommitSet(second));
        let (one, other) = (stage.assign(2, 1, until), stage.assign(2, 1, until + 1));
        stage.say(Said::Assign(one));
        stage.say(Said::Assign(other));
        let third = stage.settle(2, &[1, 2, 3], None, until);
        stage.say(Said::CommitSet(third));
        let fourth = stage.give_up(3, &[1, 2, 3]);
        stage.acks(3, 1, fourth.root);
        stage.give_up(4, &[1, 2, 3]);
        s.chain().warp(101_000).await.expect("a warp");
        let batch = stage.commit().await;
        let found = convincing(&stage, batch).await;
        let expected = [
            "a denied set",
            "a short set",
            "a stored result given up",
            "an omitted commit",
            "an omitted reveal",
            "two assignments",
            "two sets",
        ];
        assert_eq!(found, expected.into());
    });
}

#[test]
fn words_that_were_kept_prove_nothing() {
    on_runtime(async {
        let mut stage = Stage::set().await;
        let until = stage.now + 1_000;
        for task_idx in 0..3 {
            let set = stage.settle(task_idx, &[1, 2, 3], (task_idx == 1).then_some(2), until);
            for worker in [1, 3] {
                stage.acks(task_idx, worker, set.root);
                let assign = stage.assign(task_idx, worker, until);
                stage.say(Said::Assign(assign));
            }
            // The same once more, with a later end.
            stage.say(Said::CommitSet(CommitSet { reveal_deadline: until + 5, ..set.clone() }));
            stage.say(Said::CommitSet(set));
        }
        stage.chain.settlement.chain().warp(1_000 + 2 * SLACK_S).await.expect("a warp");
        let batch = stage.commit().await;
        assert_eq!(convincing(&stage, batch).await, BTreeSet::new());
    });
}
