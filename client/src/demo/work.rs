//! The demo's work: one Lucas-Lehmer test per prime exponent of a text file.

use crate::{cli::DemoArgs, directory};
use quorate_common::{
    Address, B256,
    api::PoolInfo,
    bag::{Bag, Limits, SCHEMA, Task},
    digest::Digest,
    exit::{Code, Failure},
    ids::TASKS_MAX,
    keys,
    messages::ReqOrder,
};
use std::path::Path;

/// The test, compiled from `lucas_lehmer.c`; CI rebuilds and compares it.
pub(super) const MODULE: &[u8] =
    include_bytes!("../../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
/// The default exponents.
const EXPONENTS: &str = include_str!("../../../deploy/apps/lucas-lehmer/exponents.txt");
/// Every known Mersenne exponent up to 10^8 (OEIS A000043).
const MERSENNE: [u64; 51] = [
    2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279, 2203, 2281, 3217, 4253, 4423,
    9689, 9941, 11213, 19937, 21701, 23209, 44497, 86243, 110503, 132049, 216091, 756839, 859433,
    1257787, 1398269, 2976221, 3021377, 6972593, 13466917, 20996011, 24036583, 25964951, 30402457,
    32582657, 37156667, 42643801, 43112609, 57885161, 74207281, 77232917, 82589933,
];
/// Seconds the demo's order may take: an hour, for slow machines and long lists.
const DEADLINE_S: u64 = 3600;
/// Replicas of one task at most: all six workers.
const REPLICAS: u8 = 6;

/// The exponents to test.
#[derive(Debug)]
pub(super) struct Work {
    exponents: Vec<u64>,
}

/// What the results say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Exponents reported as prime, in the order of the list.
    pub primes: Vec<u64>,
    /// Those of the list that are known to be.
    pub known: Vec<u64>,
}

impl Work {
    /// Reads the list.
    ///
    /// # Errors
    /// The first line that is no exponent.
    pub(super) fn read(args: &DemoArgs) -> Result<Self, Failure> {
        let text = match &args.input {
            None => EXPONENTS.to_owned(),
            Some(path) => read_text(path)?,
        };
        let lines = text.lines().map(str::trim).zip(1_u32..).filter(|(line, _)| !line.is_empty());
        let exponents: Result<Vec<u64>, Failure> = lines
            .map(|(line, at)| {
                line.parse().map_err(|_| {
                    let shown: String = line.chars().take(40).collect();
                    let text = format!("input line {at} is `{shown}`; expected a prime exponent");
                    Failure::new(Code::Usage, text)
                })
            })
            .collect();
        let exponents = exponents?;
        if exponents.is_empty() || exponents.len() > TASKS_MAX as usize {
            let text =
                format!("input has {} exponents; expected 1 to {TASKS_MAX}", exponents.len());
            return Err(Failure::new(Code::Usage, text));
        }
        Ok(Self { exponents })
    }

    /// How many tasks.
    pub(super) fn tasks(&self) -> u32 {
        u32::try_from(self.exponents.len()).expect("at most 2^16 exponents")
    }

    /// The module's digest.
    pub(super) fn app(&self) -> Digest {
        Digest::of(MODULE)
    }

    /// The bag's bytes.
    pub(super) fn bag(&self) -> Vec<u8> {
        let task = |exponent: &u64| Task { args: vec![exponent.to_string()], ..Task::default() };
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app: self.app(),
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: Vec::new(),
            tasks: self.exponents.iter().map(task).collect(),
        };
        bag.to_bytes()
    }

    /// The order, with fresh salt.
    pub(super) fn order(
        &self,
        pool: &PoolInfo,
        requester: Address,
        bag: &[u8],
        trust: u32,
    ) -> Result<ReqOrder, Failure> {
        let salt = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
        let deadline = pool.unix_s + DEADLINE_S;
        Ok(ReqOrder {
            requester,
            app: self.app().word(),
            params: Digest::of(bag).word(),
            pool_restrict: pool.pool.restrict(),
            max_unit_price: pool.unit_price.0,
            tasks: self.tasks(),
            trust,
            replicas: REPLICAS,
            max_task_time: 600,
            expiry: deadline,
            deadline,
            salt: B256::new(salt),
            ..ReqOrder::default()
        })
    }

    /// Reads the results back from the folder they were written to.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub(super) fn found(&self, dir: &Path) -> Result<Found, Failure> {
        let mut primes = Vec::new();
        for (exponent, idx) in self.exponents.iter().zip(0_u32..) {
            let path = dir.join(directory::result(idx)).join(directory::STDOUT);
            let line = read_text(&path)?;
            if line.trim_end() == format!("{exponent} prime") {
                primes.push(*exponent);
            }
        }
        let known = self.exponents.iter().copied().filter(|p| MERSENNE.contains(p)).collect();
        Ok(Found { primes, known })
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(Code::NotFound, format!("file {}: {error}", path.display()))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Code::Usage, format!("file {} is not text", path.display())))
}
