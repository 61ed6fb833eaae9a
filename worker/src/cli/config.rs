//! The worker's configuration: which keys there are, where their values come from, what they become.

use super::{Global, amount, engines::Wish, failure, keys::KEYS, pools};
use etcetera::{BaseStrategy as _, choose_base_strategy};
use quorate_chain::{Address, ChainUrl};
use quorate_common::{
    config::{ConfigError, Layers},
    exit::{Code, Failure},
    invite::Invite,
    wire::{Hello, SLOTS_MAX},
};
use quorate_policy::{Claims, shares::SHARE_MAX};
use quorate_registry::Registries;
use quorate_update::rules::Mode;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The system's file, the weakest.
const SYSTEM_FILE: &str = "/etc/quorate/worker.toml";
/// The worker's own file, in its data folder.
const FILE: &str = "quorate.toml";
const MIB: u64 = 1 << 20;
/// Memory of one slot unless told otherwise: twice what a bag asks for by default.
const SLOT_MIB: u64 = 512;

/// The `update.` keys, read.
#[derive(Clone, Debug)]
pub(crate) struct UpdateWish {
    pub(crate) mode: Mode,
    pub(crate) url: Option<String>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) channel: String,
    pub(crate) every: Duration,
    pub(crate) patience: Duration,
}

/// The configuration, read and layered.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) layers: Layers,
    /// The worker's folder.
    pub(crate) data_dir: PathBuf,
    /// The file `join` writes.
    pub(crate) file: PathBuf,
    /// The folder of the pool that is meant, if it is not the first.
    pub(crate) pool_dir: Option<PathBuf>,
}

