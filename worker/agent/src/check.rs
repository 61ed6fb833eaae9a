//! What is always true of an agent. Tests run it after every input; the program does in debug builds.

use crate::{
    Agent, WorkStage,
    agent::{KEPT_MAX, WORK_PER_SLOT},
    escape::ON_CHAIN,
    session::SESSION_DEALS_MAX,
};
use quorate_common::ids::TaskKey;

impl Agent {
    /// Checks every cross-reference, bound and proof.
    ///
    /// # Panics
    /// If one does not hold, with the job it does not hold for.
    pub fn check(&self) {
        let most = WORK_PER_SLOT * usize::from(self.config.slots_max);
        assert!(self.work.len() <= most, "{} jobs for {most} places", self.work.len());
        assert!(self.slots <= self.config.slots_max, "{} slots offered", self.slots);
        assert!(
            self.running.len() <= usize::from(self.config.slots_max),
            "{} runs in {} slots",
            self.running.len(),
            self.config.slots_max
        );
        assert!(self.kept.len() <= KEPT_MAX, "{} results are kept", self.kept.len());
        assert!(self.deals.len() <= SESSION_DEALS_MAX + KEPT_MAX + most, "too many deals");
        self.check_work();
        self.kept.keys().for_each(|task| self.check_kept(*task));
    }

    fn check_work(&self) {
        let free = self.running.len() < usize::from(self.slots);
        for (task, work) in &self.work {
            assert!(!self.kept.contains_key(task), "{task} has a result and is worked on");
            assert!(self.deals.contains_key(&task.deal), "{task}: its deal is unknown");
            let runs = self.running.contains(&work.ticket);
            assert_eq!(runs, work.stage == WorkStage::Running, "{task}: {:?}", work.stage);
            assert!(!free || work.stage != WorkStage::Waiting, "{task} waits beside a free slot");
            assert!(work.ticket.0 <= self.next_ticket, "{task}: a ticket from the future");
        }
    }

    fn check_kept(&self, task: TaskKey) {
        let job = &self.kept[&task];
        let deal = self.deals.get(&task.deal).map(|deal| deal.id);
        assert_eq!(deal, Some(job.deal), "{task}: its deal is unknown or another");
        let seal = &job.seal;
        let (task_id, digest) = (job.deal.task_id(task.idx), seal.digest.word());
        let commitment =
            self.separator.commitment(task_id, job.attempt, seal.worker, digest, seal.salt);
        assert_eq!(commitment, seal.commitment, "{task}: the commitment binds something else");
        if let Some(ack) = job.ack() {
            assert_eq!(ack.item.commitment, commitment, "{task}: another commitment was acked");
        }
        if let Some(set) = job.set() {
            let is_in = set.item.position == ON_CHAIN || seal.is_in(&set.item);
            assert!(is_in, "{task} was shown to a set it is not in");
            assert_eq!(set.item.attempt, job.attempt, "{task} was shown to another round's set");
            assert_eq!(set.item.task, task, "{task} was shown to another task's set");
        }
    }
}
