//! What the pool pays for its workers: carries permits to the chain, and helps owners without coins over the acts
//! that no permit covers. What may be spent is `quorate_grid::sponsor`'s; here it is kept on disk, counted before
//! it is spent, and sent through the outbox, which a crash does not stop. Batches come first: one transaction for
//! workers at a time, few that wait, and what the account needs for batches stays.

mod worth;

use crate::{http::State, http::stopping};
use actix_web::rt;
use quorate_chain::{U256, outbox::Call, settlement::CARRIED_GAS_MAX};
use quorate_common::{
    Address, B256,
    api::{Amount, AskHelp, Carried, Donation, Help, SponsorInfo},
    exit::{Code, Failure},
    permit::{Act, Permit},
    report::Chain as Report,
};
use quorate_grid::sponsor::{Ask, Grant, Ledger, Limits, Refusal, What};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use worth::{known, may_exit, may_pass_on, may_start, useful};

/// The file in the data folder.
const FILE: &str = "sponsor.json";
/// Questions that may wait at once: more are asked to come back, so that no crowd holds memory or asks the node.
const WAITING_MAX: usize = 8;
/// How long an answer waits for its transaction: on most chains that is mined by then; else it is on its way.
const PATIENCE: Duration = Duration::from_secs(12);
/// Gas that stays for batches: twenty commits.
const KEEP_GAS: u64 = 10_000_000;
/// Gas of a plain payment at most: the owner may be a contract.
const PAYMENT_GAS_MAX: u64 = 100_000;
/// Gas that an owner needs for approval, deposit and stake (185,000), with room for a roll-up's bytes.
const START_GAS: u64 = 600_000;
/// For unstake, withdrawal and a transfer (250,000).
const EXIT_GAS: u64 = 750_000;
/// For a transfer of tokens (50,000).
const PASS_ON_GAS: u64 = 150_000;

/// What the operator has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether anything is paid.
    pub on: bool,
    /// How much.
    pub limits: Limits,
    /// Token units for a newcomer's first stake.
    pub advance: u128,
    /// Where donations may go.
    pub donation: Option<Address>,
}

/// See the module.
#[derive(Debug)]
pub struct Sponsor {
    rules: Rules,
    path: PathBuf,
    ledger: Mutex<Ledger>,
    waiting: Semaphore,
    turn: tokio::sync::Mutex<()>,
}

