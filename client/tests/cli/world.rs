//! A small pool made by hand: real keys, votes, batches and receipts from the scheduler's own books,
//! without a scheduler. Three workers, one order; what each task's votes are is the test's to say.

use quorate_client::{
    directory::{self, AnchorBatch, AnchorFile, BatchState, OrderFile},
    place,
};
use quorate_common::{
    Address, B256,
    accounts::Vote,
    api::PlaceOrder,
    bag::{Bag, Limits, Task},
    digest::Digest,
    frame::FrameTree,
    ids::{DealSlot, PoolId, REPLICAS_MAX, WorkerIdx},
    keccak256,
    keys::VoteKey,
    manifest::{Ended, Entry, Manifest},
    merkle::{SET_DEPTH, Tree},
    messages::{
        Commit, Domain, Header, Message as _, PoolOrder, ReqOrder, Reveal, Separator, Word as _,
    },
    terms::DealTerms,
};
use quorate_grid::{
    audit,
    deal::{Opened, money},
    evidence::{Receipt, Seal},
    ledger::{Identity, Ledger, Settling},
    poco::{Ballot, Outcome, decided},
    task::SetRec,
};
use std::{collections::BTreeMap, fs, path::Path};

/// One token.
const ONE: u128 = 10_u128.pow(18);

/// The pool's chain and contract.
pub(crate) fn domain() -> Domain {
    Domain { chain_id: 31_337, contract: Address::repeat_byte(0x5f) }
}

/// What a task wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrote {
    pub(crate) stdout: &'static str,
    pub(crate) files: Vec<(&'static str, &'static str)>,
}

impl Wrote {
    pub(crate) fn manifest(&self) -> Manifest {
        let entry = |text: &str| Entry::of(text.as_bytes());
        Manifest {
            ended: Ended::Exit(0),
            fuel: 1_234,
            stdout: (!self.stdout.is_empty()).then(|| entry(self.stdout)),
            files: self
                .files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), entry(text)))
                .collect(),
        }
    }

    /// Every blob of the result by its digest, the manifest included.
    pub(crate) fn blobs(&self) -> BTreeMap<Digest, Vec<u8>> {
        let texts = self.files.iter().map(|(_, text)| (*text).to_owned());
        let all = texts.chain([self.stdout.to_owned(), self.manifest().encode()]);
        all.map(|text| (Digest::of(text.as_bytes()), text.into_bytes())).collect()
    }
}

/// What one worker does with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ballots {
    Honest,
    Liar,
    Mute,
}

/// The pool and its order.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) separator: Separator,
    pub(crate) placed: PlaceOrder,
    pub(crate) bag: Vec<u8>,
    pub(crate) wrote: Vec<Wrote>,
    ledger: Ledger,
    deal: Opened,
    signer: VoteKey,
}

impl World {
    /// An order of one task per result.
    pub(crate) fn new(wrote: Vec<Wrote>) -> Self {
        let requester = quorate_chain::Signer::from_secret(&[0x77; 32]).unwrap();
        let app = Digest::of(b"\0asm");
        let task = |n: usize| Task { args: vec![n.to_string()], ..Task::default() };
        let bag = Bag {
            schema: quorate_common::bag::SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: vec![],
            tasks: (0..wrote.len()).map(task).collect(),
        };
        let bag = bag.to_bytes();
        let req = ReqOrder {
            requester: requester.address(),
            app: app.word(),
            params: Digest::of(&bag).word(),
            pool_restrict: PoolId(1).restrict(),
            max_unit_price: ONE,
            tasks: u32::try_from(wrote.len()).unwrap(),
            trust: 2,
            replicas: 5,
            max_task_time: 60,
            expiry: 2_000_000_000,
            deadline: 2_000_000_000,
            salt: B256::repeat_byte(0x33),
            ..ReqOrder::default()
        };
        Self::of(place::sign(req, &domain(), &requester), bag, wrote)
    }

    /// The pool with somebody's order.
    pub(crate) fn of(placed: PlaceOrder, bag: Vec<u8>, wrote: Vec<Wrote>) -> Self {
        let pool = PoolOrder {
            pool: PoolId(1),
            unit_price: ONE,
            tasks: 1_000_000,
            trust: 1_000,
            stake_ratio: 30,
            scheduler_ratio: 10,
            max_task_time: 600,
            expiry: 2_000_000_000,
            salt: B256::repeat_byte(0x44),
            ..PoolOrder::default()
        };
        let terms = DealTerms::of(&placed.req, &pool, 0, placed.req.tasks);
        let deal = Opened { slot: DealSlot(0), terms };
        let signer = VoteKey::from_bytes(&[0x99; 32]).unwrap();
        let ledger = Ledger::new(PoolId(1));
        let domain = domain();
        Self { domain, separator: domain.separator(), placed, bag, wrote, ledger, deal, signer }
    }

    pub(crate) fn order(&self) -> B256 {
        self.placed.req.struct_hash()
    }

