//! The result manifest: the text whose sha256 a replica votes for (`PROTOCOL.md`, section 6).
//!
//! One result has one text. [`Manifest::encode`] writes it and [`Manifest::parse`] accepts exactly
//! what `encode` writes, so that two machines that agree on a result agree on its digest, and
//! nobody can offer a second spelling of the same result. Deliberately absent: the blobs
//! themselves (they are named here and travel elsewhere) and any opinion about which result is
//! right.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The first line: names the format and its version.
const HEADER: &str = "quorate-result/1";

/// Files one result may have. A guess: a bag-of-tasks replica writes a handful of files, and
/// whoever needs more packs them into one. An engine ends such a run as [`Ended::Output`].
pub const FILES_MAX: usize = 4_096;

/// Bytes of one path, so that a full manifest stays near a megabyte and every common file system
/// can hold the name (255 is the limit of a single name on ext4, APFS and NTFS).
pub const PATH_BYTES_MAX: usize = 255;

/// Bytes of a manifest, from the two limits above: a line that is not a file's has at most 108
/// bytes, a file's at most `file `, 20 digits, two spaces, 64 hex digits, the path and `\n`.
/// Anything longer is refused before it is looked at.
pub const MANIFEST_BYTES_MAX: usize = 512 + FILES_MAX * (5 + 20 + 1 + 64 + 1 + PATH_BYTES_MAX + 1);

/// Characters of a refused line that an error repeats: enough to recognise it, too few to flood
/// a log.
const QUOTE_CHARS_MAX: usize = 60;

/// What one run of a task ended with: everything replicas vote about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// How the run ended.
    pub ended: Ended,
    /// Fuel burnt, in the engine's units: metering that every replica can repeat.
    pub fuel: u64,
    /// Standard output; `None` when nothing was written.
    pub stdout: Option<Entry>,
    /// Files by their path relative to `/out`, sorted by the path's bytes, no path twice.
    pub files: Vec<(String, Entry)>,
}

/// One blob of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Length in bytes.
    pub len: u64,
    /// sha256 of the bytes, which is also the blob's name.
    pub digest: [u8; 32],
}

/// How a run ended. Every way is an outcome that replicas can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The program ended by itself with this code.
    Exit(i32),
    /// The program did what WebAssembly forbids.
    Trap(TrapKind),
    /// The fuel was used up.
    Fuel,
    /// More memory was asked for than the task allows.
    Memory,
    /// More output was written than the task allows.
    Output,
    /// It never began: the module is broken, too heavy to compile, or imports what no task gets.
    /// Workers with one engine agree about that, and only such vote together.
    Module,
}

/// The traps that are the same on every machine. Stack overflow is not among them: where a stack
/// ends depends on the machine code, so it is never voted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// `unreachable` was executed; what `abort()` compiles to.
    Unreachable,
    /// A load, store or bulk operation outside of linear memory.
    MemoryOutOfBounds,
    /// An access outside of a table.
    TableOutOfBounds,
    /// An indirect call of an empty table element.
    IndirectCallToNull,
    /// An indirect call of a function with another signature.
    BadSignature,
    /// Signed division of the smallest integer by -1.
    IntegerOverflow,
    /// Integer division by zero.
    IntegerDivisionByZero,
    /// A float without an integer counterpart was converted to one.
    BadConversionToInteger,
    /// A component broke a rule of the component model: used a handle it had dropped, passed a list outside
    /// of memory, asked for more than there is.
    ComponentRules,
}

impl TrapKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::MemoryOutOfBounds,
        Self::TableOutOfBounds,
        Self::IndirectCallToNull,
        Self::BadSignature,
        Self::IntegerOverflow,
        Self::IntegerDivisionByZero,
        Self::BadConversionToInteger,
        Self::ComponentRules,
    ];

    /// The word that stands for this kind in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::MemoryOutOfBounds => "memory-out-of-bounds",
            Self::TableOutOfBounds => "table-out-of-bounds",
            Self::IndirectCallToNull => "indirect-call-to-null",
            Self::BadSignature => "bad-signature",
            Self::IntegerOverflow => "integer-overflow",
            Self::IntegerDivisionByZero => "integer-division-by-zero",
            Self::BadConversionToInteger => "bad-conversion-to-integer",
            Self::ComponentRules => "component-rules",
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Trap(kind) => write!(f, "trap {}", kind.as_str()),
            Self::Fuel => f.write_str("fuel"),
            Self::Memory => f.write_str("memory"),
            Self::Output => f.write_str("output"),
            Self::Module => f.write_str("module"),
        }
    }
}

