//! A volunteer: a machine with a worker on it, and an account that owns stake and earnings.

use super::{
    anvil::Anvil,
    home::{Home, Ran, Running},
    operator::Operator,
    patience::until,
    site::Site,
};
use serde_json::Value;
use std::time::Duration;

const WORKER: &str = "quorate-worker";
/// Longest wait for something a worker shows in its status.
const PATIENCE: Duration = Duration::from_secs(30);

/// A volunteer.
#[derive(Debug)]
pub(crate) struct Volunteer {
    pub(crate) home: Home,
    /// The worker's number in the contract, once it has joined.
    pub(crate) worker: u32,
    /// The account's address, once it has joined.
    pub(crate) owner: String,
    running: Option<Running>,
}

impl Volunteer {
    pub(crate) fn new(site: &Site, name: &str) -> Self {
        let home = Home::new(site, name);
        Self { home, worker: 0, owner: String::new(), running: None }
    }

    /// Runs a command of the worker's program.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.home.run(WORKER, &[&["--data-dir", "worker"], args].concat()).await
    }

    /// Joins: the first try says what the account needs, the bank pays it, the second one does it.
    pub(crate) async fn join(&mut self, operator: &Operator, invite: &str, slots: &str) {
        let join = ["--json", "join", invite, "--slots", slots, "--name", "a volunteer"];
        let refused = self.run(&join).await.refused(7, &["needs", "coins", "token"]);
        let message = refused.error()["message"].as_str().unwrap().to_owned();
        let owner = message.split(' ').find(|word| word.starts_with("0x")).unwrap().to_owned();
        operator.pay(&owner, "1 ETH", "10 QTT").await;
        let joined = self.run(&join).await.expect(0).json();
        assert_eq!(joined["owner"].as_str().unwrap().to_lowercase(), owner.to_lowercase());
        self.worker = u32::try_from(joined["worker"].as_u64().unwrap()).unwrap();
        self.owner = owner;
    }

    /// Joins with a key the volunteer has had all along, of an account that the bank has paid.
    pub(crate) async fn join_with_key(
        &mut self,
        operator: &Operator,
        anvil: &Anvil,
        invite: &str,
        terms: &[&str],
    ) {
        let key = anvil.account(&self.home, "owner.hex").await;
        let key = ["--json", "join", invite, "--owner-key-file", &key];
        let join = [&key[..], terms].concat();
        let offline = self.run(&[&join[..], &["--offline"]].concat()).await.expect(0).json();
        let owner = offline["owner"].as_str().unwrap().to_owned();
        operator.pay_tokens(&owner, "10 QTT").await;
        let joined = self.run(&join).await.expect(0).json();
        assert_eq!(joined["owner"], owner.as_str());
        self.worker = u32::try_from(joined["worker"].as_u64().unwrap()).unwrap();
        self.owner = owner;
    }

    /// Starts the worker.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts the worker with more of its flags.
    pub(crate) fn start_with(&mut self, flags: &[&str]) {
        let args = [&["--data-dir", "worker", "--verbose", "run"], flags].concat();
        self.running = Some(self.home.start(WORKER, &args));
    }

    /// Its exit code, once it has ended by itself.
    pub(crate) async fn ends(&mut self) -> i32 {
        self.running.take().expect("it runs").code().await
    }

    /// Whether the worker runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.running.as_mut().expect("it was started").runs()
    }

    /// The worker's process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").pid()
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.running.take().expect("it runs").kill().await;
    }

    /// Asks the worker to end, and returns its exit code.
    pub(crate) async fn end(&mut self, signal: &str) -> i32 {
        self.running.take().expect("it runs").end(signal).await
    }

    /// What `status --json` says.
    pub(crate) async fn status(&self) -> Value {
        self.run(&["--json", "status"]).await.expect(0).json()
    }

    /// Waits until the status says so.
    pub(crate) async fn shows(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, PATIENCE, async || {
            let status = self.run(&["--json", "status"]).await;
            let status = serde_json::from_str(&status.out).ok();
            status.filter(|status| is_so(status))
        })
        .await
    }
}
