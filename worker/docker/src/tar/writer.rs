//! Writes an archive: the same items, the same bytes, whoever writes them and when.

use super::BLOCK;

/// What an archive gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A folder, which its owner may also write to.
    Folder(&'a str),
    /// A file to read.
    File(&'a str),
    /// A file to run.
    Program(&'a str),
}

/// The writer. Whoever writes a file's header owes its bytes and [`Writer::pad`].
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

/// Who owns what is written: nobody.
const NOBODY: u64 = 65_534;

impl Writer {
    /// A folder or a whole file.
    pub fn add(&mut self, item: Item<'_>, content: &[u8]) {
        self.head(item, content.len() as u64);
        self.bytes.extend_from_slice(content);
        self.pad(content.len() as u64);
    }

    /// What stands before a file's bytes.
    pub fn head(&mut self, item: Item<'_>, size: u64) {
        let (path, kind, mode) = match item {
            Item::Folder(path) => (format!("{path}/"), b'5', 0o755),
            Item::File(path) => (path.to_owned(), b'0', 0o444),
            Item::Program(path) => (path.to_owned(), b'0', 0o555),
        };
        if path.len() > 100 || size >= 1 << 33 {
            let records = record("path", &path) + &record("size", &size.to_string());
            self.block("extended", b'x', records.len() as u64, 0o444);
            self.bytes.extend_from_slice(records.as_bytes());
            self.pad(records.len() as u64);
        }
        self.block(&path, kind, size.min((1 << 33) - 1), mode);
    }

    /// What stands behind a file's bytes.
    pub fn pad(&mut self, size: u64) {
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.bytes.resize(self.bytes.len() + padding as usize, 0);
    }

    /// The end.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn block(&mut self, path: &str, kind: u8, size: u64, mode: u64) {
        let mut header = [0_u8; BLOCK];
        let name = path.as_bytes();
        let kept = name.len().min(100);
        header[..kept].copy_from_slice(&name[..kept]);
        octal(&mut header[100..108], mode);
        octal(&mut header[108..116], NOBODY);
        octal(&mut header[116..124], NOBODY);
        octal(&mut header[124..136], size);
        octal(&mut header[136..148], 0);
        header[148..156].fill(b' ');
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut header[148..155], sum);
        self.bytes.extend_from_slice(&header);
    }
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    format!("{len} {key}={value}\n")
}

/// Octal digits with a zero byte behind them.
fn octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    field[..width].copy_from_slice(&digits.as_bytes()[digits.len() - width..]);
    field[width] = 0;
}
