//! What scheduler and worker say to each other, and the worker's word about it.

use super::{
    harness::{Said, fuzz, said},
    samples,
};
use quorate_common::{
    B256,
    frame::FrameProof,
    keys::Signature,
    messages::CommitAck,
    wire::{self, Open, ToScheduler, ToWorker, decode, to_bytes},
    word,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Decodes, checks, and encodes again.
fn round<T: DeserializeOwned + Serialize + PartialEq + Debug>(
    bytes: &[u8],
    check: impl FnOnce(&T),
) -> Said {
    let Ok(message) = decode::<T>(bytes) else { return Said::Refused };
    check(&message);
    assert_eq!(decode::<T>(&to_bytes(&message)).as_ref(), Ok(&message));
    Said::Taken
}

#[test]
fn what_a_worker_opens_with() {
    fuzz("open", &samples::frames("open"), |bytes| {
        round(bytes, |open: &Open| {
            if let Open::Control(hello) = open {
                drop(hello.check());
            }
        })
    });
}

#[test]
fn what_a_worker_says() {
    fuzz("to scheduler", &samples::frames("toScheduler"), |bytes| {
        round(bytes, |message: &ToScheduler| {
            let ToScheduler::Votes(votes) = message else { return };
            let deal = |_| Some(quorate_common::ids::DealId::default());
            if votes.check().is_ok() {
                drop(votes.hashes(quorate_common::ids::PoolId(1), deal));
            }
        })
    });
}

#[test]
fn what_a_scheduler_says() {
    fuzz("to worker", &samples::frames("toWorker"), |bytes| {
        round(bytes, |message: &ToWorker| {
            if let ToWorker::Duties(duties) = message {
                drop(duties.check());
            }
        })
    });
}

#[test]
fn how_long_a_frame_says_it_is() {
    fuzz("frame length", &[vec![1, 0, 0, 0], vec![0, 0, 1, 0]], |bytes| {
        let Some(prefix) = bytes.first_chunk::<4>() else { return Said::Refused };
        let length = wire::frame_len(*prefix);
        assert!(
            length.as_ref().map_or(true, |length| (1..=wire::FRAME_BYTES_MAX).contains(length))
        );
        said(length.is_ok())
    });
}

#[test]
fn a_word_that_was_kept() {
    let signature = Signature { r: B256::repeat_byte(1), vs: B256::repeat_byte(2) };
    let path = vec![B256::repeat_byte(3); 2];
    let proof = FrameProof { index: 1, count: 3, path, signature };
    let said_it = word::Said::CommitAck(CommitAck { seq: 9, ..CommitAck::default() });
    let sample = serde_json::to_vec(&word::Word { said: said_it, proof }).unwrap();
    let domain = quorate_common::messages::Domain {
        chain_id: 5,
        contract: quorate_common::Address::repeat_byte(1),
    };
    let separator = domain.separator();
    fuzz("word", &[sample], |bytes| {
        let Ok(word) = serde_json::from_slice::<word::Word>(bytes) else { return Said::Refused };
        let _ = (word.signer(&separator), word.acknowledged());
        let text = serde_json::to_vec(&word).unwrap();
        assert_eq!(serde_json::from_slice::<word::Word>(&text).unwrap(), word);
        Said::Taken
    });
}
