//! What a metric is: its declaration, and the types that fields of the registries have. A label's values
//! are a closed list and every combination exists from the start, so that rates work from the first event.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, Opts, Registry, core::Collector};

/// What a metric counts in. The name's ending says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Tokens of the pool's contract: whole ones, for people. The ledger counts in units of 10^-18.
    Tokens,
    /// Coins of the chain, which pay for gas: whole ones.
    Coins,
    /// Gas.
    Gas,
    /// Height of a block.
    Block,
    /// Unix seconds.
    UnixSeconds,
    /// Always 1; what matters are the labels.
    Info,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How observations are spread.
    Histogram,
}

/// A label, and every value it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

/// A metric's declaration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [Label],
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

impl Family {
    /// Series it costs in Prometheus.
    pub fn series(&self) -> usize {
        let combinations: usize = self.labels.iter().map(|label| label.values.len()).product();
        let each = if self.kind == Kind::Histogram { self.buckets.len() + 3 } else { 1 };
        combinations * each
    }
}

/// One child per combination of label values.
#[derive(Clone, Debug)]
pub struct Labelled<T> {
    labels: &'static [Label],
    children: Vec<T>,
}

/// Counters by label.
pub type Counters = Labelled<IntCounter>;
/// Gauges by label.
pub type Gauges = Labelled<Gauge>;
/// Histograms by label.
pub type Timings = Labelled<Histogram>;

impl Gauges {
    /// Sets every child of a metric with one label: to its number, or to 0 where there is none.
    pub fn set_all(&self, numbers: &std::collections::BTreeMap<&'static str, u64>) {
        debug_assert_eq!(self.labels.len(), 1, "one label to count by");
        for (value, child) in self.labels[0].values.iter().zip(&self.children) {
            child.set(numbers.get(value).copied().unwrap_or(0) as f64);
        }
        let is_unknown = |(word, _): &(&&str, &u64)| !self.labels[0].values.contains(word);
        let unknown: u64 = numbers.iter().filter(is_unknown).map(|(_, number)| number).sum();
        if self.labels[0].values.contains(&"other") {
            self.with_label_values(&["other"]).set(unknown as f64);
        }
        debug_assert!(unknown == 0, "{numbers:?} has words that are not declared in monitoring");
    }
}

impl<T> Labelled<T> {
    /// The children of a metric with one label, by its value.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &T)> {
        debug_assert_eq!(self.labels.len(), 1, "one label to go by");
        self.labels[0].values.iter().copied().zip(&self.children)
    }

    /// The child with these values. One that is not declared counts as the last declared one, which is
    /// `other` wherever strangers choose; that it is not declared is a mistake of ours, found by tests.
    pub fn with_label_values(&self, values: &[&str]) -> &T {
        debug_assert_eq!(
            values.len(),
            self.labels.len(),
            "one value for each of {:?}",
            self.labels
        );
        let mut at = 0;
        for (label, value) in self.labels.iter().zip(values) {
            let place = label.values.iter().position(|known| known == value);
            debug_assert!(
                place.is_some() || label.values.last() == Some(&"other"),
                "label `{}` has no value `{value}`; expected one of {:?}: declare it in monitoring",
                label.name,
                label.values
            );
            at = at * label.values.len() + place.unwrap_or(label.values.len() - 1);
        }
        &self.children[at]
    }
}

/// What can be made from a declaration. Used by `metrics!` only.
pub(crate) trait Make: Sized {
    const KIND: Kind;
    fn make(family: &Family, registry: &Registry) -> Self;
}

fn register<T: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> T {
    let metric = metric.expect("names, labels and buckets are valid constants");
    registry.register(Box::new(metric.clone())).expect("each name and label set is declared once");
    metric
}

impl Make for IntCounter {
    const KIND: Kind = Kind::Counter;
    fn make(family: &Family, registry: &Registry) -> Self {
        register(registry, Self::new(family.name, family.help))
    }
}

impl Make for Gauge {
    const KIND: Kind = Kind::Gauge;
    fn make(family: &Family, registry: &Registry) -> Self {
        register(registry, Self::new(family.name, family.help))
    }
}

impl Make for Histogram {
    const KIND: Kind = Kind::Histogram;
    fn make(family: &Family, registry: &Registry) -> Self {
        register(registry, Self::with_opts(options(family)))
    }
}

fn options(family: &Family) -> HistogramOpts {
    HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec())
}

impl Make for Counters {
    const KIND: Kind = Kind::Counter;
    fn make(family: &Family, registry: &Registry) -> Self {
        let opts = Opts::new(family.name, family.help);
        let all = register(registry, prometheus::IntCounterVec::new(opts, &names(family)));
        children(family, |values| all.with_label_values(values))
    }
}

impl Make for Gauges {
    const KIND: Kind = Kind::Gauge;
    fn make(family: &Family, registry: &Registry) -> Self {
        let opts = Opts::new(family.name, family.help);
        let all = register(registry, prometheus::GaugeVec::new(opts, &names(family)));
        children(family, |values| all.with_label_values(values))
    }
}

impl Make for Timings {
    const KIND: Kind = Kind::Histogram;
    fn make(family: &Family, registry: &Registry) -> Self {
        let all = prometheus::HistogramVec::new(options(family), &names(family));
        let all = register(registry, all);
        children(family, |values| all.with_label_values(values))
    }
}

fn names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}

/// A child for each combination, the last label's values changing fastest.
fn children<T>(family: &Family, child: impl Fn(&[&'static str]) -> T) -> Labelled<T> {
    let mut combinations: Vec<Vec<&'static str>> = vec![Vec::new()];
    for label in family.labels {
        let longer = combinations.iter().flat_map(|values| {
            label.values.iter().map(move |value| [values.as_slice(), &[*value]].concat())
        });
        combinations = longer.collect();
    }
    let children = combinations.iter().map(|values| child(values)).collect();
    Labelled { labels: family.labels, children }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family = Family {
        name: "quorate_tests_total",
        help: "For this test.",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: &[
            Label { name: "a", values: &["x", "y"] },
            Label { name: "b", values: &["1", "2", "other"] },
        ],
        buckets: &[],
    };

    #[test]
    fn every_combination_exists_and_strangers_are_others() {
        let registry = Registry::new();
        let counters = Counters::make(&FAMILY, &registry);
        counters.with_label_values(&["y", "2"]).inc();
        counters.with_label_values(&["y", "never heard of"]).inc_by(3);
        assert_eq!(registry.gather()[0].get_metric().len(), FAMILY.series());
        assert_eq!(counters.with_label_values(&["y", "2"]).get(), 1);
        assert_eq!(counters.with_label_values(&["y", "other"]).get(), 3);
        assert_eq!(counters.with_label_values(&["x", "other"]).get(), 0);
    }
}
