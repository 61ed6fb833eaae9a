//! The operator's settings: every key with unit, default and reason; text in, types out.

use crate::{journal::writer::WriterOptions, sponsor::Rules};
use quorate_chain::{
    outbox::Finality,
    presets::{EMBEDDED, preset},
    transport::NODES_MAX,
};
use quorate_common::anchor::SLACK_S;
use quorate_common::config::{ConfigError, Key, Layers};
use quorate_common::{Address, ids::PoolId, wire::WORK_PER_SLOT};
use quorate_grid::{credibility::Promise, policy::Policy, quota::Quota, sponsor::Limits};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Every key.
pub const KEYS: &[Key] = &[
    Key {
        name: "data",
        default: "\"quorate-scheduler\"",
        help: "Folder of keys, journal, index, blobs and batches.",
    },
    Key {
        name: "quic.listen",
        default: "\"0.0.0.0:7421\"",
        help: "UDP address workers connect to; port 0 takes any.",
    },
    Key {
        name: "quic.public",
        default: "\"\"",
        help: "host:port put into invitations; empty: the listen address.",
    },
    Key {
        name: "quic.address_rate",
        default: "20",
        help: "Handshakes a second that one address may make, ten times as many at once: a campus of a \
               thousand behind one address is back in a minute, and floods from fifty addresses take a core.",
    },
    Key {
        name: "http.listen",
        default: "\"127.0.0.1:7420\"",
        help: "TCP address of the API; loopback by default, put a TLS proxy in front of it.",
    },
    Key {
        name: "http.public",
        default: "\"\"",
        help: "URL of the API put into invitations; empty: the listen address.",
    },
    Key {
        name: "ui.listen",
        default: "\"\"",
        help: "TCP address of the operator's pages, or `off`; empty: this machine only, two ports above the \
               API's, or any port where that has any.",
    },
    Key {
        name: "ui.public",
        default: "\"\"",
        help: "URL that the pages are known by behind a TLS proxy, as https://pool.example; empty: the listen \
               address. No other host or origin is answered.",
    },
    Key {
        name: "chain.preset",
        default: "\"dev\"",
        help: "dev (in this process), anvil, arbitrum-sepolia, arbitrum: id, finality, polling.",
    },
    Key {
        name: "chain.url",
        default: "\"\"",
        help: "JSON-RPC node, or up to five: an array, or commas between them; empty: the preset's. With two or \
               more, what matters needs two that agree. `embedded` keeps a development chain in the \
               data folder.",
    },
    Key {
        name: "chain.max_fee_wei_per_gas",
        default: "0",
        help: "Wei per gas a transaction pays at most; it waits while the chain asks more. 0: the preset's.",
    },
    Key {
        name: "chain.finality",
        default: "\"\"",
        help: "finalized, latest, or a number of blocks; empty: the preset's.",
    },
    Key {
        name: "chain.public_url",
        default: "\"\"",
        help: "JSON-RPC node put into invitations; empty: chain.url's first, if it has no path, query or user, \
               which is where providers put their customers' keys.",
    },
    Key { name: "chain.contract", default: "\"\"", help: "Address of the settlement contract." },
    Key {
        name: "chain.first_block",
        default: "0",
        help: "Block the contract was deployed in: events are read from here.",
    },
    Key { name: "pool.id", default: "0", help: "The pool in the contract; `init` registers it." },
    Key {
        name: "pool.unit_price",
        default: "\"1000000000000000\"",
        help: "Token units per task (10^-18 of a token).",
    },
    Key {
        name: "pool.trust_max",
        default: "1000000",
        help: "Highest trust served: 1 / (chance of a wrong result).",
    },
    Key {
        name: "pool.stake_ratio",
        default: "30",
        help: "Percent of the unit price a vote puts at stake.",
    },
    Key {
        name: "pool.scheduler_ratio",
        default: "1",
        help: "Percent of a reward that is the scheduler's.",
    },
    Key {
        name: "pool.max_task_time",
        default: "86400",
        help: "Seconds one replica may take; the contract's slack is a day.",
    },
    Key {
        name: "pool.open_orders_max",
        default: "100",
        help: "Orders one requester may have under way here; more are refused until one is done. They share \
               one turn in any case; this bounds what they cost in memory.",
    },
    Key {
        name: "grid.lease_ms",
        default: "3000",
        help: "Milliseconds a worker may be away before its replicas go to others.",
    },
    Key {
        name: "grid.reveal_s",
        default: "120",
        help: "Seconds a worker has to reveal once the set is frozen.",
    },
    Key {
        name: "grid.hear_s",
        default: "930",
        help: "Seconds after a reveal deadline until silence is taken for silence: the fifteen minutes \
               in which a worker may still ask on chain for its commit set, and what the chain takes \
               to tell it.",
    },
    Key {
        name: "grid.quota",
        default: "16",
        help: "Replicas at once that a worker without a score begins with; one more with each success, half \
               after a failure. A desktop's threads.",
    },
    Key {
        name: "grid.work_per_slot",
        default: "2",
        help: "Replicas of short tasks a worker may have per slot while work is plenty: 2 hides the \
               network, 1 never buffers.",
    },
    Key {
        name: "grid.promise_ppm",
        default: "0",
        help: "Wrong results among a million settled ones that the pool promises at most, beyond what \
               each deal's trust proves; 10000 is one in a hundred. 0: no promise.",
    },
    Key {
        name: "grid.faulty_ppm",
        default: "200000",
        help: "Saboteurs among a million workers up to which the promise holds.",
    },
    Key {
        name: "grid.lot",
        default: "50",
        help: "Answers of one worker over which its checks are spread. Fewer: results are final sooner \
               and cost more.",
    },
    Key {
        name: "grid.audit_ppm",
        default: "20000",
        help: "Among a million answers of any worker, those that are checked at least.",
    },
    Key {
        name: "grid.hold_s",
        default: "3600",
        help: "Seconds a result waits for its worker to be believed before it is checked itself.",
    },
    Key {
        name: "sponsor.gas",
        default: "\"off\"",
        help: "Whether the pool pays for its workers' registration, decisions and claims, so that volunteers need \
               no coins: on or off. What follows bounds what strangers can make it spend.",
    },
    Key {
        name: "sponsor.budget_wei",
        default: "\"10000000000000000\"",
        help: "Wei spent on that in a day at most (a hundredth of a coin: some 60 registrations at 1 gwei, thousands \
               on a roll-up). What ten million gas cost stays for batches in any case.",
    },
    Key {
        name: "sponsor.acts_day",
        default: "200",
        help: "Transactions for workers in a day: each takes the turn of the account that commits batches.",
    },
    Key {
        name: "sponsor.owner_day",
        default: "6",
        help: "Of those for one owner: a beginning takes four, then a claim and a decision.",
    },
    Key {
        name: "sponsor.network_day",
        default: "8",
        help: "Newcomers in a day from one network (/24 or /48): a household, not a farm. Behind a proxy on this \
               machine its X-Forwarded-For counts; behind another all are one network.",
    },
    Key {
        name: "sponsor.advance",
        default: "\"0\"",
        help: "Token units given to a newcomer for its first stake, once, with the gas to stake them, from the gas \
               account's tokens. A gift: nobody can make it be given back. 0: none.",
    },
    Key {
        name: "sponsor.advances_day",
        default: "16",
        help: "First stakes given in a day: times sponsor.advance it is what a liar with many networks can take.",
    },
    Key {
        name: "sponsor.donation",
        default: "\"\"",
        help: "Address that volunteers who answer `donate` give their earnings to, signed with the node key.",
    },
    Key { name: "batch.tasks", default: "512", help: "Tasks in a batch at most." },
    Key { name: "batch.age_s", default: "600", help: "Seconds after which a batch is closed." },
    Key {
        name: "blobs.blob_bytes_max",
        default: "1073741824",
        help: "Largest blob taken, in bytes.",
    },
    Key {
        name: "blobs.total_bytes_max",
        default: "107374182400",
        help: "Bytes of all blobs: leave room for the journal on the same disk.",
    },
    Key {
        name: "journal.segment_bytes",
        default: "67108864",
        help: "Length of a journal segment, in bytes.",
    },
    Key { name: "log.format", default: "\"text\"", help: "text or json." },
];

