//! From the configuration's keys to the policy's preferences.

use super::{config::Config, engines::Wish, failure};
use quorate_common::{config::ConfigError, exit::Failure};
use quorate_policy::{Energy, Preferences, prefs::MIB};

/// The slowest that a line may be made, in KiB a second: a piece of 32 KiB, after which QUIC asks for more, then
/// comes every four seconds, and both ends wait thirty.
const RATE_KIB_MIN: u64 = 8;

/// What `dedicated` means: nobody to be considerate of.
const NOBODY: Preferences = Preferences {
    in_use_percent: 100,
    load_percent: 0,
    memory_in_use_percent: 100,
    memory_idle_percent: 100,
    disk_free_bytes: 0,
    metered: true,
    only_idle: false,
    on_battery: true,
    charge_percent: 0,
    full_screen: false,
    ..BASE
};
const BASE: Preferences = Preferences::desktop();

impl Config {
    /// What the owner prefers. Limits that keep the machine whole (heat, schedule, network, price) hold for a
    /// dedicated machine too.
    pub(crate) fn preferences(&self) -> Result<Preferences, Failure> {
        let refused = |error: ConfigError| failure::config(&error);
        let on = |key| self.layers.flag_on(key).map_err(refused);
        let percent = |key| self.percent(key, 0);
        let kind = if on("dedicated")? { NOBODY } else { self.considerate()? };
        let schedule = self.layers.text("schedule").map_err(refused)?;
        let schedule = schedule.parse().map_err(|error| {
            let expected = format!("a schedule: {error}");
            failure::config(&self.layers.refuse("schedule", &expected))
        })?;
        Ok(Preferences {
            slots: self.slots()?,
            cpu_percent: self.percent("cpu.percent", 1)?,
            slot_memory_bytes: self.memory_bytes()? / u64::from(self.slots()?.max(1)),
            down_bytes_s: self.rate("network.down_kib_s")?,
            up_bytes_s: self.rate("network.up_kib_s")?,
            month_bytes: self.number("network.month_mib", 0, 1 << 30)? * MIB,
            idle_ms: self.number("idle.minutes", 1, 600)? * 60_000,
            heat_c: percent("heat.limit_c")?,
            schedule,
            containers: self.docker()? != Wish::Off,
            price: self.price()?,
            energy: self.energy()?,
            ..kind
        })
    }

    /// Programs that make it rest.
    pub(crate) fn programs(&self) -> Result<Vec<String>, Failure> {
        if self.layers.flag_on("dedicated").is_ok_and(|on| on) {
            return Ok(Vec::new());
        }
        self.layers.list("programs.pause").map_err(|error| failure::config(&error))
    }

    /// The keys that are about other people at the machine.
    fn considerate(&self) -> Result<Preferences, Failure> {
        let on = |key| self.layers.flag_on(key).map_err(|error| failure::config(&error));
        let percent = |key| self.percent(key, 0);
        Ok(Preferences {
            in_use_percent: percent("cores.in_use_percent")?,
            load_percent: percent("load.limit_percent")?,
            memory_in_use_percent: percent("memory.in_use_percent")?,
            memory_idle_percent: percent("memory.idle_percent")?,
            disk_free_bytes: self.number("disk.keep_free_mib", 0, 1 << 30)? * MIB,
            metered: on("network.metered")?,
            only_idle: on("idle.only")?,
            on_battery: on("battery.run")?,
            charge_percent: percent("battery.charge_percent")?,
            full_screen: on("screen.pause")?,
            ..BASE
        })
    }

    fn energy(&self) -> Result<Energy, Failure> {
        let watts = self.number("energy.watts", 0, 1_000)?;
        let units_per_kwh = self.amount("energy.price_kwh")?;
        Ok(Energy { units_per_kwh, watts: u16::try_from(watts).unwrap_or(u16::MAX) })
    }

    /// Bytes a second. Less than the least would look to the other end as if nothing moved.
    fn rate(&self, key: &'static str) -> Result<u64, Failure> {
        match self.number(key, 0, 1 << 30)? {
            1..RATE_KIB_MIN => {
                let expected = format!("0 for any, or at least {RATE_KIB_MIN}");
                Err(failure::config(&self.layers.refuse(key, &expected)))
            }
            kib => Ok(kib << 10),
        }
    }

    fn percent(&self, key: &'static str, least: u64) -> Result<u8, Failure> {
        let number = self.number(key, least, if key == "heat.limit_c" { 120 } else { 100 })?;
        Ok(u8::try_from(number).unwrap_or(100))
    }
}
