//! One worker, two pools: two real schedulers on one contract, both with work for it at the same time; what it does
//! for which, what each gets of the machine, and that it can leave one. (`QUORATE_ANVIL` names the node's binary;
//! without it the test says so and ends.)
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
mod anvil;
#[path = "../../worker/tests/support/browser.rs"]
mod browser;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::{Anvil, WINDOW_S};
use browser::Browser;
use operator::Operator;
use requester::{Requester, amount};
use serde_json::Value;
use site::Site;
use volunteer::Volunteer;

const SETTINGS: [&str; 1] = ["batch.age_s=1"];
/// For the second pool's operator: its bond, and what its bank gives away.
const TOKENS: &str = "2000000 QTT";
/// Slots of the worker.
const SLOTS: u64 = 2;

#[tokio::test]
async fn a_worker_belongs_to_two_pools() {
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut first = Operator::init(&site, &anvil, "first", &SETTINGS).await;
    let contract = first.contract;
    let treasury = first.home.clone();
    let env = |home: home::Home| {
        home.with("QUORATE_PASSWORD", "a long password")
            .with("QUORATE_CHAIN__URL", &anvil.url)
            .with("QUORATE_CHAIN__ID", 31_337)
            .with("QUORATE_CHAIN__CONTRACT", contract)
    };
    let fund = async |whom: quorate_common::Address| {
        let send = ["wallet", "send", &whom.to_string(), TOKENS];
        env(treasury).run("quorate", &send).await.expect(0);
    };
    let mut second = Operator::init_at(&site, &anvil, "second", &SETTINGS, contract, fund).await;
    first.serve().await;
    second.serve().await;

    let mut volunteer = joins_both(&site, &anvil, &first, &second).await;
    volunteer.start();
    first.has_workers(1).await;
    second.has_workers(1).await;
    let name = works_for_both(&site, &anvil, (&first, &second), &volunteer).await;
    is_paid_by_both(&anvil, (&first, &second), &volunteer, &name).await;

    volunteer.run(&["pools", "leave", &name]).await.expect(0);
    volunteer.run(&["pools", "leave", "pool-9"]).await.refused(3, &["there are home, pool-2"]);
    assert_eq!(volunteer.end("TERM").await, 0);
    volunteer.start();
    let is_alone = |status: &Value| {
        status["view"]["link"] == "up" && status["pools"].as_array().is_some_and(Vec::is_empty)
    };
    volunteer.shows("one pool", is_alone).await;
    assert_eq!(volunteer.end("TERM").await, 0);
    assert_eq!((first.end("INT").await, second.end("INT").await), (0, 0));
}

/// The second invitation adds a pool: the same keys, the same account, a stake there too.
async fn joins_both(site: &Site, anvil: &Anvil, first: &Operator, second: &Operator) -> Volunteer {
    let mut volunteer = Volunteer::new(site, "volunteer");
    let slots = SLOTS.to_string();
    let invite = first.invite().await;
    volunteer.join_with_key(first, anvil, &invite, &["--slots", &slots]).await;
    let invite = second.invite().await;
    let joined = volunteer.run(&["--json", "join", &invite]).await.expect(0);
    assert!(joined.err.contains("belongs to several pools now"), "{joined}");
    let document = joined.json();
    assert_eq!((&document["worker"], &document["pool"]), (&volunteer.worker.into(), &2.into()));
    assert!(amount(&document["stake"]) > 0);
    let pools = volunteer.run(&["--json", "pools", "ls"]).await.expect(0).json();
    let shares: Vec<&Value> =
        pools["pools"].as_array().unwrap().iter().map(|pool| &pool["share"]).collect();
    assert_eq!(shares, [&Value::from(50), &Value::from(50)]);
    // Tests run side by side: each has a port of the system's choice.
    volunteer.run(&["set", "page.listen=127.0.0.1:0"]).await.expect(0);
    volunteer
}