/// Where the chain is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainAt {
    /// In this process, kept in the data folder.
    Embedded,
    /// A JSON-RPC node, the first of them.
    Url(String),
}

/// Where the operator's pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UiListen {
    /// Nowhere.
    Off,
    /// On this machine only, two ports above the API's.
    BesideApi,
    /// Here.
    At(SocketAddr),
}

impl UiListen {
    /// The address, if there are pages; `api` is where the API was asked to listen.
    pub fn address(self, api: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
            Self::BesideApi => {
                let port = if api.port() == 0 { 0 } else { api.port().checked_add(2).unwrap_or(0) };
                Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
            }
        }
    }
}

/// Where somebody on this machine finds a door that listens on every address.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = listen.ip();
    let here: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(if ip.is_unspecified() { here } else { ip }, listen.port())
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What was set and where, for refusals.
    pub layers: Layers,
    /// Folder of everything.
    pub data: PathBuf,
    /// Workers connect here.
    pub quic_listen: SocketAddr,
    /// What invitations say.
    pub quic_public: Option<String>,
    /// Handshakes a second of one address.
    pub address_rate: u32,
    /// The API.
    pub http_listen: SocketAddr,
    /// What invitations say.
    pub http_public: Option<String>,
    /// The operator's pages.
    pub ui_listen: UiListen,
    /// The URL they are known by.
    pub ui_public: Option<String>,
    /// The chain.
    pub chain: ChainAt,
    /// Further nodes of it.
    pub more_nodes: Vec<String>,
    /// What invitations name.
    pub public_url: Option<String>,
    /// What a transaction pays at most; the preset's if unset.
    pub max_fee_wei_per_gas: Option<u64>,
    /// Its id.
    pub chain_id: u64,
    /// When something on it counts.
    pub finality: Finality,
    /// How often to look.
    pub poll: Duration,
    /// The contract.
    pub contract: Option<Address>,
    /// Where its events begin.
    pub first_block: u64,
    /// The pool.
    pub pool: Option<PoolId>,
    /// Token units per task.
    pub unit_price: u128,
    /// Highest trust.
    pub trust_max: u32,
    /// Percent at stake.
    pub stake_ratio: u8,
    /// Percent for the scheduler.
    pub scheduler_ratio: u8,
    /// Seconds per replica.
    pub max_task_time: u64,
    /// Orders one requester may have under way.
    pub open_orders_max: u32,
    /// The rules' tunables.
    pub policy: Policy,
    /// What is paid for workers.
    pub sponsor: Rules,
    /// Largest blob.
    pub blob_bytes_max: u64,
    /// All blobs.
    pub total_bytes_max: u64,
    /// Journal segments.
    pub segment_bytes: u64,
    /// How the journal groups appends.
    pub writer: WriterOptions,
}

