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
    messages::{self as ours, Domain, Message as _, Separator},
    terms::DealTerms,
};

mod theirs {
    use super::sol;

    sol! {
        struct Assign { uint32 poolId; bytes32 dealId; uint32 taskIdx; uint16 attempt; uint32 workerIdx; uint64 seedEpoch; uint64 commitDeadline; uint64 revealDeadline; }
        struct Commit { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitment; }
        struct CommitAck { uint32 poolId; bytes32 taskId; uint16 attempt; uint32 workerIdx; bytes32 commitment; uint64 seq; }
        struct CommitSet { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitSetRoot; uint8 n; uint64 revealDeadline; }
        struct Reveal { uint32 poolId; bytes32 taskId; uint16 attempt; bytes32 commitSetRoot; bytes32 resultDigest; bytes32 salt; }
        struct RevealAck { uint32 poolId; bytes32 taskId; uint16 attempt; uint32 workerIdx; bytes32 voteHash; bool stored; uint64 seq; }
        struct Frame { bytes32 root; uint32 count; }
        struct Header { uint32 poolId; uint64 index; bytes32 parent; bytes32 tasksRoot; bytes32 stateRoot; bytes32 evidence; uint32 count; uint128 payout; uint128 fees; uint128 royalties; uint128 slashed; uint128 cumFees; }
        struct ReqOrder { address requester; address beneficiary; address callback; bytes32 app; address appOwner; uint128 appMaxPrice; bytes32 dataset; address datasetOwner; uint128 datasetMaxPrice; bytes32 params; bytes32 poolRestrict; uint128 maxUnitPrice; uint32 tasks; bytes32 tag; uint16 category; uint32 trust; uint8 replicas; uint64 maxTaskTime; uint64 expiry; uint64 deadline; bytes32 salt; }
        struct PoolOrder { uint32 poolId; uint128 unitPrice; uint32 tasks; bytes32 tag; uint16 category; uint32 trust; uint8 stakeRatio; uint8 schedulerRatio; uint64 maxTaskTime; bytes32 appRestrict; bytes32 datasetRestrict; bytes32 requesterRestrict; uint64 expiry; bytes32 salt; }
        struct AppOrder { address owner; bytes32 app; uint128 price; uint32 tasks; bytes32 tag; bytes32 datasetRestrict; bytes32 poolRestrict; bytes32 requesterRestrict; uint64 expiry; bytes32 salt; }
        struct DatasetOrder { address owner; bytes32 dataset; uint128 price; uint32 tasks; bytes32 tag; bytes32 appRestrict; bytes32 poolRestrict; bytes32 requesterRestrict; uint64 expiry; bytes32 salt; }
        struct SponsorOrder { address sponsor; bytes32 reqHash; uint128 maxCost; uint64 expiry; bytes32 salt; }
        struct OrderOp { address account; bytes32 orderHash; uint8 op; uint64 deadline; }
        struct WorkerOp { uint32 workerIdx; uint8 op; uint64 nonce; uint64 deadline; }
        struct DealTerms { address requester; address payer; address beneficiary; address callback; uint32 poolId; bytes32 app; address appOwner; uint128 appPrice; bytes32 dataset; address datasetOwner; uint128 datasetPrice; bytes32 params; uint128 unitPrice; uint32 tasks; uint32 trust; uint8 replicas; uint8 stakeRatio; uint8 schedulerRatio; uint16 category; bytes32 tag; uint64 maxTaskTime; uint64 deadline; bytes32 reqHash; uint32 filledBefore; }
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
    bool => bool = |v| v;
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
            stored stored: true,
            seq seq: 9_000_000_002_u64,
        }),
        case!(Frame { root root: word("frame"), count count: 256_u32, }),
        header(),
        req_order(),
        pool_order(),
        app_order(),
        dataset_order(),
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
        royalties royalties: 77_777_777_u128,
        slashed slashed: 987_654_321_u128,
        cum_fees cumFees: 9_234_567_890_123_456_789_u128,
    })
}

fn req_order() -> Json {
    case!(ReqOrder {
        requester requester: address("requester"),
        beneficiary beneficiary: address("beneficiary"),
        callback callback: address("callback"),
        app app: word("app"),
        app_owner appOwner: address("app owner"),
        app_max_price appMaxPrice: 31_u128,
        dataset dataset: word("dataset"),
        dataset_owner datasetOwner: address("dataset owner"),
        dataset_max_price datasetMaxPrice: 32_u128,
        params params: word("params"),
        pool_restrict poolRestrict: PoolId(7).restrict(),
        max_unit_price maxUnitPrice: u128::MAX - 1,
        tasks tasks: 65_536_u32,
        tag tag: word("tag"),
        category category: 3_u16,
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
        tag tag: word("pool tag"),
        category category: 3_u16,
        trust trust: 10_000_u32,
        stake_ratio stakeRatio: 30_u8,
        scheduler_ratio schedulerRatio: 1_u8,
        max_task_time maxTaskTime: 3_600_u64,
        app_restrict appRestrict: word("only app"),
        dataset_restrict datasetRestrict: word("only dataset"),
        requester_restrict requesterRestrict: word("only requester"),
        expiry expiry: u64::MAX,
        salt salt: word("pool salt"),
    })
}

