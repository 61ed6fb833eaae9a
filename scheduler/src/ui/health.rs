//! Is it well? Each thing that can be wrong, as it stands now, with what to do; and the log of operators.

use super::{
    Ui,
    error::PageError,
    page::{Frame, html},
    session::Who,
    show,
};
use crate::{
    explain::{self, CostExplanation, settlement::CHAIN_SILENT_S},
    logbook::Line,
    money::Look,
    preflight::{self, Finding, Level},
};
use actix_web::{HttpResponse, get, web::Data};
use askama::Template;
use quorate_chain::{preset, settlement::PoolState};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long the preflight is good for a page.
const PREFLIGHT_FRESH: Duration = Duration::from_secs(60);
/// Lines of the log that are shown.
const LINES_SHOWN: usize = 200;
/// Free bytes of the disk below which somebody should look, and must.
const DISK_LOW: u64 = 10_000_000_000;
const DISK_OUT: u64 = 1_000_000_000;
/// A group commit that takes longer on average makes everybody wait: twice what a plain disk takes.
const SYNC_SLOW_MS: f64 = 20.0;

/// One thing that can be wrong.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// What.
    pub(super) name: &'static str,
    /// `ok`, `warn` or `bad`.
    pub(super) state: &'static str,
    /// As it is.
    pub(super) found: String,
    /// What to do; empty: nothing.
    pub(super) fix: String,
}

#[derive(Template)]
#[template(path = "health.html")]
struct Page {
    frame: Frame,
    answer: String,
    mood: &'static str,
    checks: Vec<Check>,
    preflight: Vec<Check>,
    facts: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "log.html")]
struct Log {
    frame: Frame,
    lines: Vec<LogRow>,
}

struct LogRow {
    when: String,
    line: Line,
}

/// Health.
#[get("/ui/health")]
pub(super) async fn page(ui: Data<Ui>, who: Who) -> Result<HttpResponse, PageError> {
    let (checks, preflight) = (checks(&ui).await?, ui.preflight().await);
    let wrong = checks.iter().chain(&preflight).filter(|check| check.state != "ok").count() as u64;
    let answer = match wrong {
        0 => format!("All {} checks are well.", checks.len() + preflight.len()),
        _ => format!("{wrong} of {} checks found something.", checks.len() + preflight.len()),
    };
    let (shared, now_s) = (&ui.state.shared, ui.state.shared.now().unix_s());
    let since = ui.state.money.since();
    let facts = vec![
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Running for", show::span(since.at.elapsed().as_secs())),
        ("Clock", show::time(now_s)),
        ("Data folder", shared.config.data.display().to_string()),
        ("Contract", shared.domain.contract.to_string()),
        ("Chain", shared.domain.chain_id.to_string()),
        ("Signer", shared.signer.address().to_string()),
        ("Node key", shared.node_key.public().to_string()),
        ("Workers connect to", ui.state.quic.clone()),
    ];
    let mood = if worst(&preflight) == "bad" { "bad" } else { worst(&checks) };
    html(&Page {
        frame: Frame::new(&ui, &who, "/ui/health", "Health").live(),
        answer,
        mood,
        checks,
        preflight,
        facts,
    })
}

impl Ui {
    /// The preflight, at most a minute old: it writes to the disk and asks the chain.
    pub(super) async fn preflight(&self) -> Vec<Check> {
        let mut last = self.preflight.lock().await;
        if let Some((at, known)) = &*last
            && at.elapsed() < PREFLIGHT_FRESH
        {
            return known.clone();
        }
        let findings = preflight::run(&self.state.shared.config).await;
        let checks: Vec<Check> = findings.into_iter().map(of_finding).collect();
        *last = Some((Instant::now(), checks.clone()));
        checks
    }
}

fn of_finding(finding: Finding) -> Check {
    let state = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warn",
        Level::Error => "bad",
    };
    let (name, fix) = (finding.check.name(), finding.fix.unwrap_or_default());
    Check { name, state, found: finding.found, fix }
}

