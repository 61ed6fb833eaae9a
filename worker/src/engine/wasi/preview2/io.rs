//! `wasi:io/error` and `wasi:io/streams`: bytes in and out. A stream always has bytes or is at its end, and always
//! has room or the run is over.

use super::held::{Held, InputStream, IoError, OutputStream, Pollable, Sink, Source, When};
use super::types::{ErrorCode, StreamError};
use super::{CALL_BYTES_MAX, Call, Context, Host, bytes, functions, give, interface, resource};
use crate::engine::meter::Halt;
use crate::engine::tree::{Fault, Ino};
use crate::engine::wasi::errno::Errno;
use wasmtime::component::{Linker, LinkerInstance, Resource, WasmList};

/// The descriptor of preview 1 whose position is that of standard input.
const STDIN: u32 = 0;

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut error = interface(linker, "io/error")?;
    resource::<IoError>(&mut error, "error")?;
    functions! { error, give:
        "[method]error.to-debug-string" = error_text(this: Resource<IoError>);
    }
    let mut streams = interface(linker, "io/streams")?;
    resource::<InputStream>(&mut streams, "input-stream")?;
    resource::<OutputStream>(&mut streams, "output-stream")?;
    functions! { streams, give:
        "[method]input-stream.subscribe" = input_ready(this: Resource<InputStream>);
        "[method]output-stream.subscribe" = output_ready(this: Resource<OutputStream>);
    }
    functions! { streams, stream:
        "[method]input-stream.read" = stream_read(this: Resource<InputStream>, len: u64);
        "[method]input-stream.blocking-read" = stream_read(this: Resource<InputStream>, len: u64);
        "[method]input-stream.skip" = stream_skip(this: Resource<InputStream>, len: u64);
        "[method]input-stream.blocking-skip" = stream_skip(this: Resource<InputStream>, len: u64);
        "[method]output-stream.check-write" = stream_room(this: Resource<OutputStream>);
        "[method]output-stream.flush" = stream_flush(this: Resource<OutputStream>);
        "[method]output-stream.blocking-flush" = stream_flush(this: Resource<OutputStream>);
        "[method]output-stream.write-zeroes" = stream_zeroes(this: Resource<OutputStream>, len: u64);
        "[method]output-stream.blocking-write-zeroes-and-flush" =
            stream_zeroes(this: Resource<OutputStream>, len: u64);
        "[method]output-stream.splice" =
            stream_splice(this: Resource<OutputStream>, from: Resource<InputStream>, len: u64);
        "[method]output-stream.blocking-splice" =
            stream_splice(this: Resource<OutputStream>, from: Resource<InputStream>, len: u64);
    }
    define_write(&mut streams, "[method]output-stream.write")?;
    define_write(&mut streams, "[method]output-stream.blocking-write-and-flush")
}

fn define_write(streams: &mut LinkerInstance<'_, Host>, name: &str) -> wasmtime::Result<()> {
    type Params = (Resource<OutputStream>, WasmList<u8>);
    streams.func_wrap(name, |mut context, (this, contents): Params| {
        let contents = bytes(&mut context, &contents)?;
        stream(&mut context, |call| call.stream_write(&this, &contents).map(Some))
    })
}

