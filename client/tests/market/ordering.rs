//! Third chapter: a requester fills a wallet, orders, looks, and checks what came back.

use super::{
    EXPONENTS, MERSENNE,
    anvil::{Anvil, free_port},
    operator::{Operator, UNIT_PRICE},
    requester::{Requester, amount, lucas_lehmer},
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// One token.
const ONE: u128 = 10_u128.pow(18);

pub(crate) async fn wallet_holds_money(requester: &Requester) {
    let file = requester.home.path().join(".local/state/quorate/wallets/default.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let keystore: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((&keystore["version"], &keystore["crypto"]["kdf"]), (&3.into(), &"scrypt".into()));
    requester.run(&["wallet", "new"]).await.refused(8, &["`default` exists already"]);
    let ran = requester.run(&["wallet", "address"]).await.expect(0);
    assert_eq!(ran.out.trim().to_lowercase(), requester.address.to_lowercase());
    let ran = requester.run(&["wallet", "ls"]).await.expect(0);
    let listed = ran.out.to_lowercase();
    assert!(listed.contains(&requester.address.to_lowercase()), "{ran}");
    let ran = requester.run(&["--wallet", "nobody", "wallet", "balance"]).await;
    ran.refused(3, &["no wallet `nobody`; there are: default", "wallet new"]);

    let ran = requester.run(&["wallet", "deposit", "100 QTT"]).await;
    ran.refused(7, &["(20 QTT) outside of the contract, not", "(100 QTT)", "have tokens sent"]);
    let ran = requester.run(&["wallet", "deposit", "10 QTT", "--json"]).await.expect(0).json();
    assert_eq!(amount(&ran["free"]), 10 * ONE);
    assert_eq!(ran["transactions"].as_array().unwrap().len(), 2, "approve and deposit: {ran}");
    requester.run(&["wallet", "withdraw", "1.5"]).await.expect(0);
    let balance = requester.run(&["wallet", "balance", "--json"]).await.expect(0).json();
    let (free, tokens) = (amount(&balance["free"]), amount(&balance["tokens"]));
    assert_eq!((free, tokens), (17 * ONE / 2, 23 * ONE / 2));
    let ran = requester.run(&["wallet", "balance"]).await.expect(0);
    assert!(ran.out.contains("free in the contract  8500000000000000000 units (8.5 QTT)"), "{ran}");
    let ran = requester.run(&["wallet", "withdraw", "9 QTT"]).await;
    ran.refused(7, &["free in the contract are", "(8.5 QTT), not", "(9 QTT)", "order refund"]);

    let export = requester.run(&["wallet", "export", "--yes"]).await.expect(0);
    requester.home.file("key.hex", export.out.trim());
    let import = ["wallet", "import", "copy", "--key-file", "key.hex"];
    let copy = requester.run(&import).await.expect(0);
    assert_eq!(copy.out.trim().to_lowercase(), requester.address.to_lowercase());
}

/// Every refusal names what was wrong, what was expected, and what to do.
pub(crate) async fn orders_are_refused_in_words(requester: &Requester, operator: &Operator) {
    let app = lucas_lehmer().display().to_string();
    requester.home.file("in.txt", EXPONENTS);
    let order = async |more: &[&str]| {
        let run = ["run", &app, "--each-line", "in.txt", "--detach"];
        requester.run(&[&run[..], more].concat()).await
    };
    let dead = format!("http://127.0.0.1:{}", free_port());
    order(&["--api", &dead]).await.refused(4, &["does not answer", "is it running", "`api`"]);
    order(&["--chain-url", &dead]).await.refused(9, &["did not answer", "`chain.url`"]);
    order(&["--set", "chain.id=1"]).await.refused(8, &["chain.id 31337", "configured 1"]);
    let price = format!("the pool asks {UNIT_PRICE} units");
    order(&["--max-price", "1"]).await.refused(7, &["--max-price is 1 units", &price, "raise"]);
    order(&["--trust", "2000000"]).await.refused(2, &["--trust is 2000000", "1000000"]);
    order(&["--deadline", "400d"]).await.refused(2, &["--deadline is", "at most 365d"]);
    let wrong = requester.home.clone().with("QUORATE_PASSWORD", "guessed");
    let ran = wrong.run("quorate", &["run", &app, "--", "7"]).await;
    ran.refused(6, &["wrong password for account \"default\"", "QUORATE_PASSWORD"]);
    let poor = ["run", app.as_str(), "--array", "1-9000", "--max-price", "1.0"];
    let ran = requester.run(&poor).await;
    ran.refused(7, &["9000 tasks cost", "quorate wallet deposit 0.5QTT"]);
    // Without a chain of its own the client leaves that to the scheduler.
    let ran = requester.run(&[&poor[..], &["--chain-url", ""]].concat()).await;
    ran.refused(7, &["free balance of 0x", "expected at least", "quorate wallet deposit"]);

    requester.run(&["run", "none.wasm"]).await.refused(3, &["none.wasm", "No such file"]);
    requester.run(&["run", "in.txt"]).await.refused(2, &["in.txt is not a WASM module", "compile"]);
    requester.home.file("broken.wasm", b"\0asm\x01\0\0\0\x01\xff");
    requester.run(&["run", "broken.wasm"]).await.refused(2, &["not valid WebAssembly"]);
    requester.home.file("library.wasm", b"\0asm\x01\0\0\0");
    requester.run(&["run", "library.wasm"]).await.refused(2, &["exports no function _start"]);
    let ran = requester.run(&["run", &app, "--each-line", "none.txt"]).await;
    ran.refused(3, &["none.txt"]);
    let unknown = "ab".repeat(32);
    requester.run(&["order", "show", &unknown]).await.refused(3, &["no order", "order ls"]);
    requester.run(&["order", "show", "abcdef"]).await.refused(3, &["quorate order ls --all"]);
    let ran = requester.run(&["order", "watch", "abcdef", "--json"]).await.expect(3);
    assert_eq!(ran.error()["code"], "not_found");

    let known = operator.get("/v1/orders").await;
    assert_eq!(known["orders"], json!([]), "nothing was ordered");
    let spent = 17 * ONE / 2 - requester.free().await;
    assert_eq!(spent, 0, "nothing was paid");
}

/// Runs the bag. Returns the order's id.
pub(crate) async fn primes_are_found(requester: &Requester) -> String {
    let app = lucas_lehmer().display().to_string();
    let plan = ["run", &app, "--each-line", "in.txt", "--dry-run", "--json"];
    let plan = requester.run(&plan).await.expect(0).json();
    let tasks = EXPONENTS.lines().count();
    assert_eq!(amount(&plan["cost"]), tasks as u128 * UNIT_PRICE);
    let run = ["run", &app, "--each-line", "in.txt", "-o", "out", "--trust", "5"];
    let run = [&run[..], &["--max-price", "0.002", "--name", "primes"]].concat();
    let ran = requester.run(&run).await.expect(0);
    for words in [
        format!("{tasks} of {tasks} over, {tasks} accepted, 0 failed"),
        format!("{tasks} in out"),
        format!("{tasks} verified"),
    ] {
        assert!(ran.out.contains(&words), "expected `{words}`: {ran}");
    }
    assert!(ran.err.contains(&format!("100%  {tasks}/{tasks}")), "progress is told: {ran}");
    assert_eq!(primes(&requester.home.path().join("out"), tasks), MERSENNE.map(String::from));
    let orders = requester.run(&["order", "ls", "--json"]).await.expect(0).json();
    let placed = orders["orders"].as_array().unwrap();
    let order = placed.iter().find(|order| order["name"] == "primes").unwrap();
    assert_eq!(order["state"]["phase"], "done");
    assert_eq!(requester.free().await, 17 * ONE / 2 - tasks as u128 * UNIT_PRICE);
    order["order"].as_str().unwrap().to_owned()
}

/// The exponents whose results in a folder say prime.
pub(crate) fn primes(folder: &Path, tasks: usize) -> Vec<String> {
    let said =
        |idx: usize| fs::read_to_string(folder.join(format!("results/{idx:05}/stdout"))).unwrap();
    let prime = |text: String| text.strip_suffix(" prime\n").map(str::to_owned);
    (0..tasks).map(said).filter_map(prime).collect()
}

/// The same order from every side.
pub(crate) async fn orders_are_shown(requester: &Requester, order: &str) {
    let short = &order[2..8];
    let ran = requester.run(&["order", "ls"]).await.expect(0);
    let line = ran.out.lines().find(|line| line.contains("primes")).unwrap();
    assert!(line.starts_with(short) && line.contains("done"), "{ran}");
    let ran = requester.run(&["order", "show", short, "--tasks"]).await.expect(0);
    assert!(ran.out.contains(order) && ran.out.contains("consensus"), "{ran}");
    let shown = requester.run(&["order", "show", short, "--json"]).await.expect(0).json();
    assert_eq!((&shown["order"], &shown["accepted"]), (&order.into(), &shown["tasks"]));
    assert_eq!(amount(&shown["spent"]), EXPONENTS.lines().count() as u128 * UNIT_PRICE);
    requester.run(&["order", "watch", short]).await.expect(0);
    let events = requester.run(&["order", "watch", short, "--json"]).await.expect(0);
    let first: Value = serde_json::from_str(events.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["order"]["phase"]), (&"order".into(), &"done".into()));

    let explained = requester.run(&["order", "explain", short, "0", "--json"]).await.expect(0);
    let explained = explained.json();
    let votes = explained["votes"].as_array().unwrap();
    assert!(votes.len() >= 3, "newcomers: {explained}");
    assert_eq!(votes.last().unwrap()["decided"], true, "{explained}");
    let ran = requester.run(&["order", "explain", short, "0"]).await.expect(0);
    assert!(ran.out.contains("DECIDED") && ran.out.contains("consensus"), "{ran}");
    let ran = requester.run(&["order", "explain", short, "999"]).await;
    ran.refused(3, &["no task 999; expected 0 to 18"]);

    let receipt = requester.run(&["order", "receipt", short, "3"]).await.expect(0);
    let kept = fs::read_to_string(requester.home.path().join("out/receipts/00003.json")).unwrap();
    assert_eq!(receipt.out.trim_end(), kept.trim_end());
    let ran = requester.run(&["order", "results", short, "-o", "again"]).await.expect(0);
    assert!(ran.out.contains("19 (19 new)"), "{ran}");
    let ran = requester.run(&["order", "results", short, "-o", "again"]).await.expect(0);
    assert!(ran.out.contains("19 (0 new)"), "{ran}");
}

/// A folder verifies offline, against the chain and against roots known from elsewhere; with one bit
/// flipped it does not.
pub(crate) async fn folders_are_verified(
    requester: &Requester,
    operator: &Operator,
    anvil: &Anvil,
) {
    let ran = requester.run(&["verify", "out"]).await.expect(0);
    assert!(ran.out.contains("every byte is proven"), "{ran}");
    let batches = operator.batches_are("committed").await;
    assert!(batches.len() > 1, "a batch has eight tasks: {batches:?}");
    let report = requester.run(&["verify", "out", "--json", "--rpc", &anvil.url]).await.expect(0);
    let report = report.json();
    assert_eq!((&report["ok"], &report["accepted"]), (&true.into(), &19.into()), "{report}");
    assert_eq!(report["batches"][0]["state"], "committed", "{report}");

    let contract = operator.contract.to_string();
    let mut given = vec!["verify", "again", "--chain-id", "31337", "--contract", &contract];
    let roots: Vec<String> = batches.iter().map(|batch| batch.hash.to_string()).collect();
    for root in &roots {
        given.extend(["--root", root]);
    }
    let ran = requester.run(&given).await.expect(0);
    assert!(ran.out.contains("the command line"), "{ran}");
    *given.last_mut().unwrap() =
        "0x0000000000000000000000000000000000000000000000000000000000000001";
    requester.run(&given).await.refused(10, &["anchor"]);

    let file = requester.home.path().join("again/results/00004/stdout");
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::write(&file, bytes).unwrap();
    let ran = requester.run(&["verify", "again"]).await;
    ran.refused(10, &["results/00004/stdout"]);
    // The fetch finds it, and mends it.
    let order = fs::read_to_string(requester.home.path().join("again/order.json")).unwrap();
    let order: Value = serde_json::from_str(&order).unwrap();
    let results = ["order", "results", order["order"].as_str().unwrap(), "-o", "again"];
    requester.run(&results).await.expect(0);
    requester.run(&["verify", "again"]).await.expect(0);
}

/// A bag of one: its output is printed, its exit code can be the program's.
pub(crate) async fn one_task_is_printed(requester: &Requester) {
    let app = lucas_lehmer().display().to_string();
    let ran = requester.run(&["run", &app, "--", "607"]).await.expect(0);
    assert_eq!(ran.out, "607 prime\n");
    let ran = requester.run(&["run", &app, "--json", "--", "11"]).await.expect(0).json();
    assert_eq!((&ran["schema"], &ran["order"]["accepted"]), (&"quorate.run/v1".into(), &1.into()));
    let ran = requester.run(&["run", &app, "--", "eleven"]).await;
    ran.refused(10, &["did not end with exit code 0 (exit 2)"]);
    requester.run(&["run", &app, "--exit-status", "--", "eleven"]).await.expect(2);
    let ran = requester.run(&["run", &app, "--fuel", "1000", "--", "127"]).await;
    ran.refused(10, &["did not end with exit code 0 (fuel)"]);
}

/// An order nobody can fulfil: so much trust that four newcomers do not suffice. Returns its id.
pub(crate) async fn too_much_is_asked_for(requester: &Requester) -> String {
    let app = lucas_lehmer().display().to_string();
    let free = requester.free().await;
    let run = ["run", &app, "--trust", "1000000", "--deadline", "6s", "--name", "too much"];
    let ran = requester.run(&[&run[..], &["--timeout", "2s", "--", "13"]].concat()).await;
    ran.refused(5, &["--timeout of 2s ran out", "the order goes on: quorate order watch"]);
    let orders = requester.run(&["order", "ls", "--json"]).await.expect(0).json();
    let order = orders["orders"][0]["order"].as_str().unwrap().to_owned();
    let ran = requester.run(&["order", "explain", &order]).await.expect(0);
    for words in ["1 waiting", "4 workers connected, 4 slots", "an owner who votes already"] {
        assert!(ran.out.contains(words), "expected `{words}`: {ran}");
    }
    let told = requester.run(&["order", "explain", &order, "--json"]).await.expect(0).json();
    assert_eq!(told["schema"], "quorate.order-explanation/v1");
    assert_eq!(told["waiting"][0]["workers"]["reason"], "owner", "{told}");
    let ran = requester.run(&["order", "watch", &order]).await;
    ran.refused(10, &["1 of 1 tasks failed", "quorate order show", "quorate order refund"]);
    let ran = requester.run(&["order", "show", &order, "--tasks"]).await.expect(0);
    assert!(ran.out.contains("expired"), "{ran}");
    assert_eq!(requester.free().await, free - UNIT_PRICE, "it is locked until the batch is final");
    let ran = requester.run(&["order", "refund", &order]).await;
    ran.refused(3, &["no final batch", "challenge window"]);
    order
}
