//! Two machines become known to each other by a code that only their owner has seen. The keys they show are
//! part of what the code proves (SPAKE2, RFC 9382: the identities go into the shared key), so that nobody
//! in the middle can show others.

use crate::{
    Code,
    book::Machine,
    code::{LIFE, TRIES},
    frame,
};
use quorate_common::{B256, digest::Digest};
use serde::{Deserialize, Serialize};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

/// Bytes of a pairing frame: a name, a key, a proof.
const FRAME_BYTES_MAX: u32 = 1024;
/// Bytes of a machine's name, as of a worker's.
const NAME_BYTES_MAX: usize = 64;
/// Longest pairing talk: four frames between two programs.
const TALK: Duration = Duration::from_secs(20);

/// What a machine shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// For people.
    pub name: String,
    /// Who it is.
    pub key: B256,
    /// UDP port where it listens for its companions, if it does.
    pub port: Option<u16>,
}

/// Why two machines do not know each other now.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The line broke, or something else was at the other end.
    #[error("the other machine does not answer as one that pairs: {0}")]
    Line(#[from] io::Error),
    /// The codes differ, or somebody is in the middle.
    #[error("the codes differ; type what the other machine shows now")]
    WrongCode,
    /// Nothing that can be kept.
    #[error(
        "the other machine's name has {0} bytes or control characters; expected 1 to 64 plain ones"
    )]
    Name(usize),
    /// Nobody came, or only wrong codes.
    #[error("the code is not good any more; begin again for a new one")]
    Spent,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    card: Card,
    element: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    element: String,
    proof: Digest,
}

/// Waits, where the code is shown, until the machine comes where it is typed.
///
/// # Errors
/// [`PairError::Spent`] after three wrong codes or ten minutes.
pub async fn host(listener: &TcpListener, own: &Card, code: Code) -> Result<Machine, PairError> {
    let end = Instant::now() + LIFE;
    let mut tries = 0;
    while tries < TRIES {
        let accepted = timeout_at(end, listener.accept()).await.map_err(|_| PairError::Spent)?;
        let (mut stream, peer) = accepted?;
        let talk = timeout(TALK, welcome(&mut stream, own, code, &mut tries)).await;
        match talk {
            Ok(Ok(card)) => return machine(card, peer.ip()),
            Ok(Err(error)) => tracing::info!(%error, %peer, "not paired"),
            Err(_) => tracing::info!(%peer, "not paired: silence"),
        }
    }
    Err(PairError::Spent)
}

/// Goes, where the code was typed, to the machine that shows it.
///
/// # Errors
/// [`PairError`].
pub async fn join(to: SocketAddr, own: &Card, code: Code) -> Result<Machine, PairError> {
    let talk = async {
        let mut stream = TcpStream::connect(to).await?;
        let other: Card = frame::read(&mut stream, FRAME_BYTES_MAX).await?;
        let (side, element) = Spake2::<Ed25519Group>::start_a(
            &Password::new(code.secret()),
            &identity(own),
            &identity(&other),
        );
        let element = hex::encode(element);
        frame::write(&mut stream, &Opening { card: own.clone(), element }).await?;
        let reply: Reply = frame::read(&mut stream, FRAME_BYTES_MAX).await?;
        let key = finish(side, &reply.element)?;
        if reply.proof != proof(&key, b"host") {
            return Err(PairError::WrongCode);
        }
        frame::write(&mut stream, &proof(&key, b"join")).await?;
        // The other side has written us down.
        let true = frame::read(&mut stream, FRAME_BYTES_MAX).await? else {
            return Err(PairError::WrongCode);
        };
        machine(other, to.ip())
    };
    let silence = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 20 s");
    timeout(TALK, talk).await.map_err(|_| silence())?
}

/// A try counts as soon as the proof is out: from then on the other side knows whether its code was right.
async fn welcome(
    stream: &mut TcpStream,
    own: &Card,
    code: Code,
    tries: &mut u8,
) -> Result<Card, PairError> {
    frame::write(stream, own).await?;
    let Opening { card, element } = frame::read(stream, FRAME_BYTES_MAX).await?;
    let (side, reply) = Spake2::<Ed25519Group>::start_b(
        &Password::new(code.secret()),
        &identity(&card),
        &identity(own),
    );
    let key = finish(side, &element)?;
    *tries += 1;
    let reply = Reply { element: hex::encode(reply), proof: proof(&key, b"host") };
    frame::write(stream, &reply).await?;
    let theirs: Digest = frame::read(stream, FRAME_BYTES_MAX).await?;
    let is_good = theirs == proof(&key, b"join");
    frame::write(stream, &is_good).await?;
    if is_good { Ok(card) } else { Err(PairError::WrongCode) }
}

fn finish(side: Spake2<Ed25519Group>, element: &str) -> Result<Vec<u8>, PairError> {
    let element = hex::decode(element).map_err(|_| PairError::WrongCode)?;
    side.finish(&element).map_err(|_| PairError::WrongCode)
}

/// Everything a card says, so that nobody changes a port or a name on the way either.
fn identity(card: &Card) -> Identity {
    let text = format!("{}/{:?}/{}", card.key, card.port, card.name);
    Identity::new(text.as_bytes())
}

/// Key and role have fixed lengths, so the hash is a proof of the key.
fn proof(key: &[u8], role: &[u8; 4]) -> Digest {
    Digest::of(&[b"quorate.pair/v1", key, role].concat())
}

fn machine(card: Card, from: IpAddr) -> Result<Machine, PairError> {
    let Card { name, key, port } = card;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(PairError::Name(name.len()));
    }
    Ok(Machine { name, key, address: port.map(|port| SocketAddr::new(from, port)) })
}
