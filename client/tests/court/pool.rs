//! A pool whose scheduler settles as it likes, on a development chain: real workers, deals, votes and
//! batches, of which the second can be changed before it is signed and committed.

use quorate_chain::{
    Outbox, Signer,
    court::{Court, Proof},
    settlement::{Orders, Signed},
};
use quorate_client::watch::brief::{Brief, Committed};
use quorate_common::{
    B256,
    accounts::{Vote, votes_hash},
    anchor::Opening,
    frame,
    ids::{DealSlot, PoolId, WorkerIdx},
    keccak256,
    keys::{NodeKey, VoteKey},
    merkle::{SET_DEPTH, TASKS_DEPTH, Tree},
    messages::{Commit, Header, Message as _, PoolOrder, ReqOrder, Reveal, Separator, Word as _},
    terms::DealTerms,
};
use quorate_grid::{
    audit::{Accusation, Books, Registry},
    deal::{Opened, money},
    evidence::BatchFile,
    ledger::{Identity, Ledger, Settling},
    poco::{Ballot, Outcome, decided},
    task::SetRec,
};
use quorate_scheduler::dev::{self, DevChain};
use std::sync::atomic::{AtomicU8, Ordering};

/// Workers on the chain; the sixth has never voted before the second batch.
const WORKERS: u32 = 6;
const PRICE: u128 = 1_000;
const PURSE: u128 = 1_000_000_000;

/// The chain, its court and everybody but the pools.
pub(crate) struct Sides {
    pub(crate) chain: DevChain,
    pub(crate) court: Court,
    requester: Signer,
    identities: Vec<Identity>,
    pools: AtomicU8,
}

/// See the module.
pub(crate) struct Pool<'a> {
    pub(crate) sides: &'a Sides,
    pub(crate) id: PoolId,
    pub(crate) signer: VoteKey,
    pub(crate) separator: Separator,
    pub(crate) deal: Opened,
    ledger: Ledger,
    books: Books,
    /// The first batch, which is honest.
    pub(crate) first: Committed,
    /// The second.
    pub(crate) batch: Committed,
    file: Option<BatchFile>,
}

impl Sides {
    pub(crate) async fn start() -> Self {
        let chain = DevChain::start(None).await.unwrap();
        let requester = dev::account(1);
        chain.fund(&requester, PURSE).await.unwrap();
        let mut identities = Vec::new();
        for n in 1..=WORKERS {
            let owner = dev::account(100 + n);
            chain.fund(&owner, 1).await.unwrap();
            let node_key = NodeKey::from_bytes(&[u8::try_from(n).unwrap(); 32]);
            let worker = chain.register_worker(&owner, &node_key, &key(n)).await.unwrap();
            assert_eq!(worker, WorkerIdx(n));
            identities.push(Identity { owner: owner.address(), vote_key: key(n).address() });
        }
        let court = Court::connect(&chain.settlement).await.unwrap();
        Self { chain, court, requester, identities, pools: AtomicU8::new(0) }
    }

    /// A funded sender.
    pub(crate) async fn outbox(&self, n: u32) -> Outbox {
        let account = dev::account(n);
        self.chain.fund(&account, 1).await.unwrap();
        let outbox = self.chain.outbox(account);
        let free = self.chain.settlement.free_of(outbox.account()).await.unwrap();
        outbox.send(self.chain.settlement.withdraw(free)).await.unwrap();
        outbox
    }
}

pub(crate) fn key(n: u32) -> VoteKey {
    VoteKey::from_bytes(&keccak256(format!("vote key {n}")).0).unwrap()
}

impl<'a> Pool<'a> {
    /// Registers a pool and opens a deal with it.
    pub(crate) async fn open(sides: &'a Sides) -> Self {
        let n = sides.pools.fetch_add(1, Ordering::Relaxed);
        let signer = VoteKey::from_bytes(&keccak256(format!("pool {n}")).0).unwrap();
        let s = &sides.chain.settlement;
        // A bond of its own for each: the bank has enough for one of the development pool's size.
        let operator = sides.chain.outbox(sides.chain.bank.clone());
        let bond = 1_000_000;
        operator.send(s.approve(bond.try_into().unwrap())).await.unwrap();
        operator.send(s.deposit(bond)).await.unwrap();
        let node_key = keccak256(format!("node {n}"));
        operator.send(s.register_pool(signer.address(), node_key, bond)).await.unwrap();
        let id = PoolId(s.pools().await.unwrap());
        let separator = s.separator();
        let deal = open_deal(sides, id, &signer, n).await;
        let ledger = Ledger::new(id);
        let nothing = || Committed { header: empty(id), opening: Opening::default() };
        let (first, batch, books) = (nothing(), nothing(), Books::new(id));
        Self { sides, id, signer, separator, deal, ledger, books, first, batch, file: None }
    }

