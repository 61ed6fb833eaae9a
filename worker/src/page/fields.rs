//! How each key of the configuration is shown and changed: its group, its name for people, its kind of field. What
//! a key means and why its default is one is told in `cli/keys.rs`, and nowhere else.

/// What is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Yes or no.
    Switch,
    /// A whole number in a unit; a slider beside it up to the second number.
    Number { least: u64, slider: u64, unit: &'static str },
    /// An amount of tokens.
    Amount,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Anything.
    Text,
    /// Not changed here: it names a file, a socket, another machine, or where money goes. Whoever stole this
    /// browser's cookie must not be able to turn those.
    Fixed,
}

/// Key, name for people, kind.
pub(super) type Field = (&'static str, &'static str, Kind);

const fn number(least: u64, slider: u64, unit: &'static str) -> Kind {
    Kind::Number { least, slider, unit }
}

const fn percent(least: u64) -> Kind {
    number(least, 100, "%")
}

const MUCH: [Field; 10] = [
    ("slots", "Tasks at once", number(0, 64, "tasks")),
    ("cores.in_use_percent", "Tasks while you use the computer", percent(0)),
    ("cpu.percent", "Share of a core each task takes", percent(1)),
    ("load.limit_percent", "Rest when others take more", percent(0)),
    ("memory_mib", "Memory for all tasks", number(0, 65_536, "MiB")),
    ("memory.in_use_percent", "Memory while you use the computer", percent(0)),
    ("memory.idle_percent", "Memory while nobody is there", percent(0)),
    ("cache_mib", "Disk for the cache", number(64, 65_536, "MiB")),
    ("disk.keep_free_mib", "Disk to keep free", number(0, 65_536, "MiB")),
    ("heat.limit_c", "Rest when hotter", number(0, 120, "°C")),
];

const WHEN: [Field; 7] = [
    ("dedicated", "Nobody else uses this machine", Kind::Switch),
    ("idle.only", "Only while nobody is there", Kind::Switch),
    ("idle.minutes", "Nobody is there after", number(1, 120, "min")),
    ("battery.run", "Work on battery", Kind::Switch),
    ("battery.charge_percent", "Wait until charged to", percent(0)),
    ("screen.pause", "Rest while a window fills the screen", Kind::Switch),
    ("programs.pause", "Rest while one of these runs", Kind::Text),
];

const NETWORK: [Field; 4] = [
    ("network.metered", "Work over a line paid by the byte", Kind::Switch),
    ("network.down_kib_s", "Fetch, at most", number(0, 102_400, "KiB/s")),
    ("network.up_kib_s", "Bring, at most", number(0, 102_400, "KiB/s")),
    ("network.month_mib", "In a month, at most", number(0, 102_400, "MiB")),
];

const WORK: [Field; 9] = [
    ("price", "Least pay of a task", Kind::Amount),
    ("docker.price", "Least pay of a task in a container", Kind::Amount),
    ("docker.use", "Containers", Kind::Choice(&["off", "auto", "require"])),
    ("packs.use", "Runtime packs, as Python's", Kind::Choice(&["on", "off"])),
    ("energy.price_kwh", "What a kilowatt hour costs you", Kind::Amount),
    ("energy.watts", "What a busy core takes", number(0, 100, "W")),
    ("claim.when", "Claim by itself from", Kind::Amount),
    ("claim.coin_price", "What a coin of the chain costs", Kind::Amount),
    ("name", "Name of this worker", Kind::Text),
];

const UPDATES: [Field; 3] = [
    ("update.mode", "New versions", Kind::Choice(&["off", "tell", "stage", "apply"])),
    ("update.every_hours", "Look every", number(1, 168, "h")),
    ("update.patience_s", "A new version must be up within", number(1, 3_600, "s")),
];

/// Groups as they stand on the page. Keys that are in none are shown as fixed ones; `schedule` has a page of its
/// own.
pub(super) const GROUPS: [(&str, &[Field]); 5] = [
    ("How much of the computer", &MUCH),
    ("When", &WHEN),
    ("Network", &NETWORK),
    ("Work and money", &WORK),
    ("Updates", &UPDATES),
];

/// The key that has a page of its own.
pub(super) const SCHEDULE: &str = "schedule";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::KEYS;

    #[test]
    fn every_field_is_a_key_and_no_key_has_two() {
        let mut seen = Vec::new();
        for (key, ..) in GROUPS.iter().flat_map(|(_, fields)| *fields) {
            assert!(KEYS.iter().any(|known| known.name == *key), "{key} is no key");
            assert!(!seen.contains(key), "{key} has two fields");
            seen.push(key);
        }
    }

    #[test]
    fn what_turns_money_or_names_a_file_is_not_changed_here() {
        let fields: Vec<&str> =
            GROUPS.iter().flat_map(|(_, fields)| *fields).map(|(key, ..)| *key).collect();
        let guarded = ["invite", "payout", "owner", "api", "chain.url", "password_file"];
        for key in guarded.into_iter().chain([
            "owner_key_file",
            "escape.key_file",
            "page.listen",
            "machines.listen",
        ]) {
            assert!(!fields.contains(&key), "{key} can be changed from the page");
        }
    }
}
