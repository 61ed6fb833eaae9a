//! Reads an archive in whatever pieces it comes, holding one header at a time.

use super::BLOCK;

/// Bytes of an extended header: a path of 4,096 bytes, its link and some times fit eight times over.
const EXTENDED_MAX: u64 = 64 << 10;

/// What is in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it is written there; any bytes that are UTF-8.
    pub path: String,
    /// Where a link points.
    pub link: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content.
    pub size: u64,
    /// Where its content begins in the archive.
    pub at: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes.
    File,
    /// Another name of a file before it.
    HardLink,
    /// A name that stands for a path.
    Symlink,
    /// A character or block device.
    Device,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
}

/// What the reader found.
#[derive(Debug)]
pub enum Piece<'a> {
    /// An entry begins.
    Entry(&'a Entry),
    /// Some of its bytes.
    Bytes(&'a [u8]),
}

/// Why it is no archive that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// Not a header.
    #[error("byte {at} of the archive begins no header: its checksum is wrong")]
    Checksum {
        /// Where.
        at: u64,
    },
    /// A number that is none.
    #[error("byte {at} of the archive has a header whose {field} is no number")]
    Number {
        /// Where.
        at: u64,
        /// Which field.
        field: &'static str,
    },
    /// A name that is not text.
    #[error("byte {at} of the archive has a header whose {field} is not UTF-8")]
    Text {
        /// Where.
        at: u64,
        /// Which field.
        field: &'static str,
    },
    /// An extended header without end.
    #[error(
        "byte {at} of the archive has an extended header of {size} bytes; expected at most {EXTENDED_MAX}"
    )]
    Extended {
        /// Where.
        at: u64,
        /// How long.
        size: u64,
    },
    /// Something that no archive of ours has, such as a sparse file.
    #[error(
        "byte {at} of the archive has an entry of type {kind:?}; expected files, folders or links"
    )]
    Kind {
        /// Where.
        at: u64,
        /// The letter.
        kind: char,
    },
    /// It stops in the middle.
    #[error("the archive ends in the middle of an entry, after {at} bytes")]
    Short {
        /// How far it goes.
        at: u64,
    },
}

/// The reader; feed it until the archive ends, then [`Reader::finish`].
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    header: Vec<u8>,
    extended: Vec<u8>,
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    at: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    Extended {
        kind: u8,
        left: u64,
        padding: u64,
    },
    Content {
        left: u64,
        padding: u64,
    },
    /// After the last entry; whatever follows is padding.
    Over,
}

