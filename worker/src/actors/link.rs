//! The connection to the pinned scheduler: made, kept, lost, made again. Knows frames as bytes going
//! out and as decoded messages coming in; what they mean is the agent's.
//!
//! Reader and writer are plain tasks. The reader waits for the agent after every frame, so that a
//! scheduler that talks faster than a worker thinks is slowed by QUIC's own windows; the writer's
//! outbox is bounded, and a full one ends the connection.

use super::agent::{AgentActor, FromLink, LinkEvent, LinkNote};
use crate::{dial, pace::Pace, status::Status, void::Void};
use actix::{
    Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Message, ResponseFuture,
    WrapFuture as _, fut::ActorFutureExt as _,
};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use quorate_common::{
    backoff::Backoff,
    clock, keys, quic,
    wire::{self, ToScheduler, ToWorker},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Frames waiting to be written. A worker owes at most a commit or reveal per kept job, sixty and
/// more to a frame, so a full outbox means a scheduler that stopped reading.
pub const OUTBOX_MAX: usize = 1_024;
/// Pause between two heartbeats of a worker that has nothing to do.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longest silence of a worker that has jobs. A scheduler that was killed and is back says so at the
/// next packet; the jobs should not be given to others before, and a lease is three seconds.
pub const HEARTBEAT_BUSY: Duration = Duration::from_secs(2);
/// The first pause before a new connection, in milliseconds: a blip should go unnoticed.
const BACKOFF_FIRST_MS: u64 = 200;
/// The longest: a thousand workers that lost one scheduler try 33 times a second together.
const BACKOFF_CAP_MS: u64 = 30_000;
/// A sleep after which the line is made anew at once: the scheduler has given it up in the meantime, the router has
/// forgotten it, and the welcome says what time it is. Clocks that are read one after the other differ by less.
const SLEPT: Duration = Duration::from_secs(1);
/// How long a leaving worker waits for its last frames to arrive.
const FAREWELL: Duration = Duration::from_secs(2);

/// Keeps one connection to one scheduler.
pub struct LinkActor {
    address: String,
    config: ClientConfig,
    pace: Pace,
    agent: Option<Addr<AgentActor>>,
    line: watch::Sender<Option<Connection>>,
    live: Option<Live>,
    session: u64,
    backoff: Backoff,
    /// Connections tried in vain, one after the other.
    tries: u32,
    status: watch::Receiver<Status>,
    is_leaving: bool,
}

struct Live {
    endpoint: Endpoint,
    connection: Connection,
    outbox: mpsc::Sender<Vec<u8>>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

/// Begin: the agent is ready to hear.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Begin(pub(crate) Addr<AgentActor>);

/// Send a frame, if its session still stands.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Say {
    pub(crate) session: u64,
    pub(crate) frame: Vec<u8>,
}

/// The scheduler welcomed us: the next failure is a first one.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Welcomed {
    pub(crate) session: u64,
}

/// A session ended, or shall.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct End {
    pub(crate) session: u64,
    pub(crate) reason: String,
    /// Come back after so long; `None`: as the backoff says.
    pub(crate) retry_ms: Option<u64>,
    /// Do not come back: something must be changed first.
    pub(crate) is_final: bool,
}

/// Cut the line as a broken cable does: nobody is told.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Cut;

/// Send what waits, say goodbye, and stop.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Leave;

impl End {
    /// The agent is gone.
    pub(crate) fn leaving() -> Self {
        Self { session: u64::MAX, reason: "leaving".into(), retry_ms: None, is_final: true }
    }
}

impl LinkActor {
    pub(crate) fn new(
        address: String,
        (config, pace): (ClientConfig, Pace),
        line: watch::Sender<Option<Connection>>,
        status: watch::Receiver<Status>,
    ) -> Self {
        Self {
            address,
            config,
            pace,
            agent: None,
            line,
            live: None,
            session: 0,
            backoff: Backoff::new(BACKOFF_FIRST_MS, BACKOFF_CAP_MS),
            tries: 0,
            status,
            is_leaving: false,
        }
    }

    fn connect(&self, ctx: &mut Context<Self>) {
        if self.is_leaving || self.live.is_some() {
            return;
        }
        let mut config = self.config.clone();
        if let Some(bytes) = self.pace.window() {
            quic::narrow(&mut config, bytes);
        }
        let opening = dial::open(self.address.clone(), config, self.tries);
        ctx.spawn(opening.into_actor(self).map(|opened, link, ctx| match opened {
            Ok(opened) => link.on_open(opened, ctx),
            Err(error) => {
                link.tries = link.tries.saturating_add(1);
                let note = format!("no connection to {}: {error}", link.address);
                link.tell(LinkNote { note, is_final: false });
                link.retry(None, ctx);
            }
        }));
    }

    fn on_open(&mut self, opened: dial::Opened, ctx: &mut Context<Self>) {
        let Some(agent) = self.agent.clone().filter(|_| !self.is_leaving) else { return };
        let dial::Opened { endpoint, connection, send, recv } = opened;
        self.session += 1;
        let session = self.session;
        let (outbox, frames) = mpsc::channel(OUTBOX_MAX);
        let link = ctx.address();
        let writer = tokio::spawn(write(session, link.clone(), send, frames, self.status.clone()));
        let reader = tokio::spawn(read(session, link, agent.clone(), recv));
        self.line.send_replace(Some(connection.clone()));
        self.live = Some(Live { endpoint, connection, outbox, reader, writer });
        agent.do_send(FromLink { session, event: LinkEvent::Up });
    }

