//! The steps of joining that touch the chain, each of which looks first whether it was done before: an owner with
//! coins does them itself, whoever has none has them done (`beginning`).

use super::{
    amount, chain,
    config::Config,
    failure,
    join::{Joined, Me, Wanted},
    output::Output,
    sponsored::{self, Signing, Sponsor},
};
use crate::gas;
use quorate_chain::{Address, Call, Outbox, Settlement, U256};
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    messages::{BindWorker, Message as _},
    permit::Op,
};
use std::path::Path;

/// How long a binding may wait to be mined, in seconds of the chain.
const BINDING_S: u64 = 3_600;
/// The steps that touch the chain.
pub(super) struct Joining<'a> {
    config: &'a Config,
    pub(super) invite: &'a Invite,
    pub(super) me: &'a Me,
    pub(super) settlement: Settlement,
    pub(super) outbox: Outbox,
    pub(super) output: Output,
}

impl<'a> Joining<'a> {
    pub(super) async fn begin(
        config: &'a Config,
        invite: &'a Invite,
        me: &'a Me,
        output: Output,
    ) -> Result<Self, Failure> {
        let settlement = chain::connect(config, invite).await?;
        let pool = settlement.pool(invite.pool).await.map_err(|error| failure::chain(&error))?;
        if pool.node_key != invite.node_key {
            let text = format!("{}'s scheduler has node key {}", invite.pool, pool.node_key);
            return Err(Failure::new(Code::Denied, format!("{text}, the invitation another"))
                .hint("do not use this invitation: ask the operator for a new one"));
        }
        if pool.exit_at.is_some() {
            let text = format!("{} is closing and takes no new work", invite.pool);
            return Err(Failure::new(Code::Conflict, text));
        }
        let outbox = gas::outbox(&settlement, me.owner.clone());
        Ok(Self { config, invite, me, settlement, outbox, output })
    }

    pub(super) async fn finish(&self, wanted: Wanted) -> Result<Joined, Failure> {
        let found = self
            .settlement
            .worker_of_node_key(self.me.node_key.public())
            .await
            .map_err(|error| failure::chain(&error))?;
        if let Some(sponsor) = self.sponsor(found, wanted.all).await? {
            return self.finish_sponsored(&sponsor, found, wanted).await;
        }
        self.check_funds(found, wanted).await?;
        let worker = match found {
            Some(worker) => self.check_worker(worker).await?,
            None => self.register().await?,
        };
        let stake = self.stake(worker, wanted.all).await?;
        if self.restakes(worker).await? {
            // It began without coins, and has what it needs now.
            let permit = self.signing().operation(worker, Op::PayOut).await?;
            let call = self.settlement.carry(&permit);
            self.send(call.map_err(|error| Failure::new(Code::Internal, error))?).await?;
        }
        Ok(Joined { worker, stake })
    }

    /// Whether what it earns is left as stake.
    pub(super) async fn restakes(&self, worker: WorkerIdx) -> Result<bool, Failure> {
        Ok(self.read(self.settlement.worker(worker).await)?.restake)
    }

