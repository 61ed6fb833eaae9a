//! Struct hashes and digests, held to alloy's own encoder here and to the contract's in Solidity.

use crate::{
    golden,
    json::{Json, address, word},
};
use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, SolValue as _, sol};
use quorate_common::{
    frame::{self, FrameTree},
    ids::{DealId, PoolId, WorkerIdx},
    keys::{VoteKey, recover},
    messages::{self as ours, Domain, Message as _, Separator, deal_id},
};

mod theirs {
    use super::sol;

    sol! {
        struct Assign { uint32 poolId; bytes32 dealId; uint32 taskIdx; uint16 attempt; uint32 workerIdx; uint64 seedEpoch; uint64 commitDeadline; uint64 revealDeadline; }
        struct Commit { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitment; }
        struct CommitAck { uint32 poolId; bytes32 taskId; uint16 attempt; uint32 workerIdx; bytes32 commitment; uint64 seq; }
        struct CommitSet { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitSetRoot; uint8 n; uint64 revealDeadline; }
        struct Reveal { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitSetRoot; bytes32 resultDigest; bytes32 salt; }
        struct RevealAck { uint32 poolId; bytes32 taskId; uint16 attempt; uint32 workerIdx; bytes32 voteHash; uint64 seq; }
        struct Frame { bytes32 root; uint32 count; }
        struct Header { uint32 poolId; uint64 index; bytes32 parent; bytes32 tasksRoot; bytes32 stateRoot; bytes32 evidence; uint32 count; uint128 payout; uint128 fees; uint128 slashed; bytes32 ringRoot; }
        struct ReqOrder { address requester; bytes32 app; bytes32 params; uint32 poolId; uint128 maxUnitPrice; uint32 tasks; uint32 trust; uint8 replicas; uint64 maxTaskTime; uint64 expiry; uint64 deadline; bytes32 salt; }
        struct PoolOrder { uint32 poolId; uint128 unitPrice; uint32 tasks; uint32 trust; uint8 stakeRatio; uint8 schedulerRatio; uint64 maxTaskTime; uint64 expiry; bytes32 salt; }
        struct BindWorker { address owner; bytes32 nodeKey; address voteKey; uint64 deadline; }
    }
}

/// A field's value as alloy has it.
trait Plain {
    type Plain;
    fn plain(self) -> Self::Plain;
}

macro_rules! plain {
    ($($rust:ty => $sol:ty = $how:expr;)*) => {$(
        impl Plain for $rust {
            type Plain = $sol;
            fn plain(self) -> $sol {
                let how: fn($rust) -> $sol = $how;
                how(self)
            }
        }
    )*};
}
plain! {
    u8 => u8 = |v| v;
    u16 => u16 = |v| v;
    u32 => u32 = |v| v;
    u64 => u64 = |v| v;
    u128 => u128 = |v| v;
    B256 => B256 = |v| v;
    Address => Address = |v| v;
    PoolId => u32 = |v| v.0;
    WorkerIdx => u32 = |v| v.0;
    DealId => B256 = |v| v.0;
}

const DOMAIN: Domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc7) };

fn separator() -> Separator {
    DOMAIN.separator()
}

fn their_domain() -> Eip712Domain {
    Eip712Domain {
        name: Some("Quorate".into()),
        version: Some("1".into()),
        chain_id: Some(alloy_primitives::U256::from(DOMAIN.chain_id)),
        verifying_contract: Some(DOMAIN.contract),
        salt: None,
    }
}

/// One struct, hashed by both: each field by our name, by the protocol's, and its value.
macro_rules! case {
    ($name:ident { $($field:ident $sol:ident: $value:expr,)* }) => {{
        let ours = ours::$name { $($field: $value,)* };
        let theirs = theirs::$name { $($sol: Plain::plain($value),)* };
        assert_eq!(ours::$name::TYPE, theirs::$name::eip712_encode_type());
        assert_eq!(ours.struct_hash(), theirs.eip712_hash_struct());
        let digest = separator().digest(ours.struct_hash());
        assert_eq!(digest, theirs.eip712_signing_hash(&their_domain()));
        Json::Object(vec![
            ("name", stringify!($name).into()),
            ("typeHash", keccak256(ours::$name::TYPE).into()),
            ("fields", Json::Object(vec![$((stringify!($sol), $value.into()),)*])),
            ("structHash", ours.struct_hash().into()),
            ("digest", digest.into()),
        ])
    }};
}

