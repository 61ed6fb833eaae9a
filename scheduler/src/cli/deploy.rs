//! `chain deploy`, `chain verify`, `chain presets`: the contracts on a chain, and whether what is there is what
//! this release was built with. Deploying gives nobody any right: the contract has no owner.

use super::{ChainArgs, ChainCommand, Deploy, chain::gas_key, output::Output};
use crate::failure;
use quorate_chain::{
    keystore::Signer,
    outbox::{Outbox, OutboxConfig},
    presets::{EMBEDDED, PRESETS, Preset, preset},
    settlement::{CodeView, Settlement, deploy_settlement, deploy_token},
    transport::{Chain, ChainUrl},
};
use quorate_common::{
    Address,
    exit::{Code, Failure},
    messages::Domain,
};
use serde_json::{Value, json};

/// The chain whose money is real: no worthless token is put on it by mistake.
const REAL: &str = "arbitrum";

/// `chain …`.
pub(super) async fn run(command: ChainCommand, output: Output) -> Result<(), Failure> {
    match command {
        ChainCommand::Deploy(args) => deploy(&args, output).await,
        ChainCommand::Verify { at, contract } => verify(&at, contract, output).await,
        ChainCommand::Presets => presets(output),
    }
}

/// A deployed contract.
pub(super) struct Deployed {
    /// The contract.
    pub(super) settlement: Settlement,
    /// Where its events begin.
    pub(super) first_block: u64,
    codes: Vec<CodeView>,
}

/// Deploys for `token`, or for a worthless one made for it, and checks the code that is there afterwards.
pub(super) async fn put(
    outbox: &Outbox,
    token: Option<Address>,
    window_s: u64,
    output: Output,
) -> Result<Deployed, Failure> {
    let first_block = outbox.chain().head().await.map_err(failure::chain)?.number;
    let token = match token {
        Some(token) => token,
        None => {
            output.note("deploying a test token");
            deploy_token(outbox, outbox.account()).await.map_err(failure::chain)?
        }
    };
    output.note("deploying the contract and the six it rests on");
    let settlement = deploy_settlement(outbox, token, window_s).await.map_err(failure::chain)?;
    let codes = checked(&settlement).await?;
    output.note(format!("the code of all {} is this release's", codes.len()));
    Ok(Deployed { settlement, first_block, codes })
}

async fn deploy(args: &Deploy, output: Output) -> Result<(), Failure> {
    let (preset, chain) = open(&args.at).await?;
    if args.test_token && preset.name == REAL {
        let text = format!("--test-token on {REAL}: nobody would work for it");
        return Err(
            Failure::new(Code::Usage, text).hint("name a token that is worth something: --token")
        );
    }
    if let Some(token) = args.token {
        is_token(&chain, token).await?;
    }
    let signer: Signer = gas_key(&args.gas_key)?;
    let outbox = Outbox::new(chain, signer, OutboxConfig::of(preset));
    let done = put(&outbox, args.token, args.window, output).await?;
    let (contract, first) = (done.settlement.address(), done.first_block);
    let document = json!({
        "schema": "quorate.deployment/v1", "preset": preset.name, "chain_id": preset.chain_id,
        "contract": contract, "token": done.settlement.token(), "window_s": args.window,
        "first_block": first, "codes": codes_json(&done.codes),
    });
    output.either(&document, || {
        format!(
            "contract     {contract}\ntoken        {}\nfirst block  {first}\n{}",
            done.settlement.token(),
            codes_text(&done.codes)
        )
    })?;
    output.note(format!(
        "next: quorate-scheduler init --preset {} --contract {contract} --set chain.first_block={first}",
        preset.name
    ));
    Ok(())
}

async fn verify(at: &ChainArgs, contract: Address, output: Output) -> Result<(), Failure> {
    let (preset, chain) = open(at).await?;
    let domain = Domain { chain_id: preset.chain_id, contract };
    let settlement = Settlement::connect(chain, domain).await.map_err(failure::chain)?;
    let codes = checked(&settlement).await?;
    let document = json!({
        "schema": "quorate.code/v1", "chain_id": preset.chain_id, "contract": contract,
        "token": settlement.token(), "window_s": settlement.window_s(), "codes": codes_json(&codes),
    });
    output.either(&document, || codes_text(&codes))
}

/// The code of every contract, which must be this release's.
async fn checked(settlement: &Settlement) -> Result<Vec<CodeView>, Failure> {
    let codes = settlement.code_views().await.map_err(failure::chain)?;
    let differs = codes.iter().find_map(|view| Some((view, view.differs.as_ref()?)));
    let Some((view, how)) = differs else { return Ok(codes) };
    let text = format!("{} at {} is not this release's: {how}", view.name, view.address);
    Err(Failure::new(Code::Conflict, text)
        .hint("do not put money there; deploy again, or use its release"))
}

async fn open(at: &ChainArgs) -> Result<(&'static Preset, Chain), Failure> {
    let known = || PRESETS.map(|preset| preset.name).join(", ");
    let preset = preset(&at.preset).filter(|preset| preset.url != EMBEDDED).ok_or_else(|| {
        let text = format!(
            "--preset is {}; expected one of {} but dev, which has its contract",
            at.preset,
            known()
        );
        Failure::new(Code::Usage, text)
    })?;
    let url = at.rpc.as_deref().unwrap_or(preset.url);
    let chain =
        ChainUrl::parse(url).and_then(|url| Chain::connect(&url)).map_err(failure::chain)?;
    chain.expect_chain(preset.chain_id).await.map_err(failure::chain)?;
    Ok((preset, chain))
}

/// A contract that holds what is no token could never be paid into.
async fn is_token(chain: &Chain, token: Address) -> Result<(), Failure> {
    if chain.code(token).await.map_err(failure::chain)?.is_empty() {
        let text = format!("--token is {token}; expected a token's address: there is no code");
        return Err(Failure::new(Code::Usage, text));
    }
    Ok(())
}

fn codes_json(codes: &[CodeView]) -> Vec<Value> {
    let one = |view: &CodeView| {
        json!({
            "name": view.name, "address": view.address, "code_hash": view.code_hash,
            "release_hash": view.release_hash,
        })
    };
    codes.iter().map(one).collect()
}

fn codes_text(codes: &[CodeView]) -> String {
    let line = |view: &CodeView| {
        format!("{:11}  {}  code hash {}", view.name, view.address, view.code_hash)
    };
    codes.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn presets(output: Output) -> Result<(), Failure> {
    let one = |preset: &Preset| {
        json!({
            "name": preset.name, "chain_id": preset.chain_id, "url": preset.url,
            "max_fee_wei_per_gas": preset.max_fee_wei_per_gas,
        })
    };
    let all: Vec<Value> = PRESETS.iter().map(one).collect();
    output.either(&json!({ "schema": "quorate.presets/v1", "presets": all }), || {
        let line =
            |preset: &Preset| format!("{:17} {:7} {}", preset.name, preset.chain_id, preset.url);
        PRESETS.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
