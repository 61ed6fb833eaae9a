//! The bag: what every task of an order is given. A JSON blob, named by its sha256 in the order's
//! `params`, so that requester, scheduler, worker and a later checker read the same bytes.
//! Templates (`{line}`) are the client's: a bag holds finished arguments.

use crate::{
    digest::Digest,
    ids::TASKS_MAX,
    manifest, pack,
    sealed::{READERS_MAX, Reader},
};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// Largest bag, in bytes: 65,536 tasks with 250 bytes of arguments each.
pub const BAG_BYTES_MAX: usize = 16 << 20;
/// Arguments of one task, in bytes, separators included: what a small shell command line takes.
pub const ARGS_BYTES_MAX: usize = 16 << 10;
/// Standard input held in the bag itself, in bytes; a larger one is an input file.
pub const STDIN_BYTES_MAX: usize = 64 << 10;
/// Input files of one bag, shared and per task: each is one fetch and one open file.
pub const FILES_MAX: usize = 256;
/// Names in `with`: each costs a worker seconds before the first task.
pub const WITH_MAX: usize = 16;
/// What a program's digest begins with, so that it is no other document's.
const PROGRAM: &str = "quorate.program/v1";
/// The only schema there is.
pub const SCHEMA: &str = "quorate.bag/v1";

/// Every task of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bag {
    /// [`SCHEMA`].
    pub schema: String,
    /// sha256 of the WASM module, of a runtime pack's document, or of the image's archive.
    pub app: Digest,
    /// What runs it.
    #[serde(default, skip_serializing_if = "AppKind::is_wasm")]
    pub kind: AppKind,
    /// What a runtime pack imports before a task begins, sorted; each name is `import`ed once on a
    /// worker and every task starts behind it. Nothing for a module or an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// What the tasks' arguments were made from, before their own values were filled in: with the image it
    /// is what a pool calibrates. Nothing for a module.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Who can read the files that are sealed, and gets its tasks; nobody: anybody does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
    /// Which of `files` is the dataset, by its path, for applications that ask for it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What a task may use.
    pub limits: Limits,
    /// Input files that every task sees under `/in`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<InputFile>,
    /// The tasks, in order.
    pub tasks: Vec<Task>,
}

/// What an application is, and so what runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// A WASM module, for WASI preview 1.
    #[default]
    Wasm,
    /// A container image; inputs are under `/in`, results are what it leaves under `/out`.
    Docker,
    /// The same, for an application written for iExec: `IEXEC_IN`, `IEXEC_OUT`, `computed.json`.
    Iexec,
}

impl AppKind {
    /// The bit of a `tag` that says: containers. The last byte's bits are those of enclaves.
    const CONTAINERS: B256 = {
        let mut bits = [0; 32];
        bits[30] = 1;
        B256::new(bits)
    };

    /// Whether it is a WASM module, as a bag without a word of it means.
    pub fn is_wasm(&self) -> bool {
        *self == Self::Wasm
    }

    /// What an order's `tag` must have.
    pub fn tag(self) -> B256 {
        match self {
            Self::Wasm => B256::ZERO,
            Self::Docker | Self::Iexec => Self::CONTAINERS,
        }
    }

    /// What a pool has that takes every kind: whether somebody there runs it is another matter.
    pub fn all_tags() -> B256 {
        Self::CONTAINERS
    }

    /// Whether the work of an order, by its `tag`, is for containers.
    pub fn is_containers(tag: B256) -> bool {
        !(tag & Self::CONTAINERS).is_zero()
    }
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// `argv[1..]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Standard input, at most [`STDIN_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdin: String,
    /// Input files of this task alone, under `/in`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<InputFile>,
}

/// A file under `/in`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Path below `/in`.
    pub path: String,
    /// sha256 of its bytes, as they travel.
    pub digest: Digest,
    /// Whether they are sealed to the bag's readers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
}

/// What one task may use. Deterministic: every worker enforces the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// WASM fuel, about one unit per instruction; 1 to [`Limits::FUEL_MAX`].
    pub fuel: u64,
    /// Linear memory in bytes; 64 KiB to [`Limits::MEMORY_MAX`].
    pub memory_bytes: u64,
    /// Bytes written to stdout and `/out` together; up to [`Limits::OUTPUT_MAX`].
    pub output_bytes: u64,
}

impl Limits {
    /// About a day of one core.
    pub const FUEL_MAX: u64 = 1 << 47;
    /// What a 32-bit module can address.
    pub const MEMORY_MAX: u64 = 4 << 30;
    /// What a volunteer's uplink moves in a few minutes.
    pub const OUTPUT_MAX: u64 = 256 << 20;
}

impl Default for Limits {
    /// Ten minutes of one core or so, 256 MiB, 16 MiB: an ordinary small job.
    fn default() -> Self {
        Self { fuel: 1_000_000_000_000, memory_bytes: 256 << 20, output_bytes: 16 << 20 }
    }
}

/// Why a bag is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BagError {
    /// The blob is too large.
    #[error("bag has {0} bytes; expected at most {BAG_BYTES_MAX}: split the order")]
    TooLarge(usize),
    /// Not JSON of this shape.
    #[error("bag is not a `{SCHEMA}` document: {0}")]
    Malformed(String),
    /// A value is out of range.
    #[error("bag field `{field}` is {value}; expected {expected}")]
    Field {
        /// Its path.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
}

