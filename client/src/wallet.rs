//! `quorate wallet`: accounts on disk, and what they have on chain. Every amount is printed in the
//! token's smallest unit and in tokens.

use crate::{
    amount, chain,
    cli::WalletCommand,
    config::Config,
    context::Context,
    failure,
    output::{facts, table},
    secret,
};
use quorate_chain::{Address, Call, Keystore, Receipt, Settlement, Signer, U256};
use quorate_common::{
    exit::{Code, Failure},
    permit::{PERMIT_BYTES_MAX, Permit},
};
use serde_json::json;
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// Runs a wallet command.
///
/// # Errors
/// The wallet's, the chain's, the scheduler's.
pub async fn run(context: &Context, command: &WalletCommand) -> Result<(), Failure> {
    match command {
        WalletCommand::New { name } => make(context, name.as_deref()),
        WalletCommand::Import { name, key_file } => {
            import(context, name.as_deref(), key_file.as_deref())
        }
        WalletCommand::Ls => list(context),
        WalletCommand::Address => address(context),
        WalletCommand::Balance { address } => balance(context, *address).await,
        WalletCommand::Deposit { amount } => deposit(context, *amount).await,
        WalletCommand::Withdraw { amount } => withdraw(context, *amount).await,
        WalletCommand::Send { to, amount, eth } => send(context, *to, amount, *eth).await,
        WalletCommand::Carry { file } => carry(context, file).await,
        WalletCommand::Export { yes } => export(context, *yes),
    }
}

/// The configured account, opened with its password.
///
/// # Errors
/// No such account, no or a wrong password.
pub fn open(config: &Config) -> Result<Signer, Failure> {
    let name = config.wallet()?;
    let keystore = keystore(config)?;
    // A missing account is said before a password is asked for.
    known(&keystore, &name)?;
    let password = secret::password(config, &name)?;
    keystore.open(&name, &password).map_err(|error| failure::keystore(&error))
}

fn make(context: &Context, name: Option<&str>) -> Result<(), Failure> {
    let config = &context.config;
    let name = name.map_or_else(|| config.wallet(), |name| Ok(name.to_owned()))?;
    let keystore = keystore(config)?;
    free(&keystore, &name)?;
    let password = secret::new_password(config, &name)?;
    let signer = keystore.create(&name, &password).map_err(|error| failure::keystore(&error))?;
    made(context, &name, &signer)
}

fn import(context: &Context, name: Option<&str>, key_file: Option<&Path>) -> Result<(), Failure> {
    let config = &context.config;
    let name = name.map_or_else(|| config.wallet(), |name| Ok(name.to_owned()))?;
    let keystore = keystore(config)?;
    free(&keystore, &name)?;
    let key = secret::private_key(key_file)?;
    let password = secret::new_password(config, &name)?;
    let signer = keystore.import(&name, &key, &password);
    made(context, &name, &signer.map_err(|error| failure::keystore(&error))?)
}

fn made(context: &Context, name: &str, signer: &Signer) -> Result<(), Failure> {
    let file = context.config.wallet_dir()?.join(format!("{name}.json"));
    context
        .output
        .note(format!("{}: back it up, and its password: nobody can restore them", file.display()));
    let document = json!({
        "schema": "quorate.wallet/v1", "name": name, "address": signer.address(), "file": file,
    });
    context.output.either(&document, || signer.address().to_string())
}

fn list(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    let entries = keystore(config)?.list().map_err(|error| failure::keystore(&error))?;
    let chosen = config.wallet()?;
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| json!({ "name": entry.name, "address": entry.address, "default": entry.name == chosen }))
        .collect();
    let document = json!({ "schema": "quorate.wallets/v1", "wallets": rows });
    context.output.either(&document, || {
        let line = |entry: &quorate_chain::keystore::Entry| {
            let address = entry.address.map_or_else(|| "unknown".into(), |a| a.to_string());
            let mark = if entry.name == chosen { "*" } else { "" };
            vec![entry.name.clone(), address, mark.to_owned()]
        };
        table(&["NAME", "ADDRESS", "DEFAULT"], entries.iter().map(line))
    })
}

