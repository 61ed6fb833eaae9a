//! A chain: blocks, finality, reorganisations, a mempool that drops, and as much of the contract as pools
//! need: deals with their locks, batches with their window, the inbox. It checks what the contract checks
//! and pays what the contract pays; gas, orders' matching and fraud proofs it has not.

use crate::dice::Dice;
use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    anchor::Opening,
    frame::FrameProof,
    ids::{DealId, DealSlot, PoolId, WorkerIdx},
    keys::{Signature, recover},
    messages::{CommitSet, Header, Message as _, Reveal, Separator},
    terms::DealTerms,
};
use quorate_grid::deal::Opened;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Unix second of the first block.
pub const START_S: u64 = 1_700_000_000;

/// Something sent to the contract.
#[derive(Clone, Debug)]
pub enum Tx {
    /// Brings an order's deal on chain.
    Open(Box<DealTerms>),
    /// A worker asks for its stake.
    Exit(WorkerIdx),
    /// A batch.
    Commit(Box<Header>, Signature),
    /// The window of a batch is over.
    Finalize(u64),
    /// A reveal.
    Vote(Box<(Reveal, FrameProof)>),
    /// A worker was never shown its set.
    Demand {
        /// Which task.
        task_id: B256,
        /// Which round.
        attempt: u16,
        /// Who.
        worker: WorkerIdx,
    },
    /// A set, said on chain.
    Answer(Box<(CommitSet, FrameProof)>),
}

/// What the contract said.
#[derive(Clone, Debug)]
pub enum Event {
    /// A worker asked for its stake.
    Exiting(WorkerIdx),
    /// A deal was opened.
    Deal(Box<Opened>),
    /// A deal was refused: its lock is not paid for.
    Refused(B256),
    /// A batch is on chain.
    Committed(Box<Header>, Opening),
    /// A batch pays.
    Final(u64),
    /// A reveal was said, at this second.
    Vote(Box<(Reveal, FrameProof)>, u64),
    /// A demand was made, at this second.
    Demand {
        /// Which task.
        task_id: B256,
        /// Which round.
        attempt: u16,
        /// Who.
        worker: WorkerIdx,
        /// Unix seconds.
        at_s: u64,
    },
    /// A set was shown, at this second.
    Set(Box<(CommitSet, FrameProof)>, u64),
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Unix seconds.
    pub time_s: u64,
    /// What happened in it.
    pub events: Arc<Vec<Event>>,
    txs: Vec<Tx>,
    before: Contract,
}

/// A batch on chain.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its header.
    pub header: Header,
    /// What the contract keeps of it.
    pub opening: Opening,
    /// Entries of the inbox it is bound to.
    pub inbox: usize,
}

/// The contract's state.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    /// Every deal, by slot.
    pub deals: Vec<(DealId, DealSlot)>,
    /// Batches, the first has index 1.
    pub batches: Vec<Arc<Batch>>,
    /// How many of them are final.
    pub finalized: u64,
    /// Token units locked by deals.
    pub locked: u128,
    /// Number of inbox entries.
    pub inbox: usize,
}

/// The chain.
#[derive(Debug)]
pub struct Chain {
    separator: Separator,
    signer: Address,
    pool: PoolId,
    window_s: u64,
    /// Deals that cannot pay, by their request.
    pub unfunded: Vec<B256>,
    /// All blocks since the first.
    pub blocks: Vec<Block>,
    /// The state at the head.
    pub contract: Contract,
    mempool: VecDeque<Tx>,
    finality: u64,
    /// The newest block that was ever final: nothing up to it is undone.
    firm: u64,
    /// Tasks of which an answer was undone that had stood for `SLACK`: a chain that takes back what is so old is
    /// outside of what the protocol promises. With production's quarter of an hour none does here.
    pub unsaid: BTreeSet<B256>,
}

impl Event {
    /// The task whose set it shows.
    fn answers(&self) -> Option<B256> {
        match self {
            Self::Set(shown, _) => Some(shown.0.task_id),
            _ => None,
        }
    }
}

impl Chain {
    /// A chain with one empty block.
    pub fn new(
        separator: Separator,
        signer: Address,
        pool: PoolId,
        finality: u64,
        window_s: u64,
    ) -> Self {
        let before = Contract::default();
        let genesis = Block {
            number: 0,
            hash: keccak256("genesis"),
            time_s: START_S,
            events: Arc::default(),
            txs: Vec::new(),
            before,
        };
        Self {
            separator,
            signer,
            pool,
            window_s,
            unfunded: Vec::new(),
            blocks: vec![genesis],
            contract: Contract::default(),
            mempool: VecDeque::new(),
            finality,
            firm: 0,
            unsaid: BTreeSet::new(),
        }
    }

    /// The newest block.
    pub fn head(&self) -> &Block {
        self.blocks.last().expect("there is a first block")
    }

    /// Number of the newest final block.
    pub fn final_number(&self) -> u64 {
        self.firm
    }

    /// Sends a transaction; the caller decides whether it was dropped.
    pub fn submit(&mut self, tx: Tx) {
        self.mempool.push_back(tx);
    }

