//! `init`: keys, a pool with its bond, and the file that says so.

use super::{
    FILE, Global, Init,
    chain::{GAS_KEY, chain, connect, gas, keys, make_dir, outbox_config},
    output::Output,
    usage,
};
use crate::{
    config::{ChainAt, Config},
    dev::{self, DevChain},
    failure,
};
use quorate_chain::{
    SettleError,
    events::ChainEvent,
    keystore::Signer,
    outbox::Outbox,
    settlement::{Settlement, deploy_settlement, deploy_token},
};
use quorate_common::{
    Address, B256, U256,
    config::Layers,
    exit::{Code, Failure},
    ids::PoolId,
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

/// `init`. What is there already is kept, so the command can be repeated.
pub(super) async fn run(
    global: &Global,
    layers: &Layers,
    args: &Init,
    output: Output,
) -> Result<(), Failure> {
    let config = Config::from_layers(layers).map_err(usage)?;
    check(&config, args)?;
    let gas = gas(&config, args.gas_key.as_deref())?;
    make_dir(&config)?;
    let (node_key, signer) = keys(&config)?;
    let (node_key, signer) = (node_key.public(), signer.address());
    let pool = match &config.chain {
        ChainAt::Embedded => embedded(&config, signer, node_key).await?,
        ChainAt::Url(_) => {
            save_gas_key(&config, &gas)?;
            let chain = chain(&config)?;
            // A pool that exists sends nothing here, and its scheduler may be serving meanwhile.
            let outbox = if config.pool.is_some() && !args.deploy {
                Outbox::new(chain, gas, outbox_config(&config))
            } else {
                crate::outbox::open(&config, chain, gas)?
            };
            on_chain(&config, args, &outbox, (signer, node_key), output).await?
        }
    };
    let file = write_config(global, layers, &config, &pool)?;
    let document = json!({
        "schema": "quorate.init/v1", "config": file, "data": config.data, "signer": signer,
        "node_key": node_key, "chain_id": config.chain_id, "contract": pool.contract,
        "pool": pool.id,
    });
    output.either(&document, || {
        format!("{} of contract {}\nconfiguration: {file}", pool.id, pool.contract)
    })?;
    let flag = if global.config.is_some() { "--config" } else { "--data" };
    let value = global.config.clone().unwrap_or_else(|| config.data.clone());
    output.note(format!("next: quorate-scheduler {flag} {} serve", value.display()));
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

async fn on_chain(
    config: &Config,
    args: &Init,
    outbox: &Outbox,
    keys: (Address, B256),
    output: Output,
) -> Result<Pool, Failure> {
    outbox.chain().expect_chain(config.chain_id).await.map_err(failure::chain)?;
    let settlement = if args.deploy {
        output.note("deploying a test token and the contract");
        let token = deploy_token(outbox, outbox.account()).await.map_err(failure::chain)?;
        deploy_settlement(outbox, token, dev::WINDOW_S).await.map_err(failure::chain)?
    } else {
        connect(config).await?.0
    };
    let id = match config.pool {
        Some(pool) => pool,
        None => register(&settlement, outbox, keys, args.bond, output).await?,
    };
    Ok(Pool { contract: settlement.address(), id })
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
            .hint("the pool's bond is paid in tokens; --bond sets another"));
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

/// Writes the file with what `init` found out. Returns its path.
fn write_config(
    global: &Global,
    layers: &Layers,
    config: &Config,
    pool: &Pool,
) -> Result<String, Failure> {
    let mut layers = layers.clone();
    // The file is found from any folder, and so must be what it names.
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let found = [
        ("chain.contract", pool.contract.to_string()),
        ("pool.id", pool.id.0.to_string()),
        ("data", data.display().to_string()),
    ];
    for (key, value) in found {
        layers.flag("init", key, &value).map_err(usage)?;
    }
    let path = global.config.clone().unwrap_or_else(|| config.data.join(FILE));
    replace(&path, &layers.commented_file())
        .map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", path.display())))?;
    Ok(path.display().to_string())
}

/// The file as a whole, or as it was.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let unborn = path.with_extension("toml.tmp");
    let mut file = fs::File::create(&unborn)?;
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
