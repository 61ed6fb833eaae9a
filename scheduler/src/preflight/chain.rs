//! The chain: its nodes, its clock, the contract's code, and whether the money will last.

use super::{Check, Finding};
use crate::{
    cli::chain::gas,
    config::{ChainAt, Config},
    dev,
    system::key_paths,
};
use quorate_chain::{
    presets::MAX_FEE_WEI_PER_GAS,
    settlement::{BATCH_RING, PoolState, PoolView, Settlement},
    transport::{Chain, ChainUrl},
};
use quorate_common::{
    Address, U256,
    clock::SystemClock,
    keys::{node_key_at, vote_key_at},
    messages::Domain,
    report::Chain as Report,
};
use std::time::{Duration, Instant};

/// Gas of a batch with what comes with it: commit, finalize and a deal or two (contracts/README.md, the gas
/// table), with some room.
const BATCH_GAS: u64 = 500_000;
/// Warned of below this: a long weekend and the days to notice.
const RUNWAY_DAYS_MIN: u128 = 7;
/// How far this clock may be behind the chain's: blocks are dated by somebody's clock, and deadlines are judged by ours.
const BEHIND_S_MAX: u64 = 30;
/// How old the newest block may be: a node that is further behind sees demands and batches too late.
const AGE_S_MAX: u64 = 600;
/// How long a node may take to answer before it is called slow: a lone task waits for about seven answers.
const ANSWER_SLOW: Duration = Duration::from_millis(500);
/// How long one answer is waited for here: `check` is for people.
const PATIENCE: Duration = Duration::from_secs(8);

/// Everything about the chain, as far as it can be asked.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let ChainAt::Url(first) = &config.chain else {
        let found = "a development chain in this process: its coins are worth nothing";
        return vec![Finding::ok(Check::Rpc, found)];
    };
    let mut findings = Vec::new();
    let mut works = false;
    for node in std::iter::once(first).chain(&config.more_nodes) {
        works |= one_node(config, node, &mut findings).await;
    }
    findings.extend(alone(config));
    if works {
        contract(config, &mut findings).await;
    }
    findings
}

/// Whether a node answers, for the right chain, in time.
async fn one_node(config: &Config, node: &str, findings: &mut Vec<Finding>) -> bool {
    let chain = ChainUrl::parse(node).and_then(|url| Chain::connect(&url));
    let chain = match chain {
        Ok(chain) => chain.with_deadline(PATIENCE),
        Err(error) => {
            let fix = "write http://HOST:PORT or https://HOST/PATH into chain.url";
            findings.push(Finding::error(Check::Rpc, Report(&error), fix));
            return false;
        }
    };
    let began = Instant::now();
    match chain.chain_id().await {
        Ok(id) if id == config.chain_id => {
            findings.push(answers(&chain, began.elapsed()));
            findings.push(Finding::ok(Check::ChainId, format!("{}: {id}", chain.node())));
            findings.push(clock(config, &chain).await);
            true
        }
        Ok(id) => {
            let expected = config.chain_id;
            let found = format!("{} serves chain {id}; expected {expected}", chain.node());
            let fix = "chain.url and chain.preset must be of one chain: change one of them";
            findings.push(Finding::error(Check::ChainId, found, fix));
            false
        }
        Err(error) => {
            let fix = "is chain.url right, its node up, and the way to it open?";
            findings.push(Finding::error(Check::Rpc, Report(&error), fix));
            false
        }
    }
}

fn answers(chain: &Chain, took: Duration) -> Finding {
    let found = format!("{} answers in {took:.1?}", chain.node());
    if took < ANSWER_SLOW {
        return Finding::ok(Check::Rpc, found);
    }
    Finding::warning(Check::Rpc, found, "use a node nearer by: lone tasks wait for seven answers")
}

