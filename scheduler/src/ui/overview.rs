//! The first page: what needs somebody, then the pool in numbers.

use super::{
    Ui,
    error::PageError,
    health::{self, Check},
    page::{Frame, html},
    session::Who,
    show,
};
use actix_web::{HttpResponse, get, web::Data};
use crate::explain::Words as _;
use askama::Template;
use quorate_grid::census::Census;

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
    let census = ui.census().await?;
    let checks = health::checks(&ui).await?;
    let troubles: Vec<Check> = checks.into_iter().filter(|check| check.state != "ok").collect();
    let mood = health::worst(&troubles);
    let state = &ui.state;
    html(&Page {
        frame: Frame::new(&ui, &who, "/ui", "Overview").live(),
        answer: answer(&census, &troubles),
        mood,
        troubles,
        tiles: tiles(&census),
        why: crate::explain::pool(state).await?.told(),
        settlement: crate::explain::settlement(state).await?.told(),
    })
}

fn answer(census: &Census, troubles: &[Check]) -> String {
    let doing = if census.known == 0 {
        "Nobody works here yet.".to_owned()
    } else if census.open > 0 {
        format!(
            "{} of {} at work on {}.",
            show::count(census.working as u64),
            show::plural(census.connected as u64, "connected worker"),
            show::plural(census.open, "task")
        )
    } else if census.running + census.opening > 0 {
        format!("{} waiting.", show::plural(census.queued, "task"))
    } else {
        "No order is under way.".to_owned()
    };
    match troubles.len() {
        0 => format!("All is well. {doing}"),
        1 => format!("One thing needs you. {doing}"),
        n => format!("{n} things need you. {doing}"),
    }
}

fn tiles(census: &Census) -> Vec<Tile> {
    let tile = |name, link, value, note| Tile { name, value, note, link };
    let batches = census.closed + census.committed + census.finals;
    vec![
        tile(
            "Workers connected",
            "/ui/workers?among=online",
            show::count(census.connected as u64),
            format!(
                "of {} registered; {} busy of {}",
                show::count(census.known as u64),
                show::count(census.busy),
                show::plural(census.slots, "slot")
            ),
        ),
        tile(
            "Tasks under way",
            "/ui/orders",
            show::count(census.open),
            format!("{} more wait for their turn", show::count(census.queued)),
        ),
        tile(
            "Tasks accepted",
            "/ui/orders",
            show::count(census.accepted),
            format!(
                "of {} settled; {:.1} replicas a task",
                show::count(census.settled),
                ratio(census.replicas, census.settled)
            ),
        ),
        tile(
            "Votes that lost",
            "/ui/trust",
            show::share(census.dissents, census.replicas),
            format!("{} of all replicas", show::count(census.dissents)),
        ),
        tile(
            "Locked by requesters",
            "/ui/money",
            show::tokens(census.escrow),
            format!("for {}", show::plural(census.open + census.queued, "task")),
        ),
        tile(
            "Your fees",
            "/ui/money",
            show::tokens(census.fees),
            format!(
                "in {}; {} final",
                show::plural(batches as u64, "batch").replace("batchs", "batches"),
                census.finals
            ),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