impl Reader {
    /// Takes the next bytes, and hands on what is in them.
    ///
    /// # Errors
    /// [`TarError`], or whatever `take` answers.
    pub fn feed<E: From<TarError>>(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Header => self.header(bytes, take)?,
                State::Extended { kind, left, padding } => {
                    self.extended(bytes, kind, left, padding)?
                }
                State::Content { left, padding } => self.content(bytes, left, padding, take)?,
                State::Over => bytes.len(),
            };
            self.at += used as u64;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// The archive is over.
    ///
    /// # Errors
    /// [`TarError::Short`] if it was cut.
    pub fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::Header if self.header.is_empty() && self.extended.is_empty() => Ok(()),
            State::Over => Ok(()),
            State::Header | State::Extended { .. } | State::Content { .. } => {
                Err(TarError::Short { at: self.at })
            }
        }
    }

    fn header<E: From<TarError>>(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let used = bytes.len().min(BLOCK - self.header.len());
        self.header.extend_from_slice(&bytes[..used]);
        if self.header.len() < BLOCK {
            return Ok(used);
        }
        let header = std::mem::take(&mut self.header);
        let began = self.at + used as u64 - BLOCK as u64;
        if header.iter().all(|byte| *byte == 0) {
            self.state = State::Over;
            return Ok(used);
        }
        if let Some(entry) = self.begin(&header, began)? {
            take(Piece::Entry(&entry))?;
        }
        Ok(used)
    }

    /// An entry, unless the header is one that says something of the next.
    fn begin(&mut self, header: &[u8], at: u64) -> Result<Option<Entry>, TarError> {
        check_sum(header, at)?;
        let written = number(&header[124..136]).ok_or(TarError::Number { at, field: "size" })?;
        let kind = header[156];
        if matches!(kind, b'x' | b'g' | b'L' | b'K') {
            if written > EXTENDED_MAX {
                return Err(TarError::Extended { at, size: written });
            }
            self.state = State::Extended { kind, left: written, padding: padding(written) };
            self.extended.clear();
            if written == 0 {
                self.state = State::Header;
            }
            return Ok(None);
        }
        let kind = kind_of(kind, at)?;
        let size = self.size.take().unwrap_or(written);
        let size = if kind == Kind::File { size } else { 0 };
        let path = match self.path.take() {
            Some(path) => path,
            None => path_of(header, at)?,
        };
        let link = match self.link.take() {
            Some(link) => link,
            None => text(&header[157..257]).ok_or(TarError::Text { at, field: "link" })?,
        };
        self.state = match size {
            0 => State::Header,
            left => State::Content { left, padding: padding(size) },
        };
        Ok(Some(Entry { path, link, kind, size, at: at + BLOCK as u64 }))
    }

    fn extended(
        &mut self,
        bytes: &[u8],
        kind: u8,
        left: u64,
        padding: u64,
    ) -> Result<usize, TarError> {
        if left > 0 {
            let used = at_most(bytes.len(), left);
            self.extended.extend_from_slice(&bytes[..used]);
            let left = left - used as u64;
            self.state = State::Extended { kind, left, padding };
            if left == 0 && padding == 0 {
                self.said(kind, self.at + used as u64)?;
            }
            return Ok(used);
        }
        let used = at_most(bytes.len(), padding);
        let padding = padding - used as u64;
        self.state = State::Extended { kind, left, padding };
        if padding == 0 {
            self.said(kind, self.at + used as u64)?;
        }
        Ok(used)
    }

    /// What an extended header says of the entry after it, which begins at `at`: not where the bytes that
    /// came last begin, since results quote the sentence and must not depend on how bytes came.
    fn said(&mut self, kind: u8, at: u64) -> Result<(), TarError> {
        let said = std::mem::take(&mut self.extended);
        self.state = State::Header;
        match kind {
            b'L' => self.path = Some(text(&said).ok_or(TarError::Text { at, field: "path" })?),
            b'K' => self.link = Some(text(&said).ok_or(TarError::Text { at, field: "link" })?),
            b'x' => self.records(&said, at)?,
            // Of the archive as a whole: times and comments, nothing of ours.
            _ => {}
        }
        Ok(())
    }

    /// `<length> <key>=<value>\n`, again and again.
    fn records(&mut self, mut said: &[u8], at: u64) -> Result<(), TarError> {
        let bad = TarError::Number { at, field: "record" };
        while !said.is_empty() {
            let space = said.iter().position(|byte| *byte == b' ').ok_or(bad.clone())?;
            let len: usize = std::str::from_utf8(&said[..space])
                .ok()
                .and_then(|len| len.parse().ok())
                .filter(|len| (space + 2..=said.len()).contains(len))
                .ok_or(bad.clone())?;
            let record = &said[space + 1..len - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(bad.clone())?;
            self.record(&record[..equals], &record[equals + 1..], at)?;
            said = &said[len..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<(), TarError> {
        match key {
            b"path" => self.path = Some(text(value).ok_or(TarError::Text { at, field: "path" })?),
            b"linkpath" => {
                self.link = Some(text(value).ok_or(TarError::Text { at, field: "link" })?);
            }
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.size = Some(size.ok_or(TarError::Number { at, field: "size" })?);
            }
            key if key.starts_with(b"GNU.sparse") => {
                return Err(TarError::Kind { at, kind: 'S' });
            }
            _ => {}
        }
        Ok(())
    }

    fn content<E: From<TarError>>(
        &mut self,
        bytes: &[u8],
        left: u64,
        padding: u64,
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (used, left, padding) = if left > 0 {
            let used = at_most(bytes.len(), left);
            take(Piece::Bytes(&bytes[..used]))?;
            (used, left - used as u64, padding)
        } else {
            let used = at_most(bytes.len(), padding);
            (used, 0, padding - used as u64)
        };
        self.state = match (left, padding) {
            (0, 0) => State::Header,
            (left, padding) => State::Content { left, padding },
        };
        Ok(used)
    }
}

fn at_most(len: usize, left: u64) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

/// Bytes until the next block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn kind_of(letter: u8, at: u64) -> Result<Kind, TarError> {
    match letter {
        b'0' | 0 | b'7' => Ok(Kind::File),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::Symlink),
        b'3' | b'4' => Ok(Kind::Device),
        b'5' => Ok(Kind::Folder),
        b'6' => Ok(Kind::Fifo),
        other => Err(TarError::Kind { at, kind: char::from(other) }),
    }
}

fn path_of(header: &[u8], at: u64) -> Result<String, TarError> {
    let bad = TarError::Text { at, field: "path" };
    let name = text(&header[..100]).ok_or(bad.clone())?;
    let is_ustar = header[257..].starts_with(b"ustar\0");
    let prefix = if is_ustar { text(&header[345..500]).ok_or(bad)? } else { String::new() };
    Ok(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
}

/// Up to the first zero byte.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).ok().map(ToOwned::to_owned)
}

/// Octal digits, or big-endian bytes after 0x80 for what octal cannot hold.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let (high, low) = field.split_at(field.len() - 8);
        // A checksum has no room for more than its eight bytes: there the marker makes it no number.
        let (marker, zeros) = high.split_first()?;
        let is_small = *marker == 0x80 && zeros.iter().all(|byte| *byte == 0);
        let low: [u8; 8] = low.try_into().ok()?;
        return Some(u64::from_be_bytes(low)).filter(|value| is_small && *value < 1 << 62);
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn check_sum(header: &[u8], at: u64) -> Result<(), TarError> {
    let bad = TarError::Checksum { at };
    let written = number(&header[148..156]).ok_or(bad.clone())?;
    let blank = header.iter().enumerate().map(|(place, byte)| match place {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    if blank.sum::<u64>() == written { Ok(()) } else { Err(bad) }
}