/// Both have a bag at the same time, and both are served by the one worker, which never gives away more slots than
/// it has.
async fn works_for_both(
    site: &Site,
    anvil: &Anvil,
    (first, second): (&Operator, &Operator),
    volunteer: &Volunteer,
) -> String {
    let (one, other) = (
        Requester::new(site, first, "requester-1", &anvil.url).await,
        Requester::new(site, second, "requester-2", &anvil.url).await,
    );
    let module = requester::lucas_lehmer();
    let module = module.to_str().unwrap();
    let run = ["run", module, "--each-line", "exponents.txt", "-o", "out", "--trust", "1"];
    for requester in [&one, &other] {
        requester.run(&["wallet", "deposit", "1 QTT"]).await.expect(0);
        requester.home.file("exponents.txt", "1279\n2203\n2281\n3217\n4253\n4423\n".repeat(3));
    }
    let (ran, also) = tokio::join!(one.run(&run), other.run(&run));
    ran.expect(0);
    also.expect(0);
    let done = |status: &Value| {
        let slots = |pool: &Value| pool["slots"].as_u64().unwrap();
        let pools = status["pools"].as_array().unwrap();
        assert!(pools.iter().map(slots).sum::<u64>() <= SLOTS, "{status}");
        pools.len() == 2 && pools.iter().all(|pool| pool["settled"] == 18)
    };
    let status = volunteer.shows("eighteen tasks settled for each", done).await;
    let text = volunteer.run(&["status"]).await.expect(0);
    assert!(text.out.contains("home at ") && text.out.contains("pool-2-31337-"), "{text}");
    status["pools"][1]["name"].as_str().unwrap().to_owned()
}

async fn is_paid_by_both(
    anvil: &Anvil,
    (first, second): (&Operator, &Operator),
    volunteer: &Volunteer,
    name: &str,
) {
    first.batches_are("committed").await;
    second.batches_are("committed").await;
    anvil.chain().warp(WINDOW_S).await.unwrap();
    first.batches_are("final").await;
    second.batches_are("final").await;
    let earnings =
        async |pool| volunteer.run(&["--json", "--pool", pool, "earnings"]).await.expect(0).json();
    for pool in ["home", name] {
        let earnings = earnings(pool).await;
        assert_eq!(earnings["counted"], earnings["due"], "{pool}: {earnings}");
    }
    let due = earnings("home").await["due"].clone();
    let claimed = volunteer.run(&["--json", "--pool", "home", "claim"]).await.expect(0).json();
    assert_eq!(claimed["paid"], due);
    let url = volunteer.run(&["--json", "open", "--print"]).await.expect(0).json();
    let (url, of) = (url["url"].as_str().unwrap().to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || page_shows_both(&url, &of)).await.unwrap();
    assert_eq!(earnings(name).await["due"], "0", "it was claimed on the page");
    assert_ne!(earnings(name).await["claimed"], "0");
    let ran = volunteer.run(&["--json", "pools", "share", name, "10"]).await.expect(0);
    assert!(ran.err.contains("takes effect when the worker starts next"), "{ran}");
    assert_eq!(ran.json()["pools"][1]["share"], 10);
    volunteer.run(&["--pool", name, "leave"]).await.refused(8, &["pools leave"]);
}

/// The owner's page has a row for each pool, the earnings of each, and claims for the one that is shown.
fn page_shows_both(url: &str, name: &str) {
    let browser = Browser::enter(url);
    let card = browser.get("/").expect(200).body;
    for pool in ["home", name] {
        assert!(card.contains(&format!("<a href=\"/earnings?pool={pool}\">")), "{pool}: {card}");
    }
    let shown = format!("<b aria-current=\"page\"><bdi>{name}</bdi></b>");
    let (home, other) = ("/earnings", format!("/earnings?pool={name}"));
    let page = browser.get(home).expect(200).body;
    assert!(page.contains("0 tokens") && !page.contains(&shown), "home is claimed: {page}");
    let page = browser.get(&other).expect(200).body;
    assert!(page.contains(&shown) && page.contains("Claim now"), "{page}");
    let (_, rest) = page.split_once("/receipt/").unwrap();
    let receipt = browser.get(&format!("/receipt/{}", rest.split('"').next().unwrap())).expect(200);
    let receipt: Value = serde_json::from_str(&receipt.body).unwrap();
    assert!(!receipt["words"].as_array().unwrap().is_empty(), "of that pool's folder: {receipt}");
    let claimed = browser.post("/claim", &[("pool", name)]).expect(303);
    assert_eq!(claimed.header("location"), Some(&*format!("/earnings?claimed=1&pool={name}")));
    browser.get("/earnings?pool=pool-9").expect(404);
    browser.get("/earnings?pool=..%2F..").expect(404);
}