/// One node's word is all there is.
fn alone(config: &Config) -> Option<Finding> {
    if config.chain_id == dev::CHAIN_ID || config.more_nodes.len() >= 2 {
        return None;
    }
    let nodes = config.more_nodes.len() + 1;
    let found = format!("{nodes} of three nodes: whoever runs one can stop or deceive this pool");
    let fix = "name three of different providers in chain.url: then one may fail or lie";
    Some(Finding::warning(Check::Rpc, found, fix))
}

/// This machine's clock against the newest block's.
async fn clock(config: &Config, chain: &Chain) -> Finding {
    let head = match chain.head().await {
        Ok(head) => head,
        Err(error) => return Finding::error(Check::Clock, Report(&error), "ask another node"),
    };
    let now = SystemClock::start().now().unix_s();
    let (ahead, age) = (head.timestamp.saturating_sub(now), now.saturating_sub(head.timestamp));
    let place = format!("block {} of {}", head.number, chain.node());
    if config.chain_id == dev::CHAIN_ID {
        return Finding::ok(Check::Clock, format!("{place}: a development chain's own time"));
    }
    if ahead > BEHIND_S_MAX {
        let found = format!("this clock is {ahead} s behind {place}");
        let fix = "set it and keep it set: apt install systemd-timesyncd, timedatectl set-ntp true";
        return Finding::error(Check::Clock, found, fix);
    }
    if age > AGE_S_MAX {
        let found = format!("{place} is {age} s old: the node is behind, or this clock ahead");
        let fix = "compare `date -u` with another machine; if it is right, use another node";
        return Finding::warning(Check::Clock, found, fix);
    }
    Finding::ok(Check::Clock, format!("{place} is {age} s old, {ahead} s ahead"))
}

async fn contract(config: &Config, findings: &mut Vec<Finding>) {
    let Some(contract) = config.contract else {
        let fix =
            "set it to the settlement contract's address, or run quorate-scheduler chain deploy";
        findings.push(Finding::error(Check::Contract, "`chain.contract` is not set", fix));
        return;
    };
    let settlement = match connect(config, contract).await {
        Ok(settlement) => settlement,
        Err(error) => {
            let found = format!("`chain.contract` is {contract}: {}", Report(&error));
            let fix = "check its address and chain; chain.first_block must not be after its birth";
            findings.push(Finding::error(Check::Contract, found, fix));
            return;
        }
    };
    findings.push(code(&settlement).await);
    findings.push(gas_money(config, &settlement).await);
    let Some(id) = config.pool else {
        let fix = "run quorate-scheduler init: it registers one with its bond";
        findings.push(Finding::error(Check::Pool, "`pool.id` is not set", fix));
        return;
    };
    match settlement.pool(id).await {
        Ok(view) => findings.extend([
            registration(config, &view),
            bond(config, view.bond, view.pending_value, settlement.window_s()),
        ]),
        Err(error) => {
            let found = format!("`pool.id` is {}: {}", id.0, Report(&error));
            let fix = "check chain.contract and pool.id; init registers a pool";
            findings.push(Finding::error(Check::Pool, found, fix));
        }
    }
}

async fn connect(
    config: &Config,
    contract: Address,
) -> Result<Settlement, quorate_chain::SettleError> {
    let ChainAt::Url(first) = &config.chain else { unreachable!("asked for a chain with a URL") };
    let nodes: Vec<String> = std::iter::once(first).chain(&config.more_nodes).cloned().collect();
    let chain = Chain::connect_all(&ChainUrl::parse_all(&nodes)?)?.with_deadline(PATIENCE);
    Settlement::connect(chain, Domain { chain_id: config.chain_id, contract }).await
}

