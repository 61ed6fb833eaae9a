//! The scheduler's door: bytes in, checked as production's transport checks them; effects out, packed and
//! signed as its sessions do. It has no rules of its own but those of the wire.

use crate::{
    law::{Lawful, hold},
    links::Side,
    node::Desk,
    world::{Event, World},
};
use alloy_primitives::B256;
use quorate_common::{
    digest::Digest,
    frame::{self, FRAME_MESSAGES_MAX, FrameTree},
    ids::{DealId, DealSlot, TaskKey, WorkerIdx},
    keys::{Signature, recover},
    messages::{CommitSet, Message as _},
    wire::{
        self, CommitSetItem, Duties, Hello, Inline, Open, ToScheduler, ToWorker, Votes, Welcome,
    },
};
use quorate_grid::{
    Effect, Input, Record,
    effect::ToSession,
    input::{CommitVote, RevealVote, SessionId, SignedVotes},
    poco::Outcome,
};
use std::collections::BTreeMap;

/// What waits for each connection.
pub(crate) type Mail = BTreeMap<SessionId, Vec<ToSession>>;

/// Items that travel together.
#[derive(Default)]
struct Pack {
    duties: Option<Duties>,
    hashes: [Vec<B256>; 4],
    cancels: Vec<(TaskKey, u16)>,
    settled: Vec<wire::SettledItem>,
}

impl World {
    /// Bytes of a connection: one frame.
    pub(crate) fn hear(&mut self, session: SessionId, bytes: &[u8]) -> Lawful {
        if self.node.up.is_none() {
            return Ok(());
        }
        let heard = self.understand(session, bytes);
        match heard {
            Ok(Some(input)) => self.tell(input),
            Ok(None) => Ok(()),
            Err(why) => {
                self.tally.count("act: frame refused by the scheduler");
                self.say(|| format!("connection {} is ended: {why}", session.0));
                self.break_link(session, 0, 20);
                Ok(())
            }
        }
    }

    fn understand(&mut self, session: SessionId, bytes: &[u8]) -> Result<Option<Input>, String> {
        let body = body(bytes)?;
        let Some(up) = &mut self.node.up else { return Ok(None) };
        let Some(desk) = up.desks.get(&session).copied() else {
            let Open::Control(hello) = wire::decode(body).map_err(|e| e.to_string())? else {
                return Err("the first frame must be a hello".into());
            };
            hello.check().map_err(|e| e.to_string())?;
            return self.welcome(session, hello).map(Some);
        };
        match wire::decode::<ToScheduler>(body).map_err(|e| e.to_string())? {
            ToScheduler::Votes(votes) => {
                let votes = check_votes(&up.deals, &self.separator, desk, votes)?;
                Ok(Some(Input::Votes(session, votes)))
            }
            ToScheduler::GaveUp(gave_up) => Ok(Some(Input::GaveUp(session, gave_up))),
            ToScheduler::Slots(slots) if slots > wire::SLOTS_MAX => Err("slots".into()),
            ToScheduler::Slots(slots) => Ok(Some(Input::Slots(session, slots))),
            ToScheduler::Containers(engine) => Ok(Some(Input::Containers(session, engine))),
            ToScheduler::Heartbeat => Ok(None),
        }
    }

    /// The transport has proven the node key; here the machine says which it has.
    fn welcome(&mut self, session: SessionId, hello: Hello) -> Result<Input, String> {
        let machine = self.links.get(&session).map(|link| link.machine);
        let machine = machine.ok_or("no such connection")?;
        let (node_key, net) = (self.machines[machine].node_key, self.machines[machine].person.net);
        let desk = Desk { vote_key: hello.vote_key, worker: None };
        if let Some(up) = &mut self.node.up {
            up.desks.insert(session, desk);
        }
        Ok(Input::Connected {
            session,
            node_key,
            vote_key: hello.vote_key,
            slots: hello.slots,
            net,
            engine: hello.engine.hash,
            holding: hello.holding,
            ask: hello.ask,
        })
    }

