//! A requester: a wallet with money in the contract, and orders.

use super::{
    home::{Home, Ran, Running},
    operator::Operator,
    patience::until,
    site::Site,
};
use quorate_grid::evidence::Receipt;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest wait for an order to be placed and opened on chain.
const PATIENCE: Duration = Duration::from_secs(30);

/// A requester.
#[derive(Debug)]
pub(crate) struct Requester {
    pub(crate) home: Home,
    pub(crate) address: String,
}

impl Requester {
    /// Makes a wallet, has the bank fill it, and deposits tokens.
    pub(crate) async fn new(site: &Site, operator: &Operator, name: &str, chain_url: &str) -> Self {
        let home = Home::new(site, name)
            .with("QUORATE_API", &operator.url)
            .with("QUORATE_CHAIN__URL", chain_url)
            .with("QUORATE_PASSWORD", "a long password");
        let made = home.run("quorate", &["wallet", "new", "--json"]).await.expect(0).json();
        let address = made["address"].as_str().unwrap().to_owned();
        operator.pay(&address, "1 ETH", "20 QTT").await;
        Self { home, address }
    }

    /// Runs a command of the requester's program.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.home.run("quorate", args).await
    }

    /// Starts a command of the requester's program.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.home.start("quorate", args)
    }

    /// Waits until an order of that name is placed, and runs. Returns its id.
    pub(crate) async fn has_order(&self, name: &str) -> String {
        until(&format!("the order `{name}` to run"), PATIENCE, async || {
            let orders = self.run(&["order", "ls", "--json"]).await.expect(0).json();
            let newest = &orders["orders"][0];
            let runs = newest["name"] == name && newest["state"]["phase"] == "running";
            runs.then(|| newest["order"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// The id of the newest order.
    pub(crate) async fn newest(&self) -> String {
        let orders = self.run(&["order", "ls", "--offline", "--json"]).await.expect(0).json();
        orders["orders"][0]["order"].as_str().unwrap().to_owned()
    }

    /// A receipt in a folder.
    pub(crate) fn receipt(&self, folder: &str, task: u32) -> Receipt {
        let path = self.home.path().join(folder).join(format!("receipts/{task:05}.json"));
        Receipt::parse_canonical(&fs::read(path).unwrap()).unwrap()
    }

    /// What the wallet has: free in the contract.
    pub(crate) async fn free(&self) -> u128 {
        amount(&self.run(&["wallet", "balance", "--json"]).await.expect(0).json()["free"])
    }
}

/// The Lucas-Lehmer test, as the repository holds it.
pub(crate) fn lucas_lehmer() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.join("../deploy/apps/lucas-lehmer/lucas_lehmer.wasm").canonicalize().unwrap()
}

/// An amount of token units in a document.
#[track_caller]
pub(crate) fn amount(value: &Value) -> u128 {
    let text = value.as_str().unwrap_or_else(|| panic!("expected an amount, found {value}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
