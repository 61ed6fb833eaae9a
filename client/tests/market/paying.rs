//! Last chapter: the challenge window passes, and everybody gets what is theirs.

use super::{
    anvil::{Anvil, WINDOW_S},
    operator::{Operator, UNIT_PRICE},
    requester::{Requester, amount},
    volunteer::Volunteer,
};
use quorate_common::api::BatchView;
use serde_json::Value;

pub(crate) async fn money_is_paid_out(
    operator: &Operator,
    anvil: &Anvil,
    volunteers: &[Volunteer],
    requester: &Requester,
    failed: &str,
) {
    let before: Vec<Value> = operator.batches_are("committed").await.iter().map(state).collect();
    assert!(before.iter().all(|state| state == "committed"), "the window is open: {before:?}");
    anvil.chain().warp(WINDOW_S).await.unwrap();
    let batches = operator.batches_are("final").await;
    let sum = |of: fn(&BatchView) -> u128| batches.iter().map(of).sum::<u128>();
    let (payout, fees) = (sum(|batch| batch.header.payout), sum(|batch| batch.header.fees));

    let mut paid = 0;
    for volunteer in volunteers {
        paid += is_paid(operator, volunteer).await;
    }
    assert_eq!(paid, payout, "what the headers say was paid, to the unit");
    assert_eq!(operator.free().await, fees, "and the fees are the operator's");

    let free = requester.free().await;
    let refund = requester.run(&["order", "refund", failed, "--json"]).await.expect(0).json();
    assert_eq!(amount(&refund["amount"]), UNIT_PRICE);
    assert_eq!(requester.free().await, free + UNIT_PRICE);
    requester.run(&["order", "refund", failed]).await.refused(3, &["nothing is due"]);
    let report = requester.run(&["verify", "long", "--json", "--rpc", &anvil.url]).await.expect(0);
    assert_eq!(report.json()["batches"][0]["state"], "final");
    requester.run(&["wallet", "withdraw", &(free + UNIT_PRICE).to_string()]).await.expect(0);
    assert_eq!(requester.free().await, 0);
}

fn state(batch: &BatchView) -> Value {
    batch.state.as_str().into()
}

/// Claims a volunteer's earnings; returns what the account got.
async fn is_paid(operator: &Operator, volunteer: &Volunteer) -> u128 {
    let earnings = volunteer.run(&["--json", "earnings"]).await.expect(0).json();
    let due = amount(&earnings["due"]);
    assert_eq!(amount(&earnings["counted"]), due, "its own count is the contract's: {earnings}");
    let before = operator.tokens_of(&volunteer.owner).await;
    let claimed = volunteer.run(&["--json", "claim"]).await.expect(0).json();
    assert_eq!(amount(&claimed["paid"]), due);
    assert_eq!(operator.tokens_of(&volunteer.owner).await - before, due);
    volunteer.run(&["claim"]).await.refused(3, &["nothing is due"]);
    let earnings = volunteer.run(&["--json", "earnings"]).await.expect(0).json();
    assert_eq!((amount(&earnings["claimed"]), amount(&earnings["due"])), (due, 0));
    due
}
