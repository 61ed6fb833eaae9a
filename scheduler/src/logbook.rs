//! What operators did, for ever: one JSON document a line, each naming the sha256 of the line before it, in a
//! file that is only appended to and synced before the act is done. A page shows its end; `tail -f` does too.
//! Nobody is kept from editing a file of his own, but no line can be taken out unseen.

use quorate_common::{digest::Digest, exit::Code, exit::Failure};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Bytes of the end that are read for a page: a thousand lines and more.
const TAIL_BYTES: u64 = 512 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Unix milliseconds.
    pub at_unix_ms: u64,
    /// Which operator, as it called itself; `local` is whoever may open the data folder.
    pub operator: String,
    /// From where: an address, or `local`.
    pub from: String,
    /// `login`, `logout`, `drain`, `ban`, `unban`, …
    pub act: String,
    /// On what; empty: on nothing.
    pub on: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// `done`, or why not.
    pub outcome: String,
    /// sha256 of the line before, of nothing for the first.
    pub prev: Digest,
}

/// The file, open.
#[derive(Debug)]
pub struct Logbook {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    prev: Digest,
}

/// What a line says, beside when and after what.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    /// See [`Line::operator`].
    pub operator: &'a str,
    /// See [`Line::from`].
    pub from: &'a str,
    /// See [`Line::act`].
    pub act: &'a str,
    /// See [`Line::on`].
    pub on: &'a str,
    /// See [`Line::reason`].
    pub reason: &'a str,
    /// See [`Line::outcome`].
    pub outcome: &'a str,
}

impl Logbook {
    /// That of a data folder, made if absent.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(data: &Path) -> Result<Self, Failure> {
        let path = data.join("operators.log");
        let open = || -> io::Result<Inner> {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            let last = tail(&path)?.pop();
            Ok(Inner {
                file,
                prev: last.map_or(Digest::of(b""), |line| Digest::of(line.as_bytes())),
            })
        };
        let inner = open().map_err(|error| failed(&path, &error))?;
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// Writes a line, and comes back once it is on disk.
    ///
    /// # Errors
    /// The disk's: what cannot be written down must not be done.
    pub fn write(&self, at_unix_ms: u64, entry: &Entry<'_>) -> Result<(), Failure> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line {
            at_unix_ms,
            operator: short(entry.operator),
            from: short(entry.from),
            act: short(entry.act),
            on: short(entry.on),
            reason: short(entry.reason),
            outcome: short(entry.outcome),
            prev: inner.prev,
        };
        let text = serde_json::to_string(&line).expect("a line is plain data");
        let written = inner.file.write_all(format!("{text}\n").as_bytes());
        written
            .and_then(|()| inner.file.sync_data())
            .map_err(|error| failed(&self.path, &error))?;
        inner.prev = Digest::of(text.as_bytes());
        Ok(())
    }

    /// The newest lines, newest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn newest(&self, most: usize) -> Result<Vec<Line>, Failure> {
        let lines = tail(&self.path).map_err(|error| failed(&self.path, &error))?;
        let lines = lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.take(most).collect())
    }
}

/// The whole lines at the end of the file.
fn tail(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let from = len.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    // The first line is torn where the file is longer.
    let skip = usize::from(from > 0);
    BufReader::new(file.take(TAIL_BYTES)).lines().skip(skip).collect()
}

/// Strangers' words are in it too, as the name of a login that failed.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{}: {error}", path.display()))
        .hint("operators' acts are written down first: make room, or mend its permissions")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let say = |book: &Logbook, act: &str| {
            let entry = Entry { operator: "ada\u{1b}[31m", act, ..Entry::default() };
            book.write(7, &entry).unwrap();
        };
        let book = Logbook::open(dir.path()).unwrap();
        say(&book, "login");
        drop(book);
        let book = Logbook::open(dir.path()).unwrap();
        say(&book, "ban");
        let text = std::fs::read_to_string(dir.path().join("operators.log")).unwrap();
        let first = text.lines().next().unwrap();
        let lines = book.newest(9).unwrap();
        assert_eq!(
            lines.iter().map(|line| line.act.as_str()).collect::<Vec<_>>(),
            ["ban", "login"]
        );
        assert_eq!(lines[0].prev, Digest::of(first.as_bytes()));
        assert_eq!(lines[1].prev, Digest::of(b""));
        assert_eq!(lines[0].operator, "ada[31m", "nothing steers a terminal");
    }
}
