//! Whom to believe when several nodes are asked: two who say the same.
//!
//! With one node its word is taken, as there is nobody to ask. With two or more, nothing that
//! matters rests on a single node: equal answers of two ([`Chain::agreed`]), or for numbers that
//! grow, what two have at least reached ([`Chain::reached`], [`Chain::newest`]). So one node that
//! lies, hangs or lags among three changes nothing, and when nobody can be believed the answer is
//! [`SettleError::RpcDisagreement`], never a guess. Two nodes that lie together win: for that
//! there are five. No node is thrown out for being outvoted, because lagging looks the same.

use super::node::{Node, Question};
use super::{BlockInfo, BlockRef, Chain};
use crate::error::SettleError;
use alloy::network::Ethereum;
use alloy::providers::RootProvider;
use alloy::transports::TransportResult;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the others are awaited once two have answered: honest nodes are some tenths of a
/// second apart, and a node that hangs must not make everybody wait for its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// How many must say the same.
const AGREE: usize = 2;

/// Characters of an answer that a disagreement quotes: a hash or two.
const QUOTE_CHARS_MAX: usize = 160;

/// What a node said: an answer, or a refusal by the contract, which is one as well.
struct Said<T> {
    node: usize,
    answer: Result<T, SettleError>,
}

/// What all nodes said.
struct Heard<T> {
    said: Vec<Said<T>>,
    failed: Vec<SettleError>,
}

impl<T> Heard<T> {
    fn note(&mut self, node: usize, answer: Result<T, SettleError>) {
        match answer {
            Err(error) if !is_answer(&error) => self.failed.push(error),
            answer => self.said.push(Said { node, answer }),
        }
    }

    /// Why too few answered: a refusal says more than silence.
    fn failure(mut self, chain: &Chain, method: &'static str) -> SettleError {
        let refusal = |error: &SettleError| matches!(error, SettleError::RpcError { .. });
        let at = self.failed.iter().position(refusal).unwrap_or(0);
        if at < self.failed.len() {
            return self.failed.swap_remove(at);
        }
        let (node, source) = (chain.node().to_owned(), "too few answers".into());
        SettleError::Unreachable { node, method, source }
    }
}

fn is_answer(error: &SettleError) -> bool {
    matches!(error, SettleError::Reverted(_) | SettleError::InsufficientToken { .. })
}

/// The first two that say the same.
fn pair<T>(said: &[Said<T>], same: impl Fn(&Said<T>, &Said<T>) -> bool) -> Option<usize> {
    (1..said.len()).find(|&b| (0..b).any(|a| same(&said[a], &said[b])))
}

