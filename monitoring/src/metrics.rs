//! The registries: a declaration is a field, so what is declared is registered and what is registered is
//! declared.

pub(crate) mod scheduler;
pub(crate) mod worker;

/// Makes a registry from lines `field: Type(Unit, "name", "help", "label" => VALUES, …) in BUCKETS;`.
macro_rules! metrics {
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
    ($(#[$doc:meta])* $name:ident;
     $($field:ident: $kind:ident($unit:ident, $metric:literal, $help:literal
        $(, $label:literal => $values:expr)*) $(in $buckets:expr)?;)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            registry: prometheus::Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl $name {
            /// Every declaration.
            pub const FAMILIES: &'static [crate::family::Family] = &[$(crate::family::Family {
                name: $metric,
                help: $help,
                kind: <$kind as crate::family::Make>::KIND,
                unit: crate::family::Unit::$unit,
                labels: &[$(crate::family::Label { name: $label, values: $values }),*],
                buckets: metrics!(@buckets $($buckets)?),
            }),*];

            /// Registers everything.
            pub fn new() -> Self {
                let registry = prometheus::Registry::new();
                let mut families = Self::FAMILIES.iter();
                $(let family = families.next().expect("one for each field");
                let $field = <$kind as crate::family::Make>::make(family, &registry);)*
                let metrics = Self { registry, $($field),* };
                metrics.about_the_process();
                metrics
            }

            /// The exposition text.
            pub fn text(&self) -> String {
                use prometheus::Encoder as _;
                let mut bytes = Vec::new();
                let encoded =
                    prometheus::TextEncoder::new().encode(&self.registry.gather(), &mut bytes);
                encoded.expect("gathered metrics always encode");
                String::from_utf8(bytes).expect("the exposition format is text")
            }

            /// What every program has: its version, and what the system says of its process.
            fn about_the_process(&self) {
                self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
                #[cfg(target_os = "linux")]
                {
                    let process = prometheus::process_collector::ProcessCollector::for_self();
                    let registered = self.registry.register(Box::new(process));
                    registered.expect("no family of ours is named process_*");
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}
use metrics;

/// The one value of the label `version`.
pub(crate) const VERSION: &[&str] = &[env!("CARGO_PKG_VERSION")];

#[cfg(test)]
mod tests {
    use crate::{
        SchedulerMetrics, WorkerMetrics,
        family::{Family, Kind, Unit},
    };

    fn all() -> impl Iterator<Item = &'static Family> {
        SchedulerMetrics::FAMILIES.iter().chain(WorkerMetrics::FAMILIES)
    }

    #[test]
    fn every_name_follows_the_convention() {
        for family in all() {
            let name = family.name;
            assert!(name.starts_with("quorate_"), "{name}");
            assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let base = name.trim_end_matches("_total");
            let ending = match family.unit {
                Unit::Count | Unit::Gas => "",
                Unit::Seconds => "_seconds",
                Unit::Bytes => "_bytes",
                Unit::Tokens => "_tokens",
                Unit::Coins => "_coins",
                Unit::Block => "_block",
                Unit::UnixSeconds => "_timestamp_seconds",
                Unit::Info => "_info",
            };
            assert!(base.ends_with(ending), "{name} counts in {:?}", family.unit);
            assert!(family.help.ends_with('.'), "{name}: help is a sentence");
        }
    }

    #[test]
    fn histograms_have_few_rising_buckets() {
        for family in all().filter(|family| family.kind == Kind::Histogram) {
            let buckets = family.buckets;
            assert!((1..=12).contains(&buckets.len()), "{}: {}", family.name, buckets.len());
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]), "{}", family.name);
        }
    }

    #[test]
    fn every_declared_series_is_there_from_the_start() {
        let metrics = SchedulerMetrics::new();
        let text = metrics.text();
        let count = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        let declared: usize = SchedulerMetrics::FAMILIES.iter().map(Family::series).sum();
        assert_eq!(count("quorate_"), declared);
        assert!(count("process_") >= 5 || !cfg!(target_os = "linux"), "{text}");
        assert!(declared < 1_000, "{declared} series are more than a screen needs");
    }
}
