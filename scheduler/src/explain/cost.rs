//! What the pool costs its operator per day, and what it earns: measured since the scheduler was started and
//! stretched to a day, which is said. Prices of electricity, disks and lines are the operator's to know; here are
//! their amounts.

use super::Told;
use quorate_monitoring::Counters;
use serde::Serialize;

/// Below it a day's figures would be a guess.
const EARLY_S: u64 = 600;
const DAY_S: u128 = 86_400;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Since the scheduler was started.
    pub uptime_s: u64,
    /// Gas by kind of transaction.
    pub gas: Vec<(String, u64)>,
    /// What gas costs now, if the chain answers.
    pub wei_per_gas: Option<u128>,
    /// The gas account's balance.
    pub gas_wei: Option<u128>,
    /// Token units of fees in batches closed since.
    pub fees: u128,
    /// Tasks settled since.
    pub settled: u64,
    /// The bond.
    pub bond: Option<u128>,
    /// Blob bytes that came.
    pub bytes_in: u64,
    /// Blob bytes that went.
    pub bytes_out: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// The same at the start.
    pub blob_bytes_before: u64,
    /// Milliseconds of a core.
    pub cpu_ms: Option<u64>,
    /// Acknowledgements given, ever.
    pub acknowledged: u64,
}

/// What the pool costs a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CostExplanation {
    /// Seconds it was measured for.
    pub measured_s: u64,
    /// Whether that is too short for a day's figures.
    pub early: bool,
    /// Gas a day.
    pub gas_a_day: u128,
    /// Wei a day at the present price.
    pub wei_a_day: Option<String>,
    /// Days until the gas account is empty at that rate; `None`: it is not used, or not known.
    pub gas_days_left: Option<u64>,
    /// Gas since the start, by kind.
    pub gas_by_kind: Vec<(String, u64)>,
    /// Token units of fees a day.
    pub fees_a_day: String,
    /// Tasks settled a day.
    pub tasks_a_day: u128,
    /// Token units that lie in the bond.
    pub bond: Option<String>,
    /// Blob bytes a day, in and out.
    pub traffic_a_day: u128,
    /// Bytes the blobs grow a day.
    pub blobs_grow_a_day: u128,
    /// Thousandths of a core.
    pub core_thousandths: Option<u64>,
}

/// Stretches what was measured to a day.
pub fn explain(usage: &Usage) -> CostExplanation {
    let uptime = u128::from(usage.uptime_s.max(1));
    let a_day = |amount: u128| amount.saturating_mul(DAY_S) / uptime;
    let gas_a_day = a_day(usage.gas.iter().map(|(_, gas)| u128::from(*gas)).sum());
    let wei = usage.wei_per_gas.map(|price| gas_a_day.saturating_mul(price));
    let left = wei.zip(usage.gas_wei).and_then(|(wei, have)| have.checked_div(wei));
    CostExplanation {
        measured_s: usage.uptime_s,
        early: usage.uptime_s < EARLY_S,
        gas_a_day,
        wei_a_day: wei.map(|wei| wei.to_string()),
        gas_days_left: left.map(|days| u64::try_from(days).unwrap_or(u64::MAX)),
        gas_by_kind: usage.gas.iter().filter(|(_, gas)| *gas > 0).cloned().collect(),
        fees_a_day: a_day(usage.fees).to_string(),
        tasks_a_day: a_day(usage.settled.into()),
        bond: usage.bond.map(|bond| bond.to_string()),
        traffic_a_day: a_day(u128::from(usage.bytes_in) + u128::from(usage.bytes_out)),
        blobs_grow_a_day: a_day(usage.blob_bytes.saturating_sub(usage.blob_bytes_before).into()),
        core_thousandths: usage.cpu_ms.map(|ms| ms / usage.uptime_s.max(1)),
    }
}

/// The counts of a counter, by its one label.
pub fn counters(counter: &Counters) -> Vec<(String, u64)> {
    counter.each().map(|(label, counter)| (label.to_owned(), counter.get())).collect()
}

/// Milliseconds of a core this process has used, where the system says so.
pub fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may hold spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    // A hundred ticks a second on every Linux there is.
    Some((user + system) * 10)
}

impl CostExplanation {
    /// In words.
    pub fn told(&self) -> Told {
        use crate::ui::show;
        let wei = self.wei_a_day.as_ref().and_then(|wei| wei.parse().ok()).map(show::coins);
        let fees = show::tokens(self.fees_a_day.parse().unwrap_or_default());
        let gas = wei.unwrap_or_else(|| "an unknown amount".into());
        let early = if self.early { " (a guess: measured for too short)" } else { "" };
        let answer = format!("Gas costs {gas} a day, fees bring {fees} a day{early}.");
        let whole = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let mut facts = vec![
            ("measured for".into(), show::span(self.measured_s)),
            ("gas a day".into(), show::count(whole(self.gas_a_day))),
            ("tasks a day".into(), show::count(whole(self.tasks_a_day))),
            ("traffic a day".into(), show::bytes(whole(self.traffic_a_day))),
            (
                "blobs grow by".into(),
                format!("{} a day", show::bytes(whole(self.blobs_grow_a_day))),
            ),
        ];
        facts.extend(
            self.gas_by_kind.iter().map(|(kind, gas)| (format!("gas: {kind}"), show::count(*gas))),
        );
        let left =
            self.gas_days_left.map(|days| ("gas lasts for".into(), show::plural(days, "day")));
        let core = self.core_thousandths.map(|n| ("a core".into(), show::share(n, 1_000)));
        let bond = self.bond.as_ref().and_then(|bond| bond.parse().ok());
        let bond = bond.map(|bond| ("lies in the bond".into(), show::tokens(bond)));
        facts.extend(left.into_iter().chain(core).chain(bond));
        let low = self.gas_days_left.is_some_and(|days| days < 7) && !self.early;
        let hint = if low { "send gas money to the gas account".to_owned() } else { String::new() };
        Told { answer, hint, tone: if low { "warn" } else { "ok" }.into(), facts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_stretched_to_a_day() {
        let usage = Usage {
            uptime_s: 3_600,
            gas: vec![("commit".into(), 1_000_000), ("idle".into(), 0)],
            wei_per_gas: Some(10_000_000),
            gas_wei: Some(2_400_000_000_000_000),
            fees: 5,
            settled: 100,
            blob_bytes: 3_000,
            blob_bytes_before: 1_000,
            bytes_in: 10,
            bytes_out: 20,
            cpu_ms: Some(360_000),
            ..Usage::default()
        };
        let cost = explain(&usage);
        assert_eq!((cost.gas_a_day, cost.early), (24_000_000, false));
        assert_eq!(cost.wei_a_day.as_deref(), Some("240000000000000"));
        assert_eq!(cost.gas_days_left, Some(10));
        assert_eq!((cost.fees_a_day.as_str(), cost.tasks_a_day), ("120", 2_400));
        assert_eq!((cost.traffic_a_day, cost.blobs_grow_a_day), (720, 48_000));
        assert_eq!(cost.core_thousandths, Some(100), "a tenth of a core");
        assert_eq!(cost.gas_by_kind.len(), 1);
        let told = cost.told();
        assert!(told.answer.contains("0.00024 ETH"), "{}", told.answer);
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let cost = explain(&Usage::default());
        assert!(cost.early && cost.gas_days_left.is_none() && cost.wei_a_day.is_none());
        assert!(cost.told().answer.contains("a guess"));
        assert!(cpu_ms().is_some() || !cfg!(target_os = "linux"));
    }
}
