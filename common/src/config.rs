//! Configuration in layers: defaults < system file < user file < `--config` < environment < flags.
//! Values keep their origin, unknown keys are refused with a suggestion, errors name file, line, key, value
//! and expectation. What the keys mean is each program's `config.rs`.

mod lines;
mod shown;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use toml::Value;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Default,
    /// A file, and the line in it; 0 where that is not known.
    File(PathBuf, usize),
    /// An environment variable.
    Env(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One key a program knows.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted: `quic.listen`.
    pub name: &'static str,
    /// As TOML: `"0.0.0.0:7421"`, `64`, `true`; empty: no default.
    pub default: &'static str,
    /// One sentence: what it is, unit, why the default.
    pub help: &'static str,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was asked for cannot be read.
    #[error("configuration file {path} cannot be read: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Not TOML.
    #[error("configuration file {path} is not TOML: {error}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: String,
    },
    /// No such key.
    #[error("{origin}: unknown key `{key}`{}", suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// Who says it.
        origin: String,
        /// What it says.
        key: String,
        /// The nearest key there is.
        suggestion: Option<&'static str>,
    },
    /// A value of the wrong kind or out of range.
    #[error("{origin}: `{key}` is {value}; expected {expected}")]
    Bad {
        /// Who says it.
        origin: String,
        /// Which key.
        key: String,
        /// What it says.
        value: String,
        /// What it may say.
        expected: String,
    },
    /// A key without default that nobody set.
    #[error("`{key}` is not set; {expected}")]
    Missing {
        /// Which key.
        key: &'static str,
        /// How to set it.
        expected: String,
    },
}

/// Variables that begin with `QUORATE_` and are no keys of any of the three programs: somebody may run them all
/// on one machine, and their tests. All that begin with `QUORATE_TEST_` are none either.
const RESERVED: [&str; 13] = [
    "QUORATE_LOG",
    "QUORATE_CONFIG",
    "QUORATE_PASSWORD",
    "QUORATE_DATA_DIR",
    "QUORATE_GAS_KEY",
    "QUORATE_LAUNCHED",
    "QUORATE_MISBEHAVE",
    "QUORATE_ANVIL",
    "QUORATE_BROWSER",
    "QUORATE_PROMETHEUS",
    "QUORATE_MONITORING_OUT",
    "QUORATE_PYTHON_PACK",
    "QUORATE_PACK_CACHE",
];

