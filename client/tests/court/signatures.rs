//! Signatures in every form there is, given by workers whose keys are whatever the machine itself makes
//! of them: whether such a vote counts, the auditor and the contract must say alike.

use super::{
    arena::{Arena, Operator, Verdict},
    batch::{closed, committed},
    dice::Dice,
    random::{self, Deal, Kind, Plan, Said, Start},
    round::{self, Ready, Scribe},
};
use quorate_common::{
    Address, B256, U256,
    accounts::WorkerAccount,
    frame::FrameTree,
    keys::{Signature, recover},
    messages::Header,
};
use quorate_grid::{
    audit::{Accusation, Registry},
    ledger::{Identity, Ledger},
    poco::{Outcome, Terms},
};
use std::collections::BTreeMap;

/// The order of secp256k1, and half of it: the largest `s` that counts.
const ORDER: U256 = U256::from_limbs([
    0xbfd2_5e8c_d036_4141,
    0xbaae_dce6_af48_a03b,
    0xffff_ffff_ffff_fffe,
    u64::MAX,
]);
const HALF: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    u64::MAX,
    0x7fff_ffff_ffff_ffff,
]);
/// The first coordinate of the curve's generator.
const GENERATOR: U256 = U256::from_limbs([
    0x59f2_815b_16f8_1798,
    0x029b_fcdb_2dce_28d9,
    0x55a0_6295_ce87_0b07,
    0x79be_667e_f9dc_bbac,
]);
/// Workers that nobody registered: only accounts know of them.
const FIRST: u32 = 1_000;
const RANDOM: usize = 200;

/// A signature, and whose vote it is under.
#[derive(Clone, Copy, Debug)]
struct Case {
    r: U256,
    s: U256,
    odd: bool,
    /// Whether the voter's key is zero, whom a signature that recovers nobody must not be taken for.
    nobody: bool,
}

fn cases(dice: &mut Dice) -> Vec<Case> {
    let (one, top) = (U256::from(1), (U256::from(1) << 255) - U256::from(1));
    let field = U256::MAX - U256::from(0x1_0000_03d0_u64);
    let rs = [
        U256::ZERO,
        one,
        GENERATOR,
        HALF,
        ORDER - one,
        ORDER,
        ORDER + one,
        field,
        field + one,
        U256::MAX,
    ];
    let halves = [U256::ZERO, one, HALF - one, HALF, HALF + one, HALF + one + one, top];
    let mut cases = Vec::new();
    for r in rs {
        for s in halves {
            for odd in [false, true] {
                cases.push(Case { r, s, odd, nobody: dice.chance(20) });
            }
        }
    }
    let number = |dice: &mut Dice| U256::from_be_bytes(dice.word().0);
    for _ in 0..RANDOM {
        let high = HALF + one + U256::from(dice.wide(126));
        let low = number(dice) >> 1;
        let s = dice.pick(&[low, high]);
        cases.push(Case { r: number(dice), s, odd: dice.chance(50), nobody: dice.chance(5) });
    }
    cases
}

impl Case {
    fn signature(&self) -> Signature {
        let vs = self.s | U256::from(u8::from(self.odd)) << 255;
        Signature { r: B256::from(self.r), vs: B256::from(vs) }
    }
}

/// Pool, deal and the workers of all cases.
struct Stage<'a> {
    arena: &'a Arena,
    pool: Operator,
    deals: Vec<Deal>,
    start: Start,
    first: Header,
    tasks: Vec<Ready>,
    /// Whom a signature that may take any form would be of.
    keys: Vec<(B256, Address)>,
}

impl<'a> Stage<'a> {
    fn new(arena: &'a mut Arena, cases: &[Case], dice: &mut Dice) -> Self {
        let pool = arena.pool();
        let arena = &*arena;
        let deals = random::deals(arena, &pool, Kind::Ties, dice);
        let (tasks, keys): (Vec<Ready>, Vec<_>) =
            (0..).zip(cases).map(|(n, case)| vote(arena, &pool, &deals[0], n, case)).unzip();
        let workers = (FIRST..).zip(&keys).map(|(n, (_, key))| (n, account(n, *key))).collect();
        let start = Start { workers, deals: BTreeMap::new(), cum_fees: 0 };
        let first = start.header(pool.id);
        arena.commit(&pool, &first);
        Self { arena, pool, deals, start, first, tasks, keys }
    }