impl Config {
    /// Reads the layers.
    ///
    /// # Errors
    /// [`ConfigError`] naming origin, key, value and expectation.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let name = layers.text("chain.preset")?;
        let expected = "dev, anvil, arbitrum-sepolia or arbitrum";
        let chain = preset(&name).ok_or_else(|| layers.refuse("chain.preset", expected))?;
        let mut nodes = nodes(layers, chain.url)?;
        let url = nodes.remove(0);
        let cap = layers.number("chain.max_fee_wei_per_gas", 0, u64::MAX >> 1)?;
        let percent = |key| layers.number(key, 0, 100).map(|n| u8::try_from(n).unwrap_or(100));
        Ok(Self {
            layers: layers.clone(),
            data: layers.text("data")?.into(),
            quic_listen: layers.parse("quic.listen", "an IP address and port, as 0.0.0.0:7421")?,
            quic_public: layers.optional("quic.public"),
            address_rate: number32(layers, "quic.address_rate", 1)?,
            http_listen: layers
                .parse("http.listen", "an IP address and port, as 127.0.0.1:7420")?,
            http_public: layers.optional("http.public"),
            ui_listen: ui_listen(layers)?,
            ui_public: layers.optional("ui.public"),
            chain: if url == EMBEDDED { ChainAt::Embedded } else { ChainAt::Url(url) },
            more_nodes: nodes,
            public_url: layers.optional("chain.public_url"),
            max_fee_wei_per_gas: Some(cap).filter(|cap| *cap > 0),
            chain_id: chain.chain_id,
            finality: finality(layers)?.unwrap_or(chain.finality),
            poll: chain.poll,
            contract: optional(
                layers,
                "chain.contract",
                "a contract address, 0x and 40 hex digits",
            )?,
            first_block: layers.number("chain.first_block", 0, u64::MAX >> 1)?,
            pool: Some(PoolId(number32(layers, "pool.id", 0)?)).filter(|pool| pool.0 > 0),
            unit_price: unit_price(layers)?,
            trust_max: number32(layers, "pool.trust_max", 1)?,
            stake_ratio: percent("pool.stake_ratio")?,
            scheduler_ratio: percent("pool.scheduler_ratio")?,
            max_task_time: layers.number("pool.max_task_time", 1, 86_400)?,
            open_orders_max: number32(layers, "pool.open_orders_max", 1)?,
            policy: policy(layers)?,
            sponsor: sponsor(layers)?,
            blob_bytes_max: layers.number("blobs.blob_bytes_max", 1 << 20, 1 << 40)?,
            total_bytes_max: layers.number("blobs.total_bytes_max", 1 << 20, 1 << 50)?,
            segment_bytes: layers.number("journal.segment_bytes", 1 << 20, 1 << 32)?,
            writer: WriterOptions::default(),
        })
    }
}