    /// Whoever pays for an owner that cannot, if there is something to pay for.
    async fn sponsor(
        &self,
        found: Option<WorkerIdx>,
        wanted: u128,
    ) -> Result<Option<Sponsor<'_>>, Failure> {
        let (mut restakes, mut has_all) = (false, false);
        if let Some(worker) = found {
            restakes = self.restakes(worker).await?;
            has_all = self.seat_stake(worker).await? >= wanted;
        }
        if !restakes && (has_all || sponsored::can_pay(&self.outbox).await?) {
            return Ok(None);
        }
        Sponsor::find(self.config, self.invite, &self.output).await
    }

    /// Signs the registration for somebody else to carry.
    pub(super) async fn permit(&self, file: &Path) -> Result<(), Failure> {
        let signing = self.signing();
        let permit = signing.registration(self.me.node_key.public(), &self.me.vote_key).await?;
        sponsored::write(file, &permit)?;
        self.output.note(format!(
            "whoever has coins of chain {} can register this worker, within a day: quorate wallet carry {}",
            self.invite.domain.chain_id,
            file.display()
        ));
        Ok(())
    }

    pub(super) fn signing(&self) -> Signing<'_> {
        Signing { settlement: &self.settlement, owner: &self.me.owner }
    }

    /// Says in one go everything that is missing, before the first transaction is paid for.
    async fn check_funds(&self, found: Option<WorkerIdx>, wanted: Wanted) -> Result<(), Failure> {
        let (vote, wanted) = (wanted.vote, wanted.all);
        let owner = self.outbox.account();
        let staked = match found {
            Some(worker) => self.seat_stake(worker).await?,
            None => 0,
        };
        let free = self.read(self.settlement.free_of(owner).await)?;
        let missing = wanted.saturating_sub(staked).saturating_sub(free);
        let tokens = self.read(self.settlement.token_balance(owner).await)?;
        let gas = self.read(self.settlement.chain().balance(owner).await)?;
        let is_done = found.is_some() && staked >= wanted;
        let mut needs = Vec::new();
        if gas.is_zero() && !is_done {
            needs.push(format!("coins of chain {} for gas", self.invite.domain.chain_id));
        }
        if tokens < U256::from(missing) {
            let short = missing - u128::try_from(tokens).unwrap_or(u128::MAX);
            let token = self.settlement.token();
            needs.push(format!("{} of the token {token} to stake", amount::show(short)));
        }
        if needs.is_empty() {
            return Ok(());
        }
        let text = format!("the owner account {owner} needs {}", needs.join(" and "));
        let stake =
            if missing > 0 { format!("\n  {}", sponsored::what_for(vote)) } else { String::new() };
        Err(Failure::new(Code::Funds, text).hint(format!(
            "send it there, then repeat `quorate-worker join`; keys and configuration are kept. This pool pays for \
             nobody's gas, but anybody can carry the registration: join --permit FILE{stake}"
        )))
    }

    /// A worker that is registered already must be this one, whole.
    pub(super) async fn check_worker(&self, worker: WorkerIdx) -> Result<WorkerIdx, Failure> {
        let known = self.read(self.settlement.worker(worker).await)?;
        let (owner, vote_key) = (self.outbox.account(), self.me.vote_key.address());
        let differs = |what: &str, known: Address, ours: Address| {
            let text = format!("{worker} is registered with {what} {known}, here it is {ours}");
            Failure::new(Code::Conflict, text).hint("restore the keys it was registered with")
        };
        if known.owner != owner {
            return Err(differs("owner", known.owner, owner));
        }
        if known.vote_key != vote_key {
            return Err(differs("vote key", known.vote_key, vote_key));
        }
        Ok(worker)
    }

    async fn register(&self) -> Result<WorkerIdx, Failure> {
        let head = self.read(self.settlement.chain().head().await)?;
        // A development chain mines only when there is something to mine: its head may be days old.
        let now = SystemClock::start().now().unix_s().max(head.timestamp);
        let binding = BindWorker {
            owner: self.outbox.account(),
            node_key: self.me.node_key.public(),
            vote_key: self.me.vote_key.address(),
            deadline: now + BINDING_S,
        };
        let digest = self.settlement.separator().digest(binding.struct_hash());
        let signature = self.me.vote_key.sign(digest);
        self.send(self.settlement.register_worker(&binding, &signature)).await?;
        let found = self.settlement.worker_of_node_key(self.me.node_key.public()).await;
        self.read(found)?.ok_or_else(|| {
            Failure::new(Code::Chain, "the registration is mined, but the node does not show it")
                .hint("repeat the command in a moment")
        })
    }

    pub(super) async fn stake(&self, worker: WorkerIdx, wanted: u128) -> Result<u128, Failure> {
        let staked = self.seat_stake(worker).await?;
        let more = wanted.saturating_sub(staked);
        if more == 0 {
            return Ok(staked);
        }
        let owner = self.outbox.account();
        let free = self.read(self.settlement.free_of(owner).await)?;
        let deposit = more.saturating_sub(free);
        if deposit > 0 {
            let allowance = self.read(self.settlement.token_allowance(owner).await)?;
            if allowance < U256::from(deposit) {
                self.send(self.settlement.approve(U256::from(deposit))).await?;
            }
            self.send(self.settlement.deposit(deposit)).await?;
        }
        self.send(self.settlement.stake(self.invite.pool, worker, more)).await?;
        self.seat_stake(worker).await
    }

    pub(super) async fn seat_stake(&self, worker: WorkerIdx) -> Result<u128, Failure> {
        Ok(self.read(self.settlement.seat(self.invite.pool, worker).await)?.stake)
    }

    async fn send(&self, call: Call) -> Result<(), Failure> {
        self.output.note(format!("sending: {}", call.what));
        self.read(self.outbox.send(call).await).map(drop)
    }

    pub(super) fn read<T>(
        &self,
        outcome: Result<T, quorate_chain::SettleError>,
    ) -> Result<T, Failure> {
        outcome.map_err(|error| failure::chain(&error))
    }
}
