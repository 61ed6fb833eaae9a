//! Between the scheduler and the chain, as production's settler does it: orders are opened, batches are
//! checked, sealed, committed and finalized, demands answered, events read; each call may fail and is
//! made again. The rules that guard the second header are here as production has them.

use crate::{
    chain::{Event as Said, Tx},
    law::{Lawful, Violation, hold},
    programs::Program,
    world::{Event, POOL, World},
};
use alloy_primitives::B256;
use quorate_common::{
    frame::{self, FrameTree},
    messages::{CommitSet, Header, Message as _, ReqOrder},
    terms::DealTerms,
    wire,
};
use quorate_grid::{
    Grid, Input,
    audit::{self, Books},
    evidence::{BatchFile, Seal},
    input::{ChainInput, ForcedVote},
    ledger::BatchState,
};
use quorate_journal::disk::Disk as _;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};

/// Milliseconds between two looks at the chain.
const LOOK_MS: u64 = 1_000;
/// Milliseconds after which a transaction that is not mined is sent again.
const AGAIN_MS: u64 = 15_000;

/// What the settler is at.
#[derive(Debug)]
pub(crate) struct Settler {
    /// Orders to be opened, and when they were last sent.
    pub(crate) opens: BTreeMap<B256, (ReqOrder, Option<u64>)>,
    /// Batches to be committed.
    pub(crate) seals: BTreeMap<u64, (Header, Box<BatchFile>)>,
    /// Sets to be shown.
    pub(crate) answers: Vec<(CommitSet, Option<u64>)>,
    /// Blocks read, final ones and up to the head.
    read: u64,
    pub(crate) heard: u64,
    /// The books after the last sealed batch.
    books: Books,
    sent: BTreeMap<(bool, u64), u64>,
}

/// What is kept of a sealed batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sealed {
    header: Header,
    seal: Seal,
    evidence: Vec<u8>,
}

impl Settler {
    /// A settler as its disk has it; the books are those of every sealed batch.
    pub(crate) fn open(world: &World, grid: &Grid) -> Result<Self, Violation> {
        let read = grid.cursor().map_or(0, |(number, _)| number);
        let mut books = world.known_books()?;
        for index in books.head().0 + 1.. {
            let Some(sealed) = world.read_sealed(index)? else { break };
            let file = parse(&sealed.evidence)?;
            let replayed = books.replay(&world.separator, None, &sealed.header, &file, None);
            hold(replayed.is_ok(), "sealed batches replay", || format!("{index}: {replayed:?}"))?;
        }
        Ok(Self {
            opens: BTreeMap::new(),
            seals: BTreeMap::new(),
            answers: Vec::new(),
            read,
            heard: read,
            books,
            sent: BTreeMap::new(),
        })
    }
}

impl World {
    /// One look at the chain.
    pub(crate) fn settle(&mut self, life: u64) -> Lawful {
        if life != self.node.life || self.node.up.is_none() {
            return Ok(());
        }
        self.follow()?;
        self.listen_at_head()?;
        self.open_orders()?;
        self.commit_batches()?;
        self.finalize()?;
        self.answer_demands()?;
        self.later(LOOK_MS, Event::Settle(life));
        Ok(())
    }

    /// Whether a call to the node fails.
    fn call_fails(&mut self) -> bool {
        let rpc = self.plan.faults.rpc;
        let fails = !self.calm && self.dice.chance(rpc);
        if fails {
            self.tally.count("fault: RPC error");
        }
        fails
    }

    fn settler(&mut self) -> Option<&mut Settler> {
        self.node.up.as_mut().map(|up| &mut up.settler)
    }

    /// Events of final blocks.
    fn follow(&mut self) -> Lawful {
        if self.call_fails() {
            return Ok(());
        }
        let Some(from) = self.settler().map(|settler| settler.read) else { return Ok(()) };
        for (number, hash, events) in self.chain.news_after(from, false) {
            for said in events.iter().cloned() {
                self.take_said(said)?;
            }
            if let Some(settler) = self.settler() {
                settler.read = number;
            }
            // A block without news is not worth a record each time.
            if number.is_multiple_of(8) {
                self.tell(Input::Chain(ChainInput::Cursor { block: number, hash }))?;
            }
        }
        Ok(())
    }

