//! How far an order is: a bar where somebody watches, a line every tenth where a log is kept, one
//! JSON event a line where a program reads, nothing where quiet was asked for.

use crate::{output::Output, units};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quorate_common::{
    api::{OrderPhase, OrderView, TaskEvent, TaskPhase},
    clock::SystemClock,
    exit::Failure,
};
use serde::Serialize;
use std::{io::IsTerminal as _, time::Duration};

/// Redraws of the spinner while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// Shows what happens to one order.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    how: How,
    clock: SystemClock,
    tasks: u32,
    settled: u32,
    failed: u32,
    dissents: u64,
}

#[derive(Debug)]
enum How {
    Bar(ProgressBar),
    /// The last tenth that was told.
    Lines(u32),
    Events,
    Silent,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    unix_ms: u64,
    #[serde(flatten)]
    event: Event<'a>,
}

/// `{"type":"order","order":{…}}` or `{"type":"task","task":{…}}`.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Order { order: &'a OrderView },
    Task { task: &'a TaskEvent },
}

impl Progress {
    /// For one order. `events`: data is wanted, one JSON event a line.
    pub fn new(output: Output, events: bool) -> Self {
        let how = if events {
            How::Events
        } else if output.quiet || output.json {
            How::Silent
        } else if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() {
            How::Bar(bar(output))
        } else {
            How::Lines(0)
        };
        let clock = SystemClock::start();
        Self { output, how, clock, tasks: 0, settled: 0, failed: 0, dissents: 0 }
    }

    /// The order as the scheduler sees it.
    ///
    /// # Errors
    /// Standard output, with `--json`.
    pub fn order(&mut self, order: &OrderView) -> Result<(), Failure> {
        self.tasks = order.tasks;
        self.settled = self.settled.max(order.settled);
        self.failed = order.settled.saturating_sub(order.accepted);
        self.dissents = order.dissents;
        self.tell(Event::Order { order })
    }

    /// A task is over.
    ///
    /// # Errors
    /// Standard output, with `--json`.
    pub fn task(&mut self, task: &TaskEvent) -> Result<(), Failure> {
        self.settled = self.settled.max(task.settled);
        self.failed += u32::from(task.phase != TaskPhase::Consensus);
        self.dissents += u64::from(task.dissents);
        self.tell(Event::Task { task })
    }

    /// The scheduler does not answer.
    pub fn trouble(&self, failure: &Failure) {
        let text = format!("{}; trying again", failure.message);
        match &self.how {
            How::Bar(bar) => bar.set_message(text),
            How::Lines(_) | How::Events => self.output.note(text),
            How::Silent => {}
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }

    fn tell(&mut self, event: Event<'_>) -> Result<(), Failure> {
        let state = self.state();
        match &mut self.how {
            How::Bar(bar) => {
                bar.set_length(self.tasks.into());
                bar.set_position(self.settled.into());
                bar.set_message(state);
            }
            How::Lines(told) => {
                let tenth = tenth(self.settled, self.tasks);
                if tenth > *told {
                    *told = tenth;
                    let (settled, tasks) = (self.settled, self.tasks);
                    self.output.note(format!("{:3}%  {settled}/{tasks}  {state}", tenth * 10));
                }
            }
            How::Events => {
                let unix_ms = self.clock.now().unix_ms;
                let line = Line { schema: "quorate.event/v1", unix_ms, event };
                return self.output.document(&line);
            }
            How::Silent => {}
        }
        Ok(())
    }

    fn state(&self) -> String {
        let seconds = self.clock.now().mono_ms / 1000;
        let Self { settled, tasks, failed, dissents, .. } = *self;
        let left = (settled > 0 && settled < tasks)
            .then(|| u64::from(tasks - settled) * seconds / u64::from(settled));
        let left =
            left.map_or_else(String::new, |left| format!("  ETA {}", units::show_seconds(left)));
        format!("ok {}  failed {failed}  dissents {dissents}{left}", settled.saturating_sub(failed))
    }
}

/// Whether an order needs no more following.
pub fn is_over(phase: OrderPhase) -> bool {
    matches!(phase, OrderPhase::Done | OrderPhase::Refused)
}

fn tenth(settled: u32, tasks: u32) -> u32 {
    if tasks == 0 {
        0
    } else {
        u32::try_from(u64::from(settled) * 10 / u64::from(tasks)).unwrap_or(10)
    }
}

fn bar(output: Output) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let color = if output.color { ".green" } else { "" };
    let template = format!("{{spinner}} {{bar:30{color}}} {{pos}}/{{len}}  {{msg}}  {{elapsed}}");
    // A template that does not parse would be a mistake here; the library's own does as well.
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_are_told_once() {
        assert_eq!(
            [tenth(0, 7), tenth(1, 7), tenth(6, 7), tenth(7, 7), tenth(0, 0)],
            [0, 1, 8, 10, 0]
        );
        let output = Output { quiet: true, ..Output::default() };
        let mut progress = Progress { how: How::Lines(0), ..Progress::new(output, false) };
        progress.tasks = 4;
        for settled in 1..=4 {
            let (phase, result) = (TaskPhase::Consensus, None);
            let task =
                TaskEvent { idx: 0, phase, result, replicas: 1, dissents: 0, settled, age_ms: 0 };
            progress.task(&task).expect("told");
        }
        assert!(matches!(progress.how, How::Lines(10)));
        assert!(progress.state().starts_with("ok 4  failed 0"), "{}", progress.state());
    }
}
