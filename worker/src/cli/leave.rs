//! `leave` and `uninstall`: out of the pool in good order, and off the machine. Leaving has two halves, with the
//! contract's timer between them: the exit is asked for, and the stake is taken out. The same command does
//! whichever is due, so that it can be repeated at will; nobody needs coins for it where the pool pays.

use super::{
    Global, LeaveArgs, amount,
    config::Config,
    control,
    earnings::Account,
    failure,
    output::Output,
    owner, pools,
    sponsored::{self, Signing, Sponsor, shown},
};
use crate::{companions, gas, wish::WishFile};
use quorate_chain::{Outbox, SettleError, U256};
use quorate_common::{
    anchor::Anchor,
    api::Help,
    clock::SystemClock,
    exit::{Code, Failure},
    merkle::{STATE_DEPTH, Sparse},
    permit::Op,
};
use quorate_policy::{Asked, Wish};
use quorate_senses::calendar;
use serde_json::json;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Pauses between two looks at the chain's clock while the stake's timer runs, which takes days: the shortest, and the
/// longest, because a laptop's clock stands still while it sleeps.
const LOOK: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// Held by whoever waits.
const LOCK: &str = "leaving.lock";

/// `leave`.
pub(super) async fn leave(global: Global, args: LeaveArgs, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    config.invite()?;
    match &global.pool {
        Some(name) if name != pools::HOME => is_left(&config, name)?,
        _ => rest(&config).await?,
    }
    let account = Account::find(&global).await?;
    let leaving = Leaving::of(account, output)?;
    if leaving.exit_at().await?.is_none() {
        if let Some(file) = &args.permit {
            return leaving.permit(file).await;
        }
        leaving.ask_for_exit().await?;
    }
    let mut out = leaving.take_out_if_due().await?;
    if args.wait {
        let Some(_lock) = waits(&config)? else {
            return output.line("another `leave` waits for the stake already");
        };
        while out.is_none() {
            tokio::time::sleep(leaving.pause().await?).await;
            out = leaving.take_out_if_due().await?;
        }
    }
    if out.is_none() && !args.once {
        wait_behind(&global, &config)?;
    }
    leaving.report(out, !args.once).await
}