    fn take_said(&mut self, said: Said) -> Lawful {
        match said {
            Said::Exiting(worker) => {
                let stake = self.machines.iter().find(|m| m.worker == worker);
                let stake = stake.map_or(0, |machine| machine.person.stake);
                let exiting = true;
                self.tell(Input::Chain(ChainInput::Stake { worker, stake, exiting }))
            }
            Said::Deal(opened) => {
                if let Some(settler) = self.settler() {
                    settler.opens.remove(&opened.terms.req_hash);
                }
                let id = opened.terms.id();
                if let Some(program) = Program::of(id) {
                    self.tally.count(program.name());
                }
                // The bag of one deal in eight comes later than the deal.
                let late = id.0[0] < 32 && !self.calm;
                if late {
                    let opened = opened.clone();
                    self.tell(Input::Chain(ChainInput::Deal { opened, work: None }))?;
                }
                let work = Some(Program::work(id));
                self.tell(Input::Chain(ChainInput::Deal { opened, work }))
            }
            Said::Refused(order) => {
                if let Some(settler) = self.settler() {
                    settler.opens.remove(&order);
                }
                let reason = "the requester cannot pay".into();
                self.tell(Input::OpenFailed { order, reason })
            }
            Said::Committed(header, _) => self.take_committed(&header),
            Said::Final(index) => {
                self.tally.count("outcome: batch final");
                self.tell(Input::Finalized { index })
            }
            Said::Vote(..) | Said::Demand { .. } => self.take_inbox(said),
            Said::Set(..) => Ok(()),
        }
    }

    /// The chain has a batch at this place: it is ours, or our disk is an old one.
    fn take_committed(&mut self, header: &Header) -> Lawful {
        if let Some(known) = self.read_sealed(header.index)?
            && known.header != *header
        {
            return self.halt("another batch than ours is on chain");
        }
        let Some(settler) = self.settler() else { return Ok(()) };
        if let Some((ours, _)) = settler.seals.get(&header.index)
            && ours != header
        {
            return self.halt("the chain has another history than the journal");
        }
        settler.seals.remove(&header.index);
        let index = header.index;
        self.tell(Input::Committed { index })
    }

    /// The program ends for good: it must not sign a second history.
    fn halt(&mut self, why: &str) -> Lawful {
        let law = "a scheduler on its own disk is never stopped by the fence";
        hold(self.node.rolled_back, law, || why.into())?;
        self.tally.count("act: stopped by the anti-rollback fence");
        self.say(|| format!("the scheduler stops for good: {why}"));
        self.die(false);
        self.node.halted = Some(why.into());
        Ok(())
    }

    /// What is said to the pool at the chain's head, which may go again.
    fn listen_at_head(&mut self) -> Lawful {
        if self.call_fails() {
            return Ok(());
        }
        let Some(from) = self.settler().map(|settler| settler.heard) else { return Ok(()) };
        let from = from.min(self.chain.head().number);
        for (number, _, events) in self.chain.news_after(from, true) {
            for said in events.iter().cloned() {
                self.take_inbox(said)?;
            }
            if let Some(settler) = self.settler() {
                settler.heard = number;
            }
        }
        let at_unix_s = self.chain.head().time_s;
        self.node.floor.raise(self.node_now(), at_unix_s);
        self.tell(Input::Chain(ChainInput::Heard { at_unix_s }))
    }

    fn take_inbox(&mut self, said: Said) -> Lawful {
        match said {
            Said::Vote(vote, at_unix_s) => {
                let (reveal, proof) = *vote;
                let signer = proof.signer(&self.separator, reveal.struct_hash());
                let Some(signer) = signer else { return Ok(()) };
                let vote = ForcedVote { reveal, signer, proof, at_unix_s };
                self.tell(Input::Chain(ChainInput::Forced(Box::new(vote))))
            }
            Said::Demand { task_id, attempt, worker, at_s } => {
                let at_unix_s = at_s;
                self.tell(Input::Chain(ChainInput::Demand { task_id, attempt, worker, at_unix_s }))
            }
            _ => Ok(()),
        }
    }

