//! Fourth chapter: programs are asked to end, do so in good order, and go on where they were.

use super::{
    operator::Operator,
    ordering::primes,
    requester::{Requester, lucas_lehmer},
    volunteer::Volunteer,
};
use serde_json::Value;

/// Prime exponents that take a worker half a second each.
const EXPONENTS: &str = "9677\n9679\n9689\n9697\n9719\n9721\n9941\n9949\n";
/// Fewer of them, for orders that are left alone.
const FEW: &str = "9689\n9941\n9949\n";

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
    assert_eq!((&status["running"], &status["view"]["running"]), (&false.into(), &0.into()));
    operator.serve().await;
    volunteers[0].start();
    assert_eq!(running.code().await, 0, "{}", requester.home.said());
    let found = primes(&requester.home.path().join("long"), EXPONENTS.lines().count());
    assert_eq!(found, ["9689", "9941"]);
    requester.run(&["verify", "long"]).await.expect(0);

    // The requester may leave, too: the order goes on without it.
    requester.home.file("few.txt", FEW);
    for (signal, code, word) in [("INT", 130, "interrupted"), ("TERM", 143, "terminated")] {
        let name = format!("left at {signal}");
        let run = ["run", &app, "--each-line", "few.txt", "-o", "left", "--name", &name, "--json"];
        let running = requester.start(&run);
        let order = requester.has_order(&name).await;
        assert_eq!(running.end(signal).await, code);
        let said = requester.home.said();
        let error: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        let (error, short) = (&error["error"], &order[2..12]);
        assert_eq!(error["message"], format!("{word}; the order goes on"));
        assert_eq!(error["hint"], format!("quorate order watch {short}"));
        requester.run(&["order", "watch", short]).await.expect(0);
        let folder = format!("left-{signal}");
        requester.run(&["order", "results", short, "-o", &folder]).await.expect(0);
        requester.run(&["verify", &folder]).await.expect(0);
    }
}
