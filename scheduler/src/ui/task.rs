//! One task: where it stands, who voted, what came out, and its receipt, which the browser checks itself.

use super::{
    Ui,
    error::PageError,
    page::{Frame, html},
    session::Who,
    show,
};
use crate::{
    blobs::Blobs,
    http::orders::{cut_receipt, key, parse_hash},
};
use actix_web::{
    HttpResponse, get,
    http::header,
    web::{self, Data},
};
use askama::Template;
use quorate_common::{
    B256,
    digest::Digest,
    exit::{Code, Failure},
    manifest::{Ended, Entry, MANIFEST_BYTES_MAX, Manifest},
};
use quorate_grid::{
    Explanation, Grid,
    ledger::BatchState,
    task::{Done, Task},
};
use serde_json::json;
use std::sync::Arc;

/// Bytes of standard output that are shown: a screen or two.
const OUTPUT_SHOWN: u64 = 4 << 10;
/// Files of a result that are listed.
const FILES_SHOWN: usize = 100;
/// Bytes of a blob that is handed out by a page: larger ones are for programs.
const BLOB_BYTES_MAX: u64 = 16 << 20;

#[derive(Template)]
#[template(path = "task.html")]
struct Page {
    frame: Frame,
    order: String,
    short: String,
    idx: u32,
    /// In words: `accepted`, `committed`, `final@block`, …
    state: String,
    tone: &'static str,
    facts: Vec<(&'static str, String)>,
    /// Worker, round, weight, state.
    replicas: Vec<(u32, u16, u32, &'static str)>,
    groups: Vec<(String, String)>,
    waits: String,
    result: Option<Outcome>,
    /// Whether there is a receipt to check.
    receipt: bool,
}

/// What came out.
struct Outcome {
    digest: String,
    ended: String,
    fuel: String,
    stdout: String,
    cut: bool,
    files: Vec<(String, String, String)>,
    more: usize,
}

/// What the grid knows of a task.
struct Known {
    why: Explanation,
    done: Option<(Done, Option<BatchState>)>,
}

/// One task.
#[get("/ui/orders/{order}/tasks/{task}")]
pub(super) async fn one(
    ui: Data<Ui>,
    who: Who,
    path: web::Path<(String, u32)>,
) -> Result<HttpResponse, PageError> {
    let (hash, idx) = (parse_hash(&path.0)?, path.1);
    let known = ui.state.read(move |grid| look(grid, hash, idx)).await?;
    let known = known.ok_or_else(|| missing(&hash.to_string(), idx))?;
    let digest = known.done.map(|(done, _)| done.digest).filter(|digest| *digest != Digest::ZERO);
    let result = match digest {
        Some(digest) => read(Arc::clone(&ui.state.shared.blobs), digest).await?,
        None => None,
    };
    let (state, tone) = standing(&ui, &known);
    let why = &known.why;
    let waits = why.waiting.as_ref().map(|waiting| waiting.hint.clone());
    html(&Page {
        frame: Frame::new(&ui, &who, "/ui/orders", format!("Task {idx}")).live(),
        order: hash.to_string(),
        short: show::short(&hash.to_string()),
        idx,
        state,
        tone,
        facts: facts(&known),
        replicas: why.replicas.iter().map(|r| (r.worker.0, r.attempt, r.weight, r.state)).collect(),
        groups: why.groups.iter().map(|(d, weight)| (show::short(d), weight.clone())).collect(),
        waits: waits.or(why.held.clone()).unwrap_or_default(),
        result,
        receipt: known.done.is_some_and(|(_, batch)| batch.is_some()),
    })
}

fn look(grid: &Grid, hash: B256, idx: u32) -> Option<Known> {
    let key = key(grid, hash, idx)?;
    let done = match grid.task(key)? {
        Task::Done(done) => {
            let batch = grid.ledger().closed.get(&done.batch).map(|closed| closed.state);
            Some((*done, batch))
        }
        Task::Queued | Task::Open(_) => None,
    };
    Some(Known { why: grid.explain(key)?, done })
}

/// Where a task stands, never just "done": what was accepted may still be on its way to the chain.
fn standing(ui: &Ui, known: &Known) -> (String, &'static str) {
    let Some((done, batch)) = known.done else { return (known.why.state.clone(), "info") };
    let stage = match batch {
        Some(state) => super::money::stage(&ui.state.batches, done.batch, state),
        None => ("accepted, in the open batch".into(), "warn"),
    };
    if done.outcome == quorate_grid::poco::Outcome::Consensus {
        return stage;
    }
    (format!("{}, {}", done.outcome, stage.0.replace("accepted, ", "")), "bad")
}

fn facts(known: &Known) -> Vec<(&'static str, String)> {
    let why = &known.why;
    let mut facts = vec![("Trust asked for", show::count(why.trust.into()))];
    if let Some((done, _)) = known.done {
        facts.push(("Batch", format!("{}, place {}", done.batch, done.place)));
        facts.push(("Replicas", done.replicas.to_string()));
    }
    if let Some(ms) = why.runtime_ms {
        facts.push(("Usual run", format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)));
    }
    if let Some(doubt) = why.doubt_ppb {
        facts.push(("Chance of the leading result to be wrong", format!("{doubt} in a billion")));
    }
    facts
}

async fn read(blobs: Arc<Blobs>, digest: Digest) -> Result<Option<Outcome>, PageError> {
    let read = web::block(move || outcome(&blobs, digest)).await;
    Ok(read.map_err(|_| crate::http::stopping())?)
}

fn outcome(blobs: &Blobs, digest: Digest) -> Option<Outcome> {
    let bytes = blobs.read(&digest, MANIFEST_BYTES_MAX as u64).ok()?;
    let manifest = Manifest::parse(&bytes).ok()?;
    let (stdout, cut) =
        manifest.stdout.map_or_else(Default::default, |entry| output(blobs, &entry));
    let file = |(path, entry): &(String, Entry)| {
        (path.clone(), show::bytes(entry.len), Digest(entry.digest).to_string())
    };
    Some(Outcome {
        digest: digest.to_string(),
        ended: ended(&manifest.ended),
        fuel: show::count(manifest.fuel),
        stdout,
        cut,
        files: manifest.files.iter().take(FILES_SHOWN).map(file).collect(),
        more: manifest.files.len().saturating_sub(FILES_SHOWN),
    })
}

/// The beginning of what a program wrote, as text.
fn output(blobs: &Blobs, entry: &Entry) -> (String, bool) {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = blobs
        .reader(&Digest(entry.digest))
        .ok()
        .map(|it| it.take(OUTPUT_SHOWN).read_to_end(&mut bytes));
    match read {
        Some(Ok(_)) => (String::from_utf8_lossy(&bytes).into_owned(), entry.len > OUTPUT_SHOWN),
        Some(Err(_)) | None => ("(its bytes are not here)".into(), false),
    }
}

/// How a run ended, for people.
pub(super) fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Exit(0) => "it ended well (exit 0)".into(),
        Ended::Exit(code) => format!("the program ended with exit code {code}"),
        Ended::Trap(kind) => format!("the program trapped: {}", kind.as_str()),
        Ended::Fuel => "its fuel was used up: it ran longer than its order allows".into(),
        Ended::Memory => "it wanted more memory than its order allows".into(),
        Ended::Output => "it wrote more than its order allows".into(),
        Ended::Module => "the module is broken, or imports what no task gets".into(),
    }
}

