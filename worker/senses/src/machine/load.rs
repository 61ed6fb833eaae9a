//! How busy everybody else keeps the processors, between two looks.

use std::{fs, path::Path};

/// What was counted at the last look, in ticks of the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    last: Option<Ticks>,
    percent: Option<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Ticks {
    total: u64,
    busy: u64,
    own: u64,
    cores: u64,
}

/// Ticks between two looks that say something: a quarter of a second of four cores.
const LEAST_TICKS: u64 = 100;

impl Load {
    /// Percent of all cores that others took since the look before; none at the first. Looks that follow each
    /// other too fast say what was said before.
    pub(super) fn look(&mut self, proc: &Path, guests: u16) -> Option<u8> {
        let now = ticks(proc)?;
        let Some(last) = self.last else {
            self.last = Some(now);
            return None;
        };
        let total = now.total.saturating_sub(last.total);
        if total < LEAST_TICKS {
            return self.percent;
        }
        let busy = now.busy.saturating_sub(last.busy);
        let guests = total * u64::from(guests) / now.cores.max(1);
        let own = now.own.saturating_sub(last.own) + guests;
        let others = busy.saturating_sub(own) * 100 / total;
        self.last = Some(now);
        self.percent = u8::try_from(others.min(100)).ok();
        self.percent
    }
}

fn ticks(proc: &Path) -> Option<Ticks> {
    let text = fs::read_to_string(proc.join("stat")).ok()?;
    let mut lines = text.lines();
    let all = lines.next()?.strip_prefix("cpu ")?;
    let cores = lines.take_while(|line| line.starts_with("cpu")).count();
    let all: Vec<u64> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what guests take is counted in user already.
    let total: u64 = all.iter().take(8).sum();
    let idle = all.get(3)? + all.get(4).unwrap_or(&0);
    let cores = u64::try_from(cores).unwrap_or(1);
    Some(Ticks { total, busy: total - idle, own: own(proc)?, cores })
}

/// Ticks of this process and of those of its children that have ended.
fn own(proc: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc.join("self/stat")).ok()?;
    // The name may hold anything, so fields count from behind its last bracket: utime is the twelfth.
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().skip(11).take(4).filter_map(|f| f.parse::<u64>().ok()).sum())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn show(proc: &Path, stat: &str, own: u64) {
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::write(proc.join("stat"), stat).unwrap();
        let fields = "S 1 1 1 0 -1 0 0 0 0 0";
        fs::write(proc.join("self/stat"), format!("7 (a) b) {fields} {own} 0 0 0 20 0")).unwrap();
    }

    #[test]
    fn what_is_our_own_is_not_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut load = Load::default();
        show(dir.path(), "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 1\n", 50);
        assert_eq!(load.look(dir.path(), 0), None);
        // 1,000 ticks later: 700 busy, 400 of them ours.
        show(dir.path(), "cpu  800 0 0 1200 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 1\n", 450);
        assert_eq!(load.look(dir.path(), 0), Some(30));
        assert_eq!(load.look(dir.path(), 0), Some(30), "too soon to tell");
        // One container may have one of two cores.
        show(dir.path(), "cpu  1600 0 0 1400 0 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 1\n", 450);
        assert_eq!(load.look(dir.path(), 1), Some(30));
    }
}