fn address(context: &Context) -> Result<(), Failure> {
    let address = address_of(&context.config)?;
    let document = json!({ "schema": "quorate.address/v1", "address": address });
    context.output.either(&document, || address.to_string())
}

async fn balance(context: &Context, whose: Option<Address>) -> Result<(), Failure> {
    let config = &context.config;
    let address = whose.map_or_else(|| address_of(config), Ok)?;
    let contract = connect(config).await?;
    let free = contract.free_of(address).await.map_err(|error| failure::chain(&error))?;
    let tokens = contract.token_balance(address).await.map_err(|error| failure::chain(&error))?;
    let coins = contract.chain().balance(address).await.map_err(|error| failure::chain(&error))?;
    let (tokens, coins) = (units(tokens), units(coins));
    let document = json!({
        "schema": "quorate.balance/v1",
        "address": address,
        "contract": contract.address(),
        "free": free.to_string(),
        "tokens": tokens.to_string(),
        "wei": coins.to_string(),
    });
    context.output.either(&document, || {
        facts(&[
            ("address", address.to_string()),
            ("free in the contract", amount::show(free)),
            ("tokens outside", amount::show(tokens)),
            ("for gas", amount::show_native(coins)),
        ])
    })
}

async fn deposit(context: &Context, amount: u128) -> Result<(), Failure> {
    let contract = connect(&context.config).await?;
    let signer = open(&context.config)?;
    let account = signer.address();
    let want = U256::from(amount);
    let have = contract.token_balance(account).await.map_err(|error| failure::chain(&error))?;
    if have < want {
        let (have, want) = (amount::show(units(have)), amount::show(amount));
        let text = format!("account {account} has {have} outside of the contract, not {want}");
        return Err(Failure::new(Code::Funds, text).hint("have tokens sent to it first"));
    }
    let allowed =
        contract.token_allowance(account).await.map_err(|error| failure::chain(&error))?;
    let approve = (allowed < want).then(|| contract.approve(want));
    let calls = approve.into_iter().chain([contract.deposit(amount)]);
    transact(context, &contract, signer, calls.collect(), amount).await
}

async fn withdraw(context: &Context, amount: u128) -> Result<(), Failure> {
    let contract = connect(&context.config).await?;
    let signer = open(&context.config)?;
    let free = contract.free_of(signer.address()).await.map_err(|error| failure::chain(&error))?;
    if free < amount {
        let (free, want) = (amount::show(free), amount::show(amount));
        let text = format!("free in the contract are {free}, not {want}");
        return Err(Failure::new(Code::Funds, text)
            .hint("running orders lock their price; `quorate order refund` frees what failed"));
    }
    let call = contract.withdraw(amount);
    transact(context, &contract, signer, vec![call], amount).await
}

async fn send(context: &Context, to: Address, text: &str, eth: bool) -> Result<(), Failure> {
    let parsed = if eth { amount::parse_native(text) } else { amount::parse(text) };
    let amount = parsed.map_err(|error| Failure::new(Code::Usage, error))?;
    let contract = connect(&context.config).await?;
    let signer = open(&context.config)?;
    let call = if eth {
        Call::transfer(to, U256::from(amount))
    } else {
        contract.token_transfer(to, U256::from(amount))
    };
    transact(context, &contract, signer, vec![call], amount).await
}

/// The permit says which contract it is for. Whether that is one of the configured chain is asked as always.
async fn carry(context: &Context, file: &Path) -> Result<(), Failure> {
    let permit = read_permit(file)?;
    let contract = chain::connect(&context.config, permit.domain).await?;
    let refused = |error| Failure::new(Code::Denied, format!("{}: {error}", file.display()));
    let call = contract.carry(&permit).map_err(refused)?;
    transact(context, &contract, open(&context.config)?, vec![call], 0).await
}

fn read_permit(file: &Path) -> Result<Permit, Failure> {
    let shown = file.display();
    let failed = |error: io::Error| Failure::new(Code::NotFound, format!("{shown}: {error}"));
    let from: Box<dyn io::Read> = match file == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(fs::File::open(file).map_err(failed)?),
    };
    let mut text = Vec::new();
    from.take(PERMIT_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > PERMIT_BYTES_MAX {
        let text = format!("{shown}: longer than {PERMIT_BYTES_MAX} bytes, so no permit");
        return Err(Failure::new(Code::Usage, text));
    }
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(
            Code::Usage,
            format!("{shown}: {error}; expected a quorate.permit/v1 document"),
        )
        .hint("`quorate-worker join --permit FILE` or `leave --permit FILE` writes one")
    })
}

