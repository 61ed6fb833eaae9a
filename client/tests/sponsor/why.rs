//! The four questions of `explain`, asked of programs while something is wrong: why is nothing scheduled, why does
//! this worker get nothing, why is settlement late, what does the pool cost.

use super::{
    anvil::Anvil,
    browser::Joined,
    operator::Operator,
    patience::until,
    requester::{self, Requester},
};
use quorate_chain::U256;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for a program to notice what was done to it.
const PATIENCE: Duration = Duration::from_secs(40);

/// A worker that asks for more than is paid: the order waits, and each side is told why.
pub(crate) async fn nothing_is_scheduled(
    operator: &Operator,
    joined: &Joined,
    requester: &Requester,
) -> String {
    joined.volunteer.run(&["set", "price=1.0"]).await.expect(0);
    // A price is told with a hello. Whoever was given a task before and gives it back is not asked for it again.
    let worker = joined.volunteer.worker.to_string();
    let ask = ["--json", "explain", "worker", &worker];
    let knows = async || operator.run(&ask).await.expect(0).json();
    explains("the worker's price", knows, |told| told["worker"]["ask"] == "1000000000000000000")
        .await;
    let module = requester::lucas_lehmer();
    let run = ["run", module.to_str().unwrap(), "--trust", "1", "--name", "waits", "--detach"];
    requester.run(&[&run[..], &["--", "13"]].concat()).await.expect(0);
    let order = requester.has_order("waits").await;
    let ask = ["order", "explain", &order, "--json"];
    explains(
        "the order",
        async || requester.run(&ask).await.expect(0).json(),
        |told| told["waiting"][0]["workers"]["reason"] == "price",
    )
    .await;
    let told = requester.run(&ask[..3]).await.expect(0);
    assert!(told.out.contains("price"), "{told}");
    let told = joined.volunteer.run(&["--json", "explain"]).await.expect(0).json();
    assert_eq!(told["reasons"][0]["reason"], "price", "{told}");
    let told = joined.volunteer.run(&["explain"]).await.expect(0);
    assert!(told.out.contains("it asks for more than is paid"), "{told}");
    let told = operator.run(&["explain", "worker", &worker]).await.expect(0);
    assert!(told.out.contains("it asks for more than is paid"), "{told}");
    let told = operator.run(&["explain"]).await.expect(0);
    assert!(told.out.contains("price"), "the pool as a whole: {told}");
    order
}

/// No coin is left for gas when the first task ends: settlement is late, until there are some again.
pub(crate) async fn settlement_is_late(
    operator: &Operator,
    anvil: &Anvil,
    joined: &Joined,
    (requester, order): (&Requester, &str),
) {
    let (gas, chain) = (operator.gas_account().parse().unwrap(), anvil.chain());
    chain.set_balance(gas, U256::ZERO).await.unwrap();
    joined.volunteer.run(&["set", "price=0"]).await.expect(0);
    let ask = ["--json", "explain", "settlement"];
    let ask = async || operator.run(&ask).await.expect(0).json();
    let told = explains("settlement", &ask, |told| told["late"] == true).await;
    assert_eq!(told["reason"], "outbox", "{told}");
    let said = operator.run(&["explain", "settlement"]).await.expect(0);
    assert!(said.out.contains("Settlement is late (outbox)"), "{said}");
    chain.set_balance(gas, U256::from(10).pow(U256::from(20))).await.unwrap();
    // It is watched to the end only now: that waits for receipts, and they for the batch.
    requester.run(&["order", "watch", order]).await.expect(0);
    let opens = |told: &Value| told["reason"] == "window";
    let told = explains("settlement", &ask, opens).await;
    assert_eq!(told["late"], false, "{told}");
}

/// What was measured since it began, stretched to a day.
pub(crate) async fn the_pool_costs(operator: &Operator) {
    let told = operator.run(&["--json", "explain", "cost"]).await.expect(0).json();
    let number = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
    assert!(number("gas_a_day") > 0 && number("tasks_a_day") > 0, "{told}");
    assert!(number("traffic_a_day") > 0 && told["gas_days_left"].is_u64(), "{told}");
    assert_eq!(told["early"], true, "nobody measures for hours here: {told}");
    let kinds: Vec<&Value> = told["gas_by_kind"].as_array().unwrap().iter().collect();
    assert!(kinds.len() >= 2, "deals are opened, and batches committed: {told}");
    let said = operator.run(&["explain", "cost"]).await.expect(0);
    for words in ["Gas costs", "fees bring", "a guess", "lies in the bond"] {
        assert!(said.out.contains(words), "expected `{words}`: {said}");
    }
}

async fn explains(
    what: &str,
    ask: impl AsyncFn() -> Value,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let told = async || Some(ask().await).filter(|told| is_so(told));
    until(&format!("an explanation of {what}"), PATIENCE, told).await
}
