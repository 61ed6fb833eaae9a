//! One way to talk to a chain, whether it runs in this process or behind a URL.
//!
//! [`Chain`] is one alloy provider or several, without fillers and watchers (they lose nonces and
//! wait for ever, see the design's component notes), with a deadline on every call and errors in
//! our words. Several nodes are several opinions: `quorum.rs` says whom to believe. Nothing here
//! retries: whoever calls knows whether and when.

mod embedded;
mod http;
mod node;
mod quorum;

use crate::embedded::EmbeddedNode;
use crate::error::SettleError;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, Keccak256, U256, keccak256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::RpcSend;
use alloy::rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::transports::TransportResult;
use embedded::EmbeddedTransport;
use http::HttpTransport;
pub use node::{Asked, Observer};
use node::{Node, Question};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use url::Url;

/// How long one call may take: a public node under load answers `eth_getLogs` in some seconds.
/// Past it the call counts as unanswered.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// The same where other nodes can answer: a node that takes longer counts as silent.
const SHARED_DEADLINE: Duration = Duration::from_secs(8);

/// Nodes of one chain at most: five bear two that fail, and every further one makes every question
/// dearer.
pub const NODES_MAX: usize = 5;

/// Where a chain is.
#[derive(Clone, Debug)]
pub enum ChainUrl {
    /// In this process.
    Embedded(EmbeddedNode),
    /// Behind JSON-RPC over http or https.
    Http(Url),
}

impl ChainUrl {
    /// Parses an address an operator wrote.
    ///
    /// # Errors
    /// [`SettleError::BadUrl`] for anything but an http(s) URL with a host. The word `embedded`
    /// is not a URL: whoever reads the configuration starts that node and passes its handle.
    pub fn parse(text: &str) -> Result<Self, SettleError> {
        let bad = |expected| SettleError::BadUrl { url: without_secrets(text), expected };
        let url =
            Url::parse(text).map_err(|_| bad("expected http://HOST:PORT or https://HOST/PATH"))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(Self::Http(url)),
            "ws" | "wss" => Err(bad("websockets are not spoken; use the node's http(s) address")),
            _ => Err(bad("expected the scheme http or https")),
        }
    }

    /// Parses each address of a list, for [`Chain::connect_all`].
    ///
    /// # Errors
    /// As [`Self::parse`], for the first that is none.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, SettleError> {
        texts.iter().map(|one| Self::parse(one)).collect()
    }
}

/// What may be shown of a URL: paths and user names carry API keys.
fn without_secrets(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => node_name(&url),
        Err(_) => text.chars().take(40).collect(),
    }
}

fn node_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// A block as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Height.
    pub number: u64,
    /// Name.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// Wei per gas; zero where a chain has none.
    pub base_fee: u64,
}

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRef {
    /// The newest.
    Latest,
    /// The newest that cannot be undone.
    Finalized,
    /// By height.
    Number(u64),
}

/// A connection to one chain, through one node or several. Clones share it.
///
/// With one node everything rests on its word. With two or more, see `quorum.rs`: what matters
/// needs two that agree, and transactions go to all.
#[derive(Clone)]
pub struct Chain {
    nodes: Arc<[Node]>,
    label: Arc<str>,
    deadline: Duration,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({})", self.label)
    }
}

impl Chain {
    /// Makes the connection. Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`SettleError::Unreachable`] when the system's TLS roots cannot be loaded.
    pub fn connect(url: &ChainUrl) -> Result<Self, SettleError> {
        Ok(Self::over(vec![node_at(url)?], CALL_DEADLINE))
    }

