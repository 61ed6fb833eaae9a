//! What a scheduler could say that is not so: one field of a record, a vote, a set, the header or an
//! account, or one task that should not have ended so, with everything else made to fit.

use super::{
    arena::{CREW, TWINS},
    batch::{Batch, closed, silent},
    dice::Dice,
    random::{Kind, Plan},
    round::{self, Parts},
};
use quorate_chain::court::{Leaf, Proof};
use quorate_client::watch::brief::Committed;
use quorate_common::{
    B256,
    accounts::{TaskRec, WorkerAccount, votes_hash},
    ids::{DealId, WORKERS_MAX},
    keccak256,
    merkle::{SET_DEPTH, TASKS_DEPTH, Tree},
    messages::{Header, Word as _},
};
use quorate_grid::{
    evidence::{BatchFile, TaskEvidence},
    ledger::DealBook,
    poco::{Outcome, tally},
};
use std::collections::BTreeMap;

/// How often what was told.
pub(crate) type Told = BTreeMap<&'static str, u64>;

/// A batch with one lie in it.
pub(crate) struct Forgery {
    pub(crate) name: &'static str,
    pub(crate) place: usize,
    pub(crate) header: Header,
    pub(crate) file: BatchFile,
    /// A task that was given up too early, which only the chain's clock can tell.
    early: bool,
}