    /// Makes a block at `unix_s`.
    pub fn mine(&mut self, unix_s: u64, dice: &mut Dice) {
        let (number, time_s) = (self.head().number + 1, unix_s.max(self.head().time_s));
        let hash = keccak256([self.head().hash, dice.word()].concat());
        let (before, mut events) = (self.contract.clone(), Vec::new());
        let txs: Vec<Tx> = self.mempool.drain(..).collect();
        for tx in &txs {
            events.extend(self.execute(tx, time_s));
        }
        let events = Arc::new(events);
        self.blocks.push(Block { number, hash, time_s, events, txs, before });
        self.firm = self.firm.max(number.saturating_sub(self.finality));
        // What a final block was before is not needed any more.
        let old = &mut self.blocks[self.firm as usize];
        (old.before, old.txs) = (Contract::default(), Vec::new());
    }

    /// Undoes the last `depth` blocks. Their transactions wait again, those that `keep` keeps.
    pub fn undo(&mut self, depth: u64, slack_s: u64, mut keep: impl FnMut() -> bool) {
        let mut again = Vec::new();
        let head_s = self.head().time_s;
        for _ in 0..depth.min(self.head().number - self.firm) {
            let Some(block) = self.blocks.pop() else { break };
            if head_s - block.time_s >= slack_s {
                self.unsaid.extend(block.events.iter().filter_map(Event::answers));
            }
            self.contract = block.before;
            again.splice(0..0, block.txs);
        }
        again.retain(|_| keep());
        for tx in again.into_iter().rev() {
            self.mempool.push_front(tx);
        }
    }

    fn execute(&mut self, tx: &Tx, time_s: u64) -> Option<Event> {
        match tx {
            Tx::Open(terms) => self.open(terms),
            Tx::Exit(worker) => Some(Event::Exiting(*worker)),
            Tx::Commit(header, signature) => self.commit(header, signature, time_s),
            Tx::Finalize(index) => self.finalize(*index, time_s),
            Tx::Vote(vote) => {
                self.contract.inbox += 1;
                Some(Event::Vote(vote.clone(), time_s))
            }
            Tx::Demand { task_id, attempt, worker } => {
                self.contract.inbox += 1;
                let (task_id, attempt, worker) = (*task_id, *attempt, *worker);
                Some(Event::Demand { task_id, attempt, worker, at_s: time_s })
            }
            Tx::Answer(set) => {
                self.contract.inbox += 1;
                Some(Event::Set(set.clone(), time_s))
            }
        }
    }

    /// An order is filled once; who cannot pay is refused.
    fn open(&mut self, terms: &DealTerms) -> Option<Event> {
        let id = terms.id();
        if self.contract.deals.iter().any(|(known, _)| *known == id) {
            return None;
        }
        if self.unfunded.contains(&terms.req_hash) {
            return Some(Event::Refused(terms.req_hash));
        }
        let slot = DealSlot(self.contract.deals.len() as u32);
        self.contract.deals.push((id, slot));
        self.contract.locked += terms.price() * u128::from(terms.tasks);
        Some(Event::Deal(Box::new(Opened { slot, terms: terms.clone() })))
    }

    /// As the contract's `commitBatch`: the pool's next, on its last, signed by its signer.
    fn commit(&mut self, header: &Header, signature: &Signature, time_s: u64) -> Option<Event> {
        let parent = self.contract.batches.last().map(|batch| batch.opening.header_hash);
        let next = self.contract.batches.len() as u64 + 1;
        let fits = header.index == next && header.parent == parent.unwrap_or_default();
        let hash = header.struct_hash();
        let signed = recover(self.separator.digest(hash), signature) == Some(self.signer);
        if !fits || !signed || header.pool != self.pool {
            return None;
        }
        let opening = Opening {
            state_root: header.state_root,
            header_hash: hash,
            committed_at: time_s,
            inbox: B256::left_padding_from(&self.contract.inbox.to_be_bytes()),
        };
        let inbox = self.contract.inbox;
        self.contract.batches.push(Arc::new(Batch { header: header.clone(), opening, inbox }));
        Some(Event::Committed(Box::new(header.clone()), opening))
    }

    fn finalize(&mut self, index: u64, time_s: u64) -> Option<Event> {
        let batch = self.contract.batches.get(usize::try_from(index.checked_sub(1)?).ok()?)?;
        let due = batch.opening.committed_at + self.window_s <= time_s;
        if index != self.contract.finalized + 1 || !due {
            return None;
        }
        self.contract.finalized = index;
        Some(Event::Final(index))
    }

    /// Number, hash and events of the blocks after `number`.
    pub fn news_after(&self, number: u64, at_head: bool) -> Vec<(u64, B256, Arc<Vec<Event>>)> {
        let blocks = self.blocks_after(number, at_head).iter();
        blocks.map(|block| (block.number, block.hash, Arc::clone(&block.events))).collect()
    }

    /// Blocks after `number`, as far as they are final, or up to the head.
    pub fn blocks_after(&self, number: u64, at_head: bool) -> &[Block] {
        let end = if at_head { self.head().number } else { self.final_number() } as usize + 1;
        let start = (number as usize + 1).min(end);
        &self.blocks[start..end]
    }

    /// Everything said in the inbox up to the head, with the time of each block.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.blocks.iter().flat_map(|block| block.events.iter())
    }

    /// Events by their kind, for a batch's header: the blocks are few, so no index is kept.
    pub fn committed(&self, index: u64) -> Option<&Arc<Batch>> {
        self.contract.batches.get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    /// Slots of deals, by id.
    pub fn slots(&self) -> BTreeMap<DealId, DealSlot> {
        self.contract.deals.iter().copied().collect()
    }
}