    /// Makes connections to several nodes of one chain, [`NODES_MAX`] at most. What matters needs
    /// two that agree, so two are safer than one and stop when either does; three survive one.
    ///
    /// # Errors
    /// [`SettleError::BadUrl`] for no node, too many, or one that is named twice, because it would
    /// agree with itself. Else as [`Self::connect`].
    pub fn connect_all(urls: &[ChainUrl]) -> Result<Self, SettleError> {
        if let [url] = urls {
            return Self::connect(url);
        }
        if !(1..=NODES_MAX).contains(&urls.len()) {
            let url = format!("{} of them", urls.len());
            return Err(SettleError::BadUrl { url, expected: "expected one to five nodes" });
        }
        for (n, url) in urls.iter().enumerate() {
            if urls[..n].iter().any(|other| same_node(other, url)) {
                let expected = "is named twice; two answers of one node are no agreement";
                return Err(SettleError::BadUrl { url: node_label(url), expected });
            }
        }
        let nodes = urls.iter().map(node_at).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::over(nodes, SHARED_DEADLINE))
    }

    fn over(nodes: Vec<Node>, deadline: Duration) -> Self {
        let names: Vec<&str> = nodes.iter().map(Node::name).collect();
        let label = names.join(", ").into();
        Self { nodes: nodes.into(), label, deadline }
    }

    /// The same connection with another limit on how long one call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Scheme and host of every node, for messages.
    pub fn node(&self) -> &str {
        &self.label
    }

    /// Tells somebody of every question to every node from now on: for metrics. Clones share it, and the
    /// first observer stays.
    pub fn observe(&self, observer: Observer) {
        for node in self.nodes.iter() {
            node.observe(Arc::clone(&observer));
        }
    }

    /// How many nodes are asked. One means that its word is all there is.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// EIP-155 chain id, as the nodes say.
    pub async fn chain_id(&self) -> Result<u64, SettleError> {
        let ask = async |p: RootProvider| p.get_chain_id().await;
        let found = self.agreed(Question::of("eth_chainId"), ask, |id| Some(*id)).await?;
        found.ok_or_else(|| self.nonsense("eth_chainId", "nothing"))
    }

    /// Checks that the nodes serve `expected`.
    ///
    /// # Errors
    /// [`SettleError::InvalidChainId`] if they do not.
    pub async fn expect_chain(&self, expected: u64) -> Result<(), SettleError> {
        let found = self.chain_id().await?;
        if found == expected {
            return Ok(());
        }
        Err(SettleError::InvalidChainId { node: self.label.to_string(), expected, found })
    }

    /// Wei of an account.
    pub async fn balance(&self, who: Address) -> Result<U256, SettleError> {
        let ask = async |p: RootProvider| p.get_balance(who).latest().await;
        self.reached(Question::of("eth_getBalance"), ask).await
    }

    /// Transactions of an account that are mined: its next nonce.
    pub async fn nonce(&self, who: Address) -> Result<u64, SettleError> {
        let ask = async |p: RootProvider| p.get_transaction_count(who).latest().await;
        self.reached(Question::of("eth_getTransactionCount"), ask).await
    }

    /// Transactions of an account in the chain up to a block.
    pub async fn nonce_at(&self, who: Address, block: u64) -> Result<u64, SettleError> {
        let ask = async |p: RootProvider| p.get_transaction_count(who).number(block).await;
        self.reached(Question::of("eth_getTransactionCount"), ask).await
    }

    /// The code at an address, empty if there is none.
    pub async fn code(&self, who: Address) -> Result<Bytes, SettleError> {
        let ask = async |p: RootProvider| p.get_code_at(who).latest().await;
        let code = self.agreed(Question::of("eth_getCode"), ask, |code| Some(code.clone())).await?;
        code.ok_or_else(|| self.nonsense("eth_getCode", "nothing"))
    }

    /// keccak256 of the code at an address: what an operator pins.
    pub async fn code_hash(&self, who: Address) -> Result<B256, SettleError> {
        Ok(keccak256(self.code(who).await?))
    }

    /// A block's head; nothing if there is no such block yet. With several nodes a tag means the
    /// newest that two have reached.
    pub async fn block(&self, at: BlockRef) -> Result<Option<BlockInfo>, SettleError> {
        match at {
            BlockRef::Latest | BlockRef::Finalized => self.newest(at).await,
            BlockRef::Number(number) => self.block_numbered(number).await,
        }
    }

    async fn block_at(provider: RootProvider, at: BlockRef) -> TransportResult<Option<BlockInfo>> {
        let tag = match at {
            BlockRef::Latest => BlockNumberOrTag::Latest,
            BlockRef::Finalized => BlockNumberOrTag::Finalized,
            BlockRef::Number(number) => BlockNumberOrTag::Number(number),
        };
        let found = provider.get_block(tag.into()).await?;
        Ok(found.map(|block| BlockInfo {
            number: block.header.number,
            hash: block.header.hash,
            timestamp: block.header.timestamp,
            base_fee: block.header.base_fee_per_gas.unwrap_or_default(),
        }))
    }

    /// The newest block.
    pub async fn head(&self) -> Result<BlockInfo, SettleError> {
        let head = self.block(BlockRef::Latest).await?;
        head.ok_or_else(|| self.nonsense("eth_getBlockByNumber", "there is no latest block"))
    }

    /// Runs a call on the newest state and forgets it.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] with `what` if the contract refuses.
    pub async fn call(&self, what: &str, request: CallRequest) -> Result<Bytes, SettleError> {
        let request: TransactionRequest = request.into();
        let ask = |p: RootProvider| {
            let call = p.call(request.clone()).block(BlockId::latest());
            async move { call.await }
        };
        let question = Question { method: "eth_call", what };
        let found = self.agreed(question, ask, |bytes| Some(bytes.clone())).await?;
        found.ok_or_else(|| self.nonsense("eth_call", "nothing"))
    }

    /// Gas a call needs, as the nodes guess from the newest state.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] with `what` if the contract refuses.
    pub async fn estimate_gas(&self, what: &str, request: CallRequest) -> Result<u64, SettleError> {
        let request: TransactionRequest = request.into();
        let ask = |p: RootProvider| {
            let call = p.estimate_gas(request.clone()).block(BlockId::latest());
            async move { call.await }
        };
        self.reached(Question { method: "eth_estimateGas", what }, ask).await
    }

    /// Wei per gas on top of the base fee that a block's producer wants.
    pub async fn priority_fee(&self) -> Result<u128, SettleError> {
        let ask = async |p: RootProvider| p.get_max_priority_fee_per_gas().await;
        self.reached(Question::of("eth_maxPriorityFeePerGas"), ask).await
    }

    /// Logs of one contract in a range of blocks, both ends included, with the range's last block;
    /// nothing while that is not there. With several nodes, only those who have that block count.
    pub async fn logs_up_to(
        &self,
        contract: Address,
        from: u64,
        to: u64,
    ) -> Result<Option<(BlockInfo, Vec<Log>)>, SettleError> {
        let filter = Filter::new().address(contract).from_block(from).to_block(to);
        let ask = async |p: RootProvider| {
            // The block comes first: a node that has it has the logs before it.
            let block = Self::block_at(p.clone(), BlockRef::Number(to)).await?;
            let Some(block) = block else { return Ok(None) };
            Ok(Some((block, p.get_logs(&filter).await?)))
        };
        let key = |found: &Option<(BlockInfo, Vec<Log>)>| {
            found.as_ref().map(|(block, logs)| (block.hash, digest(logs)))
        };
        Ok(self.agreed(Question::of("eth_getLogs"), ask, key).await?.flatten())
    }

    /// The logs of a contract with exactly these topics, in a range of blocks.
    pub async fn logs_with(
        &self,
        contract: Address,
        topics: [B256; 3],
        (from, to): (u64, u64),
    ) -> Result<Vec<Log>, SettleError> {
        let [event, first, second] = topics;
        let filter = Filter::new().address(contract).from_block(from).to_block(to);
        let filter = filter.event_signature(event).topic1(first).topic2(second);
        let ask = async |p: RootProvider| p.get_logs(&filter).await;
        let key = |logs: &Vec<Log>| Some(digest(logs));
        let found = self.agreed(Question::of("eth_getLogs"), ask, key).await?;
        found.ok_or_else(|| self.nonsense("eth_getLogs", "nothing"))
    }

    /// Hands a signed transaction to every node, and passes on what they say until that has
    /// `settled` it or everybody has said something. Nodes that are slow get it all the same.
    pub(crate) async fn broadcast(
        &self,
        raw: &Bytes,
        settled: impl Fn(&[Result<B256, SettleError>]) -> bool,
    ) -> Vec<Result<B256, SettleError>> {
        let (told, mut answers) = mpsc::channel(self.nodes.len());
        for n in 0..self.nodes.len() {
            let (chain, raw, told) = (self.clone(), raw.clone(), told.clone());
            // A task of its own: it goes on when the caller has heard enough, or went away.
            tokio::spawn(async move {
                let answer = chain.send_to(n, &raw).await;
                drop(told.send(answer).await);
            });
        }
        drop(told);
        let mut heard = Vec::new();
        while let Some(answer) = answers.recv().await {
            heard.push(answer);
            if settled(&heard) {
                break;
            }
        }
        heard
    }

    async fn send_to(&self, n: usize, raw: &[u8]) -> Result<B256, SettleError> {
        let node = &self.nodes[n];
        let provider = node.provider();
        let send = async { Ok(*provider.send_raw_transaction(raw).await?.tx_hash()) };
        node.ask(Question::of("eth_sendRawTransaction"), self.deadline, send).await
    }

    /// What a mined transaction did; nothing while it is not mined, or only one node says so.
    pub async fn receipt(&self, tx: B256) -> Result<Option<TransactionReceipt>, SettleError> {
        let ask = async |p: RootProvider| p.get_transaction_receipt(tx).await;
        let key = |receipt: &TransactionReceipt| {
            (
                (receipt.transaction_hash, receipt.block_hash, receipt.block_number),
                (receipt.status(), receipt.gas_used, receipt.effective_gas_price),
                (receipt.contract_address, digest(receipt.inner.logs())),
            )
        };
        self.agreed_or_waiting(Question::of("eth_getTransactionReceipt"), ask, key).await
    }

    /// Whether no node has a receipt of it: one that has, though nobody agrees yet, is enough to
    /// wait.
    pub(crate) async fn is_nowhere(&self, tx: B256) -> Result<bool, SettleError> {
        let ask = async |p: RootProvider| p.get_transaction_receipt(tx).await;
        let none = Option::<TransactionReceipt>::is_none;
        self.all_say(Question::of("eth_getTransactionReceipt"), ask, none).await
    }

    /// Whether a node has heard of a transaction, mined or not.
    pub async fn knows(&self, tx: B256) -> Result<bool, SettleError> {
        let ask = |p: RootProvider| async move {
            p.raw_request::<_, Option<serde_json::Value>>("eth_getTransactionByHash".into(), (tx,))
                .await
        };
        Ok(self.any(Question::of("eth_getTransactionByHash"), ask).await?.is_some())
    }

    /// The data a transaction carried, as some node says; nothing if none knows it. What it proves must
    /// prove itself.
    pub async fn input(&self, tx: B256) -> Result<Option<Bytes>, SettleError> {
        let ask = |p: RootProvider| async move {
            p.raw_request::<_, Option<serde_json::Value>>("eth_getTransactionByHash".into(), (tx,))
                .await
        };
        let found = self.any(Question::of("eth_getTransactionByHash"), ask).await?;
        Ok(found.and_then(|found| found.get("input")?.as_str()?.parse().ok()))
    }

    /// Lets a development chain's clock run ahead and mines a block there.
    ///
    /// # Errors
    /// [`SettleError::RpcError`] on a real chain, which has no such method.
    pub async fn warp(&self, seconds: u64) -> Result<(), SettleError> {
        self.tool("evm_increaseTime", (U256::from(seconds),)).await?;
        self.tool("evm_mine", ()).await
    }

    /// Gives an account wei out of nothing, on a development chain.
    ///
    /// # Errors
    /// [`SettleError::RpcError`] on a real chain, which has no such method.
    pub async fn set_balance(&self, who: Address, wei: U256) -> Result<(), SettleError> {
        self.tool("anvil_setBalance", (who, wei)).await
    }

    /// A development method, of whichever node is well.
    async fn tool(&self, method: &'static str, params: impl RpcSend) -> Result<(), SettleError> {
        let ask = |p: RootProvider| {
            let params = params.clone();
            async move { p.raw_request::<_, serde_json::Value>(method.into(), params).await }
        };
        self.any(Question::of(method), ask).await.map(drop)
    }

    pub(crate) fn nonsense(&self, method: &'static str, what: impl Into<String>) -> SettleError {
        SettleError::Nonsense { node: self.label.to_string(), method, what: what.into() }
    }
}

