//! Earnings: what tasks brought today and this month, what of it is pending, final and claimed, what electricity
//! left of it, what the pool pays, and each task with its receipt; of one pool at a time, which a query or form names.

use super::{
    Page,
    answer::{Answer, file, go, html},
    door::Visit,
    frame::Frame,
    show::tokens,
};
use crate::{
    api,
    cli::{Brought, Config, Global, HOME, Output, Proven, all_pools, claim_now},
    ledger::{Line, Sums},
};
use askama::Template;
use quorate_common::{
    api::PoolInfo,
    exit::{Code, Failure},
};
use quorate_senses::calendar;
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
    sync::Arc,
};

/// Days and tasks on the page: what a person looks through.
const DAYS_SHOWN: usize = 31;
const TASKS_SHOWN: usize = 50;
/// Hours before a task's end in which words about it may have been said: a day is the longest task there is, and
/// votes take an hour.
const WORD_HOURS: u64 = 26;
/// Bytes of words that are looked through for one receipt.
const WORD_BYTES_MAX: u64 = 256 << 20;

#[derive(Template)]
#[template(path = "earnings.html")]
struct View {
    frame: Frame,
    /// The pool that is shown, if there are several; then all of them.
    pool: String,
    pools: Vec<String>,
    tiles: Vec<Tile>,
    /// Why the chain's part is missing.
    problem: String,
    due: String,
    can_claim: bool,
    rule: String,
    hint: Option<String>,
    days: Vec<Day>,
    tasks: Vec<Task>,
    claimed: bool,
}

struct Tile {
    name: &'static str,
    value: String,
    note: String,
}

struct Day {
    day: String,
    tasks: u64,
    earned: String,
    lost: String,
    net: String,
}

struct Task {
    at: String,
    task: String,
    id: String,
    price: String,
    pay: String,
    came: &'static str,
    score: u32,
}

/// The page. What needs a network may be missing; what this machine knows is there in any case.
pub(super) async fn page(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let global = of_pool(&page, &visit);
    let config = Config::load(&global, &page.said.1)?;
    let brought = Brought::read(&config, global.pool.as_deref())?;
    let (proven, hint) = tokio::join!(Proven::read(&global), pool_hint(&config, &brought));
    let (proven, problem) = match proven {
        Ok(proven) => (Some(proven), String::new()),
        Err(failure) => (None, failure.to_string()),
    };
    let due = proven.as_ref().map_or(0, Proven::due);
    html(&View {
        frame: page.frame(&visit, "/earnings", "Earnings"),
        pool: global.pool.unwrap_or_else(|| HOME.into()),
        pools: names(&page)?,
        tiles: tiles(&brought, proven.as_ref()),
        problem,
        due: tokens(due),
        can_claim: due > 0,
        rule: rule(&config, due)?,
        hint,
        days: brought.book.days.iter().rev().take(DAYS_SHOWN).map(|d| day(&brought, d)).collect(),
        tasks: brought.book.recent.iter().rev().take(TASKS_SHOWN).map(task).collect(),
        claimed: visit.form.text("claimed").is_some(),
    })
}

/// What the command line said, for the pool that this visit is about: the first if it names none.
fn of_pool(page: &Page, visit: &Visit) -> Global {
    let pool = visit.form.text("pool").map(str::to_owned).or_else(|| page.said.0.pool.clone());
    Global { pool, ..page.said.0.clone() }
}

/// Every pool this worker belongs to or did, as money may lie there still; none if there is but one.
fn names(page: &Page) -> Result<Vec<String>, Failure> {
    let others: Vec<String> =
        all_pools(&page.config()?)?.into_iter().map(|other| other.name).collect();
    let home = (!others.is_empty()).then(|| HOME.to_owned());
    Ok(home.into_iter().chain(others).collect())
}

fn tiles(brought: &Brought, proven: Option<&Proven>) -> Vec<Tile> {
    let time = |name, sums: Sums| Tile {
        name,
        value: tokens(sums.earned),
        note: brought.net(sums, tokens).map_or_else(
            || format!("{} tasks; electricity is not counted", sums.tasks),
            |net| format!("{} tasks; {net} net of electricity", sums.tasks),
        ),
    };
    let mut tiles = vec![time("Today", brought.today), time("This month", brought.month)];
    let Some(proven) = proven else { return tiles };
    let tile = |name, units, note| Tile { name, value: tokens(units), note };
    let of_batch = proven.batch.map_or_else(
        || "no batch is final yet".to_owned(),
        |batch| format!("proven against batch {batch}, by block {}", proven.block),
    );
    let pending = "accepted by the pool, or committed and open to challenge".to_owned();
    tiles.push(tile("Pending", proven.pending(brought), pending));
    tiles.push(tile("Final", proven.last, of_batch));
    tiles.push(tile("Claimed", proven.seat.claimed, "paid out to the owner's account".into()));
    tiles
}