fn ui_listen(layers: &Layers) -> Result<UiListen, ConfigError> {
    match layers.optional("ui.listen").as_deref() {
        None => Ok(UiListen::BesideApi),
        Some("off") => Ok(UiListen::Off),
        Some(_) => {
            let expected = "an IP address and port, as 127.0.0.1:7422, or off";
            layers.parse("ui.listen", expected).map(UiListen::At)
        }
    }
}

impl Config {
    /// The node that invitations may name: none of one's own with a key in its address.
    pub fn public_node(&self) -> Option<String> {
        let ChainAt::Url(first) = &self.chain else { return None };
        let bare = || {
            let rest = first.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/');
            let is_preset = quorate_chain::presets::PRESETS.iter().any(|known| known.url == first);
            (is_preset || !rest.contains(['/', '?', '@', '#'])).then(|| first.clone())
        };
        self.public_url.clone().or_else(bare)
    }
}

/// The nodes of `chain.url`, at least one.
fn nodes(layers: &Layers, preset: &str) -> Result<Vec<String>, ConfigError> {
    let mut nodes = layers.list("chain.url")?;
    if nodes.is_empty() {
        nodes.push(preset.to_owned());
    }
    let mixed = nodes.len() > 1 && nodes.iter().any(|node| node == EMBEDDED);
    if nodes.len() > NODES_MAX || mixed {
        let expected = "`embedded`, or one to five URLs: URL,URL,URL or an array of them";
        return Err(layers.refuse("chain.url", expected));
    }
    Ok(nodes)
}

