//! Two machines become known to each other by a code that only their owner has seen. The keys they show are
//! part of what the code proves (SPAKE2: both identities go into the shared key), so that nobody
//! in the middle can show others. That each has its key is shown in every talk that follows, by TLS.

use crate::{
    Code,
    book::{ALL, Machine},
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
        "the other machine's name has {0} bytes; expected 1 to 64, no control characters, and not `{ALL}`, which \
         means every machine; set another `name` there"
    )]
    Name(usize),
    /// Its own card came back.
    #[error("that is this machine itself; type the code on another one")]
    Itself,
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
/// One talk at a time: a stranger on this network can be in the way, and is no nearer to the code for it.
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
            Ok(Ok(card)) => return Ok(machine(card, peer.ip())),
            // The owner should see that somebody tries.
            Ok(Err(error)) => {
                tracing::warn!(%error, %peer, "not paired; {} of {TRIES} tries left", TRIES - tries);
            }
            Err(_) => tracing::warn!(%peer, "not paired: silence"),
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
        admit(own, &other)?;
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
        // The other side has seen that the codes agree.
        let true = frame::read(&mut stream, FRAME_BYTES_MAX).await? else {
            return Err(PairError::WrongCode);
        };
        Ok(machine(other, to.ip()))
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
    admit(own, &card)?;
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

/// Everything a card says, so that nobody changes a port or a name on the way either. What stands before the name
/// has a fixed length, so no two cards read the same.
fn identity(card: &Card) -> Identity {
    let [high, low] = card.port.unwrap_or(0).to_be_bytes();
    let port = [u8::from(card.port.is_some()), high, low];
    Identity::new(&[card.key.as_slice(), &port, card.name.as_bytes()].concat())
}

/// Key and role have fixed lengths, so the hash is a proof of the key.
fn proof(key: &[u8], role: &[u8; 4]) -> Digest {
    Digest::of(&[b"quorate.pair/v1", key, role].concat())
}

/// Before anything is proven, so that both sides refuse alike.
fn admit(own: &Card, other: &Card) -> Result<(), PairError> {
    let Card { name, key, .. } = other;
    if *key == own.key {
        return Err(PairError::Itself);
    }
    let is_plain = !name.chars().any(char::is_control) && name != ALL;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_plain {
        return Err(PairError::Name(name.len()));
    }
    Ok(())
}

fn machine(card: Card, from: IpAddr) -> Machine {
    let Card { name, key, port } = card;
    let address = port.map(|port| SocketAddr::new(from.to_canonical(), port));
    Machine { name, key, address }
}