/// Whether every contract is this release's.
async fn code(settlement: &Settlement) -> Finding {
    let views = match settlement.code_views().await {
        Ok(views) => views,
        Err(error) => return Finding::error(Check::Contract, Report(&error), "ask another node"),
    };
    let differs = views.iter().find_map(|view| Some((view, view.differs.as_ref()?)));
    if let Some((view, how)) = differs {
        let found = format!("{} at {} is not this release's: {how}", view.name, view.address);
        let fix = "run the release that its deployer named, or deploy this one's: chain deploy";
        return Finding::error(Check::Contract, found, fix);
    }
    let hash = views[0].code_hash;
    let found = format!("{} of this release, code hash {hash}", settlement.address());
    Finding::ok(Check::Contract, found)
}

fn registration(config: &Config, view: &PoolView) -> Finding {
    let (node, signer) = key_paths(&config.data);
    if node.exists() && signer.exists() {
        let ours =
            (node_key_at(&node).map(|k| k.public()), vote_key_at(&signer).map(|k| k.address()));
        if let (Ok(node), Ok(signer)) = ours
            && (node, signer) != (view.node_key, view.signer)
        {
            let found = format!("registered with signer {}; this folder has {signer}", view.signer);
            let fix = "restore DATA/keys from a backup, or set pool.id";
            return Finding::error(Check::Pool, found, fix);
        }
    }
    let dead = "run init in an empty folder for a new pool with a new bond";
    match (view.state, view.exit_at) {
        (PoolState::Live, None) => Finding::ok(
            Check::Pool,
            format!("live, operator {}, batch {}", view.operator, view.head),
        ),
        (PoolState::Live, Some(at)) => {
            let found = format!("its bond leaves at {at} (unix seconds): it takes nothing new");
            Finding::warning(Check::Pool, found, "finish what is open; open another pool to go on")
        }
        (PoolState::Abandoned(_), _) => Finding::error(Check::Pool, "abandoned, for good", dead),
        (PoolState::Convicted(_), _) => {
            Finding::error(Check::Pool, "convicted of fraud, for good", dead)
        }
    }
}

/// Days that the gas account pays for, at today's price and the most batches that the settings make.
async fn gas_money(config: &Config, settlement: &Settlement) -> Finding {
    let account = match gas(config, None) {
        Ok(signer) => signer.address(),
        Err(failure) => {
            let fix = failure.hint.unwrap_or_else(|| "run quorate-scheduler init".into());
            return Finding::error(Check::Gas, failure.message, fix);
        }
    };
    let chain = settlement.chain();
    let (balance, head) = match (chain.balance(account).await, chain.head().await) {
        (Ok(balance), Ok(head)) => (balance, head),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::error(Check::Gas, Report(&error), "ask another node");
        }
    };
    let tip = chain.priority_fee().await.unwrap_or_default();
    let cap = config.max_fee_wei_per_gas.unwrap_or(MAX_FEE_WEI_PER_GAS);
    let price = u128::from(head.base_fee).saturating_add(tip).clamp(1, cap.into());
    runway(config, account, balance, price)
}

fn runway(config: &Config, account: Address, balance: U256, price: u128) -> Finding {
    let batch = U256::from(price.saturating_mul(BATCH_GAS.into()));
    let a_day = u128::from((86_400_000 / config.policy.batch_ms).max(1));
    let days = (balance / batch.saturating_mul(U256::from(a_day))).saturating_to::<u128>();
    let found = format!(
        "{account} has {balance} wei: {days} days of {a_day} batches at {price} wei per gas"
    );
    let month = batch.saturating_mul(U256::from(a_day * 30));
    let fix = format!(
        "send coins of the chain to {account}: {month} wei last a month; or raise batch.age_s"
    );
    if balance < batch {
        return Finding::error(Check::Gas, found, fix);
    }
    if days < RUNWAY_DAYS_MIN {
        return Finding::warning(Check::Gas, found, fix);
    }
    Finding::ok(Check::Gas, found)
}