    /// The first batch is committed, the second closed.
    pub(crate) async fn settle_two_batches(&mut self) {
        self.settle(0, &[(1, 'a'), (2, 'a'), (3, 'a')]);
        self.settle(1, &[(4, 'a'), (5, 'a'), (1, 'a')]);
        self.ledger.close();
        let (header, file) = self.closed(1);
        self.books.replay(&self.separator, None, &header, &file, None).unwrap();
        self.batch.header = header;
        self.commit(file).await;
        self.first = self.committed();
        self.settle(2, &[(1, 'a'), (2, 'a'), (3, 'a')]);
        self.settle(3, &[(1, 'a'), (2, 'b'), (3, 'a'), (4, 'a'), (5, 'a')]);
        self.settle(4, &[(1, 'a'), (6, 'a'), (3, 'a')]);
        self.settle(5, &[(1, 'a'), (2, 'b'), (3, '-')]);
        self.ledger.close();
    }

    /// The first batch's evidence.
    pub(crate) fn first_file(&self) -> BatchFile {
        self.closed(1).1
    }

    /// The second batch, changed, and everything that follows from the change made to fit it.
    pub(crate) fn draft(&mut self, change: impl FnOnce(&mut BatchFile)) -> BatchFile {
        let (mut header, mut file) = self.closed(2);
        change(&mut file);
        for task in &mut file.tasks {
            let roots: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
            task.rec.votes_hash = votes_hash(&roots, &task.votes);
        }
        let last = &file.tasks.last().unwrap().rec;
        header.state_root = last.post_state_root;
        (header.payout, header.fees) = (last.run_payout, last.run_fees);
        (header.royalties, header.slashed) = (last.run_royalties, last.run_slash);
        header.cum_fees = self.first.header.cum_fees + header.fees;
        let leaves = file.tasks.iter().map(|task| task.rec.leaf()).collect();
        header.tasks_root = Tree::new(TASKS_DEPTH, leaves).root();
        header.evidence = file.digest().word();
        self.batch.header = header;
        self.file = Some(file.clone());
        file
    }

    /// Signs and commits the batch.
    pub(crate) async fn commit(&mut self, file: BatchFile) {
        let s = &self.sides.chain.settlement;
        let header = &self.batch.header;
        let signature = self.signer.sign(self.separator.digest(header.struct_hash()));
        let gas = self.sides.chain.outbox(dev::gas());
        gas.send(s.commit_batch(header, &signature)).await.unwrap();
        self.batch.opening = s.opening(self.id, header.index).await.unwrap().unwrap();
        self.file = Some(file);
    }

    /// The second batch as it was committed.
    pub(crate) fn committed(&self) -> Committed {
        self.batch.clone()
    }

    /// What the watcher finds.
    pub(crate) fn accuse(&self) -> Accusation {
        let file = self.file.as_ref().unwrap();
        self.books.accuse(&self.separator, &self.registry(), &self.batch.header, file)
    }

    /// Every step of an honest batch, as if it were wrong.
    pub(crate) fn steps(&self, file: &BatchFile) -> Vec<Accusation> {
        let wrong = |place: usize| {
            let mut changed = file.clone();
            changed.tasks[place].rec.reward += 1;
            let leaves = changed.tasks.iter().map(|task| task.rec.leaf()).collect();
            let mut header = self.batch.header.clone();
            header.tasks_root = Tree::new(TASKS_DEPTH, leaves).root();
            let found = self.books.accuse(&self.separator, &self.registry(), &header, &changed);
            let Accusation::Step(fault, mut step) = found else { panic!("{found:?}") };
            // The honest leaf with the honest path, everything else as it was collected.
            let honest: Vec<B256> = file.tasks.iter().map(|task| task.rec.leaf()).collect();
            step.leaf.rec = file.tasks[place].rec.clone();
            let tree = Tree::new(TASKS_DEPTH, honest);
            step.leaf.path = tree.path(place as u64);
            if let Some(before) = place.checked_sub(1) {
                step.before = Some(file.tasks[before].rec.clone());
                let mut link = tree.path(before as u64);
                link.truncate(place.trailing_zeros() as usize);
                step.link = link;
            }
            Accusation::Step(fault, step)
        };
        (0..file.tasks.len()).map(wrong).collect()
    }

    /// A proof that convinces the court.
    pub(crate) async fn convincing(&self) -> Proof {
        let accusation = self.accuse();
        let (batch, before) = (&self.committed(), Some(&self.first));
        let brief = Brief { batch, before, accusation: &accusation };
        let mut answers = Vec::new();
        for proof in brief.proofs(&self.sides.court) {
            match self.sides.court.convinces(&proof).await.unwrap() {
                Ok(()) => return proof,
                Err(why) => answers.push(format!("{}: {why}", proof.what)),
            }
        }
        panic!("nothing convinces of {accusation:?}: {answers:#?}");
    }

    /// Some proof convinces the court of this change.
    pub(crate) async fn convict(&self, name: &str) {
        let proof = self.convincing().await;
        println!("{name}: proven by {} ({} bytes)", proof.what, proof.data.len());
    }

