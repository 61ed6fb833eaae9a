//! The chain: anvil, a real node that mines at once, has a faucet and lets its clock run ahead.

use super::{home::Home, patience::until, site::Site};
use quorate_chain::{Chain, ChainUrl, Signer, U256};
use std::{fs::File, process::Stdio, time::Duration};
use tokio::process::{Child, Command};

/// Seconds of a development contract's challenge window, and a little.
pub(crate) const WINDOW_S: u64 = 48 * 3600 + 60;
/// Coins the faucet gives: enough gas for any test.
const COINS: u64 = 100;

/// A running node; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Anvil {
    #[expect(dead_code, reason = "held to be killed")]
    child: Child,
    pub(crate) url: String,
    chain: Chain,
}

impl Anvil {
    /// Starts a node; `None`, and a word about it, where there is no binary.
    pub(crate) async fn start(site: &Site) -> Option<Self> {
        let Some(binary) = std::env::var_os("QUORATE_ANVIL") else {
            eprintln!("SKIPPED: QUORATE_ANVIL does not name an anvil binary");
            return None;
        };
        // anvil fails loudly if somebody takes the port in between.
        let port = free_port();
        let mut command = Command::new(&binary);
        command.args(["--silent", "--port", &port.to_string()]).kill_on_drop(true);
        let log = File::create(site.path().join("anvil.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("QUORATE_ANVIL={}: {error}", binary.display()));
        let url = format!("http://127.0.0.1:{port}");
        let chain = Chain::connect(&ChainUrl::parse(&url).unwrap()).unwrap();
        until("anvil", Duration::from_secs(20), async || {
            assert_eq!(child.try_wait().unwrap(), None, "anvil ended by itself");
            chain.chain_id().await.ok()
        })
        .await;
        Some(Self { child, url, chain })
    }

    /// The chain.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// A fresh account with coins for gas: the file with its key in somebody's home.
    pub(crate) async fn account(&self, home: &Home, name: &str) -> String {
        let key = quorate_common::keys::random32().unwrap();
        let signer = Signer::from_secret(&key).unwrap();
        let wei = U256::from(COINS) * U256::from(10).pow(U256::from(18));
        self.chain.set_balance(signer.address(), wei).await.unwrap();
        home.file(name, hex::encode(key)).display().to_string()
    }
}

/// A port that is free, for TCP and UDP, when it is asked for.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        if std::net::UdpSocket::bind(addr).is_ok() {
            return addr.port();
        }
    }
}
