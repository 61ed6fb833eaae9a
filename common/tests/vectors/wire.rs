//! Every frame of the wire, both directions, length prefix included.

use crate::{
    golden,
    json::{Json, address, hex, word},
};
use quorate_common::{
    digest::Digest,
    frame::FrameProof,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keys::Signature,
    messages::{CommitAck, Domain},
    wire::{self, *},
    word::{Said, Word},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Debug};

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn signature() -> Signature {
    Signature { r: word("r"), vs: word("vs") }
}

fn task(idx: u32) -> TaskKey {
    TaskKey { deal: DealSlot(300), idx }
}

fn newest() -> Word {
    let (task_id, worker, commitment) = (word("task"), WorkerIdx(3), word("commitment"));
    let ack = CommitAck { pool: PoolId(7), task_id, attempt: 1, worker, commitment, seq: 1 << 40 };
    let proof =
        FrameProof { index: 1, count: 2, path: vec![word("sibling")], signature: signature() };
    Word { said: Said::CommitAck(ack), proof }
}

fn opens() -> Vec<Open> {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(word("left").as_slice());
    right.copy_from_slice(word("right").as_slice());
    let hello = Hello {
        version: VERSION,
        pool: PoolId(7),
        vote_key: address("vote key"),
        binding: [left, right],
        slots: 16,
        memory_bytes: 4 << 30,
        engine: EngineInfo { hash: digest("engine") },
        ask: 1_000_000_000_000_000,
        name: "grandma's laptop".into(),
        holding: vec![(task(0), 0), (task(65_535), 3)],
        newest: Some(Box::new(newest())),
    };
    hello.check().unwrap();
    vec![
        Open::Control(hello),
        Open::Get { digest: digest("blob"), from: 65_536 },
        Open::Put { digest: digest("blob"), len: 1 << 40 },
    ]
}

fn to_scheduler() -> Vec<ToScheduler> {
    let commit = |idx| CommitItem { task: task(idx), attempt: 1, commitment: word("commitment") };
    let reveal = |idx, inline| RevealItem {
        task: task(idx),
        attempt: 2,
        set_root: word("set"),
        digest: digest("result"),
        salt: word("salt"),
        inline,
    };
    let inline = Inline { blobs: vec![b"quorate-result/1\n".to_vec(), Vec::new(), vec![0xff]] };
    let votes = Votes {
        commits: vec![commit(1), commit(128)],
        reveals: vec![reveal(2, None), reveal(16_384, Some(inline))],
        signature: signature(),
    };
    votes.check().unwrap();
    let gave_up = |reason| ToScheduler::GaveUp(GaveUp { task: task(5), attempt: 1, reason });
    vec![
        ToScheduler::Votes(votes),
        gave_up(GiveUpReason::Leaving),
        gave_up(GiveUpReason::Deadline),
        gave_up(GiveUpReason::Input),
        gave_up(GiveUpReason::Stack),
        gave_up(GiveUpReason::Engine),
        gave_up(GiveUpReason::Price),
        ToScheduler::Slots(1_024),
        ToScheduler::Heartbeat,
        gave_up(GiveUpReason::Memory),
        ToScheduler::Containers(Some(digest("containers"))),
        ToScheduler::Containers(None),
        gave_up(GiveUpReason::Registry),
        gave_up(GiveUpReason::Pack),
        gave_up(GiveUpReason::Room),
    ]
}

fn duties() -> Duties {
    Duties {
        assigns: vec![AssignItem {
            task: task(49),
            attempt: 3,
            seed_epoch: 5,
            commit_deadline: 1_700_000_060,
            reveal_deadline: 1_700_000_180,
        }],
        commit_acks: vec![CommitAckItem {
            task: task(50),
            attempt: 1,
            commitment: word("commitment"),
            seq: 9_000_000_001,
        }],
        sets: vec![CommitSetItem {
            task: task(51),
            attempt: 2,
            root: word("set"),
            n: 3,
            reveal_deadline: 1_700_000_180,
            position: 2,
            path: [word("0"), word("1"), word("2"), word("3")],
        }],
        reveal_acks: vec![RevealAckItem {
            task: task(52),
            attempt: 2,
            vote_hash: word("vote"),
            stored: true,
            seq: 9_000_000_002,
        }],
        signature: signature(),
    }
}

