//! First chapter: the operator configures a pool, starts it, and hands out the invitation.

use super::{
    anvil::{Anvil, free_port},
    home::Home,
    operator::{Operator, SCHEDULER},
    site::Site,
};
use serde_json::Value;
use std::fs;

/// One key's value and origin, as the program that has this home sees it.
async fn shown(home: &Home, args: &[&str], key: &str) -> (Value, String) {
    let show = ["--data", "pool", "--json", "config", "show", "--origin"];
    let shown = home.run(SCHEDULER, &[&show[..], args].concat()).await.expect(0).json();
    assert_eq!(shown["schema"], "quorate.config/v1");
    let found = shown["keys"].as_array().unwrap().iter().find(|found| found["key"] == key);
    let found = found.unwrap_or_else(|| panic!("no `{key}` in {shown}"));
    (found["value"].clone(), found["origin"].as_str().unwrap_or("unset").to_owned())
}

pub(crate) async fn configuration_is_layered(operator: &Operator) {
    let file = operator.home.path().join("pool/quorate.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nage_s = 1\n"), "what was set is written: {text}");
    assert!(text.contains("\n# tasks = 512\n"), "defaults are shown: {text}");
    assert!(text.contains(&operator.contract.to_string()), "the new contract is: {text}");

    let (home, key) = (&operator.home, "batch.tasks");
    assert_eq!(shown(home, &[], key).await, ("512".into(), "default".into()));
    fs::write(&file, text.replace("# tasks = 512", "tasks = 8")).unwrap();
    let line = 1 + text.lines().position(|line| line == "# tasks = 512").unwrap();
    assert_eq!(shown(home, &[], key).await, ("8".into(), format!("pool/quorate.toml:{line}")));
    let home = home.clone().with("QUORATE_BATCH__TASKS", 9);
    let origin = "environment QUORATE_BATCH__TASKS".to_owned();
    assert_eq!(shown(&home, &[], key).await, ("9".into(), origin));
    let flag = ["--set", "batch.tasks=10"];
    assert_eq!(shown(&home, &flag, key).await, ("10".into(), "flag --set".into()));
    let text = home.run(SCHEDULER, &["--data", "pool", "config", "show", "--origin"]).await;
    let line = "batch.tasks = 9    # environment QUORATE_BATCH__TASKS\n";
    assert!(text.out.contains(line), "{text}");

    operator.run(&["config", "check"]).await.expect(0);
    let ran = operator.run(&["--set", "batch.task=1", "config", "check"]).await;
    ran.refused(2, &["flag --set: unknown key `batch.task`; did you mean `batch.tasks`?"]);
    let slip = operator.home.clone().with("QUORATE_BATCH__AGE", 1);
    let ran = slip.run(SCHEDULER, &["--data", "pool", "--json", "config", "check"]).await;
    let error = ran.expect(2).error();
    assert_eq!(error["code"], "usage");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("environment QUORATE_BATCH__AGE: unknown key"), "{message}");
    operator.home.file("slip.toml", "[pool]\nunit_prize = 1\n");
    let ran = operator.run(&["--config", "slip.toml", "serve"]).await;
    ran.refused(2, &["slip.toml:2: unknown key `pool.unit_prize`", "`pool.unit_price`"]);
    let ran = operator.run(&["--set", "pool.stake_ratio=101", "serve"]).await;
    ran.refused(2, &["`pool.stake_ratio` is 101; expected a whole number from 0 to 100"]);
}