impl Bag {
    /// Reads and checks a bag.
    ///
    /// # Errors
    /// [`BagError`] naming field, value and expectation.
    pub fn parse(bytes: &[u8]) -> Result<Self, BagError> {
        if bytes.len() > BAG_BYTES_MAX {
            return Err(BagError::TooLarge(bytes.len()));
        }
        let bag: Self = serde_json::from_slice(bytes)
            .map_err(|error| BagError::Malformed(error.to_string()))?;
        bag.check()?;
        Ok(bag)
    }

    /// The bag as its blob.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a bag holds nothing JSON cannot say")
    }

    fn check_readers(&self) -> Result<(), BagError> {
        let readers = self.readers.len();
        if readers > READERS_MAX {
            return Err(field("readers", readers, format!("at most {READERS_MAX}")));
        }
        let mut files = self.files.iter().chain(self.tasks.iter().flat_map(|task| &task.files));
        match files.find(|file| file.sealed && readers == 0) {
            Some(file) => Err(field("readers", 0, format!("who can read {:?}", file.path))),
            None => Ok(()),
        }
    }

    /// What a container's determinism hangs on, as far as its requester tells: the image, how it is run,
    /// the command, and who answers for it, its seller or the requester. All orders of one program share
    /// one calibration. Nothing for a module: its engine sees to it.
    pub fn program(&self, seller: Address) -> Option<Digest> {
        if self.kind.is_wasm() {
            return None;
        }
        let said = (PROGRAM, seller, self.app, self.kind, &self.command);
        let bytes = serde_json::to_vec(&said).expect("strings and digests are JSON");
        Some(Digest::of(&bytes))
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`BagError::Field`] for the first value out of range.
    pub fn check(&self) -> Result<(), BagError> {
        if self.schema != SCHEMA {
            return Err(field("schema", &self.schema, SCHEMA));
        }
        let named = self.dataset.as_ref();
        if let Some(path) = named.filter(|path| self.files.iter().all(|file| file.path != **path)) {
            return Err(field("dataset", path, "the path of one of `files`"));
        }
        self.limits.check()?;
        pack::check_names("with", &self.with, WITH_MAX)
            .map_err(|(name, value, expected)| field(&name, value, expected))?;
        let tasks = self.tasks.len();
        if tasks == 0 || tasks > TASKS_MAX as usize {
            return Err(field("tasks", tasks, format!("1 to {TASKS_MAX} tasks")));
        }
        let bytes: usize = self.command.iter().map(|arg| arg.len() + 1).sum();
        if bytes > ARGS_BYTES_MAX {
            return Err(field("command", bytes, format!("at most {ARGS_BYTES_MAX} bytes")));
        }
        self.check_readers()?;
        check_files("files", &self.files)?;
        for (idx, task) in self.tasks.iter().enumerate() {
            task.check(idx)?;
            if self.files.len() + task.files.len() > FILES_MAX {
                let name = format!("tasks[{idx}].files");
                return Err(field(&name, task.files.len(), format!("at most {FILES_MAX} in all")));
            }
        }
        Ok(())
    }
}

impl Task {
    fn check(&self, idx: usize) -> Result<(), BagError> {
        let bytes: usize = self.args.iter().map(|arg| arg.len() + 1).sum();
        if bytes > ARGS_BYTES_MAX {
            let name = format!("tasks[{idx}].args");
            return Err(field(&name, bytes, format!("at most {ARGS_BYTES_MAX} bytes")));
        }
        if let Some(arg) = self.args.iter().find(|arg| arg.contains('\0')) {
            return Err(field(&format!("tasks[{idx}].args"), format!("{arg:?}"), "no NUL byte"));
        }
        if self.stdin.len() > STDIN_BYTES_MAX {
            let name = format!("tasks[{idx}].stdin");
            let expected = format!("at most {STDIN_BYTES_MAX} bytes; use an input file");
            return Err(field(&name, self.stdin.len(), expected));
        }
        check_files(&format!("tasks[{idx}].files"), &self.files)
    }
}

impl Limits {
    fn check(&self) -> Result<(), BagError> {
        let ranges = [
            ("limits.fuel", self.fuel, 1, Self::FUEL_MAX),
            ("limits.memory_bytes", self.memory_bytes, 64 << 10, Self::MEMORY_MAX),
            ("limits.output_bytes", self.output_bytes, 0, Self::OUTPUT_MAX),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(field(name, value, format!("{least} to {most}")));
            }
        }
        Ok(())
    }
}

fn check_files(name: &str, files: &[InputFile]) -> Result<(), BagError> {
    if files.len() > FILES_MAX {
        return Err(field(name, files.len(), format!("at most {FILES_MAX} files")));
    }
    for (at, file) in files.iter().enumerate() {
        if manifest::check_path(&file.path).is_err() {
            let expected = "a relative path without control characters, `.` or `..`";
            return Err(field(&format!("{name}[{at}].path"), format!("{:?}", file.path), expected));
        }
    }
    Ok(())
}

fn field(name: &str, value: impl ToString, expected: impl ToString) -> BagError {
    BagError::Field { field: name.into(), value: value.to_string(), expected: expected.to_string() }
}