/// Every key with its value and where it came from.
#[derive(Clone, Debug)]
pub struct Layers {
    keys: &'static [Key],
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Layers {
    /// Starts with the defaults.
    ///
    /// # Panics
    /// If a default is not TOML: a mistake of the program, caught by its tests.
    pub fn new(keys: &'static [Key]) -> Self {
        let parse = |key: &Key| {
            scalar(key.default).unwrap_or_else(|| panic!("default of `{}` is not TOML", key.name))
        };
        let values = keys
            .iter()
            .filter(|key| !key.default.is_empty())
            .map(|key| (key.name, (parse(key), Origin::Default)))
            .collect();
        Self { keys, values }
    }

    /// Lays a file over the values so far. A missing file is skipped unless `required`.
    ///
    /// # Errors
    /// Unreadable, not TOML, unknown key.
    pub fn file(&mut self, path: &Path, required: bool) -> Result<(), ConfigError> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(());
            }
            Err(error) => {
                let error = error.to_string();
                return Err(ConfigError::Unreadable { path: path.into(), error });
            }
        };
        let table: toml::Table = toml::from_str(&text).map_err(|error| ConfigError::Malformed {
            path: path.into(),
            error: error.to_string(),
        })?;
        let lines = lines::of_keys(&text);
        let origin = |key: &str| Origin::File(path.into(), lines.get(key).copied().unwrap_or(0));
        self.table("", table, &origin)
    }

    /// Lays the environment over the values so far: `QUORATE_QUIC__LISTEN` is `quic.listen`.
    /// Variables in `RESERVED` are not configuration.
    ///
    /// # Errors
    /// Unknown key.
    pub fn env(&mut self, vars: impl Iterator<Item = (String, String)>) -> Result<(), ConfigError> {
        for (name, text) in vars {
            let Some(rest) = name.strip_prefix("QUORATE_") else { continue };
            if RESERVED.contains(&name.as_str()) || rest.starts_with("TEST_") {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            self.set(&key, from_text(&text), Origin::Env(name))?;
        }
        Ok(())
    }

    /// Lays one flag (`--set key=value` or a named one) over the values so far.
    ///
    /// # Errors
    /// Unknown key.
    pub fn flag(&mut self, flag: &str, key: &str, text: &str) -> Result<(), ConfigError> {
        self.set(key, from_text(text), Origin::Flag(flag.into()))
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// Missing, or not text.
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other kind of value is refused")]
    pub fn text(&self, key: &'static str) -> Result<String, ConfigError> {
        match self.get(key)? {
            Value::String(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            other => Err(self.bad(key, other, "a text")),
        }
    }

    /// The text of `key`, or `None` where it is unset or empty.
    pub fn optional(&self, key: &'static str) -> Option<String> {
        self.text(key).ok().filter(|text| !text.is_empty())
    }

    /// The texts of `key`: a TOML array of them, or one text with commas between them. None where it is
    /// unset or empty.
    ///
    /// # Errors
    /// Neither, or with an empty text among others.
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other kind of value is refused")]
    pub fn list(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let Some((value, _)) = self.values.get(key) else { return Ok(Vec::new()) };
        let expected = "a text, texts with commas between them, or an array of texts";
        let texts: Option<Vec<&str>> = match value {
            Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
            Value::String(text) => Some(text.split(',').collect()),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let texts = texts.map(|texts| texts.iter().map(|text| text.trim().to_owned()).collect());
        let whole = |texts: &Vec<String>| texts.iter().all(|text| !text.is_empty());
        texts.filter(whole).ok_or_else(|| self.bad(key, value, expected))
    }

    /// The whole number of `key`, between `least` and `most`.
    ///
    /// # Errors
    /// Missing, not a number, out of range.
    pub fn number(&self, key: &'static str, least: u64, most: u64) -> Result<u64, ConfigError> {
        let value = self.get(key)?;
        let expected = || format!("a whole number from {least} to {most}");
        let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
        number
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.bad(key, value, &expected()))
    }

    /// Whether `key` is on.
    ///
    /// # Errors
    /// Missing, or neither true nor false.
    pub fn flag_on(&self, key: &'static str) -> Result<bool, ConfigError> {
        let value = self.get(key)?;
        value.as_bool().ok_or_else(|| self.bad(key, value, "true or false"))
    }

    /// `key` read by its type's own parser.
    ///
    /// # Errors
    /// Missing, or what the parser says.
    pub fn parse<T: std::str::FromStr>(
        &self,
        key: &'static str,
        expected: &str,
    ) -> Result<T, ConfigError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.bad(key, &Value::String(text.clone()), expected))
    }

    /// A refusal of `key`'s value, for checks a program makes itself.
    pub fn refuse(&self, key: &'static str, expected: &str) -> ConfigError {
        match self.values.get(key) {
            Some((value, _)) => self.bad(key, value, expected),
            None => ConfigError::Missing { key, expected: expected.into() },
        }
    }

    /// `file:line: `key` is value`, for what turns out to be wrong only when it is used.
    pub fn place(&self, key: &'static str) -> String {
        match self.values.get(key) {
            Some((value, Origin::Default)) => {
                format!("`{key}` is {}, by default", shown::shown(&value.to_string()))
            }
            Some((value, origin)) => {
                format!("{origin}: `{key}` is {}", shown::shown(&value.to_string()))
            }
            None => format!("`{key}` is not set"),
        }
    }

    /// Every key with value, origin and help, in the program's order: `config show --origin`.
    pub fn rows(&self) -> Vec<(Key, Option<(String, Origin)>)> {
        let row = |key: &Key| {
            let value = self.values.get(key.name);
            (*key, value.map(|(value, origin)| (value.to_string(), origin.clone())))
        };
        self.keys.iter().map(row).collect()
    }

    /// A commented file with every key at its value: what `init` writes.
    pub fn commented_file(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        let mut rows = self.rows();
        // A key without a table must come before the first table, or it would be in it; and a table that
        // is opened twice is no TOML, wherever its keys are declared.
        let table_of = |key: &Key| key.name.rsplit_once('.').map_or("", |(table, _)| table);
        let mut tables = vec![""];
        for (key, _) in &rows {
            if !tables.contains(&table_of(key)) {
                tables.push(table_of(key));
            }
        }
        rows.sort_by_key(|(key, _)| tables.iter().position(|table| *table == table_of(key)));
        for (key, value) in rows {
            let (table, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            if table != section {
                text += &format!("\n[{table}]\n");
                section = table;
            }
            text += &format!("# {}\n", key.help);
            text += &match value {
                Some((value, Origin::Default)) => format!("# {name} = {value}\n"),
                Some((value, _)) => format!("{name} = {value}\n"),
                None => format!("# {name} =\n"),
            };
        }
        text.trim_start().to_owned()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "any other kind is a value")]
    fn table(
        &mut self,
        prefix: &str,
        table: toml::Table,
        origin: &dyn Fn(&str) -> Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) if self.known(&key).is_none() => {
                    self.table(&key, inner, origin)?
                }
                value => self.set(&key, value, origin(&key))?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some(name) = self.known(key) else {
            let suggestion = self.nearest(key);
            return Err(ConfigError::Unknown {
                origin: origin.to_string(),
                key: key.into(),
                suggestion,
            });
        };
        self.values.insert(name, (value, origin));
        Ok(())
    }

    fn known(&self, key: &str) -> Option<&'static str> {
        self.keys.iter().find(|known| known.name == key).map(|known| known.name)
    }

    /// The nearest key by edit distance, if it is near enough to be a slip: a third of its length.
    fn nearest(&self, key: &str) -> Option<&'static str> {
        let distance = |known: &Key| strsim::damerau_levenshtein(known.name, key);
        let best = self.keys.iter().min_by_key(|known| distance(known))?;
        (distance(best) <= best.name.len().div_ceil(3)).then_some(best.name)
    }

    fn get(&self, key: &'static str) -> Result<&Value, ConfigError> {
        let expected = "set it in the configuration file, the environment or by a flag".into();
        self.values.get(key).map(|(value, _)| value).ok_or(ConfigError::Missing { key, expected })
    }

    fn bad(&self, key: &str, value: &Value, expected: &str) -> ConfigError {
        let origin = self.values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        ConfigError::Bad {
            origin: origin.to_string(),
            key: key.into(),
            value: shown::shown(&value.to_string()),
            expected: expected.into(),
        }
    }
}

