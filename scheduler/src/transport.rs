//! The QUIC side: accepts workers, proves who they are, turns frames into inputs and serves blobs on
//! streams of their own. A peer's mistake ends its session and nothing else.

use crate::{
    actors::{
        grid::{Arrived, Gone, GridActor, Opened, Query},
        session::{SessionActor, WRITES_MAX},
    },
    blobs::BlobReader,
    door::{Answer, Door, Pass, STAY},
    fence,
    inbox::{self, Inbox},
    shared::Shared,
};
use actix::{Actor as _, Addr, ArbiterHandle};
use alloy_primitives::B256;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use quorate_common::{
    digest::Digest,
    frame::FrameTree,
    keys::node_signed,
    tls::peer_key,
    wire::{self, BINDING_CONTEXT, FrameError, Goodbye, Hello, Open, ToScheduler, ToWorker, Votes},
};
use quorate_grid::{
    Grid, Input,
    input::{CommitVote, RevealVote, SessionId, SignedVotes},
};
use std::{
    io::{self, Read as _},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::block_in_place,
    time::timeout,
};

/// How long a peer may take to open its control stream and say hello, and to finish a frame it began.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes a second below which an upload is given up: a modem's rate. Whoever trickles holds a file open.
const SLOWEST_BYTES_S: u64 = 4 << 10;
/// Bytes copied at once between a stream and a file.
const CHUNK_BYTES: usize = 64 << 10;