/// The bond against what full batches would have waiting for their window: two thirds of a bond cap it.
fn bond(config: &Config, bond: u128, pending: u128, window_s: u64) -> Finding {
    let policy = &config.policy;
    let batches = u128::from((window_s * 1000).div_ceil(policy.batch_ms).max(1));
    let batch = config.unit_price.saturating_mul(policy.batch_tasks.into());
    let (cap, expected) = (bond / 3 * 2, batch.saturating_mul(batches));
    let found = format!(
        "bond {bond}: {cap} may wait for its window, {pending} does, a full batch is {batch}"
    );
    if cap < batch {
        let fix = format!(
            "no full batch can be committed: register with a bond of {} (init --bond), or lower batch.tasks",
            batch.saturating_mul(3)
        );
        return Finding::error(Check::Bond, found, fix);
    }
    // Half of the contract's ring may be pending.
    if batches > u128::from(BATCH_RING / 2) {
        let least = window_s.div_ceil(BATCH_RING / 2);
        let found = format!(
            "a batch every {} s makes {batches} in a window; the contract holds {}",
            policy.batch_ms / 1000,
            BATCH_RING / 2
        );
        return Finding::warning(Check::Bond, found, format!("set batch.age_s to {least} or more"));
    }
    if cap < expected {
        let tasks = cap / config.unit_price.max(1) * 3600 / u128::from(window_s.max(1));
        let found = format!(
            "{found}; settlement waits beyond {tasks} tasks an hour, full batches are {expected} a window"
        );
        let fix = format!(
            "a bond of {} covers them; expect to wait at full load otherwise",
            expected.saturating_mul(3) / 2
        );
        return Finding::warning(Check::Bond, found, fix);
    }
    Finding::ok(Check::Bond, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::KEYS, preflight::Level};
    use quorate_common::config::Layers;

    fn config(set: &[(&str, &str)]) -> Config {
        let mut layers = Layers::new(KEYS);
        for (key, value) in set {
            layers.flag("--set", key, value).expect("known key");
        }
        Config::from_layers(&layers).expect("good")
    }

    /// 48 hours.
    const WINDOW_S: u64 = 172_800;
    const TOKEN: u128 = 1_000_000_000_000_000_000;

    #[test]
    fn a_bond_covers_full_batches_of_a_window_or_is_warned_of() {
        let config = config(&[]);
        // 512 tasks of a thousandth token every ten minutes: 147 tokens in 48 hours, of a bond of 221.
        assert_eq!(bond(&config, 222 * TOKEN, 0, WINDOW_S).level, Level::Ok);
        let tight = bond(&config, 200 * TOKEN, 0, WINDOW_S);
        assert_eq!(tight.level, Level::Warning);
        assert!(tight.found.contains("2777 tasks an hour"), "{}", tight.found);
        let none = bond(&config, TOKEN / 2, 0, WINDOW_S);
        assert_eq!(none.level, Level::Error);
        assert!(none.fix.is_some_and(|fix| fix.contains("1536000000000000000")));
    }

    #[test]
    fn more_batches_than_the_contract_holds_are_warned_of() {
        let config = config(&[("batch.age_s", "60")]);
        let finding = bond(&config, 1_000_000 * TOKEN, 0, WINDOW_S);
        assert_eq!((finding.check, finding.level), (Check::Bond, Level::Warning));
        assert_eq!(finding.fix.as_deref(), Some("set batch.age_s to 338 or more"));
    }

    #[test]
    fn gas_is_counted_in_days() {
        let config = config(&[]);
        // 144 batches a day of 500,000 gas, at one gwei: 0.072 coins.
        let days = |milli: u64| {
            let balance = U256::from(milli) * U256::from(10).pow(U256::from(15));
            runway(&config, Address::ZERO, balance, 1_000_000_000)
        };
        assert_eq!(days(0).level, Level::Error);
        assert_eq!(days(72 * 6).level, Level::Warning);
        let week = days(72 * 7);
        assert_eq!(week.level, Level::Ok);
        assert!(week.found.contains("7 days of 144 batches"), "{}", week.found);
    }
}