/// One process waits, for one folder. Nothing, if another does.
fn waits(config: &Config) -> Result<Option<File>, Failure> {
    let path = config.own(LOCK);
    let failed = |error: io::Error| failure::file(&path, &error);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let mut file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            // For people, who may want to know which process it is.
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(failed)?;
            Ok(Some(file))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Leaves a process behind that waits for the stake. It takes no time of a processor, and does not survive a restart
/// of the machine: then the command is to be repeated.
fn wait_behind(global: &Global, config: &Config) -> Result<(), Failure> {
    let path = config.path(control::LOG);
    let log = File::options().create(true).append(true).open(&path);
    let log = log.map_err(|error| failure::file(&path, &error))?;
    let failed = |error: io::Error| Failure::new(Code::Internal, format!("nobody waits: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("--data-dir").arg(&config.data_dir);
    if let Some(file) = &global.config {
        command.arg("--config").arg(file);
    }
    for pair in &global.set {
        command.arg("--set").arg(pair);
    }
    if let Some(pool) = &global.pool {
        command.arg("--pool").arg(pool);
    }
    command.args(["leave", "--wait"]).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log).spawn().map(drop).map_err(failed)
}

/// The exit is the worker's, from every pool of a contract: a pool that it still works for is not left by it.
fn is_left(config: &Config, name: &str) -> Result<(), Failure> {
    if pools::find(config, name)?.member.left {
        return Ok(());
    }
    let text = format!("this worker works for {name}");
    Err(Failure::new(Code::Conflict, text)
        .hint(format!("first: quorate-worker pools leave {name}")))
}

/// A worker on its way out.
struct Leaving {
    account: Account,
    outbox: Outbox,
    output: Output,
}

impl Leaving {
    fn of(account: Account, output: Output) -> Result<Self, Failure> {
        let outbox = gas::outbox(&account.settlement, owner::open(&account.config, output)?);
        Ok(Self { account, outbox, output })
    }

    /// When its stakes may leave, if it has asked to.
    async fn exit_at(&self) -> Result<Option<u64>, Failure> {
        Ok(read(self.account.settlement.worker(self.account.worker).await)?.exit_at)
    }

    /// Until it is worth another look.
    async fn pause(&self) -> Result<Duration, Failure> {
        let now = SystemClock::start().now().unix_s();
        let left = self.exit_at().await?.map_or(0, |at| at.saturating_sub(now));
        Ok(Duration::from_secs(left).clamp(LOOK.0, LOOK.1))
    }

    async fn ask_for_exit(&self) -> Result<(), Failure> {
        if let Some(sponsor) = self.sponsor().await? {
            let permit = self.signing().operation(self.account.worker, Op::Exit).await?;
            sponsor.carry(&permit).await?;
            return shown("the exit", || async { Ok(self.exit_at().await?.map(|_| ())) }).await;
        }
        let call = self.account.settlement.request_exit(self.account.worker);
        self.output.note(format!("sending: {}", call.what));
        let sent = self.outbox.send(call).await;
        sent.map(drop).map_err(|error| self.short(&error))
    }

    /// Signs the exit for somebody else to carry.
    async fn permit(&self, file: &Path) -> Result<(), Failure> {
        let permit = self.signing().operation(self.account.worker, Op::Exit).await?;
        sponsored::write(file, &permit)?;
        self.output.line(format!(
            "whoever has coins of chain {} can start the stake's timer, within a day: quorate wallet carry {}",
            self.account.invite.domain.chain_id,
            file.display()
        ))
    }

    /// Takes the stake out, and sends it to where the money goes. Nothing before the timer is over.
    async fn take_out_if_due(&self) -> Result<Option<u128>, Failure> {
        let (settlement, worker) = (&self.account.settlement, self.account.worker);
        let now = read(settlement.chain().head().await)?.timestamp;
        let now = now.max(SystemClock::start().now().unix_s());
        let is_due = self.exit_at().await?.is_some_and(|at| at <= now);
        let stake = read(settlement.seat(self.account.invite.pool, worker).await)?.stake;
        if !is_due {
            return Ok((stake == 0).then_some(0));
        }
        if stake == 0 {
            return self.withdraw().await.map(Some);
        }
        if let Some(sponsor) = self.sponsor().await? {
            sponsor.help(worker, Help::Exit).await?;
            let look = || async { Ok(sponsored::can_pay(&self.outbox).await?.then_some(())) };
            shown("the gas", look).await?;
        }
        self.unstake().await?;
        self.withdraw().await.map(Some)
    }

    async fn unstake(&self) -> Result<(), Failure> {
        let Account { ref settlement, ref invite, worker, .. } = self.account;
        let proof = self.account.proof().await?;
        let (index, account) =
            proof.as_ref().map_or((0, None), |proof| (proof.index, proof.account.as_ref()));
        let next = read(settlement.opening(invite.pool, index + 1).await)?.unwrap_or_default();
        let empty = Sparse::new(STATE_DEPTH);
        let (newest, path) = match &proof {
            Some(proof) => (proof.opening.anchor(), proof.path.clone()),
            None => {
                let newest = Anchor { state_root: empty.root(), ..Anchor::default() };
                (newest, empty.path(u64::from(worker.0)))
            }
        };
        let call = settlement.unstake(invite.pool, worker, account, &path, &newest, &next);
        self.send(call).await
    }

    /// What is free in the contract leaves it, to where the money goes.
    async fn withdraw(&self) -> Result<u128, Failure> {
        let settlement = &self.account.settlement;
        let owner = self.outbox.account();
        let free = read(settlement.free_of(owner).await)?;
        if free > 0 {
            self.send(settlement.withdraw(free)).await?;
        }
        let payout = self.account.config.payout()?.filter(|payout| *payout != owner);
        if let Some(payout) = payout.filter(|_| free > 0) {
            self.send(settlement.token_transfer(payout, U256::from(free))).await?;
        }
        Ok(free)
    }

    async fn send(&self, call: quorate_chain::Call) -> Result<(), Failure> {
        self.output.note(format!("sending: {}", call.what));
        let sent = self.outbox.send(call).await;
        sent.map(drop).map_err(|error| self.short(&error))
    }

    /// Whoever pays for an owner that cannot.
    async fn sponsor(&self) -> Result<Option<Sponsor<'_>>, Failure> {
        if sponsored::can_pay(&self.outbox).await? {
            return Ok(None);
        }
        Sponsor::find(&self.account.config, &self.account.invite, &self.output).await
    }

    fn signing(&self) -> Signing<'_> {
        Signing { settlement: &self.account.settlement, owner: self.outbox.signer() }
    }

    /// Who has no coins can have the exit carried.
    fn short(&self, error: &SettleError) -> Failure {
        let failure = failure::chain(error);
        if failure.exit != Code::Funds as u8 {
            return failure;
        }
        failure.hint(format!(
            "send some coins to {}; the exit alone can be carried by anybody: leave --permit FILE",
            self.outbox.account()
        ))
    }

    async fn report(&self, out: Option<u128>, waits: bool) -> Result<(), Failure> {
        let (exit_at, account) = (self.exit_at().await?, &self.account);
        let document = json!({
            "schema": "quorate.leave/v1", "worker": account.worker, "exit_at": exit_at,
            "stake": account.seat.stake.to_string(), "out": out.map(|out| out.to_string()),
            "waits": waits && out.is_none(),
        });
        self.output.either(&document, || {
            let when = exit_at.map_or_else(|| "soon".into(), |at| calendar::clock(at * 1_000));
            let pool = account.invite.pool;
            match out {
                Some(out) => format!("left {pool}; {} came out of it", amount::show(out)),
                None if waits => format!(
                    "left {pool}; its stake is free from {when} on and is taken out then by a process that waits; if \
                     this machine restarts before, say `quorate-worker leave` again"
                ),
                None => format!(
                    "left {pool}; its stake is free from {when} on: `quorate-worker leave` takes it out then"
                ),
            }
        })
    }
}

