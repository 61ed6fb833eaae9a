//! What a machine says: its hello, its votes, and what it says on chain; and what it may not say.

use crate::{
    chain::Tx,
    desk::encoded,
    law::{Lawful, hold},
    links::Side,
    plan::Habit,
    world::{Event, POOL, World},
};
use alloy_primitives::B256;
use quorate_agent::Input;
use quorate_common::{
    digest::Digest,
    frame::{self, FRAME_MESSAGES_MAX, FrameTree},
    ids::{TaskKey, WorkerIdx},
    messages::Reveal,
    wire::{self, CommitItem, EngineInfo, Hello, Open, RevealItem, ToScheduler, Votes},
    word::Word,
};

impl World {
    pub(super) fn greet(&mut self, at: usize, slots: u16, holding: Vec<(TaskKey, u16)>) {
        let machine = &self.machines[at];
        let hello = Hello {
            version: wire::VERSION,
            pool: POOL,
            vote_key: machine.key.address(),
            // The transport's business, and not modelled: who connects has the key it says.
            binding: [[0; 32]; 2],
            slots,
            memory_bytes: 1 << 30,
            engine: EngineInfo { hash: Digest::of(&[machine.person.engine]) },
            name: String::new(),
            holding,
            ask: machine.config.ask,
            // The fence of a restored disk is the shell's business, and tested there.
            newest: None,
        };
        let frame = encoded(&Open::Control(hello));
        self.send_frame(at, frame);
    }

    /// A result is committed to, and written down before.
    pub(super) fn commits(&mut self, at: usize, item: CommitItem, hash: B256) -> Lawful {
        let machine = &mut self.machines[at];
        let sealed = machine.sealed(item.task).map(|job| job.seal.commitment);
        hold(sealed == Some(item.commitment), "a commit is written down before it leaves", || {
            format!("{}: {}", machine.worker, item.task)
        })?;
        if self.twist_commit(at, &item) {
            return Ok(());
        }
        self.machines[at].commits.push((item, hash));
        Ok(())
    }

    /// A result is shown to one set, and to the true one.
    pub(super) fn reveals(&mut self, at: usize, item: RevealItem, hash: B256) -> Lawful {
        let machine = &mut self.machines[at];
        let (task, who) = (item.task, machine.worker);
        let commitment = machine.sealed(task).map(|job| job.seal.commitment).unwrap_or_default();
        let first = *machine.opened.entry(commitment).or_insert(item.set_root);
        let rolled_back = self.node.rolled_back;
        hold(first == item.set_root, "a commitment is opened to one set", || {
            format!("{who}: {task}")
        })?;
        let truth = self.node.law.set(task, item.attempt).map(|(root, _)| root);
        let is_true = rolled_back || truth == Some(item.set_root);
        hold(is_true, "a result is shown to the set that holds its commitment", || {
            format!("{who}: {task} to {}", item.set_root)
        })?;
        if self.twist_reveal(at, &item) {
            return Ok(());
        }
        self.machines[at].reveals.push((item, hash));
        Ok(())
    }

    pub(super) fn keep_word(&mut self, at: usize, word: Word) -> Lawful {
        let signer = word.signer(&self.separator);
        hold(
            signer == Some(self.signer.address()),
            "words are signed by the pool's signer",
            || format!("{}: {:?}", self.machines[at].worker, word.said),
        )?;
        self.machines[at].words.push(word);
        Ok(())
    }

    pub(super) fn demand(&mut self, at: usize, task_id: B256, attempt: u16, worker: WorkerIdx) {
        if self.machines[at].person.habit == Habit::Withholding {
            return;
        }
        self.tally.count("act: demand said on chain");
        self.say(|| format!("{worker} demands its set on chain"));
        self.submit(Tx::Demand { task_id, attempt, worker });
    }

    pub(super) fn force(&mut self, at: usize, reveal: Reveal, hash: B256) {
        let machine = &self.machines[at];
        let who = machine.worker;
        if matches!(machine.person.habit, Habit::Withholding | Habit::Late | Habit::Copying) {
            return;
        }
        let signature = frame::sign(&machine.key, &self.separator, &[hash]);
        let proof = FrameTree::new(&[hash]).proof(0, signature);
        self.tally.count("act: vote said on chain");
        self.say(|| format!("{who} reveals on chain"));
        self.submit(Tx::Vote(Box::new((reveal, proof))));
    }

    pub(super) fn part(&mut self, at: usize) -> Lawful {
        if let Some(session) = self.machines[at].session.take() {
            let learns = self.dice.range(1, 100);
            self.break_link(session, learns, 0);
        }
        self.dial_again(at);
        self.input(at, Input::LinkDown)
    }

    pub(super) fn upload(&mut self, at: usize, blobs: &[Digest]) {
        let machine = &self.machines[at];
        let has = blobs.first().filter(|digest| machine.results.contains(*digest)).copied();
        let brings = machine.person.habit != Habit::Hoarding;
        let (Some(digest), Some(session), true) = (has, machine.session, brings) else { return };
        let far = machine.person.far_ms;
        let pause = self.dice.range(far, far * 4);
        self.later(pause, Event::Uploaded(session, digest));
    }

    /// Everything there is to vote on, as one signed frame.
    pub(super) fn send_votes(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.commits.is_empty() && machine.reveals.is_empty() {
            return;
        }
        let mut commits = std::mem::take(&mut machine.commits);
        let mut reveals = std::mem::take(&mut machine.reveals);
        commits.truncate(FRAME_MESSAGES_MAX / 2);
        // Thirty of the largest results fill a frame.
        reveals.truncate(FRAME_MESSAGES_MAX / 2);
        let hashes: Vec<B256> =
            commits.iter().map(|(_, h)| *h).chain(reveals.iter().map(|(_, h)| *h)).collect();
        let signature = frame::sign(&machine.key, &self.separator, &hashes);
        let commits = commits.into_iter().map(|(item, _)| item).collect();
        let reveals = reveals.into_iter().map(|(item, _)| item).collect();
        self.tell_scheduler(at, &ToScheduler::Votes(Votes { commits, reveals, signature }));
    }

    pub(crate) fn tell_scheduler(&mut self, at: usize, message: &ToScheduler) {
        let frame = encoded(message);
        if self.machines[at].frames.len() < 64 {
            self.machines[at].frames.push(frame.clone());
        }
        self.send_frame(at, frame);
    }

    pub(crate) fn send_frame(&mut self, at: usize, frame: Vec<u8>) {
        if let Some(session) = self.machines[at].session {
            self.send(Side::Scheduler, session, frame);
        }
    }
}
