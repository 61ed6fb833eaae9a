//! What files say of the machine: load, memory, power, heat, programs, disk. Folders are parameters, so that a
//! test can show a laptop where there is none.

mod heat;
mod load;
mod power;

use load::Load;
use quorate_policy::Sensed;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest name of a program as the kernel keeps it.
const COMM_BYTES: usize = 15;

/// Where files are looked for.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys/class`.
    pub class: PathBuf,
}

/// Looks at the machine, once per call.
#[derive(Debug)]
pub struct Machine {
    roots: Roots,
    load: Load,
    /// Where the worker's folder is.
    data_dir: PathBuf,
    /// Programs that are looked for, as the kernel keeps their names.
    programs: Vec<String>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), class: "/sys/class".into() }
    }
}

impl Machine {
    /// Looks at the disk of `data_dir`, and for `programs` by name.
    pub fn new(roots: Roots, data_dir: PathBuf, programs: &[String]) -> Self {
        let mut machine = Self { roots, load: Load::default(), data_dir, programs: Vec::new() };
        machine.look_for(programs);
        machine
    }

    /// Looks for other programs from now on.
    pub fn look_for(&mut self, programs: &[String]) {
        self.programs = programs.iter().map(|name| comm(name)).collect();
    }

    /// Everything files say. `guests` are containers that run: each is ours, with a core at most, though the
    /// kernel does not count it for us.
    pub fn look(&mut self, guests: u16) -> Sensed {
        let Roots { proc, class } = &self.roots;
        Sensed {
            other_load_percent: self.load.look(proc, guests),
            memory_bytes: memory(proc),
            disk_free_bytes: disk_free(&self.data_dir),
            power: power::look(&class.join("power_supply")),
            heat_c: heat::look(&class.join("thermal"), &class.join("hwmon")),
            program: running(proc, &self.programs),
            ..Sensed::default()
        }
    }
}

fn comm(name: &str) -> String {
    let end = (0..=name.len().min(COMM_BYTES)).rev().find(|at| name.is_char_boundary(*at));
    name[..end.unwrap_or(0)].to_owned()
}

/// `MemTotal` in bytes.
fn memory(proc: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc.join("meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

fn disk_free(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// The first of `programs` that runs. Nothing is read while none is looked for.
fn running(proc: &Path, programs: &[String]) -> Option<String> {
    if programs.is_empty() {
        return None;
    }
    let entries = fs::read_dir(proc).ok()?;
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_process)).find_map(
        |entry| {
            let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
            programs.iter().find(|name| comm.trim_end() == name.as_str()).cloned()
        },
    )
}

/// A small file with a number in it.
fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Folders within a folder, as devices lie there. None where it is missing.
fn devices(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}