fn messages() -> Vec<Json> {
    vec![
        case!(Assign {
            pool poolId: PoolId(7),
            deal dealId: DealId(word("deal")),
            task_idx taskIdx: 49_u32,
            attempt attempt: 3_u16,
            worker workerIdx: WorkerIdx(1_234),
            seed_epoch seedEpoch: 5_u64,
            commit_deadline commitDeadline: 1_700_000_060_u64,
            reveal_deadline revealDeadline: 1_700_000_180_u64,
        }),
        case!(Commit {
            pool poolId: PoolId(7),
            task_id taskId: word("task"),
            attempt attempt: 3_u16,
            commitment commitment: word("commitment"),
        }),
        case!(CommitAck {
            pool poolId: PoolId(7),
            task_id taskId: word("task"),
            attempt attempt: 3_u16,
            worker workerIdx: WorkerIdx(1_234),
            commitment commitment: word("commitment"),
            seq seq: 9_000_000_001_u64,
        }),
        case!(CommitSet {
            pool poolId: PoolId(7),
            task_id taskId: word("task"),
            attempt attempt: 3_u16,
            root commitSetRoot: word("set"),
            n n: 15_u8,
            reveal_deadline revealDeadline: 1_700_000_180_u64,
        }),
        case!(Reveal {
            pool poolId: PoolId(7),
            task_id taskId: word("task"),
            attempt attempt: 3_u16,
            set_root commitSetRoot: word("set"),
            digest resultDigest: word("result"),
            salt salt: word("salt"),
        }),
        case!(RevealAck {
            pool poolId: PoolId(7),
            task_id taskId: word("task"),
            attempt attempt: 3_u16,
            worker workerIdx: WorkerIdx(1_234),
            vote_hash voteHash: word("vote"),
            seq seq: 9_000_000_002_u64,
        }),
        case!(Frame { root root: word("frame"), count count: 256_u32, }),
        header(),
        req_order(),
        pool_order(),
        case!(BindWorker {
            owner owner: address("owner"),
            node_key nodeKey: word("node key"),
            vote_key voteKey: address("vote key"),
            deadline deadline: 1_700_000_300_u64,
        }),
    ]
}

fn header() -> Json {
    case!(Header {
        pool poolId: PoolId(7),
        index index: 42_u64,
        parent parent: word("parent"),
        tasks_root tasksRoot: word("tasks"),
        state_root stateRoot: word("state"),
        evidence evidence: word("evidence"),
        count count: 512_u32,
        payout payout: 123_456_789_012_345_678_901_u128,
        fees fees: 1_234_567_890_123_456_789_u128,
        slashed slashed: 987_654_321_u128,
        ring_root ringRoot: word("ring"),
    })
}

fn req_order() -> Json {
    case!(ReqOrder {
        requester requester: address("requester"),
        app app: word("app"),
        params params: word("params"),
        pool poolId: PoolId(7),
        max_unit_price maxUnitPrice: u128::MAX - 1,
        tasks tasks: 65_536_u32,
        trust trust: 100_u32,
        replicas replicas: 7_u8,
        max_task_time maxTaskTime: 600_u64,
        expiry expiry: 1_700_003_600_u64,
        deadline deadline: 1_700_086_400_u64,
        salt salt: word("order salt"),
    })
}

fn pool_order() -> Json {
    case!(PoolOrder {
        pool poolId: PoolId(7),
        unit_price unitPrice: 1_000_000_000_000_000_000_u128,
        tasks tasks: 1_000_000_u32,
        trust trust: 10_000_u32,
        stake_ratio stakeRatio: 30_u8,
        scheduler_ratio schedulerRatio: 1_u8,
        max_task_time maxTaskTime: 3_600_u64,
        expiry expiry: u64::MAX,
        salt salt: word("pool salt"),
    })
}

