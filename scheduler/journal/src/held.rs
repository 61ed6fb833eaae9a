//! Effects wait here for the records that justify them. The whole rule of "durable before visible", in
//! one place: the scheduler and its simulator let go what this gives them, and nothing else.

use quorate_common::bug::{self, Bug};
use std::collections::VecDeque;

/// What may leave once a record is on disk, in order.
#[derive(Debug)]
pub struct Held<T> {
    waiting: VecDeque<(u64, T)>,
    /// The last durable record.
    durable: u64,
}

impl<T> Held<T> {
    /// Nothing waits, and every record up to `durable` is on disk.
    pub fn new(durable: u64) -> Self {
        Self { waiting: VecDeque::new(), durable }
    }

    /// Keeps `what` until record `seq` is durable. `seq` never goes back.
    pub fn push(&mut self, seq: u64, what: T) {
        self.waiting.push_back((seq, what));
    }

    /// Every record up to `seq` is on disk.
    pub fn durable(&mut self, seq: u64) {
        self.durable = seq;
    }

    /// The last durable record.
    pub fn seq(&self) -> u64 {
        self.durable
    }

    /// The next that may leave.
    pub fn release(&mut self) -> Option<T> {
        let early = bug::is(Bug::AckBeforeFsync);
        let may = self.waiting.front().is_some_and(|(seq, _)| *seq <= self.durable || early);
        if may { self.waiting.pop_front().map(|(_, what)| what) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_record_and_nothing_out_of_order() {
        let mut held = Held::new(3);
        held.push(3, "a");
        held.push(5, "b");
        held.push(5, "c");
        held.push(6, "d");
        assert_eq!((held.release(), held.release()), (Some("a"), None));
        held.durable(5);
        let left: Vec<&str> = std::iter::from_fn(|| held.release()).collect();
        assert_eq!(left, ["b", "c"]);
    }
}
