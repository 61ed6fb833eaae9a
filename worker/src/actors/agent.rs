//! Owns the rules and the disk: takes what happened, writes what must be remembered, lets go what
//! may be said. Decides nothing.

use super::link::{End, LinkActor, Say};
use crate::{
    allowance::Allowance,
    blobs::{Blobs, Holder},
    bundle::Bundle,
    escape::{Escapes, Saying},
    evidence,
    jobs::{Jobs, Start},
    ledger::{Ledger, Line},
    options::{Hook, Whim},
    status::{Status, Warned},
    store::Store,
    trace,
    words::Words,
};
use actix::{
    Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Message, SpawnHandle,
};
use quorate_agent::{Agent, Breach, Effect, Input, LinkView, Output, Ready, Ticket, Warning};
use quorate_common::{
    B256,
    clock::SystemClock,
    frame::{self, FrameProof, FrameTree},
    ids::{PoolId, TaskKey},
    keys::{self, NodeKey, VoteKey},
    messages::{CommitSet, Reveal, Separator},
    report::Chain,
    wire::{self, EngineInfo, GiveUpReason, Hello, Open, ToScheduler, ToWorker},
};
use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{oneshot, watch};

/// Messages a mailbox takes from those who wait; runs and fetches, bounded by the slots, do not.
const MAILBOX: usize = 256;

/// A worker's agent and what it needs to act.
pub struct AgentActor {
    pub(crate) agent: Agent,
    pub(crate) store: Store,
    pub(crate) clock: SystemClock,
    pub(crate) identity: Identity,
    pub(crate) link: Addr<LinkActor>,
    pub(crate) jobs: Jobs,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) hook: Option<Hook>,
    pub(crate) escapes: Escapes,
    pub(crate) words: Words,
    pub(crate) votes: Words,
    pub(crate) evidence_dir: PathBuf,
    pub(crate) ledger: Ledger,
    pub(crate) status: watch::Sender<Status>,
    /// What the log says of the line since a scheduler last knew this worker.
    pub(crate) logged: Option<String>,
    pub(crate) bundle: Bundle,
    /// The link's session whose frames count.
    pub(crate) session: u64,
    pub(crate) drain_asked: bool,
    pub(crate) wake: Option<(u64, SpawnHandle)>,
    /// Dropped last, in this order: the store is closed when the lock is free and the word is out.
    #[expect(dead_code, reason = "held for its lock")]
    pub(crate) lock: File,
    #[expect(dead_code, reason = "its end is the message")]
    pub(crate) closed: Option<oneshot::Sender<()>>,
}

/// Who a worker is to its scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) node_key: NodeKey,
    pub(crate) vote_key: VoteKey,
    pub(crate) pool: PoolId,
    pub(crate) separator: Separator,
    pub(crate) memory_bytes: u64,
    pub(crate) ask: u128,
    pub(crate) engine: EngineInfo,
    pub(crate) containers: Option<quorate_common::digest::Digest>,
    pub(crate) name: String,
}

/// Something happened on a connection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct FromLink {
    pub(crate) session: u64,
    pub(crate) event: LinkEvent,
}

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Up,
    Down { reason: String },
    Frame(Box<ToWorker>),
}

/// The link cannot come up, or will not come back by itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct LinkNote {
    pub(crate) note: String,
    pub(crate) is_final: bool,
}

/// Everything a job needs is here, or cannot be had.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Fetched {
    pub(crate) ticket: Ticket,
    pub(crate) task: TaskKey,
    pub(crate) outcome: Result<Arc<crate::deals::PreparedDeal>, GiveUpReason>,
}

/// A run ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Finished {
    pub(crate) ticket: Ticket,
    pub(crate) task: TaskKey,
    pub(crate) outcome: Result<Output, GiveUpReason>,
}

/// The pool's signer showed a commit set on chain.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SetShown {
    pub(crate) set: CommitSet,
    pub(crate) proof: FrameProof,
}

/// Something about the scheduler that its owner should know, seen elsewhere.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Doubt(pub(crate) String);

/// What the owner wants.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Wish {
    /// So many replicas at once.
    Offer(u16),
    /// What is allowed.
    Follow(Allowance),
    /// Give back what is unfinished.
    Leave,
    /// Stop now.
    Stop,
}

