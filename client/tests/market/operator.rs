//! The operator: a pool on chain, and the scheduler that runs it.

use super::{
    anvil::{Anvil, free_port},
    home::{Home, Ran, Running},
    patience::until,
    requester::amount,
    site::Site,
};
use quorate_chain::{Chain, Settlement, settlement::PoolView};
use quorate_client::api::Api;
use quorate_common::{Address, api::BatchView};
use serde_json::Value;
use std::time::Duration;

/// The program.
pub(crate) const SCHEDULER: &str = "quorate-scheduler";
/// Token units per task.
pub(crate) const UNIT_PRICE: u128 = 1_000_000_000_000_000;
/// Tokens everybody else is funded from.
const BANK: &str = "1000000 QTT";
/// Longest start of a scheduler on a busy machine: keys, chain, journal, index.
const START: Duration = Duration::from_secs(30);

/// A pool and its scheduler.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) home: Home,
    /// The API's address.
    pub(crate) url: String,
    pub(crate) contract: Address,
    /// Owns the pool, its bond and its fees.
    account: String,
    /// Pays coins and tokens to whoever needs some: an account of its own, so that its nonces are not
    /// the scheduler's.
    pub(crate) bank: Home,
    chain: Chain,
    http: reqwest::Client,
    serving: Option<Running>,
}

impl Operator {
    /// Deploys a contract, registers a pool, and fills the bank.
    pub(crate) async fn init(site: &Site, anvil: &Anvil, name: &str, settings: &[&str]) -> Self {
        let home = Home::new(site, name);
        let gas = anvil.account(&home, "gas.hex").await;
        Self::open(site, anvil, (name, home, gas), settings, &["--deploy"]).await
    }

    /// Registers a pool of a contract that is there, once `fund` has given the operator tokens.
    pub(crate) async fn init_at(
        site: &Site,
        anvil: &Anvil,
        name: &str,
        settings: &[&str],
        contract: Address,
        fund: impl AsyncFnOnce(Address),
    ) -> Self {
        let home = Home::new(site, name);
        let gas = anvil.account(&home, "gas.hex").await;
        let key = hex::decode(std::fs::read_to_string(&gas).unwrap().trim()).unwrap();
        let signer = quorate_chain::Signer::from_secret(key.as_slice().try_into().unwrap());
        fund(signer.unwrap().address()).await;
        let contract = format!("chain.contract={contract}");
        let settings = [settings, &[contract.as_str()]].concat();
        Self::open(site, anvil, (name, home, gas), &settings, &[]).await
    }

    async fn open(
        site: &Site,
        anvil: &Anvil,
        (name, home, gas): (&str, Home, String),
        settings: &[&str],
        deploy: &[&str],
    ) -> Self {
        let (http, quic) = (free_port(), free_port());
        let own = [
            "chain.preset=anvil".to_owned(),
            format!("chain.url={}", anvil.url),
            format!("http.listen=127.0.0.1:{http}"),
            format!("quic.listen=127.0.0.1:{quic}"),
            format!("pool.unit_price={UNIT_PRICE}"),
        ];
        let mut args = vec!["--data", "pool", "--json"];
        for setting in own.iter().map(String::as_str).chain(settings.iter().copied()) {
            args.extend(["--set", setting]);
        }
        args.extend([&["init", "--gas-key", &gas], deploy].concat());
        let made = home.run(SCHEDULER, &args).await.expect(0).json();
        let contract: Address = made["contract"].as_str().unwrap().parse().unwrap();
        let chain = |home: Home| {
            home.with("QUORATE_PASSWORD", "a long password")
                .with("QUORATE_CHAIN__URL", &anvil.url)
                .with("QUORATE_CHAIN__ID", 31_337)
                .with("QUORATE_CHAIN__CONTRACT", contract)
        };
        let bank = chain(Home::new(site, &format!("{name}-bank")));
        let key = anvil.account(&bank, "bank.hex").await;
        let made = bank.run("quorate", &["wallet", "import", "--key-file", &key]).await.expect(0);
        let treasury = chain(home.clone());
        let import = ["wallet", "import", "--key-file", &gas];
        let account = treasury.run("quorate", &import).await.expect(0).out.trim().to_owned();
        let send = ["wallet", "send", made.out.trim(), BANK];
        treasury.run("quorate", &send).await.expect(0);
        let url = format!("http://127.0.0.1:{http}");
        // The client has set the process up for TLS, which reqwest insists on.
        drop(Api::new(&url));
        let http = reqwest::Client::new();
        let chain = anvil.chain().clone();
        Self { home, url, contract, account, bank, chain, http, serving: None }
    }