impl Chain {
    /// Asks every node that is well, and the others too where that was not `enough`. Stops as soon
    /// as it is, if `early`.
    async fn gather<T, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
        early: bool,
        enough: impl Fn(&[Said<T>]) -> bool,
    ) -> Heard<T>
    where
        Fut: Future<Output = TransportResult<T>>,
    {
        let mut heard = Heard { said: Vec::new(), failed: Vec::new() };
        let (paused, well): (Vec<usize>, Vec<usize>) =
            (0..self.nodes.len()).partition(|&n| self.nodes[n].is_paused());
        for some in [well, paused] {
            self.listen(question, &ask, &some, &mut heard, |said| early && enough(said)).await;
            if enough(&heard.said) {
                break;
            }
        }
        heard
    }

    async fn listen<T, Fut>(
        &self,
        question: Question<'_>,
        ask: &impl Fn(RootProvider<Ethereum>) -> Fut,
        nodes: &[usize],
        heard: &mut Heard<T>,
        stop: impl Fn(&[Said<T>]) -> bool,
    ) where
        Fut: Future<Output = TransportResult<T>>,
    {
        let mut silent: Vec<usize> = nodes.to_vec();
        let one = async |n: usize| (n, self.ask_node(&self.nodes[n], question, ask).await);
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|&n| one(n)).collect();
        // Every question has its own deadline; this one only ends the loop.
        let mut until = Instant::now() + self.deadline * 2;
        while let Ok(Some((n, answer))) = timeout_at(until, asked.next()).await {
            silent.retain(|&other| other != n);
            heard.note(n, answer);
            if stop(&heard.said) {
                return;
            }
            if heard.said.len() >= AGREE {
                until = until.min(Instant::now() + GRACE);
            }
        }
        for n in silent {
            self.nodes[n].set_aside(&"slower than the others");
        }
    }

    async fn ask_node<T, Fut>(
        &self,
        node: &Node,
        question: Question<'_>,
        ask: &impl Fn(RootProvider<Ethereum>) -> Fut,
    ) -> Result<T, SettleError>
    where
        Fut: Future<Output = TransportResult<T>>,
    {
        node.ask(question, self.deadline, ask(node.provider())).await
    }

    /// The answer of the first node that gives one: for development methods, which do something
    /// and must not do it twice.
    pub(super) async fn any<T, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
    ) -> Result<T, SettleError>
    where
        Fut: Future<Output = TransportResult<T>>,
    {
        let well = self.nodes.iter().find(|node| !node.is_paused());
        self.ask_node(well.unwrap_or(&self.nodes[0]), question, &ask).await
    }

    /// An answer that two nodes give, compared by `key`; nothing where no node has anything yet
    /// (its `key` is none).
    pub(super) async fn agreed<T, K, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
        key: impl Fn(&T) -> Option<K>,
    ) -> Result<Option<T>, SettleError>
    where
        K: PartialEq + Debug,
        Fut: Future<Output = TransportResult<T>>,
    {
        if let [node] = &self.nodes[..] {
            let answer = self.ask_node(node, question, &ask).await?;
            return Ok(key(&answer).is_some().then_some(answer));
        }
        let same = |a: &Said<T>, b: &Said<T>| match (&a.answer, &b.answer) {
            (Ok(a), Ok(b)) => key(a).is_some_and(|a| Some(a) == key(b)),
            (Err(a), Err(b)) => a.to_string() == b.to_string(),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        let mut heard = self.gather(question, ask, true, |said| pair(said, same).is_some()).await;
        if let Some(at) = pair(&heard.said, same) {
            return heard.said.swap_remove(at).answer.map(Some);
        }
        let has_nothing = |one: &Said<T>| one.answer.as_ref().is_ok_and(|one| key(one).is_none());
        if heard.said.len() < AGREE {
            return Err(heard.failure(self, question.method));
        }
        if heard.said.iter().all(has_nothing) {
            return Ok(None);
        }
        Err(self.disagreement(question, &heard.said, |answer| format!("{:?}", key(answer))))
    }

    /// As [`Self::agreed`], where a node that has nothing yet only means waiting: nothing, unless
    /// two have the same. A contradiction between two that have something is an error.
    pub(super) async fn agreed_or_waiting<T, K, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
        key: impl Fn(&T) -> K,
    ) -> Result<Option<T>, SettleError>
    where
        K: PartialEq + Debug,
        Fut: Future<Output = TransportResult<Option<T>>>,
    {
        if let [node] = &self.nodes[..] {
            return self.ask_node(node, question, &ask).await;
        }
        let keyed = |one: &Said<Option<T>>| one.answer.as_ref().ok()?.as_ref().map(&key);
        let same = |a: &Said<Option<T>>, b: &Said<Option<T>>| keyed(a) == keyed(b);
        let mut heard = self.gather(question, ask, true, |said| pair(said, same).is_some()).await;
        if let Some(at) = pair(&heard.said, same) {
            return heard.said.swap_remove(at).answer;
        }
        if heard.said.len() < AGREE {
            return Err(heard.failure(self, question.method));
        }
        heard.said.retain(|one| keyed(one).is_some());
        if heard.said.len() < AGREE {
            return Ok(None);
        }
        Err(self.disagreement(question, &heard.said, |answer| {
            answer.as_ref().map_or_else(String::new, |answer| format!("{:?}", key(answer)))
        }))
    }

    /// A number that two nodes have reached: the second highest. One node alone can neither push
    /// it up nor hold it down.
    pub(super) async fn reached<T, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
    ) -> Result<T, SettleError>
    where
        T: Ord + Debug,
        Fut: Future<Output = TransportResult<T>>,
    {
        if let [node] = &self.nodes[..] {
            return self.ask_node(node, question, &ask).await;
        }
        let mut heard = self.gather(question, ask, false, |said| said.len() >= AGREE).await;
        if heard.said.len() < AGREE {
            return Err(heard.failure(self, question.method));
        }
        let refusal = |a: &Said<T>, b: &Said<T>| match (&a.answer, &b.answer) {
            (Err(a), Err(b)) => a.to_string() == b.to_string(),
            (Ok(_), _) | (_, Ok(_)) => false,
        };
        if let Some(at) = pair(&heard.said, refusal) {
            return heard.said.swap_remove(at).answer;
        }
        if heard.said.iter().filter(|one| one.answer.is_ok()).count() < AGREE {
            let quote = |answer: &T| format!("{answer:?}");
            return Err(self.disagreement(question, &heard.said, quote));
        }
        let mut numbers: Vec<T> =
            heard.said.into_iter().filter_map(|one| one.answer.ok()).collect();
        numbers.sort_unstable();
        Ok(numbers.swap_remove(numbers.len() - AGREE))
    }

    /// Whether every node that answers says so: where one that says otherwise must be heard, because
    /// acting would be the worse mistake.
    pub(super) async fn all_say<T, Fut>(
        &self,
        question: Question<'_>,
        ask: impl Fn(RootProvider<Ethereum>) -> Fut,
        so: impl Fn(&T) -> bool,
    ) -> Result<bool, SettleError>
    where
        Fut: Future<Output = TransportResult<T>>,
    {
        if let [node] = &self.nodes[..] {
            return self.ask_node(node, question, &ask).await.map(|answer| so(&answer));
        }
        let heard = self.gather(question, ask, false, |said| said.len() >= AGREE).await;
        if heard.said.len() < AGREE {
            return Err(heard.failure(self, question.method));
        }
        Ok(heard.said.iter().all(|one| one.answer.as_ref().is_ok_and(&so)))
    }

    /// The newest block of a tag that two nodes have reached, under the same hash.
    pub(super) async fn newest(&self, at: BlockRef) -> Result<Option<BlockInfo>, SettleError> {
        let question = Question::of("eth_getBlockByNumber");
        let ask = |provider| Self::block_at(provider, at);
        if let [node] = &self.nodes[..] {
            return self.ask_node(node, question, &ask).await;
        }
        let heard = self.gather(question, ask, false, |said| said.len() >= AGREE).await;
        if heard.said.len() < AGREE {
            return Err(heard.failure(self, question.method));
        }
        let blocks =
            heard.said.iter().filter_map(|one| one.answer.as_ref().ok().copied().flatten());
        let mut blocks: Vec<BlockInfo> = blocks.collect();
        blocks.sort_unstable_by_key(|block| std::cmp::Reverse(block.number));
        let mut trouble = None;
        for candidate in blocks.iter().skip(AGREE - 1) {
            if blocks.iter().filter(|block| *block == candidate).count() >= AGREE {
                return Ok(Some(*candidate));
            }
            match self.block_numbered(candidate.number).await {
                Ok(Some(block)) => return Ok(Some(block)),
                Ok(None) => {}
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// A block by height, as two nodes have it.
    pub(super) async fn block_numbered(
        &self,
        number: u64,
    ) -> Result<Option<BlockInfo>, SettleError> {
        let ask = |provider| Self::block_at(provider, BlockRef::Number(number));
        let question = Question::of("eth_getBlockByNumber");
        Ok(self.agreed(question, ask, |block| *block).await?.flatten())
    }

    fn disagreement<T>(
        &self,
        question: Question<'_>,
        said: &[Said<T>],
        quote: impl Fn(&T) -> String,
    ) -> SettleError {
        let one = |said: Option<&Said<T>>| {
            let Some(said) = said else { return String::new() };
            let words = match &said.answer {
                Ok(answer) => quote(answer),
                Err(error) => error.to_string(),
            };
            let words: String = words.chars().take(QUOTE_CHARS_MAX).collect();
            format!("{}: {words}", self.nodes[said.node].name())
        };
        let what = question.what.to_owned();
        SettleError::RpcDisagreement { what, a: one(said.first()), b: one(said.get(1)) }
    }
}