/// Write and let go what waits.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct Drain;

impl Finished {
    pub(crate) fn failed(start: &Start, reason: GiveUpReason) -> Self {
        Self { ticket: start.ticket, task: start.task, outcome: Err(reason) }
    }
}

impl Actor for AgentActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.publish();
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.jobs.stop_all();
        self.link.do_send(End::leaving());
    }
}

impl Handler<FromLink> for AgentActor {
    type Result = ();

    fn handle(&mut self, FromLink { session, event }: FromLink, ctx: &mut Self::Context) {
        if session < self.session {
            return;
        }
        self.session = session;
        let input = match event {
            LinkEvent::Up => Input::LinkUp,
            LinkEvent::Down { reason } => {
                self.note(reason);
                self.look_again(ctx);
                Input::LinkDown
            }
            LinkEvent::Frame(frame) => {
                log_promises(&frame);
                Input::Frame(frame)
            }
        };
        self.take(input, ctx);
    }
}

impl Handler<LinkNote> for AgentActor {
    type Result = ();

    fn handle(&mut self, LinkNote { note, is_final }: LinkNote, ctx: &mut Self::Context) {
        self.look_again(ctx);
        if is_final {
            self.status.send_modify(|status| status.ended = Some(note.clone()));
        }
        self.note(note);
    }
}

impl Handler<Fetched> for AgentActor {
    type Result = ();

    fn handle(&mut self, Fetched { ticket, task, outcome }: Fetched, ctx: &mut Self::Context) {
        self.jobs.fetched(ticket, &outcome);
        self.take(Input::Fetched { ticket, task, outcome: outcome.map(drop) }, ctx);
    }
}

impl Handler<Finished> for AgentActor {
    type Result = ();

    fn handle(&mut self, Finished { ticket, task, outcome }: Finished, ctx: &mut Self::Context) {
        self.jobs.end(ticket);
        match keys::random32() {
            Ok(salt) => {
                let salt = B256::new(salt);
                self.take(Input::Finished { ticket, task, outcome, salt }, ctx);
            }
            // A guessable salt would show the result before its time.
            Err(error) => self.fail(&error, ctx),
        }
    }
}

impl Handler<SetShown> for AgentActor {
    type Result = ();

    fn handle(&mut self, SetShown { set, proof }: SetShown, ctx: &mut Self::Context) {
        self.take(Input::SetShown { set, proof }, ctx);
    }
}

impl Handler<Doubt> for AgentActor {
    type Result = ();

    fn handle(&mut self, Doubt(sentence): Doubt, _: &mut Self::Context) {
        self.tell(sentence);
    }
}

impl Handler<Wish> for AgentActor {
    type Result = ();

    fn handle(&mut self, wish: Wish, ctx: &mut Self::Context) {
        match wish {
            Wish::Offer(slots) => self.take(Input::Offer(slots), ctx),
            Wish::Follow(allowance) => self.follow(allowance, ctx),
            Wish::Leave => self.take(Input::Leave, ctx),
            Wish::Stop => ctx.stop(),
        }
    }
}

impl Handler<Drain> for AgentActor {
    type Result = ();

    /// First the records, to disk; then the effects, out. A disk that fails ends the worker: it
    /// could not keep its word any more.
    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) {
        self.drain_asked = false;
        let Ready { records, effects } = self.agent.take_ready();
        self.book(&effects);
        if let Err(error) = self.store.append(&records, self.agent.totals()) {
            return self.fail(&error, ctx);
        }
        records.iter().for_each(trace::record);
        for effect in effects {
            self.perform(effect);
        }
        for votes in self.bundle.take(&self.identity.vote_key, &self.identity.separator) {
            self.say(&ToScheduler::Votes(votes));
        }
        self.wake_up(ctx);
        self.publish();
    }
}

impl AgentActor {
    /// Takes one input. What follows leaves once the mailbox is empty, so that everything that is
    /// waiting there shares one flush and one signature.
    fn take(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.agent.handle(self.clock.now(), input);
        if cfg!(debug_assertions) {
            self.agent.check();
        }
        if !self.drain_asked {
            self.drain_asked = true;
            ctx.notify(Drain);
        }
    }

