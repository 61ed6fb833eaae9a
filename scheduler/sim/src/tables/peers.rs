//! What others do, each rule written out: no replication, m-first voting, BOINC's adaptive
//! replication. Workers are drawn one by one from the same crowd; time plays no part in these rules.

use super::{
    Score,
    crowd::{Crowd, Mob, RIGHT},
};

/// Replicas of one task at most, then it ends without a result.
const REPLICAS_MAX: usize = 15;

/// One task with the answers so far.
#[derive(Default)]
struct Votes(Vec<(u32, Option<u32>)>);

impl Votes {
    /// Asks one more worker, drawn among those that were not.
    fn ask(&mut self, mob: &mut Mob, workers: u32, task: u32) -> u32 {
        let worker = self.draw(mob, workers);
        self.ask_this(mob, worker, task);
        worker
    }

    fn draw(&self, mob: &mut Mob, workers: u32) -> u32 {
        loop {
            let worker = mob.dice().below(workers);
            if self.0.iter().all(|(known, _)| *known != worker) {
                return worker;
            }
        }
    }

    fn ask_this(&mut self, mob: &mut Mob, worker: u32, task: u32) -> u32 {
        let answer = mob.says(worker, task, &self.0);
        self.0.push((worker, Some(answer)));
        answer
    }

    /// The answer that `m` workers gave, the last of them just now.
    fn agreed(&self, m: usize) -> Option<u32> {
        let last = self.0.last().and_then(|(_, said)| *said)?;
        let backers = self.0.iter().filter(|(_, said)| *said == Some(last)).count();
        (backers >= m).then_some(last)
    }
}

/// A task is over when `m` workers agree; `m = 1` is no replication.
pub(super) fn m_first(m: usize, crowd: Crowd, tasks: u32, seed: u64) -> Score {
    let mut mob = Mob::new(crowd, seed);
    let mut score = Score::default();
    for task in 0..tasks {
        let mut votes = Votes::default();
        while votes.agreed(m).is_none() && votes.0.len() < REPLICAS_MAX.max(2 * m) {
            votes.ask(&mut mob, crowd.workers, task);
        }
        score.count(votes.agreed(m), votes.0.len());
    }
    score
}

/// BOINC's adaptive replication, as its scheduler and validator have it (`sched_send.cpp`,
/// `validator.cpp`; version 8): a host whose last `v >= 10` replicated results were valid is trusted
/// with a job of its own with chance `1 - 1 / v`, and is not replicated then; any other job needs two
/// that agree. Who is found invalid begins at zero; a single result changes nothing.
pub(super) fn boinc(crowd: Crowd, tasks: u32, seed: u64) -> Score {
    let mut mob = Mob::new(crowd, seed);
    let mut score = Score::default();
    let mut valid = vec![0_u32; crowd.workers as usize];
    for task in 0..tasks {
        let mut votes = Votes::default();
        let first = votes.ask(&mut mob, crowd.workers, task);
        let known = valid[first as usize];
        if known >= BOINC_VALID_LEAST && mob.dice().below(known) > 0 {
            score.count(votes.agreed(1), 1);
            continue;
        }
        while votes.agreed(2).is_none() && votes.0.len() < REPLICAS_MAX {
            votes.ask(&mut mob, crowd.workers, task);
        }
        let agreed = votes.agreed(2);
        for (worker, said) in &votes.0 {
            let valid = &mut valid[*worker as usize];
            *valid = if agreed.is_some() && *said == agreed { *valid + 1 } else { 0 };
        }
        score.count(agreed, votes.0.len());
    }
    score
}

/// Valid results in a row before a host is trusted with anything.
const BOINC_VALID_LEAST: u32 = 10;

impl Score {
    fn count(&mut self, result: Option<u32>, replicas: usize) {
        self.tasks += 1;
        self.replicas += replicas as u64;
        match result {
            Some(RIGHT) => {}
            Some(_) => self.wrong += 1,
            None => self.none += 1,
        }
    }
}
