//! `init`: keys, a pool with its bond, and the file that says so.

use super::{
    FILE, Global, Init, ask,
    chain::{GAS_KEY, chain, connect, gas, keys, make_dir, outbox_config},
    deploy,
    output::Output,
    unit, usage,
};
use crate::{
    config::{ChainAt, Config},
    dev::{self, DevChain},
    failure,
};
use quorate_chain::{
    SettleError, events::ChainEvent, keystore::Signer, outbox::Outbox, settlement::Settlement,
};
use quorate_common::{
    Address, B256, U256,
    config::Layers,
    exit::{Code, Failure},
    ids::PoolId,
    keys::random32,
    report::Chain as Report,
};
use serde_json::json;
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// A pool on its chain.
struct Pool {
    contract: Address,
    id: PoolId,
}

/// `init`. What is there already is kept, so the command can be repeated: after money has arrived, for one.
pub(super) async fn run(
    global: &Global,
    mut layers: Layers,
    mut args: Init,
    output: Output,
) -> Result<(), Failure> {
    if ask::is_wanted(&args, &layers) {
        ask::ask(&mut args)?;
    }
    ask::lay(&args, &mut layers)?;
    let config = Config::from_layers(&layers).map_err(usage)?;
    check(&config, &args)?;
    make_dir(&config)?;
    let (node_key, signer) = keys(&config)?;
    let (node_key, signer) = (node_key.public(), signer.address());
    let mut file = File { global, layers, config: &config };
    let pool = match &config.chain {
        ChainAt::Embedded => embedded(&config, signer, node_key).await?,
        ChainAt::Url(_) => on_chain(&mut file, &args, (signer, node_key), output).await?,
    };
    file.found("chain.contract", pool.contract)?;
    file.found("pool.id", pool.id.0)?;
    let path = file.write()?;
    if let Some(unit) = &args.unit {
        unit::write(unit, &config)?;
    }
    let document = json!({
        "schema": "quorate.init/v1", "config": path, "data": config.data, "signer": signer,
        "node_key": node_key, "chain_id": config.chain_id, "contract": pool.contract,
        "pool": pool.id, "unit": args.unit,
    });
    output.either(&document, || {
        format!("{} of contract {}\nconfiguration: {path}", pool.id, pool.contract)
    })?;
    let flag = if global.config.is_some() { "--config" } else { "--data" };
    let value = global.config.clone().unwrap_or_else(|| config.data.clone());
    output.note(format!("next: quorate-scheduler {flag} {} check, then serve", value.display()));
    Ok(())
}

/// A second contract for a pool of the first one would be nobody's intention.
fn check(config: &Config, args: &Init) -> Result<(), Failure> {
    match (&config.chain, config.contract) {
        (ChainAt::Embedded, _) if args.deploy => {
            let text = "--deploy is for a chain with a node; the chain of `chain.preset` dev is in \
                        this process and has its contract";
            Err(Failure::new(Code::Usage, text).hint("leave --deploy out, or set chain.url"))
        }
        (_, Some(contract)) if args.deploy => {
            let text = format!("`chain.contract` is {contract} already; expected it unset");
            let hint = "leave --deploy out, or give the new contract a data folder of its own";
            Err(Failure::new(Code::Conflict, text).hint(hint))
        }
        _ => Ok(()),
    }
}

async fn embedded(config: &Config, signer: Address, node_key: B256) -> Result<Pool, Failure> {
    let (settlement, node) = connect(config).await?;
    let contract = settlement.address();
    let node = node.expect("an embedded chain has a node");
    let dev = DevChain { node, settlement, bank: dev::bank() };
    Ok(Pool { contract, id: dev.pool(signer, node_key).await? })
}

