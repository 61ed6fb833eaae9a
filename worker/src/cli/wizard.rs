//! The first run in a browser: the three questions of `join`, answered on a page that this command serves until
//! they are, and the same steps behind them.

use super::{
    Global, JoinArgs,
    config::Config,
    control, failure, join, open,
    output::Output,
    questions::{Payout, SHARES, payout, share},
};
use crate::page::{Answer, Door, Frame, Key, Site, Visit, html, no_page, serve};
use askama::Template;
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// How long the last page may take to its browser.
const GRACE: Duration = Duration::from_secs(1);

/// The questions, as far as they are answered.
#[derive(Template)]
#[template(path = "wizard.html")]
struct Questions {
    frame: Frame,
    invite: String,
    payout: String,
    share: String,
    shares: [(&'static str, &'static str); 3],
    problem: String,
    hint: String,
}

#[derive(Template)]
#[template(path = "joined.html")]
struct Joined {
    frame: Frame,
    url: String,
}

/// Somebody who has not joined yet.
struct Wizard {
    global: Global,
    output: Output,
    done: Notify,
}

/// Serves the questions until a worker runs.
pub(super) async fn run(global: Global, print: bool, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    let failed = |error: io::Error| failure::file(&config.data_dir, &error);
    join::make_private(&config.data_dir)?;
    let listen = config.page()?.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let key = Key::open(&config.data_dir).map_err(failed)?;
    let (door, listener) = Door::open(listen, key).await.map_err(failed)?;
    let url = door.url().map_err(failed)?;
    let wizard = Arc::new(Wizard { global, output, done: Notify::new() });
    let serving = tokio::spawn(serve(Arc::new(door), listener, Arc::clone(&wizard)));
    output.note("this worker has not joined a pool: three questions wait in your browser");
    if !print && !output.json {
        open::show(&url, output);
    }
    output
        .either(&serde_json::json!({ "schema": "quorate.open/v1", "url": url }), || url.clone())?;
    wizard.done.notified().await;
    tokio::time::sleep(GRACE).await;
    serving.abort();
    Ok(())
}

impl Site for Wizard {
    async fn visit(self: Arc<Self>, visit: Visit) -> Result<Answer, Failure> {
        match (visit.acts, visit.path.as_str()) {
            (false, "/") => html(&questions(&visit, None)),
            (true, "/join") => match self.join(&visit).await {
                Ok(url) => {
                    let answer = html(&Joined { frame: Frame::bare("Joined"), url });
                    self.done.notify_one();
                    answer
                }
                Err(failure) => html(&questions(&visit, Some(&failure))),
            },
            (_, path) => Err(no_page(path)),
        }
    }
}

fn questions(visit: &Visit, failure: Option<&Failure>) -> Questions {
    let said = |name: &str| visit.form.text(name).unwrap_or_default().to_owned();
    Questions {
        frame: Frame { token: visit.token.clone(), ..Frame::bare("Join a pool") },
        invite: said("invite"),
        payout: said("payout"),
        share: visit.form.text("share").unwrap_or("balanced").to_owned(),
        shares: SHARES.map(|(name, words, _)| (name, words)),
        problem: failure.map_or_else(String::new, |failure| failure.message.clone()),
        hint: failure.and_then(|failure| failure.hint.clone()).unwrap_or_default(),
    }
}

impl Wizard {
    /// What `join` and `start` do; where the worker's own page is, afterwards.
    async fn join(&self, visit: &Visit) -> Result<String, Failure> {
        let usage = |error: String| Failure::new(Code::Usage, error);
        let invite = visit.form.text("invite").unwrap_or_default().parse::<Invite>();
        let invite = invite.map_err(|error| usage(format!("the invitation: {error}")))?;
        let payout = payout(visit.form.text("payout").unwrap_or_default()).map_err(usage)?;
        let mut set = share(visit.form.text("share").unwrap_or_default()).map_err(usage)?;
        if let Payout::To(address) = payout {
            set.push(format!("payout={address}"));
        }
        let mut global = self.global.clone();
        global.set.extend(set);
        let donate = payout == Payout::Donate;
        let args = JoinArgs { invite: Some(invite), donate, ..JoinArgs::default() };
        join::run(global, args, self.output).await?;
        control::start(self.global.clone(), self.output).await?;
        control::page_url(&Config::load(&self.global, &[])?).await
    }
}
