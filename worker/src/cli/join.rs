//! `join`: from an invitation to a worker the contract knows. Every step looks first whether it was
//! done before, so that the command can be repeated after every failure.

use super::{
    Global, JoinArgs, amount, chain,
    config::Config,
    failure,
    output::{Output, facts},
    owner, pools, questions,
    sponsored::{self, Signing, Sponsor},
};
use crate::{api, gas};
use quorate_chain::{Address, Call, Outbox, Settlement, Signer, U256};
use quorate_common::{
    B256,
    api::PoolInfo,
    clock::SystemClock,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys::{self, NodeKey, VoteKey},
    messages::{BindWorker, Message as _},
};
use serde_json::json;
use std::{fs, io::Write as _, path::Path};

/// How long a binding may wait to be mined, in seconds of the chain.
const BINDING_S: u64 = 3_600;
/// Votes a slot has at stake at once. One runs, one waits for the slot; all others were cast and wait
/// for those who vote on the same tasks, and a worker without a free stake gets nothing new.
const STAKES_PER_SLOT: u128 = 16;

/// `join`.
pub(crate) async fn run(
    mut global: Global,
    mut args: JoinArgs,
    output: Output,
) -> Result<(), Failure> {
    let is_first = Config::load(&global, &[])?.layers.optional("invite").is_none();
    if args.invite.is_none() && is_first && questions::can_ask() {
        questions::ask()?.apply(&mut args, &mut global.set);
    }
    if args.donate {
        global.set.push(donate(&global, &args, output).await?);
    }
    let (config, invite) = match another(&global, &args)? {
        Some(invite) => {
            let config = Config::load(&global, &[])?;
            let other = pools::add(&config, &invite)?;
            output.note(format!(
                "this worker belongs to several pools now; this one is {}",
                other.name
            ));
            (config.for_pool(&invite, other.dir)?, invite)
        }
        None if global.pool.is_some() => {
            let config = Config::load(&global, &[])?;
            let invite = config.invite()?;
            (config, invite)
        }
        None => {
            let config = write_config(&global, &args)?;
            let invite = config.invite()?;
            (config, invite)
        }
    };
    let node_key = keys::node_key_at(&config.path("node.key"));
    let vote_key = keys::vote_key_at(&config.path("vote.key"));
    let me = Me {
        node_key: node_key.map_err(|error| failure::key(&error))?,
        vote_key: vote_key.map_err(|error| failure::key(&error))?,
        owner: owner::open(&config, output)?,
    };
    if let Some(payout) = args.payout.filter(|payout| *payout != me.owner.address()) {
        let text = format!("the owner is {}, --payout says {payout}", me.owner.address());
        return Err(Failure::new(Code::Conflict, text)
            .hint("earnings go to the owner: name its key with --owner or --owner-key-file"));
    }
    let joined = if args.offline {
        None
    } else if let Some(file) = &args.permit {
        Joining::begin(&config, &invite, &me, output).await?.permit(file).await?;
        None
    } else {
        let wanted = wanted_stake(&config, &invite, args.stake).await?;
        Some(Joining::begin(&config, &invite, &me, output).await?.finish(wanted).await?)
    };
    report(&config, &invite, &me, joined, output)
}

/// Earnings go where the pool's own key says that donations go.
async fn donate(global: &Global, args: &JoinArgs, output: Output) -> Result<String, Failure> {
    let config = Config::load(global, &[])?;
    let invite = args.invite.clone().map_or_else(|| config.invite(), Ok)?;
    let address = sponsored::donation(&config, &invite).await?;
    output.note(format!("earnings are given to {address}, which this pool's key has signed"));
    Ok(format!("payout={address}"))
}

/// Who joins.
pub(super) struct Me {
    pub(super) node_key: NodeKey,
    pub(super) vote_key: VoteKey,
    pub(super) owner: Signer,
}

/// What the contract knows afterwards.
#[derive(Clone, Copy)]
pub(super) struct Joined {
    pub(super) worker: WorkerIdx,
    pub(super) stake: u128,
}

/// What a stake has to cover.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Of one vote; zero where that is not known.
    pub(super) vote: u128,
    /// In all.
    pub(super) all: u128,
}

/// An invitation to another pool than the one it works for.
fn another(global: &Global, args: &JoinArgs) -> Result<Option<Invite>, Failure> {
    let before = Config::without_environment(global, &[], false)?;
    let (Some(new), Ok(old)) = (&args.invite, before.invite()) else { return Ok(None) };
    Ok(((new.pool, new.domain) != (old.pool, old.domain)).then(|| new.clone()))
}

