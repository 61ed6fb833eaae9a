//! What was measured, as a table for people and one JSON document for machines. The figures of the run
//! with k = 3 (or of the last one) are repeated on top, where scripts look for them.

use super::{limits::Limits, machine::Machine};
use crate::{cli::BenchArgs, output};
use serde::Serialize;
use std::time::Duration;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    version: &'static str,
    machine: Machine,
    limits: Limits,
    workers: u32,
    slots: u16,
    requesters: u32,
    batch_tasks: u32,
    #[serde(flatten)]
    headline: Headline,
    /// One per replication.
    pub runs: Vec<Run>,
    /// Workers that only connect.
    pub idle: Option<Idle>,
    /// A restart after `kill -9`.
    pub restart: Option<Restart>,
}

/// One measurement of load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// Replicas asked for per task.
    pub replication: u8,
    /// Tasks accepted.
    pub tasks: u32,
    /// From the first order's submission to the last accepted result.
    pub tasks_per_second: f64,
    /// Replicas assigned per task.
    pub replicas: f64,
    /// Processor time of the scheduler.
    pub scheduler_cpu_us_per_task: f64,
    /// Processors the scheduler kept busy.
    pub scheduler_cores: f64,
    /// Group commits.
    pub fsyncs_per_task: f64,
    /// Submission to accepted result, one task at a time.
    pub latency_ms: Latency,
    /// The same while other orders keep the pool busy.
    pub latency_under_load_ms: Latency,
    /// Peak memory beyond the idle scheduler's.
    pub rss_bytes_per_busy_worker: u64,
}

/// Workers that only connect.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Idle {
    /// Held at once.
    pub workers: u64,
    /// Series that `/metrics` shows with them: no more than without.
    pub series: usize,
    /// Scheduler's memory without them.
    pub rss_before: u64,
    /// And with them.
    pub rss_after: u64,
}

/// A restart after `kill -9`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Restart {
    /// Tasks that were open.
    pub open: u32,
    /// Tasks that are open after it.
    pub recovered: u64,
    /// From the start of the program to its first answer.
    pub seconds: f64,
}

/// Two percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latency {
    p50: f64,
    p99: f64,
    samples: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Headline {
    tasks_per_second: Option<f64>,
    replicas: Option<f64>,
    scheduler_cpu_us_per_task: Option<f64>,
    fsyncs_per_task: Option<f64>,
    latency_ms: Option<Latency>,
    rss_bytes_per_idle_worker: Option<u64>,
    restart_seconds: Option<f64>,
}

impl Latency {
    /// Of these samples; zeros where there are none.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Self { p50: at(50), p99: at(99), samples: times.len() }
    }
}

impl Idle {
    fn each(&self) -> u64 {
        self.rss_after.saturating_sub(self.rss_before) / self.workers.max(1)
    }
}

impl Report {
    /// Nothing measured yet but the limits.
    pub(super) fn new(args: &BenchArgs, limits: Limits) -> Self {
        Self {
            schema: "quorate.bench/v1",
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            limits,
            workers: args.workers,
            slots: args.slots,
            requesters: args.requesters,
            batch_tasks: super::market::BATCH_TASKS,
            headline: Headline::default(),
            runs: Vec::new(),
            idle: None,
            restart: None,
        }
    }

    /// With its headline.
    #[must_use]
    pub(super) fn concluded(mut self) -> Self {
        let run = self.runs.iter().find(|run| run.replication == 3).or(self.runs.last());
        self.headline = Headline {
            tasks_per_second: run.map(|run| run.tasks_per_second),
            replicas: run.map(|run| run.replicas),
            scheduler_cpu_us_per_task: run.map(|run| run.scheduler_cpu_us_per_task),
            fsyncs_per_task: run.map(|run| run.fsyncs_per_task),
            latency_ms: run.map(|run| run.latency_ms),
            rss_bytes_per_idle_worker: self.idle.as_ref().map(Idle::each),
            restart_seconds: self.restart.map(|restart| restart.seconds),
        };
        self
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Machine { cpus, cpu, kernel } = &self.machine;
        let mut text = format!("{cpus} processors ({cpu}), Linux {kernel}\n");
        text += &format!(
            "limits: {:.2} ms per fdatasync, {:.0} µs per signature check\n",
            self.limits.fdatasync_ms, self.limits.recover_us
        );
        if !self.runs.is_empty() {
            text += &format!(
                "{} workers of {} slots, {} requesters, batches of {}\n\n{}\n",
                self.workers,
                self.slots,
                self.requesters,
                self.batch_tasks,
                self.run_table()
            );
        }
        text += &self.facts();
        text.trim_end().to_owned()
    }

    fn run_table(&self) -> String {
        let header = [
            "K",
            "REPLICAS",
            "TASKS",
            "TASKS/S",
            "CPU µs/TASK",
            "CORES",
            "FSYNCS/TASK",
            "ALONE p50",
            "p99 ms",
            "LOADED p50",
            "p99 ms",
            "KB/BUSY WORKER",
        ];
        let rows = self.runs.iter().map(|run| {
            let (alone, loaded) = (run.latency_ms, run.latency_under_load_ms);
            vec![
                run.replication.to_string(),
                format!("{:.2}", run.replicas),
                run.tasks.to_string(),
                format!("{:.0}", run.tasks_per_second),
                format!("{:.0}", run.scheduler_cpu_us_per_task),
                format!("{:.2}", run.scheduler_cores),
                format!("{:.4}", run.fsyncs_per_task),
                format!("{:.1}", alone.p50),
                format!("{:.1}", alone.p99),
                format!("{:.1}", loaded.p50),
                format!("{:.1}", loaded.p99),
                (run.rss_bytes_per_busy_worker / 1000).to_string(),
            ]
        });
        output::table(&header, rows)
    }

    fn facts(&self) -> String {
        let mut facts = Vec::new();
        if let Some(idle) = &self.idle {
            let value = format!("{} held, {:.1} KB each", idle.workers, idle.each() as f64 / 1e3);
            facts.push(("idle workers", value));
        }
        if let Some(Restart { open, recovered, seconds }) = &self.restart {
            let value = format!("{seconds:.2} s after kill -9; {recovered} of {open} open tasks");
            facts.push(("restart", value));
        }
        output::facts(&facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_samples() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let latency = Latency::of(times);
        assert!((latency.p50 - 50.0).abs() < 1e-9 && (latency.p99 - 99.0).abs() < 1e-9);
        assert!(Latency::of(Vec::new()).p50.abs() < 1e-9);
    }
}