    fn registry(&self) -> Registry {
        let workers = (1..).zip(self.sides.identities.iter().copied()).collect();
        let deals = [(self.deal.id(), self.deal.clone())].into();
        Registry { workers, deals }
    }

    fn closed(&self, index: u64) -> (Header, BatchFile) {
        self.ledger.unsealed_at(index).unwrap()
    }

    /// Settles a task by these votes, in one round: what was voted, `-` for nothing revealed.
    fn settle(&mut self, task_idx: u32, said: &[(u32, char)]) {
        let deal_id = self.deal.id();
        let task_id = deal_id.task_id(task_idx);
        let digest = |what: char| keccak256(what.to_string());
        let salt = |worker: u32| keccak256([task_id.0, worker.word()].as_flattened());
        let commitment = |(worker, what): (u32, char)| {
            let (idx, salt) = (WorkerIdx(worker), salt(worker));
            self.separator.commitment(task_id, 0, idx, digest(what), salt)
        };
        let leaf =
            |vote: &(u32, char)| keccak256([vote.0.word(), commitment(*vote).0].as_flattened());
        let root = Tree::new(SET_DEPTH, said.iter().map(leaf).collect()).root();
        let n = u8::try_from(said.len()).unwrap();
        let (pool, attempt, set_root) = (self.id, 0, root);
        let vote = |&(worker, what): &(u32, char)| {
            let revealed = (what != '-').then(|| digest(what));
            let (hash, shown) = if let Some(digest) = revealed {
                let salt = salt(worker);
                let reveal = Reveal { pool, task_id, attempt, set_root, digest, salt };
                (reveal.struct_hash(), salt)
            } else {
                let commitment = commitment((worker, what));
                (Commit { pool, task_id, attempt, commitment }.struct_hash(), commitment)
            };
            let signature = frame::sign(&key(worker), &self.separator, &[hash]);
            let vote = Vote {
                worker,
                attempt,
                digest: revealed.unwrap_or_default(),
                salt: shown,
                frame_index: 0,
                frame_count: 1,
                path: Vec::new(),
                r: signature.r,
                vs: signature.vs,
            };
            let score = self.ledger.score(WorkerIdx(worker));
            let identity = self.sides.identities[worker as usize - 1];
            (WorkerIdx(worker), identity, vote, Ballot { score, digest: revealed })
        };
        let votes: Vec<_> = said.iter().map(vote).collect();
        let ballots: Vec<Ballot> = votes.iter().map(|(.., ballot)| *ballot).collect();
        let winner = decided(&money(&self.deal.terms), &ballots);
        let outcome = if winner.is_some() { Outcome::Consensus } else { Outcome::NoQuorum };
        let sets = vec![SetRec { root, n, reveal_deadline: 1 }];
        let deal = self.deal.clone();
        let settling =
            Settling { deal, deal_id, task_idx, attempt: 0, outcome, winner, sets, votes };
        self.ledger.settle(1, settling);
    }
}

async fn open_deal(sides: &Sides, id: PoolId, signer: &VoteKey, n: u8) -> Opened {
    let s = &sides.chain.settlement;
    let now = s.chain().head().await.unwrap().timestamp;
    let salt = B256::repeat_byte(n);
    let req = ReqOrder {
        requester: sides.requester.address(),
        app: keccak256("app"),
        params: keccak256("bag"),
        max_unit_price: PRICE,
        tasks: 10,
        trust: 5,
        replicas: 7,
        max_task_time: 60,
        expiry: now + 3_600,
        deadline: now + 3_600,
        salt,
        ..ReqOrder::default()
    };
    let offer = PoolOrder {
        pool: id,
        unit_price: PRICE,
        tasks: 10,
        trust: 10,
        stake_ratio: 30,
        scheduler_ratio: 1,
        max_task_time: 60,
        expiry: now + 3_600,
        salt,
        ..PoolOrder::default()
    };
    let digest = |hash: B256| s.separator().digest(hash);
    let req_signature = sides.requester.sign(digest(req.struct_hash())).to_bytes();
    let offer_signature = signer.sign(digest(offer.struct_hash())).to_bytes();
    let orders = Orders {
        req: Signed { order: &req, signature: &req_signature },
        offer: Signed { order: &offer, signature: &offer_signature },
        app: None,
        dataset: None,
        sponsor: None,
    };
    sides.chain.outbox(dev::gas()).send(s.open_deal(&orders, 10)).await.unwrap();
    // Slashes must find a stake: some of every worker's, in this pool.
    for worker in 1..=WORKERS {
        let owner = dev::account(100 + worker);
        sides.chain.fund(&owner, 10_000).await.unwrap();
        sides.chain.stake(&owner, id, WorkerIdx(worker), 10_000).await.unwrap();
    }
    Opened { slot: DealSlot(0), terms: DealTerms::of(&req, &offer, 0, 10) }
}

/// Stands for a batch that is not there yet.
fn empty(pool: PoolId) -> Header {
    Header { pool, ..Header::default() }
}
