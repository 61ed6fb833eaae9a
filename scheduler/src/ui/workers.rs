//! Workers: a list to search, one worker with everything known of it, and what may be done about it.

use super::{
    Ui,
    error::PageError,
    login::go,
    page::{Frame, Pager, html, in_query},
    session::Who,
    show,
};
use crate::{
    acts::{self, Act, Actor},
    explain::Told,
    refusals::Refusal,
};
use actix_web::{
    HttpResponse, get, post,
    web::{self, Data},
};
use askama::Template;
use quorate_common::{
    exit::{Code, Failure},
    ids::{TaskKey, WorkerIdx},
};
use quorate_grid::{
    WorkerExplanation, WorkerView, company::Tally, credibility::Standing, headcount::Among,
    restraint::Keep,
};

/// Rows of a page: three screens.
const ROWS: usize = 50;
/// Tasks of a worker that are shown.
const TASKS_SHOWN: usize = 20;
/// Characters of a search.
const TEXT_CHARS_MAX: usize = 80;

/// What the list may be asked.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    among: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    from: usize,
}

/// One choice of the filter.
struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

/// One line.
struct Row {
    idx: u32,
    name: String,
    owner: String,
    state: &'static str,
    load: String,
    score: u32,
    earned: String,
    stake: String,
}

#[derive(Template)]
#[template(path = "workers.html")]
struct List {
    frame: Frame,
    text: String,
    choices: Vec<Choice>,
    rows: Vec<Row>,
    pager: Pager,
    /// Nobody is registered at all.
    empty: bool,
    refusals: Vec<RefusalRow>,
}

/// Somebody who was turned away, for a table.
pub(super) struct RefusalRow {
    pub(super) when: String,
    pub(super) from: String,
    pub(super) who: String,
    pub(super) reason: String,
    pub(super) times: u32,
}

/// What the filter offers.
const AMONG: [(&str, &str, Among); 7] = [
    ("all", "All", Among::All),
    ("online", "Connected", Among::Online),
    ("working", "At work", Among::Working),
    ("idle", "Idle", Among::Idle),
    ("offline", "Offline", Among::Offline),
    ("restrained", "Drained or banned", Among::Restrained),
    ("dissenting", "With lost votes", Among::Dissenting),
];

/// The list.
#[get("/ui/workers")]
pub(super) async fn list(
    ui: Data<Ui>,
    who: Who,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let Query { among, q, from } = query.into_inner();
    let chosen = AMONG.iter().find(|(value, ..)| *value == among).unwrap_or(&AMONG[0]);
    let text: String = q.trim().chars().take(TEXT_CHARS_MAX).collect();
    let search = crate::desk::search(&ui.state, chosen.2, &text);
    let found = ui.state.read(move |grid| grid.find_workers(&search, from, ROWS)).await?;
    let parameters = format!("among={}&q={}", chosen.0, in_query(&text));
    let (headcount, now_s) = (ui.headcount().await?, ui.state.shared.now().unix_s());
    let choice = |(value, name, _): &(&'static str, &'static str, Among)| Choice {
        value,
        name,
        chosen: *value == chosen.0,
    };
    html(&List {
        frame: Frame::new(&ui, &who, "/ui/workers", "Workers").live(),
        choices: AMONG.iter().map(choice).collect(),
        rows: found.workers.iter().map(|view| row(&ui, view)).collect(),
        pager: Pager::new(from, found.workers.len(), found.total, ROWS, &parameters),
        empty: headcount.known == 0,
        refusals: refusal_rows(ui.state.shared.visitors.refusals(None), now_s, 10),
        text,
    })
}

fn row(ui: &Ui, view: &WorkerView) -> Row {
    Row {
        idx: view.worker.0,
        name: ui.state.shared.visitors.name(view.node_key),
        owner: show::short(&view.owner.to_string()),
        state: state(view),
        load: load(view),
        score: view.score,
        earned: show::tokens(view.earned),
        stake: show::tokens(view.stake),
    }
}

fn state(view: &WorkerView) -> &'static str {
    match (&view.restraint, view.connected) {
        (Some(restraint), _) if restraint.keep == Keep::Banned => "banned",
        (Some(_), _) => "drained",
        (None, false) => "offline",
        (None, true) if view.busy > 0 => "working",
        (None, true) => "idle",
    }
}

fn load(view: &WorkerView) -> String {
    if view.connected { format!("{} of {}", view.busy, view.slots) } else { "–".into() }
}

/// Refusals for a table.
pub(super) fn refusal_rows(refusals: Vec<Refusal>, now_s: u64, most: usize) -> Vec<RefusalRow> {
    let row = |refusal: Refusal| RefusalRow {
        when: show::ago(now_s, refusal.at_unix_ms / 1_000),
        from: refusal.from.to_string(),
        who: refusal.node_key.map(|key| show::short(&key.to_string())).unwrap_or_default(),
        reason: refusal.reason,
        times: refusal.times,
    };
    refusals.into_iter().take(most).map(row).collect()
}