type RecordLie = (&'static str, fn(&mut TaskEvidence, &Batch<'_>, &mut Dice));
type VoteLie = (&'static str, fn(&mut TaskEvidence, usize, &mut Dice));
type SetLie = (&'static str, fn(&mut TaskEvidence, &mut Dice));
type HeaderLie = (&'static str, fn(&mut Header, &mut Dice));
type WorkerLie = (&'static str, fn(&mut WorkerAccount, &mut Dice));
type DealLie = (&'static str, fn(&mut DealBook, &mut Dice));
type PlanLie = (&'static str, fn(&mut Plan, &Batch<'_>, &mut Dice));

const RECORD: [RecordLie; 14] = [
    ("rec: unknown deal", |t, _, d| t.rec.deal_id = DealId(d.word())),
    ("rec: another pool's deal", |t, b, d| {
        t.rec.deal_id = b.arena.foreign.unwrap_or(DealId(d.word()));
    }),
    ("rec: another deal", |t, b, _| {
        let other = b.deals.iter().find(|deal| deal.id != t.rec.deal_id);
        t.rec.deal_id = other.unwrap().id;
    }),
    ("rec: task index", |t, _, d| t.rec.task_idx = other32(t.rec.task_idx, d)),
    ("rec: attempt", |t, _, d| t.rec.attempt ^= 1 << d.below(16)),
    ("rec: outcome", |t, _, d| {
        // Without consensus, no quorum and expired may both be so.
        let all: &[u8] = if t.rec.outcome == 1 { &[0, 2, 3, 4, 255] } else { &[0, 1, 4, 255] };
        t.rec.outcome = d.pick(all);
    }),
    ("rec: commit set", |t, _, d| t.rec.commit_set_root = flip(t.rec.commit_set_root, d)),
    ("rec: winner", |t, _, d| t.rec.winner_digest = flip(t.rec.winner_digest, d)),
    ("rec: reward", |t, _, d| t.rec.reward = other128(t.rec.reward, d)),
    ("rec: payout", |t, _, d| t.rec.run_payout = other128(t.rec.run_payout, d)),
    ("rec: fees", |t, _, d| t.rec.run_fees = other128(t.rec.run_fees, d)),
    ("rec: royalties", |t, _, d| t.rec.run_royalties = other128(t.rec.run_royalties, d)),
    ("rec: slashes", |t, _, d| t.rec.run_slash = other128(t.rec.run_slash, d)),
    ("rec: state", |t, _, d| t.rec.post_state_root = flip(t.rec.post_state_root, d)),
];

const VOTE: [VoteLie; 14] = [
    ("vote: worker", |t, n, d| {
        let far = WORKERS_MAX + d.small(WORKERS_MAX);
        let who =
            d.pick(&[0, CREW + 1, WORKERS_MAX - 1, far, u32::MAX, 1 + t.votes[n].worker % CREW]);
        t.votes[n].worker = who;
    }),
    ("vote: attempt", |t, n, d| t.votes[n].attempt ^= 1 << d.below(16)),
    ("vote: result", |t, n, d| t.votes[n].digest = flip(t.votes[n].digest, d)),
    ("vote: salt", |t, n, d| t.votes[n].salt = flip(t.votes[n].salt, d)),
    ("vote: place in frame", |t, n, d| t.votes[n].frame_index ^= 1 << d.below(9)),
    ("vote: frame", |t, n, d| t.votes[n].frame_count ^= 1 << d.below(10)),
    ("vote: path", |t, n, d| match t.votes[n].path.len() {
        0 => t.votes[n].path.push(d.word()),
        some => {
            let at = d.place(some);
            t.votes[n].path[at] = flip(t.votes[n].path[at], d);
        }
    }),
    ("vote: longer path", |t, n, d| {
        t.votes[n].path.push(d.pick(&[B256::ZERO, B256::repeat_byte(1)]))
    }),
    ("vote: r", |t, n, d| t.votes[n].r = flip(t.votes[n].r, d)),
    ("vote: s", |t, n, d| t.votes[n].vs = flip(t.votes[n].vs, d)),
    ("vote: parity", |t, n, _| t.votes[n].vs.0[0] ^= 0x80),
    ("vote: dropped", |t, n, _| drop(t.votes.remove(n))),
    ("vote: twice", |t, n, _| {
        let again = t.votes[n].clone();
        t.votes.insert(n, again);
    }),
    ("vote: hidden", |t, n, d| {
        t.votes[n].digest = if t.votes[n].digest.is_zero() { d.word() } else { B256::ZERO };
    }),
];

const SET: [SetLie; 4] = [
    ("set: root", |t, d| {
        let at = d.place(t.sets.len());
        t.sets[at].root = flip(t.sets[at].root, d);
    }),
    ("set: dropped", |t, d| {
        t.sets.remove(d.place(t.sets.len()));
    }),
    ("set: twice", |t, d| {
        let again = t.sets[d.place(t.sets.len())].clone();
        t.sets.push(again);
    }),
    ("set: before all", |t, d| {
        let mut none = t.sets[0].clone();
        (none.root, none.n) = (d.pick(&[B256::ZERO, quorate_common::merkle::zero(SET_DEPTH)]), 0);
        t.sets.insert(0, none);
    }),
];

const HEADER: [HeaderLie; 8] = [
    ("header: parent", |h, d| h.parent = flip(h.parent, d)),
    ("header: state", |h, d| h.state_root = flip(h.state_root, d)),
    ("header: count", |h, d| {
        let wild = 1 + d.small(1 << 16);
        let other = d.pick(&[h.count + 1, (h.count - 1).max(1), wild]);
        h.count = if other == h.count { h.count + 1 } else { other };
    }),
    ("header: payout", |h, d| h.payout = other128(h.payout, d)),
    ("header: fees", |h, d| {
        let fees = other128(h.fees, d);
        h.cum_fees = h.cum_fees - h.fees + fees;
        h.fees = fees;
    }),
    ("header: royalties", |h, d| h.royalties = other128(h.royalties, d)),
    ("header: slashes", |h, d| h.slashed = other128(h.slashed, d)),
    ("header: fees so far", |h, d| h.cum_fees += 1 + d.wide(90)),
];

const WORKER: [WorkerLie; 6] = [
    ("worker: owner", |a, d| a.owner.0[d.place(20)] ^= 1),
    ("worker: vote key", |a, d| a.vote_key.0[d.place(20)] ^= 1),
    ("worker: earned", |a, d| a.cum_earned = other128(a.cum_earned, d)),
    ("worker: slashed", |a, d| a.cum_slashed = other128(a.cum_slashed, d)),
    ("worker: score", |a, d| a.score = other32(a.score, d)),
    ("worker: last task", |a, d| a.last_task_seq ^= 1 << d.below(64)),
];

const DEAL: [DealLie; 5] = [
    ("deal: id", |b, d| b.account.deal_id = DealId(d.word())),
    ("deal: settled", |b, d| b.account.settled_root = flip(b.account.settled_root, d)),
    ("deal: count", |b, _| b.account.settled_count += 1),
    ("deal: spent", |b, d| b.account.spent = other128(b.account.spent, d)),
    ("deal: refunded", |b, d| b.account.refunded = other128(b.account.refunded, d)),
];

const PLAN: [PlanLie; 5] = [
    ("task: twins", |p, _, d| {
        let (one, other) = (1 + d.small(TWINS), p.votes[0]);
        p.votes.retain(|said| said.worker != one && said.worker != CREW - TWINS + one);
        p.votes.truncate(1);
        p.votes.push(super::random::Said { worker: one, attempt: 0, ..other });
        p.votes.push(super::random::Said { worker: CREW - TWINS + one, attempt: 0, ..other });
        p.votes.iter_mut().for_each(|said| said.attempt = 0);
        p.rounds = 1;
    }),
    ("task: more votes than replicas", |p, b, d| {
        let most = usize::from(b.deals[p.deal].opened.terms.replicas);
        // Of those who have no twin, so that nothing else is wrong.
        let mut free = (TWINS + 1..=CREW - TWINS).cycle().skip(d.place(20));
        while p.votes.len() <= most && p.votes.len() < 15 {
            let worker = free.next().unwrap();
            if p.votes.iter().all(|said| said.worker != worker) {
                let last = *p.votes.last().unwrap();
                p.votes.push(super::random::Said { worker, ..last });
            }
        }
    }),
    ("task: worker twice", |p, _, _| {
        let last = *p.votes.last().unwrap();
        p.votes.truncate(14);
        p.votes.push(last);
    }),
    ("task: a round without votes", |p, _, _| p.rounds += 1),
    ("task: beyond the deal", |p, b, d| {
        p.task_idx = b.deals[p.deal].opened.terms.tasks + d.small(1_000);
    }),
];

/// Tells one lie about a batch.
pub(crate) fn forge(batch: &Batch<'_>, dice: &mut Dice) -> Forgery {
    let place = dice.place(batch.tasks.len());
    let voted = !batch.tasks[place].votes.is_empty();
    // Totals that no bond covers are not in the header in the first place.
    let totals = batch.kind != Kind::Wide;
    match dice.below(11) {
        0..3 if voted => about_vote(batch, place, dice),
        3 if voted => about_set(batch, place, dice),
        4 if totals => about_header(batch, dice),
        5 => about_worker(batch, place, dice),
        6 => about_deal(batch, place, dice),
        7 => about_ending(batch, place, dice),
        8 if voted => about_plan(batch, place, dice),
        _ => about_record(batch, place, dice),
    }
}

fn about_record(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&RECORD);
    let mut file = batch.file.clone();
    let before = file.tasks[place].rec.clone();
    lie(&mut file.tasks[place], batch, dice);
    let after = file.tasks[place].rec.clone();
    for task in &mut file.tasks[place + 1..] {
        carry(&before, &after, &mut task.rec);
    }
    fitted(batch, name, place, file)
}

/// Totals go on from the lie.
fn carry(before: &TaskRec, after: &TaskRec, rec: &mut TaskRec) {
    let sums: [fn(&mut TaskRec) -> &mut u128; 4] = [
        |r| &mut r.run_payout,
        |r| &mut r.run_fees,
        |r| &mut r.run_royalties,
        |r| &mut r.run_slash,
    ];
    for sum in sums {
        let (before, after) = (*sum(&mut before.clone()), *sum(&mut after.clone()));
        *sum(rec) = sum(rec).wrapping_add(after.wrapping_sub(before));
    }
}

fn about_vote(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&VOTE);
    let mut file = batch.file.clone();
    let task = &mut file.tasks[place];
    let vote = dice.place(task.votes.len());
    lie(task, vote, dice);
    // Or with sets that fit these votes.
    if dice.chance(50) {
        refreeze(batch, task);
    }
    fitted(batch, name, place, file)
}

/// Makes the sets those of the votes.
fn refreeze(batch: &Batch<'_>, task: &mut TaskEvidence) {
    let task_id = task.rec.deal_id.task_id(task.rec.task_idx);
    let leaf = |vote: &quorate_common::accounts::Vote| {
        let worker = quorate_common::ids::WorkerIdx(vote.worker);
        let separator = &batch.arena.separator;
        let commitment = if vote.digest.is_zero() {
            vote.salt
        } else {
            separator.commitment(task_id, vote.attempt, worker, vote.digest, vote.salt)
        };
        keccak256([worker.word(), commitment.0].as_flattened())
    };
    let leaves: Vec<B256> = task.votes.iter().map(leaf).collect();
    for (round, set) in task.sets.iter_mut().enumerate() {
        let n = task.votes.iter().filter(|vote| usize::from(vote.attempt) <= round).count();
        set.n = u8::try_from(n).unwrap();
        set.root = Tree::new(SET_DEPTH, leaves[..n].to_vec()).root();
    }
    task.rec.commit_set_root = task.sets.last().unwrap().root;
}

fn about_set(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&SET);
    let mut file = batch.file.clone();
    let task = &mut file.tasks[place];
    lie(task, dice);
    if dice.chance(50) {
        task.rec.commit_set_root = task.sets.last().map_or(B256::ZERO, |set| set.root);
        task.rec.attempt = u16::try_from(task.sets.len().saturating_sub(1)).unwrap();
    }
    fitted(batch, name, place, file)
}

fn about_header(batch: &Batch<'_>, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&HEADER);
    let mut header = batch.header.clone();
    lie(&mut header, dice);
    let (file, place) = (batch.file.clone(), 0);
    Forgery { name, place, header, file, early: false }
}

fn about_worker(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&WORKER);
    // A voter's, or a bystander's.
    let task = &batch.tasks[place];
    let voters: Vec<u32> = task.votes.iter().map(|vote| vote.worker).collect();
    let inner = !voters.is_empty() && dice.chance(60);
    let worker = if inner { dice.pick(&voters) } else { 1 + dice.small(CREW) };
    let identity = batch.arena.crew[worker as usize - 1];
    let change = |parts: &mut Parts| {
        lie(parts.1.entry(worker).or_insert_with(|| identity.fresh_account()), dice);
    };
    told(batch, name, place, change)
}

