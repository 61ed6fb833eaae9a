//! A blob on its way to the disk: from where it broke off, counted, hashed, and never more than was signed for.

use crate::{RegistryError, Repository, registries::SILENCE};
use quorate_common::{image::Part, report::Chain};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

/// Below this a registry is dripping, not sending: what came is kept for the next try.
const BYTES_PER_S_MIN: u64 = 64 << 10;
const CHUNK_BYTES: usize = 64 << 10;

/// Says how long to wait after so many bytes more.
pub type Pace<'a> = &'a mut (dyn FnMut(usize) -> Duration + Send);

/// What has come of a blob.
struct Coming {
    file: File,
    hash: Sha256,
    len: u64,
}

impl Repository {
    /// Makes `path` be the blob. What is there already is taken for its beginning. `pace` is waited for after each piece
    /// that came.
    ///
    /// # Errors
    /// [`RegistryError`]; after one that may pass, what came is there for the next call, after any other the file is gone.
    pub async fn blob(&self, part: Part, path: &Path, pace: Pace<'_>) -> Result<(), RegistryError> {
        let fetched = self.rest(part, path, pace).await;
        if fetched.as_ref().is_err_and(|error| !error.may_pass()) {
            // It may never have been made.
            drop(tokio::fs::remove_file(path).await);
        }
        fetched
    }

    async fn rest(&self, part: Part, path: &Path, pace: Pace<'_>) -> Result<(), RegistryError> {
        let disk = |source| RegistryError::Disk { path: path.to_owned(), source };
        let mut coming = Coming::open(path, part.bytes).await.map_err(disk)?;
        if coming.len < part.bytes {
            let response = self.blob_response(part, coming.len).await?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                coming.begin_anew().await.map_err(disk)?;
            }
            let place = self.place(part);
            let received = coming.receive(response, (part.bytes, &place), path, pace).await;
            coming.file.sync_data().await.map_err(disk)?;
            received?;
        }
        if coming.hash.finalize()[..] != part.digest.0[..] {
            return Err(RegistryError::WrongBytes(self.place(part)));
        }
        Ok(())
    }
}

impl Coming {
    async fn open(path: &Path, most: u64) -> io::Result<Self> {
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut coming = Self { file: options.open(path).await?, hash: Sha256::new(), len: 0 };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = coming.file.read(&mut chunk).await?;
            coming.hash.update(&chunk[..read]);
            coming.len += read as u64;
            if coming.len > most {
                coming.begin_anew().await?;
                return Ok(coming);
            }
            if read == 0 {
                return Ok(coming);
            }
        }
    }

    async fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        (self.hash, self.len) = (Sha256::new(), 0);
        Ok(())
    }

    async fn receive(
        &mut self,
        mut response: Response,
        (bytes, place): (u64, &str),
        path: &Path,
        pace: Pace<'_>,
    ) -> Result<(), RegistryError> {
        let disk = |source| RegistryError::Disk { path: path.to_owned(), source };
        let (mut waited, began, from) = (Duration::ZERO, Instant::now(), self.len);
        loop {
            let chunk = response
                .chunk()
                .await
                .map_err(|error| RegistryError::unreachable(place, Chain(&error.without_url())));
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) if self.len == bytes => return Ok(()),
                Ok(None) => {
                    let text = format!("it ends after {} of {bytes} bytes", self.len);
                    return Err(RegistryError::unreachable(place, text));
                }
                Err(error) => return Err(error),
            };
            self.len += chunk.len() as u64;
            if self.len > bytes {
                return Err(RegistryError::TooLong { place: place.to_owned(), most: bytes });
            }
            self.hash.update(&chunk);
            self.file.write_all(&chunk).await.map_err(disk)?;
            let paid = Instant::now();
            tokio::time::sleep(pace(chunk.len())).await;
            waited += paid.elapsed();
            // What the owner's own limit takes is not the registry's fault.
            let least = (self.len - from) / BYTES_PER_S_MIN;
            if began.elapsed().saturating_sub(waited) > SILENCE + Duration::from_secs(least) {
                return Err(RegistryError::unreachable(place, "it comes too slowly"));
            }
        }
    }
}
