//! Now: how the worker is and why, three buttons, and what it works on. The words are those of `status`, `explain`
//! and the log.

use super::{
    Page,
    answer::{Answer, go, html},
    door::Visit,
    form::Form,
    frame::Frame,
};
use crate::{
    cli::{HOME, Until, allowed, state},
    control::Ask,
    status::{PoolStatus, Status},
    why::why,
};
use askama::Template;
use quorate_agent::{JobView, LinkView, StageName};
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
};
use quorate_policy::{Asked, Reason, Wish};
use std::sync::Arc;

/// Rows of the table of tasks: a person reads no more, and the count says how many there are.
const ROWS_MAX: usize = 32;

#[derive(Template)]
#[template(path = "card.html")]
struct View {
    frame: Frame,
    title: &'static str,
    tone: &'static str,
    state: String,
    allowed: String,
    status: Status,
    rows: Vec<Row>,
    jobs: usize,
    touches: Vec<String>,
    /// If there are several.
    pools: Vec<Pool>,
}

struct Pool {
    name: String,
    is: String,
    share: u16,
    slots: String,
    settled: u64,
    earned: String,
    stake: String,
}

struct Row {
    task: String,
    stage: &'static str,
    app: String,
    price: String,
}

/// The page.
pub(super) fn page(page: &Page, visit: &Visit) -> Result<Answer, Failure> {
    let status = page.status();
    let why = why(Some(&status), true);
    let (title, tone) = heading(why.as_ref());
    let until = status.mood.as_ref().and_then(|mood| mood.until_unix_ms);
    let frame = Frame { live: true, ..page.frame(visit, "/", title) };
    html(&View {
        frame,
        title,
        tone,
        state: state(why.as_ref(), until),
        allowed: status.mood.as_ref().map_or_else(String::new, allowed),
        rows: status.view.jobs.iter().filter(|job| is_work(job)).take(ROWS_MAX).map(row).collect(),
        jobs: status.view.jobs.iter().filter(|job| is_work(job)).count(),
        touches: touches(page)?,
        pools: status.pools.iter().map(pool).collect(),
        status,
    })
}

/// One word for the eye; the sentence beside it is the reason's own.
pub(crate) fn heading(why: Option<&Reason>) -> (&'static str, &'static str) {
    match why {
        None => ("Working", "ok"),
        Some(Reason::NoWork) => ("Waiting for work", "ok"),
        Some(Reason::Paused) => ("Paused", "warn"),
        Some(Reason::Finishing | Reason::Finished) => ("Finishing", "warn"),
        Some(Reason::Leaving) => ("Leaving", "warn"),
        Some(Reason::Broken { .. } | Reason::Ended { .. } | Reason::NotRunning) => {
            ("Stopped", "bad")
        }
        Some(Reason::NoConnection { .. } | Reason::Unregistered) => ("Not connected", "bad"),
        Some(_) => ("Resting", "warn"),
    }
}

fn is_work(job: &JobView) -> bool {
    !matches!(job.stage, StageName::Revealed)
}

fn row(job: &JobView) -> Row {
    let stage = match job.stage {
        StageName::Fetching => "fetching inputs",
        StageName::Waiting => "waits for a slot",
        StageName::Running => "running",
        StageName::Sealed | StageName::Acked => "sealed: waits for the other votes",
        StageName::Revealing | StageName::Revealed => "shown",
    };
    let app = job.app.to_string().chars().take(16).collect();
    Row { task: job.task.to_string(), stage, app, price: super::show::tokens(job.price) }
}

fn pool(status: &PoolStatus) -> Pool {
    let link = match status.link {
        LinkView::Up => "connected",
        LinkView::Unregistered => "connected, and not known to the pool's contract yet",
        LinkView::Greeting | LinkView::Down => "not connected",
    };
    Pool {
        name: if status.name.is_empty() { HOME.into() } else { status.name.clone() },
        is: status.ended.clone().unwrap_or_else(|| link.into()),
        share: status.share,
        slots: format!("{} of {}", status.running, status.slots),
        settled: status.settled,
        earned: super::show::tokens(status.earned),
        stake: super::show::tokens(status.stake),
    }
}

/// What a task can reach on this machine, in sentences.
fn touches(page: &Page) -> Result<Vec<String>, Failure> {
    let config = page.config()?;
    let share = (config.memory_bytes()? / u64::from(config.slots()?.max(1))) >> 20;
    let mut touches = vec![
        "No file of yours, no network, no device: a module sees its own inputs and writes its own result.".into(),
        format!("At most {share} MiB of memory each, and the processor's time that nobody else wants."),
        format!("At most {} MiB of disk, all of them together.", config.cache_bytes()? >> 20),
    ];
    if config.preferences()?.containers {
        touches.push(
            "Containers are on: programs in one see their own files only, without network and without rights."
                .into(),
        );
    }
    Ok(touches)
}

/// Run, finish, pause.
pub(super) async fn wish(page: Arc<Page>, visit: Visit) -> Result<Answer, Failure> {
    page.ask(Ask::Wish { wish: wished(&visit.form)? }).await?;
    Ok(go("/"))
}

/// What a form with the three buttons says.
pub(super) fn wished(form: &Form) -> Result<Wish, Failure> {
    let asked = match form.text("do") {
        Some("run") => Asked::Run,
        Some("finish") => Asked::Finish,
        Some("pause") => Asked::Pause,
        other => {
            let text = format!("`{}`: expected run, finish or pause", other.unwrap_or_default());
            return Err(Failure::new(Code::Usage, text));
        }
    };
    let until = form.text("for").filter(|_| asked == Asked::Pause).map(str::parse::<Until>);
    let until = until.transpose().map_err(|error| Failure::new(Code::Usage, error))?;
    let now_ms = SystemClock::start().now().unix_ms;
    Ok(Wish { asked, until_unix_ms: until.map(|until| until.unix_ms(now_ms)) })
}
