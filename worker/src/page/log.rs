//! The log: the last lines of the file that a worker in the background writes. One that a service manager started
//! writes to that one's journal, and the page says so.

use super::{
    Page,
    answer::{Answer, html},
    door::Visit,
    frame::Frame,
};
use crate::cli::LOG;
use askama::Template;
use quorate_common::exit::{Code, Failure};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// Bytes shown: some four hundred lines.
const BYTES_MAX: u64 = 64 << 10;

#[derive(Template)]
#[template(path = "log.html")]
struct View {
    frame: Frame,
    path: String,
    text: Option<String>,
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let path = page.config()?.path(LOG);
    let text = match tail(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(Failure::new(Code::Internal, format!("{}: {error}", path.display())));
        }
    };
    let frame = Frame { live: true, ..page.frame(visit, "/log", "Log") };
    html(&View { frame, path: path.display().to_string(), text })
}

/// The last lines, whole ones, without what only terminals read.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if from == 0 { &text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole.chars().filter(|c| *c == '\n' || !c.is_control()).collect())
}
