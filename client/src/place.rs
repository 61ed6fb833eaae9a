//! Making an order: terms from the command line, the configuration and the pool's offer; the
//! struct, its signature, and the checks that save a refused upload. The scheduler and the contract
//! check everything again.

use crate::{
    amount,
    cli::RunArgs,
    config::Config,
    plan::Plan,
    signed::{OrdersFile, wanted},
};
use quorate_chain::Signer;
use quorate_common::{
    Address, B256,
    api::{PlaceOrder, PoolInfo},
    exit::{Code, Failure},
    keys::{self, Signature},
    messages::{AppOrder, DatasetOrder, Domain, Message as _, ReqOrder},
    orders::SignedOrder,
};
use std::path::Path;
use std::time::Duration;

/// Farthest deadline the contract takes.
const DEADLINE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What an order asks for, settled against the pool's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Token units per task at most.
    pub max_unit_price: u128,
    /// Token units per task the pool asks.
    pub unit_price: u128,
    /// 1 / (chance of a wrong result).
    pub trust: u32,
    /// Most replicas of a task.
    pub replicas: u8,
    /// Seconds one replica may take.
    pub max_task_time: u64,
    /// Unix seconds: the work ends.
    pub deadline: u64,
    /// Who sells the module, and its price per task.
    pub app: Option<(Address, u128)>,
    /// Who sells the dataset, what it is, and its price per task.
    pub dataset: Option<(Address, B256, u128)>,
}

/// The sellers' orders a request is made for.
#[derive(Clone, Debug, Default)]
pub struct Sellers {
    /// Of the module.
    pub app: Option<SignedOrder<AppOrder>>,
    /// Of the dataset.
    pub dataset: Option<SignedOrder<DatasetOrder>>,
}

impl Sellers {
    /// Reads what the command line names.
    ///
    /// # Errors
    /// [`Code::Usage`] for an order that is for something else than this plan, [`Code::Conflict`] for
    /// one of another contract.
    pub fn read(args: &RunArgs, plan: &Plan, domain: &Domain) -> Result<Self, Failure> {
        let read = |path: &Path| OrdersFile::read(path)?.for_domain(domain, path);
        let mut sellers = Self::default();
        if let Some(path) = &args.app_order {
            let app = wanted(read(path)?.app, "app order", path)?;
            if app.order.app != plan.app.digest.word() {
                let (sold, ours) = (hex::encode(app.order.app), plan.app.digest);
                let module = plan.app.path.display();
                let text = format!("{} sells app {sold}; {module} is {ours}", path.display());
                return Err(Failure::new(Code::Usage, text));
            }
            sellers.app = Some(app);
        }
        if let Some(path) = &args.dataset_order {
            sellers.dataset = Some(wanted(read(path)?.dataset, "dataset order", path)?);
        }
        Ok(sellers)
    }
}

impl Terms {
    /// What is asked for on the command line or in the configuration, if the pool offers it.
    ///
    /// # Errors
    /// [`Code::Funds`] for a refused price, [`Code::Usage`] for anything else out of range.
    pub fn settle(args: &RunArgs, config: &Config, pool: &PoolInfo) -> Result<Self, Failure> {
        let unit_price = pool.unit_price.0;
        let max_unit_price = args.max_price.or(config.max_price()?).unwrap_or(unit_price);
        if max_unit_price < unit_price {
            let text = format!(
                "--max-price is {}; the pool asks {} per task",
                amount::show(max_unit_price),
                amount::show(unit_price)
            );
            return Err(
                Failure::new(Code::Funds, text).hint("raise --max-price or choose another pool")
            );
        }
        let trust = args.trust.map_or_else(|| config.trust(), Ok)?;
        if trust > pool.trust_max {
            return Err(out_of_range(
                "--trust",
                trust,
                format!("at most the pool's {}", pool.trust_max),
            ));
        }
        let replicas = args.replicas.map_or_else(|| config.replicas(), Ok)?;
        let deadline = args.deadline.map_or_else(|| config.deadline(), Ok)?;
        if deadline.is_zero() || deadline > DEADLINE_MAX {
            let expected = "at least 1s and at most 365d".to_owned();
            return Err(out_of_range("--deadline", format!("{}s", deadline.as_secs()), expected));
        }
        Ok(Self {
            max_unit_price,
            unit_price,
            trust,
            replicas,
            max_task_time: task_time(args, config, pool)?,
            deadline: pool.unix_s.saturating_add(deadline.as_secs()),
            app: None,
            dataset: None,
        })
    }

    /// The same, with who sells to it.
    pub fn sold_by(self, sellers: &Sellers) -> Self {
        let (app, dataset) = (sellers.app.as_ref(), sellers.dataset.as_ref());
        Self {
            app: app.map(|s| (s.order.owner, s.order.price)),
            dataset: dataset.map(|s| (s.order.owner, s.order.dataset, s.order.price)),
            ..self
        }
    }

    /// Token units of one task, owners' prices included; too much is more than anybody has.
    pub fn price(&self) -> u128 {
        let (app, dataset) = (self.app.unwrap_or_default(), self.dataset.unwrap_or_default());
        self.unit_price.saturating_add(app.1).saturating_add(dataset.2)
    }

    /// Token units the order locks, if it is taken at the pool's price.
    pub fn cost(&self, tasks: u32) -> Result<u128, Failure> {
        self.price().checked_mul(u128::from(tasks)).ok_or_else(|| {
            let text = format!("{tasks} tasks at {} cost more than there can be", self.price());
            Failure::new(Code::Funds, text)
        })
    }