    /// Does what the grid asks for.
    pub(crate) fn perform(&mut self, effect: Effect, mail: &mut Mail) -> Lawful {
        let Some(up) = &mut self.node.up else { return Ok(()) };
        match effect {
            Effect::Send(session, item) => {
                if let ToSession::Fetch(task, digest) = &item {
                    up.fetching.entry(*digest).or_default().push(*task);
                }
                mail.entry(session).or_default().push(item);
            }
            Effect::Reply(..) => {}
            Effect::OpenDeal { order, signed } => {
                up.settler.opens.insert(order, (signed.req, None));
            }
            Effect::DealKnown(deal) => {
                up.deals.insert(deal.slot, deal.id());
            }
            Effect::Answer(set) => {
                up.settler.answers.push((set, None));
            }
            Effect::Seal(header, file) => {
                up.settler.seals.insert(header.index, (header, file));
            }
            Effect::Settled(done) => {
                let line = |settled: &quorate_grid::effect::TaskSettled| {
                    format!(
                        "{} ends: {}, {} replicas",
                        settled.task, settled.outcome, settled.replicas
                    )
                };
                self.say(|| line(&done));
            }
        }
        Ok(())
    }

    /// Packs, signs and sends what is for one connection.
    pub(crate) fn deliver(&mut self, session: SessionId, items: Vec<ToSession>) -> Lawful {
        let (mut pack, mut frames) = (Pack::default(), Vec::new());
        let mut parting = false;
        for item in items {
            parting |= matches!(item, ToSession::Goodbye(_));
            self.say_item(session, &item);
            self.pack(session, item, &mut pack, &mut frames);
        }
        self.flush(&mut pack, &mut frames);
        for frame in frames {
            self.send(Side::Worker, session, frame);
        }
        if parting {
            // The worker hangs up when it has read it; who does not is hung up on.
            self.later(1_000, Event::Gone(Side::Scheduler, session));
        }
        Ok(())
    }

    fn say_item(&mut self, session: SessionId, item: &ToSession) {
        let Some(machine) = self.links.get(&session).map(|link| link.machine) else { return };
        let who = self.machines[machine].worker;
        match item {
            ToSession::Deal(_) => {}
            ToSession::Assign(a) => {
                self.say(|| format!("{who} < run {} round {}", a.task, a.attempt))
            }
            ToSession::CommitAck(a) => self.say(|| format!("{who} < commit of {} is kept", a.task)),
            ToSession::Set(s) => self.say(|| format!("{who} < show {}: a set of {}", s.task, s.n)),
            ToSession::RevealAck(a) => self.say(|| format!("{who} < reveal of {} is kept", a.task)),
            ToSession::Cancel(task, _) => self.say(|| format!("{who} < forget {task}")),
            ToSession::Fetch(task, _) => self.say(|| format!("{who} < send the bytes of {task}")),
            ToSession::Settled(s) => {
                self.say(|| {
                    format!("{who} < {}: +{} -{} score {}", s.task, s.earned, s.slashed, s.score)
                });
            }
            ToSession::Goodbye(g) => self.say(|| format!("{who} < goodbye: {}", g.reason)),
            ToSession::Welcome { .. } => self.say(|| format!("{who} < welcome")),
        }
    }

