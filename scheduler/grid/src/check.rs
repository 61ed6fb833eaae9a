//! Every cross-reference of the grid, checked at once. Tests run it after each input; it is too slow
//! for anything else.

use crate::{
    deal::Deal,
    grid::Grid,
    task::{Open, ReplicaState, SetRec, Task},
};
use quorate_common::{
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
    merkle::{SET_DEPTH, Tree},
};
use std::collections::{BTreeMap, BTreeSet};

impl Grid {
    /// Checks everything that must hold between two inputs.
    ///
    /// # Panics
    /// At the first thing that does not, naming it.
    pub fn check(&self) {
        assert!(self.ready.records.is_empty() && self.ready.effects.is_empty(), "not drained");
        self.durable.fleet.check();
        self.check_members();
        self.check_holdings();
        self.check_programs();
        for (slot, deal) in &self.durable.deals {
            let works = deal.ready && deal.erratic.is_none() && !deal.finished();
            let waits = works && deal.next < deal.terms.tasks;
            assert_eq!(self.fresh.contains(*slot), waits, "{slot} among the deals with new tasks");
            deal.check();
        }
        let left = self.durable.deals.values().filter(|deal| self.fresh.contains(deal.slot));
        let left: u64 = left.map(|deal| u64::from(deal.terms.tasks - deal.next)).sum();
        assert_eq!(self.fresh.total(), left, "tasks that were never opened");
        for key in self.open_tasks() {
            let open = self.task(key).and_then(Task::open).expect("it is open");
            open.check(key, &self.durable.deals[&key.deal]);
            self.check_progress(key, open);
        }
        for key in self.wanting.iter() {
            assert!(self.task(*key).and_then(Task::open).is_some(), "{key} wants and is not open");
        }
    }

    /// A program has as many tasks under way as it counts, and those that run it know when it is erratic.
    fn check_programs(&self) {
        let mut under_way: BTreeMap<Digest, u32> = BTreeMap::new();
        for key in self.open_tasks() {
            let open = self.task(key).and_then(Task::open).expect("it is open");
            if let Some(program) = self.durable.deals[&key.deal].work.program {
                *under_way.entry(program).or_default() += u32::from(open.calibrates && !open.torn);
            }
        }
        for (id, program) in &self.durable.programs {
            let found = under_way.get(id).copied().unwrap_or_default();
            assert_eq!(program.open, found, "tasks that calibrate {id}");
        }
    }

    /// What members hold and are busy with is what the open tasks say.
    fn check_members(&self) {
        let mut live: BTreeMap<WorkerIdx, (BTreeSet<TaskKey>, u128, u16)> = BTreeMap::new();
        for key in self.open_tasks() {
            let stake = self.durable.deals[&key.deal].stake;
            let open = self.task(key).and_then(Task::open).expect("it is open");
            for replica in &open.replicas {
                if matches!(replica.state, ReplicaState::Lost) {
                    continue;
                }
                let (tasks, held, busy) = live.entry(replica.worker).or_default();
                assert!(tasks.insert(key), "{} has {key} twice", replica.worker);
                *held += stake;
                *busy += u16::from(matches!(replica.state, ReplicaState::Assigned));
            }
        }
        for (worker, member) in self.durable.fleet.iter() {
            let (tasks, held, busy) = live.remove(&worker).unwrap_or_default();
            assert_eq!(member.tasks, tasks, "tasks of {worker}");
            assert_eq!(member.held, held, "stake held of {worker}");
            if let Some(link) = &member.link {
                assert_eq!(link.busy, busy, "slots of {worker} in use");
            }
        }
        assert!(live.is_empty(), "replicas of unknown workers: {live:?}");
    }

    /// Something will move every open task: a worker, a deadline, a free slot, or tidings of the chain.
    fn check_progress(&self, key: TaskKey, open: &Open) {
        let standing = |at: &(u64, _)| self.deadlines.contains(at.0, at.1);
        let timed = open.deadlines.iter().any(standing);
        let moving = (open.running() > 0 || open.revealing()) && timed;
        let wanting = self.wanting.contains(&key);
        let to_hear = self.to_hear.iter().any(|(_, waiting)| *waiting == key);
        // A torn task ends with its deal.
        assert!(
            moving || wanting || timed || to_hear || open.torn,
            "nothing will move {key}: {open:?}"
        );
    }
}

impl Deal {
    fn check(&self) {
        let slot = self.slot;
        let done: Vec<_> = self
            .tasks
            .iter()
            .filter_map(|task| if let Task::Done(done) = task { Some(done) } else { None })
            .collect();
        assert_eq!(self.settled as usize, done.len(), "tasks settled of {slot}");
        let accepted = done.iter().filter(|done| done.digest.word() != [0; 32]).count();
        assert_eq!(self.accepted as usize, accepted, "tasks accepted of {slot}");
        let beyond = &self.tasks[self.next as usize..];
        let unopened = beyond.iter().all(|task| task.open().is_none());
        assert!(unopened, "a task of {slot} beyond its next one is open");
    }
}

impl Open {
    fn check(&self, key: TaskKey, deal: &Deal) {
        assert!(self.live() <= deal.replicas_max(), "{key} has too many replicas");
        let mut workers = BTreeSet::new();
        for replica in &self.replicas {
            assert!(workers.insert(replica.worker), "{key} asked {} twice", replica.worker);
            assert!(replica.attempt <= self.attempt(), "{key} has a replica of a later round");
        }
        let leaves: Vec<_> = self
            .commitments()
            .into_iter()
            .map(|(_, worker, commitment)| crate::apply::set_leaf(worker, commitment))
            .collect();
        for SetRec { root, n, .. } in &self.sets {
            let frozen = leaves[..usize::from(*n)].to_vec();
            assert_eq!(Tree::new(SET_DEPTH, frozen).root(), *root, "a frozen set of {key} changed");
        }
    }
}
