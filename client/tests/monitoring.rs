//! A real Prometheus (Debian's; `QUORATE_PROMETHEUS` names the binary, without it the test says so and ends) scrapes
//! two real schedulers: one with real workers on a real chain, under a script of faults, one with simulated
//! workers of which some lie. Every panel's query returns data, every alert's selectors do, and the alert that
//! a fault should raise is raised.
//!
//! Rules are those that are shipped, with every duration divided by [`SCALE`]: nobody waits for hours.
//! `QUORATE_MONITORING_OUT` names a folder to leave Prometheus' data in, for the dashboards to be drawn from.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[path = "market/anvil.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod anvil;
#[path = "market/home.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod home;
#[path = "market/operator.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[path = "monitoring/prometheus.rs"]
mod prometheus;
#[path = "monitoring/queries.rs"]
mod queries;
#[path = "market/requester.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod requester;
#[path = "market/site.rs"]
mod site;
#[path = "market/volunteer.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod volunteer;

use anvil::{Anvil, free_port};
use home::{Home, Running};
use operator::Operator;
use patience::until;
use prometheus::{Prometheus, now_s};
use quorate_common::Address;
use requester::{Requester, lucas_lehmer};
use site::Site;
use std::time::Duration;
use volunteer::Volunteer;

/// What durations of rules are divided by: ten minutes are ten seconds.
const SCALE: u64 = 60;
/// Batches close after two seconds; a worker that is away for a second and a half is replaced; and a
/// promise, so that there are canaries and standings.
const SETTINGS: [&str; 5] = [
    "batch.age_s=2",
    "grid.lease_ms=1500",
    "pool.scheduler_ratio=10",
    "grid.promise_ppm=100000",
    "grid.hold_s=1",
];
/// Simulated workers and what they do: a fifth of them lie.
const CROWD: [&str; 16] = [
    "--quiet",
    "bench",
    "--only",
    "load",
    "--replication",
    "3,3",
    "--workers",
    "15",
    "--liars",
    "3",
    "--slots",
    "8",
    "--tasks",
    "1500",
    "--samples",
    "30",
];
/// The longest wait for an alert: gas is looked after every half minute.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn faults_raise_their_alerts_and_every_panel_has_data() {
    let Some(binary) = prometheus::binary() else { return };
    let site = Site::new();
    let anvil =
        Anvil::start(&site).await.expect("QUORATE_ANVIL is set where QUORATE_PROMETHEUS is");
    let mut operator = Operator::init(&site, &anvil, "operator", &SETTINGS).await;
    operator.serve().await;
    let (simulated, worker) = (free_port(), free_port());
    let schedulers = [operator.url.as_str(), &at(simulated)];
    let mut watcher = Prometheus::start(&site, &binary, &schedulers, worker).await;
    let crowd = crowd(&site, simulated);
    let mut volunteers = volunteers(&site, &operator, &anvil, worker).await;
    watcher.scrapes_well(&operator).await;
    watcher.sees_a_worker().await;

    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    requester.run(&["wallet", "deposit", "10 QTT"]).await.expect(0);
    order(&requester, "first", &[]).await;
    watcher.fires("QuorateDissentHigh", &[("instance", &host(&at(simulated)))], PATIENCE).await;

    gas_runs_out(&mut watcher, &operator, &anvil).await;
    order(&requester, "second", &[]).await;
    workers_leave(&mut watcher, &requester, &mut volunteers).await;
    scheduler_dies(&mut watcher, &mut operator).await;
    chain_dies(&mut watcher, anvil).await;

    watcher.every_panel_has_data().await;
    watcher.every_alert_has_data().await;
    assert_eq!(crowd.end("TERM").await, 143, "it takes its scheduler with it");
    watcher.end().await;
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn host(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Simulated workers, with a scheduler and a chain of their own.
fn crowd(site: &Site, port: u16) -> Running {
    let home = Home::new(site, "crowd");
    let port = port.to_string();
    home.start("quorate", &[&CROWD[..], &["--port", &port, "--data", "bench"]].concat())
}

/// Three real workers; the first shows its own metrics on this port.
async fn volunteers(
    site: &Site,
    operator: &Operator,
    anvil: &Anvil,
    metrics: u16,
) -> Vec<Volunteer> {
    let invite = operator.invite().await;
    let mut volunteers: Vec<Volunteer> =
        (1..=3).map(|n| Volunteer::new(site, &format!("volunteer-{n}"))).collect();
    let listen = format!("127.0.0.1:{metrics}");
    volunteers[0].home = volunteers[0].home.clone().with("QUORATE_METRICS__LISTEN", listen);
    for volunteer in &mut volunteers {
        volunteer.join_with_key(operator, anvil, &invite, &["--slots", "2"]).await;
        volunteer.start();
    }
    operator.has_workers(volunteers.len()).await;
    volunteers
}

/// Real work: Lucas-Lehmer tests, a dozen tasks.
async fn order(requester: &Requester, name: &str, more: &[&str]) {
    requester.home.file("in.txt", "3\n5\n7\n11\n13\n17\n19\n23\n29\n31\n37\n61\n");
    let app = lucas_lehmer().display().to_string();
    let run = ["run", &app, "--each-line", "in.txt", "--name", name, "--trust", "2"];
    let out = ["-o", name];
    let out: &[&str] = if more.is_empty() { &out } else { more };
    requester.run(&[&run[..], out].concat()).await.expect(0);
}

/// The account that sends is empty, and is filled again.
async fn gas_runs_out(watcher: &mut Prometheus, operator: &Operator, anvil: &Anvil) {
    let account: Address = operator.gas_account().parse().unwrap();
    let before = anvil.chain().balance(account).await.unwrap();
    anvil.chain().set_balance(account, Default::default()).await.unwrap();
    let trouble = ("state", "insufficient_gas");
    watcher.fires("QuorateOutboxTrouble", &[trouble], PATIENCE).await;
    anvil.chain().set_balance(account, before).await.unwrap();
    watcher.is_quiet("QuorateOutboxTrouble", &[trouble], PATIENCE).await;
}

/// Everybody is gone while tasks wait.
async fn workers_leave(
    watcher: &mut Prometheus,
    requester: &Requester,
    volunteers: &mut [Volunteer],
) {
    for volunteer in volunteers.iter_mut() {
        volunteer.kill().await;
    }
    order(requester, "nobody", &["--detach"]).await;
    watcher.fires("QuorateNoWorkers", &[], PATIENCE).await;
    for volunteer in volunteers.iter_mut() {
        volunteer.start();
    }
    watcher.is_quiet("QuorateNoWorkers", &[], PATIENCE).await;
}

/// `kill -9`, and three starts within what counts as half an hour.
async fn scheduler_dies(watcher: &mut Prometheus, operator: &mut Operator) {
    let here = host(&operator.url);
    operator.kill().await;
    watcher.fires("QuorateSchedulerDown", &[("instance", &here)], PATIENCE).await;
    for _ in 0..3 {
        let (before, last) = (watcher.started(&operator.url).await, now_s());
        until("another second", PATIENCE, async || (now_s() > last + 1).then_some(())).await;
        operator.serve().await;
        watcher.sees_start(&operator.url, &before).await;
        operator.kill().await;
    }
    operator.serve().await;
    watcher.fires("QuorateRestarts", &[("instance", &here)], PATIENCE).await;
    watcher.is_quiet("QuorateSchedulerDown", &[("instance", &here)], PATIENCE).await;
}

/// The only chain node is gone, for good: the last act.
async fn chain_dies(watcher: &mut Prometheus, anvil: Anvil) {
    drop(anvil);
    watcher.fires("QuorateChainNodesFail", &[], PATIENCE).await;
    watcher.fires("QuorateOutboxTrouble", &[("state", "unreachable")], PATIENCE).await;
}