    /// Tears a session down, without a word to the other side if it was told already.
    fn end(&mut self, code: u32, reason: &str) {
        let Some(live) = self.live.take() else { return };
        self.line.send_replace(None);
        live.reader.abort();
        live.writer.abort();
        live.connection.close(code.into(), reason.as_bytes());
        let (session, reason) = (self.session, reason.to_owned());
        if let Some(agent) = &self.agent {
            agent.do_send(FromLink { session, event: LinkEvent::Down { reason } });
        }
    }

    fn retry(&mut self, retry_ms: Option<u64>, ctx: &mut Context<Self>) {
        let random = keys::random32().map_or([0; 8], |bytes| {
            let mut first = [0; 8];
            first.copy_from_slice(&bytes[..8]);
            first
        });
        let backoff_ms = self.backoff.fail(u64::from_le_bytes(random));
        let wait_ms = retry_ms.map_or(backoff_ms, |ms| ms.max(backoff_ms));
        ctx.run_later(Duration::from_millis(wait_ms), |link, ctx| link.connect(ctx));
    }

    fn tell(&self, note: LinkNote) {
        if let Some(agent) = &self.agent {
            agent.do_send(note);
        }
    }
}

impl Actor for LinkActor {
    type Context = Context<Self>;
}

impl Handler<Begin> for LinkActor {
    type Result = ();

    fn handle(&mut self, Begin(agent): Begin, ctx: &mut Self::Context) {
        self.agent = Some(agent);
        self.connect(ctx);
    }
}

impl Handler<Say> for LinkActor {
    type Result = ();

    fn handle(&mut self, Say { session, frame }: Say, ctx: &mut Self::Context) {
        let Some(live) = self.live.as_ref().filter(|_| session == self.session) else { return };
        if live.outbox.try_send(frame).is_err() {
            let reason = format!("the scheduler has not read {OUTBOX_MAX} frames");
            ctx.notify(End { session, reason, retry_ms: None, is_final: false });
        }
    }
}

impl Handler<Welcomed> for LinkActor {
    type Result = ();

    fn handle(&mut self, Welcomed { session }: Welcomed, _: &mut Self::Context) {
        if session == self.session {
            self.backoff.succeed();
            self.tries = 0;
        }
    }
}

impl Handler<End> for LinkActor {
    type Result = ();

    fn handle(&mut self, end: End, ctx: &mut Self::Context) {
        let End { session, reason, retry_ms, is_final } = end;
        if session == u64::MAX {
            self.is_leaving = true;
            self.end(0, "leaving");
            return ctx.stop();
        }
        if session != self.session || self.live.is_none() {
            return;
        }
        self.end(1, &reason);
        if is_final {
            self.tell(LinkNote { note: reason, is_final });
        } else {
            self.retry(retry_ms, ctx);
        }
    }
}

impl Handler<Cut> for LinkActor {
    type Result = ();

    fn handle(&mut self, _: Cut, ctx: &mut Self::Context) {
        let Some(live) = &self.live else { return };
        if let Err(error) = live.endpoint.rebind_abstract(Arc::new(Void)) {
            tracing::warn!(%error, "the line is closed politely, since it cannot be cut");
        }
        self.end(0, "the line was cut");
        self.retry(None, ctx);
    }
}

impl Handler<Leave> for LinkActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        self.is_leaving = true;
        let live = self.live.take();
        self.line.send_replace(None);
        Box::pin(async move {
            let Some(Live { endpoint, connection, outbox, reader, writer }) = live else { return };
            // Without its sender the writer empties the outbox, and waits until all has arrived.
            drop(outbox);
            drop(tokio::time::timeout(FAREWELL, writer).await);
            reader.abort();
            connection.close(0_u32.into(), b"leaving");
            drop(tokio::time::timeout(FAREWELL, endpoint.wait_idle()).await);
        })
    }
}

impl std::fmt::Debug for LinkActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkActor").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn read(session: u64, link: Addr<LinkActor>, agent: Addr<AgentActor>, mut recv: RecvStream) {
    let reason = loop {
        let frame = match dial::read_frame::<ToWorker>(&mut recv).await {
            Ok(frame) => Box::new(frame),
            Err(error) => break error.to_string(),
        };
        if agent.send(FromLink { session, event: LinkEvent::Frame(frame) }).await.is_err() {
            return;
        }
    };
    link.do_send(End { session, reason, retry_ms: None, is_final: false });
}

async fn write(
    session: u64,
    link: Addr<LinkActor>,
    mut send: SendStream,
    mut frames: mpsc::Receiver<Vec<u8>>,
    mut status: watch::Receiver<Status>,
) {
    let (mut said, slept) = (Instant::now(), clock::slept());
    let mut beat = Vec::new();
    wire::encode(&ToScheduler::Heartbeat, &mut beat);
    let reason = loop {
        let is_busy = !status.borrow_and_update().view.jobs.is_empty();
        let due = said + if is_busy { HEARTBEAT_BUSY } else { HEARTBEAT };
        let frame = tokio::select! {
            frame = frames.recv() => frame,
            () = tokio::time::sleep_until(due) => Some(beat.clone()),
            // Whoever gets work speaks more often, and nobody wakes for that until then.
            Ok(()) = status.changed() => continue,
        };
        said = Instant::now();
        let away = clock::slept().saturating_sub(slept);
        if away > SLEPT {
            break format!("this machine slept for {} s", away.as_secs());
        }
        let Some(frame) = frame else {
            // `finish` is not "delivered": `stopped` resolves once all was acknowledged.
            if send.finish().is_ok() {
                drop(send.stopped().await);
            }
            return;
        };
        if let Err(error) = send.write_all(&frame).await {
            break error.to_string();
        }
    };
    link.do_send(End { session, reason, retry_ms: None, is_final: false });
}
