//! `quorate offer royalties`: what tasks that succeeded have earned the owners of their application and
//! dataset, proven by each deal's account in a final batch. Both owners of a deal are paid at once,
//! whoever asks.

use crate::{amount, api::Api, chain, context::Context, failure, order, output::table, wallet};
use quorate_chain::{Address, Outbox, Settlement, events::ChainEvent};
use quorate_common::{
    B256,
    api::DealProof,
    exit::{Code, Failure},
    ids::{DealSlot, PoolId},
};
use serde::Serialize;
use serde_json::json;

/// What one deal paid.
#[derive(Debug, Serialize)]
struct Paid {
    deal: DealSlot,
    app_owner: Address,
    app: String,
    dataset_owner: Address,
    dataset: String,
    tx: B256,
    gas: u64,
}

/// Claims what is due of one deal, or of every deal of this wallet's applications and datasets.
pub(super) async fn run(context: &Context, deal: Option<u32>) -> Result<(), Failure> {
    let api = Api::new(&context.config.api()?)?;
    let pool = api.pool().await?;
    crate::place::pinned(&context.config, &pool.domain)?;
    let deals = match deal {
        Some(slot) => vec![DealSlot(slot)],
        None => own_deals(&api, wallet::address_of(&context.config)?).await?,
    };
    let contract = chain::connect(&context.config, pool.domain).await?;
    let mut proofs = Vec::new();
    for slot in deals {
        proofs.extend(api.deal_proof(slot).await?);
    }
    if proofs.is_empty() {
        return Err(nothing());
    }
    let signer = wallet::open(&context.config)?;
    let outbox = chain::outbox(&context.config, &contract, signer)?;
    let mut paid = Vec::new();
    for proof in &proofs {
        paid.extend(claim(context, &contract, &outbox, pool.pool, proof).await?);
    }
    if paid.is_empty() { Err(nothing()) } else { say(context, &paid) }
}

/// Deals that sold something of `owner`'s.
async fn own_deals(api: &Api, owner: Address) -> Result<Vec<DealSlot>, Failure> {
    let orders = api.orders().await?;
    let ours = orders.iter().filter(|o| [o.req.app_owner, o.req.dataset_owner].contains(&owner));
    Ok(ours.flat_map(|order| order.deals.iter().map(|part| part.deal)).collect())
}

/// Claims one deal's royalties; nothing if none are due.
async fn claim(
    context: &Context,
    contract: &Settlement,
    outbox: &Outbox,
    pool: PoolId,
    proof: &DealProof,
) -> Result<Option<Paid>, Failure> {
    order::check_proof(contract, pool, proof).await?;
    let DealProof { terms, account, path, opening, index, .. } = proof;
    let call = contract.claim_royalties(terms, account, path, *index, &opening.anchor());
    context.output.note(format!("{} …", call.what));
    let receipt = match outbox.send(call).await {
        Ok(receipt) => receipt,
        Err(error) if error.revert_name() == Some("NothingDue") => return Ok(None),
        Err(error) => return Err(failure::chain(&error)),
    };
    let (mut app, mut dataset) = (0, 0);
    for event in receipt.events(contract.address()) {
        if let ChainEvent::RoyaltiesPaid { to_app, to_dataset, .. } = event {
            (app, dataset) = (app + to_app, dataset + to_dataset);
        }
    }
    Ok(Some(Paid {
        deal: proof.deal,
        app_owner: terms.app_owner,
        app: app.to_string(),
        dataset_owner: terms.dataset_owner,
        dataset: dataset.to_string(),
        tx: receipt.tx,
        gas: receipt.gas_used,
    }))
}

fn say(context: &Context, paid: &[Paid]) -> Result<(), Failure> {
    let document = json!({ "schema": "quorate.royalties/v1", "deals": paid });
    context.output.either(&document, || {
        let show = |text: &str| text.parse().map_or_else(|_| text.to_owned(), amount::tokens);
        let line = |paid: &Paid| {
            let (app, dataset) = (show(&paid.app), show(&paid.dataset));
            vec![paid.deal.to_string(), app, dataset, paid.tx.to_string()]
        };
        table(&["DEAL", "APP OWNER", "DATASET OWNER", "TRANSACTION"], paid.iter().map(line))
    })
}

fn nothing() -> Failure {
    let text = "nothing is due: no final batch has an unpaid task of such a deal";
    Failure::new(Code::NotFound, text)
        .hint("a batch is final after the contract's challenge window; try again then")
}
