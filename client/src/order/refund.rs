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
use quorate_chain::{Outbox, Receipt, Settlement};
use quorate_common::{
    B256,
    api::DealProof,
    exit::{Code, Failure},
    ids::{DEALS_MAX, DealId, DealSlot, PoolId},
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
    let proofs = proofs(api, order).await?;
    let signer = wallet::open(&context.config)?;
    let outbox = chain::outbox(&context.config, &contract, signer)?;
    let mut refunds = Vec::new();
    for proof in &proofs {
        check(&contract, pool.pool, proof).await?;
        refunds.extend(refund(context, &contract, &outbox, proof).await?);
    }
    say(context, &contract, order, &refunds).await
}

/// What came back of one deal.
struct Refund<'a> {
    proof: &'a DealProof,
    amount: u128,
    receipt: Receipt,
}

/// Refunds one deal; nothing if nothing is due.
async fn refund<'a>(
    context: &Context,
    contract: &Settlement,
    outbox: &Outbox,
    proof: &'a DealProof,
) -> Result<Option<Refund<'a>>, Failure> {
    let DealProof { terms, account, path, opening, index, .. } = proof;
    let before = returned(contract, account.deal_id).await?;
    let call = contract.refund_unsettled(terms, Some(account), path, *index, opening);
    context.output.note(format!("{} …", call.what));
    let receipt = match outbox.send(call).await {
        Ok(receipt) => receipt,
        Err(error) if error.revert_name() == Some("NothingDue") => return Ok(None),
        Err(error) => return Err(failure::chain(&error)),
    };
    let amount = returned(contract, account.deal_id).await?.saturating_sub(before);
    Ok(Some(Refund { proof, amount, receipt }))
}

async fn say(
    context: &Context,
    contract: &Settlement,
    order: B256,
    refunds: &[Refund<'_>],
) -> Result<(), Failure> {
    let Some(last) = refunds.last() else { return Err(nothing_due(order)) };
    let payer = last.proof.terms.payer;
    let refunded: u128 = refunds.iter().map(|refund| refund.amount).sum();
    let free = contract.free_of(payer).await.map_err(|error| failure::chain(&error))?;
    let document = json!({
        "schema": "quorate.refund/v1",
        "order": order,
        "amount": refunded.to_string(),
        "to": payer,
        "free": free.to_string(),
        "batch": last.proof.index,
        "tx": last.receipt.tx,
        "gas": refunds.iter().map(|refund| refund.receipt.gas_used).sum::<u64>(),
    });
    context.output.either(&document, || {
        let (refunded, free) = (amount::show(refunded), amount::show(free));
        format!("refunded {refunded} to {payer}\nfree in the contract: {free}")
    })
}

async fn returned(contract: &Settlement, deal: DealId) -> Result<u128, Failure> {
    let deal = contract.deal(deal).await.map_err(|error| failure::chain(&error))?;
    Ok(deal.map_or(0, |deal| deal.returned))
}

/// The accounts of the order's deals in the newest final batch.
async fn proofs(api: &Api, order: B256) -> Result<Vec<DealProof>, Failure> {
    let view = api.order(order).await?;
    let mut slots: Vec<DealSlot> = view.deals.iter().map(|part| part.deal).collect();
    // A scheduler that names no parts has one deal at most.
    slots.extend(view.deal.filter(|_| view.deals.is_empty()));
    let mut found = Vec::new();
    for slot in slots {
        found.extend(api.deal_proof(slot).await?);
    }
    if found.is_empty() {
        let text = format!("no final batch has a task of order {}", short(order));
        return Err(Failure::new(Code::NotFound, text)
            .hint("a batch is final after the contract's challenge window; try again then"));
    }
    Ok(found)
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

fn nothing_due(order: B256) -> Failure {
    let text =
        format!("nothing is due: order {} has no unpaid refund in a final batch", short(order));
    Failure::new(Code::NotFound, text)
        .hint("tasks that succeed are paid for; batches are final after their challenge window")
}