fn about_deal(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&DEAL);
    let own = batch.tasks[place].plan.deal;
    let deal = if dice.chance(60) { own } else { dice.place(batch.deals.len()) };
    let deal = &batch.deals[deal];
    let change = |parts: &mut Parts| {
        let book = parts.2.entry(deal.opened.slot.0);
        lie(book.or_insert_with(|| DealBook::fresh(deal.id)), dice);
    };
    told(batch, name, place, change)
}

/// The batch as it would be, had an account been changed after a task, and all that follows from it.
fn told(
    batch: &Batch<'_>,
    name: &'static str,
    place: usize,
    change: impl FnOnce(&mut Parts),
) -> Forgery {
    let mut ledger = settled_until(batch, place + 1);
    let mut parts = round::parts(&ledger);
    change(&mut parts);
    ledger = round::ledger(&parts);
    parts.6.tasks.last_mut().unwrap().rec.post_state_root = ledger.state_root();
    ledger = round::ledger(&parts);
    settle_from(batch, &mut ledger, place + 1);
    forged(batch, name, place, ledger)
}

fn settled_until(batch: &Batch<'_>, end: usize) -> quorate_grid::ledger::Ledger {
    let mut ledger = batch.start.ledger(&batch.first.header);
    for at in 0..end {
        settle_as_it_was(batch, &mut ledger, at);
    }
    ledger
}

