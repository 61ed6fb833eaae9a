//! A running Prometheus: its configuration, what it is asked, and what it keeps.

use super::{SCALE, anvil::free_port, operator::Operator, patience::until, queries, site::Site};
use quorate_common::clock::SystemClock;
use quorate_monitoring::{boards, rules};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

/// How long it may take to start, and to scrape a scheduler that has just started.
const START: Duration = Duration::from_secs(30);
/// Four scrapes: what Grafana takes for `$__rate_interval`.
const RATE_INTERVAL: &str = "8s";

/// The binary, where one is named.
pub(crate) fn binary() -> Option<PathBuf> {
    let binary = std::env::var_os("QUORATE_PROMETHEUS");
    if binary.is_none() {
        eprintln!("SKIPPED: QUORATE_PROMETHEUS does not name a prometheus binary");
    }
    binary.map(PathBuf::from)
}

/// See the module.
pub(crate) struct Prometheus {
    child: Child,
    url: String,
    http: reqwest::Client,
    began_s: u64,
    out: PathBuf,
}

impl Prometheus {
    /// Starts it over schedulers, and a worker on this port.
    pub(crate) async fn start(site: &Site, binary: &Path, targets: &[&str], worker: u16) -> Self {
        let out = std::env::var_os("QUORATE_MONITORING_OUT").map(PathBuf::from);
        let out = out.unwrap_or_else(|| site.folder("prometheus"));
        fs::create_dir_all(&out).unwrap();
        let targets = targets.iter().map(|url| url.trim_start_matches("http://"));
        fs::write(out.join("prometheus.yml"), config(&targets.collect::<Vec<_>>(), worker))
            .unwrap();
        fs::write(out.join("alerts.yaml"), rules::alerts(SCALE)).unwrap();
        fs::write(out.join("recordings.yaml"), rules::recordings(SCALE)).unwrap();
        let port = free_port();
        let log = File::create(site.path().join("prometheus.log")).unwrap();
        let child = Command::new(binary)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(&out)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("QUORATE_PROMETHEUS={}: {error}", binary.display()));
        let (url, http) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        let watcher = Self { child, url, http, began_s: now_s(), out };
        until("Prometheus", START, async || {
            let answer = watcher.http.get(format!("{}/-/ready", watcher.url)).send().await;
            answer.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        watcher
    }

    /// What a scheduler shows passes promtool, and arrives; every rule can be evaluated.
    pub(crate) async fn scrapes_well(&self, operator: &Operator) {
        let text = operator.text("/metrics").await;
        promtool(&text).await;
        until("the first scrape", START, async || {
            let up = self.now("quorate_build_info").await;
            (!up.as_array().unwrap().is_empty()).then_some(())
        })
        .await;
        // A panel shows how old the newest backup is.
        operator.run(&["backup", "create", "backup"]).await.expect(0);
        let groups = self.get("/api/v1/rules", &[]).await;
        let rules = groups["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array());
        for rule in rules.flatten() {
            assert!(rule["health"] != "err", "{rule:#}");
        }
    }

    /// A worker tells its owner that it is at work.
    pub(crate) async fn sees_a_worker(&self) {
        let query = "quorate_worker_link{job=\"quorate-worker\",state=\"up\"} == 1";
        until("a worker's own metrics", START, async || {
            (!self.now(query).await.as_array().unwrap().is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until an alert fires with these labels.
    pub(crate) async fn fires(&mut self, alert: &str, labels: &[(&str, &str)], most: Duration) {
        let began = std::time::Instant::now();
        until(&format!("{alert} {labels:?} to fire"), most, async || {
            self.is_firing(alert, labels).await.then_some(())
        })
        .await;
        eprintln!("{alert} fires after {} s", began.elapsed().as_secs());
    }

    /// Waits until it does not any more.
    pub(crate) async fn is_quiet(&mut self, alert: &str, labels: &[(&str, &str)], most: Duration) {
        until(&format!("{alert} {labels:?} to end"), most, async || {
            (!self.is_firing(alert, labels).await).then_some(())
        })
        .await;
    }

    async fn is_firing(&self, alert: &str, labels: &[(&str, &str)]) -> bool {
        let alerts = self.get("/api/v1/alerts", &[]).await;
        alerts["alerts"].as_array().unwrap().iter().any(|found| {
            let has = |(name, value): &(&str, &str)| found["labels"][name] == *value;
            found["state"] == "firing" && has(&("alertname", alert)) && labels.iter().all(has)
        })
    }

    /// When a scheduler's process was started, as it was scraped last.
    pub(crate) async fn started(&self, scheduler: &str) -> String {
        let instance = scheduler.trim_start_matches("http://");
        let query =
            format!("last_over_time(process_start_time_seconds{{instance=\"{instance}\"}}[1h])");
        self.now(&query).await[0]["value"][1].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a scheduler was scraped that has started since. Starts are told in whole seconds.
    pub(crate) async fn sees_start(&self, scheduler: &str, before: &str) {
        until("a scrape of the new process", START, async || {
            (self.started(scheduler).await != before).then_some(())
        })
        .await;
    }

    /// Every query of every panel has an answer at some time of the test.
    pub(crate) async fn every_panel_has_data(&self) {
        let mut empty = Vec::new();
        for board in boards::all() {
            for panel in board.panels() {
                for query in &panel.queries {
                    if !self.had_data(&filled(&query.expr)).await {
                        empty.push(format!("{}, `{}`: {}", board.uid, panel.title, query.expr));
                    }
                }
            }
        }
        for (name, expr, ..) in boards::ANNOTATIONS {
            if !self.had_data(&filled(expr)).await {
                empty.push(format!("annotation {name}: {expr}"));
            }
        }
        assert!(empty.is_empty(), "no data for {} queries:\n{}", empty.len(), empty.join("\n"));
    }

    /// Everything that an alert looks at was there. That its comparison holds is what faults are for.
    pub(crate) async fn every_alert_has_data(&self) {
        let mut empty = Vec::new();
        for alert in rules::ALERTS {
            for selector in queries::selectors(alert.expr) {
                if !self.had_data(&selector).await {
                    empty.push(format!("{}: {selector}", alert.name));
                }
            }
        }
        assert!(empty.is_empty(), "no data for alerts:\n{}", empty.join("\n"));
    }

    async fn had_data(&self, expr: &str) -> bool {
        let (from, to) = (self.began_s.to_string(), now_s().to_string());
        let range = [("query", expr), ("start", &from), ("end", &to), ("step", "2s")];
        let found = self.get("/api/v1/query_range", &range).await;
        !found["result"].as_array().unwrap().is_empty()
    }

    async fn now(&self, expr: &str) -> Value {
        self.get("/api/v1/query", &[("query", expr)]).await["result"].clone()
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), query).unwrap();
        let answer: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "success", "{path} {query:?}: {answer}");
        answer["data"].clone()
    }

    /// Ends it in good order, so that its data can be read again, and notes from when to when.
    pub(crate) async fn end(mut self) {
        let range = json!({ "from": self.began_s, "to": now_s() });
        fs::write(self.out.join("range.json"), range.to_string()).unwrap();
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
        let ended = tokio::time::timeout(START, self.child.wait()).await;
        assert!(ended.expect("Prometheus ends").unwrap().success());
    }
}

pub(crate) fn now_s() -> u64 {
    SystemClock::start().now().unix_s()
}

/// A panel's expression as Grafana would send it, scaled like the rules.
fn filled(expr: &str) -> String {
    let expr = boards::with_selection(expr).replace("$job", ".+").replace("$instance", ".+");
    rules::scaled(&expr.replace("$__rate_interval", RATE_INTERVAL), 1)
}

/// The shipped configuration, with the test's pace and targets.
fn config(targets: &[&str], worker: u16) -> String {
    let shipped = quorate_monitoring::files::BY_HAND;
    let (_, text) = shipped.iter().find(|(path, _)| *path == "prometheus.yml").unwrap();
    let list: String = targets.iter().map(|target| format!("          - {target}\n")).collect();
    let text = text.replace("          - 127.0.0.1:7420\n", &list);
    let text = text.replace("interval: 15s", "interval: 1s").replace("rules/", "");
    // What a comment offers to owners of workers.
    let (head, tail) = text.split_once("  # - job_name: quorate-worker").unwrap();
    let (job, rest) = tail.split_once("7422\n").unwrap();
    let job = job.replace("\n  # ", "\n  ");
    let text = format!("{head}  - job_name: quorate-worker{job}{worker}\n{rest}");
    assert!(targets.iter().all(|target| text.contains(target)), "{text}");
    text
}

/// What Prometheus' own tool thinks of names, units and help.
async fn promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool comes with Debian's prometheus");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let done = promtool.wait_with_output().await.unwrap();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "promtool check metrics: {words}");
}
