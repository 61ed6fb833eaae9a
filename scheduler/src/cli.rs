//! The operator's commands: init, check, serve, invite, config.

use crate::{
    config::{ChainAt, Config, KEYS},
    dev::{self, DevChain},
    system::{self, Boot, Running, key_paths},
};
use clap::{Args, Parser, Subcommand};
use quorate_chain::{
    embedded::EmbeddedNode,
    keystore::Signer,
    outbox::{Outbox, OutboxConfig},
    settlement::Settlement,
    transport::{Chain, ChainUrl},
};
use quorate_common::{
    U256,
    config::{ConfigError, Layers, Origin},
    exit::{self, Code, Failure},
    ids::PoolId,
    keys::{NodeKey, VoteKey, node_key_at, vote_key_at},
    messages::Domain,
    report::Chain as Report,
    telemetry::{self, LogFormat},
};
use serde_json::{Value, json};
use std::{io::Write as _, path::PathBuf, time::Duration};

/// Environment variables that are no configuration keys.
const RESERVED: &[&str] = &["QUORATE_LOG", "QUORATE_CONFIG", "QUORATE_GAS_KEY"];

/// Runs a pool: takes orders, hands tasks to workers, votes, pays.
#[derive(Debug, Parser)]
#[command(
    name = "quorate-scheduler",
    version,
    after_help = "Exit codes: quorate-scheduler exit-codes"
)]
pub struct Cli {
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "QUORATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of everything; the same as --set data=DIR.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Sets any configuration key.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Answers as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Logs more; twice, even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes keys and a commented configuration, and registers the pool with its bond.
    Init(Init),
    /// Runs the pool until SIGINT or SIGTERM.
    Serve,
    /// Prints the link that workers join with.
    Invite,
    /// Shows or checks the configuration.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Prints the API's description (OpenAPI 3.1).
    Openapi,
    /// Lists the exit codes.
    ExitCodes,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every key with its value.
    Show {
        /// Also prints where each value came from.
        #[arg(long)]
        origin: bool,
    },
    /// Reads it and says what is wrong.
    Check,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Token units of bond; two thirds of it cap what may be pending.
    #[arg(long, default_value = "1000000000000000000000")]
    pub bond: u128,
    /// File with the operator's private key, 64 hex digits. It pays bond and gas.
    #[arg(long, env = "QUORATE_GAS_KEY", value_name = "FILE")]
    pub gas_key: Option<PathBuf>,
    /// Deploys a test token and the contract first. For development chains only.
    #[arg(long)]
    pub deploy: bool,
}

/// Runs the program; returns its exit status.
pub fn run() -> u8 {
    let cli = Cli::parse();
    let filter = ["info", "info,quorate_scheduler=debug", "debug"][usize::from(cli.verbose.min(2))];
    let json = cli.json;
    match dispatch(cli, filter) {
        Ok(()) => 0,
        Err(failure) => {
            let text = if json { failure.to_json() } else { format!("error: {failure}") };
            eprintln!("{text}");
            failure.exit
        }
    }
}

fn dispatch(cli: Cli, filter: &str) -> Result<(), Failure> {
    let layers = layers(&cli).map_err(usage)?;
    let format: LogFormat = layers.parse("log.format", "text or json").map_err(usage)?;
    telemetry::start(format, filter);
    match &cli.command {
        Command::ExitCodes => print(exit::HELP),
        Command::Openapi => print(&openapi()),
        Command::Config { command } => config(&cli, &layers, command),
        Command::Init(init) => block_on(init_pool(&cli, &layers, init)),
        Command::Serve => serve(&cli, Config::from_layers(&layers).map_err(usage)?),
        Command::Invite => invite(&cli, &Config::from_layers(&layers).map_err(usage)?),
    }
}

/// The API's description as it is served.
pub fn openapi() -> String {
    use utoipa::OpenApi as _;
    crate::http::Description::openapi().to_pretty_json().expect("a description always serialises")
}

