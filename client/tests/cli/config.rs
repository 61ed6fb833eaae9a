//! Configuration as people write it: layers, origins, refusals.

use crate::program::{Home, Ran};
use std::fs;

fn value<'a>(shown: &'a serde_json::Value, key: &str) -> (&'a str, &'a str) {
    let values = shown["values"].as_array().unwrap();
    let found = values.iter().find(|value| value["key"] == key).unwrap();
    (found["value"].as_str().unwrap_or("unset"), found["origin"].as_str().unwrap())
}

fn shown(ran: Ran) -> serde_json::Value {
    ran.expect(0).json()
}

#[test]
fn flags_beat_environment_beats_files_beat_defaults() {
    let home = Home::new();
    let user = home.path().join(".config/quorate/quorate.toml");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    fs::write(&user, "wallet = \"u\"\npassword_file = \"u\"\n[order]\ntrust = 7\nreplicas = 7\ndeadline = \"7h\"\n").unwrap();
    let asked = home.path().join("asked.toml");
    fs::write(&asked, "[order]\nreplicas = 8\ndeadline = \"8h\"\ntime_limit = \"8m\"\n").unwrap();
    let env = [
        ("QUORATE_ORDER__DEADLINE", "9h"),
        ("QUORATE_ORDER__TIME_LIMIT", "9m"),
        ("QUORATE_LOG", "off"),
    ];
    let shown = shown(home.run_with(
        &env,
        &[
            "config",
            "show",
            "--origin",
            "--json",
            "--config",
            "asked.toml",
            "--set",
            "order.time_limit=3m",
            "--wallet",
            "w",
        ],
    ));
    assert_eq!(shown["schema"], "quorate.config/v1");
    assert_eq!(value(&shown, "wallet"), ("\"w\"", "flag --wallet"));
    assert_eq!(value(&shown, "order.time_limit"), ("\"3m\"", "flag --set"));
    assert_eq!(value(&shown, "order.deadline"), ("\"9h\"", "environment QUORATE_ORDER__DEADLINE"));
    assert_eq!(value(&shown, "order.replicas"), ("8", "asked.toml:2"));
    assert_eq!(value(&shown, "order.trust"), ("7", &*format!("{}:4", user.display())));
    assert_eq!(value(&shown, "chain.finality"), ("\"latest\"", "default"));
    assert_eq!(value(&shown, "chain.url"), ("unset", "unset"));
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let home = Home::new();
    let ran = home.run(&["config", "show", "--set", "order.trsut=5"]).expect(2);
    assert!(
        ran.stderr.contains("unknown key `order.trsut`; did you mean `order.trust`?"),
        "{ran:?}"
    );
    let ran = home.run_with(&[("QUORATE_WALET", "x")], &["wallet", "ls"]).expect(2);
    assert!(
        ran.stderr
            .contains("environment QUORATE_WALET: unknown key `walet`; did you mean `wallet`?"),
        "{ran:?}"
    );
    fs::write(home.path().join("x.toml"), "apy = \"http://x\"\n").unwrap();
    let ran = home.run(&["order", "ls", "--json", "--config", "x.toml"]).expect(2);
    assert!(
        ran.error()["message"].as_str().unwrap().contains("unknown key `apy`; did you mean `api`?")
    );
}

#[test]
fn bad_values_are_named_before_anything_happens() {
    let home = Home::new();
    for (pair, expected) in [
        ("order.trust=0", "`order.trust` is 0; expected a whole number from 1"),
        ("order.replicas=16", "`order.replicas` is 16; expected a whole number from 1 to 15"),
        ("order.deadline=soon", "`order.deadline` is \"soon\"; expected a time as `10m`"),
        ("order.max_price=1e18", "`order.max_price` is \"1e18\"; expected token units"),
        ("chain.contract=0xzz", "`chain.contract` is \"0xzz\"; expected 0x and 40 hex digits"),
        ("chain.id=x", "`chain.id` is \"x\"; expected a whole number"),
        ("chain.finality=never", "`chain.finality` is \"never\"; expected `latest`"),
        ("order.trust", "--set order.trust: expected KEY=VALUE"),
    ] {
        let ran = home.run(&["config", "show", "--set", pair]).expect(2);
        assert!(ran.stderr.contains(expected), "{pair}: {ran:?}");
    }
    home.run(&["config", "show", "--config", "missing.toml"]).expect(2);
    fs::write(home.path().join("bad.toml"), "a = [").unwrap();
    let ran = home.run(&["config", "show", "--config", "bad.toml"]).expect(2);
    assert!(ran.stderr.contains("bad.toml is not TOML"), "{ran:?}");
}

#[test]
fn init_writes_a_file_that_reads() {
    let home = Home::new();
    let file = home.path().join(".config/quorate/quorate.toml");
    let ran = home.run(&["config", "init", "--set", "order.trust=9"]).expect(0);
    assert_eq!(ran.stdout.trim(), file.to_str().unwrap());
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("[order]\n") && text.contains("\ntrust = 9\n"), "{text}");
    let line = 1 + text.lines().position(|line| line == "trust = 9").unwrap();
    let shown = shown(home.run(&["config", "show", "--origin", "--json"]));
    assert_eq!(value(&shown, "order.trust"), ("9", &*format!("{}:{line}", file.display())));
    assert_eq!(value(&shown, "order.replicas"), ("15", "default"));
    home.run(&["config", "init"]).expect(8);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn help_knows_commands_and_topics() {
    let home = Home::new();
    let ran = home.run(&["help", "exit-codes"]).expect(0);
    for line in ["  7  insufficient funds", " 10  finished with failed tasks", "130  interrupted"] {
        assert!(ran.stdout.contains(line), "{ran:?}");
    }
    assert!(home.run(&["help", "order", "results"]).expect(0).stdout.contains("--output <DIR>"));
    assert!(home.run(&["help"]).expect(0).stdout.contains("Examples:"));
    assert!(home.run(&["run", "--help"]).expect(0).stdout.contains("{task.index}"));
    home.run(&["help", "nothing"]).expect(2);
    home.run(&["nothing"]).expect(2);
    home.run(&[]).expect(2);
    let ran = home.run(&["run", "--json", "--nothing"]).expect(2);
    let document: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(document["error"]["code"], "usage");
    assert!(home.run(&["--version"]).expect(0).stdout.starts_with("quorate "));
}

#[test]
fn an_absent_scheduler_is_said_once_it_is_sure() {
    let home = Home::new();
    let order = format!("0x{}", "ab".repeat(32));
    let ran = home.run(&["order", "show", &order, "--json"]).expect(4);
    assert_eq!(ran.error()["code"], "unreachable");
    assert_eq!(ran.error()["retryable"], true);
    assert!(ran.error()["message"].as_str().unwrap().contains("http://127.0.0.1:1"), "{ran:?}");
    home.run(&["order", "show", "abcdef"]).expect(3);
    home.run(&["order", "show", "xyz"]).expect(2);
    home.run(&["order", "watch", &order, "--timeout", "1s"]).expect(5);
}