    /// The account that owns the pool, and pays for the scheduler's gas.
    pub(crate) fn gas_account(&self) -> &str {
        &self.account
    }

    /// Runs a command of the scheduler's program.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.home.run(SCHEDULER, &[&["--data", "pool"], args].concat()).await
    }

    /// Starts the scheduler, without waiting until it answers.
    pub(crate) fn start(&mut self) {
        let args = ["--data", "pool", "--json", "serve"];
        self.serving = Some(self.home.start(SCHEDULER, &args));
    }

    /// Starts the scheduler, and waits until it answers.
    pub(crate) async fn serve(&mut self) {
        self.start();
        self.answers().await;
    }

    /// Waits until the scheduler answers.
    pub(crate) async fn answers(&mut self) {
        let (url, http) = (format!("{}/healthz", self.url), self.http.clone());
        let serving = self.serving.as_mut().expect("it was started");
        until("the scheduler to answer", START, async || {
            assert!(serving.runs(), "the scheduler ended by itself");
            http.get(&url).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// What the scheduler said when its doors were open.
    pub(crate) fn ready(&self) -> Value {
        let out = self.serving.as_ref().expect("it runs").out();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.serving.take().expect("it runs").kill().await;
    }

    /// Waits until the scheduler has ended by itself, and returns its exit code.
    pub(crate) async fn ends(&mut self) -> i32 {
        self.serving.take().expect("it runs").code().await
    }

    /// Asks the scheduler to end, and returns its exit code.
    pub(crate) async fn end(&mut self, signal: &str) -> i32 {
        self.serving.take().expect("it runs").end(signal).await
    }

    /// The invitation, as the operator would send it.
    pub(crate) async fn invite(&self) -> String {
        self.run(&["invite"]).await.expect(0).out.trim().to_owned()
    }

    /// The scheduler's API, as its clients use it.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url).unwrap()
    }

    /// A page of the API.
    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// A document of the API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let text = self.text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// Waits until so many workers are connected.
    pub(crate) async fn has_workers(&self, count: usize) {
        until(&format!("{count} workers"), START, async || {
            let workers = self.get("/v1/workers").await;
            let connected = workers["workers"].as_array().unwrap().iter();
            let connected = connected.filter(|worker| worker["connected"] == true);
            (connected.count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until every batch is in this state, or further.
    pub(crate) async fn batches_are(&self, state: &str) -> Vec<BatchView> {
        let api = self.api();
        until(&format!("every batch to be {state}"), START, async || {
            let batches = api.batches().await.unwrap().batches;
            let is_there = |batch: &BatchView| batch.state == state || batch.state == "final";
            (!batches.is_empty() && batches.iter().all(is_there)).then_some(batches)
        })
        .await
    }

    /// The pool's money, as the contract has it.
    pub(crate) async fn money(&self) -> PoolView {
        let pool = self.api().pool().await.unwrap();
        let contract = Settlement::connect(self.chain.clone(), pool.domain).await.unwrap();
        contract.pool(pool.pool).await.unwrap()
    }

    /// Tokens an account holds outside of the contract.
    pub(crate) async fn tokens_of(&self, whom: &str) -> u128 {
        let balance = self.bank.run("quorate", &["wallet", "balance", whom, "--json"]).await;
        amount(&balance.expect(0).json()["tokens"])
    }

    /// Token units the operator may take out of the contract.
    pub(crate) async fn free(&self) -> u128 {
        let balance = ["wallet", "balance", &self.account, "--json"];
        amount(&self.bank.run("quorate", &balance).await.expect(0).json()["free"])
    }

    /// Pays coins for gas and tokens from the bank.
    pub(crate) async fn pay(&self, whom: &str, coins: &str, tokens: &str) {
        self.bank.run("quorate", &["wallet", "send", whom, coins, "--eth"]).await.expect(0);
        self.pay_tokens(whom, tokens).await;
    }

    /// Pays tokens from the bank.
    pub(crate) async fn pay_tokens(&self, whom: &str, tokens: &str) {
        self.bank.run("quorate", &["wallet", "send", whom, tokens]).await.expect(0);
    }
}