fn layers(cli: &Cli) -> Result<Layers, ConfigError> {
    let mut layers = Layers::new(KEYS);
    layers.file("/etc/quorate/scheduler.toml".as_ref(), false)?;
    if let Some(data) = &cli.data {
        layers.file(&data.join("quorate.toml"), false)?;
    }
    if let Some(path) = &cli.config {
        // `init` writes the file it is given.
        layers.file(path, !matches!(cli.command, Command::Init(_)))?;
    }
    layers.env(std::env::vars(), RESERVED)?;
    if let Some(data) = &cli.data {
        layers.flag("--data", "data", &data.display().to_string())?;
    }
    for set in &cli.set {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        layers.flag("--set", key.trim(), value.trim())?;
    }
    Ok(layers)
}

fn config(cli: &Cli, layers: &Layers, command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => {
            Config::from_layers(layers).map_err(usage)?;
            print(if cli.json { "{\"schema\":\"quorate.config/v1\",\"ok\":true}" } else { "ok" })
        }
        ConfigCommand::Show { origin } => {
            let rows = layers.rows();
            if cli.json {
                let row =
                    |(key, value): &(quorate_common::config::Key, Option<(String, Origin)>)| {
                        json!({ "key": key.name, "value": value.as_ref().map(|v| &v.0),
                        "origin": value.as_ref().map(|v| v.1.to_string()), "help": key.help })
                    };
                let rows: Vec<Value> = rows.iter().map(row).collect();
                return print(&json!({ "schema": "quorate.config/v1", "keys": rows }).to_string());
            }
            let mut text = String::new();
            for (key, value) in rows {
                let (value, from) =
                    value.map_or(("(unset)".into(), String::new()), |(v, o)| (v, o.to_string()));
                text += &format!("{} = {value}", key.name);
                text += &if *origin { format!("    # {from}\n") } else { "\n".into() };
            }
            print(text.trim_end())
        }
    }
}

/// Keys, settings and gas account of a data folder.
struct Keys {
    node: NodeKey,
    signer: VoteKey,
    gas: Signer,
}

fn keys(config: &Config, gas_key: Option<&PathBuf>) -> Result<Keys, Failure> {
    let denied = |error: quorate_common::keys::KeyError| Failure::new(Code::Denied, Report(&error));
    let (node_path, signer_path) = key_paths(&config.data);
    let gas = match (gas_key, &config.chain) {
        (Some(path), _) => gas_signer(path)?,
        (None, ChainAt::Embedded) => dev::bank(),
        (None, ChainAt::Url(_)) => gas_signer(&config.data.join("keys/gas.key"))?,
    };
    let node = node_key_at(&node_path).map_err(denied)?;
    Ok(Keys { node, signer: vote_key_at(&signer_path).map_err(denied)?, gas })
}

fn gas_signer(path: &PathBuf) -> Result<Signer, Failure> {
    let text = std::fs::read(path).map_err(|error| {
        Failure::new(Code::Usage, format!("gas key {}: {error}", path.display()))
            .hint("give init --gas-key FILE, a file with 64 hex digits")
    })?;
    let text = String::from_utf8_lossy(&text);
    Signer::from_hex(text.trim()).map_err(|error| Failure::new(Code::Denied, Report(&error)))
}

/// The chain, the contract, and the embedded node if there is one.
async fn connect(config: &Config) -> Result<(Settlement, Option<EmbeddedNode>), Failure> {
    match &config.chain {
        ChainAt::Embedded => {
            let path = config.data.join("chain.log");
            let dev = DevChain::start(Some(&path)).await?;
            Ok((dev.settlement, Some(dev.node)))
        }
        ChainAt::Url(url) => {
            let contract = config.contract.ok_or_else(|| {
                Failure::new(Code::Usage, "`chain.contract` is not set")
                    .hint("set it to the settlement contract's address, or run init --deploy")
            })?;
            let chain = chain(url)?;
            let domain = Domain { chain_id: config.chain_id, contract };
            let settlement = Settlement::connect(chain, domain).await.map_err(chain_failure)?;
            Ok((settlement, None))
        }
    }
}