fn settle_as_it_was(batch: &Batch<'_>, ledger: &mut quorate_grid::ledger::Ledger, at: usize) {
    let (task, rec) = (&batch.tasks[at], &batch.file.tasks[at].rec);
    let outcome = Outcome::from_number(rec.outcome).unwrap();
    let winner = (!rec.winner_digest.is_zero()).then_some(rec.winner_digest);
    round::settle(batch.arena, ledger, &batch.deals[task.plan.deal], task, (outcome, winner));
}

/// Settles what is left, as scores are now.
fn settle_from(batch: &Batch<'_>, ledger: &mut quorate_grid::ledger::Ledger, from: usize) {
    for task in &batch.tasks[from..] {
        let deal = &batch.deals[task.plan.deal];
        let tally = tally(&round::ballots(ledger, task));
        let winner = tally.decided(deal.opened.terms.trust);
        let outcome = if winner.is_some() { Outcome::Consensus } else { Outcome::NoQuorum };
        round::settle(batch.arena, ledger, deal, task, (outcome, winner));
    }
}

/// A task ends as it must not, and all that follows from that end follows.
fn about_ending(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let task = &batch.tasks[place];
    let deal = &batch.deals[task.plan.deal];
    let mut ledger = settled_until(batch, place);
    let tally = tally(&round::ballots(&ledger, task));
    let trust = deal.opened.terms.trust;
    let refuted = tally.groups().iter().find(|(digest, _)| !tally.holds(*digest, trust));
    let decided = tally.decided(trust).is_some();
    let (name, end) = match (refuted, dice.below(3)) {
        (Some((digest, _)), 0) => ("end: not credible", (Outcome::Consensus, Some(*digest))),
        (_, 1) if decided => ("end: no quorum", (Outcome::NoQuorum, None)),
        (_, 2) if !deal.over => ("end: too early", (Outcome::Expired, None)),
        _ => ("end: what nobody said", (Outcome::Consensus, Some(dice.word()))),
    };
    round::settle(batch.arena, &mut ledger, deal, task, end);
    settle_from(batch, &mut ledger, place + 1);
    let early = end.0 == Outcome::Expired;
    Forgery { early, ..forged(batch, name, place, ledger) }
}

