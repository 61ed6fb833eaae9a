//! The first page: what needs somebody, then the pool in numbers.

use super::{
    Ui,
    error::PageError,
    health::{self, Check},
    page::{Frame, html},
    session::Who,
    show,
};
use crate::explain::Words as _;
use actix_web::{HttpResponse, get, web::Data};
use askama::Template;
use quorate_grid::headcount::Headcount;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    /// One sentence.
    answer: String,
    /// `ok`, `warn` or `bad`.
    mood: &'static str,
    /// What somebody should do something about.
    troubles: Vec<Check>,
    tiles: Vec<Tile>,
    /// Why nothing is scheduled, or what is.
    why: crate::explain::Told,
    settlement: crate::explain::Told,
}

/// One number.
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) note: String,
    pub(super) link: &'static str,
}

/// The overview.
#[get("/ui")]
pub(super) async fn page(ui: Data<Ui>, who: Who) -> Result<HttpResponse, PageError> {
    let headcount = ui.headcount().await?;
    let checks = health::checks(&ui).await?;
    let troubles: Vec<Check> = checks.into_iter().filter(|check| check.state != "ok").collect();
    let mood = health::worst(&troubles);
    let state = &ui.state;
    html(&Page {
        frame: Frame::new(&ui, &who, "/ui", "Overview").live(),
        answer: answer(&headcount, &troubles),
        mood,
        troubles,
        tiles: tiles(&headcount),
        why: crate::explain::pool(state).await?.told(),
        settlement: crate::explain::settlement(state).await?.told(),
    })
}

fn answer(headcount: &Headcount, troubles: &[Check]) -> String {
    let doing = if headcount.known == 0 {
        "Nobody works here yet.".to_owned()
    } else if headcount.open > 0 {
        format!(
            "{} of {} at work on {}.",
            show::count(headcount.working as u64),
            show::plural(headcount.connected as u64, "connected worker"),
            show::plural(headcount.open, "task")
        )
    } else if headcount.running + headcount.opening > 0 {
        format!("{} waiting.", show::plural(headcount.queued, "task"))
    } else {
        "No order is under way.".to_owned()
    };
    match troubles.len() {
        0 => format!("All is well. {doing}"),
        1 => format!("One thing needs you. {doing}"),
        n => format!("{n} things need you. {doing}"),
    }
}

fn tiles(headcount: &Headcount) -> Vec<Tile> {
    let tile = |name, link, value, note| Tile { name, value, note, link };
    let batches = headcount.closed + headcount.committed + headcount.finals;
    vec![
        tile(
            "Workers connected",
            "/ui/workers?among=online",
            show::count(headcount.connected as u64),
            format!(
                "of {} registered; {} busy of {}",
                show::count(headcount.known as u64),
                show::count(headcount.busy),
                show::plural(headcount.slots, "slot")
            ),
        ),
        tile(
            "Tasks under way",
            "/ui/orders",
            show::count(headcount.open),
            format!("{} more wait for their turn", show::count(headcount.queued)),
        ),
        tile(
            "Tasks accepted",
            "/ui/orders",
            show::count(headcount.accepted),
            format!(
                "of {} settled; {:.1} replicas a task",
                show::count(headcount.settled),
                ratio(headcount.replicas, headcount.settled)
            ),
        ),
        tile(
            "Votes that lost",
            "/ui/trust",
            show::share(headcount.dissents, headcount.replicas),
            format!("{} of all replicas", show::count(headcount.dissents)),
        ),
        tile(
            "Locked by requesters",
            "/ui/money",
            show::tokens(headcount.escrow),
            format!("for {}", show::plural(headcount.open + headcount.queued, "task")),
        ),
        tile(
            "Your fees",
            "/ui/money",
            show::tokens(headcount.fees),
            format!(
                "in {}; {} final",
                show::plural(batches as u64, "batch").replace("batchs", "batches"),
                headcount.finals
            ),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