fn chain(url: &str) -> Result<Chain, Failure> {
    Chain::connect(&ChainUrl::parse(url).map_err(chain_failure)?).map_err(chain_failure)
}

async fn boot(config: Config) -> Result<Boot, Failure> {
    make_dir(&config)?;
    let Keys { node: node_key, signer, gas } = keys(&config, None)?;
    let (settlement, node) = connect(&config).await?;
    let pool = match (config.pool, &config.chain) {
        (Some(pool), _) => pool,
        (None, ChainAt::Embedded) => {
            let node = node.clone().expect("an embedded chain has a node");
            let dev = DevChain { node, settlement: settlement.clone(), bank: dev::bank() };
            dev.pool(signer.address(), node_key.public()).await?
        }
        (None, ChainAt::Url(_)) => {
            return Err(Failure::new(Code::Usage, "`pool.id` is not set").hint("run init first"));
        }
    };
    let view = settlement.pool(pool).await.map_err(chain_failure)?;
    if view.signer != signer.address() {
        let message = format!(
            "{pool} is signed for by {}; this data folder's signer is {}",
            view.signer,
            signer.address()
        );
        return Err(
            Failure::new(Code::Denied, message).hint("restore keys/signer.key, or set pool.id")
        );
    }
    Ok(Boot { config, node_key, signer, gas, settlement, pool, node })
}

fn make_dir(config: &Config) -> Result<(), Failure> {
    std::fs::create_dir_all(&config.data).map_err(|error| {
        Failure::new(Code::Internal, format!("data {}: {error}", config.data.display()))
    })
}

fn serve(cli: &Cli, config: Config) -> Result<(), Failure> {
    let json = cli.json;
    let system = actix::System::new();
    system.block_on(async move {
        let running = system::start(boot(config).await?).await?;
        announce(&running, json)?;
        wait_for_signal().await;
        tracing::info!("stopping");
        running.stop().await;
        Ok(())
    })
}

fn announce(running: &Running, json: bool) -> Result<(), Failure> {
    let (pool, invite) = (running.shared.pool, &running.invite);
    if json {
        let ready = json!({ "schema": "quorate.ready/v1", "pool": pool, "http": running.http,
            "quic": running.quic, "contract": running.shared.domain.contract,
            "chain_id": running.shared.domain.chain_id, "invite": invite.to_string() });
        return print(&ready.to_string());
    }
    print(&format!(
        "quorate-scheduler: {pool} is open\n  API      http://{}\n  workers  {}\n  invite   {invite}",
        running.http, running.quic
    ))
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
}

fn invite(cli: &Cli, config: &Config) -> Result<(), Failure> {
    block_on(async {
        let boot = boot(config.clone()).await?;
        let address = config.quic_public.clone().unwrap_or(config.quic_listen.to_string());
        let api = config.http_public.clone().unwrap_or(format!("http://{}", config.http_listen));
        let rpc = match &config.chain {
            ChainAt::Embedded => format!("{api}/rpc"),
            ChainAt::Url(url) => url.clone(),
        };
        let invite = quorate_common::invite::Invite {
            address,
            node_key: boot.node_key.public(),
            pool: boot.pool,
            domain: boot.settlement.domain(),
            rpc: Some(rpc),
            api: Some(api),
        };
        let document = json!({ "schema": "quorate.invite/v1", "invite": invite.to_string() });
        print(&if cli.json { document.to_string() } else { invite.to_string() })
    })
}