impl Entry {
    /// The entry that names `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u64, digest: Sha256::digest(bytes).into() }
    }
}

/// Why a text is no result manifest. Reads after "could not read the manifest: ".
///
/// Nobody writes manifests by hand, so every variant means the peer is broken or hostile: refuse
/// the result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Refused before reading.
    #[error("it has {len} bytes, expected at most {max}")]
    TooLong {
        /// Bytes of the text.
        len: usize,
        /// [`MANIFEST_BYTES_MAX`].
        max: usize,
    },
    /// Not text at all.
    #[error("it is not UTF-8 from byte {at} on")]
    NotText {
        /// Offset of the first byte that is not UTF-8.
        at: usize,
    },
    /// A line is not what has to stand there.
    #[error("line {line} is {found:?}, expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line, shortened.
        found: String,
        /// What has to stand there.
        expected: &'static str,
    },
    /// A file's path breaks the rules.
    #[error("line {line}: {source}")]
    Path {
        /// Counted from 1.
        line: usize,
        /// The rule.
        source: PathError,
    },
}

/// Why a path cannot name a file of a task. Reads as a sentence of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// The empty path names nothing.
    #[error("the path is empty, expected a path relative to the folder")]
    Empty,
    /// Too many bytes.
    #[error("the path has {len} bytes, expected at most {max}")]
    TooLong {
        /// Bytes of the path.
        len: usize,
        /// [`PATH_BYTES_MAX`].
        max: usize,
    },
    /// A segment that is empty, `.` or `..`: this covers absolute paths and doubled slashes.
    #[error(
        "the path {path:?} has the segment {segment:?}, expected names separated by single slashes"
    )]
    Segment {
        /// The whole path.
        path: String,
        /// The segment that is refused.
        segment: String,
    },
    /// Control characters would break the manifest's lines and whoever prints them.
    #[error("the path {path:?} has a control character, expected none")]
    Control {
        /// The whole path.
        path: String,
    },
}

/// Checks a path of a task's input or output: relative, `/` between segments, UTF-8 without
/// control characters, no segment empty, `.` or `..`, at most [`PATH_BYTES_MAX`] bytes.
///
/// A path that passes is safe to join to a folder on Unix. On Windows `\` and `:` mean something
/// too; whoever writes results to disk there has to refuse them.
///
/// # Errors
/// The first rule that is broken.
pub fn check_path(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong { len: path.len(), max: PATH_BYTES_MAX });
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::Control { path: path.to_owned() });
    }
    match path.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
        Some(segment) => {
            Err(PathError::Segment { path: path.to_owned(), segment: segment.to_owned() })
        }
        None => Ok(()),
    }
}

impl Manifest {
    /// The canonical text.
    ///
    /// What it writes can be parsed back if `files` is sorted and checked as the field says and a
    /// `stdout` that is present has bytes; the engine guarantees both.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\nended {}\nfuel {}\n", self.ended, self.fuel);
        if let Some(entry) = &self.stdout {
            push_line(&mut text, "stdout", entry, None);
        }
        for (path, entry) in &self.files {
            push_line(&mut text, "file", entry, Some(path));
        }
        text
    }

    /// sha256 of the canonical text: the `resultDigest` of a vote.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    /// Reads the canonical text and nothing else. Takes any bytes; allocates at most a small
    /// multiple of [`MANIFEST_BYTES_MAX`].
    ///
    /// # Errors
    /// The first line that [`Manifest::encode`] would not have written, and what it would have.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong { len: bytes.len(), max: MANIFEST_BYTES_MAX });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ManifestError::NotText { at: error.valid_up_to() })?;
        let mut lines = Lines { rest: text, line: 0 };
        lines.take("\"quorate-result/1\" and a newline", |line| (line == HEADER).then_some(()))?;
        let ended = lines.take("\"ended \" and how", parse_ended)?;
        let fuel =
            lines.take("\"fuel \" and a number", |line| number(line.strip_prefix("fuel ")?))?;
        let stdout = match lines.rest.starts_with("stdout ") {
            true => Some(lines.take("\"stdout <length above 0> <sha256>\"", parse_stdout)?),
            false => None,
        };
        let files = parse_files(&mut lines)?;
        Ok(Self { ended, fuel, stdout, files })
    }
}

fn push_line(text: &mut String, word: &str, entry: &Entry, path: Option<&str>) {
    let digest = hex::encode(entry.digest);
    // Writing to a String cannot fail.
    let _ = write!(text, "{word} {} {digest}", entry.len);
    if let Some(path) = path {
        text.push(' ');
        text.push_str(path);
    }
    text.push('\n');
}

