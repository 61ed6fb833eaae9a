//! Blobs over QUIC: one stream each, checked against their name before they are kept.
//! Which blobs, and when to give up, is `deals`' and `jobs`' business.

use crate::{
    blobs::{BlobError, Blobs},
    pace::{Booking, PIECE_BYTES_MAX, Pace},
};
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
    /// More than the owner's month has.
    #[error("blob {digest} has {len} bytes; this month {left} are left (network.month_mib)")]
    Month {
        /// Which.
        digest: Digest,
        /// Bytes of it that are to come.
        len: u64,
        /// Bytes that are left.
        left: u64,
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

/// Fetches a blob into the folder, from where it broke off last time, as fast as `pace` lets it. One call at a time
/// for each blob.
///
/// # Errors
/// [`TransferError`]; after [`TransferError::Broken`] what came is kept for the next call.
pub async fn get(
    (connection, pace): (&Connection, &Pace),
    blobs: &Blobs,
    digest: Digest,
    most: u64,
) -> Result<(), TransferError> {
    let _turn = pace.down().turn().await;
    let path = blobs.part(digest);
    let outcome = get_rest((connection, pace), blobs, (digest, most), &path).await;
    match &outcome {
        Ok(()) => {}
        Err(TransferError::Broken(_)) => blobs.keep_part(digest),
        // What came is of no use; a restart would remove it as well.
        Err(_) => drop(tokio::fs::remove_file(&path).await),
    }
    outcome
}

async fn get_rest(
    (connection, pace): (&Connection, &Pace),
    blobs: &Blobs,
    (digest, most): (Digest, u64),
    path: &Path,
) -> Result<(), TransferError> {
    let disk = |source| TransferError::Disk { digest, source };
    let (mut part, from) = Part::open(path).await.map_err(disk)?;
    let (mut send, mut recv) = open(connection, &Open::Get { digest, from }).await?;
    send.finish().map_err(broken)?;
    let len = timely(recv.read_u64_le()).await?;
    if len == NOT_HERE {
        return Err(TransferError::Refused(digest));
    }
    if len > most {
        return Err(TransferError::TooLong { digest, len, most });
    }
    blobs.make_room(digest, len)?;
    let left = len.checked_sub(from).ok_or(TransferError::WrongBytes(digest))?;
    let mut booked = pace.book(digest, left)?;
    part.receive(&mut recv, (pace, &mut booked), digest, left).await?;
    part.file.sync_data().await.map_err(disk)?;
    Ok(blobs.adopt(digest, len, path)?)
}

/// Brings a blob from the folder to the scheduler, as fast as `pace` lets it.
///
/// # Errors
/// [`TransferError`].
pub async fn put(
    (connection, pace): (&Connection, &Pace),
    blobs: &Blobs,
    digest: Digest,
) -> Result<(), TransferError> {
    let _turn = pace.up().turn().await;
    let disk = |source| TransferError::Disk { digest, source };
    let mut file = File::open(blobs.path(digest)).await.map_err(disk)?;
    let len = file.metadata().await.map_err(disk)?.len();
    let (mut send, mut recv) = open(connection, &Open::Put { digest, len }).await?;
    let mut chunk = vec![0; PIECE_BYTES_MAX];
    loop {
        let piece = pace.up().piece();
        let read = file.read(&mut chunk[..piece]).await.map_err(disk)?;
        if read == 0 {
            break;
        }
        pace.up().pay(read).await;
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

/// What has come of a blob.
struct Part {
    file: File,
    hash: Sha256,
}

impl Part {
    /// The file with what came before, and how many bytes that are.
    async fn open(path: &Path) -> io::Result<(Self, u64)> {
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let (mut file, mut hash) = (options.open(path).await?, Sha256::new());
        let (mut chunk, mut from) = (vec![0; PIECE_BYTES_MAX], 0);
        loop {
            let read = file.read(&mut chunk).await?;
            if read == 0 {
                return Ok((Self { file, hash }, from));
            }
            hash.update(&chunk[..read]);
            from += read as u64;
        }
    }

    /// Takes what is left; all that comes is on the file before an error is returned.
    async fn receive(
        &mut self,
        recv: &mut RecvStream,
        (pace, booked): (&Pace, &mut Booking<'_>),
        digest: Digest,
        mut left: u64,
    ) -> Result<(), TransferError> {
        let disk = |source| TransferError::Disk { digest, source };
        loop {
            let chunk = timely(recv.read_chunk(pace.down().piece(), true)).await;
            let Ok(Some(chunk)) = chunk else {
                self.file.flush().await.map_err(disk)?;
                chunk?;
                break;
            };
            let len = chunk.bytes.len() as u64;
            left = left.checked_sub(len).ok_or(TransferError::WrongBytes(digest))?;
            self.hash.update(&chunk.bytes);
            self.file.write_all(&chunk.bytes).await.map_err(disk)?;
            booked.moved(len);
            pace.down().pay(chunk.bytes.len()).await;
        }
        let whole = left == 0 && Digest(self.hash.finalize_reset().into()) == digest;
        if whole { Ok(()) } else { Err(TransferError::WrongBytes(digest)) }
    }
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