async fn init_pool(cli: &Cli, layers: &Layers, init: &Init) -> Result<(), Failure> {
    let config = Config::from_layers(layers).map_err(usage)?;
    make_dir(&config)?;
    let Keys { node, signer, gas } = keys(&config, init.gas_key.as_ref())?;
    let mut layers = layers.clone();
    let mut set = |key: &str, value: &str| layers.flag("init", key, value).map_err(usage);
    if let ChainAt::Url(url) = &config.chain {
        save_gas_key(&config, &gas)?;
        let chain = chain(url)?;
        chain.expect_chain(config.chain_id).await.map_err(chain_failure)?;
        let outbox = Outbox::new(chain.clone(), gas, outbox_config(&config));
        let settlement = settlement(&config, init, &chain, &outbox).await?;
        let pool = match config.pool {
            Some(pool) => pool,
            None => register(&settlement, &outbox, signer.address(), node.public(), init).await?,
        };
        set("chain.contract", &settlement.address().to_string())?;
        set("pool.id", &pool.0.to_string())?;
    }
    set("data", &config.data.display().to_string())?;
    let path = cli.config.clone().unwrap_or_else(|| config.data.join("quorate.toml"));
    std::fs::write(&path, layers.commented_file())
        .map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))?;
    let flag = format!("--config {}", path.display());
    let document =
        json!({ "schema": "quorate.init/v1", "config": path, "signer": signer.address() });
    print(&if cli.json {
        document.to_string()
    } else {
        format!("wrote {}\nnext: quorate-scheduler {flag} serve", path.display())
    })
}

/// The gas key is needed at every start; kept like the others, readable by its owner only.
fn save_gas_key(config: &Config, gas: &Signer) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = config.data.join("keys/gas.key");
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", hex::encode(**gas.secret()))
    };
    write().map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))
}

async fn settlement(
    config: &Config,
    init: &Init,
    chain: &Chain,
    outbox: &Outbox,
) -> Result<Settlement, Failure> {
    if let (Some(contract), false) = (config.contract, init.deploy) {
        let domain = Domain { chain_id: config.chain_id, contract };
        return Settlement::connect(chain.clone(), domain).await.map_err(chain_failure);
    }
    if !init.deploy {
        let failure = Failure::new(Code::Usage, "`chain.contract` is not set");
        return Err(failure.hint("set chain.contract, or init --deploy on a development chain"));
    }
    let holder = outbox.account();
    let token =
        quorate_chain::settlement::deploy_token(outbox, holder).await.map_err(chain_failure)?;
    quorate_chain::settlement::deploy_settlement(outbox, token, dev::WINDOW_S)
        .await
        .map_err(chain_failure)
}

async fn register(
    settlement: &Settlement,
    outbox: &Outbox,
    signer: quorate_common::Address,
    node_key: quorate_common::B256,
    init: &Init,
) -> Result<PoolId, Failure> {
    let free = settlement.free_of(outbox.account()).await.map_err(chain_failure)?;
    let missing = init.bond.saturating_sub(free);
    let mut calls = Vec::new();
    if missing > 0 {
        calls.push(settlement.approve(U256::from(missing)));
        calls.push(settlement.deposit(missing));
    }
    calls.push(settlement.register_pool(signer, node_key, init.bond));
    for call in calls {
        let receipt = outbox.send(call).await.map_err(chain_failure)?;
        for event in receipt.events(settlement.address()) {
            if let quorate_chain::events::ChainEvent::PoolRegistered { pool, .. } = event {
                return Ok(pool);
            }
        }
    }
    Err(Failure::new(Code::Chain, "the contract did not say which pool was registered"))
}

fn outbox_config(config: &Config) -> OutboxConfig {
    OutboxConfig {
        chain_id: config.chain_id,
        finality: config.finality,
        poll: config.poll,
        mined_within: Duration::from_secs(60),
        final_within: Duration::from_secs(3600),
    }
}

fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    actix::System::new().block_on(future)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .map_err(|error| Failure::new(Code::Internal, format!("stdout: {error}")))
}

fn usage(error: ConfigError) -> Failure {
    Failure::new(Code::Usage, Report(&error))
}

fn chain_failure(error: quorate_chain::error::SettleError) -> Failure {
    Failure::new(Code::Chain, Report(&error))
}