/// The lines not read yet, and the number of the last one read.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    /// Reads one line with its newline through `parse`; `expected` says what `parse` accepts.
    fn take<T>(
        &mut self,
        expected: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ManifestError> {
        self.line += 1;
        let (line, parsed) = match self.rest.split_once('\n') {
            Some((line, rest)) => {
                self.rest = rest;
                (line, parse(line))
            }
            None => (self.rest, None),
        };
        parsed.ok_or_else(|| ManifestError::Line {
            line: self.line,
            found: line.chars().take(QUOTE_CHARS_MAX).collect(),
            expected,
        })
    }
}

fn parse_ended(line: &str) -> Option<Ended> {
    let ended = match line.strip_prefix("ended ")? {
        "fuel" => Ended::Fuel,
        "memory" => Ended::Memory,
        "output" => Ended::Output,
        "module" => Ended::Module,
        other => match other.split_once(' ')? {
            ("exit", code) => Ended::Exit(exit_code(code)?),
            ("trap", kind) => {
                Ended::Trap(TrapKind::ALL.into_iter().find(|known| known.as_str() == kind)?)
            }
            _ => return None,
        },
    };
    Some(ended)
}

fn parse_stdout(line: &str) -> Option<Entry> {
    let (entry, rest) = parse_entry(line.strip_prefix("stdout ")?)?;
    (rest.is_none() && entry.len > 0).then_some(entry)
}

/// Reads `<length> <sha256>` and what follows the next space, if there is one.
fn parse_entry(text: &str) -> Option<(Entry, Option<&str>)> {
    let (len, rest) = text.split_once(' ')?;
    let (digest, rest) = match rest.split_once(' ') {
        Some((digest, rest)) => (digest, Some(rest)),
        None => (rest, None),
    };
    Some((Entry { len: number(len)?, digest: digest_of_hex(digest)? }, rest))
}

fn parse_files(lines: &mut Lines<'_>) -> Result<Vec<(String, Entry)>, ManifestError> {
    let mut files: Vec<(String, Entry)> = Vec::new();
    let mut seen = BTreeSet::new();
    while !lines.rest.is_empty() {
        if files.len() == FILES_MAX {
            lines.take("the end: 4096 files are the most there may be", |_| None::<()>)?;
        }
        let (path, entry) = lines.take("\"file <length> <sha256> <path>\"", |line| {
            let (entry, path) = parse_entry(line.strip_prefix("file ")?)?;
            Some((path?, entry))
        })?;
        check_path(path).map_err(|source| ManifestError::Path { line: lines.line, source })?;
        let refuse = |expected| ManifestError::Line {
            line: lines.line,
            found: path.chars().take(QUOTE_CHARS_MAX).collect(),
            expected,
        };
        if files.last().is_some_and(|(last, _)| last.as_str() >= path) {
            return Err(refuse("a path that sorts after the one before"));
        }
        if folders(path).any(|end| seen.contains(&path[end])) {
            return Err(refuse("a path that is not below another file"));
        }
        seen.insert(path);
        files.push((path.to_owned(), entry));
    }
    Ok(files)
}

/// Where the folders of `path` stand in it: `a/b/c` has `a` and `a/b`.
fn folders(path: &str) -> impl Iterator<Item = Range<usize>> {
    path.match_indices('/').map(|(at, _)| 0..at)
}

/// A decimal number as Rust prints it: no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// An exit code as Rust prints it.
fn exit_code(text: &str) -> Option<i32> {
    let code: i32 = text.parse().ok()?;
    (code.to_string() == text).then_some(code)
}

