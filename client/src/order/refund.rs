//! `quorate order refund`: money locked for tasks that failed comes back, proven by the deal's account
//! in a final batch. The proof is the scheduler's, the root it must lead to is the contract's.

use crate::{
    amount,
    api::Api,
    chain,
    context::Context,
    failure,
    history::{Entry, short},
    wallet,
};
use quorate_chain::{SettleError, Settlement};
use quorate_common::{
    B256,
    api::DealProof,
    exit::{Code, Failure},
    ids::{DEALS_MAX, DealId, PoolId},
    merkle,
};
use serde_json::json;

/// Refunds what can be refunded now.
pub(super) async fn run(
    context: &Context,
    api: &Api,
    order: B256,
    entry: Option<&Entry>,
) -> Result<(), Failure> {
    let pool = api.pool().await?;
    let domain = entry.map_or(pool.domain, |entry| entry.domain);
    let contract = chain::connect(&context.config, domain).await?;
    let proof = proof(api, order).await?;
    check(&contract, pool.pool, &proof).await?;
    let deal = proof.account.deal_id;
    let before = returned(&contract, deal).await?;
    let signer = wallet::open(&context.config)?;
    let DealProof { terms, account, path, opening, index, .. } = &proof;
    let call = contract.refund_unsettled(terms, Some(account), path, *index, opening);
    context.output.note(format!("{} …", call.what));
    let outbox = chain::outbox(&context.config, &contract, signer)?;
    let receipt = outbox.send(call).await.map_err(|error| refused(order, &error))?;
    let refunded = returned(&contract, deal).await?.saturating_sub(before);
    let payer = proof.terms.payer;
    let free = contract.free_of(payer).await.map_err(|error| failure::chain(&error))?;
    let document = json!({
        "schema": "quorate.refund/v1",
        "order": order,
        "amount": refunded.to_string(),
        "to": payer,
        "free": free.to_string(),
        "batch": proof.index,
        "tx": receipt.tx,
        "gas": receipt.gas_used,
    });
    context.output.either(&document, || {
        let (refunded, free) = (amount::show(refunded), amount::show(free));
        format!("refunded {refunded} to {}\nfree in the contract: {free}", payer)
    })
}

async fn returned(contract: &Settlement, deal: DealId) -> Result<u128, Failure> {
    let deal = contract.deal(deal).await.map_err(|error| failure::chain(&error))?;
    Ok(deal.map_or(0, |deal| deal.returned))
}

/// The deal's account in the newest final batch.
async fn proof(api: &Api, order: B256) -> Result<DealProof, Failure> {
    let view = api.order(order).await?;
    let found = match view.deal {
        Some(slot) => api.deal_proof(slot).await?,
        None => None,
    };
    found.ok_or_else(|| {
        let text = format!("no final batch has a task of order {}", short(order));
        Failure::new(Code::NotFound, text)
            .hint("a batch is final after the contract's challenge window; try again then")
    })
}

/// Whether the proof leads to what the contract holds for final.
pub(crate) async fn check(
    contract: &Settlement,
    pool: PoolId,
    proof: &DealProof,
) -> Result<(), Failure> {
    let word = contract.batch(pool, proof.index).await.map_err(|e| failure::chain(&e))?;
    let there = contract.pool(pool).await.map_err(|e| failure::chain(&e))?;
    let anchor = proof.opening.anchor();
    let place = u64::from(DEALS_MAX) + u64::from(proof.deal.0);
    let (leaf, depth) = (proof.account.leaf(), merkle::STATE_DEPTH);
    let proves = merkle::proves(anchor.state_root, depth, leaf, place, &proof.path);
    let of_deal = proof.terms.id() == proof.account.deal_id;
    if proves && of_deal && word == anchor.word() && proof.index <= there.finalized {
        return Ok(());
    }
    let text = format!("the scheduler's proof does not fit batch {} on chain", proof.index);
    Err(Failure::new(Code::Failed, text).hint("nothing was sent; ask the pool's operator"))
}

fn refused(order: B256, error: &SettleError) -> Failure {
    if error.revert_name() != Some("NothingDue") {
        return failure::chain(error);
    }
    let text =
        format!("nothing is due: order {} has no unpaid refund in a final batch", short(order));
    Failure::new(Code::NotFound, text)
        .hint("tasks that succeed are paid for; batches are final after their challenge window")
}