impl Config {
    /// Reads every layer; `flags` are those of a command: flag, key, value.
    pub(crate) fn load(
        global: &Global,
        flags: &[(&str, &'static str, Option<String>)],
    ) -> Result<Self, Failure> {
        let mut config = Self::without_environment(global, flags, true)?;
        let vars = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        config.layers.env(vars).map_err(|error| failure::config(&error))?;
        config.flags(global, flags)?;
        config.check()?;
        match global.pool.as_deref().filter(|name| *name != pools::HOME) {
            None => Ok(config),
            Some(name) => {
                let other = pools::find(&config, name)?;
                config.for_pool(&other.member.invite, other.dir)
            }
        }
    }

    /// The same worker, as it is for another pool: where its invitation names something, that counts.
    pub(crate) fn for_pool(&self, invite: &Invite, dir: PathBuf) -> Result<Self, Failure> {
        let mut config = Self { pool_dir: Some(dir), ..self.clone() };
        let named = [
            ("invite", Some(invite.to_string())),
            ("chain.url", invite.rpc.clone()),
            ("api", invite.api.clone()),
        ];
        for (key, value) in named {
            let Some(value) = value else { continue };
            let set = config.layers.flag("--pool", key, &value);
            set.map_err(|error| failure::config(&error))?;
        }
        Ok(config)
    }

    /// This worker's part of the machine for its first pool, against those of others.
    pub(crate) fn share(&self) -> Result<u16, Failure> {
        let share = self.number("share", 0, SHARE_MAX.into())?;
        Ok(u16::try_from(share).unwrap_or(SHARE_MAX))
    }

    /// A file of the pool that is meant.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The folder of one pool's agent; the first pool's is the worker's own.
    pub(crate) fn folder(&self) -> &Path {
        self.pool_dir.as_ref().unwrap_or(&self.data_dir)
    }

    /// Files and flags alone: what `join` writes down.
    pub(crate) fn without_environment(
        global: &Global,
        flags: &[(&str, &'static str, Option<String>)],
        with_system: bool,
    ) -> Result<Self, Failure> {
        let data_dir = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => default_data_dir()?,
        };
        let file = global.config.clone().unwrap_or_else(|| data_dir.join(FILE));
        let mut layers = Layers::new(KEYS);
        let mut read = || -> Result<(), ConfigError> {
            if with_system {
                layers.file(Path::new(SYSTEM_FILE), false)?;
            }
            // `join` may write the file that `--config` names, so only others insist on it.
            layers.file(&file, global.config.is_some() && with_system)
        };
        read().map_err(|error| failure::config(&error))?;
        let mut config = Self { layers, data_dir, file, pool_dir: None };
        config.flags(global, flags)?;
        Ok(config)
    }

    /// Where to work.
    pub(crate) fn invite(&self) -> Result<Invite, Failure> {
        if self.layers.optional("invite").is_none() {
            return Err(Failure::new(Code::Usage, "this worker has not joined a pool")
                .hint("quorate-worker join INVITE, with the invitation of a pool's operator"));
        }
        let text = self.layers.text("invite").map_err(|error| failure::config(&error))?;
        text.parse().map_err(|error| Failure::new(Code::Usage, format!("key `invite`: {error}")))
    }

    pub(crate) fn name(&self) -> Result<String, Failure> {
        let name = self.layers.text("name").map_err(|error| failure::config(&error))?;
        if name.len() > Hello::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let expected = "at most 64 bytes without control characters";
            return Err(failure::config(&self.layers.refuse("name", expected)));
        }
        Ok(name)
    }

    /// Replicas at once; 0 has become the number of cores.
    pub(crate) fn slots(&self) -> Result<u16, Failure> {
        let slots = self.number("slots", 0, SLOTS_MAX.into())?;
        let slots = if slots == 0 {
            std::thread::available_parallelism().map_or(1, |n| n.get() as u64)
        } else {
            slots
        };
        Ok(u16::try_from(slots).unwrap_or(SLOTS_MAX).min(SLOTS_MAX))
    }

    /// The least price of a task, in token units.
    pub(crate) fn price(&self) -> Result<u128, Failure> {
        self.amount("price")
    }

    /// An amount of tokens.
    pub(crate) fn amount(&self, key: &'static str) -> Result<u128, Failure> {
        let expected = "token units as 1500, or a decimal of tokens in quotes as \"0.001\"";
        let refused = || failure::config(&self.layers.refuse(key, expected));
        let text = self.layers.text(key).map_err(|_| refused())?;
        amount::parse(&text).map_err(|_| refused())
    }

    /// Memory for all slots; 0 has become a share for each.
    pub(crate) fn memory_bytes(&self) -> Result<u64, Failure> {
        let share_mib = SLOT_MIB * u64::from(self.slots()?);
        let mib = self.number("memory_mib", 0, 1 << 24)?;
        Ok(MIB * if mib == 0 { share_mib } else { mib })
    }

    pub(crate) fn cache_bytes(&self) -> Result<u64, Failure> {
        Ok(self.number("cache_mib", 64, 1 << 24)? * MIB)
    }

    /// The least price of a task in a container.
    pub(crate) fn docker_price(&self) -> Result<u128, Failure> {
        self.amount("docker.price")
    }

    /// Whether runtime packs are wanted.
    pub(crate) fn packs(&self) -> Result<bool, Failure> {
        let text = self.layers.text("packs.use").map_err(|error| failure::config(&error))?;
        match text.as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(failure::config(&self.layers.refuse("packs.use", "on or off"))),
        }
    }

    /// What is wanted of containers.
    pub(crate) fn docker(&self) -> Result<Wish, Failure> {
        let text = self.layers.text("docker.use").map_err(|error| failure::config(&error))?;
        match text.as_str() {
            "off" => Ok(Wish::Off),
            "auto" => Ok(Wish::Auto),
            "require" => Ok(Wish::Require),
            _ => Err(failure::config(&self.layers.refuse("docker.use", "off, auto or require"))),
        }
    }

    /// Whose images may be fetched.
    pub(crate) fn registries(&self) -> Result<Registries, Failure> {
        let texts =
            self.layers.list("docker.registries").map_err(|error| failure::config(&error))?;
        let expected = "registries with commas between them: HOST or HOST:PORT, or http://HOST:PORT without TLS";
        Registries::listed(&texts)
            .map_err(|_| failure::config(&self.layers.refuse("docker.registries", expected)))
    }

    /// Where the owner's other machines are heard, if anywhere.
    pub(crate) fn machines(&self) -> Result<Option<SocketAddr>, Failure> {
        let Some(text) = self.layers.optional("machines.listen") else { return Ok(None) };
        let expected = "an address with a port, as 0.0.0.0:7423";
        let refused = || failure::config(&self.layers.refuse("machines.listen", expected));
        // The others write the port down when they are paired, so it must be a certain one.
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
        address.map(Some).ok_or_else(refused)
    }

    /// What is wanted of new versions.
    pub(crate) fn update(&self) -> Result<UpdateWish, Failure> {
        let text = self.layers.text("update.mode").map_err(|error| failure::config(&error))?;
        let mode = match text.as_str() {
            "off" => Mode::Off,
            "tell" => Mode::Tell,
            "stage" => Mode::Stage,
            "apply" => Mode::Apply,
            _ => {
                let expected = "off, tell, stage or apply";
                return Err(failure::config(&self.layers.refuse("update.mode", expected)));
            }
        };
        Ok(UpdateWish {
            mode,
            url: self.layers.optional("update.url"),
            root: self.file_of("update.root"),
            channel: self.layers.text("update.channel").map_err(|error| failure::config(&error))?,
            every: Duration::from_secs(self.number("update.every_hours", 1, 168)? * 3600),
            patience: Duration::from_secs(self.number("update.patience_s", 1, 3600)?),
        })
    }

    /// Where the owner's Prometheus may ask, if it may.
    pub(crate) fn metrics(&self) -> Result<Option<SocketAddr>, Failure> {
        let Some(text) = self.layers.optional("metrics.listen") else { return Ok(None) };
        let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
        let expected = "a loopback address with a port, as 127.0.0.1:7422";
        let refused = || failure::config(&self.layers.refuse("metrics.listen", expected));
        address.map(Some).ok_or_else(refused)
    }

    /// Where the owner's page may be, if it may.
    pub(crate) fn page(&self) -> Result<Option<SocketAddr>, Failure> {
        let Some(text) = self.layers.optional("page.listen").filter(|text| text != "off") else {
            return Ok(None);
        };
        let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
        let expected = "a loopback address with a port, as 127.0.0.1:7430, or off";
        let refused = || failure::config(&self.layers.refuse("page.listen", expected));
        address.map(Some).ok_or_else(refused)
    }

    /// The JSON-RPC nodes that are named, if any are: here, or else in the invitation.
    pub(crate) fn nodes(&self, invite: &Invite) -> Result<Vec<ChainUrl>, Failure> {
        let mut nodes = self.layers.list("chain.url").map_err(|error| failure::config(&error))?;
        if nodes.is_empty() {
            nodes.extend(invite.rpc.clone());
        }
        ChainUrl::parse_all(&nodes).map_err(|error| failure::chain(&error))
    }

    /// Whom claims are passed on to, if not the owner.
    pub(crate) fn payout(&self) -> Result<Option<Address>, Failure> {
        let Some(text) = self.layers.optional("payout") else { return Ok(None) };
        let expected = "an address: 0x and 40 digits";
        text.parse().map(Some).map_err(|_| failure::config(&self.layers.refuse("payout", expected)))
    }

    /// When it claims by itself.
    pub(crate) fn claims(&self) -> Result<Claims, Failure> {
        let when = self.layers.text("claim.when").map_err(|error| failure::config(&error))?;
        let least = if when == "off" { None } else { Some(self.amount("claim.when")?) };
        Ok(Claims { least, units_per_coin: self.amount("claim.coin_price")? })
    }

    /// The scheduler's HTTP API, if anybody names it.
    pub(crate) fn api(&self, invite: &Invite) -> Option<String> {
        self.layers.optional("api").or_else(|| invite.api.clone())
    }

    /// A file or folder of the worker's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    /// A key that names a file, if it is set.
    pub(crate) fn file_of(&self, key: &'static str) -> Option<PathBuf> {
        self.layers.optional(key).map(PathBuf::from)
    }

    fn flags(
        &mut self,
        global: &Global,
        flags: &[(&str, &'static str, Option<String>)],
    ) -> Result<(), Failure> {
        for (flag, key, value) in flags {
            if let Some(value) = value {
                self.layers.flag(flag, key, value).map_err(|error| failure::config(&error))?;
            }
        }
        for pair in &global.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::new(Code::Usage, format!("--set {pair}: expected KEY=VALUE"))
            })?;
            self.layers.flag("--set", key, value).map_err(|error| failure::config(&error))?;
        }
        Ok(())
    }

