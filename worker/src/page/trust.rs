//! Reputation: the score and how it came about, what the scheduler did wrong, and the evidence of it.

use super::{
    Page,
    answer::{Answer, file, html},
    door::Visit,
    frame::Frame,
    show::tokens,
};
use crate::{cli::Brought, status::Status};
use askama::Template;
use quorate_common::exit::{Code, Failure};
use quorate_senses::calendar;
use serde_json::Value;
use std::{fs, path::Path};

/// Days on the page.
const DAYS_SHOWN: usize = 31;
/// Bytes of a piece of evidence; two signed sets have four thousand.
const EVIDENCE_BYTES_MAX: u64 = 1 << 20;

#[derive(Template)]
#[template(path = "trust.html")]
struct View {
    frame: Frame,
    status: Status,
    stake: String,
    slashed: String,
    days: Vec<(String, u64, String, u32)>,
    warned: Vec<(String, String)>,
    evidence: Vec<Piece>,
}

struct Piece {
    name: String,
    what: String,
    task: String,
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let config = page.config()?;
    let (brought, status) = (Brought::read(&config, None)?, page.status());
    let days = brought.book.days.iter().rev().take(DAYS_SHOWN);
    let warned = status.warned.iter().rev();
    html(&View {
        frame: page.frame(visit, "/trust", "Reputation"),
        stake: tokens(status.view.stake),
        slashed: tokens(status.view.totals.slashed),
        days: days
            .map(|(day, sums)| (day.clone(), sums.tasks, tokens(sums.slashed), sums.score))
            .collect(),
        warned: warned.map(|w| (calendar::clock(w.at_ms), w.sentence.clone())).collect(),
        evidence: evidence(&config.path("evidence")),
        status,
    })
}

/// Every piece that reads, by name. The folder has some hundreds at most.
fn evidence(dir: &Path) -> Vec<Piece> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut pieces: Vec<Piece> = entries.filter_map(|entry| piece(&entry.path())).collect();
    pieces.sort_by(|a, b| a.name.cmp(&b.name));
    pieces
}

fn piece(path: &Path) -> Option<Piece> {
    let name = path.file_stem()?.to_str().filter(|name| is_name(name))?.to_owned();
    let is_small = fs::metadata(path).ok()?.len() <= EVIDENCE_BYTES_MAX;
    let text = fs::read(path).ok().filter(|_| is_small)?;
    let value: Value = serde_json::from_slice(&text).ok()?;
    let what = value["warning"].as_str().unwrap_or("?").replace('_', " ");
    Some(Piece { name, what, task: value["task"].to_string() })
}

/// A piece's name is the beginning of its digest, and no path.
fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|c| c.is_ascii_hexdigit())
}

/// A piece, to be saved.
pub(super) fn saved(page: &Page, name: &str) -> Result<Answer, Failure> {
    let none = || Failure::new(Code::NotFound, "there is no such piece of evidence");
    if !is_name(name) {
        return Err(none());
    }
    let path = page.config()?.path("evidence").join(name).with_extension("json");
    Ok(file("application/json", fs::read(path).map_err(|_| none())?))
}
