//! Trust: how votes went, who loses them, who stands together against others, what the canaries found.

use super::{
    Ui,
    error::PageError,
    overview::Tile,
    page::{Frame, html},
    session::Who,
    show,
};
use actix_web::{HttpResponse, get, web::Data};
use askama::Template;
use quorate_common::ids::WorkerIdx;
use quorate_grid::{Grid, company::Tally};

/// Workers and pairs that are shown.
const SHOWN: usize = 20;
/// A pair that lost together so often is not chance: honest workers seldom are wrong in the same way twice.
const LOST_TOGETHER: u64 = 2;
/// A pair that stood together on so many contested tasks, and on most of both's.
const OFTEN: u64 = 5;

#[derive(Template)]
#[template(path = "trust.html")]
struct Page {
    frame: Frame,
    answer: String,
    mood: &'static str,
    tiles: Vec<Tile>,
    losers: Vec<Loser>,
    pairs: Vec<Together>,
    forgotten: u64,
    promise: String,
}

struct Loser {
    idx: u32,
    name: String,
    votes: String,
    lost: String,
    share: String,
    missed: String,
    caught: u32,
    barred: bool,
}

struct Together {
    one: u32,
    other: u32,
    owners: &'static str,
    together: String,
    lost: String,
    share: String,
    suspicious: bool,
}

/// What the grid knows of votes.
struct Known {
    sums: Tally,
    voters: usize,
    barred: usize,
    caught: u64,
    losers: Vec<Loser>,
    pairs: Vec<Together>,
    forgotten: u64,
}

/// Trust.
#[get("/ui/trust")]
pub(super) async fn page(ui: Data<Ui>, who: Who) -> Result<HttpResponse, PageError> {
    let mut known = ui.state.read(look).await?;
    let keys: Vec<u32> = known.losers.iter().map(|loser| loser.idx).collect();
    let find = move |grid: &Grid| -> Vec<_> {
        keys.into_iter().map(|idx| grid.worker(WorkerIdx(idx)).map(|view| view.node_key)).collect()
    };
    for (loser, key) in known.losers.iter_mut().zip(ui.state.read(find).await?) {
        loser.name = key.map(|key| ui.state.shared.visitors.name(key)).unwrap_or_default();
    }
    let suspicious = known.pairs.iter().filter(|pair| pair.suspicious).count() as u64;
    let (answer, mood) = match suspicious {
        0 => ("No two workers stand together more than chance would have it.".to_owned(), "ok"),
        n => (
            format!("{} to look at: see who stands together below.", show::plural(n, "pair")),
            "warn",
        ),
    };
    let promise = ui.state.shared.config.policy.promise.map_or_else(
        || "Beyond each order's own trust this pool promises nothing (grid.promise_ppm is 0): no canaries.".into(),
        |promise| {
            format!(
                "At most {} wrong results in a million, if at most {} of workers are saboteurs; {} of answers are \
                 checked in any case.",
                show::count(promise.error_ppm.into()),
                show::share(promise.faulty_ppm.into(), 1_000_000),
                show::share(promise.audit_ppm.into(), 1_000_000)
            )
        },
    );
    html(&Page {
        frame: Frame::new(&ui, &who, "/ui/trust", "Trust").live(),
        answer,
        mood,
        tiles: tiles(&known),
        losers: known.losers,
        pairs: known.pairs,
        forgotten: known.forgotten,
        promise,
    })
}

fn look(grid: &Grid) -> Known {
    let company = grid.company();
    let mut known = Known {
        sums: Tally::default(),
        voters: 0,
        barred: 0,
        caught: 0,
        losers: Vec::new(),
        pairs: Vec::new(),
        forgotten: company.forgotten(),
    };
    let mut worst: Vec<(u64, u64, WorkerIdx, Tally)> = Vec::new();
    for (worker, tally) in company.tallies() {
        known.voters += 1;
        known.sums.votes += tally.votes;
        known.sums.lost += tally.lost;
        known.sums.missed += tally.missed;
        known.sums.contested += tally.contested;
        let standing = grid.standing(worker);
        known.barred += usize::from(standing.barred);
        known.caught += u64::from(standing.caught);
        if tally.lost > 0 {
            worst.push((tally.lost * 1_000_000 / tally.votes.max(1), tally.lost, worker, tally));
        }
    }
    worst.sort_by_key(|(share, lost, worker, _)| (std::cmp::Reverse((*share, *lost)), *worker));
    let losers = worst.into_iter().take(SHOWN);
    known.losers = losers.map(|(.., worker, tally)| loser(grid, worker, tally)).collect();
    known.pairs =
        company.closest(SHOWN).into_iter().map(|(who, pair)| together(grid, who, pair)).collect();
    known
}

fn loser(grid: &Grid, worker: WorkerIdx, tally: Tally) -> Loser {
    let standing = grid.standing(worker);
    Loser {
        idx: worker.0,
        name: String::new(),
        votes: show::count(tally.votes),
        lost: show::count(tally.lost),
        share: show::share(tally.lost, tally.votes),
        missed: show::count(tally.missed),
        caught: standing.caught,
        barred: standing.barred,
    }
}

fn together(
    grid: &Grid,
    (one, other): (WorkerIdx, WorkerIdx),
    pair: quorate_grid::company::Pair,
) -> Together {
    let contested = |worker| grid.company().tally(worker).contested;
    let fewer = contested(one).min(contested(other));
    let owner = |worker| grid.worker(worker).map(|view| view.owner);
    let often = pair.together >= OFTEN && pair.together * 2 > fewer;
    Together {
        one: one.0,
        other: other.0,
        owners: if owner(one) == owner(other) { "one owner" } else { "two owners" },
        together: show::count(pair.together),
        lost: show::count(pair.lost),
        share: show::share(pair.together, fewer),
        suspicious: pair.lost >= LOST_TOGETHER || often,
    }
}

fn tiles(known: &Known) -> Vec<Tile> {
    let tile = |name, value, note| Tile { name, value, note, link: "" };
    let Tally { votes, lost, missed, contested } = known.sums;
    vec![
        tile(
            "Votes",
            show::count(votes),
            format!("of {}", show::plural(known.voters as u64, "worker")),
        ),
        tile("Lost", show::share(lost, votes), format!("{} votes", show::count(lost))),
        tile("Never revealed", show::count(missed), "a commitment that was kept back".into()),
        tile("On contested tasks", show::count(contested), "where revealed votes differed".into()),
        tile("Caught", show::count(known.caught), format!("times; {} barred now", known.barred)),
    ]
}
