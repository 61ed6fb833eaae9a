//! Fourth chapter: programs are asked to end, do so in good order, and go on where they were.

use super::{
    home::Running,
    operator::Operator,
    ordering::primes,
    patience::until,
    requester::{Requester, lucas_lehmer},
    volunteer::Volunteer,
};
use serde_json::Value;
use std::time::Duration;

/// Longest wait for a program to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prime exponents that take a worker half a second each.
const EXPONENTS: &str = "9677\n9679\n9689\n9697\n9719\n9721\n9941\n9949\n";
/// How often they are ordered where an order is left alone: two programs must have begun to follow it, and have
/// been ended, before it is over.
const TIMES: usize = 2;

pub(crate) async fn programs_end_and_go_on(
    operator: &mut Operator,
    volunteers: &mut [Volunteer],
    requester: &Requester,
) {
    let app = lucas_lehmer().display().to_string();
    requester.home.file("long.txt", EXPONENTS);
    let run = ["run", &app, "--each-line", "long.txt", "-o", "long", "--name", "long"];
    let running = requester.start(&run);
    requester.has_order("long").await;
    assert_eq!(operator.end("TERM").await, 0);
    assert_eq!(volunteers[0].end("INT").await, 0);
    let status = volunteers[0].status().await;
    assert_eq!((&status["running"], &status["broken"]), (&false.into(), &().into()));
    let ran = volunteers[0].run(&["status"]).await.expect(0);
    assert!(ran.out.contains("not working: the worker is not running; start it with"), "{ran}");
    operator.serve().await;
    volunteers[0].start();
    assert_eq!(running.code().await, 0, "{}", requester.home.said());
    let found = primes(&requester.home.path().join("long"), EXPONENTS.lines().count());
    assert_eq!(found, ["9689", "9941"]);
    requester.run(&["verify", "long"]).await.expect(0);

    // The requester may leave, too: the order goes on without it.
    requester.home.file("more.txt", EXPONENTS.repeat(TIMES));
    let run = ["run", &app, "--each-line", "more.txt", "-o", "more", "--name", "left", "--json"];
    let running = requester.start(&run);
    let order = requester.has_order("left").await;
    let short = &order[2..12];
    is_left_alone(requester, running, ("INT", 130, "interrupted"), short).await;
    let watching = requester.start(&["order", "watch", short, "--json"]);
    until("the first event", PATIENCE, async || (!watching.out().is_empty()).then_some(())).await;
    is_left_alone(requester, watching, ("TERM", 143, "terminated"), short).await;
    requester.run(&["order", "watch", short]).await.expect(0);
    requester.run(&["order", "results", short, "-o", "more"]).await.expect(0);
    requester.run(&["verify", "more"]).await.expect(0);
}

/// Ends a program that follows an order, which says so and what becomes of it.
async fn is_left_alone(
    requester: &Requester,
    running: Running,
    (signal, code, word): (&str, i32, &str),
    order: &str,
) {
    assert_eq!(running.end(signal).await, code);
    let said = requester.home.said();
    let error: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["message"], format!("{word}; the order goes on"));
    assert_eq!(error["error"]["hint"], format!("quorate order watch {order}"));
}