/// The log.
#[get("/ui/log")]
pub(super) async fn log(ui: Data<Ui>, who: Who) -> Result<HttpResponse, PageError> {
    let lines = ui.state.logbook.newest(LINES_SHOWN)?;
    let row = |line: Line| LogRow { when: show::time(line.at_unix_ms / 1_000), line };
    let lines = lines.into_iter().map(row).collect();
    html(&Log { frame: Frame::new(&ui, &who, "/ui/log", "Log"), lines })
}

/// The worst state among checks.
pub(super) fn worst(checks: &[Check]) -> &'static str {
    let has = |state| checks.iter().any(|check| check.state == state);
    if has("bad") {
        "bad"
    } else if has("warn") {
        "warn"
    } else {
        "ok"
    }
}

/// Everything that can be wrong.
pub(super) async fn checks(ui: &Ui) -> Result<Vec<Check>, PageError> {
    let state = &ui.state;
    let (headcount, look) = (ui.headcount().await?, state.money.look().await);
    let cost = explain::cost(state).await?;
    let mut checks = chain_checks(ui, &look);
    if let Ok(look) = &look {
        checks.extend([pool(look), bond(look), gas(look, &cost)]);
    }
    let settlement = explain::settlement(state).await?;
    let due = if settlement.late { "bad" } else { "ok" };
    checks.push(check("Settlement", due, settlement.told().answer, &settlement.hint));
    let why = explain::pool(state).await?;
    let working = if why.stuck { "warn" } else { "ok" };
    let found = format!("{} of {} slots at work", headcount.busy, headcount.slots);
    checks.push(check("Work", working, found, &why.hint));
    checks.push(workers(headcount.known, headcount.connected));
    checks.push(disk(&state.shared.config.data));
    checks.push(blobs(state.shared.blobs.total(), state.shared.config.total_bytes_max));
    let syncs = &state.shared.metrics.fsync_seconds;
    checks.push(journal(syncs.get_sample_count(), syncs.get_sample_sum()));
    checks.push(keys(&state.shared.config.data));
    Ok(checks)
}

fn check(name: &'static str, state: &'static str, found: String, fix: &str) -> Check {
    let fix = if state == "ok" { String::new() } else { fix.to_owned() };
    Check { name, state, found, fix }
}

fn chain_checks(ui: &Ui, look: &Result<Look, String>) -> Vec<Check> {
    let node = match look {
        Err(why) => {
            let fix = "nothing settles and no deal opens until it answers: check chain.url";
            check("Chain node", "bad", why.clone(), fix)
        }
        Ok(look) => head(ui, look),
    };
    let standing = ui.state.outbox.standing().borrow().clone();
    let state = if standing.is_trouble() { "bad" } else { "ok" };
    let fix = "transactions wait until this is mended; they are kept and sent again by themselves";
    vec![node, check("Transactions", state, standing.to_string(), fix)]
}

fn head(ui: &Ui, look: &Look) -> Check {
    let now_s = ui.state.shared.now().unix_s();
    // Development chains make blocks for transactions only.
    let dev = preset("dev").map(|preset| preset.chain_id) == Some(ui.state.shared.domain.chain_id);
    let old = now_s.saturating_sub(look.block_unix_s);
    let state = if !dev && old > CHAIN_SILENT_S { "bad" } else { "ok" };
    let found =
        format!("block {}, {}", show::count(look.block), show::ago(now_s, look.block_unix_s));
    check(
        "Chain node",
        state,
        found,
        "the node is behind, or the chain stands still: try another one",
    )
}