/// What every session needs.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Keys, clocks, blobs.
    pub shared: Arc<Shared>,
    /// Where inputs go.
    pub grid: Addr<GridActor>,
    /// Where session actors run.
    pub arbiters: Arc<[ArbiterHandle]>,
    /// Who may come in.
    pub door: Arc<Door>,
    /// The next session's number.
    pub sessions: Arc<AtomicU64>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("a frame was refused: {0}")]
    Frame(#[from] FrameError),
    #[error("frame field `hello.version` is {0}; expected {expected}", expected = wire::VERSION)]
    Version(u16),
    #[error("the peer took too long")]
    Slow,
    #[error("{0}")]
    Refused(&'static str),
}

impl From<quinn::ConnectionError> for End {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<inbox::ReadError> for End {
    fn from(error: inbox::ReadError) -> Self {
        match error {
            inbox::ReadError::Lost(why) => Self::Lost(why),
            inbox::ReadError::Frame(error) => Self::Frame(error),
            inbox::ReadError::Slow => Self::Slow,
        }
    }
}

impl Transport {
    /// Accepts workers until the endpoint is closed.
    pub async fn serve(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            // Before anything is spawned or computed for it.
            let (from, validated) =
                (incoming.remote_address(), incoming.remote_address_validated());
            match self.door.knock(from.ip(), validated, Instant::now()) {
                Answer::Enter(pass) => {
                    let transport = self.clone();
                    tokio::spawn(async move { transport.peer(incoming, Arc::new(pass)).await });
                }
                // It answers with the same first packet and a token of ours.
                Answer::Ask => drop(incoming.retry()),
                Answer::Ignore => {
                    self.shared.metrics.sessions_ended.with_label_values(&["ignored"]).inc();
                    incoming.ignore();
                }
            }
        }
    }

    async fn peer(self, incoming: Incoming, pass: Arc<Pass>) {
        let Ok(Ok(connection)) = timeout(PATIENCE, async { incoming.await }).await else { return };
        self.shared.metrics.sessions_started.inc();
        self.shared.metrics.connections.inc();
        let end = self.session(&connection, &pass).await;
        self.shared.metrics.connections.dec();
        self.close(&connection, end);
    }

    fn close(&self, connection: &Connection, end: End) {
        let reason = match &end {
            End::Lost(_) => "closed",
            End::Frame(_) => "bad_frame",
            End::Slow => "slow",
            End::Refused(_) | End::Version(_) => "refused",
        };
        if matches!(end, End::Frame(_)) {
            self.shared.metrics.frames_refused.inc();
        }
        self.shared.metrics.sessions_ended.with_label_values(&[reason]).inc();
        if !matches!(end, End::Lost(_)) {
            let from = connection.remote_address().ip();
            let (at, who) = (self.shared.now().unix_ms, identity(connection));
            self.shared.visitors.refused(at, from, who, &end.to_string());
        }
        tracing::debug!(peer = %connection.remote_address(), %end, "session ended");
        connection.close(VarInt::from_u32(2), end.to_string().as_bytes());
    }

    /// Runs one worker's session to its end.
    async fn session(&self, connection: &Connection, pass: &Arc<Pass>) -> End {
        let opened = timeout(PATIENCE, self.open(connection)).await.unwrap_or(Err(End::Slow));
        let (hello, node_key, send, inbox) = match opened {
            Ok(opened) => opened,
            Err(end) => return end,
        };
        let session = SessionId(self.sessions.fetch_add(1, Ordering::Relaxed));
        let (writer, frames) = mpsc::channel(WRITES_MAX);
        tokio::spawn(write(send, frames));
        let actor = SessionActor::new(
            Arc::clone(&self.shared),
            writer,
            connection.clone(),
            Arc::clone(pass),
        );
        let arbiter = &self.arbiters[(session.0 % self.arbiters.len() as u64) as usize];
        let addr = SessionActor::start_in_arbiter(arbiter, |_| actor);
        #[cfg(feature = "byzantine")]
        crate::byzantine::meet(session, &addr);
        self.grid.do_send(Opened(session, addr));
        let connected = Input::Connected {
            session,
            node_key,
            vote_key: hello.vote_key,
            slots: hello.slots,
            net: network(connection.remote_address().ip()),
            engine: hello.engine.hash,
            ask: hello.ask,
            holding: hello.holding.clone(),
        };
        let end = match self.tell(connected).await {
            Ok(()) => {
                tokio::select! {
                    end = self.listen(connection, session, &hello, inbox) => end,
                    end = outstay(pass) => end,
                }
            }
            Err(end) => end,
        };
        self.grid.do_send(Gone(session));
        end
    }

    /// The control stream and a hello that holds.
    async fn open(&self, connection: &Connection) -> Result<(Hello, B256, SendStream, Inbox), End> {
        let node_key = identity(connection).ok_or(End::Refused("no ed25519 identity"))?;
        let (mut send, recv) = connection.accept_bi().await?;
        let mut inbox = Inbox::new(recv);
        let body = inbox.frame().await?;
        if let Some(version) = wire::hello_version(body).filter(|it| *it != wire::VERSION) {
            part(&mut send, version).await;
            return Err(End::Version(version));
        }
        let Open::Control(hello) = wire::decode(body)? else {
            return Err(End::Refused("the first stream must be the control stream"));
        };
        hello.check()?;
        if hello.pool != self.shared.pool {
            return Err(End::Refused("this scheduler runs another pool"));
        }
        let binding = Hello::binding_message(&self.shared.separator, hello.pool, hello.vote_key);
        if !node_signed(node_key, BINDING_CONTEXT, &binding, &hello.binding_bytes()) {
            return Err(End::Refused("the node key did not sign the vote key"));
        }
        self.shared.visitors.named(node_key, &hello.name);
        if let Some(word) = &hello.newest {
            fence::check_word(&self.shared, word);
        }
        Ok((hello, node_key, send, inbox))
    }

    async fn listen(
        &self,
        connection: &Connection,
        session: SessionId,
        hello: &Hello,
        mut inbox: Inbox,
    ) -> End {
        loop {
            tokio::select! {
                frame = inbox.frame() => {
                    let told = match frame {
                        Ok(body) => self.hear(connection, session, hello, body).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(end) = told {
                        return end;
                    }
                }
                stream = connection.accept_bi() => match stream {
                    Ok((send, recv)) => {
                        let transport = self.clone();
                        tokio::spawn(async move { transport.transfer(session, send, recv).await });
                    }
                    Err(error) => return error.into(),
                },
            }
        }
    }

    async fn hear(
        &self,
        connection: &Connection,
        session: SessionId,
        hello: &Hello,
        body: &[u8],
    ) -> Result<(), End> {
        match wire::decode::<ToScheduler>(body)? {
            ToScheduler::Votes(votes) => {
                let votes = self.check(hello, votes)?;
                #[cfg(feature = "byzantine")]
                let votes = crate::byzantine::forget(session, votes);
                self.tell(Input::Votes(session, votes)).await
            }
            ToScheduler::GaveUp(gave_up) => self.tell(Input::GaveUp(session, gave_up)).await,
            ToScheduler::Slots(slots) if slots > wire::SLOTS_MAX => {
                Err(End::Refused("slots: expected at most 1024"))
            }
            ToScheduler::Slots(slots) => self.tell(Input::Slots(session, slots)).await,
            ToScheduler::Containers(engine) => self.tell(Input::Containers(session, engine)).await,
            ToScheduler::Heartbeat => {
                self.shared.metrics.rtt.observe(connection.rtt().as_secs_f64());
                Ok(())
            }
        }
    }

    /// Checks a frame's signature and digests, and places every vote in it.
    fn check(&self, hello: &Hello, votes: Votes) -> Result<SignedVotes, End> {
        votes.check()?;
        let shared = &self.shared;
        let hashes = votes
            .hashes(shared.pool, |task| shared.deal_id(task))
            .ok_or(End::Refused("a vote names a deal nobody told of"))?;
        let tree = FrameTree::new(&hashes);
        let digest = shared.separator.digest(tree.struct_hash());
        let signer = quorate_common::keys::recover(digest, &votes.signature);
        if signer != Some(hello.vote_key) {
            return Err(End::Refused("a frame of votes is not signed by the vote key"));
        }
        for reveal in &votes.reveals {
            if let Some(inline) = &reveal.inline {
                inbox::check_inline(reveal.digest, inline).map_err(End::Refused)?;
            }
        }
        Ok(placed(votes, &hashes, &tree))
    }

    async fn tell(&self, input: Input) -> Result<(), End> {
        self.grid.send(Arrived(input)).await.map_err(|_| End::Refused("the scheduler is stopping"))
    }

    /// One blob, one way or the other.
    async fn transfer(self, session: SessionId, mut send: SendStream, recv: RecvStream) {
        let mut inbox = Inbox::new(recv);
        let Ok(Ok(body)) = timeout(PATIENCE, inbox.frame()).await else { return };
        let outcome = match wire::decode(body) {
            Ok(Open::Get { digest, from }) => self.get(&mut send, session, digest, from).await,
            Ok(Open::Put { digest, len }) => self.put(&mut send, inbox, digest, len).await,
            Ok(Open::Control(_)) | Err(_) => Err("expected a get or a put".into()),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "transfer failed");
        }
        drop(send.finish());
        drop(send.stopped().await);
    }

    /// A blob from a byte on. What is guarded is here only for those it is paid for.
    async fn get(
        &self,
        send: &mut SendStream,
        session: SessionId,
        digest: Digest,
        from: u64,
    ) -> Result<(), String> {
        let allowed = !self.shared.blobs.is_guarded(&digest) || self.reads(session, digest).await;
        let reader =
            if allowed { block_in_place(|| self.shared.blobs.reader(&digest)).ok() } else { None };
        let Some(mut reader) = reader else {
            return send.write_all(&u64::MAX.to_le_bytes()).await.map_err(|e| e.to_string());
        };
        let len = reader.len();
        send.write_all(&len.to_le_bytes()).await.map_err(|error| error.to_string())?;
        let skip = |reader: &mut BlobReader| io::copy(&mut reader.take(from), &mut io::sink());
        block_in_place(|| skip(&mut reader)).map_err(|error| error.to_string())?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = block_in_place(|| reader.read(&mut chunk)).map_err(|e| e.to_string())?;
            if read == 0 {
                break;
            }
            send.write_all(&chunk[..read]).await.map_err(|error| error.to_string())?;
        }
        let sent = len.saturating_sub(from);
        self.shared.metrics.transfer_bytes.with_label_values(&["out"]).inc_by(sent);
        Ok(())
    }

    /// Whether a session's worker has a task of a deal that paid for the dataset.
    async fn reads(&self, session: SessionId, dataset: Digest) -> bool {
        let (reply, hear) = oneshot::channel();
        let ask = move |grid: &Grid| {
            // Nobody hears it while everything ends.
            reply.send(grid.reads(session, dataset)).ok();
        };
        self.grid.do_send(Query(Box::new(ask)));
        hear.await.unwrap_or(false)
    }

    async fn put(
        &self,
        send: &mut SendStream,
        inbox: Inbox,
        digest: Digest,
        len: u64,
    ) -> Result<(), String> {
        let within = PATIENCE * 6 + Duration::from_secs(len / SLOWEST_BYTES_S);
        let stored = timeout(within, inbox.store(&self.shared.blobs, digest, len)).await;
        let stored = stored.unwrap_or_else(|_| Err("the upload took too long".into()));
        let status = u8::from(stored.is_err());
        send.write_all(&[status]).await.map_err(|error| error.to_string())?;
        self.shared.metrics.transfer_bytes.with_label_values(&["in"]).inc_by(len);
        stored?;
        self.grid.do_send(crate::actors::grid::BlobHere(digest));
        Ok(())
    }
}

