//! A real node for a test: anvil, started on a free port, told what to do by its own methods, and
//! killed with the test. Nothing if `QUORATE_ANVIL` does not name a binary.

use alloy::primitives::{Address, B256, Bytes, U256};
use quorate_chain::transport::{Chain, ChainUrl};
use quorate_chain::{Call, Outbox, OutboxConfig, Signer, preset};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a test waits for anything: thousands of times what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Adds one to its only slot whenever it is called: how often something happened.
const COUNTER: &str = "0x6960005460010160005500600052600a6016f3";

/// See the module.
pub(crate) struct Anvil {
    child: Child,
    pub(crate) port: u16,
    pub(crate) chain: Chain,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Anvil {
    /// Starts a node with these flags; says so and returns nothing where there is no binary.
    pub(crate) async fn start(flags: &[&str]) -> Option<Self> {
        let Some(binary) = std::env::var_os("QUORATE_ANVIL") else {
            eprintln!("SKIPPED: QUORATE_ANVIL does not name an anvil binary");
            return None;
        };
        // The port is free when asked; anvil fails loudly if somebody takes it in between.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(&binary)
            .args(["--silent", "--port", &port.to_string()])
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("QUORATE_ANVIL={}: {error}", binary.display()));
        let chain = Chain::connect(&url_of(port)).unwrap();
        let mut anvil = Self { child, port, chain };
        anvil.wait_until_up().await;
        Some(anvil)
    }

    async fn wait_until_up(&mut self) {
        for _ in 0..200 {
            if self.chain.chain_id().await.is_ok() {
                return;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "anvil ended by itself");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("anvil does not answer");
    }

    /// Calls any method; an error of the node ends the test.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (_, body) = post(self.port, request.to_string().as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer.get("error"), None, "{method} {params}");
        answer["result"].clone()
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Replaces the newest blocks by as many empty ones; their transactions are gone.
    pub(crate) async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    /// Transactions that wait to be mined.
    pub(crate) async fn pending(&self) -> Vec<B256> {
        let pool = self.rpc("txpool_content", json!([])).await;
        let senders = pool["pending"].as_object().unwrap().values();
        let txs = senders.flat_map(|txs| txs.as_object().unwrap().values().cloned());
        txs.map(|tx| serde_json::from_value(tx["hash"].clone()).unwrap()).collect()
    }

    /// Waits until some transaction waits to be mined.
    pub(crate) async fn until_pending(&self) -> B256 {
        until("a pending transaction", async || self.pending().await.pop()).await
    }

    /// How often the counter was called.
    pub(crate) async fn count(&self, counter: Address) -> u64 {
        let slot = self.rpc("eth_getStorageAt", json!([counter, "0x0", "latest"])).await;
        serde_json::from_value::<U256>(slot).unwrap().to()
    }

    /// A counter, deep under what any reorganisation here reaches.
    pub(crate) async fn counter(&self) -> Address {
        let deployer = Address::repeat_byte(0x77);
        self.chain.set_balance(deployer, U256::from(10).pow(U256::from(20))).await.unwrap();
        self.rpc("anvil_impersonateAccount", json!([deployer])).await;
        let nonce = self.chain.nonce(deployer).await.unwrap();
        let tx = json!([{"from": deployer, "data": COUNTER, "gas": "0x30000"}]);
        self.rpc("eth_sendTransaction", tx).await;
        self.mine(70).await;
        deployer.create(nonce)
    }

    /// Gives an account money.
    pub(crate) async fn fund(&self, signer: &Signer) {
        let wei = U256::from(10).pow(U256::from(19));
        self.chain.set_balance(signer.address(), wei).await.unwrap();
    }
}

/// One more.
pub(crate) fn count_one(counter: Address) -> Call {
    let what = "count one".to_owned();
    Call { what, to: Some(counter), value: U256::ZERO, data: Bytes::new(), gas_max: None }
}

pub(crate) fn url_of(port: u16) -> ChainUrl {
    ChainUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap()
}

pub(crate) fn signer(byte: u8) -> Signer {
    Signer::from_secret(&[byte; 32]).unwrap()
}

/// How an impatient outbox behaves: final as anvil says, 64 blocks later.
pub(crate) fn quick() -> OutboxConfig {
    OutboxConfig {
        finality: quorate_chain::Finality::Finalized,
        poll: Duration::from_millis(10),
        mined_within: Duration::from_secs(10),
        final_within: PATIENCE,
        ..OutboxConfig::of(preset("anvil").unwrap())
    }
}

/// An outbox that remembers.
pub(crate) fn remembering(chain: &Chain, byte: u8, dir: &std::path::Path) -> Outbox {
    Outbox::open(chain.clone(), signer(byte), quick(), dir).unwrap()
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Posts JSON and returns status and body.
pub(crate) async fn post(port: u16, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&answer[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!chunked, "anvil sends lengths");
    Ok((status, answer.split_off((at + 4).min(answer.len()))))
}
