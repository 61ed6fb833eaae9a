//! One way to talk to a chain, whether it runs in this process or behind a URL.
//!
//! [`Chain`] is an alloy provider without fillers and watchers (they lose nonces and wait for
//! ever, see the design's component notes), with a deadline on every call and errors in our words.
//! Nothing here retries: whoever calls knows whether and when.

mod embedded;
mod http;

use crate::abi;
use crate::embedded::EmbeddedNode;
use crate::error::{Revert, SettleError};
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::Ethereum;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{ErrorPayload, RpcError as AlloyError};
use alloy::rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::transports::{TransportError, TransportResult};
use embedded::EmbeddedTransport;
use http::HttpTransport;
use std::fmt;
use std::time::Duration;
use url::Url;

/// How long one call may take: a public node under load answers `eth_getLogs` in some seconds.
/// Past it the call counts as unanswered.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Characters of a node's error message that are kept; some nodes answer with a page of HTML.
const MESSAGE_CHARS_MAX: usize = 300;

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

/// A connection to one chain. Clones share it.
#[derive(Clone)]
pub struct Chain {
    provider: RootProvider<Ethereum>,
    node: String,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({})", self.node)
    }
}

impl Chain {
    /// Makes the connection. Nothing is sent before the first call.
    ///
    /// # Errors
    /// [`SettleError::Unreachable`] when the system's TLS roots cannot be loaded.
    pub fn connect(url: &ChainUrl) -> Result<Self, SettleError> {
        match url {
            ChainUrl::Embedded(node) => {
                let client = RpcClient::new(EmbeddedTransport(node.clone()), true);
                Ok(Self { provider: RootProvider::new(client), node: "embedded".to_owned() })
            }
            ChainUrl::Http(url) => {
                let node = node_name(url);
                let transport = HttpTransport::new(url.clone(), &node)?;
                let client = RpcClient::new(transport, false);
                Ok(Self { provider: RootProvider::new(client), node })
            }
        }
    }

    /// Scheme and host, for messages.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// EIP-155 chain id, as the node says.
    pub async fn chain_id(&self) -> Result<u64, SettleError> {
        self.ask("eth_chainId", self.provider.get_chain_id()).await
    }

    /// Checks that the node serves `expected`.
    ///
    /// # Errors
    /// [`SettleError::InvalidChainId`] if it does not.
    pub async fn expect_chain(&self, expected: u64) -> Result<(), SettleError> {
        let found = self.chain_id().await?;
        if found == expected {
            return Ok(());
        }
        Err(SettleError::InvalidChainId { node: self.node.clone(), expected, found })
    }

    /// Wei of an account.
    pub async fn balance(&self, who: Address) -> Result<U256, SettleError> {
        self.ask("eth_getBalance", self.provider.get_balance(who).latest()).await
    }

    /// Transactions of an account that are mined: its next nonce.
    pub async fn nonce(&self, who: Address) -> Result<u64, SettleError> {
        let ask = self.provider.get_transaction_count(who).latest();
        self.ask("eth_getTransactionCount", ask).await
    }

    /// The code at an address, empty if there is none.
    pub async fn code(&self, who: Address) -> Result<Bytes, SettleError> {
        self.ask("eth_getCode", self.provider.get_code_at(who).latest()).await
    }

    /// keccak256 of the code at an address: what an operator pins.
    pub async fn code_hash(&self, who: Address) -> Result<B256, SettleError> {
        Ok(keccak256(self.code(who).await?))
    }

    /// A block's head; nothing if there is no such block yet.
    pub async fn block(&self, at: BlockRef) -> Result<Option<BlockInfo>, SettleError> {
        let tag = match at {
            BlockRef::Latest => BlockNumberOrTag::Latest,
            BlockRef::Finalized => BlockNumberOrTag::Finalized,
            BlockRef::Number(number) => BlockNumberOrTag::Number(number),
        };
        let found = self.ask("eth_getBlockByNumber", self.provider.get_block(tag.into())).await?;
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
        let ask = self.provider.call(request.into()).block(BlockId::latest());
        self.ask_contract("eth_call", what, ask).await
    }

    /// Gas a call needs, as the node guesses from the newest state.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] with `what` if the contract refuses.
    pub async fn estimate_gas(&self, what: &str, request: CallRequest) -> Result<u64, SettleError> {
        let ask = self.provider.estimate_gas(request.into()).block(BlockId::latest());
        self.ask_contract("eth_estimateGas", what, ask).await
    }

    /// Wei per gas on top of the base fee that a block's producer wants.
    pub async fn priority_fee(&self) -> Result<u128, SettleError> {
        self.ask("eth_maxPriorityFeePerGas", self.provider.get_max_priority_fee_per_gas()).await
    }

    /// Logs of one contract in a range of blocks, both ends included.
    pub async fn logs(
        &self,
        contract: Address,
        from: u64,
        to: u64,
    ) -> Result<Vec<Log>, SettleError> {
        let filter = Filter::new().address(contract).from_block(from).to_block(to);
        self.ask("eth_getLogs", self.provider.get_logs(&filter)).await
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
        self.ask("eth_getLogs", self.provider.get_logs(&filter)).await
    }

