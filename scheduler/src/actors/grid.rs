//! GridActor: owns the `Grid`. Something arrives, the grid is asked once, everything is drained;
//! effects leave when the records that justify them are on disk. It has no opinion.

use crate::{
    actors::{
        journal::{Append, JournalActor},
        session::{Deliver, SessionActor},
        settler::{AnswerDemand, OpenDeal, SealBatch, SettlerActor},
    },
    journal::held::Held,
    replay::Standing,
    results,
    shared::{Event, Shared},
    trace, watched,
};
use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, SpawnHandle};
use quorate_common::{
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
};
use quorate_grid::{
    Effect, Grid, Input, Ready,
    effect::{Reply, TaskSettled, ToSession},
    input::{SessionId, Ticket},
    poco::Outcome,
    restraint::Restraint,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::oneshot;

/// Something reached the grid: a worker's frame, a chain event, a timer.
///
/// Senders that can flood (sessions, HTTP) wait for the handler's return before they send the next,
/// so the mailbox holds at most one message per session and per request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Arrived(pub Input);

/// An order, and who waits for the answer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Place {
    /// Makes the input, given the ticket.
    pub order: quorate_common::messages::ReqOrder,
    /// As it came in.
    pub signature: Vec<u8>,
    /// Who sells to it, and who pays.
    pub sides: quorate_common::orders::Sides,
    /// Gets the answer once the order is on disk.
    pub reply: oneshot::Sender<Reply>,
}

/// An operator's word about a worker, and who waits until it is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Restrain {
    /// Which worker.
    pub worker: WorkerIdx,
    /// How and why; `None`: it is free.
    pub restraint: Option<Restraint>,
    /// Gets the answer.
    pub reply: oneshot::Sender<Reply>,
}

/// Everything up to `seq` is on disk.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Durable {
    /// The last durable record.
    pub seq: u64,
}

/// A session's address, before its first input.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Opened(pub SessionId, pub Addr<SessionActor>);

/// A blob arrived on a stream of its own: perhaps the result somebody was asked for.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct BlobHere(pub Digest);

/// What the grid holds, once everything it wrote is on disk.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Standing>")]
pub struct Stand;

/// A session is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Gone(pub SessionId);

/// Reads the grid between two inputs: consistent, and never after something that is not decided yet.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Query(pub Box<dyn FnOnce(&Grid) + Send>);

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Query")
    }
}

/// Records after which the next snapshot is due: two seconds of replay at most.
pub const SNAPSHOT_RECORDS: u64 = 200_000;

/// See the module.
#[derive(Debug)]
pub struct GridActor {
    grid: Grid,
    shared: Arc<Shared>,
    journal: Addr<JournalActor>,
    settler: Option<Addr<SettlerActor>>,
    sessions: BTreeMap<SessionId, Addr<SessionActor>>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    /// Results that were asked for, and the tasks they are of.
    fetching: BTreeMap<Digest, Vec<TaskKey>>,
    next_ticket: u64,
    /// Effects that wait for their records.
    held: Held<Vec<Effect>>,
    /// The last record handed to the journal.
    seq: u64,
    /// The last record in a snapshot.
    snapshot_seq: u64,
    wake: Option<(u64, SpawnHandle)>,
}

/// The settler's address: it needs the grid's to be started, and the grid needs it to settle.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MeetSettler(pub Addr<SettlerActor>);

impl GridActor {
    /// Takes over a grid that has applied every record up to `seq`.
    pub fn new(grid: Grid, shared: Arc<Shared>, journal: Addr<JournalActor>, seq: u64) -> Self {
        Self {
            grid,
            shared,
            journal,
            settler: None,
            sessions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            fetching: BTreeMap::new(),
            next_ticket: 0,
            held: Held::new(seq),
            seq,
            snapshot_seq: seq,
            wake: None,
        }
    }