    fn open_orders(&mut self) -> Lawful {
        let t = self.t;
        let Some(settler) = self.settler() else { return Ok(()) };
        let due = |sent: &Option<u64>| sent.is_none_or(|sent| sent + AGAIN_MS <= t);
        let due: Vec<B256> =
            settler.opens.iter().filter(|(_, (_, at))| due(at)).map(|(hash, _)| *hash).collect();
        for hash in due {
            if self.call_fails() {
                continue;
            }
            let Some((req, sent)) = self.settler().and_then(|s| s.opens.get_mut(&hash)) else {
                continue;
            };
            *sent = Some(t);
            let terms = DealTerms::of(req, &offer(req), 0, req.tasks);
            self.submit(Tx::Open(Box::new(terms)));
        }
        Ok(())
    }

    /// The oldest batch that waits: the fence, the check, the seal, the wait, the transaction.
    fn commit_batches(&mut self) -> Lawful {
        let Some((header, file)) =
            self.settler().and_then(|s| s.seals.first_key_value().map(|(_, seal)| seal.clone()))
        else {
            return Ok(());
        };
        if self.call_fails() {
            return Ok(());
        }
        if let Some(there) = self.chain.committed(header.index) {
            // Read at the head: the event says what it is once it is final.
            let other = there.header != header;
            self.forget_committed(header.index);
            return if other { self.halt("the chain has another batch there") } else { Ok(()) };
        }
        let Some(sealed) = self.seal(&header, &file)? else { return Ok(()) };
        let slack_s = self.plan.policy.slack_s;
        if silent_until(&file, slack_s).is_some_and(|until| self.chain.head().time_s < until) {
            return Ok(());
        }
        self.send_once((true, header.index), Tx::Commit(Box::new(header), sealed.seal.header));
        Ok(())
    }

    /// Said to be sealed by a disk that was slow, when the chain had told of it already.
    fn forget_committed(&mut self, index: u64) {
        let Some(up) = &mut self.node.up else { return };
        let closed = up.grid.ledger().closed.get(&index);
        if closed.is_some_and(|closed| closed.state != BatchState::Closed) {
            up.settler.seals.remove(&index);
        }
    }

    fn send_once(&mut self, place: (bool, u64), tx: Tx) {
        let t = self.t;
        let Some(settler) = self.settler() else { return };
        if settler.sent.get(&place).is_none_or(|sent| sent + AGAIN_MS <= t) {
            settler.sent.insert(place, t);
            self.submit(tx);
        }
    }

    /// Checks a batch as a stranger would, signs it and keeps what it signed; one that was signed
    /// before is given as it was, and nothing else is signed in its place.
    fn seal(&mut self, header: &Header, file: &BatchFile) -> Result<Option<Sealed>, Violation> {
        if let Some(known) = self.read_sealed(header.index)? {
            if known.header == *header {
                return Ok(Some(known));
            }
            self.halt("another header was signed there")?;
            return Ok(None);
        }
        let separator = self.separator;
        let Some(settler) = self.settler() else { return Ok(None) };
        if settler.books.head().0 < header.index {
            let checked = settler.books.replay(&separator, None, header, file, None);
            let rolled_back = self.node.rolled_back;
            hold(
                checked.is_ok() || rolled_back,
                "our own batch stands the watcher's check",
                || format!("batch {}: {checked:?}", header.index),
            )?;
            if checked.is_err() {
                self.halt("our own batch does not replay")?;
                return Ok(None);
            }
        }
        if let Some(settler) = self.node.up.as_ref().map(|up| &up.settler) {
            self.node.books = settler.books.clone();
        }
        let sign = |hashes: &Vec<B256>| frame::sign(&self.signer, &separator, hashes);
        let sets = audit::seal_hashes(file).iter().map(sign).collect();
        let seal = Seal { header: self.signer.sign(separator.digest(header.struct_hash())), sets };
        let evidence = file.to_bytes();
        let sealed = Sealed { header: header.clone(), seal, evidence: evidence.clone() };
        if self.write_sealed(&sealed).is_err() {
            self.die(false);
            return Ok(None);
        }
        self.mirror.insert(header.evidence, evidence);
        let on_chain = self.chain.committed(header.index).map(|batch| batch.opening.header_hash);
        let rolled_back = self.node.rolled_back;
        if self.watcher.signed(header, sealed.seal.clone(), on_chain, rolled_back)? {
            self.tally.count("act: second header, of one nobody had seen, by an old disk");
        }
        self.say(|| format!("batch {} of {} tasks is signed", header.index, header.count));
        Ok(Some(sealed))
    }

