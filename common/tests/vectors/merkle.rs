//! Trees, leaves and the hash of the votes.

use crate::{
    golden,
    json::{Json, address, word},
};
use alloy_primitives::{B256, keccak256};
use alloy_sol_types::{SolValue as _, sol};
use quorate_common::{
    accounts::{DealAccount, TaskRec, Vote, WorkerAccount, votes_hash},
    ids::DealId,
    merkle::{SET_DEPTH, STATE_DEPTH, Sparse, Tree, proves, zero},
};
use std::collections::BTreeMap;

sol! {
    struct SolVote {
        uint32 workerIdx;
        uint16 attempt;
        bytes32 resultDigest;
        bytes32 salt;
        uint32 frameIndex;
        uint32 frameCount;
        bytes32[] path;
        bytes32 r;
        bytes32 vs;
    }
}

/// A filled tree, proven at several places: both ends, the middle, and where nothing is.
fn state() -> Vec<Json> {
    let middle = 1_u64 << 19;
    let leaves = [1, 2, 5, 100, middle - 1, middle, middle + 3, (1 << 20) - 1];
    let mut tree = Sparse::new(STATE_DEPTH);
    let named = |index: &u64| (*index, word(&format!("leaf {index}")));
    tree.set(&leaves.iter().map(named).collect());
    let proof = |index: u64| {
        let (leaf, path, root) = (tree.leaf(index), tree.path(index), tree.root());
        assert!(proves(root, STATE_DEPTH, leaf, index, &path));
        Json::Object(vec![
            ("index", index.into()),
            ("leafHash", leaf.into()),
            ("path", path.into()),
            ("root", root.into()),
        ])
    };
    let empty = [0, 6, middle + 1];
    leaves.into_iter().chain(empty).map(proof).collect()
}

fn accounts() -> Vec<Json> {
    let accounts = [
        WorkerAccount {
            owner: address("owner"),
            vote_key: address("vote key"),
            cum_earned: u128::MAX,
            cum_slashed: 300_000_000_000_000_000,
            score: 4_000_000_000,
            last_task_seq: 9_000_000_001,
        },
        WorkerAccount {
            owner: address("another owner"),
            vote_key: address("another vote key"),
            cum_earned: 1,
            cum_slashed: 2,
            score: 3,
            last_task_seq: 4,
        },
    ];
    let json = |a: &WorkerAccount| {
        let words = (0_u16, a.owner, a.vote_key, a.cum_earned, a.cum_slashed, a.score);
        let encoded = [words.abi_encode(), (a.last_task_seq,).abi_encode()].concat();
        assert_eq!(a.leaf(), keccak256(encoded));
        Json::Object(vec![
            ("owner", a.owner.into()),
            ("voteKey", a.vote_key.into()),
            ("cumEarned", a.cum_earned.to_string().into()),
            ("cumSlashed", a.cum_slashed.to_string().into()),
            ("score", a.score.into()),
            ("lastTaskSeq", a.last_task_seq.into()),
            ("leaf", a.leaf().into()),
        ])
    };
    accounts.iter().map(json).collect()
}

fn deals() -> Vec<Json> {
    let mut bitmap = Sparse::new(8);
    bitmap.set(&BTreeMap::from([(0, word("first word")), (255, word("last word"))]));
    let deal = DealAccount {
        deal_id: DealId(word("deal")),
        settled_root: bitmap.root(),
        settled_count: 65_535,
        spent: 123_456_789_012_345_678_901,
        refunded: 1_300,
    };
    let words = (2_u16, deal.deal_id.0, deal.settled_root, deal.settled_count, deal.spent);
    let encoded = [words.abi_encode(), (deal.refunded,).abi_encode()].concat();
    assert_eq!(deal.leaf(), keccak256(encoded));
    vec![Json::Object(vec![
        ("dealId", deal.deal_id.into()),
        ("settledRoot", deal.settled_root.into()),
        ("settledCount", deal.settled_count.into()),
        ("spent", deal.spent.to_string().into()),
        ("refunded", deal.refunded.to_string().into()),
        ("leaf", deal.leaf().into()),
    ])]
}

