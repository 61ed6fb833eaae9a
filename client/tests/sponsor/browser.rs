//! A newcomer in a browser: the page asks three questions, and behind it is what `join` and `start` do, to its end.

use super::{
    operator::Operator, page::Browser, patience::until, requester::amount, site::Site,
    volunteer::Volunteer,
};
use serde_json::Value;
use std::{path::Path, process::Command, time::Duration};

/// Longest wait for a page to be served.
const PATIENCE: Duration = Duration::from_secs(30);

/// A worker that runs by itself, as `start` leaves it; it ends with the test.
pub(crate) struct Joined {
    pub(crate) volunteer: Volunteer,
    own: Browser,
}

impl Drop for Joined {
    fn drop(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_quorate")).with_file_name("quorate-worker");
        let home = self.volunteer.home.path();
        let mut stop = Command::new(program);
        stop.args(["--data-dir", "worker", "stop"]).current_dir(home).env("HOME", home);
        // Where the test went well it has ended already.
        drop(stop.output());
    }
}

/// Opens the page of a worker that has not joined, answers, and follows it to the worker's own page.
pub(crate) async fn joins(site: &Site, operator: &Operator, invite: &str) -> Joined {
    let mut volunteer = Volunteer::new(site, "browser");
    let open = ["--data-dir", "worker", "open", "--print"];
    let opened = volunteer.home.start("quorate-worker", &open);
    let line = async || opened.out().split_once('\n').map(|(line, _)| line.to_owned());
    let browser = Browser::enter(&until("the page's URL", PATIENCE, line).await);
    let page = browser.get("/").expect(200).body;
    for question in
        ["1. Which pool?", "2. Where does the money go?", "3. How much of the computer?"]
    {
        assert!(page.contains(question), "expected `{question}`: {page}");
    }
    let answers = [("invite", invite), ("payout", ""), ("share", "balanced")];
    let page = browser.post("/join", &answers).expect(200).body;
    assert!(page.contains("Your worker runs."), "{page}");
    assert_eq!(opened.code().await, 0, "all is answered, and it ends");
    let mut links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let own = links.find(|url| url.starts_with("http://127.0.0.1")).expect("its own page");
    let own = Browser::enter(own);
    operator.has_workers(1).await;
    let known = |status: &Value| status["view"]["worker"].is_u64();
    let status = volunteer.shows("its number", known).await;
    volunteer.worker = u32::try_from(status["view"]["worker"].as_u64().unwrap()).unwrap();
    Joined { volunteer, own }
}

/// What it did is on its own page, in the same session.
pub(crate) async fn has_worked(joined: &Joined, tasks: u64) {
    let worked = |status: &Value| status["view"]["totals"]["settled"] == tasks;
    joined.volunteer.shows("its tasks to be settled", worked).await;
    let due = joined.volunteer.run(&["--json", "earnings"]).await.expect(0).json();
    assert!(amount(&due["due"]) > 0, "{due}");
    let card = joined.own.get("/").expect(200).body;
    assert!(card.contains("Waiting for work"), "{card}");
    assert!(card.contains(&format!("<dd>{tasks} tasks; 0 given back")), "{card}");
}

/// Ends it, as its owner would.
pub(crate) async fn ends(joined: Joined) {
    joined.volunteer.run(&["stop"]).await.expect(0);
    joined.volunteer.shows("its end", |status| status["running"] == false).await;
}
