//! `earnings` and `claim`: what was earned by this worker's own count, what is final by a proof
//! against the contract, and how it is paid out.

use super::{
    Global, amount, chain,
    config::Config,
    failure,
    output::{Output, facts},
    owner, pools,
    show::STATUS_FILE,
    sponsored::{self, Sponsor, shown},
};
use crate::{gas, status::Status, ticket};
use quorate_chain::{Address, Outbox, Settlement, U256, settlement::SeatView};
use quorate_common::{
    B256,
    api::{Help, WorkerProof},
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys,
    permit::{Act, Permit},
};
use serde_json::json;

/// `earnings`.
pub(crate) async fn show(global: Global, output: Output) -> Result<(), Failure> {
    let account = Account::find(&global).await?;
    let counted = Status::read(&account.config.path(STATUS_FILE)).ok();
    let counted = counted.map_or(0, |status| match &global.pool {
        Some(name) if name != pools::HOME => {
            let pool = status.pools.iter().find(|pool| pool.name == *name);
            pool.map_or(0, |pool| pool.earned)
        }
        _ => status.view.totals.earned,
    });
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
    let sponsor = match sponsored::can_pay(&outbox).await? {
        true => None,
        false => Sponsor::find(&account.config, &account.invite, &output).await?,
    };
    let paid = match &sponsor {
        Some(sponsor) => account.have_carried(sponsor, &proof).await?,
        None => account.send_claim(&outbox, &proof, output).await?,
    };
    let document = json!({
        "schema": "quorate.claim/v1",
        "worker": account.worker,
        "paid": due.to_string(),
        "to": leaf.owner,
        "batch": proof.index,
        "tx": paid.tx,
        "gas": paid.gas,
        "sponsored": sponsor.is_some(),
        "restaked": paid.restaked,
    });
    tracing::debug!(%owner, "claimed");
    let passed_on = match paid.restaked {
        true => None,
        false => account.pass_on(&outbox, sponsor.as_ref(), due, output).await?,
    };
    let mut document = document;
    document["passed_on_to"] = json!(passed_on);
    output.either(&document, || {
        let to = passed_on.unwrap_or(leaf.owner);
        match paid.restaked {
            true => format!("{} became stake", amount::show(due)),
            false => format!("paid {} to {to}", amount::show(due)),
        }
    })
}

/// What a claim came to.
struct Paid {
    /// None while it is on its way.
    tx: Option<B256>,
    /// Its own; none if somebody else paid it.
    gas: Option<u64>,
    /// Whether it was left as stake.
    restaked: bool,
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
    async fn send_claim(
        &self,
        outbox: &Outbox,
        proof: &WorkerProof,
        output: Output,
    ) -> Result<Paid, Failure> {
        let restaked = self.restakes().await?;
        let call = self.settlement.carry(&self.claim_permit(proof));
        let call = call.map_err(|error| Failure::new(Code::Internal, error))?;
        output.note(format!("sending: {}", call.what));
        let receipt = outbox.send(call).await.map_err(|error| failure::chain(&error))?;
        Ok(Paid { tx: Some(receipt.tx), gas: Some(receipt.gas_used), restaked })
    }

    /// Has the pool pay the gas, and waits until the contract shows it.
    async fn have_carried(
        &self,
        sponsor: &Sponsor<'_>,
        proof: &WorkerProof,
    ) -> Result<Paid, Failure> {
        let restaked = self.restakes().await?;
        let carried = sponsor.carry(&self.claim_permit(proof)).await?;
        let (pool, worker, claimed) = (self.invite.pool, self.worker, self.seat.claimed);
        shown("the claim", async || {
            let seat = self.settlement.seat(pool, worker).await;
            let seat = seat.map_err(|error| failure::chain(&error))?;
            Ok((seat.claimed > claimed).then_some(()))
        })
        .await?;
        Ok(Paid { tx: carried.txs.first().copied(), gas: None, restaked })
    }

    fn claim_permit(&self, proof: &WorkerProof) -> Permit {
        let act = Act::Claim { pool: self.invite.pool, proof: proof.clone() };
        Permit::new(self.settlement.domain(), act)
    }

    async fn restakes(&self) -> Result<bool, Failure> {
        let view = self.settlement.worker(self.worker).await;
        let view = view.map_err(|error| failure::chain(&error))?;
        Ok(view.restake && view.exit_at.is_none())
    }

    /// Sends what was paid out to whoever shall have it, no more than the owner has of it: some may be at stake
    /// again.
    async fn pass_on(
        &self,
        outbox: &Outbox,
        sponsor: Option<&Sponsor<'_>>,
        due: u128,
        output: Output,
    ) -> Result<Option<Address>, Failure> {
        let owner = outbox.account();
        let payout = self.config.payout()?.filter(|payout| *payout != owner);
        let Some(payout) = payout else { return Ok(None) };
        let has = self.settlement.token_balance(owner).await;
        let amount = has.map_err(|error| failure::chain(&error))?.min(U256::from(due));
        if amount.is_zero() {
            return Ok(None);
        }
        if let Some(sponsor) = sponsor {
            sponsor.help(self.worker, Help::PassOn).await?;
            let look = async || Ok(sponsored::can_pay(outbox).await?.then_some(()));
            shown("the gas", look).await?;
        }
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
    pub(super) async fn proof(&self) -> Result<Option<WorkerProof>, Failure> {
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
        let Some(ticket) = ticket::read(&self.config.own(ticket::FILE)) else { return Ok(None) };
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
