//! What the chain says of the pool's money, for pages and explanations: asked when somebody looks, remembered
//! for a few seconds, so that no crowd of readers becomes a crowd of questions to a node. Nothing is decided
//! by it.

use quorate_chain::{
    SettleError,
    outbox::Outbox,
    settlement::{PoolView, Settlement},
};
use quorate_common::{Address, ids::PoolId, report::Chain as Report};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long an answer is good: a block or two.
const FRESH: Duration = Duration::from_secs(5);
/// How long a page waits for the chain's node before it says that it does not answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// One look at the chain.
#[derive(Clone, Debug)]
pub struct Look {
    /// The contract's pool.
    pub pool: PoolView,
    /// Who pays the gas.
    pub gas_account: Address,
    /// Its balance.
    pub gas_wei: u128,
    /// The newest block.
    pub block: u64,
    /// Its time, in unix seconds.
    pub block_unix_s: u64,
    /// Wei per gas.
    pub wei_per_gas: u128,
    /// Token units of the operator in the contract that are free.
    pub operator_free: u128,
}

/// How things stood when the scheduler was started: what a day costs is counted from there.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// When.
    pub at: Instant,
    /// Fees in closed batches.
    pub fees: u128,
    /// Tasks settled.
    pub settled: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Money {
    since: Since,
    pool: PoolId,
    settlement: Settlement,
    outbox: Outbox,
    last: Mutex<Option<(Instant, Result<Look, String>)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Money {
    /// Asks this contract, of this pool.
    pub fn new(pool: PoolId, settlement: Settlement, outbox: Outbox, since: Since) -> Self {
        let (last, asking) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Self { since, pool, settlement, outbox, last, asking }
    }

    /// How things stood at the start.
    pub fn since(&self) -> Since {
        self.since
    }

    /// The newest look, or a new one where it is old; what the node says where it does not answer.
    pub async fn look(&self) -> Result<Look, String> {
        // One asks, the others wait for its answer.
        let _asking = self.asking.lock().await;
        if let Some((at, look)) = &*self.last.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < FRESH
        {
            return look.clone();
        }
        let look = match timeout(PATIENCE, self.ask()).await {
            Ok(asked) => asked.map_err(|error| Report(&error).to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let now = Instant::now();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, look.clone()));
        look
    }

    async fn ask(&self) -> Result<Look, SettleError> {
        let chain = self.settlement.chain();
        let gas_account = self.outbox.account();
        let (pool, head, balance) = futures_util::try_join!(
            self.settlement.pool(self.pool),
            chain.head(),
            chain.balance(gas_account)
        )?;
        let operator_free = self.settlement.free_of(pool.operator).await?;
        let tip = chain.priority_fee().await.unwrap_or_default();
        Ok(Look {
            operator_free,
            pool,
            gas_account,
            gas_wei: u128::try_from(balance).unwrap_or(u128::MAX),
            block: head.number,
            block_unix_s: head.timestamp,
            wei_per_gas: u128::from(head.base_fee).saturating_add(tip),
        })
    }
}
