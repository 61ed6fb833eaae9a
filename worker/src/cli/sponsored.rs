//! A beginning without coins: what the owner signs, and who carries it to the chain. The pool does, where its
//! operator pays for that; anybody else can, with `quorate wallet carry FILE`.

use super::{amount, config::Config, failure, join::write_file, output::Output};
use crate::api;
use quorate_chain::{Address, Outbox, Settlement, Signer, U256};
use quorate_common::{
    api::{AskHelp, Carried, Help, SponsorInfo},
    clock::SystemClock,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys::VoteKey,
    messages::{BindWorker, Message as _, WorkerOp},
    permit::{Act, Op, Permit},
};
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// How long a permit is good, in seconds of the chain: a day, so that whoever is asked to carry it has time.
const PERMIT_S: u64 = 86_400;
/// How long a transaction that was sent may take to show: a few blocks of a slow chain.
const SHOWN: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Gas that an owner without a sponsor should be able to pay for any one act of its own.
const ACT_GAS: u64 = 250_000;

/// What the pool pays for; nothing, if it does not say.
pub(super) async fn terms(
    config: &Config,
    invite: &Invite,
) -> Result<Option<SponsorInfo>, Failure> {
    let Some(api) = config.api(invite) else { return Ok(None) };
    match api::get::<SponsorInfo>(&api, "/v1/sponsor").await {
        Ok(info) => Ok(Some(info)),
        // A scheduler of an older version pays for nothing.
        Err(failure) if failure.exit == Code::NotFound as u8 => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether an account can pay for an act of its own.
pub(super) async fn can_pay(outbox: &Outbox) -> Result<bool, Failure> {
    let has = outbox.chain().balance(outbox.account()).await;
    let price = outbox.price().await.map_err(|error| failure::chain(&error))?;
    let has = has.map_err(|error| failure::chain(&error))?;
    Ok(!has.is_zero() && has >= U256::from(u128::from(ACT_GAS) * price))
}

/// Who signs permits, and for which contract.
pub(super) struct Signing<'a> {
    pub(super) settlement: &'a Settlement,
    pub(super) owner: &'a Signer,
}

impl Signing<'_> {
    /// Permission to register a worker.
    pub(super) async fn registration(
        &self,
        node_key: quorate_common::B256,
        vote_key: &VoteKey,
    ) -> Result<Permit, Failure> {
        let binding = BindWorker {
            owner: self.owner.address(),
            node_key,
            vote_key: vote_key.address(),
            deadline: self.deadline().await?,
        };
        let digest = self.settlement.separator().digest(binding.struct_hash());
        let (vote_signature, owner_signature) = (vote_key.sign(digest), self.owner.sign(digest));
        let act = Act::Register { binding, vote_signature, owner_signature };
        Ok(Permit::new(self.settlement.domain(), act))
    }

    /// What the owner wants of a worker.
    pub(super) async fn operation(&self, worker: WorkerIdx, op: Op) -> Result<Permit, Failure> {
        let owner = self.owner.address();
        let nonce = self.settlement.nonce_of(owner).await.map_err(|e| failure::chain(&e))?;
        let op = WorkerOp { worker, op: op as u8, nonce, deadline: self.deadline().await? };
        let signature = self.owner.sign(self.settlement.separator().digest(op.struct_hash()));
        Ok(Permit::new(self.settlement.domain(), Act::Operate { owner, op, signature }))
    }

    async fn deadline(&self) -> Result<u64, Failure> {
        let head = self.settlement.chain().head().await.map_err(|error| failure::chain(&error))?;
        // A development chain mines only when there is something to mine: its head may be days old.
        Ok(SystemClock::start().now().unix_s().max(head.timestamp) + PERMIT_S)
    }
}

/// Whoever pays.
pub(super) struct Sponsor<'a> {
    pub(super) api: String,
    pub(super) info: SponsorInfo,
    pub(super) output: &'a Output,
}

impl<'a> Sponsor<'a> {
    /// The pool, if it pays for anything.
    pub(super) async fn find(
        config: &Config,
        invite: &Invite,
        output: &'a Output,
    ) -> Result<Option<Self>, Failure> {
        let info = terms(config, invite).await?.filter(|info| info.open);
        let (Some(info), Some(api)) = (info, config.api(invite)) else { return Ok(None) };
        Ok(Some(Self { api, info, output }))
    }

    /// Has a permit carried.
    pub(super) async fn carry(&self, permit: &Permit) -> Result<Carried, Failure> {
        self.output.note(format!("asking the pool to pay for it: {permit}"));
        api::post(&self.api, "/v1/sponsor/carry", permit).await
    }

    /// Has coins, and for the start tokens, given to a worker's owner.
    pub(super) async fn help(&self, worker: WorkerIdx, help: Help) -> Result<Carried, Failure> {
        let what = match help {
            Help::Start => "the first stake, and gas to stake it",
            Help::Exit => "gas to take the stake out",
            Help::PassOn => "gas to pass the earnings on",
        };
        self.output.note(format!("asking the pool for {what}"));
        api::post(&self.api, "/v1/sponsor/help", &AskHelp { worker, help }).await
    }
}

/// Waits until the chain shows what was sent.
pub(super) async fn shown<T, Look: Future<Output = Result<Option<T>, Failure>>>(
    what: &str,
    mut look: impl FnMut() -> Look,
) -> Result<T, Failure> {
    let until = Instant::now() + SHOWN;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > until {
            let text = format!("{what} was sent, but the chain does not show it after {SHOWN:?}");
            return Err(Failure::new(Code::Chain, text).hint("repeat the command in a moment"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes a permit for somebody else to carry.
pub(super) fn write(path: &Path, permit: &Permit) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(permit);
    let text = text.map_err(|error| Failure::new(Code::Internal, error))?;
    write_file(path, &format!("{text}\n"))
}

/// What the stake is for, in two sentences, wherever somebody is asked for one.
pub(super) fn what_for(vote: u128) -> String {
    format!(
        "what the stake is for: each vote holds {} of it until its task is settled, and loses that if the others \
         agree on another result. Honest work gets it back, and `leave` takes it out",
        amount::show(vote)
    )
}

/// The address this pool gives donations to, as its own key has signed it.
pub(super) async fn donation(config: &Config, invite: &Invite) -> Result<Address, Failure> {
    let none = || {
        Failure::new(Code::NotFound, "this pool names no address for donations")
            .hint("answer with a charity's address (0x…), or set payout=ADDRESS later")
    };
    let donation = terms(config, invite).await?.and_then(|info| info.donation).ok_or_else(none)?;
    if donation.is_signed_by(invite.node_key) {
        return Ok(donation.address);
    }
    let text = "the address for donations is not signed by the key that the invitation names";
    Err(Failure::new(Code::Denied, text).hint("do not use it; tell the pool's operator"))
}