fn read<T>(outcome: Result<T, SettleError>) -> Result<T, Failure> {
    outcome.map_err(|error| failure::chain(&error))
}

/// Starts the timer of the stake, unless it runs; when it ends, in unix seconds.
pub(crate) async fn sign_off(account: Account, output: Output) -> Result<Option<u64>, Failure> {
    let leaving = Leaving::of(account, output)?;
    if leaving.exit_at().await?.is_none() {
        leaving.ask_for_exit().await?;
    }
    leaving.exit_at().await
}

/// What `uninstall` removes: it can be fetched or made again.
const REMADE: [&str; 9] = [
    "blobs",
    "modules",
    "status.json",
    "month.json",
    "worker.log",
    companions::BOOK,
    companions::BOOK_LOCK,
    companions::SEEN,
    companions::SEEN_LOCK,
];

/// `uninstall`: the programs are the package's business, keys and money the owner's.
pub(super) async fn uninstall(global: Global, purge: bool, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    rest(&config).await?;
    let dir = config.data_dir.display().to_string();
    if purge {
        fs::remove_dir_all(&config.data_dir)
            .map_err(|error| failure::file(&config.data_dir, &error))?;
    } else {
        // Keys, votes and evidence stay.
        for name in REMADE {
            let path = config.path(name);
            let gone =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if path.exists() {
                gone.map_err(|error| failure::file(&path, &error))?;
            }
        }
    }
    let document = json!({ "schema": "quorate.uninstall/v1", "data_dir": dir, "purged": purge });
    output.either(&document, || match purge {
        true => format!("{dir} is gone, keys and all"),
        false => format!("{dir} has the keys, the wallet and what was sealed, and nothing else"),
    })
}

/// Ended, and not to be started again by a service without its owner's word.
async fn rest(config: &Config) -> Result<(), Failure> {
    // First, since whoever looks whether one runs makes the folder.
    if !config.data_dir.exists() {
        let text = format!("there is no worker in {}", config.data_dir.display());
        return Err(Failure::new(Code::NotFound, text));
    }
    control::end(config).await?;
    let wish = Wish { asked: Asked::Pause, until_unix_ms: None };
    let written = WishFile::within(&config.data_dir).write(wish);
    written.map_err(|error| failure::file(&config.data_dir, &error))
}