fn app_order() -> Json {
    case!(AppOrder {
        owner owner: address("app owner"),
        app app: word("app"),
        price price: 30_u128,
        tasks tasks: 1_000_001_u32,
        tag tag: word("app tag"),
        dataset_restrict datasetRestrict: word("only dataset"),
        pool_restrict poolRestrict: word("only pool"),
        requester_restrict requesterRestrict: word("only requester"),
        expiry expiry: 1_700_003_601_u64,
        salt salt: word("app salt"),
    })
}

fn dataset_order() -> Json {
    case!(DatasetOrder {
        owner owner: address("dataset owner"),
        dataset dataset: word("dataset"),
        price price: 29_u128,
        tasks tasks: 1_000_002_u32,
        tag tag: word("dataset tag"),
        app_restrict appRestrict: word("only app"),
        pool_restrict poolRestrict: word("only pool"),
        requester_restrict requesterRestrict: word("only requester"),
        expiry expiry: 1_700_003_602_u64,
        salt salt: word("dataset salt"),
    })
}

fn ops() -> Vec<Json> {
    vec![
        case!(SponsorOrder {
            sponsor sponsor: address("sponsor"),
            req_hash reqHash: word("req"),
            max_cost maxCost: 5_000_u128,
            expiry expiry: 1_700_003_603_u64,
            salt salt: word("sponsor salt"),
        }),
        case!(OrderOp {
            account account: address("account"),
            order_hash orderHash: word("order"),
            op op: 2_u8,
            deadline deadline: 1_700_003_604_u64,
        }),
        case!(WorkerOp {
            worker workerIdx: WorkerIdx(1_234),
            op op: 3_u8,
            nonce nonce: 8_u64,
            deadline deadline: 1_700_003_605_u64,
        }),
    ]
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

/// Deals' terms with their ids, and a task of each.
fn deals() -> Vec<Json> {
    macro_rules! deal {
        ($($field:ident $sol:ident: $value:expr,)*) => {{
            let ours = DealTerms { $($field: $value,)* };
            let theirs = theirs::DealTerms { $($sol: Plain::plain($value),)* };
            assert_eq!(ours.id().0, keccak256(theirs.abi_encode()));
            (ours.id(), Json::Object(vec![$((stringify!($sol), $value.into()),)*]))
        }};
    }
    let (id, terms) = deal! {
        requester requester: address("requester"),
        payer payer: address("payer"),
        beneficiary beneficiary: address("beneficiary"),
        callback callback: address("callback"),
        pool poolId: PoolId(7),
        app app: word("app"),
        app_owner appOwner: address("appOwner"),
        app_price appPrice: u128::MAX - 2,
        dataset dataset: word("dataset"),
        dataset_owner datasetOwner: address("datasetOwner"),
        dataset_price datasetPrice: 51_u128,
        params params: word("params"),
        unit_price unitPrice: 53_u128,
        tasks tasks: 54_u32,
        trust trust: 55_u32,
        replicas replicas: 56_u8,
        stake_ratio stakeRatio: 57_u8,
        scheduler_ratio schedulerRatio: 58_u8,
        category category: 59_u16,
        tag tag: word("tag"),
        max_task_time maxTaskTime: 61_u64,
        deadline deadline: 62_u64,
        req_hash reqHash: word("reqHash"),
        filled_before filledBefore: 65_u32,
    };
    let case = |task_idx: u32| {
        let task_id = id.task_id(task_idx);
        let wide = alloy_primitives::U256::from(task_idx);
        assert_eq!(task_id, keccak256((id.0, wide).abi_encode()));
        Json::Object(vec![
            ("terms", terms.clone()),
            ("dealId", id.into()),
            ("taskIdx", task_idx.into()),
            ("taskId", task_id.into()),
        ])
    };
    [49, 65_535].into_iter().map(case).collect()
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
            ("structs", messages().into_iter().chain(ops()).collect::<Vec<Json>>().into()),
            ("deals", deals().into()),
            ("commitment", commitments().into()),
            ("frame", frame()),
        ]),
    );
}