/// Runs a function on a stream, which may be at its end: `None`.
fn stream<R>(
    context: &mut Context<'_>,
    function: impl FnOnce(&mut Call<'_>) -> Result<Option<R>, Fault>,
) -> wasmtime::Result<(Result<R, StreamError>,)> {
    give(context, |call| match function(call) {
        Ok(Some(done)) => Ok(Ok(done)),
        Ok(None) => Ok(Err(StreamError::Closed)),
        Err(Fault::Errno(errno)) => {
            let error = call.hold(Held::Error(errno))?;
            Ok(Err(StreamError::LastOperationFailed(error)))
        }
        Err(Fault::Halt(halt)) => Err(halt),
    })
}

impl Call<'_> {
    pub(super) fn error_text(&mut self, this: Resource<IoError>) -> Result<String, Halt> {
        let code = ErrorCode::from(self.errno(&this)?) as u8;
        Ok(format!("error code {code} of wasi:filesystem"))
    }

    pub(super) fn errno(&mut self, this: &Resource<IoError>) -> Result<Errno, Halt> {
        let held = *self.held(this)?;
        let Held::Error(errno) = held else { return Err(held.strange()) };
        Ok(errno)
    }

    pub(super) fn input_ready(
        &mut self,
        _: Resource<InputStream>,
    ) -> Result<Resource<Pollable>, Halt> {
        self.hold(Held::Pollable(When::Always))
    }

    pub(super) fn output_ready(
        &mut self,
        _: Resource<OutputStream>,
    ) -> Result<Resource<Pollable>, Halt> {
        self.hold(Held::Pollable(When::Always))
    }

    pub(super) fn source(&mut self, this: &Resource<InputStream>) -> Result<Source, Halt> {
        let held = *self.held(this)?;
        let Held::Input(source) = held else { return Err(held.strange()) };
        Ok(source)
    }

    pub(super) fn sink(&mut self, this: &Resource<OutputStream>) -> Result<Sink, Halt> {
        let held = *self.held(this)?;
        let Held::Output(sink) = held else { return Err(held.strange()) };
        Ok(sink)
    }

    pub(super) fn stream_read(
        &mut self,
        this: Resource<InputStream>,
        len: u64,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let source = self.source(&this)?;
        let (at, left) = self.left(source)?;
        if left == 0 && len > 0 {
            return Ok(None);
        }
        let len = left.min(len).min(CALL_BYTES_MAX as u64);
        self.burn_bytes(len)?;
        let read = self.bytes_of(source)?.get(range(at, len)).ok_or(Errno::Io)?.to_vec();
        self.move_on(&this, source, at + len)?;
        Ok(Some(read))
    }

    pub(super) fn stream_skip(
        &mut self,
        this: Resource<InputStream>,
        len: u64,
    ) -> Result<Option<u64>, Fault> {
        let source = self.source(&this)?;
        let (at, left) = self.left(source)?;
        if left == 0 && len > 0 {
            return Ok(None);
        }
        let len = left.min(len);
        self.move_on(&this, source, at + len)?;
        Ok(Some(len))
    }

    /// Where a source stands, and bytes from there to its end.
    pub(super) fn left(&mut self, source: Source) -> Result<(u64, u64), Fault> {
        let at = match source {
            Source::Stdin => self.host.fds.get(STDIN)?.offset,
            Source::File { at, .. } => at,
        };
        let len = self.bytes_of(source)?.len() as u64;
        // A file may have become shorter.
        Ok((at.min(len), len.saturating_sub(at)))
    }

    pub(super) fn bytes_of(&self, source: Source) -> Result<&[u8], Errno> {
        match source {
            Source::Stdin => Ok(&self.host.stdin),
            Source::File { ino, .. } => self.host.tree.bytes(ino),
        }
    }

    pub(super) fn move_on(
        &mut self,
        this: &Resource<InputStream>,
        source: Source,
        to: u64,
    ) -> Result<(), Fault> {
        match source {
            Source::Stdin => self.host.fds.get_mut(STDIN)?.offset = to,
            Source::File { ino, .. } => {
                *self.held(this)? = Held::Input(Source::File { ino, at: to });
            }
        }
        Ok(())
    }

    pub(super) fn stream_room(&mut self, _: Resource<OutputStream>) -> Result<Option<u64>, Fault> {
        Ok(Some(CALL_BYTES_MAX as u64))
    }

    pub(super) fn stream_flush(&mut self, _: Resource<OutputStream>) -> Result<Option<()>, Fault> {
        Ok(Some(()))
    }

    pub(super) fn stream_zeroes(
        &mut self,
        this: Resource<OutputStream>,
        len: u64,
    ) -> Result<Option<()>, Fault> {
        if len > CALL_BYTES_MAX as u64 {
            return Err(Halt::Misuse.into());
        }
        self.burn_bytes(len)?;
        self.stream_write(&this, &vec![0; len as usize]).map(Some)
    }

    pub(super) fn stream_splice(
        &mut self,
        this: Resource<OutputStream>,
        from: Resource<InputStream>,
        len: u64,
    ) -> Result<Option<u64>, Fault> {
        let Some(bytes) = self.stream_read(from, len)? else { return Ok(None) };
        self.burn_bytes(bytes.len() as u64)?;
        self.stream_write(&this, &bytes)?;
        Ok(Some(bytes.len() as u64))
    }

    /// Writes all of `bytes`, whose moving is paid for.
    pub(super) fn stream_write(
        &mut self,
        this: &Resource<OutputStream>,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        match self.sink(this)? {
            Sink::Stdout => {
                self.host.meter.take_stdout(bytes.len() as u64)?;
                self.burn_growth(bytes.len() as u64)?;
                self.host.stdout.extend_from_slice(bytes);
            }
            Sink::Stderr => self.host.stderr.push(bytes),
            Sink::File { ino, at } => {
                let at = self.put(ino, at, bytes)?;
                *self.held(this)? = Held::Output(Sink::File { ino, at });
            }
            Sink::End { ino } => {
                let at = self.host.tree.stat(ino)?.len;
                self.put(ino, at, bytes)?;
            }
        }
        Ok(())
    }

    /// Writes to a file, whose growth is paid for here, and returns where that ends.
    pub(super) fn put(&mut self, ino: Ino, at: u64, bytes: &[u8]) -> Result<u64, Fault> {
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::Fbig)?;
        if !bytes.is_empty() {
            self.grow(ino, end)?;
            self.host.tree.write(ino, at, bytes)?;
        }
        Ok(end)
    }
}

/// `at..at + len`; both were found within bytes in memory.
fn range(at: u64, len: u64) -> std::ops::Range<usize> {
    at as usize..(at + len) as usize
}
