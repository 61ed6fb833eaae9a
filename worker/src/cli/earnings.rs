//! `earnings` and `claim`: what every task brought by this worker's own ledger, what is final by a proof against
//! the contract, and how it is paid out.

use super::{
    Global, amount, chain,
    config::Config,
    failure,
    output::{Output, facts},
    owner, pools,
    show::STATUS_FILE,
    sponsored::{self, Sponsor, shown},
};
use crate::{
    gas,
    ledger::{self, Book, Sums},
    status::Status,
    ticket,
};
use quorate_chain::{Address, B256, Outbox, Settlement, U256, settlement::SeatView};
use quorate_common::{
    api::{Help, WorkerProof},
    clock::SystemClock,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys,
    permit::{Act, Permit},
};
use quorate_policy::Energy;
use quorate_senses::calendar;
use serde_json::{Value, json};

/// What this machine knows by itself.
pub(crate) struct Brought {
    pub(crate) book: Book,
    pub(crate) today: Sums,
    pub(crate) month: Sums,
    /// Of all settled tasks since the folder was made, by the worker's own count.
    pub(crate) counted: u128,
    energy: Energy,
}

/// What the contract says, and what is proven against it.
pub(crate) struct Proven {
    pub(crate) worker: WorkerIdx,
    pub(crate) seat: SeatView,
    /// Earned in all, as of a final batch.
    pub(crate) last: u128,
    pub(crate) batch: Option<u64>,
    /// The block by which that was read.
    pub(crate) block: u64,
}

/// A claim that went through.
pub(crate) struct Claimed {
    due: u128,
    to: Address,
    passed_on: Option<Address>,
    worker: WorkerIdx,
    batch: u64,
    is_sponsored: bool,
    paid: Paid,
}

/// What a pool's agent counted.
fn counted(status: &Status, pool: Option<&str>) -> u128 {
    let Some(name) = pool.filter(|name| *name != pools::HOME) else {
        return status.view.totals.earned;
    };
    status.pools.iter().find(|pool| pool.name == name).map_or(0, |pool| pool.earned)
}

/// `earnings`.
pub(crate) async fn show(global: Global, output: Output) -> Result<(), Failure> {
    let proven = Proven::read(&global).await?;
    let brought = Brought::read(&Config::load(&global, &[])?, global.pool.as_deref())?;
    let SeatView { stake, slashed, claimed } = proven.seat;
    let (due, pending) = (proven.due(), proven.pending(&brought));
    let document = json!({
        "schema": "quorate.earnings/v1",
        "worker": proven.worker,
        "today": brought.document(brought.today),
        "month": brought.document(brought.month),
        "counted": brought.counted.to_string(),
        "pending": pending.to_string(),
        "final": proven.last.to_string(),
        "claimed": claimed.to_string(),
        "due": due.to_string(),
        "stake": stake.to_string(),
        "slashed": slashed.to_string(),
        "batch": proven.batch,
        "block": proven.block,
    });
    output.either(&document, || {
        facts(&[
            ("worker", proven.worker.to_string()),
            ("today", brought.line(brought.today)),
            ("this month", brought.line(brought.month)),
            ("earned", format!("{} by this worker's own count", amount::show(brought.counted))),
            ("pending", format!("{}, accepted or committed", amount::show(pending))),
            ("final", format!("{}, by block {}", amount::show(proven.last), proven.block)),
            ("claimed", amount::show(claimed)),
            ("due", amount::show(due)),
            ("stake", amount::show(stake)),
            ("slashed", amount::show(slashed)),
        ])
    })
}

impl Brought {
    /// Reads ledger and status of one of the worker's pools, the first if none is named; neither needs a network.
    pub(crate) fn read(config: &Config, pool: Option<&str>) -> Result<Self, Failure> {
        let failed = |error| failure::file(&config.own(ledger::DIR), &error);
        let book = ledger::read(config.folder()).map_err(failed)?;
        let now_ms = SystemClock::start().now().unix_ms;
        let (today, month) = (book.of(&calendar::day(now_ms)), book.of(&calendar::month(now_ms)));
        let status = Status::read(&config.path(STATUS_FILE)).ok();
        let counted = status.map_or(0, |status| counted(&status, pool));
        Ok(Self { book, today, month, counted, energy: config.preferences()?.energy })
    }

    /// Token units that its electricity cost, if the owner says what that costs.
    pub(crate) fn electricity(&self, sums: Sums) -> Option<u128> {
        let Energy { units_per_kwh, watts } = self.energy;
        (units_per_kwh > 0 && watts > 0).then(|| self.energy.spent(sums.core_ms))
    }