fn export(context: &Context, yes: bool) -> Result<(), Failure> {
    if !yes {
        let text = "this prints the private key: whoever sees it owns the money";
        return Err(Failure::new(Code::Usage, text).hint("quorate wallet export --yes"));
    }
    let signer = open(&context.config)?;
    let key = zeroize::Zeroizing::new(hex::encode(signer.secret().as_slice()));
    let document = json!({
        "schema": "quorate.wallet-key/v1", "address": signer.address(), "private_key": *key,
    });
    context.output.either(&document, || key.to_string())
}

/// Sends calls one after the other and prints what they did.
pub(crate) async fn transact(
    context: &Context,
    contract: &Settlement,
    signer: Signer,
    calls: Vec<Call>,
    amount: u128,
) -> Result<(), Failure> {
    let account = signer.address();
    let outbox = chain::outbox(&context.config, contract, signer)?;
    let mut receipts: Vec<(String, Receipt)> = Vec::new();
    for call in calls {
        let what = call.what.clone();
        context.output.note(format!("{what} …"));
        let receipt = outbox.send(call).await.map_err(|error| failure::chain(&error))?;
        receipts.push((what, receipt));
    }
    let free = contract.free_of(account).await.map_err(|error| failure::chain(&error))?;
    let rows: Vec<_> = receipts
        .iter()
        .map(|(what, r)| json!({ "what": what, "tx": r.tx, "block": r.block_number, "gas": r.gas_used, "fee_wei": r.fee_wei.to_string() }))
        .collect();
    let document = json!({
        "schema": "quorate.transactions/v1",
        "account": account,
        "contract": contract.address(),
        "amount": amount.to_string(),
        "free": free.to_string(),
        "transactions": rows,
    });
    context.output.either(&document, || {
        let line = |(what, receipt): &(String, Receipt)| {
            vec![what.clone(), receipt.tx.to_string(), receipt.gas_used.to_string()]
        };
        let rows = table(&["WHAT", "TRANSACTION", "GAS"], receipts.iter().map(line));
        format!("{rows}\nfree in the contract: {}", amount::show(free))
    })
}

async fn connect(config: &Config) -> Result<Settlement, Failure> {
    chain::connect(config, chain::domain(config).await?).await
}

fn keystore(config: &Config) -> Result<Keystore, Failure> {
    Keystore::at(config.wallet_dir()?).map_err(|error| failure::keystore(&error))
}

/// The account's address, from its file where that says it, else by opening it.
pub(crate) fn address_of(config: &Config) -> Result<Address, Failure> {
    let name = config.wallet()?;
    match known(&keystore(config)?, &name)? {
        Some(address) => Ok(address),
        None => Ok(open(config)?.address()),
    }
}

/// Refuses a name that is not there; says its address if the file does.
fn known(keystore: &Keystore, name: &str) -> Result<Option<Address>, Failure> {
    let entries = keystore.list().map_err(|error| failure::keystore(&error))?;
    match entries.iter().find(|entry| entry.name == name) {
        Some(entry) => Ok(entry.address),
        None => {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::new(Code::NotFound, format!("no wallet `{name}`; there are: {names}"))
                .hint("`quorate wallet new` makes one; `--wallet NAME` chooses another"))
        }
    }
}

/// Refuses a name that is taken, before a password is asked for.
fn free(keystore: &Keystore, name: &str) -> Result<(), Failure> {
    let entries = keystore.list().map_err(|error| failure::keystore(&error))?;
    if entries.iter().any(|entry| entry.name == name) {
        let text = format!("wallet `{name}` exists already; choose another name");
        return Err(Failure::new(Code::Conflict, text));
    }
    Ok(())
}

/// Balances beyond 2^128 are shown as the largest that fits; no token has so many units.
fn units(balance: U256) -> u128 {
    u128::try_from(balance).unwrap_or(u128::MAX)
}