    /// Hands a signed transaction to the node.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<B256, SettleError> {
        let ask = self.provider.send_raw_transaction(raw);
        let pending = self.ask("eth_sendRawTransaction", ask).await?;
        Ok(*pending.tx_hash())
    }

    /// What a mined transaction did; nothing while it is not mined.
    pub async fn receipt(&self, tx: B256) -> Result<Option<TransactionReceipt>, SettleError> {
        let ask = self.provider.get_transaction_receipt(tx);
        self.ask("eth_getTransactionReceipt", ask).await
    }

    /// Whether the node has heard of a transaction, mined or not.
    pub async fn knows(&self, tx: B256) -> Result<bool, SettleError> {
        let ask = self
            .provider
            .raw_request::<_, Option<serde_json::Value>>("eth_getTransactionByHash".into(), (tx,));
        Ok(self.ask("eth_getTransactionByHash", ask).await?.is_some())
    }

    /// The data a transaction carried; nothing if the node does not know it.
    pub async fn input(&self, tx: B256) -> Result<Option<Bytes>, SettleError> {
        let ask = self
            .provider
            .raw_request::<_, Option<serde_json::Value>>("eth_getTransactionByHash".into(), (tx,));
        let found = self.ask("eth_getTransactionByHash", ask).await?;
        Ok(found.and_then(|found| found.get("input")?.as_str()?.parse().ok()))
    }

    /// Lets a development chain's clock run ahead and mines a block there.
    ///
    /// # Errors
    /// [`SettleError::RpcError`] on a real chain, which has no such method.
    pub async fn warp(&self, seconds: u64) -> Result<(), SettleError> {
        let ahead = self
            .provider
            .raw_request::<_, serde_json::Value>("evm_increaseTime".into(), (U256::from(seconds),));
        self.ask("evm_increaseTime", ahead).await?;
        let mine = self.provider.raw_request::<_, serde_json::Value>("evm_mine".into(), ());
        self.ask("evm_mine", mine).await?;
        Ok(())
    }

    /// Gives an account wei out of nothing, on a development chain.
    ///
    /// # Errors
    /// [`SettleError::RpcError`] on a real chain, which has no such method.
    pub async fn set_balance(&self, who: Address, wei: U256) -> Result<(), SettleError> {
        let ask = self
            .provider
            .raw_request::<_, serde_json::Value>("anvil_setBalance".into(), (who, wei));
        self.ask("anvil_setBalance", ask).await?;
        Ok(())
    }

    pub(crate) fn nonsense(&self, method: &'static str, what: impl Into<String>) -> SettleError {
        SettleError::Nonsense { node: self.node.clone(), method, what: what.into() }
    }

    /// One call with a deadline, and its failure in our words.
    async fn ask<T>(
        &self,
        method: &'static str,
        answer: impl IntoFuture<Output = TransportResult<T>>,
    ) -> Result<T, SettleError> {
        self.ask_contract(method, method, answer).await
    }

    async fn ask_contract<T>(
        &self,
        method: &'static str,
        what: &str,
        answer: impl IntoFuture<Output = TransportResult<T>>,
    ) -> Result<T, SettleError> {
        match tokio::time::timeout(CALL_DEADLINE, answer.into_future()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explain(method, what, error)),
            Err(elapsed) => Err(self.unreachable(method, elapsed.into())),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is trouble on the way")]
    fn explain(&self, method: &'static str, what: &str, error: TransportError) -> SettleError {
        match error {
            AlloyError::ErrorResp(payload) => self.explain_answer(method, what, &payload),
            AlloyError::DeserError { err, .. } => self.nonsense(method, err.to_string()),
            AlloyError::NullResp => self.nonsense(method, "null"),
            other => self.unreachable(method, Box::new(other)),
        }
    }

    fn explain_answer(
        &self,
        method: &'static str,
        what: &str,
        payload: &ErrorPayload,
    ) -> SettleError {
        const REVERTED: i64 = 3;
        let data = payload.as_revert_data();
        if payload.code == REVERTED || data.is_some() {
            let data = data.unwrap_or_default();
            if let Some((account, have, want)) = abi::shortage(&data) {
                return SettleError::InsufficientToken { account, have, want };
            }
            let explained = abi::explain(&data);
            return SettleError::Reverted(Box::new(Revert {
                what: what.to_owned(),
                name: explained.name,
                text: explained.text,
                tx: None,
                data,
            }));
        }
        SettleError::RpcError {
            node: self.node.clone(),
            method,
            code: payload.code,
            message: payload.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        }
    }

    fn unreachable(
        &self,
        method: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> SettleError {
        SettleError::Unreachable { node: self.node.clone(), method, source }
    }
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
}

impl From<CallRequest> for TransactionRequest {
    fn from(call: CallRequest) -> Self {
        Self {
            from: call.from,
            to: Some(call.to.map_or(alloy::primitives::TxKind::Create, Into::into)),
            value: Some(call.value),
            input: call.data.into(),
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
