//! Reading from a stream that an untrusted peer writes: frames one by one, then perhaps a blob.
//! Nothing is allocated before its length was checked, and reading may be interrupted anywhere.

use crate::{blobs::Blobs, transport::PATIENCE};
use quinn::RecvStream;
use quorate_common::{
    digest::Digest,
    manifest::Manifest,
    wire::{FrameError, Inline, frame_len},
};
use tokio::{
    task::block_in_place,
    time::{Instant, timeout_at},
};

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Why nothing more comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The stream ended or the connection broke.
    #[error("{0}")]
    Lost(String),
    /// The peer sent nonsense.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame was begun and not finished in time.
    #[error("a frame was not finished in time")]
    Slow,
}

/// A stream's unread bytes.
#[derive(Debug)]
pub(crate) struct Inbox {
    recv: RecvStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out already.
    taken: usize,
    /// When the frame that is being read has to be whole, once it has begun.
    due: Option<Instant>,
}

impl Inbox {
    /// Starts at the stream's beginning.
    pub(crate) fn new(recv: RecvStream) -> Self {
        Self { recv, buffer: Vec::new(), taken: 0, due: None }
    }

    /// The next frame's body. May be dropped while it waits: nothing is lost.
    pub(crate) async fn frame(&mut self) -> Result<&[u8], ReadError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.is_empty() {
            // An idle worker holds no buffer.
            self.buffer.shrink_to(0);
        }
        loop {
            if let Some(prefix) = self.buffer.first_chunk::<4>() {
                let len = frame_len(*prefix)?;
                if self.buffer.len() >= 4 + len {
                    (self.taken, self.due) = (4 + len, None);
                    return Ok(&self.buffer[4..4 + len]);
                }
            }
            if self.buffer.is_empty() {
                self.fill().await?;
            } else {
                // Kept here, because this future may be dropped between two bytes.
                let due = *self.due.get_or_insert_with(|| Instant::now() + PATIENCE);
                timeout_at(due, self.fill()).await.map_err(|_| ReadError::Slow)??;
            }
        }
    }

    async fn fill(&mut self) -> Result<(), ReadError> {
        let chunk = self.recv.read_chunk(READ_BYTES, true).await;
        match chunk.map_err(|error| ReadError::Lost(error.to_string()))? {
            Some(chunk) => {
                self.buffer.extend_from_slice(&chunk.bytes);
                Ok(())
            }
            None => Err(ReadError::Lost("the peer closed the stream".into())),
        }
    }

    /// The `len` bytes behind the frames, into the blob store.
    pub(crate) async fn store(
        mut self,
        blobs: &Blobs,
        digest: Digest,
        len: u64,
    ) -> Result<(), String> {
        self.buffer.drain(..self.taken);
        let mut upload = blobs.begin();
        let mut left = len;
        loop {
            let take = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            block_in_place(|| upload.write(&self.buffer[..take])).map_err(|e| e.to_string())?;
            left -= take as u64;
            self.buffer.clear();
            if left == 0 {
                break;
            }
            self.fill().await.map_err(|error| error.to_string())?;
        }
        block_in_place(|| upload.finish(Some(digest))).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// Whether inline blobs are the whole result: the manifest first, then what it names, in order.
pub(crate) fn check_inline(digest: Digest, inline: &Inline) -> Result<(), &'static str> {
    let (manifest, rest) = inline.blobs.split_first().ok_or("an inline result is empty")?;
    if Digest::of(manifest) != digest {
        return Err("an inline manifest has another digest than its vote");
    }
    let manifest = Manifest::parse(manifest).map_err(|_| "an inline manifest is not canonical")?;
    let entries = manifest.stdout.iter().chain(manifest.files.iter().map(|(_, entry)| entry));
    let mut rest = rest.iter();
    for entry in entries {
        let blob = rest.next().ok_or("an inline result lacks a blob its manifest names")?;
        if Digest::of(blob).0 != entry.digest {
            return Err("an inline blob has another digest than its manifest says");
        }
    }
    if rest.next().is_some() {
        return Err("an inline result has a blob its manifest does not name");
    }
    Ok(())
}