    /// Settles a task by these votes, in one round.
    pub(crate) fn settle(&mut self, task_idx: u32, ballots: &[Ballots]) {
        assert!(ballots.len() <= REPLICAS_MAX);
        let deal_id = self.deal.id();
        let task_id = deal_id.task_id(task_idx);
        let right = Digest(self.wrote[task_idx as usize].manifest().digest()).word();
        let digest = |ballot: Ballots| match ballot {
            Ballots::Liar => keccak256("a lie"),
            Ballots::Honest | Ballots::Mute => right,
        };
        let workers: Vec<(WorkerIdx, VoteKey, Ballots)> =
            (1..).zip(ballots).map(|(idx, ballot)| (WorkerIdx(idx), key(idx), *ballot)).collect();
        let salt = |worker: WorkerIdx| keccak256([task_id.0, worker.word()].as_flattened());
        let commitment = |(worker, _, ballot): &(WorkerIdx, VoteKey, Ballots)| {
            self.separator.commitment(task_id, 0, *worker, digest(*ballot), salt(*worker))
        };
        let leaves: Vec<B256> = workers
            .iter()
            .map(|vote| keccak256([vote.0.word(), commitment(vote).0].as_flattened()))
            .collect();
        let root = Tree::new(SET_DEPTH, leaves).root();
        let n = u8::try_from(workers.len()).unwrap();
        let sets =
            if n == 0 { vec![] } else { vec![SetRec { root, n, reveal_deadline: 1_900_000_000 }] };
        let votes: Vec<_> = workers
            .iter()
            .map(|vote| {
                let (worker, key, ballot) = vote;
                let revealed = (*ballot != Ballots::Mute).then(|| digest(*ballot));
                let (pool, attempt) = (PoolId(1), 0);
                let (hash, salt) = match revealed {
                    Some(digest) => {
                        let (set_root, salt) = (root, salt(*worker));
                        let reveal = Reveal { pool, task_id, attempt, set_root, digest, salt };
                        (reveal.struct_hash(), salt)
                    }
                    None => {
                        let commitment = commitment(vote);
                        let commit = Commit { pool, task_id, attempt, commitment };
                        (commit.struct_hash(), commitment)
                    }
                };
                let identity = Identity { owner: owner(worker.0), vote_key: key.address() };
                let ballot = Ballot { score: self.ledger.score(*worker), digest: revealed };
                (*worker, identity, self.vote(*worker, key, hash, revealed, salt), ballot)
            })
            .collect();
        let judged: Vec<Ballot> = votes.iter().map(|(.., ballot)| *ballot).collect();
        let winner = decided(&money(&self.deal.terms), &judged);
        let outcome = if winner.is_some() { Outcome::Consensus } else { Outcome::NoQuorum };
        let deal = self.deal.clone();
        let settling =
            Settling { deal, deal_id, task_idx, attempt: 0, outcome, winner, sets, votes };
        self.ledger.settle(1, settling);
    }

    /// Closes the batch.
    pub(crate) fn close(&mut self) {
        self.ledger.close();
    }

    /// Headers of the closed batches.
    pub(crate) fn headers(&self) -> Vec<Header> {
        self.ledger.closed.values().map(|closed| closed.header.clone()).collect()
    }

    /// Every receipt, by task.
    pub(crate) fn receipts(&self) -> BTreeMap<u32, Receipt> {
        let mut receipts = BTreeMap::new();
        for closed in self.ledger.closed.values() {
            let file = closed.file.as_ref().unwrap();
            let sign = |hash: B256| self.signer.sign(self.separator.digest(hash));
            let frames = audit::seal_hashes(file);
            let sets =
                frames.iter().map(|hashes| sign(FrameTree::new(hashes).struct_hash())).collect();
            let seal = Seal { header: sign(closed.header.struct_hash()), sets };
            for receipt in audit::receipts(&self.domain, &closed.header, file, &seal).unwrap() {
                let receipt = receipt.unwrap();
                receipts.insert(receipt.rec.task_idx, receipt);
            }
        }
        receipts
    }

    /// Writes the folder `quorate run -o` would have written.
    pub(crate) fn write(&self, dir: &Path) {
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let order = OrderFile {
            schema: OrderFile::SCHEMA.into(),
            domain: self.domain,
            order: self.order(),
            req: self.placed.req.clone(),
            signature: Some(self.placed.signature.clone()),
        };
        put(directory::ORDER, &directory::encode(&order));
        put(directory::BAG, &self.bag);
        let batch = |header: &Header| AnchorBatch {
            index: header.index,
            hash: header.struct_hash(),
            state: BatchState::Final,
        };
        let anchor = AnchorFile {
            schema: AnchorFile::SCHEMA.into(),
            domain: self.domain,
            batches: self.headers().iter().map(batch).collect(),
        };
        put(directory::ANCHOR, &directory::encode(&anchor));
        for (idx, receipt) in self.receipts() {
            put(&directory::receipt(idx), receipt.to_json().as_bytes());
            if receipt.rec.winner_digest.is_zero() {
                continue;
            }
            let (below, wrote) = (directory::result(idx), &self.wrote[idx as usize]);
            put(&format!("{below}/{}", directory::MANIFEST), wrote.manifest().encode().as_bytes());
            if !wrote.stdout.is_empty() {
                put(&format!("{below}/{}", directory::STDOUT), wrote.stdout.as_bytes());
            }
            for (path, text) in &wrote.files {
                put(&format!("{below}/{}/{path}", directory::FILES), text.as_bytes());
            }
        }
    }

    /// A vote in a frame of two messages, so that its path has a step.
    fn vote(
        &self,
        worker: WorkerIdx,
        key: &VoteKey,
        hash: B256,
        revealed: Option<B256>,
        salt: B256,
    ) -> Vote {
        let frame = FrameTree::new(&[keccak256("another message"), hash]);
        let signature = key.sign(self.separator.digest(frame.struct_hash()));
        Vote {
            worker: worker.0,
            attempt: 0,
            digest: revealed.unwrap_or_default(),
            salt,
            frame_index: 1,
            frame_count: 2,
            path: frame.path(1),
            r: signature.r,
            vs: signature.vs,
        }
    }
}

fn key(worker: u32) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(worker).unwrap(); 32]).unwrap()
}

fn owner(worker: u32) -> Address {
    Address::repeat_byte(u8::try_from(0xa0 + worker).unwrap())
}
