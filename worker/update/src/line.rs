//! The line between a launcher and the version it started: the started one's standard input, which a worker
//! has no other use for. A byte each way is all there is to say, and its end says that the other is gone.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    process::Stdio,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// The version a program was started as. A release says what a program is; what it says of itself does
/// not count.
pub const LAUNCHED: &str = "QUORATE_LAUNCHED";

const UP: u8 = b'u';
const AGAIN: u8 = b'a';
const OVER: u8 = b'o';

/// What a started version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has come up.
    Up,
    /// It ends to make room for another one.
    Again,
    /// It ends because its owner told it to.
    Over,
    /// Nothing any more.
    End,
}

/// One end of the line.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Line {
    /// Both ends: the launcher's, and what becomes the other's standard input.
    ///
    /// # Errors
    /// The system has no more sockets.
    pub fn pair() -> io::Result<(Self, Stdio)> {
        let (ours, theirs) = StdStream::pair()?;
        Ok((Self::from_std(ours)?, Stdio::from(OwnedFd::from(theirs))))
    }

    /// The started version's end, if a launcher started this program.
    ///
    /// # Errors
    /// Standard input is no socket, so nobody can hear.
    pub fn inherited() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let stream = StdStream::from(input);
        // Whatever is no socket has no address.
        stream.local_addr()?;
        Self::from_std(stream)
    }

    fn from_std(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self)
    }

    /// Says a word; if nobody hears it, the launcher is gone and [`Line::hear`] says so.
    pub async fn say(&mut self, word: Word) {
        let byte = match word {
            Word::Up => UP,
            Word::Again => AGAIN,
            Word::Over => OVER,
            Word::End => return,
        };
        drop(self.0.write_all(&[byte]).await);
    }

    /// The next word.
    pub async fn hear(&mut self) -> Word {
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte).await {
                Ok(0) | Err(_) => return Word::End,
                Ok(_) if byte == [UP] => return Word::Up,
                Ok(_) if byte == [AGAIN] => return Word::Again,
                Ok(_) if byte == [OVER] => return Word::Over,
                // A word of another version: it has a meaning there.
                Ok(_) => {}
            }
        }
    }
}