    /// Every value is read once, so that a mistake shows before anything happens.
    fn check(&self) -> Result<(), Failure> {
        if self.layers.optional("invite").is_some() {
            self.invite()?;
        }
        self.name()?;
        self.slots()?;
        self.price()?;
        self.docker()?;
        self.update()?;
        self.docker_price()?;
        self.registries()?;
        self.preferences()?;
        self.programs()?;
        self.packs()?;
        self.share()?;
        self.payout()?;
        self.memory_bytes()?;
        self.metrics()?;
        self.page()?;
        self.claims()?;
        self.machines()?;
        self.cache_bytes().map(drop)
    }

    pub(super) fn number(&self, key: &'static str, least: u64, most: u64) -> Result<u64, Failure> {
        self.layers.number(key, least, most).map_err(|error| failure::config(&error))
    }
}

fn default_data_dir() -> Result<PathBuf, Failure> {
    let strategy = choose_base_strategy().map_err(|error| {
        Failure::new(Code::Usage, format!("there is no home folder: {error}"))
            .hint("name a folder with --data-dir")
    })?;
    let base = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(base.join("quorate").join("worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_good() {
        let layers = Layers::new(KEYS);
        let config = Config { layers, data_dir: "d".into(), file: "f".into(), pool_dir: None };
        config.check().expect("defaults are within their own bounds");
        assert!(config.slots().expect("cores") >= 1);
        assert!(config.invite().is_err());
    }
}