impl Sponsor {
    /// Reads what was granted so far.
    ///
    /// # Errors
    /// A file that is there and does not read: nothing is spent on a guess.
    pub fn open(data: &Path, rules: Rules) -> Result<Self, Failure> {
        let path = data.join(FILE);
        let ledger = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let text = format!("{}: {error}; expected what was granted so far", path.display());
                Failure::new(Code::Internal, text)
                    .hint("restore it from a backup, or remove it: the day's limits begin anew")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::default(),
            Err(error) => return Err(not_kept(&path, &error)),
        };
        let (waiting, turn) = (Semaphore::new(WAITING_MAX), tokio::sync::Mutex::new(()));
        Ok(Self { rules, path, ledger: Mutex::new(ledger), waiting, turn })
    }

    /// What it pays for, for whoever thinks of joining.
    pub fn info(&self, state: &State) -> SponsorInfo {
        let Rules { on, limits, advance, donation } = self.rules;
        let left = self.locked(|ledger| ledger.left_wei(&limits, state.shared.now().unix_s()));
        SponsorInfo {
            schema: "quorate.sponsor/v1".into(),
            open: on,
            budget_wei: Amount(limits.budget_wei),
            left_wei: Amount(left),
            owner_day: limits.owner,
            network_day: limits.network,
            advance: Amount(advance),
            stake_ratio: state.shared.offer.order.stake_ratio,
            donation: donation.map(|address| Donation::signed(address, &state.shared.node_key)),
        }
    }

    /// Whether it pays for anything, and has room to look at one more question.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if !self.rules.on {
            let text = "this pool pays for nobody's transactions";
            return Err(Failure::new(Code::Denied, text)
                .hint("have coins sent to the owner, or have somebody else carry the permit"));
        }
        self.waiting.try_acquire().map_err(|_| {
            Failure::new(Code::Unreachable, "others are being registered; try again in a moment")
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grants it, once that is on disk.
    fn grant(&self, unix_s: u64, ask: &Ask) -> Result<Grant, Failure> {
        self.locked(|ledger| {
            let mut next = ledger.clone();
            let granted = next.ask(&self.rules.limits, unix_s, ask);
            let grant = granted.map_err(|refusal| refused(&refusal, unix_s))?;
            write(&self.path, &next).map_err(|error| not_kept(&self.path, &error))?;
            *ledger = next;
            Ok(grant)
        })
    }

    /// What it did not cost can be spent again. If that is not kept, less is spent than could be.
    fn settle(&self, grant: Grant, spent_wei: u128) {
        self.locked(|ledger| {
            ledger.settle(grant, spent_wei);
            if let Err(error) = write(&self.path, ledger) {
                tracing::warn!(%error, path = %self.path.display(), "what workers cost is not kept");
            }
        });
    }
}

/// Carries a permit to the chain.
///
/// # Errors
/// Why not, in words for who asked.
pub async fn carry(
    state: &State,
    permit: &Permit,
    network: Option<u64>,
) -> Result<Carried, Failure> {
    let _entered = state.sponsor.enter()?;
    let call = state.settlement.carry(permit);
    let call = call.map_err(|error| Failure::new(Code::Denied, Report(&error)))?;
    let call = useful(state, permit).await?.unwrap_or(call);
    let what = match permit.act {
        Act::Register { .. } => What::Register,
        Act::Operate { .. } | Act::Claim { .. } => What::Carry,
    };
    let ask = Ask { what, owner: permit.owner(), network, cost_wei: 0, acts: 1 };
    pay(state, vec![(call, CARRIED_GAS_MAX)], ask, 0).await
}

/// Helps a worker's owner over an act that it must do itself.
///
/// # Errors
/// Why not, in words for who asked.
pub async fn help(state: &State, asked: AskHelp, network: Option<u64>) -> Result<Carried, Failure> {
    let _entered = state.sponsor.enter()?;
    let (view, seat) = known(state, asked.worker).await?;
    let price = state.outbox.price().await.map_err(chain)?;
    let coins = |gas: u64| {
        let call = Call::transfer(view.owner, U256::from(u128::from(gas) * price));
        (Call { gas_max: Some(PAYMENT_GAS_MAX), ..call }, PAYMENT_GAS_MAX)
    };
    let (calls, tokens) = match asked.help {
        Help::Start => {
            let advance = may_start(state, &view, seat).await?;
            let call = state.settlement.token_transfer(view.owner, U256::from(advance));
            (vec![(call, PAYMENT_GAS_MAX), coins(START_GAS)], advance)
        }
        Help::Exit => (vec![may_exit(state, &view, seat).await.map(|()| coins(EXIT_GAS))?], 0),
        Help::PassOn => {
            may_pass_on(state, &view, asked.worker).await?;
            (vec![coins(PASS_ON_GAS)], 0)
        }
    };
    let acts = if calls.len() > 1 { 2 } else { 1 };
    let what = What::Help(asked.worker, asked.help);
    let ask = Ask { what, owner: view.owner, network, cost_wei: 0, acts };
    pay(state, calls, ask, tokens).await
}

/// Sends the calls, each with the gas it may take, once all that they may cost is counted. Who asked may hang up
/// meanwhile.
async fn pay(
    state: &State,
    calls: Vec<(Call, u64)>,
    ask: Ask,
    tokens: u128,
) -> Result<Carried, Failure> {
    let price = state.outbox.price().await.map_err(chain)?;
    let costs = |(call, gas): &(Call, u64)| {
        u128::from(*gas) * price + u128::try_from(call.value).unwrap_or(u128::MAX)
    };
    let cost_wei: u128 = calls.iter().map(costs).sum();
    let balance = state.settlement.chain().balance(state.outbox.account()).await.map_err(chain)?;
    if balance < U256::from(cost_wei) + U256::from(u128::from(KEEP_GAS) * price) {
        let text = "the pool's gas account has just enough for its batches";
        return Err(Failure::new(Code::Funds, text).hint("tell its operator, or try again later"));
    }
    let grant = state.sponsor.grant(state.shared.now().unix_s(), &Ask { cost_wei, ..ask })?;
    let (tell, hear) = oneshot::channel();
    let calls = calls.into_iter().map(|(call, _)| call).collect();
    rt::spawn(send(state.clone(), calls, grant, tell));
    let carried =
        |txs| Carried { schema: "quorate.carried/v1".into(), txs, tokens: Amount(tokens) };
    match tokio::time::timeout(PATIENCE, hear).await {
        Ok(Ok(outcome)) => outcome.map(carried),
        Ok(Err(_)) => Err(stopping()),
        Err(_) => Ok(carried(Vec::new())),
    }
}

async fn send(
    state: State,
    calls: Vec<Call>,
    grant: Grant,
    tell: oneshot::Sender<Result<Vec<B256>, Failure>>,
) {
    let sponsor = Arc::clone(&state.sponsor);
    let turn = sponsor.turn.lock().await;
    let (mut txs, mut spent, mut outcome) = (Vec::new(), 0, Ok(()));
    for call in calls {
        let value = u128::try_from(call.value).unwrap_or(u128::MAX);
        tracing::info!(what = call.what, "for a worker");
        match state.outbox.send(call).await {
            Ok(receipt) => {
                count(&state, Ok(receipt.gas_used));
                spent += value + u128::try_from(receipt.fee_wei).unwrap_or(u128::MAX);
                txs.push(receipt.tx);
            }
            Err(error) => {
                count(&state, Err(()));
                tracing::warn!(error = %Report(&error), "a worker's transaction failed");
                outcome = Err(chain(error));
                break;
            }
        }
    }
    drop(turn);
    // What failed may still be mined, or has cost its gas: it stays counted as a whole.
    if outcome.is_ok() {
        sponsor.settle(grant, spent);
    }
    // Who asked may have gone.
    drop(tell.send(outcome.map(|()| txs)));
}

fn count(state: &State, gas: Result<u64, ()>) {
    let (metrics, kind) = (&state.shared.metrics, "sponsor");
    let outcome = if gas.is_ok() { "ok" } else { "failed" };
    metrics.transactions.with_label_values(&[kind, outcome]).inc();
    metrics.gas.with_label_values(&[kind]).inc_by(gas.unwrap_or(0));
}

fn refused(refusal: &Refusal, unix_s: u64) -> Failure {
    let failure = Failure::new(Code::Funds, refusal.words());
    if !refusal.passes() {
        return failure;
    }
    let hours = (Ledger::next_day_s(unix_s) - unix_s).div_ceil(3600);
    failure.hint(format!(
        "the limits begin anew in {hours} h; until then have coins sent to the owner, or the permit carried by \
         anybody who has some: `join --permit FILE`, `quorate wallet carry FILE`"
    ))
}

fn chain(error: quorate_chain::SettleError) -> Failure {
    crate::failure::chain(error)
}

fn not_kept(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{}: {error}", path.display()))
}

/// Whole or not at all, and on the disk before it counts.
fn write(path: &Path, ledger: &Ledger) -> io::Result<()> {
    let unborn = path.with_extension("json.new");
    let mut file = File::create(&unborn)?;
    file.write_all(&serde_json::to_vec(ledger)?)?;
    file.sync_all()?;
    fs::rename(&unborn, path)?;
    crate::journal::disk::sync_dir(path.parent().unwrap_or(Path::new(".")))
}