/// Whatever keeps a pool from opening is said with what to do about it.
pub(crate) async fn start_is_refused_in_words(site: &Site, operator: &Operator) {
    let stranger = Home::new(site, "stranger");
    let ran = stranger.run(SCHEDULER, &["--set", "chain.preset=anvil", "serve"]).await;
    ran.refused(2, &["`pool.id` is not set", "quorate-scheduler init"]);
    stranger.run(SCHEDULER, &["invite"]).await.refused(2, &["`pool.id` is not set", "init"]);
    let init = ["--set", "chain.preset=anvil", "init", "--gas-key", "none.hex"];
    stranger.run(SCHEDULER, &init).await.refused(3, &["gas key none.hex", "64 hex digits"]);
    stranger.file("short.hex", "12");
    let init = ["--set", "chain.preset=anvil", "init", "--gas-key", "short.hex"];
    stranger.run(SCHEDULER, &init).await.refused(2, &["gas key short.hex", "64 hex digits"]);

    let again = operator.run(&["--json", "init"]).await.expect(0).json();
    assert_eq!((&again["pool"], &again["schema"]), (&1.into(), &"quorate.init/v1".into()));
    operator.run(&["init", "--deploy"]).await.refused(8, &["`chain.contract` is", "--deploy"]);
    let dead = format!("chain.url=http://127.0.0.1:{}", free_port());
    operator.run(&["--set", &dead, "serve"]).await.refused(9, &["did not answer", "chain.url"]);
    let other = ["--set", "chain.preset=arbitrum", "serve"];
    operator.run(&other).await.refused(2, &["serves chain 31337, expected 42161", "chain.preset"]);
    let none = format!("chain.contract=0x{}", "11".repeat(20));
    let ran = operator.run(&["--set", &none, "serve"]).await;
    ran.refused(2, &["there is no code", "check chain.contract"]);
    let ran = operator.run(&["--set", "pool.id=7", "serve"]).await;
    ran.refused(8, &["`pool.id` is 7", "no such pool", "check chain.contract"]);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("http.listen={}", taken.local_addr().unwrap());
    let ran = operator.run(&["--set", &http, "serve"]).await;
    ran.refused(8, &["`http.listen` is \"127.0.0.1:", "choose another port"]);
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let quic = format!("quic.listen={}", taken.local_addr().unwrap());
    let ran = operator.run(&["--set", &quic, "serve"]).await;
    ran.refused(8, &["`quic.listen` is \"127.0.0.1:", "choose another port"]);
    let ran = operator.run(&["--set", "quic.listen=127.0.0.1:0", "invite"]).await;
    ran.refused(2, &["`quic.listen` is 127.0.0.1:0", "set quic.public"]);

    let key = operator.home.path().join("pool/keys/signer.key");
    let saved = fs::read_to_string(&key).unwrap();
    fs::write(&key, "22".repeat(32)).unwrap();
    operator.run(&["serve"]).await.refused(6, &["pool is registered with signer", "restore"]);
    fs::write(&key, saved).unwrap();
}

/// What a stranger finds at a pool that is open.
pub(crate) async fn doors_are_open(operator: &Operator, anvil: &Anvil) -> String {
    let (ready, invite) = (operator.ready(), operator.invite().await);
    assert_eq!((&ready["schema"], &ready["pool"]), (&"quorate.ready/v1".into(), &1.into()));
    assert_eq!(ready["invite"], invite.as_str(), "`serve` and `invite` say the same");
    assert!(invite.contains(&anvil.url), "{invite}");
    let ran = operator.run(&["--set", "quic.public=pool.example:7421", "invite"]).await.expect(0);
    assert!(ran.out.starts_with("quorate://pool.example:7421/"), "{ran}");
    assert!(ran.err.contains("set http.public"), "{ran}");
    let ran = operator.run(&["serve"]).await;
    ran.refused(8, &["pool/journal is in use by another scheduler", "its own folder"]);

    let pool = operator.get("/v1/pool").await;
    assert_eq!(pool["unit_price"], super::operator::UNIT_PRICE.to_string());
    let described = operator.run(&["openapi"]).await.expect(0).json();
    assert_eq!(described, operator.get("/openapi.json").await);
    assert!(described["paths"]["/v1/orders"].is_object(), "{described}");
    let metrics = operator.text("/metrics").await;
    assert!(metrics.contains("# TYPE quorate_"), "{metrics}");
    let missing = operator.get("/v1/order").await;
    assert_eq!(missing["error"]["code"], "not_found", "{missing}");
    invite
}