fn tasks() -> Vec<Json> {
    let rec = |outcome: u8, winner_digest: B256| TaskRec {
        deal_id: DealId(word("deal")),
        task_idx: 49,
        attempt: 3,
        outcome,
        commit_set_root: word("set"),
        winner_digest,
        reward: 1_300,
        run_payout: 123_456_789_012_345_678_901,
        run_fees: 1_234_567,
        run_royalties: 2_345_678,
        run_slash: 300,
        votes_hash: word("votes"),
        post_state_root: word("state"),
    };
    let json = |r: TaskRec| {
        let head =
            (1_u16, r.deal_id.0, r.task_idx, r.attempt, u16::from(r.outcome), r.commit_set_root);
        let money =
            (r.winner_digest, r.reward, r.run_payout, r.run_fees, r.run_royalties, r.run_slash);
        let tail = (r.votes_hash, r.post_state_root);
        let encoded = [head.abi_encode(), money.abi_encode(), tail.abi_encode()].concat();
        assert_eq!(r.leaf(), keccak256(encoded));
        Json::Object(vec![
            ("dealId", r.deal_id.into()),
            ("taskIdx", r.task_idx.into()),
            ("attempt", r.attempt.into()),
            ("outcome", r.outcome.into()),
            ("commitSetRoot", r.commit_set_root.into()),
            ("winnerDigest", r.winner_digest.into()),
            ("reward", r.reward.to_string().into()),
            ("runPayout", r.run_payout.to_string().into()),
            ("runFees", r.run_fees.to_string().into()),
            ("runRoyalties", r.run_royalties.to_string().into()),
            ("runSlash", r.run_slash.to_string().into()),
            ("votesHash", r.votes_hash.into()),
            ("postStateRoot", r.post_state_root.into()),
            ("leaf", r.leaf().into()),
        ])
    };
    vec![json(rec(1, word("winner"))), json(rec(2, B256::ZERO)), json(rec(3, B256::ZERO))]
}

fn commit_set() -> Json {
    let entries: Vec<(u32, B256)> =
        (1..=3).map(|n| (n * 1_000, word(&format!("commitment {n}")))).collect();
    let leaf = |(worker, commitment): &(u32, B256)| keccak256((*worker, *commitment).abi_encode());
    let tree = Tree::new(SET_DEPTH, entries.iter().map(leaf).collect());
    let entry = |entry: &(u32, B256)| {
        Json::Object(vec![
            ("workerIdx", entry.0.into()),
            ("commitment", entry.1.into()),
            ("leaf", leaf(entry).into()),
        ])
    };
    let proof =
        |index: u64| Json::Object(vec![("index", index.into()), ("path", tree.path(index).into())]);
    Json::Object(vec![
        ("entries", entries.iter().map(entry).collect::<Vec<Json>>().into()),
        ("root", tree.root().into()),
        ("proofs", (0..3).map(proof).collect::<Vec<Json>>().into()),
    ])
}

fn votes() -> Json {
    let sets = vec![word("set 0"), word("set 1")];
    let vote = |n: u32, path: usize| Vote {
        worker: n * 1_000,
        attempt: u16::try_from(n).unwrap(),
        digest: word(&format!("result {n}")),
        salt: word(&format!("salt {n}")),
        frame_index: n + 10,
        frame_count: n + 100,
        path: (0..path).map(|step| word(&format!("step {step} of {n}"))).collect(),
        r: word(&format!("r {n}")),
        vs: word(&format!("vs {n}")),
    };
    let mut votes = vec![vote(1, 8), vote(2, 0), vote(3, 3)];
    votes[2].digest = B256::ZERO;
    let hash = votes_hash(&sets, &votes);
    let theirs: Vec<SolVote> = votes.iter().map(sol_vote).collect();
    assert_eq!(hash, keccak256((sets.clone(), theirs).abi_encode_params()));
    Json::Object(vec![
        ("sets", sets.into()),
        ("votes", votes.iter().map(vote_json).collect::<Vec<Json>>().into()),
        ("votesHash", hash.into()),
    ])
}

fn sol_vote(vote: &Vote) -> SolVote {
    SolVote {
        workerIdx: vote.worker,
        attempt: vote.attempt,
        resultDigest: vote.digest,
        salt: vote.salt,
        frameIndex: vote.frame_index,
        frameCount: vote.frame_count,
        path: vote.path.clone(),
        r: vote.r,
        vs: vote.vs,
    }
}

fn vote_json(vote: &Vote) -> Json {
    Json::Object(vec![
        ("workerIdx", vote.worker.into()),
        ("attempt", vote.attempt.into()),
        ("resultDigest", vote.digest.into()),
        ("salt", vote.salt.into()),
        ("frameIndex", vote.frame_index.into()),
        ("frameCount", vote.frame_count.into()),
        ("path", vote.path.clone().into()),
        ("r", vote.r.into()),
        ("vs", vote.vs.into()),
    ])
}

#[test]
fn merkle() {
    let zeros: Vec<B256> = (0..=STATE_DEPTH).map(zero).collect();
    golden(
        "merkle.json",
        &Json::Object(vec![
            ("zero", zeros.into()),
            ("state", state().into()),
            ("accounts", accounts().into()),
            ("deals", deals().into()),
            ("tasks", tasks().into()),
            ("commitSet", commit_set()),
            ("votes", votes()),
        ]),
    );
}