fn commitments() -> Vec<Json> {
    let cases =
        [(word("task"), 3_u16, 1_234_u32, "result", "salt"), (word("other"), 0, 1, "a", "b")];
    let case = |(task_id, attempt, worker, digest, salt): (B256, u16, u32, &str, &str)| {
        let (digest, salt) = (word(digest), word(salt));
        let commitment = separator().commitment(task_id, attempt, WorkerIdx(worker), digest, salt);
        let theirs = (separator().0, task_id, attempt, worker, digest, salt).abi_encode();
        assert_eq!(commitment, keccak256(theirs));
        Json::Object(vec![
            ("taskId", task_id.into()),
            ("attempt", attempt.into()),
            ("workerIdx", worker.into()),
            ("resultDigest", digest.into()),
            ("salt", salt.into()),
            ("commitment", commitment.into()),
        ])
    };
    cases.into_iter().map(case).collect()
}

fn ids() -> Vec<Json> {
    let case = |(filled_before, n, task_idx): (u32, u32, u32)| {
        let (req, pool) = (word("req"), word("pool"));
        let id = deal_id(req, pool, filled_before, n);
        assert_eq!(id.0, keccak256((req, pool, filled_before, n).abi_encode()));
        let task_id = id.task_id(task_idx);
        let wide = alloy_primitives::U256::from(task_idx);
        assert_eq!(task_id, keccak256((id.0, wide).abi_encode()));
        Json::Object(vec![
            ("reqHash", req.into()),
            ("poolHash", pool.into()),
            ("filledBefore", filled_before.into()),
            ("n", n.into()),
            ("dealId", id.into()),
            ("taskIdx", task_idx.into()),
            ("taskId", task_id.into()),
        ])
    };
    [(100, 50, 49), (0, 65_536, 65_535)].into_iter().map(case).collect()
}

fn frame() -> Json {
    let key = VoteKey::from_bytes(&[0x2a; 32]).unwrap();
    let hashes: Vec<B256> = (1..=5).map(|n| word(&format!("message {n}"))).collect();
    let count = u32::try_from(hashes.len()).unwrap();
    let tree = FrameTree::new(&hashes);
    let root = {
        // By its own path: the tree does not show its root but inside of what is signed.
        let leaf = keccak256(hashes[0]);
        quorate_common::merkle::root_of(leaf, 0, &tree.path(0))
    };
    let message = ours::Frame { root, count };
    assert_eq!(message.struct_hash(), tree.struct_hash());
    let digest = separator().digest(message.struct_hash());
    let signature = frame::sign(&key, &separator(), &hashes);
    assert_eq!(recover(digest, &signature), Some(key.address()));
    assert_eq!(frame::signer(&separator(), &hashes, &signature), Some(key.address()));
    let proof = |index: u32| {
        let path = tree.path(index);
        let hash = hashes[index as usize];
        let signer = frame::signer_of_one(&separator(), hash, index, count, &path, &signature);
        assert_eq!(signer, Some(key.address()));
        Json::Object(vec![("index", index.into()), ("path", path.into())])
    };
    Json::Object(vec![
        ("structHashes", hashes.clone().into()),
        ("leaves", hashes.iter().map(|hash| keccak256(hash).into()).collect::<Vec<Json>>().into()),
        ("count", count.into()),
        ("root", root.into()),
        ("digest", digest.into()),
        ("signer", key.address().into()),
        ("r", signature.r.into()),
        ("vs", signature.vs.into()),
        ("proofs", (0..count).map(proof).collect::<Vec<Json>>().into()),
    ])
}

#[test]
fn eip712() {
    assert_eq!(separator().0, their_domain().separator());
    let domain = Json::Object(vec![
        ("chainId", DOMAIN.chain_id.into()),
        ("contract", DOMAIN.contract.into()),
        ("separator", separator().0.into()),
    ]);
    golden(
        "eip712.json",
        &Json::Object(vec![
            ("domain", domain),
            ("structs", messages().into()),
            ("commitment", commitments().into()),
            ("ids", ids().into()),
            ("frame", frame()),
        ]),
    );
}