/// The receipt, with what the chain is said to hold of its batch, for the script that checks it.
#[get("/ui/orders/{order}/tasks/{task}/receipt.json")]
pub(super) async fn receipt(
    ui: Data<Ui>,
    _who: Who,
    path: web::Path<(String, u32)>,
) -> Result<HttpResponse, PageError> {
    let (hash, idx) = (parse_hash(&path.0)?, path.1);
    let known = ui.state.read(move |grid| look(grid, hash, idx)).await?;
    let known = known.ok_or_else(|| missing(&hash.to_string(), idx))?;
    let (done, batch) = known.done.ok_or_else(|| unsettled(idx))?;
    let state = ui.state.clone();
    let cut = move || -> Result<_, Failure> {
        let receipt = cut_receipt(&state, done.batch, done.place)?;
        Ok((receipt, state.batches.opening(done.batch).ok().flatten()))
    };
    let (bytes, opening) = web::block(cut).await.map_err(|_| crate::http::stopping())??;
    let receipt: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| Failure::new(Code::Internal, error))?;
    let stage = batch.map(|batch| super::money::stage(&ui.state.batches, done.batch, batch).0);
    Ok(HttpResponse::Ok().json(json!({ "receipt": receipt, "opening": opening, "stage": stage })))
}

/// A blob of a result: bytes of a stranger, to be saved and never shown.
#[get("/ui/blobs/{digest}")]
pub(super) async fn blob(
    ui: Data<Ui>,
    _who: Who,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let digest: Digest = path.parse().map_err(|error| Failure::new(Code::Usage, error))?;
    let blobs = Arc::clone(&ui.state.shared.blobs);
    if blobs.is_guarded(&digest) {
        let text = format!("blob {digest} is somebody's dataset");
        return Err(Failure::new(Code::Denied, text).into());
    }
    let read = web::block(move || blobs.read(&digest, BLOB_BYTES_MAX)).await;
    let bytes = read.map_err(|_| crate::http::stopping())?.map_err(|error| {
        Failure::new(Code::NotFound, quorate_common::report::Chain(&error))
            .hint("`quorate order results` fetches large ones")
    })?;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{digest}\"")))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .body(bytes))
}

fn missing(order: &str, idx: u32) -> PageError {
    Failure::new(Code::NotFound, format!("no task {idx} of order {order}"))
        .hint("its page shows how many tasks it has")
        .into()
}

fn unsettled(idx: u32) -> PageError {
    let mut failure = Failure::new(Code::Conflict, format!("task {idx} is not settled yet"));
    failure.retryable = true;
    failure.into()
}