fn policy(layers: &Layers) -> Result<Policy, ConfigError> {
    Ok(Policy {
        lease_ms: layers.number("grid.lease_ms", 0, 3_600_000)?,
        reveal_s: layers.number("grid.reveal_s", 1, 86_400)?,
        // Below it an honest scheduler could be proven to have ignored a demand.
        hear_s: layers.number("grid.hear_s", SLACK_S + 10, 86_400)?,
        quota_first: number16(layers, "grid.quota", 1, Quota::MOST)?,
        work_per_slot: number16(layers, "grid.work_per_slot", 1, WORK_PER_SLOT)?,
        batch_tasks: number32(layers, "batch.tasks", 1)?.min(65_536),
        batch_ms: layers.number("batch.age_s", 1, 86_400)? * 1000,
        promise: promise(layers)?,
        ..Policy::default()
    })
}

fn sponsor(layers: &Layers) -> Result<Rules, ConfigError> {
    let on = match layers.text("sponsor.gas")?.as_str() {
        "on" => true,
        "off" => false,
        _ => return Err(layers.refuse("sponsor.gas", "on or off")),
    };
    let limits = Limits {
        budget_wei: layers.parse("sponsor.budget_wei", "whole wei")?,
        acts: number32(layers, "sponsor.acts_day", 0)?,
        owner: number32(layers, "sponsor.owner_day", 0)?,
        network: number32(layers, "sponsor.network_day", 0)?,
        advances: number32(layers, "sponsor.advances_day", 0)?,
    };
    let advance = layers.parse("sponsor.advance", "whole token units")?;
    let donation = optional(layers, "sponsor.donation", "an address, 0x and 40 hex digits")?;
    Ok(Rules { on, limits, advance, donation })
}

/// What the pool promises, if anything. Half of all results, or half of all workers, is no promise.
fn promise(layers: &Layers) -> Result<Option<Promise>, ConfigError> {
    let promise = Promise {
        error_ppm: ppm(layers, "grid.promise_ppm", 0, 500_000)?,
        faulty_ppm: ppm(layers, "grid.faulty_ppm", 1, 499_999)?,
        lot: ppm(layers, "grid.lot", 1, 1_000_000)?,
        audit_ppm: ppm(layers, "grid.audit_ppm", 0, 500_000)?,
        hold_s: layers.number("grid.hold_s", 0, 30 * 86_400)?,
    };
    Ok(Some(promise).filter(|promise| promise.error_ppm > 0))
}

fn ppm(layers: &Layers, key: &'static str, least: u64, most: u32) -> Result<u32, ConfigError> {
    let number = layers.number(key, least, most.into())?;
    Ok(u32::try_from(number).expect("bounded a line ago"))
}

fn number32(layers: &Layers, key: &'static str, least: u64) -> Result<u32, ConfigError> {
    let number = layers.number(key, least, u64::from(u32::MAX))?;
    Ok(u32::try_from(number).expect("bounded a line ago"))
}

fn number16(layers: &Layers, key: &'static str, least: u16, most: u16) -> Result<u16, ConfigError> {
    let number = layers.number(key, least.into(), most.into())?;
    Ok(u16::try_from(number).expect("bounded a line ago"))
}

fn unit_price(layers: &Layers) -> Result<u128, ConfigError> {
    let most = quorate_grid::poco::Terms::UNIT_PRICE_MAX;
    let price: u128 = layers.parse("pool.unit_price", "whole token units")?;
    if price <= most { Ok(price) } else { Err(layers.refuse("pool.unit_price", "at most 2^120")) }
}

fn finality(layers: &Layers) -> Result<Option<Finality>, ConfigError> {
    let Some(text) = layers.optional("chain.finality") else { return Ok(None) };
    match (text.as_str(), text.parse()) {
        ("finalized", _) => Ok(Some(Finality::Finalized)),
        ("latest", _) => Ok(Some(Finality::Latest)),
        (_, Ok(blocks)) => Ok(Some(Finality::Confirmations(blocks))),
        _ => Err(layers.refuse("chain.finality", "finalized, latest, or a number of blocks")),
    }
}

