//! When each companion was seen last, and where: one that moved to another address is found again where it asked
//! from. Losing the file loses nothing else.

use crate::{
    book::MACHINES_MAX,
    lock::{lock, replace},
};
use quorate_common::B256;
use serde::{Deserialize, Serialize};
use std::{fs, io, net::IpAddr, path::Path};

/// A sighting is not written down again for so long where nothing else has changed: a page that is looked at should
/// not wear the disk.
const STALE_MS: u64 = 60_000;

/// A companion, the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Who.
    pub key: B256,
    /// When, in unix milliseconds, to the minute.
    pub at_unix_ms: u64,
    /// From where it was heard, or where it answered.
    pub ip: IpAddr,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    sights: Vec<Sight>,
}

impl Seen {
    /// Reads it; a missing or damaged one has seen nobody.
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The last time.
    pub fn of(&self, key: B256) -> Option<&Sight> {
        self.sights.iter().find(|sight| sight.key == key)
    }

    /// Writes sightings down, those that say something new.
    ///
    /// # Errors
    /// The disk failed.
    pub fn note(path: &Path, sights: &[Sight]) -> io::Result<()> {
        let is_new = |seen: &Self, sight: &Sight| match seen.of(sight.key) {
            Some(known) => {
                known.ip != sight.ip || sight.at_unix_ms.abs_diff(known.at_unix_ms) >= STALE_MS
            }
            None => true,
        };
        let seen = Self::read(path);
        if !sights.iter().any(|sight| is_new(&seen, sight)) {
            return Ok(());
        }
        let _lock = lock(path)?;
        let mut seen = Self::read(path);
        for sight in sights {
            seen.sights.retain(|known| known.key != sight.key);
            seen.sights.insert(0, *sight);
        }
        // The newest first: what falls off is of machines that were removed.
        seen.sights.truncate(MACHINES_MAX);
        replace(path, &serde_json::to_vec(&seen)?, false)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn sight(n: u8, at_unix_ms: u64, last: u8) -> Sight {
        let ip = Ipv4Addr::new(10, 0, 0, last).into();
        Sight { key: B256::repeat_byte(n), at_unix_ms, ip }
    }

    #[test]
    fn a_minute_and_an_address_are_new_and_a_moment_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen.json");
        let at = |n| Seen::read(&path).of(B256::repeat_byte(n)).copied();
        Seen::note(&path, &[sight(1, 0, 1), sight(2, 0, 2)]).unwrap();
        Seen::note(&path, &[sight(1, 59_999, 1)]).unwrap();
        assert_eq!(at(1), Some(sight(1, 0, 1)));
        Seen::note(&path, &[sight(1, 60_000, 1)]).unwrap();
        Seen::note(&path, &[sight(2, 1, 3)]).unwrap();
        assert_eq!((at(1), at(2), at(3)), (Some(sight(1, 60_000, 1)), Some(sight(2, 1, 3)), None));
        fs::write(&path, "{").unwrap();
        assert_eq!(at(1), None);
        Seen::note(&path, &[sight(1, 7, 1)]).unwrap();
        assert_eq!(at(1), Some(sight(1, 7, 1)));
    }
}
