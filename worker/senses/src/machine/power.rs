//! Mains, battery, charge: `/sys/class/power_supply`. Batteries of mice and headsets do not count.

use super::{devices, number};
use quorate_policy::Power;
use std::{fs, path::Path};

/// Where the electricity comes from.
pub(super) fn look(dir: &Path) -> Power {
    let text = |device: &Path, name: &str| {
        fs::read_to_string(device.join(name)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let mut plugged = false;
    let mut batteries = Vec::new();
    for device in devices(dir) {
        let is_machines = text(&device, "scope") != "Device";
        match text(&device, "type").as_str() {
            "Mains" | "USB" | "Wireless" => plugged |= number(&device.join("online")) == Some(1),
            "Battery" if is_machines => {
                batteries.push((text(&device, "status"), number::<u8>(&device.join("capacity"))));
            }
            _ => {}
        }
    }
    let least = batteries.iter().filter_map(|(_, percent)| *percent).min();
    let is = |status: &str| batteries.iter().any(|(found, _)| found == status);
    match (batteries.is_empty(), least) {
        (true, _) => Power::Mains,
        // Some laptops tell of no plug: then the battery's own word counts.
        (false, percent) if is("Discharging") && !plugged => Power::Battery(percent),
        (false, Some(percent)) if percent < 100 && !is("Full") => Power::Charging(percent),
        (false, _) => Power::Mains,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn device(dir: &Path, name: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(dir.join(name)).unwrap();
        for (file, text) in files {
            fs::write(dir.join(name).join(file), format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn laptops_and_desktops() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(look(dir), Power::Mains);
        assert_eq!(look(&dir.join("missing")), Power::Mains);
        let mouse = [("type", "Battery"), ("scope", "Device"), ("status", "Discharging")];
        device(dir, "hidpp_battery_0", &mouse);
        assert_eq!(look(dir), Power::Mains, "a mouse is no laptop");
        device(dir, "AC", &[("type", "Mains"), ("online", "0")]);
        let battery = |status, percent| {
            let files = [("type", "Battery"), ("status", status), ("capacity", percent)];
            device(dir, "BAT0", &files);
        };
        battery("Discharging", "61");
        assert_eq!(look(dir), Power::Battery(Some(61)));
        device(dir, "AC", &[("online", "1")]);
        battery("Charging", "62");
        assert_eq!(look(dir), Power::Charging(62));
        battery("Not charging", "80");
        assert_eq!(look(dir), Power::Charging(80), "kept at 80 by its maker");
        battery("Full", "100");
        assert_eq!(look(dir), Power::Mains);
    }
}
