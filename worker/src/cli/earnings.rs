//! `earnings` and `claim`: what was earned by this worker's own count, what is final by a proof
//! against the contract, and how it is paid out.

use super::{
    Global, amount, chain,
    config::Config,
    failure,
    output::{Output, facts},
    owner,
    show::STATUS_FILE,
};
use crate::{gas, status::Status, ticket};
use quorate_chain::{Address, Outbox, Settlement, U256, settlement::SeatView};
use quorate_common::{
    api::WorkerProof,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys,
};
use serde_json::json;

/// `earnings`.
pub(crate) async fn show(global: Global, output: Output) -> Result<(), Failure> {
    let account = Account::find(&global).await?;
    let counted = Status::read(&account.config.path(STATUS_FILE)).ok();
    let counted = counted.map_or(0, |status| status.view.totals.earned);
    let proof = account.proof().await?;
    let leaf = proof.as_ref().and_then(|proof| proof.account.as_ref());
    let proven = leaf.map_or(0, |leaf| leaf.cum_earned);
    let SeatView { stake, slashed, claimed } = account.seat;
    let due = proven.saturating_sub(claimed);
    let document = json!({
        "schema": "quorate.earnings/v1",
        "worker": account.worker,
        "counted": counted.to_string(),
        "final": proven.to_string(),
        "claimed": claimed.to_string(),
        "due": due.to_string(),
        "stake": stake.to_string(),
        "slashed": slashed.to_string(),
        "batch": proof.as_ref().map(|proof| proof.index),
    });
    output.either(&document, || {
        facts(&[
            ("worker", account.worker.to_string()),
            ("earned", format!("{} by this worker's own count", amount::show(counted))),
            ("final", amount::show(proven)),
            ("claimed", amount::show(claimed)),
            ("due", amount::show(due)),
            ("stake", amount::show(stake)),
            ("slashed", amount::show(slashed)),
        ])
    })
}

/// `claim`.
pub(crate) async fn claim(global: Global, output: Output) -> Result<(), Failure> {
    let account = Account::find(&global).await?;
    let nothing = || {
        Failure::new(Code::NotFound, "nothing is due: no final batch has unpaid earnings").hint(
            "a batch is final after its challenge window; `quorate-worker earnings` shows more",
        )
    };
    let proof = account.proof().await?.ok_or_else(nothing)?;
    let leaf = proof.account.as_ref().ok_or_else(nothing)?;
    let due = leaf.cum_earned.saturating_sub(account.seat.claimed);
    if due == 0 {
        return Err(nothing());
    }
    let signer = owner::open(&account.config, output)?;
    let owner = signer.address();
    let outbox = gas::outbox(&account.settlement, signer);
    let WorkerProof { ref path, ref opening, index, .. } = proof;
    let (pool, worker) = (account.invite.pool, account.worker);
    let call = account.settlement.claim(pool, worker, leaf, path, index, &opening.anchor());
    output.note(format!("sending: {}", call.what));
    let receipt = outbox.send(call).await.map_err(|error| failure::chain(&error))?;
    let document = json!({
        "schema": "quorate.claim/v1",
        "worker": worker,
        "paid": due.to_string(),
        "to": leaf.owner,
        "batch": index,
        "tx": receipt.tx,
        "gas": receipt.gas_used,
    });
    tracing::debug!(%owner, "claimed");
    let passed_on = account.pass_on(&outbox, due, output).await?;
    let mut document = document;
    document["passed_on_to"] = json!(passed_on);
    output.either(&document, || {
        let to = passed_on.unwrap_or(leaf.owner);
        format!("paid {} to {to}", amount::show(due))
    })
}

/// This worker on chain.
pub(super) struct Account {
    pub(super) config: Config,
    pub(super) invite: Invite,
    pub(super) settlement: Settlement,
    pub(super) worker: WorkerIdx,
    pub(super) seat: SeatView,
}

impl Account {
    /// Sends what was paid out to whoever shall have it, no more than the owner has of it: some may be at stake
    /// again.
    async fn pass_on(
        &self,
        outbox: &Outbox,
        due: u128,
        output: Output,
    ) -> Result<Option<Address>, Failure> {
        let owner = outbox.account();
        let payout = self.config.payout()?.filter(|payout| *payout != owner);
        let Some(payout) = payout else { return Ok(None) };
        let has = self.settlement.token_balance(owner).await;
        let amount = has.map_err(|error| failure::chain(&error))?.min(U256::from(due));
        let call = self.settlement.token_transfer(payout, amount);
        output.note(format!("sending: {}", call.what));
        outbox.send(call).await.map_err(|error| failure::chain(&error))?;
        Ok(Some(payout))
    }

    pub(super) async fn find(global: &Global) -> Result<Self, Failure> {
        let config = Config::load(global, &[])?;
        let invite = config.invite()?;
        let node_key = keys::node_key_at(&config.path("node.key"));
        let node_key = node_key.map_err(|error| failure::key(&error))?;
        let settlement = chain::connect(&config, &invite).await?;
        let found = settlement.worker_of_node_key(node_key.public()).await;
        let worker = found.map_err(|error| failure::chain(&error))?.ok_or_else(|| {
            Failure::new(Code::NotFound, "the contract does not know this worker")
                .hint("`quorate-worker join` registers it")
        })?;
        let seat = settlement.seat(invite.pool, worker).await;
        let seat = seat.map_err(|error| failure::chain(&error))?;
        Ok(Self { config, invite, settlement, worker, seat })
    }

    /// This worker's account in the newest final batch that can be had, checked against the contract's
    /// own root: from the scheduler, or where that fails from the ticket on this disk. Nothing before
    /// there is such a batch.
    async fn proof(&self) -> Result<Option<WorkerProof>, Failure> {
        let view = self.settlement.pool(self.invite.pool).await;
        if view.map_err(|error| failure::chain(&error))?.finalized == 0 {
            return Ok(None);
        }
        match self.proof_from_scheduler().await {
            Ok(proof) => Ok(Some(proof)),
            Err(failure) => match self.ticket().await? {
                Some(ticket) => {
                    tracing::warn!(
                        "{}: using the ticket of batch {}",
                        failure.message,
                        ticket.index
                    );
                    Ok(Some(ticket))
                }
                None => Err(failure),
            },
        }
    }

    async fn ticket(&self) -> Result<Option<WorkerProof>, Failure> {
        let Some(ticket) = ticket::read(&self.config.path(ticket::FILE)) else { return Ok(None) };
        Ok(self.is_proven(&ticket).await?.then_some(ticket))
    }

    async fn proof_from_scheduler(&self) -> Result<WorkerProof, Failure> {
        let api = self.config.api(&self.invite).ok_or_else(|| {
            Failure::new(Code::Usage, "neither the invitation nor `api` names the scheduler's API")
                .hint("set `api`; the pool's operator knows it")
        })?;
        ticket::fetch(&api, &self.settlement, self.invite.pool, self.worker).await
    }

    async fn is_proven(&self, proof: &WorkerProof) -> Result<bool, Failure> {
        let proven =
            ticket::is_proven(&self.settlement, self.invite.pool, self.worker, proof).await;
        proven.map_err(|error| failure::chain(&error))
    }
}