    /// The scheduler learns a price with a hello, and hellos come with connections.
    fn follow(&mut self, allowance: Allowance, ctx: &mut Context<Self>) {
        for input in allowance.inputs() {
            self.take(input, ctx);
        }
        if self.identity.ask != allowance.ask {
            self.identity.ask = allowance.ask;
            self.link.do_send(super::link::Cut);
        }
    }

    fn perform(&mut self, effect: Effect) {
        trace::effect(&effect);
        match effect {
            Effect::Hello { slots, holding } => self.greet(slots, holding),
            Effect::Fetch { ticket, task, deal, .. } => self.jobs.fetch(ticket, task, deal),
            Effect::Start { ticket, task, attempt, deal, seed, wall_ms } => {
                let seed = seed.0;
                self.jobs.start(Start { ticket, task, attempt, deal, seed, wall_ms });
                self.ask_hook(task, attempt);
            }
            Effect::Stop { ticket } => self.jobs.stop(ticket),
            Effect::Commit { item, hash } => self.bundle.commit(item, hash),
            Effect::Reveal { item, hash } => self.bundle.reveal(item, hash),
            Effect::GiveUp(gone) => self.say(&ToScheduler::GaveUp(gone)),
            Effect::Slots(slots) => self.say(&ToScheduler::Slots(slots)),
            Effect::Upload { task, blobs } => self.jobs.upload(task, blobs),
            Effect::Forget { task, blobs, .. } => {
                self.blobs.release_some(Holder::Result(task), &blobs);
            }
            Effect::Keep(word) => self.words.hear(&word),
            Effect::KeepVote(vote) => self.votes.keep(&vote),
            Effect::Demand { task_id, attempt, worker } => {
                self.escapes.say(Saying::Demand { task_id, attempt, worker });
            }
            Effect::Force { reveal, hash } => self.force(reveal, hash),
            Effect::HangUp(breach) => self.hang_up(&breach),
            Effect::Parted { reason, retry_ms } => {
                let session = self.session;
                let reason = format!("the scheduler ended the session: {reason}");
                self.link.do_send(End { session, reason, retry_ms, is_final: retry_ms.is_none() });
            }
            Effect::Warn(warning) => self.warn(&warning),
        }
    }

    /// What tasks brought is written down before the store forgets them.
    fn book(&mut self, effects: &[Effect]) {
        let settled = effects.iter().filter_map(|effect| {
            let Effect::Forget { settled: Some(settled), .. } = effect else { return None };
            Some(Line::of(settled, self.clock.now().unix_ms, self.jobs.core_ms()))
        });
        let lines: Vec<Line> = settled.collect();
        self.ledger.write(&lines);
    }

    fn greet(&mut self, slots: u16, holding: Vec<(TaskKey, u16)>) {
        let Identity {
            node_key, vote_key, pool, separator, memory_bytes, ask, engine, name, ..
        } = &self.identity;
        let message = Hello::binding_message(separator, *pool, vote_key.address());
        let binding = node_key.sign(wire::BINDING_CONTEXT, &message);
        let hello = Hello {
            version: wire::VERSION,
            pool: *pool,
            vote_key: vote_key.address(),
            binding: Hello::binding_halves(binding),
            slots,
            memory_bytes: *memory_bytes,
            engine: engine.clone(),
            ask: *ask,
            name: name.clone(),
            holding,
            newest: self.words.newest().cloned().map(Box::new),
        };
        let mut frame = Vec::new();
        wire::encode(&Open::Control(hello), &mut frame);
        self.link.do_send(Say { session: self.session, frame });
        if let Some(engine) = self.identity.containers {
            self.say(&ToScheduler::Containers(Some(engine)));
        }
    }

    fn say(&self, message: &ToScheduler) {
        let mut frame = Vec::new();
        wire::encode(message, &mut frame);
        self.link.do_send(Say { session: self.session, frame });
    }

    /// Signs a reveal by itself: on chain a frame of one has the shortest proof.
    fn force(&self, reveal: Reveal, hash: B256) {
        let Identity { vote_key, separator, .. } = &self.identity;
        let tree = FrameTree::new(&[hash]);
        let proof = tree.proof(0, frame::sign(vote_key, separator, &[hash]));
        self.escapes.say(Saying::Vote { reveal, proof });
    }