/// What the pool pays a task, and what this worker was paid of late.
async fn pool_hint(config: &Config, brought: &Brought) -> Option<String> {
    let api = config.api(&config.invite().ok()?)?;
    let pool: PoolInfo = api::get(&api, "/v1/pool").await.ok()?;
    let asks = config.price().ok()?;
    let (paid, count) = brought
        .book
        .recent
        .iter()
        .rev()
        .take(TASKS_SHOWN)
        .fold((0_u128, 0_u128), |(paid, count), line| {
            (paid.saturating_add(line.earned), count + 1)
        });
    let own = paid.checked_div(count).map_or_else(String::new, |mean| {
        format!(" Your last {count} tasks brought {} each.", tokens(mean))
    });
    let asks = if asks > pool.unit_price.0 {
        format!(" You ask {}: more than it pays, so it has nothing for you.", tokens(asks))
    } else {
        format!(" You ask {} at least.", tokens(asks))
    };
    let pays = tokens(pool.unit_price.0);
    Some(format!(
        "The pool pays {pays} a task, module or container, shared by all who agree.{own}{asks}"
    ))
}

fn rule(config: &Config, due: u128) -> Result<String, Failure> {
    let words = config.claims()?.wants(due).words(tokens);
    if config.file_of("escape.key_file").is_none() {
        return Ok(
            "It does not claim by itself: it has no account for gas (`escape.key_file`).".into()
        );
    }
    Ok(format!("It claims by itself when that makes sense: {words}."))
}

fn day(brought: &Brought, (day, sums): (&String, &Sums)) -> Day {
    Day {
        day: day.clone(),
        tasks: sums.tasks,
        earned: tokens(sums.earned),
        lost: tokens(sums.slashed),
        net: brought.net(*sums, tokens).unwrap_or_else(|| "–".into()),
    }
}

fn task(line: &Line) -> Task {
    let pay =
        if line.slashed > 0 { format!("-{}", tokens(line.slashed)) } else { tokens(line.earned) };
    Task {
        at: calendar::clock(line.at_ms),
        task: line.task.to_string(),
        id: hex::encode(line.task_id),
        price: tokens(line.price),
        pay,
        came: match line.outcome {
            1 => "consensus",
            2 => "no quorum",
            _ => "expired",
        },
        score: line.score,
    }
}

/// What there is to show for a task: its line, what the scheduler signed for it, and this worker's own vote.
pub(super) fn receipt(page: &Page, visit: &Visit, id: &str) -> Result<Answer, Failure> {
    let global = of_pool(page, visit);
    let config = Config::load(&global, &page.said.1)?;
    let brought = Brought::read(&config, global.pool.as_deref())?;
    let of_it = |line: &&Line| hex::encode(line.task_id) == id;
    let line = brought.book.recent.iter().rev().find(of_it).ok_or_else(|| {
        Failure::new(Code::NotFound, "the ledger has no such task any more")
            .hint("it keeps the last ten thousand or so")
    })?;
    let hour = line.at_ms / 3_600_000;
    let hours = hour.saturating_sub(WORD_HOURS)..=hour;
    let failed = |error: io::Error| Failure::new(Code::Internal, error);
    let words = said(&config.own("words"), hours.clone(), id).map_err(failed)?;
    let votes = said(&config.own("votes"), hours, id).map_err(failed)?;
    let document = json!({ "schema": "quorate.worker-receipt/v1", "task": line, "words": words, "votes": votes });
    Ok(file("application/json", document.to_string()))
}

/// Lines of a folder's hours that name a task.
fn said(dir: &Path, hours: std::ops::RangeInclusive<u64>, id: &str) -> io::Result<Vec<Value>> {
    let (mut found, mut left) = (Vec::new(), WORD_BYTES_MAX);
    for hour in hours {
        let file = match File::open(dir.join(format!("{hour}.jsonl"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        left = left.saturating_sub(file.metadata()?.len());
        for line in BufReader::new(file.take(left)).lines() {
            let line = line?;
            if line.contains(id) {
                found.extend(serde_json::from_str::<Value>(&line).ok());
            }
        }
    }
    Ok(found)
}

/// Has paid out what is due, with the owner's own gas.
pub(super) async fn claim(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let global = of_pool(&page, &visit);
    claim_now(&global, Output { json: false, quiet: true }).await?;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("claimed", "1")
        .extend_pairs(global.pool.map(|pool| ("pool", pool)))
        .finish();
    Ok(go(&format!("/earnings?{query}")))
}