fn to_worker() -> Vec<ToWorker> {
    let welcome = |worker| Welcome {
        pool: PoolId(7),
        domain: Domain { chain_id: 31_337, contract: address("contract") },
        signer: address("signer"),
        worker,
        stake: 1_000_000_000_000_000_000_000,
        score: 66,
        unix_ms: 1_700_000_000_123,
        notice: "no new work: too slow".into(),
    };
    let deal = DealInfo {
        slot: DealSlot(300),
        id: DealId(word("deal")),
        app: digest("app"),
        bag: digest("bag"),
        first: 65,
        unit_price: u128::MAX,
        stake: 300,
        max_task_time: 600,
        deadline: 1_700_086_400,
    };
    let settled =
        |outcome| SettledItem { task: task(53), outcome, earned: 429, slashed: 300, score: 67 };
    let goodbye = |retry_ms| Goodbye { reason: "the pool is closing".into(), retry_ms };
    vec![
        ToWorker::Welcome(welcome(Some(WorkerIdx(1_234)))),
        ToWorker::Welcome(welcome(None)),
        ToWorker::Deal(deal),
        ToWorker::Duties(duties()),
        ToWorker::Cancel(vec![(task(1), 0), (task(2), 1)]),
        ToWorker::Fetch { task: task(3), digest: digest("result") },
        ToWorker::Settled(vec![settled(1), settled(2), settled(3)]),
        ToWorker::Goodbye(goodbye(Some(5_000))),
        ToWorker::Goodbye(goodbye(None)),
    ]
}

/// A new kind of frame does not compile here until it has a name, and fails below until it has bytes.
fn open_kind(open: &Open) -> &'static str {
    match open {
        Open::Control(_) => "control",
        Open::Get { .. } => "get",
        Open::Put { .. } => "put",
    }
}

fn to_scheduler_kind(message: &ToScheduler) -> &'static str {
    match message {
        ToScheduler::Votes(_) => "votes",
        ToScheduler::GaveUp(_) => "gave up",
        ToScheduler::Slots(_) => "slots",
        ToScheduler::Heartbeat => "heartbeat",
        ToScheduler::Containers(_) => "containers",
    }
}

fn to_worker_kind(message: &ToWorker) -> &'static str {
    match message {
        ToWorker::Welcome(_) => "welcome",
        ToWorker::Deal(_) => "deal",
        ToWorker::Duties(_) => "duties",
        ToWorker::Cancel(_) => "cancel",
        ToWorker::Fetch { .. } => "fetch",
        ToWorker::Settled(_) => "settled",
        ToWorker::Goodbye(_) => "goodbye",
    }
}

/// The frames of one stream direction; each reads back as what it was, whole and only whole.
fn frames<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    kinds: usize,
    kind: impl Fn(&T) -> &'static str,
    messages: &[T],
) -> Json {
    let seen: BTreeSet<&str> = messages.iter().map(&kind).collect();
    assert_eq!(seen.len(), kinds, "every kind has bytes");
    let frame = |message: &T| {
        let mut bytes = Vec::new();
        wire::encode(message, &mut bytes);
        let (prefix, body) = bytes.split_first_chunk().unwrap();
        assert_eq!(wire::frame_len(*prefix), Ok(body.len()));
        assert_eq!(wire::decode::<T>(body).as_ref(), Ok(message));
        for len in 0..body.len() {
            assert_ne!(wire::decode::<T>(&body[..len]).as_ref(), Ok(message), "cut at {len}");
        }
        assert!(wire::decode::<T>(&[body, &[0]].concat()).is_err(), "something behind it");
        Json::Object(vec![("kind", kind(message).into()), ("frame", hex(&bytes))])
    };
    messages.iter().map(frame).collect::<Vec<Json>>().into()
}

#[test]
fn wire() {
    golden(
        "wire.json",
        &Json::Object(vec![
            ("version", VERSION.into()),
            ("open", frames(3, open_kind, &opens())),
            ("toScheduler", frames(5, to_scheduler_kind, &to_scheduler())),
            ("toWorker", frames(7, to_worker_kind, &to_worker())),
        ]),
    );
}