    fn pack(
        &mut self,
        session: SessionId,
        item: ToSession,
        pack: &mut Pack,
        frames: &mut Vec<Vec<u8>>,
    ) {
        let worker = self.desk_worker(session);
        let pool = self.genesis.pool;
        let own = match item {
            ToSession::Assign(item) => {
                let Some(deal) = self.deal_id(item.task) else { return };
                pack.hashes[0].push(item.message(pool, deal, worker).struct_hash());
                pack.duties().assigns.push(item);
                None
            }
            ToSession::CommitAck(item) => {
                let Some(deal) = self.deal_id(item.task) else { return };
                let message = item.message(pool, deal.task_id(item.task.idx), worker);
                pack.hashes[1].push(message.struct_hash());
                pack.duties().commit_acks.push(item);
                None
            }
            ToSession::Set(item) => {
                self.pack_set(item, pack);
                None
            }
            ToSession::RevealAck(item) => {
                let Some(deal) = self.deal_id(item.task) else { return };
                let message = item.message(pool, deal.task_id(item.task.idx), worker);
                pack.hashes[3].push(message.struct_hash());
                pack.duties().reveal_acks.push(item);
                None
            }
            ToSession::Cancel(task, attempt) => {
                pack.cancels.push((task, attempt));
                None
            }
            ToSession::Settled(item) => {
                pack.settled.push(item);
                None
            }
            ToSession::Welcome { worker, stake, score, notice: _ } => {
                Some(self.welcome_frame(session, worker, stake, score))
            }
            ToSession::Deal(info) => Some(ToWorker::Deal(info)),
            ToSession::Fetch(task, digest) => Some(ToWorker::Fetch { task, digest }),
            ToSession::Goodbye(goodbye) => Some(ToWorker::Goodbye(goodbye)),
        };
        if let Some(frame) = own {
            self.flush(pack, frames);
            frames.push(encoded(&frame));
        }
        if pack.hashes.iter().map(Vec::len).sum::<usize>() >= FRAME_MESSAGES_MAX {
            self.flush(pack, frames);
        }
    }

    /// A scheduler that lies shows some sets in which nobody finds himself, before the true one or after.
    fn pack_set(&mut self, item: CommitSetItem, pack: &mut Pack) {
        let lies = self.plan.faults.false_sets && !self.calm && self.dice.chance(200_000);
        let mut items = vec![item];
        if lies {
            let at = usize::from(self.dice.chance(500_000));
            items.insert(at, CommitSetItem { root: self.dice.word(), ..item });
        }
        for item in items {
            let Some(deal) = self.deal_id(item.task) else { return };
            let message: CommitSet = item.message(self.genesis.pool, deal.task_id(item.task.idx));
            pack.hashes[2].push(message.struct_hash());
            pack.duties().sets.push(item);
        }
    }

    fn flush(&mut self, pack: &mut Pack, frames: &mut Vec<Vec<u8>>) {
        if let Some(mut duties) = pack.duties.take() {
            let hashes: Vec<B256> = pack.hashes.iter_mut().flat_map(std::mem::take).collect();
            // A scheduler that lies also lets others sign for it now and then.
            let lies = self.plan.faults.false_sets && !self.calm && self.dice.chance(5_000);
            let key = if lies { crate::world::key("stranger", 0) } else { self.signer.clone() };
            duties.signature = frame::sign(&key, &self.separator, &hashes);
            frames.push(encoded(&ToWorker::Duties(duties)));
        }
        if !pack.cancels.is_empty() {
            frames.push(encoded(&ToWorker::Cancel(std::mem::take(&mut pack.cancels))));
        }
        if !pack.settled.is_empty() {
            frames.push(encoded(&ToWorker::Settled(std::mem::take(&mut pack.settled))));
        }
    }

    fn welcome_frame(
        &mut self,
        session: SessionId,
        worker: Option<WorkerIdx>,
        stake: u128,
        score: u32,
    ) -> ToWorker {
        if let Some(desk) = self.node.up.as_mut().and_then(|up| up.desks.get_mut(&session)) {
            desk.worker = worker;
        }
        ToWorker::Welcome(Welcome {
            pool: self.genesis.pool,
            domain: self.genesis.domain,
            signer: self.signer.address(),
            worker,
            stake,
            score,
            unix_ms: self.node_now().unix_ms,
            notice: String::new(),
        })
    }

    fn desk_worker(&self, session: SessionId) -> WorkerIdx {
        let desk = self.node.up.as_ref().and_then(|up| up.desks.get(&session));
        desk.and_then(|desk| desk.worker).unwrap_or_default()
    }

    pub(crate) fn deal_id(&self, task: TaskKey) -> Option<DealId> {
        self.node.up.as_ref()?.deals.get(&task.deal).copied()
    }

    /// The blobs of a result came.
    pub(crate) fn uploaded(&mut self, session: SessionId, digest: Digest) -> Lawful {
        let stands = self.links.contains_key(&session);
        let Some(up) = self.node.up.as_mut().filter(|_| stands) else { return Ok(()) };
        self.node.blobs.insert(digest);
        for task in up.fetching.remove(&digest).unwrap_or_default() {
            self.tell(Input::Stored(task, digest))?;
        }
        Ok(())
    }

