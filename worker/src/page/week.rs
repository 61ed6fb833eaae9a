//! The schedule: a box for every half hour of the week, and the same as a line of text.

use super::{
    Page,
    answer::{Answer, go, html},
    door::Visit,
    frame::Frame,
};
use crate::cli::change;
use askama::Template;
use quorate_common::exit::{Code, Failure};
use quorate_policy::Schedule;
use std::sync::Arc;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Half hours of a day.
const DAY: usize = 48;

#[derive(Template)]
#[template(path = "schedule.html")]
struct View {
    frame: Frame,
    text: String,
    days: Vec<(&'static str, Vec<Slot>)>,
    saved: bool,
}

struct Slot {
    at: usize,
    from: String,
    on: bool,
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let schedule = page.config()?.preferences()?.schedule;
    let half_hours = schedule.half_hours();
    let slot = |day: usize, step: usize| {
        let at = day * DAY + step;
        Slot { at, from: clock(step), on: half_hours.get(at).is_some_and(|on| *on) }
    };
    let day = |(day, name)| (name, (0..DAY).map(|step| slot(day, step)).collect());
    html(&View {
        frame: page.frame(visit, "/schedule", "Schedule"),
        text: schedule.to_string(),
        days: DAYS.into_iter().enumerate().map(day).collect(),
        saved: visit.form.text("saved").is_some(),
    })
}

fn clock(step: usize) -> String {
    format!("{:02}:{:02}", step / 2, step % 2 * 30)
}

/// The boxes, or the text: whichever button was pressed.
pub(super) async fn save(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let text = match visit.form.text("by") {
        Some("text") => visit.form.text("text").unwrap_or("always").to_owned(),
        _ => of_boxes(&visit)?.to_string(),
    };
    change(&page.written(), vec![format!("schedule={text}")]).await?;
    Ok(go("/schedule?saved=1"))
}

fn of_boxes(visit: &Visit) -> Result<Schedule, Failure> {
    let mut on = [false; 7 * DAY];
    for at in visit.form.all("h") {
        let place = at.parse().ok().and_then(|at: usize| on.get_mut(at));
        let expected = || format!("half hour `{at}`: expected 0 to {}", 7 * DAY - 1);
        *place.ok_or_else(|| Failure::new(Code::Usage, expected()))? = true;
    }
    Schedule::of(&on).map_err(|error| Failure::new(Code::Usage, error))
}