    /// Somebody waits for an answer.
    fn ticket(&mut self, reply: oneshot::Sender<Reply>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, reply);
        ticket
    }

    fn arrived(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.grid.handle(self.shared.now(), input);
        self.drain(ctx);
    }

    fn drain(&mut self, ctx: &mut Context<Self>) {
        let Ready { records, effects } = self.grid.take_ready();
        // Before any of them is said: see `fence`.
        self.shared.acknowledged.store(self.grid.acknowledged(), Ordering::Release);
        let first_seq = self.seq + 1;
        self.seq += records.len() as u64;
        if !effects.is_empty() {
            self.held.push(self.seq, effects);
        }
        if !records.is_empty() {
            watched::count(&self.shared, &self.grid, &records);
            trace::records(&records);
            // `do_send` skips the mailbox bound; see `Arrived` for why the queue is bounded.
            let snapshot = self.snapshot();
            self.journal.do_send(Append { first_seq, records, snapshot });
        }
        self.release();
        self.set_wake(ctx);
    }

    /// The state at this record, when a snapshot is due.
    fn snapshot(&mut self) -> Option<Vec<u8>> {
        if self.seq - self.snapshot_seq < SNAPSHOT_RECORDS {
            return None;
        }
        self.snapshot_seq = self.seq;
        Some(quorate_common::wire::to_bytes(self.grid.durable()))
    }

    /// Performs every effect whose records are durable. What goes to one worker goes at once, so that
    /// one signature covers it.
    fn release(&mut self) {
        let mut mail: BTreeMap<SessionId, Vec<ToSession>> = BTreeMap::new();
        while let Some(effects) = self.held.release() {
            for effect in effects {
                self.perform(effect, &mut mail);
            }
        }
        for (session, items) in mail {
            if let Some(addr) = self.sessions.get(&session) {
                addr.do_send(Deliver(items));
            }
        }
    }

    fn perform(&mut self, effect: Effect, mail: &mut BTreeMap<SessionId, Vec<ToSession>>) {
        match effect {
            Effect::Send(session, item) => {
                if let ToSession::Fetch(task, digest) = &item {
                    self.fetching.entry(*digest).or_default().push(*task);
                }
                mail.entry(session).or_default().push(item);
            }
            Effect::Reply(ticket, reply) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    // A caller that went away does not need the answer.
                    drop(waiting.send(reply));
                }
            }
            Effect::OpenDeal { order, signed } => {
                if let Some(settler) = &self.settler {
                    settler.do_send(OpenDeal { order, signed });
                }
            }
            Effect::DealKnown(deal) => self.shared.know_deal(&deal),
            Effect::Answer(set) => {
                if let Some(settler) = &self.settler {
                    settler.do_send(AnswerDemand(set));
                }
            }
            Effect::Seal(header, file) => {
                if let Some(settler) = &self.settler {
                    settler.do_send(SealBatch { header, file });
                }
            }
            Effect::Settled(settled) => self.settled(settled),
        }
    }

    fn settled(&self, settled: TaskSettled) {
        let metrics = &self.shared.metrics;
        let outcome = match settled.outcome {
            Outcome::Consensus => "consensus",
            Outcome::NoQuorum => "no_quorum",
            Outcome::Expired => "expired",
        };
        metrics.tasks_completed.with_label_values(&[outcome]).inc();
        metrics.dissents.inc_by(settled.dissents.into());
        metrics.unpromised.inc_by(u64::from(!settled.kept));
        metrics.turnaround.observe(Duration::from_millis(settled.age_ms).as_secs_f64());
        // Nobody listening is no error.
        drop(self.shared.events.send(Event::Task(settled)));
    }

    fn set_wake(&mut self, ctx: &mut Context<Self>) {
        let Some(at) = self.grid.next_deadline() else { return };
        if self.wake.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        if let Some((_, handle)) = self.wake.take() {
            ctx.cancel_future(handle);
        }
        let delay = Duration::from_millis(at.saturating_sub(self.shared.now().mono_ms));
        let handle = ctx.run_later(delay, |actor, ctx| {
            actor.wake = None;
            actor.arrived(Input::Tick, ctx);
        });
        self.wake = Some((at, handle));
    }
}

impl Actor for GridActor {
    type Context = Context<Self>;
}

impl Handler<MeetSettler> for GridActor {
    type Result = ();

    fn handle(&mut self, MeetSettler(settler): MeetSettler, ctx: &mut Context<Self>) {
        self.settler = Some(settler);
        self.grid.resume(self.shared.now());
        self.drain(ctx);
    }
}

impl Handler<Arrived> for GridActor {
    type Result = ();

    fn handle(&mut self, Arrived(input): Arrived, ctx: &mut Context<Self>) {
        self.arrived(input, ctx);
    }
}

impl Handler<Place> for GridActor {
    type Result = ();

    fn handle(&mut self, place: Place, ctx: &mut Context<Self>) {
        let Place { order: req, signature, sides, reply } = place;
        let ticket = self.ticket(reply);
        let (req, sides) = (Box::new(req), Box::new(sides));
        self.arrived(Input::Order { ticket, req, signature, sides }, ctx);
    }
}

impl Handler<Restrain> for GridActor {
    type Result = ();

    fn handle(&mut self, restrain: Restrain, ctx: &mut Context<Self>) {
        let Restrain { worker, restraint, reply } = restrain;
        let ticket = self.ticket(reply);
        self.arrived(Input::Restrain { ticket, worker, restraint }, ctx);
    }
}

impl Handler<Durable> for GridActor {
    type Result = ();

    fn handle(&mut self, Durable { seq }: Durable, _: &mut Context<Self>) {
        self.held.durable(seq);
        self.release();
    }
}

impl Handler<Opened> for GridActor {
    type Result = ();

    fn handle(&mut self, Opened(session, addr): Opened, _: &mut Context<Self>) {
        self.sessions.insert(session, addr);
    }
}

impl Handler<BlobHere> for GridActor {
    type Result = ();

    /// The last blob of a result may be any of its blobs, so every result waited for is looked at.
    /// There are few: only results above the inline size are fetched, one backer at a time.
    fn handle(&mut self, _: BlobHere, ctx: &mut Context<Self>) {
        let whole = |digest: &&Digest| results::is_whole(&self.shared.blobs, digest);
        let here: Vec<Digest> = self.fetching.keys().filter(whole).copied().collect();
        for digest in here {
            for task in self.fetching.remove(&digest).unwrap_or_default() {
                self.arrived(Input::Stored(task, digest), ctx);
            }
        }
    }
}

impl Handler<Gone> for GridActor {
    type Result = ();

    fn handle(&mut self, Gone(session): Gone, ctx: &mut Context<Self>) {
        self.sessions.remove(&session);
        self.arrived(Input::Disconnected(session), ctx);
    }
}

impl Handler<Stand> for GridActor {
    type Result = Option<Standing>;

    /// Nothing while something is on its way to the disk: ask again.
    fn handle(&mut self, _: Stand, _: &mut Context<Self>) -> Option<Standing> {
        (self.held.seq() == self.seq).then(|| Standing::of(&self.grid, self.seq))
    }
}

impl Handler<Query> for GridActor {
    type Result = ();

    fn handle(&mut self, Query(read): Query, _: &mut Context<Self>) {
        read(&self.grid);
    }
}