    /// What is left: earned, less what was lost, less electricity. `-` before the amount if it is less than nothing.
    pub(crate) fn net(&self, sums: Sums, amount: impl Fn(u128) -> String) -> Option<String> {
        let out = sums.slashed.saturating_add(self.electricity(sums)?);
        let is_loss = out > sums.earned;
        Some(format!("{}{}", if is_loss { "-" } else { "" }, amount(out.abs_diff(sums.earned))))
    }

    fn document(&self, sums: Sums) -> Value {
        json!({
            "tasks": sums.tasks,
            "earned": sums.earned.to_string(),
            "slashed": sums.slashed.to_string(),
            "core_ms": sums.core_ms,
            "electricity": self.electricity(sums).map(|units| units.to_string()),
            "net": self.net(sums, |units| units.to_string()),
        })
    }

    fn line(&self, sums: Sums) -> String {
        let net = self.net(sums, amount::show).map_or_else(
            || "electricity is not counted (energy.watts, energy.price_kwh)".into(),
            |net| format!("{net} net of electricity"),
        );
        format!("{} for {} tasks; {net}", amount::show(sums.earned), sums.tasks)
    }
}

impl Proven {
    /// Asks the contract, and the scheduler for a proof against it.
    pub(crate) async fn read(global: &Global) -> Result<Self, Failure> {
        let account = Account::find(global).await?;
        let head = account.settlement.chain().head().await.map_err(|e| failure::chain(&e))?;
        let proof = account.proof().await?;
        let leaf = proof.as_ref().and_then(|proof| proof.account.as_ref());
        Ok(Self {
            worker: account.worker,
            last: leaf.map_or(0, |leaf| leaf.cum_earned),
            batch: proof.as_ref().map(|proof| proof.index),
            seat: account.seat,
            block: head.number,
        })
    }

    /// Final and not claimed.
    pub(crate) fn due(&self) -> u128 {
        self.last.saturating_sub(self.seat.claimed)
    }

    /// Counted here and not final yet.
    pub(crate) fn pending(&self, brought: &Brought) -> u128 {
        brought.counted.saturating_sub(self.last)
    }
}

/// `claim`.
pub(crate) async fn claim(global: Global, output: Output) -> Result<(), Failure> {
    let claimed = claim_now(&global, output).await?;
    let Claimed { due, to, passed_on, worker, batch, is_sponsored, paid } = claimed;
    let document = json!({
        "schema": "quorate.claim/v1",
        "worker": worker,
        "paid": due.to_string(),
        "to": to,
        "batch": batch,
        "tx": paid.tx,
        "gas": paid.gas,
        "sponsored": is_sponsored,
        "restaked": paid.restaked,
        "passed_on_to": passed_on,
    });
    output.either(&document, || match paid.restaked {
        true => format!("{} became stake", amount::show(due)),
        false => format!("paid {} to {}", amount::show(due), passed_on.unwrap_or(to)),
    })
}

/// Has everything paid out that is final.
pub(crate) async fn claim_now(global: &Global, output: Output) -> Result<Claimed, Failure> {
    let account = Account::find(global).await?;
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
    let outbox = gas::outbox(&account.settlement, signer);
    let sponsor = match sponsored::can_pay(&outbox).await? {
        true => None,
        false => Sponsor::find(&account.config, &account.invite, &output).await?,
    };
    let paid = match &sponsor {
        Some(sponsor) => account.have_carried(sponsor, &proof).await?,
        None => account.send_claim(&outbox, &proof, output).await?,
    };
    let passed_on = match paid.restaked {
        true => None,
        false => account.pass_on(&outbox, sponsor.as_ref(), due, output).await?,
    };
    Ok(Claimed {
        due,
        to: leaf.owner,
        passed_on,
        worker: account.worker,
        batch: proof.index,
        is_sponsored: sponsor.is_some(),
        paid,
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
pub(crate) struct Account {
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
        shown("the claim", || async {
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
            let look = || async { Ok(sponsored::can_pay(outbox).await?.then_some(())) };
            shown("the gas", look).await?;
        }
        let call = self.settlement.token_transfer(payout, amount);
        output.note(format!("sending: {}", call.what));
        outbox.send(call).await.map_err(|error| failure::chain(&error))?;
        Ok(Some(payout))
    }

    pub(crate) async fn find(global: &Global) -> Result<Self, Failure> {
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
