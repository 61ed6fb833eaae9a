//! What requesters, operators and volunteers hand over as text or as a file.

use super::{
    harness::{Said, fuzz, said},
    samples,
};
use quorate_common::{
    Address, B256,
    anchor::Opening,
    api::{PlaceOrder, WorkerProof},
    bag::Bag,
    config::Layers,
    digest::Digest,
    ids::{PoolId, WorkerIdx},
    invite::Invite,
    keys::Signature,
    manifest::{Ended, Entry, Manifest},
    messages::{AppOrder, BindWorker, Domain, ReqOrder, WorkerOp},
    orders::SignedOrder,
    permit::{Act, Permit},
};
use quorate_grid::evidence::{BatchFile, Receipt};
use quorate_scheduler::config::{Config, KEYS};
use quorate_worker::engine::Engine;
use std::fs;

#[test]
fn an_order() {
    let order = PlaceOrder::alone(ReqOrder::default(), format!("0x{}", "ab".repeat(65)));
    fuzz("order", &[serde_json::to_vec(&order).unwrap()], |bytes| {
        let Ok(order) = serde_json::from_slice::<PlaceOrder>(bytes) else { return Said::Refused };
        drop(quorate_common::orders::decode_signature(&order.signature));
        let text = serde_json::to_vec(&order).unwrap();
        let again: PlaceOrder = serde_json::from_slice(&text).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), text);
        Said::Taken
    });
}

#[test]
fn an_order_of_who_sells() {
    let order =
        SignedOrder { order: AppOrder::default(), signature: format!("0x{}", "cd".repeat(64)) };
    fuzz("app order", &[serde_json::to_vec(&order).unwrap()], |bytes| {
        let order = serde_json::from_slice::<SignedOrder<AppOrder>>(bytes);
        said(order.is_ok_and(|order| order.decode().is_ok()))
    });
}

#[test]
fn a_permit() {
    let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(1) };
    let signature = Signature { r: B256::repeat_byte(2), vs: B256::repeat_byte(3) };
    let proof = WorkerProof {
        schema: "quorate.proof/v1".into(),
        worker: WorkerIdx(1),
        index: 1,
        opening: Opening::default(),
        account: None,
        path: vec![B256::ZERO; 3],
    };
    let acts = [
        Act::Register {
            binding: BindWorker::default(),
            vote_signature: signature,
            owner_signature: signature,
        },
        Act::Operate {
            owner: Address::ZERO,
            op: WorkerOp { op: 3, ..WorkerOp::default() },
            signature,
        },
        Act::Claim { pool: PoolId(1), proof },
    ];
    let samples = acts.map(|act| serde_json::to_vec(&Permit::new(domain, act)).unwrap());
    fuzz("permit", &samples, |bytes| {
        let Ok(permit) = serde_json::from_slice::<Permit>(bytes) else { return Said::Refused };
        // Nobody has signed these.
        let outcome = permit.check(domain);
        assert!(outcome.is_err() || matches!(permit.act, Act::Claim { .. }), "{permit:?}");
        drop((permit.owner(), permit.to_string()));
        let text = serde_json::to_vec(&permit).unwrap();
        assert_eq!(serde_json::from_slice::<Permit>(&text).unwrap(), permit);
        Said::Taken
    });
}

#[test]
fn a_bag() {
    let sample = br#"{"schema":"quorate.bag/v1","app":"0101010101010101010101010101010101010101010101010101010101010101","limits":{"fuel":1000,"memory_bytes":65536,"output_bytes":1},"tasks":[{"args":["3"]}]}"#;
    fuzz("bag", &[sample.to_vec()], |bytes| {
        let Ok(bag) = Bag::parse(bytes) else { return Said::Refused };
        assert_eq!(Bag::parse(&bag.to_bytes()).unwrap(), bag);
        Said::Taken
    });
}

#[test]
fn a_manifest() {
    let file = ("a/b.txt".to_owned(), Entry::of(b"bytes"));
    let stdout = Some(Entry::of(b"text"));
    let manifest = Manifest { ended: Ended::Exit(3), fuel: 7, stdout, files: vec![file] };
    fuzz("manifest", &[manifest.encode().into_bytes()], |bytes| {
        let Ok(manifest) = Manifest::parse(bytes) else { return Said::Refused };
        assert_eq!(manifest.encode().as_bytes(), bytes, "one result has one text");
        Said::Taken
    });
}

#[test]
fn an_invitation() {
    let sample = b"quorate://pool.example:7421/0101010101010101010101010101010101010101010101010101010101010101?pool=1&chain=31337&contract=0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0&api=https%3A%2F%2Fpool.example";
    fuzz("invitation", &[sample.to_vec()], |bytes| {
        let Ok(invite) = String::from_utf8_lossy(bytes).parse::<Invite>() else {
            return Said::Refused;
        };
        assert_eq!(invite.to_string().parse::<Invite>().unwrap(), invite);
        Said::Taken
    });
}

#[test]
fn a_receipt() {
    // A file ends with a newline, a receipt does not.
    let sample = samples::corpus("receipt.json").trim_ascii_end().to_vec();
    fuzz("receipt", &[sample], |bytes| {
        let Ok(receipt) = Receipt::parse_canonical(bytes) else { return Said::Refused };
        assert_eq!(receipt.to_json().as_bytes(), bytes, "one receipt has one text");
        Said::Taken
    });
}

#[test]
fn a_batch() {
    fuzz("batch", &[samples::corpus("batch.postcard")], |bytes| {
        let Ok(file) = BatchFile::parse(bytes) else { return Said::Refused };
        assert_eq!(BatchFile::parse(&file.to_bytes()).unwrap().digest(), file.digest());
        Said::Taken
    });
}

#[test]
fn a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quorate.toml");
    let sample = Layers::new(KEYS).commented_file();
    let set =
        "data = \"x\"\n[quic]\nlisten = \"0.0.0.0:1\"\n[batch]\ntasks = 3\n[grid]\nlease_ms = 9\n";
    fuzz("configuration", &[sample.into_bytes(), set.as_bytes().to_vec()], |bytes| {
        fs::write(&path, bytes).unwrap();
        let mut layers = Layers::new(KEYS);
        let read = layers.file(&path, true);
        said(read.is_ok() && Config::from_layers(&layers).is_ok())
    });
}

#[test]
fn a_module() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
    let whole = fs::read(path).unwrap();
    fuzz("module", &[whole, b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b".to_vec()], |bytes| {
        said(Engine::check(bytes).is_ok())
    });
}

#[test]
fn a_digest() {
    fuzz("digest", &[Digest::of(b"x").to_string().into_bytes()], |bytes| {
        let Ok(digest) = String::from_utf8_lossy(bytes).parse::<Digest>() else {
            return Said::Refused;
        };
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        Said::Taken
    });
}