/// One more task, which cannot be.
fn about_plan(batch: &Batch<'_>, place: usize, dice: &mut Dice) -> Forgery {
    let (name, lie) = dice.pick(&PLAN);
    let mut plan = batch.tasks[place].plan.clone();
    let deal = &batch.deals[plan.deal];
    let full = usize::from(deal.opened.terms.replicas) == 15;
    // Fifteen is all that a tree of commitments has room for.
    let (name, lie) = if full && name.contains("replicas") { PLAN[2] } else { (name, lie) };
    let used = |idx: u32| {
        batch.tasks.iter().any(|task| task.plan.deal == plan.deal && task.plan.task_idx == idx)
    };
    let mut ledger = settled_until(batch, place);
    let settled = |idx: u32| {
        let (at, bit) = quorate_grid::ledger::place(idx);
        let book = batch.start.deals.get(&deal.opened.slot.0);
        book.and_then(|book| book.words.get(&at)).is_some_and(|word| word.bit(bit))
    };
    let free = (0..deal.opened.terms.tasks).find(|idx| !used(*idx) && !settled(*idx));
    plan.task_idx = free.unwrap_or(plan.task_idx);
    lie(&mut plan, batch, dice);
    plan.task_idx = plan.task_idx.min(quorate_common::ids::TASKS_MAX - 1);
    let task = round::sign(batch.arena, batch.pool.id, &batch.deals, vec![plan], dice).remove(0);
    let winner = tally(&round::ballots(&ledger, &task)).decided(deal.opened.terms.trust);
    let outcome = if winner.is_some() { Outcome::Consensus } else { Outcome::NoQuorum };
    round::settle(batch.arena, &mut ledger, deal, &task, (outcome, winner));
    forged(batch, name, place, ledger)
}

fn forged(
    batch: &Batch<'_>,
    name: &'static str,
    place: usize,
    ledger: quorate_grid::ledger::Ledger,
) -> Forgery {
    let (header, file) = closed(ledger);
    let header = if batch.kind == Kind::Wide { silent(header) } else { header };
    Forgery { name, place, header, file, early: false }
}

/// Everything that follows from the tasks as they are now.
fn fitted(batch: &Batch<'_>, name: &'static str, place: usize, mut file: BatchFile) -> Forgery {
    let task = &mut file.tasks[place];
    let roots: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
    task.rec.votes_hash = votes_hash(&roots, &task.votes);
    let last = &file.tasks.last().unwrap().rec;
    let mut header = batch.header.clone();
    header.state_root = last.post_state_root;
    header.tasks_root = round::tasks_root(&file.tasks);
    header.evidence = file.digest().word();
    if batch.kind != Kind::Wide {
        (header.payout, header.fees) = (last.run_payout, last.run_fees);
        (header.royalties, header.slashed) = (last.run_royalties, last.run_slash);
        header.cum_fees = batch.start.cum_fees + header.fees;
    }
    Forgery { name, place, header, file, early: false }
}

impl Forgery {
    /// What the watcher's books do not look for.
    pub(crate) fn proof(&self, batch: &Batch<'_>, committed: &Committed) -> Option<Proof> {
        let leaves = self.file.tasks.iter().map(|task| task.rec.leaf()).collect();
        let path = Tree::new(TASKS_DEPTH, leaves).path(self.place as u64);
        let rec = &self.file.tasks.get(self.place)?.rec;
        let deal = &batch.deals[batch.tasks[self.place].plan.deal];
        let leaf = Leaf { place: u32::try_from(self.place).unwrap(), rec, path: &path };
        let court = &batch.arena.court;
        self.early.then(|| court.expired_early(&committed.filing(), &leaf, &deal.opened.terms))
    }
}

fn flip(word: B256, dice: &mut Dice) -> B256 {
    let mut word = word;
    word.0[dice.place(32)] ^= 1 << dice.below(8);
    word
}

/// One more, one less, or anything else not much larger.
fn other128(value: u128, dice: &mut Dice) -> u128 {
    let more = value + 1 + dice.wide(90);
    let other = dice.pick(&[value + 1, value.saturating_sub(1), value / 2, more]);
    if other == value { value + 1 } else { other }
}

fn other32(value: u32, dice: &mut Dice) -> u32 {
    let other = dice.pick(&[value.wrapping_add(1), value.wrapping_sub(1), dice.clone().wide32()]);
    if other == value { value.wrapping_add(1) } else { other }
}