    /// The order, with fresh salt.
    pub fn order(
        &self,
        plan: &Plan,
        pool: &PoolInfo,
        requester: Address,
    ) -> Result<ReqOrder, Failure> {
        let salt = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
        let (app_owner, app_max_price) = self.app.unwrap_or_default();
        let (dataset_owner, dataset, dataset_max_price) = self.dataset.unwrap_or_default();
        Ok(ReqOrder {
            requester,
            app: plan.app.digest.word(),
            app_owner,
            app_max_price,
            dataset,
            dataset_owner,
            dataset_max_price,
            params: plan.bag_digest.word(),
            pool_restrict: pool.pool.restrict(),
            max_unit_price: self.max_unit_price,
            tasks: plan.tasks(),
            tag: plan.bag.kind.tag(),
            trust: self.trust,
            replicas: self.replicas,
            max_task_time: self.max_task_time,
            expiry: self.deadline,
            deadline: self.deadline,
            salt: B256::new(salt),
            ..ReqOrder::default()
        })
    }
}

/// Signs an order for its chain and contract.
pub fn sign(req: ReqOrder, domain: &Domain, signer: &Signer) -> PlaceOrder {
    let signature = signer.sign(domain.separator().digest(req.struct_hash()));
    PlaceOrder::alone(req, encode_signature(&signature))
}

/// 128 hex digits.
pub fn encode_signature(signature: &Signature) -> String {
    hex::encode(signature.to_bytes())
}

/// Whether `text` is the requester's signature over `req`.
pub fn is_signed(req: &ReqOrder, text: &str, domain: &Domain) -> bool {
    let mut bytes = [0; 64];
    if hex::decode_to_slice(text, &mut bytes).is_err() {
        return false;
    }
    let digest = domain.separator().digest(req.struct_hash());
    keys::recover(digest, &Signature::from_bytes(&bytes)) == Some(req.requester)
}

/// Insists on the chain and contract the configuration names.
///
/// # Errors
/// [`Code::Conflict`] if the scheduler is of another.
pub fn pinned(config: &Config, domain: &Domain) -> Result<(), Failure> {
    let differs = |key: &str, found: String, expected: String| {
        Failure::new(
            Code::Conflict,
            format!("the scheduler works for {key} {found}; expected the configured {expected}"),
        )
        .hint(format!("correct `api` or `{key}`"))
    };
    if let Some(id) = config.chain_id()?.filter(|id| *id != domain.chain_id) {
        return Err(differs("chain.id", domain.chain_id.to_string(), id.to_string()));
    }
    if let Some(contract) = config.contract()?.filter(|contract| *contract != domain.contract) {
        return Err(differs("chain.contract", domain.contract.to_string(), contract.to_string()));
    }
    Ok(())
}

/// Refuses an order that is not covered, before anything is uploaded.
///
/// # Errors
/// [`Code::Funds`] with what is missing.
pub fn covered(free: u128, cost: u128, tasks: u32) -> Result<(), Failure> {
    if free >= cost {
        return Ok(());
    }
    let text = format!(
        "free balance is {}; {tasks} tasks cost {}",
        amount::show(free),
        amount::show(cost)
    );
    let missing = amount::tokens(cost - free).replace(' ', "");
    Err(Failure::new(Code::Funds, text).hint(format!("quorate wallet deposit {missing}")))
}

/// A time that was asked for must fit; the default is cut to what the pool offers.
fn task_time(args: &RunArgs, config: &Config, pool: &PoolInfo) -> Result<u64, Failure> {
    let Some(asked) = args.time_limit else {
        return Ok(config.time_limit()?.as_secs().min(pool.max_task_time));
    };
    let asked = asked.as_secs();
    if (1..=pool.max_task_time).contains(&asked) {
        return Ok(asked);
    }
    let expected = format!("1s to the pool's {}s", pool.max_task_time);
    Err(out_of_range("--time-limit", format!("{asked}s"), expected))
}

fn out_of_range(flag: &str, value: impl std::fmt::Display, expected: String) -> Failure {
    Failure::new(Code::Usage, format!("{flag} is {value}; expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::ids::PoolId;

    #[test]
    fn a_signature_is_the_requesters_and_of_its_domain() {
        let signer = Signer::from_secret(&[7; 32]).expect("a key");
        let domain = Domain { chain_id: 1, contract: Address::repeat_byte(1) };
        let req = ReqOrder {
            requester: signer.address(),
            app: B256::ZERO,
            params: B256::ZERO,
            pool_restrict: PoolId(1).restrict(),
            max_unit_price: 1,
            tasks: 1,
            trust: 1,
            replicas: 1,
            max_task_time: 1,
            expiry: 1,
            deadline: 1,
            salt: B256::ZERO,
            ..ReqOrder::default()
        };
        let placed = sign(req, &domain, &signer);
        assert!(is_signed(&placed.req, &placed.signature, &domain));
        assert!(!is_signed(&placed.req, &placed.signature, &Domain { chain_id: 2, ..domain }));
        assert!(!is_signed(&placed.req, &placed.signature[2..], &domain));
    }

    #[test]
    fn what_is_missing_is_said_as_a_command() {
        let one = 10_u128.pow(18);
        assert!(covered(3 * one, 3 * one, 3).is_ok());
        let failure = covered(one / 2, 3 * one, 3).expect_err("too little");
        assert_eq!(failure.exit, 7);
        assert_eq!(failure.hint.as_deref(), Some("quorate wallet deposit 2.5QTT"));
    }
}
