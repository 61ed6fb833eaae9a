//! When the agent wants to be woken, and what it does then.

use crate::{Agent, job::Kept, votes::forget_at};
use quorate_common::clock::Now;

/// Pause before an unacknowledged vote is sent again on the same connection. QUIC loses nothing, so
/// this only answers a scheduler that forgot; an acknowledgement takes milliseconds when it lives.
pub(crate) const RESEND_MS: u64 = 5_000;

/// How long a result is kept beyond its reveal deadline when nobody says what came of it: a day
/// covers any repair of a scheduler that means to come back.
pub(crate) const FORGET_AFTER_S: u64 = 24 * 3_600;

impl Agent {
    /// When [`Agent::handle`] wants [`crate::Input::Tick`], in monotonic milliseconds. May change with
    /// every input; calling early is harmless.
    pub fn next_deadline(&self) -> Option<u64> {
        let work = self.work.values().map(|work| self.mono_ms(work.commit_deadline));
        let rested = self.rested_until();
        let known = self.kept.values().filter(|_| self.told_time);
        let forget = known.map(|job| self.mono_ms(forget_at(job)));
        let resend = self.kept.values().filter_map(|job| self.resend_at(job));
        let escape = self.kept.values().filter_map(|job| self.escape_at(job));
        work.chain(rested)
            .chain(forget)
            .chain(resend)
            .chain(escape)
            .chain(self.ask_again_at())
            .min()
    }

    pub(crate) fn on_tick(&mut self, now: Now) {
        self.drop_late_work(now);
        self.drop_rested_work(now);
        self.forget_old(now);
        self.ask_again(now);
        self.escape(now);
        if self.is_up() {
            self.send_due_votes(now);
        }
    }

    /// When the vote of a job is due again; `None` once it would come too late to count.
    fn resend_at(&self, job: &Kept) -> Option<u64> {
        let again = job.sent? + RESEND_MS;
        let until = self.mono_ms(job.vote_until()?);
        (self.is_up() && again < until).then_some(again)
    }

    /// The scheduler's unix second as our monotonic milliseconds; the past is 0.
    pub(crate) fn mono_ms(&self, unix_s: u64) -> u64 {
        let mono = i128::from(unix_s) * 1000 - self.shift_ms;
        u64::try_from(mono.max(0)).unwrap_or(u64::MAX)
    }
}