/// A value as TOML has it.
fn scalar(text: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.get("value").cloned()
}

/// A value from environment or command line: TOML where it is a decimal number, a boolean, a list or
/// quoted, text otherwise. (`0x…` is an address far more often than a number.)
fn from_text(text: &str) -> Value {
    let decimal = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'_'));
    match scalar(text) {
        Some(Value::Integer(number)) if decimal => Value::Integer(number),
        Some(value) if value.is_bool() || value.is_str() || value.is_array() => value,
        Some(_) | None => Value::String(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[Key] = &[
        Key { name: "data", default: "\"/var/lib/quorate\"", help: "Where it lives." },
        Key { name: "quic.listen", default: "\"0.0.0.0:7421\"", help: "Workers connect here." },
        Key { name: "batch.tasks", default: "512", help: "Tasks in a batch at most." },
        Key { name: "chain.url", default: "", help: "JSON-RPC node." },
    ];

    #[test]
    fn flags_beat_environment_beats_file_beats_default() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("quorate.toml");
        std::fs::write(&path, "data = \"f\"\n[batch]\ntasks = 7\n[quic]\nlisten = \"f:1\"\n")
            .expect("written");
        let mut layers = Layers::new(KEYS);
        layers.file(&path, true).expect("read");
        let env = [("QUORATE_BATCH__TASKS", "8"), ("QUORATE_QUIC__LISTEN", "e:1"), ("HOME", "/")];
        let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        layers.env(env).expect("known keys");
        layers.flag("--listen", "quic.listen", "c:1").expect("known key");
        assert_eq!(layers.text("data").expect("text"), "f");
        assert_eq!(layers.number("batch.tasks", 1, 100).expect("number"), 8);
        assert_eq!(layers.text("quic.listen").expect("text"), "c:1");
        assert!(matches!(layers.text("chain.url"), Err(ConfigError::Missing { .. })));
        let origins: Vec<String> = layers
            .rows()
            .iter()
            .filter_map(|(_, v)| v.as_ref().map(|(_, o)| o.to_string()))
            .collect();
        assert_eq!(origins[1..], ["flag --listen", "environment QUORATE_BATCH__TASKS"]);
    }

    #[test]
    fn a_commented_file_opens_each_table_once() {
        const SCATTERED: &[Key] = &[
            Key { name: "a.one", default: "1", help: "First." },
            Key { name: "b.two", default: "2", help: "Second." },
            Key { name: "a.three", default: "3", help: "Third." },
            Key { name: "top", default: "4", help: "Fourth." },
        ];
        let text = Layers::new(SCATTERED).commented_file();
        assert_eq!(text.matches("[a]").count(), 1, "{text}");
        assert!(text.starts_with("# Fourth."), "{text}");
        toml::from_str::<toml::Table>(&text.replace("# top", "top")).expect("TOML");
    }

    #[test]
    fn a_refusal_names_the_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("quorate.toml");
        let refusal = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let mut layers = Layers::new(KEYS);
            let read = layers.file(&path, true).and_then(|()| layers.number("batch.tasks", 1, 9));
            read.expect_err("wrong").to_string().replace(&path.display().to_string(), "FILE")
        };
        let range = "FILE:3: `batch.tasks` is 77; expected a whole number from 1 to 9";
        assert_eq!(refusal("# why\n[batch]\ntasks = 77\n"), range);
        let slip = "FILE:2: unknown key `batch.task`; did you mean `batch.tasks`?";
        assert_eq!(refusal("[batch]\ntask = 7\n"), slip);
        assert!(refusal("[batch\n").contains("line 1"), "{}", refusal("[batch\n"));
        assert!(refusal("data = \"x\"\n").starts_with("default: `batch.tasks` is 512"));
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_commas() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("quorate.toml");
        let list = |toml: &str| {
            let mut layers = Layers::new(KEYS);
            std::fs::write(&path, format!("[chain]\nurl = {toml}\n")).expect("written");
            layers.file(&path, true).expect("read");
            layers.list("chain.url")
        };
        assert_eq!(list("\"http://a, http://b\"").expect("a list"), ["http://a", "http://b"]);
        assert_eq!(list("[\"http://a\", \"http://b\"]").expect("a list"), ["http://a", "http://b"]);
        assert_eq!(list("\"http://a\"").expect("a list"), ["http://a"]);
        for empty in ["\"\"", "[]"] {
            assert!(list(empty).expect("a list").is_empty(), "{empty}");
        }
        assert!(Layers::new(KEYS).list("chain.url").expect("a list").is_empty());
        for bad in ["7", "\"http://a,\"", "[\"\"]", "[1]"] {
            let error = list(bad).expect_err(bad).to_string();
            assert!(
                error.contains("`chain.url` is ") && error.contains("array of texts"),
                "{error}"
            );
        }
        let mut layers = Layers::new(KEYS);
        layers.flag("--set", "chain.url", "[\"http://a\", \"http://b\"]").expect("known key");
        assert_eq!(layers.list("chain.url").expect("a list"), ["http://a", "http://b"]);
    }

    #[test]
    fn a_slip_is_refused_with_a_suggestion() {
        let mut layers = Layers::new(KEYS);
        let error = layers.flag("--set", "batch.task", "1").expect_err("unknown");
        let expected = "flag --set: unknown key `batch.task`; did you mean `batch.tasks`?";
        assert_eq!(error.to_string(), expected);
        let error = layers.flag("--set", "zzz", "1").expect_err("unknown");
        assert_eq!(error.to_string(), "flag --set: unknown key `zzz`");
        layers.flag("--set", "batch.tasks", "0").expect("known");
        let error = layers.number("batch.tasks", 1, 65_536).expect_err("out of range");
        let expected = "flag --set: `batch.tasks` is 0; expected a whole number from 1 to 65536";
        assert_eq!(error.to_string(), expected);
    }
}