#[derive(Template)]
#[template(path = "worker.html")]
struct One {
    frame: Frame,
    idx: u32,
    name: String,
    state: &'static str,
    facts: Vec<(&'static str, String)>,
    restraint: Option<(&'static str, String, String, String)>,
    why: Vec<Told>,
    paces: Vec<[String; 5]>,
    tasks: Vec<String>,
    refusals: Vec<RefusalRow>,
}

/// What the grid knows of one worker.
struct Known {
    view: WorkerView,
    why: WorkerExplanation,
    tally: Tally,
    standing: Standing,
    tasks: Vec<TaskKey>,
}

/// One worker.
#[get("/ui/workers/{worker}")]
pub(super) async fn one(
    ui: Data<Ui>,
    who: Who,
    path: web::Path<u32>,
) -> Result<HttpResponse, PageError> {
    let worker = WorkerIdx(*path);
    let known = move |grid: &quorate_grid::Grid| {
        Some(Known {
            view: grid.worker(worker)?,
            why: grid.explain_worker(worker)?,
            tally: grid.company().tally(worker),
            standing: grid.standing(worker),
            tasks: grid.tasks_of(worker, TASKS_SHOWN),
        })
    };
    let known = ui.state.read(known).await?.ok_or_else(|| unknown(worker))?;
    let Known { view, why, tasks, .. } = &known;
    let (visitors, now_s) = (&ui.state.shared.visitors, ui.state.shared.now().unix_s());
    let refusals = visitors.refusals(Some(view.node_key));
    html(&One {
        frame: Frame::new(&ui, &who, "/ui/workers", worker.to_string()).live(),
        idx: worker.0,
        name: visitors.name(view.node_key),
        state: state(view),
        facts: facts(&known),
        restraint: view.restraint.as_ref().map(|restraint| {
            let keep = if restraint.keep == Keep::Banned { "Banned" } else { "Drained" };
            let when = show::time(restraint.at_unix_ms / 1_000);
            (keep, restraint.reason.clone(), restraint.by.clone(), when)
        }),
        why: crate::explain::worker_reasons(why),
        paces: paces(why),
        tasks: tasks.iter().map(ToString::to_string).collect(),
        refusals: refusal_rows(refusals, now_s, 10),
    })
}

fn facts(known: &Known) -> Vec<(&'static str, String)> {
    let Known { view, why, tally, standing, .. } = known;
    let lots = if standing.barred { "caught, and not believed alone" } else { "not barred" };
    vec![
        ("Owner", view.owner.to_string()),
        ("Node key", view.node_key.to_string()),
        ("At work", load(view)),
        ("Trusted with", format!("{} at once, {} in a row failed", why.quota, why.failures)),
        ("Score", format!("{}, its vote weighs {}", view.score, view.weight)),
        ("Stake", format!("{}, {} of it held", show::tokens(view.stake), show::tokens(view.held))),
        ("Earned", show::tokens(view.earned)),
        ("Seized", show::tokens(view.slashed)),
        (
            "Votes",
            format!(
                "{}; {} lost ({}), {} never revealed",
                show::count(tally.votes),
                show::count(tally.lost),
                show::share(tally.lost, tally.votes),
                show::count(tally.missed)
            ),
        ),
        ("Checks", format!("caught {} times; {lots}", standing.caught)),
    ]
}

fn paces(why: &WorkerExplanation) -> Vec<[String; 5]> {
    let seconds = |ms: u64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    why.paces
        .iter()
        .map(|pace| {
            [
                show::short(&pace.app.to_string()),
                seconds(pace.runtime_ms),
                pace.median_ms.map_or("–".into(), seconds),
                show::count(pace.done.into()),
                show::count(pace.failed.into()),
            ]
        })
        .collect()
}

fn unknown(worker: WorkerIdx) -> PageError {
    let text = format!("{worker} is not registered in this pool's contract");
    Failure::new(Code::NotFound, text).hint("look for it in the list of workers").into()
}

/// What the form sends.
#[derive(serde::Deserialize)]
pub(super) struct Acting {
    csrf: String,
    act: String,
    #[serde(default)]
    reason: String,
}

/// Drains, bans, frees.
#[post("/ui/workers/{worker}")]
pub(super) async fn act(
    ui: Data<Ui>,
    who: Who,
    path: web::Path<u32>,
    form: web::Form<Acting>,
) -> Result<HttpResponse, PageError> {
    who.may(&form.csrf)?;
    let shown: String = form.act.chars().take(20).collect();
    let act = Act::of(&form.act).ok_or_else(|| {
        Failure::new(Code::Usage, format!("act `{shown}`: expected drain, ban or unban"))
    })?;
    let actor = Actor { operator: who.operator.name.clone(), from: who.from.clone() };
    acts::restrain(&ui.state, &actor, act, WorkerIdx(*path), &form.reason).await?;
    Ok(go(&format!("/ui/workers/{}", *path)))
}