/// Tells a worker of another version what to do, in a frame that all versions understand.
async fn part(send: &mut SendStream, version: u16) {
    let (ours, all) = (wire::VERSION, "to work in this pool");
    let remedy = if version < ours {
        format!("update the worker {all}")
    } else {
        format!("ask the pool's operator to update the scheduler, or take an older worker {all}")
    };
    let reason = format!(
        "the scheduler speaks version {ours} of the protocol, the worker {version}: {remedy}"
    );
    let mut frame = Vec::new();
    wire::encode(&ToWorker::Goodbye(Goodbye { reason, retry_ms: None }), &mut frame);
    if send.write_all(&frame).await.is_ok() && send.finish().is_ok() {
        // Closing at once would throw the frame away; who does not read has the patience of a hello.
        drop(send.stopped().await);
    }
}

/// Ends a stranger's session in time; anybody else's never.
async fn outstay(pass: &Pass) -> End {
    tokio::time::sleep(STAY).await;
    if pass.is_stranger() {
        return End::Refused("the contract does not know this node key; register it and come back");
    }
    std::future::pending().await
}

/// Writes what the session actor hands over, until it is gone.
async fn write(mut send: SendStream, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = frames.recv().await {
        if send.write_all(&bytes).await.is_err() {
            return;
        }
    }
    drop(send.finish());
}

/// The node key a connection was opened with.
pub(crate) fn identity(connection: &Connection) -> Option<B256> {
    let identity = connection.peer_identity()?;
    let keys = identity.downcast::<Vec<quorate_common::tls::CertificateDer<'static>>>().ok()?;
    peer_key(keys.first()?)
}

/// Every vote with its place in the frame.
fn placed(votes: Votes, hashes: &[B256], tree: &FrameTree) -> SignedVotes {
    let signature = votes.signature;
    let proof = |index: usize| {
        let index = u32::try_from(index).expect("at most 256 messages");
        tree.proof(index, signature)
    };
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

/// The network a worker comes from, /24 or /48, so that no task gets two replicas from one. Loopback
/// and private addresses tell nothing: half the world's homes are 192.168.1.0/24.
pub(crate) fn network(ip: IpAddr) -> Option<u64> {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_private() || ip.is_link_local() => None,
        IpAddr::V4(ip) => Some(u64::from(u32::from(ip) >> 8)),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unique_local() => None,
        IpAddr::V6(ip) => Some((u128::from(ip) >> 80) as u64 | 1 << 63),
    }
}
