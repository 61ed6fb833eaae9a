//! The hottest of processor and board: thermal zones, and the processor's own sensors of hwmon.

use super::{devices, number};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Chips that measure a processor. Others measure disks and radios, whose heat is not ours.
const CHIPS: [&str; 6] =
    ["coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "via_cputemp"];
/// Zones that measure a processor or the case; batteries and radios do not count.
const ZONES: [&str; 7] = ["x86_pkg_temp", "cpu", "soc", "acpitz", "package", "TCPU", "bigcore"];
/// Degrees that no working sensor shows: firmware says so when it knows nothing.
const SENSIBLE: std::ops::RangeInclusive<i64> = 1..=125;

/// Degrees Celsius; none where nothing measures.
pub(super) fn look(thermal: &Path, hwmon: &Path) -> Option<u8> {
    let zones = devices(thermal).into_iter().filter(|zone| is_zone(zone)).map(|z| z.join("temp"));
    let chips = devices(hwmon).into_iter().filter(|chip| is_chip(chip)).flat_map(|c| inputs(&c));
    let degrees =
        zones.chain(chips).filter_map(|path| number::<i64>(&path)).map(|milli| milli / 1_000);
    degrees.filter(|degrees| SENSIBLE.contains(degrees)).max().and_then(|d| u8::try_from(d).ok())
}

fn is_zone(zone: &Path) -> bool {
    let Ok(kind) = fs::read_to_string(zone.join("type")) else { return false };
    ZONES.iter().any(|name| kind.trim().starts_with(name))
}

fn is_chip(chip: &Path) -> bool {
    fs::read_to_string(chip.join("name")).is_ok_and(|name| CHIPS.contains(&name.trim()))
}

fn inputs(chip: &Path) -> Vec<PathBuf> {
    let is_input = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("temp") && name.ends_with("_input")
    };
    devices(chip).into_iter().filter(is_input).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (thermal, hwmon) = (dir.path().join("thermal"), dir.path().join("hwmon"));
        assert_eq!(look(&thermal, &hwmon), None);
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(thermal.join("thermal_zone0/type"), "x86_pkg_temp\n");
        write(thermal.join("thermal_zone0/temp"), "61000\n");
        write(thermal.join("thermal_zone1/type"), "iwlwifi_1\n");
        write(thermal.join("thermal_zone1/temp"), "99000\n");
        assert_eq!(look(&thermal, &hwmon), Some(61));
        write(hwmon.join("hwmon2/name"), "coretemp\n");
        write(hwmon.join("hwmon2/temp1_input"), "73500\n");
        write(hwmon.join("hwmon2/temp2_input"), "-273000\n");
        write(hwmon.join("hwmon3/name"), "nvme\n");
        write(hwmon.join("hwmon3/temp1_input"), "80000\n");
        assert_eq!(look(&thermal, &hwmon), Some(73));
    }
}