/// Lays the invitation and flags over the file that is there, and writes it.
fn write_config(global: &Global, args: &JoinArgs) -> Result<Config, Failure> {
    let path = |path: &std::path::PathBuf| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        absolute.display().to_string()
    };
    let flags = [
        ("INVITE", "invite", args.invite.as_ref().map(ToString::to_string)),
        ("--name", "name", args.name.clone()),
        ("--slots", "slots", args.slots.map(|slots| slots.to_string())),
        ("--owner", "owner", args.owner.clone()),
        ("--owner-key-file", "owner_key_file", args.owner_key_file.as_ref().map(path)),
        ("--chain-url", "chain.url", args.chain_url.clone()),
    ];
    let written = Config::without_environment(global, &flags, false)?;
    written.invite()?;
    let config = Config::load(global, &flags).or_else(|error| {
        // With `--config`, the file may be the one that is about to be written.
        if written.file.exists() { Err(error) } else { Ok(written.clone()) }
    })?;
    make_private(&config.data_dir)?;
    write_file(&written.file, &written.layers.commented_file())?;
    Ok(config)
}

pub(super) fn make_private(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| failure::file(dir, &error))
}

/// Replaces the file as a whole.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let temporary = path.with_extension("toml.tmp");
    let write = || -> std::io::Result<()> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| failure::file(path, &error))
}

/// Token units to have at stake: what was asked for, or enough for every slot.
async fn wanted_stake(
    config: &Config,
    invite: &Invite,
    asked: Option<u128>,
) -> Result<Wanted, Failure> {
    if let Some(all) = asked {
        return Ok(Wanted { vote: 0, all });
    }
    let Some(api) = config.api(invite) else {
        return Err(Failure::new(Code::Usage, "how much to stake is not known")
            .hint("name an amount with --stake; the pool's operator knows what a vote needs"));
    };
    let pool: PoolInfo = api::get(&api, "/v1/pool").await?;
    let vote = pool.unit_price.0.saturating_mul(pool.stake_ratio.into()) / 100;
    let all = vote.saturating_mul(u128::from(config.slots()?)).saturating_mul(STAKES_PER_SLOT);
    Ok(Wanted { vote, all })
}

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
    async fn begin(
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

    async fn finish(&self, wanted: Wanted) -> Result<Joined, Failure> {
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
        Ok(Joined { worker, stake })
    }

    /// Whoever pays for an owner that cannot, if there is something to pay for.
    async fn sponsor(
        &self,
        found: Option<WorkerIdx>,
        wanted: u128,
    ) -> Result<Option<Sponsor<'_>>, Failure> {
        if let Some(worker) = found
            && self.seat_stake(worker).await? >= wanted
            && !self.read(self.settlement.worker(worker).await)?.restake
        {
            return Ok(None);
        }
        if sponsored::can_pay(&self.outbox).await? {
            return Ok(None);
        }
        Sponsor::find(self.config, self.invite, &self.output).await
    }

    /// Signs the registration for somebody else to carry.
    async fn permit(&self, file: &Path) -> Result<(), Failure> {
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

fn report(
    config: &Config,
    invite: &Invite,
    me: &Me,
    joined: Option<Joined>,
    output: Output,
) -> Result<(), Failure> {
    let (node_key, vote_key): (B256, Address) = (me.node_key.public(), me.vote_key.address());
    let file = config.file.display().to_string();
    let document = json!({
        "schema": "quorate.join/v1",
        "pool": invite.pool,
        "worker": joined.map(|joined| joined.worker),
        "stake": joined.map(|joined| joined.stake.to_string()),
        "owner": me.owner.address(),
        "node_key": node_key,
        "vote_key": vote_key,
        "config": file,
    });
    output.either(&document, || {
        let (worker, stake) = match joined {
            Some(Joined { worker, stake }) => (worker.to_string(), amount::show(stake)),
            None => ("not registered yet".into(), "nothing yet".into()),
        };
        facts(&[
            ("pool", format!("{} at {}", invite.pool, invite.address)),
            ("worker", worker),
            ("stake", stake),
            ("owner", me.owner.address().to_string()),
            ("node key", hex::encode(node_key)),
            ("vote key", vote_key.to_string()),
            ("configuration", file.clone()),
        ])
    })?;
    output.note(match joined {
        Some(_) => "next: quorate-worker start",
        None => "next: quorate-worker join, with a chain node, to register and stake",
    });
    Ok(())
}