    fn registry(&self) -> Registry {
        let identity =
            |account: &WorkerAccount| Identity { owner: account.owner, vote_key: account.vote_key };
        let workers = self.start.workers.iter().map(|(n, account)| (*n, identity(account)));
        let deals = self.deals.iter().map(|deal| (deal.id, deal.opened.clone()));
        Registry { workers: workers.collect(), deals: deals.collect() }
    }

    /// Settles one case alone; whether its vote counts, for the auditor and for the contract.
    fn verdicts(&self, case: usize) -> (bool, bool) {
        let mut ledger = self.start.ledger(&self.first);
        let (deal, task, mut scribe) =
            (&self.deals[0], &self.tasks[case], Scribe::new(&self.start));
        scribe.watch(&mut ledger, deal, task, |ledger| self.settle(ledger, task));
        let step = scribe.steps().remove(0);
        let (header, file) = closed(ledger);
        let (batch, before) = (committed(header), committed(self.first.clone()));
        let books = self.start.books(&self.first);
        let separator = &self.arena.separator;
        let accusation = books.accuse(separator, &self.registry(), &batch.header, &file);
        let counts = match &accusation {
            Accusation::Header { odd: None, .. } => true,
            Accusation::Step(fault, found) => {
                assert_eq!(fault.name(), "vote signature", "{fault}");
                assert_eq!(**found, step, "the watcher's proof and the one made here");
                false
            }
            Accusation::Hidden(_) | Accusation::UnknownDeal(_) | Accusation::Header { .. } => {
                panic!("{accusation:?}")
            }
        };
        let proof = round::proofs(&self.arena.court, &batch, &before, step).remove(0);
        let verdict = self.arena.judge(&self.pool, &batch.header, &proof);
        match verdict {
            Verdict::NoFraud => (counts, true),
            Verdict::Fraud { .. } => (counts, false),
            Verdict::Refused(why) => panic!("{why}"),
        }
    }

    fn settle(&self, ledger: &mut Ledger, task: &Ready) {
        let deal = &self.deals[0];
        // One newcomer's vote is never enough here.
        round::settle_of(ledger, deal, task, (Outcome::NoQuorum, None), |worker| {
            let account = &self.start.workers[&worker];
            Identity { owner: account.owner, vote_key: account.vote_key }
        });
    }
}

/// A vote under a signature that no key gave, what it is over, and who could have given it.
fn vote(
    arena: &Arena,
    pool: &Operator,
    deal: &Deal,
    n: u32,
    case: &Case,
) -> (Ready, (B256, Address)) {
    let digest = Some(B256::repeat_byte(7));
    let said = Said { worker: FIRST + n, attempt: 0, digest, salt: B256::repeat_byte(8) };
    let plan =
        Plan { deal: 0, task_idx: n % deal.opened.terms.tasks, votes: vec![said], rounds: 1 };
    let (mut task, hashes) = round::frozen(arena, pool.id, deal, plan);
    let digest = arena.separator.digest(FrameTree::new(&hashes).struct_hash());
    let signature = case.signature();
    (task.votes[0].r, task.votes[0].vs) = (signature.r, signature.vs);
    let key = arena.recover(digest, case.odd, signature.r, B256::from(case.s));
    let key = if case.nobody { None } else { key };
    (task, (digest, key.unwrap_or_default()))
}

fn account(n: u32, vote_key: Address) -> WorkerAccount {
    let owner = Address::left_padding_from(&n.to_be_bytes());
    WorkerAccount { owner, vote_key, cum_earned: 0, cum_slashed: 0, score: 0, last_task_seq: 1 }
}

/// The whole of it; see `court.rs`.
pub(crate) fn run() {
    let mut dice = Dice::new(1);
    let cases = cases(&mut dice);
    let mut arena = Arena::start();
    let stage = Stage::new(&mut arena, &cases, &mut dice);
    assert!(stage.deals[0].opened.terms.unit_price <= Terms::UNIT_PRICE_MAX);
    let mut counted = 0;
    for (n, case) in cases.iter().enumerate() {
        let (rust, contract) = stage.verdicts(n);
        assert_eq!(rust, contract, "{case:?}");
        let (digest, key) = stage.keys[n];
        // What the machine takes for somebody's is somebody's here too if its s is low, and only then.
        let good = !key.is_zero() && case.s <= HALF;
        assert_eq!(rust, good, "{case:?}");
        let whose = recover(digest, &case.signature());
        assert!(case.nobody || whose == good.then_some(key), "{case:?}: {whose:?}");
        counted += usize::from(rust);
    }
    assert!(counted > cases.len() / 10 && counted < cases.len(), "{counted} of {}", cases.len());
    println!("{} signatures, of which {counted} count", cases.len());
}
