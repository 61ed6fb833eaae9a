//! `quorate watch`, and what it says.

use super::{
    anvil::Anvil,
    home::{Home, Ran, Running},
    patience::until,
    requester::amount,
    site::Site,
    stage::Stage,
};
use serde_json::Value;
use std::time::Duration;

/// Longest wait for something to be found and brought, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the court's share waits for.
const JOIN_TIME_S: u64 = 6 * 3600 + 1;

/// A watcher with an account of its own.
pub(crate) struct Watcher {
    home: Home,
    address: String,
    args: Vec<String>,
    running: Option<Running>,
    /// What earlier runs said.
    before: String,
}

impl Watcher {
    pub(crate) async fn start(site: &Site, stage: &Stage, anvil: &Anvil) -> Self {
        let home = Home::new(site, "watcher")
            .with("QUORATE_API", &stage.operator.url)
            .with("QUORATE_CHAIN__URL", &anvil.url)
            .with("QUORATE_PASSWORD", "a long password");
        let made = home.run("quorate", &["wallet", "new", "--json"]).await.expect(0).json();
        let address = made["address"].as_str().unwrap().to_owned();
        stage.operator.pay(&address, "1 ETH", "1 QTT").await;
        let mut args: Vec<String> =
            ["watch", "--json", "--data", "seen", "--patience", "1s"].map(str::to_owned).into();
        for volunteer in &stage.volunteers {
            let words = volunteer.home.path().join("worker/words");
            args.extend(["--words".to_owned(), words.display().to_string()]);
        }
        let mut watcher = Self { home, address, args, running: None, before: String::new() };
        watcher.go_on();
        watcher
    }

    pub(crate) fn go_on(&mut self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.running = Some(self.home.start("quorate", &args));
    }

    /// Runs it to its end.
    pub(crate) async fn once(&self, more: &[&str]) -> Ran {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.home.run("quorate", &[&args[..], &["--once"], more].concat()).await
    }

    /// Runs it until its time is over.
    pub(crate) async fn watches_for(&self, time: &str) -> Ran {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.home.run("quorate", &[&args[..], &["--timeout", time]].concat()).await
    }

    /// Ends it in good order.
    pub(crate) async fn end(&mut self) {
        self.before = self.out();
        assert_eq!(self.running.take().expect("it runs").end("INT").await, 130);
    }

    /// Starts it, and kills it between announcing and proving, or right after.
    pub(crate) async fn kill_after_announcing(&mut self) {
        self.go_on();
        self.hears("announced", "").await;
        self.before = self.out();
        self.running.take().expect("it runs").kill().await;
    }

    /// Everything it said.
    pub(crate) fn out(&self) -> String {
        let now = self.running.as_ref().map(Running::out).unwrap_or_default();
        format!("{}{now}", self.before)
    }

    fn events(&self) -> Vec<Value> {
        // The last line may still be written.
        self.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How often it said so.
    pub(crate) fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|said| said["event"] == event).count()
    }

    /// Waits until it says so, in these words.
    pub(crate) async fn hears(&mut self, event: &str, words: &str) -> Value {
        self.hears_that(event, |said| said["text"].as_str().unwrap().contains(words)).await
    }

    /// Waits until it says so of a batch.
    pub(crate) async fn hears_of_batch(&mut self, event: &str, batch: u64) -> Value {
        self.hears_that(event, |said| said["batch"] == batch).await
    }

    /// Waits until it has brought a proof. The chain makes no blocks by itself, so one is made.
    pub(crate) async fn proves(&mut self, anvil: &Anvil, proof: &str) {
        self.hears("announced", proof).await;
        anvil.chain().warp(12).await.unwrap();
        self.hears("proven", proof).await;
    }

    async fn hears_that(&mut self, event: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        until(&format!("`{event}`"), PATIENCE, async || {
            let running = self.running.as_mut().expect("it runs");
            assert!(running.runs(), "the watcher ended by itself");
            self.events().into_iter().find(|said| said["event"] == event && is_it(said))
        })
        .await
    }

    /// Six hours later it collects its share.
    pub(crate) async fn is_paid(&mut self, stage: &Stage, anvil: &Anvil, share: u128) {
        anvil.chain().warp(JOIN_TIME_S).await.unwrap();
        self.hears("closed", "the share is paid").await;
        let balance = ["wallet", "balance", &self.address, "--json"];
        let free = stage.requester.run(&balance).await.expect(0).json();
        assert_eq!(amount(&free["free"]), share);
    }
}
