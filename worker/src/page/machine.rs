//! The machine: what of its disk is used and what of that can go, and how to leave the pool.

use super::{
    Page,
    answer::{Answer, go, html},
    door::Visit,
    frame::Frame,
    show,
};
use crate::{
    cli::{Account, Output, sign_off},
    control::Ask,
};
use askama::Template;
use quorate_common::exit::{Code, Failure};
use quorate_policy::{Asked, Wish};
use quorate_senses::calendar;
use std::{fs, path::Path, sync::Arc};

/// Folders of a worker, and what they are for.
const FOLDERS: [(&str, &str); 7] = [
    ("blobs", "modules, inputs and results; what no task needs now can be fetched again"),
    ("modules", "modules compiled for this machine; made again when they are missing"),
    ("store", "votes that are sealed and not settled: never delete these"),
    ("ledger", "what each task brought"),
    ("words", "what the pool's scheduler signed, for a month and a half"),
    ("votes", "this worker's own votes, to be paid when a scheduler is gone"),
    ("evidence", "what a scheduler should not have signed"),
];
/// Files looked at for one sum: more than any of these folders should have.
const FILES_MAX: usize = 100_000;

#[derive(Template)]
#[template(path = "machine.html")]
struct View {
    frame: Frame,
    folder: String,
    rows: Vec<(&'static str, &'static str, String)>,
    total: String,
    cache: String,
}

#[derive(Template)]
#[template(path = "left.html")]
struct Left {
    frame: Frame,
    when: String,
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let config = page.config()?;
    let sizes: Vec<u64> = FOLDERS.iter().map(|(name, _)| size_of(&config.path(name))).collect();
    let rows = FOLDERS.iter().zip(&sizes);
    html(&View {
        frame: page.frame(visit, "/machine", "Machine"),
        folder: config.data_dir.display().to_string(),
        rows: rows.map(|((name, what), size)| (*name, *what, show::bytes(*size))).collect(),
        total: show::bytes(sizes.iter().sum()),
        cache: show::bytes(config.cache_bytes()?),
    })
}

fn size_of(path: &Path) -> u64 {
    let mut left = FILES_MAX;
    size(path, &mut left)
}

/// Bytes below a folder; what cannot be read counts nothing.
fn size(path: &Path, left: &mut usize) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let mut sum = 0;
    for entry in entries.flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { size(&entry.path(), left) } else { metadata.len() };
    }
    sum
}

/// Throws away what can be fetched again.
pub(super) async fn clear(page: Arc<Page>) -> Result<Answer, Failure> {
    page.ask(Ask::Clear).await?;
    Ok(go("/machine"))
}

/// `leave`: the stake's timer starts, what runs is given back, what is sealed is shown, and the worker ends.
pub(super) async fn leave(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    if visit.form.text("sure") != Some("yes") {
        return Err(Failure::new(Code::Usage, "leaving was not confirmed")
            .hint("tick the box beside the button"));
    }
    let account = Account::find(&page.said.0).await?;
    let exit_at = sign_off(account, Output { json: false, quiet: true }).await?;
    page.ask(Ask::Wish { wish: Wish { asked: Asked::Pause, until_unix_ms: None } }).await?;
    let when = exit_at.map_or_else(|| "soon".into(), |at| calendar::clock(at * 1_000));
    let answer = html(&Left { frame: Frame::bare("Left"), when })?;
    page.ask(Ask::Stop).await?;
    Ok(answer)
}