/// The account that pays, and the pool it pays for. The file is written in between too: what was asked and
/// what is deployed is not lost if the money is still on its way.
async fn on_chain(
    file: &mut File<'_>,
    args: &Init,
    keys: (Address, B256),
    output: Output,
) -> Result<Pool, Failure> {
    let config = file.config;
    let gas = gas_account(config, args.gas_key.as_deref(), output)?;
    file.write()?;
    let chain = chain(config)?;
    chain.expect_chain(config.chain_id).await.map_err(failure::chain)?;
    // A pool that exists sends nothing here, and its scheduler may be serving meanwhile.
    let outbox = if config.pool.is_some() && !args.deploy {
        Outbox::new(chain, gas, outbox_config(config))
    } else {
        crate::outbox::open(config, chain, gas)?
    };
    let settlement = if args.deploy {
        let done = deploy::put(&outbox, None, dev::WINDOW_S, output).await?;
        file.found("chain.contract", done.settlement.address())?;
        file.found("chain.first_block", done.first_block)?;
        file.write()?;
        done.settlement
    } else {
        connect(config).await?.0
    };
    let id = match config.pool {
        Some(pool) => pool,
        None => register(&settlement, &outbox, keys, args.bond, output).await?,
    };
    Ok(Pool { contract: settlement.address(), id })
}

/// The account that pays for gas and bond: in the file that is named, in the data folder, or made there.
fn gas_account(config: &Config, file: Option<&Path>, output: Output) -> Result<Signer, Failure> {
    let kept = config.data.join(GAS_KEY);
    let is_new = file.is_some_and(|file| file == Path::new("new"));
    if is_new && !kept.exists() {
        let secret = random32().map_err(|error| Failure::new(Code::Internal, error))?;
        let made = Signer::from_secret(&secret);
        let made = made.map_err(|error| Failure::new(Code::Internal, Report(&error)))?;
        save_gas_key(config, &made)?;
        output.note(format!("made the operator's account {}", made.address()));
        return Ok(made);
    }
    let gas = gas(config, file.filter(|_| !is_new))?;
    save_gas_key(config, &gas)?;
    Ok(gas)
}

async fn register(
    settlement: &Settlement,
    outbox: &Outbox,
    (signer, node_key): (Address, B256),
    bond: u128,
    output: Output,
) -> Result<PoolId, Failure> {
    let account = outbox.account();
    let free = settlement.free_of(account).await.map_err(failure::chain)?;
    let missing = U256::from(bond.saturating_sub(free));
    let tokens = settlement.token_balance(account).await.map_err(failure::chain)?;
    if tokens < missing {
        let (have, want) = (tokens, missing);
        return Err(failure::chain(SettleError::InsufficientToken { account, have, want })
            .hint(format!(
                "send {missing} units of token {} and some coins for gas to {account}, and run init again; \
                 --bond sets another bond",
                settlement.token()
            )));
    }
    let mut calls = Vec::new();
    if !missing.is_zero() {
        calls.push(settlement.approve(missing));
        calls.push(settlement.deposit(bond.saturating_sub(free)));
    }
    calls.push(settlement.register_pool(signer, node_key, bond));
    for call in calls {
        output.note(format!("sending: {}", call.what));
        let receipt = outbox.send(call).await.map_err(failure::chain)?;
        for event in receipt.events(settlement.address()) {
            if let ChainEvent::PoolRegistered { pool, .. } = event {
                return Ok(pool);
            }
        }
    }
    Err(Failure::new(Code::Chain, "the contract did not say which pool was registered"))
}

/// The configuration file as it becomes.
struct File<'a> {
    global: &'a Global,
    layers: Layers,
    config: &'a Config,
}

impl File<'_> {
    /// Notes what was found out.
    fn found(&mut self, key: &str, value: impl ToString) -> Result<(), Failure> {
        self.layers.flag("init", key, &value.to_string()).map_err(usage)
    }

    /// Writes it with what is known so far. Returns its path.
    fn write(&mut self) -> Result<String, Failure> {
        let config = self.config;
        // The file is found from any folder, and so must be what it names.
        let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
        self.found("data", data.display())?;
        let path = self.global.config.clone().unwrap_or_else(|| config.data.join(FILE));
        let wrong = |error| Failure::new(Code::Internal, format!("{}: {error}", path.display()));
        replace(&path, &self.layers.commented_file()).map_err(wrong)?;
        Ok(path.display().to_string())
    }
}

/// The file as a whole, or as it was.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let unborn = path.with_extension("toml.tmp");
    // Addresses of nodes may carry keys.
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unborn)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(unborn, path)
}

/// The gas key is needed at every start; kept like the others, readable by its owner only.
fn save_gas_key(config: &Config, gas: &Signer) -> Result<(), Failure> {
    let path = config.data.join(GAS_KEY);
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", hex::encode(**gas.secret()))?;
        file.sync_all()
    };
    write().map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))
}