fn node_at(url: &ChainUrl) -> Result<Node, SettleError> {
    let label = node_label(url);
    let client = match url {
        ChainUrl::Embedded(node) => RpcClient::new(EmbeddedTransport(node.clone()), true),
        ChainUrl::Http(url) => RpcClient::new(HttpTransport::new(url.clone(), &label)?, false),
    };
    Ok(Node::new(RootProvider::new(client), label))
}

fn node_label(url: &ChainUrl) -> String {
    match url {
        ChainUrl::Embedded(_) => "embedded".to_owned(),
        ChainUrl::Http(url) => node_name(url),
    }
}

fn same_node(a: &ChainUrl, b: &ChainUrl) -> bool {
    match (a, b) {
        (ChainUrl::Http(a), ChainUrl::Http(b)) => a == b,
        (ChainUrl::Embedded(_), ChainUrl::Embedded(_)) => true,
        (ChainUrl::Http(_), ChainUrl::Embedded(_)) | (ChainUrl::Embedded(_), ChainUrl::Http(_)) => {
            false
        }
    }
}

/// A fingerprint of logs and their places: what nodes must agree on. Timestamps and the like,
/// which some nodes add, are not in it.
fn digest(logs: &[Log]) -> B256 {
    let mut hasher = Keccak256::new();
    for log in logs {
        hasher.update(log.address());
        hasher.update(log.topics().len().to_be_bytes());
        log.topics().iter().for_each(|topic| hasher.update(topic));
        hasher.update(log.inner.data.data.len().to_be_bytes());
        hasher.update(&log.inner.data.data);
        for number in [log.block_number, log.log_index] {
            hasher.update(number.unwrap_or(u64::MAX).to_be_bytes());
        }
        for hash in [log.block_hash, log.transaction_hash] {
            hasher.update(hash.unwrap_or_default());
        }
        hasher.update([u8::from(log.removed)]);
    }
    hasher.finalize()
}