/// A sha256 in lower-case hex.
fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut digest = [0; 32];
    (lower && hex::decode_to_slice(text, &mut digest).is_ok()).then_some(digest)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    /// The example of `PROTOCOL.md`, with real digests.
    fn example() -> Manifest {
        Manifest {
            ended: Ended::Exit(0),
            fuel: 1_234_567,
            stdout: Some(Entry::of(b"hello world\n")),
            files: vec![("a/b.txt".into(), Entry::of(b"x"))],
        }
    }

    const EXAMPLE: &str = "quorate-result/1\n\
        ended exit 0\n\
        fuel 1234567\n\
        stdout 12 a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447\n\
        file 1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 a/b.txt\n";

    #[test]
    fn the_example_of_the_protocol_is_written_and_read() {
        assert_eq!(example().encode(), EXAMPLE);
        assert_eq!(Manifest::parse(EXAMPLE.as_bytes()).unwrap(), example());
        assert_eq!(example().digest(), <[u8; 32]>::from(Sha256::digest(EXAMPLE)));
    }

    /// Replaces `from` by `to` in the example and expects the refusal to read `message`.
    #[track_caller]
    fn refused(from: &str, to: &str, message: &str) {
        assert!(EXAMPLE.contains(from), "{from:?} is not in the example");
        let text = EXAMPLE.replacen(from, to, 1);
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().to_string(), message);
    }

    #[test]
    fn every_other_spelling_is_refused_with_its_line() {
        let ended = "expected \"ended \" and how";
        let fuel = "expected \"fuel \" and a number";
        let file = "expected \"file <length> <sha256> <path>\"";
        refused(
            "result/1",
            "result/2",
            "line 1 is \"quorate-result/2\", expected \"quorate-result/1\" and a newline",
        );
        refused(
            "/1\n",
            "/1\r\n",
            "line 1 is \"quorate-result/1\\r\", expected \"quorate-result/1\" and a newline",
        );
        for other in [
            "exit -0",
            "exit +1",
            "exit 01",
            "exit 2147483648",
            "exit",
            "trap",
            "trap x",
            "fuel ",
            "",
        ] {
            refused("exit 0", other, &format!("line 2 is {:?}, {ended}", format!("ended {other}")));
        }
        for other in ["-1", "+1", "007", "", "1 ", "18446744073709551616", "1e3"] {
            refused("1234567", other, &format!("line 3 is {:?}, {fuel}", format!("fuel {other}")));
        }
        refused(
            "fuel 1234567\n",
            "",
            "line 3 is \"stdout 12 a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb\", expected \"fuel \" and a number",
        );
        refused(
            "12 a9",
            "0 a9",
            "line 4 is \"stdout 0 a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb8\", expected \"stdout <length above 0> <sha256>\"",
        );
        refused(
            "447\n",
            "447 x\n",
            "line 4 is \"stdout 12 a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb\", expected \"stdout <length above 0> <sha256>\"",
        );
        refused(
            "1 2d71",
            "1 2D71",
            &format!(
                "line 5 is \"file 1 2D711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258\", {file}"
            ),
        );
        refused(
            "file 1 2d",
            "file 1 ",
            &format!(
                "line 5 is \"file 1 711642b726b04401627ca9fbac32f5c8530fb1903cc4db0225871\", {file}"
            ),
        );
        refused(
            "a/b.txt\n",
            "a/b.txt",
            &format!(
                "line 5 is \"file 1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258\", {file}"
            ),
        );
        refused("a/b.txt\n", "a/b.txt\n\n", &format!("line 6 is \"\", {file}"));
        refused(
            "a/b.txt",
            "/b.txt",
            "line 5: the path \"/b.txt\" has the segment \"\", expected names separated by single slashes",
        );
        refused("a/b.txt", "", "line 5: the path is empty, expected a path relative to the folder");
    }

    #[test]
    fn a_text_that_is_too_long_or_not_utf8_is_refused() {
        let long = vec![b'x'; MANIFEST_BYTES_MAX + 1];
        let error = Manifest::parse(&long).unwrap_err();
        assert_eq!(error, ManifestError::TooLong { len: long.len(), max: MANIFEST_BYTES_MAX });
        assert_eq!(Manifest::parse(b"qu\xff").unwrap_err(), ManifestError::NotText { at: 2 });
        assert_eq!(
            Manifest::parse(b"").unwrap_err().to_string(),
            "line 1 is \"\", expected \"quorate-result/1\" and a newline"
        );
    }

    #[test]
    fn a_full_manifest_fits_and_one_more_file_does_not() {
        let mut full =
            Manifest { ended: Ended::Exit(i32::MIN), fuel: u64::MAX, stdout: None, files: vec![] };
        let entry = Entry { len: u64::MAX, digest: [0xff; 32] };
        full.stdout = Some(entry);
        full.files = (0..FILES_MAX).map(|n| (format!("{n:0PATH_BYTES_MAX$}"), entry)).collect();
        let text = full.encode();
        assert!(text.len() <= MANIFEST_BYTES_MAX);
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), full);

        full.files = (0..=FILES_MAX).map(|n| (format!("{n:08}"), entry)).collect();
        let error = Manifest::parse(full.encode().as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Line { line: 4101, .. }), "{error}");
    }

    #[test]
    fn files_are_sorted_once_and_never_below_another_file() {
        for (paths, expected) in [
            (["b", "a"], Some("line 5 is \"a\", expected a path that sorts after the one before")),
            (["a", "a"], Some("line 5 is \"a\", expected a path that sorts after the one before")),
            (
                ["a", "a/b"],
                Some("line 5 is \"a/b\", expected a path that is not below another file"),
            ),
            (["a", "a.b"], None),
            (["a-", "a/b"], None),
        ] {
            let files = paths.map(|path| (path.to_owned(), Entry::of(b""))).to_vec();
            let manifest = Manifest { ended: Ended::Fuel, fuel: 0, stdout: None, files };
            let error = Manifest::parse(manifest.encode().as_bytes()).err();
            assert_eq!(error.map(|error| error.to_string()).as_deref(), expected);
        }
        // Sorted bytes put "a.b" between "a" and "a/c", so neighbours alone do not show the clash.
        let files = ["a", "a.b", "a/c"].map(|path| (path.to_owned(), Entry::of(b""))).to_vec();
        let manifest = Manifest { ended: Ended::Fuel, fuel: 0, stdout: None, files };
        assert!(Manifest::parse(manifest.encode().as_bytes()).is_err());
    }

    #[test]
    fn paths_follow_the_rules() {
        for good in
            ["a", "a/b", "a b", "..a", "a..", ".hidden", "ü/日本", &"x".repeat(PATH_BYTES_MAX)]
        {
            check_path(good).unwrap();
        }
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/..",
            "a/./b",
            "a\nb",
            "a\0",
            "\u{7f}",
            "\u{85}",
            &"x".repeat(PATH_BYTES_MAX + 1),
        ] {
            assert!(check_path(bad).is_err(), "{bad:?} passed");
        }
    }

    fn any_ended() -> impl Strategy<Value = Ended> {
        prop_oneof![
            any::<i32>().prop_map(Ended::Exit),
            (0..TrapKind::ALL.len()).prop_map(|n| Ended::Trap(TrapKind::ALL[n])),
            Just(Ended::Fuel),
            Just(Ended::Memory),
            Just(Ended::Output),
            Just(Ended::Module),
        ]
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        (1_u64.., any::<[u8; 32]>()).prop_map(|(len, digest)| Entry { len, digest })
    }

    prop_compose! {
        fn any_manifest()(
            ended in any_ended(),
            fuel in any::<u64>(),
            stdout in proptest::option::of(any_entry()),
            // Every path ends in a name with a dot, no folder has one: no file is below a file.
            files in btree_map("([a-z]{1,3}/){0,3}[a-zü]{1,3}\\.[a-z ]{1,3}", any_entry(), 0..12),
        ) -> Manifest {
            Manifest { ended, fuel, stdout, files: files.into_iter().collect() }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(manifest in any_manifest()) {
            prop_assert_eq!(Manifest::parse(manifest.encode().as_bytes()), Ok(manifest));
        }

        /// Whatever is accepted is canonical: encoding it again gives the same bytes.
        #[test]
        fn a_changed_text_is_refused_or_is_another_canonical_text(
            manifest in any_manifest(),
            edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
        ) {
            let mut text = manifest.encode().into_bytes();
            for (at, byte, kind) in edits {
                let at = at.index(text.len());
                match kind {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    _ => drop(text.remove(at)),
                }
            }
            if let Ok(read) = Manifest::parse(&text) {
                prop_assert_eq!(read.encode().into_bytes(), text);
            }
        }

        #[test]
        fn any_bytes_are_taken_without_panic(bytes in vec(any::<u8>(), 0..2_000)) {
            prop_assert!(Manifest::parse(&bytes).is_err());
        }

        /// Lines from the grammar in any order reach deeper than random bytes do.
        #[test]
        fn any_lines_are_taken_without_panic(
            lines in vec(prop_oneof![
                Just("quorate-result/1".to_owned()),
                "ended (exit|trap|fuel|memory|output)?[ -9a-z]{0,4}",
                "fuel [0-9]{0,22}",
                "(stdout|file) [0-9]{1,3} [0-9a-f]{64}( [a-c./]{0,6})?",
            ], 0..8),
        ) {
            let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
            if let Ok(read) = Manifest::parse(text.as_bytes()) {
                prop_assert_eq!(read.encode(), text);
            }
        }

        #[test]
        fn a_path_that_passes_stays_below_its_folder(path in "[a-b./\\n]{0,8}") {
            if check_path(&path).is_ok() {
                let parts = std::path::Path::new(&path).components();
                prop_assert!(parts.map(|part| part.as_os_str()).eq(path.split('/')));
            }
        }
    }
}
