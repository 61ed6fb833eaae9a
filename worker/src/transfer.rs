//! Blobs over QUIC: one stream each, checked against their name before they are kept.
//! Which blobs, and when to give up, is `deals`' and `jobs`' business.

use crate::blobs::{BlobError, Blobs};
use quinn::{Connection, RecvStream, SendStream};
use quorate_common::{
    digest::Digest,
    wire::{self, Open},
};
use sha2::{Digest as _, Sha256};
use std::{future::Future, io, path::Path, time::Duration};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
};

/// The connection of the moment, if there is one.
pub type Line = watch::Receiver<Option<Connection>>;

/// Silence on a transfer after which it has failed: as long as QUIC waits for a lost peer.
const STALL: Duration = quorate_common::quic::IDLE;
/// Bytes moved at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// The length that says "not here".
const NOT_HERE: u64 = u64::MAX;

/// Why a blob did not travel.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The connection broke or stalled; try again on the next one.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The scheduler does not have it, or does not want it.
    #[error("the scheduler refuses blob {0}")]
    Refused(Digest),
    /// Longer than anything we asked for may be.
    #[error("blob {digest} has {len} bytes; expected at most {most}")]
    TooLong {
        /// Which.
        digest: Digest,
        /// Its length.
        len: u64,
        /// What it may be.
        most: u64,
    },
    /// Other bytes came than were asked for.
    #[error("the bytes sent for blob {0} are not its own")]
    WrongBytes(Digest),
    /// It cannot be kept or read here.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk failed under a transfer.
    #[error("blob {digest} cannot be moved from or to the disk")]
    Disk {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Fetches a blob into the folder.
///
/// # Errors
/// [`TransferError`]; nothing is kept then.
pub async fn get(
    connection: &Connection,
    blobs: &Blobs,
    digest: Digest,
    most: u64,
) -> Result<(), TransferError> {
    let (mut send, mut recv) = open(connection, &Open::Get { digest }).await?;
    send.finish().map_err(broken)?;
    let len = timely(recv.read_u64_le()).await?;
    if len == NOT_HERE {
        return Err(TransferError::Refused(digest));
    }
    if len > most {
        return Err(TransferError::TooLong { digest, len, most });
    }
    let path = blobs.temporary(digest, len)?;
    let outcome = receive(&mut recv, digest, len, &path).await;
    match outcome {
        Ok(()) => Ok(blobs.adopt(digest, len, &path)?),
        Err(error) => {
            // The half of it is of no use; a restart would remove it as well.
            drop(tokio::fs::remove_file(&path).await);
            Err(error)
        }
    }
}

/// Brings a blob from the folder to the scheduler.
///
/// # Errors
/// [`TransferError`].
pub async fn put(
    connection: &Connection,
    blobs: &Blobs,
    digest: Digest,
) -> Result<(), TransferError> {
    let disk = |source| TransferError::Disk { digest, source };
    let mut file = File::open(blobs.path(digest)).await.map_err(disk)?;
    let len = file.metadata().await.map_err(disk)?.len();
    let (mut send, mut recv) = open(connection, &Open::Put { digest, len }).await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).await.map_err(disk)?;
        if read == 0 {
            break;
        }
        timely(send.write_all(&chunk[..read])).await?;
    }
    send.finish().map_err(broken)?;
    match timely(recv.read_u8()).await? {
        0 => Ok(()),
        _ => Err(TransferError::Refused(digest)),
    }
}

async fn open(
    connection: &Connection,
    first: &Open,
) -> Result<(SendStream, RecvStream), TransferError> {
    let (mut send, recv) = timely(connection.open_bi()).await?;
    let mut frame = Vec::new();
    wire::encode(first, &mut frame);
    timely(send.write_all(&frame)).await?;
    Ok((send, recv))
}

async fn receive(
    recv: &mut RecvStream,
    digest: Digest,
    len: u64,
    path: &Path,
) -> Result<(), TransferError> {
    let disk = |source| TransferError::Disk { digest, source };
    let mut file = File::create(path).await.map_err(disk)?;
    let mut hash = Sha256::new();
    let mut left = len;
    while let Some(chunk) = timely(recv.read_chunk(CHUNK_BYTES, true)).await? {
        left =
            left.checked_sub(chunk.bytes.len() as u64).ok_or(TransferError::WrongBytes(digest))?;
        hash.update(&chunk.bytes);
        file.write_all(&chunk.bytes).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    let is_whole = left == 0 && Digest(hash.finalize().into()) == digest;
    if is_whole { Ok(()) } else { Err(TransferError::WrongBytes(digest)) }
}

/// Gives up when nothing moves.
async fn timely<T, E: ToString>(
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, TransferError> {
    match tokio::time::timeout(STALL, step).await {
        Ok(outcome) => outcome.map_err(broken),
        Err(_) => Err(TransferError::Broken(format!("nothing moved for {} s", STALL.as_secs()))),
    }
}

fn broken(error: impl ToString) -> TransferError {
    TransferError::Broken(error.to_string())
}
