//! Second chapter: volunteers join, and see what their workers do.

use super::volunteer::Volunteer;
use serde_json::Value;

/// A volunteer who goes about it the wrong way is told the right one.
pub(crate) async fn joining_is_refused_in_words(volunteer: &Volunteer) {
    volunteer.run(&["run"]).await.refused(2, &["has not joined a pool", "join INVITE"]);
    volunteer.run(&["status"]).await.refused(3, &["no worker has run in", "run"]);
    volunteer.run(&["claim"]).await.refused(2, &["has not joined a pool"]);
    volunteer.run(&["explain"]).await.refused(2, &["has not joined a pool"]);
    volunteer.run(&["--set", "price=cheap", "run"]).await.refused(2, &["`price` is \"cheap\""]);
    let ran = volunteer.run(&["join", "http://pool.example"]).await;
    ran.refused(2, &["invitation begins with", "expected `quorate://host:port/key?pool=…`"]);
    let ran = volunteer.run(&["join", "quorate://pool.example:1/00?pool=1"]).await;
    ran.refused(2, &["invitation"]);
    volunteer.run(&["--set", "slot=2", "run"]).await.refused(2, &["did you mean `slots`?"]);
    volunteer.run(&["--set", "slots=2000", "run"]).await.refused(2, &["`slots` is 2000"]);
    let error = volunteer.run(&["--json", "claim"]).await.expect(2).error();
    assert_eq!((&error["code"], &error["retryable"]), (&"usage".into(), &false.into()));
}

/// What `status`, `earnings` and the configuration show of workers that have nothing to do yet.
pub(crate) async fn workers_show_themselves(volunteers: &[Volunteer]) {
    let mut numbers: Vec<u32> = volunteers.iter().map(|volunteer| volunteer.worker).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4], "the contract counts them");
    let volunteer = &volunteers[0];
    let is_up = |status: &Value| status["view"]["link"] == "up";
    let status = volunteer.shows("a worker at work", is_up).await;
    assert_eq!(status["schema"], "quorate.worker-status/v1");
    assert_eq!((&status["running"], &status["name"]), (&true.into(), &"a volunteer".into()));
    assert_eq!(status["view"]["worker"], volunteer.worker);
    let text = volunteer.run(&["status"]).await.expect(0);
    for words in [
        "the pool has no work for this worker now",
        "a volunteer (worker-",
        "0 running",
        "score      0",
    ] {
        assert!(text.out.contains(words), "expected `{words}`: {text}");
    }
    let told = volunteer.run(&["--json", "explain"]).await.expect(0).json();
    assert_eq!(told["schema"], "quorate.worker-explanation/v1");
    assert_eq!((&told["reasons"][0]["reason"], &told["slots"]), (&"no_work".into(), &1.into()));
    let text = volunteer.run(&["explain"]).await.expect(0);
    for words in ["0 of 1 slots; trusted with 16", "work comes when somebody places an order"] {
        assert!(text.out.contains(words), "expected `{words}`: {text}");
    }
    volunteer.run(&["run"]).await.refused(8, &["another worker runs in", "data folder of its own"]);

    let earnings = volunteer.run(&["--json", "earnings"]).await.expect(0).json();
    assert_eq!((&earnings["due"], &earnings["final"]), (&"0".into(), &"0".into()));
    let nothing = volunteer.run(&["claim"]).await;
    nothing.refused(3, &["nothing is due", "challenge window"]);

    let home = volunteer.home.clone().with("QUORATE_SLOTS", 3);
    let show = ["--data-dir", "worker", "config", "show", "--origin"];
    let ran = home.run("quorate-worker", &show).await.expect(0);
    assert!(ran.out.contains("slots = 3    # environment QUORATE_SLOTS"), "{ran}");
    let ran = home.run("quorate-worker", &[&show[..], &["--set", "slots=4"]].concat()).await;
    assert!(ran.out.contains("slots = 4    # flag --set"), "{ran}");
    assert!(ran.out.contains("name = \"a volunteer\"    # worker/quorate.toml"), "{ran}");
}