fn optional<T: std::str::FromStr>(
    layers: &Layers,
    key: &'static str,
    expected: &str,
) -> Result<Option<T>, ConfigError> {
    if layers.optional(key).is_none() {
        return Ok(None);
    }
    layers.parse(key, expected).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = Config::from_layers(&Layers::new(KEYS)).expect("defaults hold");
        assert_eq!(config.chain, ChainAt::Embedded);
        assert_eq!(config.policy.batch_tasks, 512);
    }

    #[test]
    fn a_pool_promises_nothing_unless_told_to() {
        let mut layers = Layers::new(KEYS);
        let silent = Config::from_layers(&layers).expect("defaults hold");
        assert_eq!(silent.policy.promise, None);
        layers.flag("--set", "grid.promise_ppm", "10000").expect("known key");
        let promising = Config::from_layers(&layers).expect("one in a hundred");
        assert_eq!(promising.policy.promise, Some(Promise::ONE_PERCENT));
        layers.flag("--set", "grid.faulty_ppm", "500000").expect("known key");
        let error = Config::from_layers(&layers).expect_err("half of the workers").to_string();
        assert!(error.contains("from 1 to 499999"), "{error}");
    }

    #[test]
    fn an_invitation_names_no_address_with_a_key_in_it() {
        let public = |url: &str, public: &str| {
            let mut layers = Layers::new(KEYS);
            layers.flag("--set", "chain.url", url).expect("known key");
            layers.flag("--set", "chain.public_url", public).expect("known key");
            Config::from_layers(&layers).expect("good").public_node()
        };
        assert_eq!(public("http://127.0.0.1:8545/", "").as_deref(), Some("http://127.0.0.1:8545/"));
        let preset = "https://arb1.arbitrum.io/rpc";
        assert_eq!(public(preset, "").as_deref(), Some(preset));
        for secret in
            ["https://arb.example/v2/abcdef", "https://u:p@example", "https://example?key=a"]
        {
            assert_eq!(public(secret, ""), None, "{secret}");
            assert_eq!(public(secret, preset).as_deref(), Some(preset));
        }
    }

    #[test]
    fn several_nodes_stand_in_one_text() {
        let with = |text: &str| {
            let mut layers = Layers::new(KEYS);
            layers.flag("--set", "chain.url", text).expect("known key");
            Config::from_layers(&layers)
        };
        let config = with("https://a, https://b ,https://c").expect("three nodes");
        assert_eq!(config.max_fee_wei_per_gas, None, "the preset's");
        assert_eq!(config.chain, ChainAt::Url("https://a".into()));
        assert_eq!(config.more_nodes, ["https://b", "https://c"]);
        let array = with("[\"https://a\", \"https://b\"]").expect("two nodes");
        assert_eq!(array.chain, ChainAt::Url("https://a".into()));
        assert_eq!(array.more_nodes, ["https://b"]);
        for bad in ["embedded,https://a", "a,b,c,d,e,f"] {
            let error = with(bad).expect_err(bad).to_string();
            assert!(error.contains("one to five URLs"), "{error}");
        }
        let error = with("https://a,").expect_err("a comma too many").to_string();
        assert!(error.contains("an array of texts"), "{error}");
    }

    #[test]
    fn a_refusal_names_key_value_and_expectation() {
        let mut layers = Layers::new(KEYS);
        layers.flag("--set", "pool.stake_ratio", "101").expect("known key");
        let error = Config::from_layers(&layers).expect_err("out of range").to_string();
        let expected =
            "flag --set: `pool.stake_ratio` is 101; expected a whole number from 0 to 100";
        assert_eq!(error, expected);
    }
}