fn pool(look: &Look) -> Check {
    let fix = "a pool that ends takes no new deals; init registers another";
    match (look.pool.state, look.pool.exit_at) {
        (PoolState::Live, None) => check("Pool", "ok", "live".into(), ""),
        (PoolState::Live, Some(_)) => check("Pool", "warn", "its bond is leaving".into(), fix),
        (PoolState::Abandoned(_), _) => check("Pool", "bad", "abandoned".into(), fix),
        (PoolState::Convicted(_), _) => check("Pool", "bad", "convicted of a fraud".into(), fix),
    }
}

fn bond(look: &Look) -> Check {
    let cap = look.pool.bond / 3 * 2;
    let used = look.pool.pending_value.saturating_mul(100).checked_div(cap).unwrap_or(100);
    let state = match used {
        0..70 => "ok",
        70..95 => "warn",
        _ => "bad",
    };
    let found = format!(
        "{} of {} that may be pending ({used} %)",
        show::tokens(look.pool.pending_value),
        show::tokens(cap)
    );
    check(
        "Bond headroom",
        state,
        found,
        "add to the bond: two thirds of it cap what may be pending",
    )
}

fn gas(look: &Look, cost: &CostExplanation) -> Check {
    let have = show::coins(look.gas_wei);
    let fix = format!("send gas money to {}", look.gas_account);
    if look.gas_wei == 0 {
        return check("Gas", "bad", "the gas account is empty".into(), &fix);
    }
    match cost.gas_days_left.filter(|_| !cost.early) {
        None => check("Gas", "ok", format!("{have}; no rate to tell by yet"), ""),
        Some(days) => {
            let state = match days {
                0 => "bad",
                1..7 => "warn",
                _ => "ok",
            };
            check("Gas", state, format!("{have}, for {}", show::plural(days, "day")), &fix)
        }
    }
}

fn workers(known: usize, connected: usize) -> Check {
    let state = if connected == 0 { "warn" } else { "ok" };
    let found = format!("{connected} of {known} connected");
    let fix = if known == 0 {
        "hand out the link that `quorate-scheduler invite` prints"
    } else {
        "is quic.listen reachable from outside, and quic.public right?"
    };
    check("Workers", state, found, fix)
}

fn disk(data: &Path) -> Check {
    let fix = "make room, or move the data folder: a full disk ends the scheduler";
    let Ok(disk) = rustix::fs::statvfs(data) else {
        return check("Disk", "warn", "the disk says nothing of itself".into(), fix);
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let state = if free < DISK_OUT {
        "bad"
    } else if free < DISK_LOW {
        "warn"
    } else {
        "ok"
    };
    check("Disk", state, format!("{} free", show::bytes(free)), fix)
}

fn blobs(total: u64, most: u64) -> Check {
    let state = if total > most / 10 * 9 { "warn" } else { "ok" };
    let found = format!("{} of {}", show::bytes(total), show::bytes(most));
    check("Blobs", state, found, "raise blobs.total_bytes_max, with room on the disk")
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn journal(count: u64, seconds: f64) -> Check {
    if count == 0 {
        return check("Journal", "ok", "nothing was written yet".into(), "");
    }
    let each = seconds / count as f64 * 1_000.0;
    let state = if each > SYNC_SLOW_MS { "warn" } else { "ok" };
    let found = format!("{each:.1} ms a group commit, {} so far", show::count(count));
    check("Journal", state, found, "everybody waits for this disk: use one that syncs faster")
}

/// Keys are for their owner's eyes.
fn keys(data: &Path) -> Check {
    use std::os::unix::fs::PermissionsExt as _;
    let (node, signer) = crate::system::key_paths(data);
    let open = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    };
    let found: Vec<String> = [node, signer]
        .iter()
        .filter(|path| open(path))
        .map(|path| path.display().to_string())
        .collect();
    if found.is_empty() {
        return check("Keys", "ok", "for their owner's eyes only".into(), "");
    }
    let fix = "take the keys from others: chmod 600";
    check("Keys", "bad", format!("readable by others: {}", found.join(", ")), fix)
}