/// A call to a contract, not signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Who would call.
    pub from: Option<Address>,
    /// The contract; nothing to create one.
    pub to: Option<Address>,
    /// Wei that would go along.
    pub value: U256,
    /// Selector and arguments, or a contract's creation code.
    pub data: Bytes,
    /// Gas it may take at most; without, as much as the node lets a call take.
    pub gas: Option<u64>,
}

impl From<CallRequest> for TransactionRequest {
    fn from(call: CallRequest) -> Self {
        Self {
            from: call.from,
            to: Some(call.to.map_or(alloy::primitives::TxKind::Create, Into::into)),
            value: Some(call.value),
            input: call.data.into(),
            gas: call.gas,
            ..Self::default()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedConfig;

    #[test]
    fn urls_are_told_apart_and_their_secrets_kept() {
        for good in ["http://127.0.0.1:8545", "https://user:pw@node.example/v2/KEY"] {
            assert!(matches!(ChainUrl::parse(good), Ok(ChainUrl::Http(_))), "{good}");
        }
        for bad in ["", "localhost:8545", "ws://node/KEY", "ftp://node", "embedded", "http://"] {
            let error = ChainUrl::parse(bad).unwrap_err();
            assert!(matches!(error, SettleError::BadUrl { .. }), "{bad}: {error}");
        }
        let error = ChainUrl::parse("wss://user:pw@node.example/v2/KEY").unwrap_err().to_string();
        assert!(error.contains("wss://node.example"), "{error}");
        assert!(!error.contains("KEY") && !error.contains("pw"), "{error}");
    }

    #[tokio::test]
    async fn an_http_node_that_is_not_there_is_unreachable() {
        // Nothing listens on the port once the listener is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = ChainUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let chain = Chain::connect(&url).unwrap();
        let error = chain.chain_id().await.unwrap_err();
        assert!(matches!(error, SettleError::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_https_client_can_be_built() {
        let url = ChainUrl::parse("https://localhost:1").unwrap();
        let chain = Chain::connect(&url).unwrap();
        assert!(chain.chain_id().await.is_err());
    }

    #[tokio::test]
    async fn the_embedded_node_answers_alloy() {
        let node = EmbeddedNode::new(EmbeddedConfig::new(31_337, 1_700_000_000)).unwrap();
        let chain = Chain::connect(&ChainUrl::Embedded(node)).unwrap();
        chain.expect_chain(31_337).await.unwrap();
        let error = chain.expect_chain(1).await.unwrap_err();
        assert!(matches!(error, SettleError::InvalidChainId { found: 31_337, .. }), "{error}");
        let head = chain.head().await.unwrap();
        assert_eq!((head.number, head.timestamp), (0, 1_700_000_000));
        assert_eq!(chain.block(BlockRef::Number(1)).await.unwrap(), None);
        chain.warp(3600).await.unwrap();
        assert_eq!(chain.head().await.unwrap().number, 1);
        assert_eq!(chain.block(BlockRef::Finalized).await.unwrap().unwrap().number, 1);
        assert!(!chain.knows(B256::ZERO).await.unwrap());
    }
}
