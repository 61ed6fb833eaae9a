//! The demo's last check: every token unit of the contract is somebody's, and nothing else is.

use super::cast::Cast;
use crate::api::Api;
use quorate_chain::keystore::Signer;
use quorate_common::{
    exit::Failure,
    ids::{DealSlot, PoolId},
};
use quorate_scheduler::dev::DevChain;

/// The contract and its pool.
pub(super) struct Market {
    chain: DevChain,
    pool: PoolId,
}

/// Where the contract's tokens are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Money {
    /// The contract's token balance.
    pub held: u128,
    /// Free balances of everybody in the demo.
    pub free: u128,
    /// Stakes.
    pub staked: u128,
    /// The pool's bond.
    pub bond: u128,
    /// Requesters' money still locked.
    pub locked: u128,
    /// Earned and not yet claimed.
    pub owed: u128,
    /// Final slashes not yet taken from stakes.
    pub unapplied: u128,
}

impl Money {
    /// Whether the contract holds exactly what it owes.
    pub(super) fn adds_up(&self) -> bool {
        self.held + self.unapplied == self.free + self.staked + self.bond + self.locked + self.owed
    }
}

impl Market {
    /// Knows where to look.
    pub(super) fn new(chain: DevChain, pool: PoolId) -> Self {
        Self { chain, pool }
    }

    /// Returns to the requester what its deal did not spend, if there is something.
    pub(super) async fn refund(&self, api: &Api, slot: Option<DealSlot>) -> Result<(), Failure> {
        let Some(slot) = slot else { return Ok(()) };
        let Some(proof) = api.deal_proof(slot).await? else { return Ok(()) };
        if proof.account.refunded == 0 {
            return Ok(());
        }
        let (account, path) = (Some(&proof.account), &proof.path);
        let call = self.chain.settlement.refund_unsettled(
            &proof.terms,
            account,
            path,
            proof.index,
            &proof.opening,
        );
        let bank = self.chain.outbox(self.chain.bank.clone());
        bank.send(call).await.map(drop).map_err(|error| crate::failure::chain(&error))
    }

    /// Reads everything from the chain.
    pub(super) async fn balance(&self, requester: &Signer, cast: &Cast) -> Result<Money, Failure> {
        let failed = |error| crate::failure::chain(&error);
        let settlement = &self.chain.settlement;
        let held = settlement.token_balance(settlement.address()).await.map_err(failed)?;
        let pool = settlement.pool(self.pool).await.map_err(failed)?;
        let mut free = 0;
        let owners = cast.owners().map(|(owner, _)| owner.address());
        let accounts = [requester.address(), self.chain.bank.address()];
        for account in owners.chain(accounts) {
            free += settlement.free_of(account).await.map_err(failed)?;
        }
        Ok(Money {
            held: u128::try_from(held).unwrap_or(u128::MAX),
            free,
            staked: pool.staked,
            bond: pool.bond,
            locked: pool.locked,
            owed: pool.owed,
            unapplied: pool.unapplied,
        })
    }
}
