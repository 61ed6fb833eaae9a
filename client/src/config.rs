//! The requester's configuration: which keys there are, and how the layers are read. Values are
//! parsed where they are used; secrets never stand here, only where to find them.

use crate::{amount, cli::Global, failure, output::Output, units};
use etcetera::{BaseStrategy as _, choose_base_strategy};
use quorate_chain::{Address, Finality};
use quorate_common::{
    config::{Key, Layers},
    exit::{Code, Failure},
};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// The file's name in every folder it is looked for.
const FILE: &str = "quorate.toml";
/// The system's file, the weakest.
const SYSTEM_FILE: &str = "/etc/quorate/quorate.toml";
/// Every key, in the order `config show` prints them.
pub const KEYS: &[Key] = &[
    Key {
        name: "api",
        default: "\"http://127.0.0.1:7420\"",
        help: "The scheduler's HTTP API. The default is a scheduler on this machine.",
    },
    Key { name: "wallet", default: "\"default\"", help: "The account that orders and pays." },
    Key {
        name: "wallet_dir",
        default: "",
        help: "Folder of keystore files; unset: quorate/wallets in the state folder.",
    },
    Key {
        name: "password_file",
        default: "",
        help: "File with the wallet's password, mode 0600; else QUORATE_PASSWORD, else it is asked.",
    },
    Key {
        name: "chain.url",
        default: "",
        help: "JSON-RPC node, http or https, or up to five: an array, or commas between them. Without it \
               balances are not checked before an order.",
    },
    Key {
        name: "chain.id",
        default: "",
        help: "EIP-155 chain id to insist on; unset: the scheduler's.",
    },
    Key {
        name: "chain.contract",
        default: "",
        help: "Settlement contract to insist on; unset: the scheduler's.",
    },
    Key {
        name: "chain.finality",
        default: "\"latest\"",
        help: "When a transaction counts as done: latest, finalized, or a number of blocks.",
    },
    Key {
        name: "order.trust",
        default: "5",
        help: "1 / (chance of a wrong result). 5 takes three agreeing newcomers, 100 takes seven.",
    },
    Key {
        name: "order.replicas",
        default: "15",
        help: "Most replicas a task may take, 1 to 15. They cost the requester nothing extra.",
    },
    Key {
        name: "order.max_price",
        default: "",
        help: "Highest price of one task; unset: what the pool asks when the order is made.",
    },
    Key {
        name: "order.time_limit",
        default: "\"10m\"",
        help: "Longest time of one replica; capped by the pool's own limit.",
    },
    Key {
        name: "order.deadline",
        default: "\"1h\"",
        help: "Unfinished tasks are given up and refunded after this long.",
    },
];

/// The configuration, read and layered.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every key with its origin.
    pub layers: Layers,
}

