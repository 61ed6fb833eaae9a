//! Machines: this one and the owner's others, how each is and what it earned, with the same three buttons for each.
//! What is pressed here is said to that machine by this one, key to key, with nobody between them.
//!
//! Left out: pairing, which is typed on the command line. Whoever stole this browser's cookie must not be able to
//! make a machine of their own a companion.

use super::{
    Page,
    answer::{Answer, go, html},
    card,
    door::Visit,
    form::Form,
    frame::Frame,
    show::tokens,
};
use crate::{
    companions::{Companions, Heard, now_ms, report},
    control::Ask,
};
use askama::Template;
use quorate_common::{
    B256,
    exit::{Code, Failure},
};
use quorate_machines::{Command, LinkError, Machine, Report, book::ALL};
use quorate_policy::{Asked, Wish};
use quorate_senses::calendar;
use std::sync::Arc;

/// What a form calls this machine.
const OWN: &str = "own";

#[derive(Template)]
#[template(path = "machines.html")]
struct View {
    frame: Frame,
    rows: Vec<Row>,
    at: String,
    listens: Option<String>,
    done: bool,
}

struct Row {
    /// In forms: its key, or that it is this one.
    id: String,
    name: String,
    is_own: bool,
    title: String,
    tone: &'static str,
    words: String,
    /// What it says of itself; nothing if it says nothing.
    facts: Vec<(&'static str, String)>,
    can_obey: bool,
}

/// The page: asks all of them, which takes as long as the slowest, and a few seconds where one is off.
pub(super) async fn page(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let config = page.config()?;
    let companions = Companions::of(&config);
    let heard = companions.ask(companions.book()?.machines(), Command::Status).await?;
    let now_ms = now_ms();
    let own = own(report(&config, &page.status()));
    html(&View {
        frame: page.frame(&visit, "/machines", "Machines"),
        rows: std::iter::once(own).chain(heard.into_iter().map(|it| row(it, now_ms))).collect(),
        at: calendar::clock(now_ms),
        listens: config.machines()?.map(|address| address.to_string()),
        done: visit.form.text("done").is_some(),
    })
}

fn own(report: Report) -> Row {
    let mut row = told(OWN.into(), report);
    row.is_own = true;
    row
}

fn row(heard: Heard, now_ms: u64) -> Row {
    let Heard { machine, report, seen_unix_ms } = heard;
    let (id, at) = (machine.key.to_string(), machine.address);
    let error = match report {
        Ok(report) => {
            let mut row = told(id, Report { name: machine.name, ..report });
            row.facts.extend(at.map(|at| ("Address", at.to_string())));
            return row;
        }
        Err(error) => error,
    };
    let seen = seen_unix_ms.map_or_else(
        || "not since it was paired".into(),
        |at| format!("{} ({})", calendar::clock(at), ago(now_ms.saturating_sub(at))),
    );
    Row {
        id,
        name: machine.name,
        is_own: false,
        title: unheard(&error).into(),
        tone: if matches!(error, LinkError::Deaf(_)) { "warn" } else { "bad" },
        words: error.to_string(),
        facts: vec![("Last seen", seen)],
        can_obey: false,
    }
}

fn told(id: String, report: Report) -> Row {
    let Report { name, title, tone, words, running, slots, earned, today, version, .. } = report;
    let mut facts = vec![("Running", format!("{running} on {slots} slots"))];
    facts.extend(today.map(|today| ("Earned today", tokens(today.0))));
    facts.push(("Earned in all", tokens(earned.0)));
    facts.push(("Version", version));
    Row { id, name, is_own: false, title, tone: tone.word(), words, facts, can_obey: true }
}

fn unheard(error: &LinkError) -> &'static str {
    match error {
        LinkError::Deaf(_) => "Only asks",
        LinkError::Refused { .. } => "Says no",
        LinkError::Unreachable { .. } | LinkError::Socket(_) | LinkError::Setup(_) => "Not reached",
    }
}

/// As people say it: `5 min ago`.
fn ago(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..=1 => "just now".into(),
        2..=119 => format!("{minutes} min ago"),
        120..=2_879 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}

/// Run, finish, pause: one of them, or all.
pub(super) async fn act(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    let wish = card::wished(&visit.form)?;
    let whom = visit.form.text("machine").unwrap_or_default();
    let companions = Companions::of(&page.config()?);
    let others = match whom {
        OWN => Vec::new(),
        ALL => companions.book()?.machines().to_vec(),
        _ => vec![named(&companions, &visit.form)?],
    };
    if matches!(whom, OWN | ALL) {
        page.ask(Ask::Wish { wish }).await?;
    }
    let heard = companions.ask(&others, command(wish)).await?;
    let undone: Vec<String> =
        heard.iter().filter_map(|it| Some(it.report.as_ref().err()?.to_string())).collect();
    if undone.is_empty() {
        return Ok(go("/machines?done=1"));
    }
    let text = format!("not done by {} of {}: {}", undone.len(), heard.len(), undone.join("; "));
    Err(Failure::new(Code::Unreachable, text).hint("the others have done it; Machines shows them"))
}

fn command(wish: Wish) -> Command {
    match wish.asked {
        Asked::Run => Command::Resume,
        Asked::Finish => Command::Finish,
        Asked::Pause => {
            let for_ms = wish.until_unix_ms.map(|until| until.saturating_sub(now_ms()));
            Command::Pause { for_ms }
        }
    }
}

/// Forgets one. That takes a right away and gives none, so it may be done here.
pub(super) fn forget(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    if visit.form.text("sure") != Some("yes") {
        return Err(Failure::new(Code::Usage, "forgetting was not confirmed")
            .hint("tick the box beside the button"));
    }
    let companions = Companions::of(&page.config()?);
    companions.remove(&named(&companions, &visit.form)?)?;
    Ok(go("/machines?done=1"))
}

fn named(companions: &Companions, form: &Form) -> Result<Machine, Failure> {
    let key = form.text("machine").and_then(|text| text.parse::<B256>().ok());
    let book = companions.book()?;
    let found = key.and_then(|key| book.by_key(key)).cloned();
    found.ok_or_else(|| {
        Failure::new(Code::NotFound, "this machine is not known here any more")
            .hint("load Machines again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_say_it() {
        let minute = 60_000;
        assert_eq!(ago(minute), "just now");
        assert_eq!(ago(119 * minute), "119 min ago");
        assert_eq!(ago(47 * 60 * minute), "47 h ago");
        assert_eq!(ago(48 * 60 * minute), "2 days ago");
    }
}