    /// The books of the last check, if its batches are those of the disk: production repeats them all at
    /// each start, and a world with many starts would do little else.
    fn known_books(&self) -> Result<Books, Violation> {
        let (index, hash) = self.node.books.head();
        let sealed = self.read_sealed(index)?.map(|sealed| sealed.header.struct_hash());
        Ok(if sealed == Some(hash) { self.node.books.clone() } else { Books::new(POOL) })
    }

    fn read_sealed(&self, index: u64) -> Result<Option<Sealed>, Violation> {
        let broken = |what: String| Violation { law: "a sealed batch is read again", what };
        let Ok(file) = self.node.vault.open(&vault_name(index)) else { return Ok(None) };
        let bytes = file.bytes().map_err(|error| broken(error.to_string()))?;
        let mut buffer = vec![0; bytes as usize];
        file.read_at(0, &mut buffer).map_err(|error| broken(error.to_string()))?;
        wire::decode(&buffer).map(Some).map_err(|error| broken(format!("{index}: {error}")))
    }

    fn write_sealed(&self, sealed: &Sealed) -> io::Result<()> {
        let (name, bytes) = (vault_name(sealed.header.index), wire::to_bytes(sealed));
        let vault = &self.node.vault;
        let file = vault.create("unborn", bytes.len() as u64)?;
        file.write_at(0, &bytes)?;
        file.sync()?;
        vault.rename("unborn", &name)?;
        vault.sync_dir()
    }

    fn finalize(&mut self) -> Lawful {
        if self.call_fails() {
            return Ok(());
        }
        let index = self.chain.contract.finalized + 1;
        let Some(batch) = self.chain.committed(index) else { return Ok(()) };
        let due = batch.opening.committed_at + self.plan.window_s;
        if self.chain.head().time_s >= due {
            self.send_once((false, index), Tx::Finalize(index));
        }
        Ok(())
    }

    fn answer_demands(&mut self) -> Lawful {
        let t = self.t;
        let answers = self.settler().map(|s| std::mem::take(&mut s.answers)).unwrap_or_default();
        for (set, sent) in answers {
            let due = sent.is_none_or(|sent| sent + AGAIN_MS <= t);
            if let Some(at_s) = self.answered_at(&set) {
                self.tally.count("act: demand answered");
                let CommitSet { task_id, reveal_deadline, .. } = set;
                let at_unix_s = at_s;
                let answered = ChainInput::Answered { task_id, reveal_deadline, at_unix_s };
                self.tell(Input::Chain(answered))?;
                continue;
            }
            let mut sent = sent;
            if due && !self.call_fails() {
                sent = Some(t);
                let hash = set.struct_hash();
                let signature = frame::sign(&self.signer, &self.separator, &[hash]);
                let proof = FrameTree::new(&[hash]).proof(0, signature);
                self.submit(Tx::Answer(Box::new((set.clone(), proof))));
            }
            if let Some(settler) = self.settler() {
                settler.answers.push((set, sent));
            }
        }
        Ok(())
    }

    fn answered_at(&self, set: &CommitSet) -> Option<u64> {
        self.chain.events().find_map(|said| match said {
            Said::Set(shown, at_s) if shown.0 == *set => Some(*at_s),
            _ => None,
        })
    }
}

/// The pool's offer fits every request of this world.
pub(crate) fn offer(req: &ReqOrder) -> quorate_common::messages::PoolOrder {
    quorate_common::messages::PoolOrder {
        pool: POOL,
        unit_price: req.max_unit_price,
        tasks: u32::MAX,
        trust: u32::MAX,
        stake_ratio: 30,
        scheduler_ratio: 1,
        max_task_time: u64::MAX >> 1,
        expiry: u64::MAX >> 1,
        ..Default::default()
    }
}

/// As production's settler: until when a vote that is shown as silent might be said on chain.
fn silent_until(file: &BatchFile, slack_s: u64) -> Option<u64> {
    let silent = file.tasks.iter().flat_map(|task| {
        let votes = task.votes.iter().filter(|vote| vote.digest.is_zero());
        votes.filter_map(|vote| task.sets.get(usize::from(vote.attempt)))
    });
    silent.map(|set| set.reveal_deadline + 2 * slack_s).max()
}

fn parse(evidence: &[u8]) -> Result<BatchFile, Violation> {
    BatchFile::parse(evidence)
        .map_err(|error| Violation { law: "evidence is read again", what: error.to_string() })
}

fn vault_name(index: u64) -> String {
    format!("{index:012}.seal")
}