impl Config {
    /// Reads every layer.
    ///
    /// # Errors
    /// Unreadable or malformed files, unknown keys.
    pub fn load(global: &Global) -> Result<Self, Failure> {
        let mut layers = Layers::new(KEYS);
        let asked =
            global.config.clone().or_else(|| std::env::var_os("QUORATE_CONFIG").map(PathBuf::from));
        let mut read = || {
            layers.file(SYSTEM_FILE.as_ref(), false)?;
            if let Some(file) = user_file() {
                layers.file(&file, false)?;
            }
            if let Some(file) = &asked {
                layers.file(file, true)?;
            }
            layers.env(env_vars())?;
            for (flag, key, value) in global.named() {
                layers.flag(flag, key, value)?;
            }
            Ok(())
        };
        read().map_err(|error| failure::config(&error))?;
        for pair in &global.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::new(Code::Usage, format!("--set {pair}: expected KEY=VALUE"))
            })?;
            layers.flag("--set", key, value).map_err(|error| failure::config(&error))?;
        }
        let config = Self { layers };
        config.check()?;
        Ok(config)
    }

    /// The API's address.
    pub fn api(&self) -> Result<String, Failure> {
        self.text("api")
    }

    /// The account's name.
    pub fn wallet(&self) -> Result<String, Failure> {
        self.text("wallet")
    }

    /// The folder of keystore files.
    pub fn wallet_dir(&self) -> Result<PathBuf, Failure> {
        match self.layers.optional("wallet_dir") {
            Some(dir) => Ok(dir.into()),
            None => Ok(state_dir()?.join("wallets")),
        }
    }

    /// Where the password stands, if in a file.
    pub fn password_file(&self) -> Option<PathBuf> {
        self.layers.optional("password_file").map(PathBuf::from)
    }

    /// The JSON-RPC nodes' URLs; none if no node is set.
    pub fn nodes(&self) -> Result<Vec<String>, Failure> {
        self.layers.list("chain.url").map_err(|error| failure::config(&error))
    }

    /// The chain id to insist on.
    pub fn chain_id(&self) -> Result<Option<u64>, Failure> {
        if self.layers.optional("chain.id").is_none() {
            return Ok(None);
        }
        let id = self.layers.number("chain.id", 1, u64::MAX >> 1);
        id.map(Some).map_err(|error| failure::config(&error))
    }

    /// The contract to insist on.
    pub fn contract(&self) -> Result<Option<Address>, Failure> {
        self.maybe("chain.contract", "0x and 40 hex digits", |text| text.parse().ok())
    }

    /// When a transaction counts as done.
    pub fn finality(&self) -> Result<Finality, Failure> {
        let parse = |text: &str| match text {
            "latest" => Some(Finality::Latest),
            "finalized" => Some(Finality::Finalized),
            number => number.parse().ok().filter(|n| *n > 0).map(Finality::Confirmations),
        };
        let expected = "`latest`, `finalized` or a number of blocks from 1";
        let found = self.maybe("chain.finality", expected, parse)?;
        Ok(found.unwrap_or(Finality::Latest))
    }

    /// Trust to ask for.
    pub fn trust(&self) -> Result<u32, Failure> {
        self.number("order.trust", 1, u32::MAX.into())
    }

    /// Replicas to allow.
    pub fn replicas(&self) -> Result<u8, Failure> {
        self.number("order.replicas", 1, quorate_common::ids::REPLICAS_MAX as u64)
    }

    /// Token units per task at most; `None`: the pool's price.
    pub fn max_price(&self) -> Result<Option<u128>, Failure> {
        let expected = "token units, or a decimal as `0.002`, in quotes";
        self.maybe("order.max_price", expected, |text| amount::parse(text).ok())
    }

    /// Longest time of a replica.
    pub fn time_limit(&self) -> Result<Duration, Failure> {
        self.duration("order.time_limit")
    }

    /// Time until tasks are given up.
    pub fn deadline(&self) -> Result<Duration, Failure> {
        self.duration("order.deadline")
    }

    /// Every value is read once, so that a mistake shows before anything happens.
    fn check(&self) -> Result<(), Failure> {
        self.api()?;
        self.wallet()?;
        self.chain_id()?;
        self.contract()?;
        self.finality()?;
        self.trust()?;
        self.replicas()?;
        self.max_price()?;
        self.time_limit()?;
        self.deadline().map(drop)
    }

    fn text(&self, key: &'static str) -> Result<String, Failure> {
        self.layers.text(key).map_err(|error| failure::config(&error))
    }

    fn number<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        least: u64,
        most: u64,
    ) -> Result<T, Failure> {
        let number =
            self.layers.number(key, least, most).map_err(|error| failure::config(&error))?;
        T::try_from(number)
            .map_err(|_| failure::config(&self.layers.refuse(key, "a smaller number")))
    }

    fn duration(&self, key: &'static str) -> Result<Duration, Failure> {
        let expected = "a time as `10m` or `1h30m`, at least `1s`";
        let parse = |text: &str| units::duration(text).ok().filter(|time| !time.is_zero());
        let found = self.maybe(key, expected, parse)?;
        found.ok_or_else(|| failure::config(&self.layers.refuse(key, expected)))
    }

    fn maybe<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let set = self.layers.rows().iter().any(|(row, value)| row.name == key && value.is_some());
        match self.layers.optional(key) {
            Some(text) => match parse(&text) {
                Some(value) => Ok(Some(value)),
                None => Err(failure::config(&self.layers.refuse(key, expected))),
            },
            // Neither text nor whole number: a decimal or a list without quotes.
            None if set && self.layers.text(key).is_err() => {
                Err(failure::config(&self.layers.refuse(key, expected)))
            }
            None => Ok(None),
        }
    }
}

/// `config show`.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    values: Vec<ShownKey>,
}

#[derive(Debug, Serialize)]
struct ShownKey {
    key: &'static str,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    help: &'static str,
}

/// Prints every key with its value, and where it came from if `origin`.
///
/// # Errors
/// Standard output.
pub fn show(config: &Config, origin: bool, output: Output) -> Result<(), Failure> {
    let shown = |(key, found): (Key, Option<(String, quorate_common::config::Origin)>)| {
        let (value, from) = found.unzip();
        let from = from.map_or_else(|| "unset".to_owned(), |from| from.to_string());
        ShownKey { key: key.name, value, origin: origin.then_some(from), help: key.help }
    };
    let values: Vec<ShownKey> = config.layers.rows().into_iter().map(shown).collect();
    let document = Shown { schema: "quorate.config/v1", values };
    output.either(&document, || {
        let lines = document.values.iter().map(|key| {
            let value = key.value.as_deref().unwrap_or("-").to_owned();
            [Some(key.key.to_owned()), Some(value), key.origin.clone()]
                .into_iter()
                .flatten()
                .collect()
        });
        let header: &[&str] = if origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] };
        crate::output::table(header, lines)
    })
}

/// Writes a commented file with every key: to the user's place, or where it is told to.
///
/// # Errors
/// The file exists already, or cannot be written.
pub fn init(config: &Config, file: Option<PathBuf>, output: Output) -> Result<(), Failure> {
    let path = match file.or_else(user_file) {
        Some(path) => path,
        None => return Err(no_home()),
    };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|error| failure::file("make", dir, &error))?;
    }
    let head =
        "# Quorate, the requester's side. Flags and QUORATE_* variables go before this file.\n\n";
    let text = format!("{head}{}", config.layers.commented_file());
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    };
    write().map_err(|error| failure::file("write", &path, &error))?;
    let document = serde_json::json!({ "schema": "quorate.config-file/v1", "file": path });
    output.either(&document, || path.display().to_string())
}

/// `$XDG_STATE_HOME/quorate`: wallets and the list of orders.
///
/// # Errors
/// No home folder is known.
pub fn state_dir() -> Result<PathBuf, Failure> {
    let base = choose_base_strategy().map_err(|_| no_home())?;
    let dir = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(dir.join("quorate"))
}

fn user_file() -> Option<PathBuf> {
    Some(choose_base_strategy().ok()?.config_dir().join("quorate").join(FILE))
}

fn no_home() -> Failure {
    Failure::new(Code::Usage, "no home folder is known: HOME is not set; set it")
}

/// Variables whose name or value is not text cannot be keys of ours.
fn env_vars() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
