//! The icon of the session agent: what the worker does, and the page's buttons in a menu. The words are those of
//! `status`; a choice is a command.

use super::{config::Config, control, open, output::Output, show};
use crate::{control::Ask, page::heading, status::Status, why::why};
use quorate_common::exit::Failure;
use quorate_policy::{Asked, Wish};
use quorate_senses::tray::{self, Chosen, Look};
use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{mpsc, watch};

/// Between two looks at the status file: a glance at its date, which wakes no worker.
const LOOK: Duration = Duration::from_secs(5);
/// The worker itself is asked when the file is new, and so often: one that was killed leaves the file as it was.
const ASK: Duration = Duration::from_secs(60);
/// Choices that wait.
const CHOICES_MAX: usize = 8;

/// Shows the icon for as long as the session's bus is there, of a worker that listens to this user.
pub(super) async fn run(config: Config, bus: String, output: Output) {
    let (looks, look) = watch::channel(of(None));
    let (chosen, mut choices) = mpsc::channel(CHOICES_MAX);
    let mut showing = tokio::spawn(async move { tray::show(&bus, look, chosen).await });
    let mut asked: Option<(Instant, Option<SystemTime>)> = None;
    loop {
        let written = fs::metadata(config.path(show::STATUS_FILE)).and_then(|m| m.modified()).ok();
        if asked.is_none_or(|(at, seen)| seen != written || at.elapsed() >= ASK) {
            let status = control::status(&config).await.map(|(status, _)| status);
            looks.send_if_modified(|shown| {
                let look = of(status.as_ref());
                let is_new = *shown != look;
                *shown = look;
                is_new
            });
            asked = Some((Instant::now(), written));
        }
        tokio::select! {
            Some(choice) = choices.recv() => {
                if let Err(failure) = obey(&config, choice, output).await {
                    tracing::warn!("{failure}");
                }
                asked = None;
            }
            ended = &mut showing => {
                return tracing::info!(?ended, "no icon any more");
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn of(status: Option<&Status>) -> Look {
    let why = why(status, status.is_some());
    let until = status.and_then(|status| status.mood.as_ref()?.until_unix_ms);
    let (title, tone) = heading(why.as_ref());
    let icon = match tone {
        "ok" => "media-playback-start",
        "warn" => "media-playback-pause",
        _ => "dialog-warning",
    };
    Look { title: title.into(), sentence: show::state(why.as_ref(), until), icon }
}

async fn obey(config: &Config, choice: Chosen, output: Output) -> Result<(), Failure> {
    let asked = match choice {
        Chosen::Run => Asked::Run,
        Chosen::Finish => Asked::Finish,
        Chosen::Pause => Asked::Pause,
        Chosen::Open => {
            open::show(&control::page_url(config).await?, output);
            return Ok(());
        }
    };
    let wish = Wish { asked, until_unix_ms: None };
    control::ask(config, &Ask::Wish { wish }).await.map(drop)
}