    /// A record is durable: the world takes note.
    pub(crate) fn tell_record(&mut self, record: &Record) -> Lawful {
        match record {
            Record::Revealed { task, worker, digest, salt, inline, .. } => {
                if inline.is_some() {
                    self.node.blobs.insert(*digest);
                }
                self.leak(*task, *worker, *digest, *salt);
                Ok(())
            }
            Record::Stored { task, digest } => {
                let here = self.node.blobs.contains(digest);
                hold(here || self.node.rolled_back, "stored bytes are here", || format!("{task}"))
            }
            Record::Missed { task, worker } => self.check_blame(*task, *worker),
            Record::Lost { task, worker } => self.check_heard(*task, *worker),
            Record::Torn(_) => {
                self.tally.count("outcome: votes of a program that differ");
                Ok(())
            }
            Record::Settled { outcome, .. } => {
                self.tally.count(match outcome {
                    Outcome::Consensus => "outcome: consensus",
                    Outcome::NoQuorum => "outcome: no quorum",
                    Outcome::Expired => "outcome: expired",
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Pack {
    fn duties(&mut self) -> &mut Duties {
        self.duties.get_or_insert_with(|| Duties {
            assigns: Vec::new(),
            commit_acks: Vec::new(),
            sets: Vec::new(),
            reveal_acks: Vec::new(),
            signature: Signature { r: B256::ZERO, vs: B256::ZERO },
        })
    }
}

/// A message as bytes on a stream.
pub(crate) fn encoded(message: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(message, &mut bytes);
    bytes
}

/// The body of a frame, its length checked.
pub(crate) fn body(bytes: &[u8]) -> Result<&[u8], String> {
    let (prefix, body) = bytes.split_first_chunk::<4>().ok_or("no length")?;
    let len = wire::frame_len(*prefix).map_err(|error| error.to_string())?;
    if len == body.len() { Ok(body) } else { Err("a frame ends early".into()) }
}

fn check_votes(
    deals: &BTreeMap<DealSlot, DealId>,
    separator: &quorate_common::messages::Separator,
    desk: Desk,
    votes: Votes,
) -> Result<SignedVotes, String> {
    votes.check().map_err(|error| error.to_string())?;
    let pool = crate::world::POOL;
    let hashes = votes.hashes(pool, |task| deals.get(&task.deal).copied());
    let hashes = hashes.ok_or("a vote names a deal nobody told of")?;
    let tree = FrameTree::new(&hashes);
    let signer = recover(separator.digest(tree.struct_hash()), &votes.signature);
    if signer != Some(desk.vote_key) {
        return Err("votes are not signed by the vote key".into());
    }
    let lies =
        |inline: &Inline, digest| inline.blobs.first().map(|b| Digest::of(b)) != Some(digest);
    if votes.reveals.iter().any(|r| r.inline.as_ref().is_some_and(|i| lies(i, r.digest))) {
        return Err("an inline result has another digest than its vote".into());
    }
    Ok(placed(votes, &hashes, &tree))
}

fn placed(votes: Votes, hashes: &[B256], tree: &FrameTree) -> SignedVotes {
    let signature = votes.signature;
    let proof = |at: usize| tree.proof(at as u32, signature);
    let offset = votes.commits.len();
    let commits = votes.commits.iter().enumerate().map(|(at, item)| CommitVote {
        task: item.task,
        attempt: item.attempt,
        commitment: item.commitment,
        proof: proof(at),
    });
    let commits = commits.collect();
    let reveals = votes.reveals.into_iter().enumerate().map(|(at, item)| RevealVote {
        task: item.task,
        attempt: item.attempt,
        set_root: item.set_root,
        digest: item.digest,
        salt: item.salt,
        vote_hash: hashes[offset + at],
        inline: item.inline,
        proof: proof(offset + at),
    });
    SignedVotes { commits, reveals: reveals.collect() }
}