    fn ask_hook(&self, task: TaskKey, attempt: u16) {
        let Some(hook) = &self.hook else { return };
        match hook(task, attempt) {
            Whim::Work => {}
            Whim::CutTheLine => self.link.do_send(super::link::Cut),
        }
    }

    fn hang_up(&self, breach: &Breach) {
        let (session, reason) = (self.session, breach.to_string());
        self.link.do_send(End { session, reason, retry_ms: None, is_final: breach.is_final() });
    }

    fn warn(&self, warning: &Warning) {
        self.tell(warning.sentence());
        if let Err(error) = evidence::keep(&self.evidence_dir, warning) {
            tracing::error!(error = %Chain(&error), "evidence cannot be kept");
        }
    }

    /// In the log, in `status`, on the page and in the metrics.
    fn tell(&self, sentence: String) {
        tracing::warn!("{sentence}");
        let at_ms = self.clock.now().unix_ms;
        self.status.send_modify(|status| status.warn(Warned { at_ms, sentence }));
    }

    fn wake_up(&mut self, ctx: &mut Context<Self>) {
        let due = self.agent.next_deadline();
        if self.wake.as_ref().map(|(at, _)| *at) == due {
            return;
        }
        if let Some((_, timer)) = self.wake.take() {
            ctx.cancel_future(timer);
        }
        let Some(at) = due else { return };
        let wait = Duration::from_millis(at.saturating_sub(self.clock.now().mono_ms));
        let timer = ctx.run_later(wait, |actor, ctx| {
            actor.wake = None;
            actor.take(Input::Tick, ctx);
        });
        self.wake = Some((at, timer));
    }

    /// Timers stand still while the machine sleeps, and deadlines do not: whoever hears of a line that is lost asks
    /// the clock again. What is due while the scheduler is away, on chain, is due by it.
    fn look_again(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, timer)) = self.wake.take() {
            ctx.cancel_future(timer);
        }
        self.take(Input::Tick, ctx);
    }

    fn publish(&mut self) {
        let view = self.agent.view();
        let is_up = |link: LinkView| matches!(link, LinkView::Up | LinkView::Unregistered);
        let was_up = is_up(self.status.borrow().view.link);
        if is_up(view.link) && !was_up {
            self.link.do_send(super::link::Welcomed { session: self.session });
        }
        if matches!(view.link, LinkView::Up) {
            self.logged = None;
        }
        let cache_bytes = self.blobs.bytes();
        self.status.send_if_modified(|status| {
            if is_up(view.link) {
                status.note = None;
            }
            let is_new = status.view != view || status.cache_bytes != cache_bytes;
            status.view = view;
            status.cache_bytes = cache_bytes;
            is_new
        });
    }

    /// A line that fails again for the same reason, as one does whose scheduler is gone for the night or does not
    /// know this worker yet, is one line of the log.
    fn note(&mut self, note: String) {
        if self.logged.as_ref() != Some(&note) {
            tracing::info!("{note}");
            self.logged = Some(note.clone());
        }
        self.status.send_modify(|status| status.note = Some(note));
    }

    fn fail(&self, error: &dyn std::error::Error, ctx: &mut Context<Self>) {
        let note = format!("the worker ends: {}", Chain(error));
        tracing::error!("{note}");
        self.status.send_modify(|status| status.broken = Some(note));
        ctx.stop();
    }
}

/// Writes down what the scheduler promised to count, for whoever compares it with what was counted.
fn log_promises(frame: &ToWorker) {
    let ToWorker::Duties(duties) = frame else { return };
    for ack in &duties.commit_acks {
        let (seq, commitment) = (ack.seq, ack.commitment);
        tracing::debug!(task = %ack.task, attempt = ack.attempt, seq, %commitment, "commit acked");
    }
    for ack in &duties.reveal_acks {
        let (seq, vote) = (ack.seq, ack.vote_hash);
        tracing::debug!(task = %ack.task, attempt = ack.attempt, seq, %vote, "reveal acked");
    }
}

impl std::fmt::Debug for AgentActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentActor").field("agent", &self.agent).finish_non_exhaustive()
    }
}
