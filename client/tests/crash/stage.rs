//! A market on stage: a pool, its volunteers at work, and a requester with a bag.

use super::{
    anvil::Anvil,
    home::Running,
    operator::Operator,
    requester::{Requester, lucas_lehmer},
    site::Site,
    volunteer::Volunteer,
};
use std::{collections::BTreeMap, fs, path::Path};

/// Trust asked for: five newcomers, or two workers that have proven themselves.
const TRUST: &str = "30";
/// What each worker has at stake: enough for votes on all tasks at once. Replaced workers' votes stay
/// where they are, and tasks that wait for the last free stakes could wait for each other.
const STAKE: &str = "1.0";
/// The order's name.
const NAME: &str = "bag";

/// Everybody.
pub(crate) struct Stage {
    pub(crate) operator: Operator,
    pub(crate) volunteers: Vec<Volunteer>,
    pub(crate) requester: Requester,
}

impl Stage {
    /// Opens a pool with a worker for each number of slots, all at work.
    pub(crate) async fn set(
        site: &Site,
        anvil: &Anvil,
        name: &str,
        settings: &[&str],
        slots: &[&str],
    ) -> Self {
        let mut operator = Operator::init(site, anvil, name, settings).await;
        operator.serve().await;
        let invite = operator.invite().await;
        let mut volunteers = Vec::new();
        for (slots, n) in slots.iter().zip(1..) {
            let mut volunteer = Volunteer::new(site, &format!("{name}-volunteer-{n}"));
            let terms = ["--slots", slots, "--stake", STAKE];
            volunteer.join_with_key(&operator, anvil, &invite, &terms).await;
            volunteer.start();
            volunteers.push(volunteer);
        }
        let requester = format!("{name}-requester");
        let requester = Requester::new(site, &operator, &requester, &anvil.url).await;
        requester.run(&["wallet", "deposit", "5 QTT"]).await.expect(0);
        operator.has_workers(volunteers.len()).await;
        Self { operator, volunteers, requester }
    }

    /// Starts `quorate run` on the bag, and waits until the order is placed. Returns its id.
    pub(crate) async fn order(&self, bag: &str) -> (Running, String) {
        self.requester.home.file("bag.txt", bag);
        let app = lucas_lehmer().display().to_string();
        let run = ["run", &app, "--each-line", "bag.txt", "-o", "out", "--trust", TRUST];
        let running = self.requester.start(&[&run[..], &["--name", NAME]].concat());
        let order = self.requester.has_order(NAME).await;
        (running, order)
    }

    /// What each task's manifest and standard output say, as they are in the folder.
    pub(crate) fn results(&self) -> BTreeMap<String, (String, String)> {
        let folder = self.requester.home.path().join("out/results");
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let result = |entry: fs::DirEntry| {
            let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
            (name, (text(&path.join("manifest")), text(&path.join("stdout"))))
        };
        entries.map(result).collect()
    }
}
