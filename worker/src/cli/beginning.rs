//! Joining without coins, at a pool that pays for it: registration by permit, a first stake if the pool gives one,
//! and the rest of the stake left from earnings, until it is enough. Repeated after every failure like all of `join`.

use super::{
    amount, failure,
    join::{Joined, Wanted},
    joining::Joining,
    sponsored::{self, Sponsor, shown},
};
use quorate_chain::U256;
use quorate_common::{
    api::Help,
    exit::{Code, Failure},
    ids::WorkerIdx,
    permit::Op,
};

impl Joining<'_> {
    pub(super) async fn finish_sponsored(
        &self,
        sponsor: &Sponsor<'_>,
        found: Option<WorkerIdx>,
        wanted: Wanted,
    ) -> Result<Joined, Failure> {
        let worker = match found {
            Some(worker) => self.check_worker(worker).await?,
            None => self.be_registered(sponsor).await?,
        };
        let mut stake = self.seat_stake(worker).await?;
        if stake < wanted.all {
            stake = self.first_stake(sponsor, worker, stake, wanted).await?;
        }
        self.keep_earnings(sponsor, worker, stake < wanted.all).await?;
        self.say(stake, wanted);
        Ok(Joined { worker, stake })
    }

    async fn be_registered(&self, sponsor: &Sponsor<'_>) -> Result<WorkerIdx, Failure> {
        let node_key = self.me.node_key.public();
        let permit = self.signing().registration(node_key, &self.me.vote_key).await?;
        sponsor.carry(&permit).await?;
        shown("the registration", || async {
            self.read(self.settlement.worker_of_node_key(node_key).await)
        })
        .await
    }

    /// Stakes what there is: what the owner has, or what the pool gives a newcomer. Nothing is no failure.
    async fn first_stake(
        &self,
        sponsor: &Sponsor<'_>,
        worker: WorkerIdx,
        stake: u128,
        wanted: Wanted,
    ) -> Result<u128, Failure> {
        if stake == 0 && sponsor.info.advance.0 > 0 && self.tokens().await? == 0 {
            match sponsor.help(worker, Help::Start).await {
                Ok(given) => self.has_come(given.tokens.0).await?,
                Err(refused) if is_refusal(&refused) => self.output.note(refused.to_string()),
                Err(failure) => return Err(failure),
            }
        }
        let more = self.tokens().await?.min(wanted.all - stake);
        if more == 0 || !sponsored::can_pay(&self.outbox).await? {
            return Ok(stake);
        }
        self.stake(worker, stake + more).await
    }

    /// Whether earnings become stake, as it should be.
    async fn keep_earnings(
        &self,
        sponsor: &Sponsor<'_>,
        worker: WorkerIdx,
        keep: bool,
    ) -> Result<(), Failure> {
        if self.restakes(worker).await? == keep {
            return Ok(());
        }
        let op = if keep { Op::Restake } else { Op::PayOut };
        sponsor.carry(&self.signing().operation(worker, op).await?).await?;
        let look = || async { Ok((self.restakes(worker).await? == keep).then_some(())) };
        shown("the owner's decision", look).await
    }

    /// What the stake is for, where it is less than could be, and whether there is work without it.
    fn say(&self, stake: u128, wanted: Wanted) {
        if stake >= wanted.all {
            return;
        }
        self.output.note(sponsored::what_for(wanted.vote));
        let (has, all) = (amount::show(stake), amount::show(wanted.all));
        self.output.note(format!(
            "it has {has} at stake; {all} would do for every slot. Earnings are left as stake until then: \
             `quorate-worker join` has them paid out afterwards"
        ));
        if stake < wanted.vote {
            self.output.note(format!(
                "no task of this pool is for a worker without stake, and it gives newcomers none today: have {} of the \
                 token {} sent to the owner {}, then repeat `quorate-worker join`",
                amount::show(wanted.vote - stake),
                self.settlement.token(),
                self.outbox.account()
            ));
        }
    }

    /// Token units of the owner that are not at stake.
    async fn tokens(&self) -> Result<u128, Failure> {
        let owner = self.outbox.account();
        let free = self.read(self.settlement.free_of(owner).await)?;
        let outside = self.read(self.settlement.token_balance(owner).await)?;
        Ok(free.saturating_add(u128::try_from(outside).unwrap_or(u128::MAX)))
    }

    async fn has_come(&self, tokens: u128) -> Result<(), Failure> {
        let owner = self.outbox.account();
        shown("the first stake", || async {
            let has = self.settlement.token_balance(owner).await.map_err(|e| failure::chain(&e))?;
            let all = has >= U256::from(tokens) && sponsored::can_pay(&self.outbox).await?;
            Ok(all.then_some(()))
        })
        .await
    }
}

/// The pool will not, or not today: that is no reason to fail.
fn is_refusal(failure: &Failure) -> bool {
    [Code::Funds, Code::Denied, Code::Conflict].iter().any(|code| failure.exit == *code as u8)
}
