//! Whatever bytes arrive, decoders answer.

use crate::{
    fake::Habit::{Honest, Liar},
    world::{Asks, World},
};
use proptest::prelude::*;
use quorate_common::{
    bag::Bag,
    invite::Invite,
    manifest::Manifest,
    wire::{self, Open, ToScheduler, ToWorker},
};
use quorate_grid::{
    Record,
    audit::Books,
    evidence::{BatchFile, Receipt, Seal},
};
use std::sync::LazyLock;

/// Real bytes of each kind, to be spoiled.
struct Samples {
    receipt: Vec<u8>,
    file: Vec<u8>,
    books: Vec<u8>,
    durable: Vec<u8>,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let mut world = World::new().workers(&[Honest, Liar, Honest, Honest, Honest]);
    world.deal(Asks { tasks: 2, ..Asks::default() });
    world.run();
    world.close();
    Samples {
        receipt: world.receipts(1)[0].to_json().into_bytes(),
        file: world.batches[&1].file.to_bytes(),
        books: wire::to_bytes(&world.books),
        durable: wire::to_bytes(world.grid.durable()),
    }
});

/// Decodes `bytes` as everything there is.
fn decode_all(bytes: &[u8]) {
    if let Ok(message) = wire::decode::<ToScheduler>(bytes) {
        if let ToScheduler::Votes(votes) = &message {
            let _ = votes.check();
        }
        assert_eq!(wire::decode(&wire::to_bytes(&message)), Ok(message));
    }
    if let Ok(message) = wire::decode::<ToWorker>(bytes) {
        if let ToWorker::Duties(duties) = &message {
            let _ = duties.check();
        }
        assert_eq!(wire::decode(&wire::to_bytes(&message)), Ok(message));
    }
    if let Ok(message) = wire::decode::<Open>(bytes) {
        if let Open::Control(hello) = &message {
            let _ = hello.check();
        }
        assert_eq!(wire::decode(&wire::to_bytes(&message)), Ok(message));
    }
    if let Ok(record) = wire::decode::<Record>(bytes) {
        assert_eq!(wire::decode(&wire::to_bytes(&record)), Ok(record));
    }
    let _ = wire::decode::<Books>(bytes);
    let _ = wire::decode::<Seal>(bytes);
    let _ = BatchFile::parse(bytes);
    let _ = Receipt::parse_canonical(bytes);
    let _ = Bag::parse(bytes);
    let _ = Manifest::parse(bytes);
    let _ = String::from_utf8_lossy(bytes).parse::<Invite>();
}

fn spoiled(sample: &[u8], at: usize, with: &[u8], cut: bool) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    let end = if cut { bytes.len() } else { (at + with.len()).min(bytes.len()) };
    bytes.splice(at..end, with.iter().copied());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    /// Small numbers get further into a decoder than random ones.
    #[test]
    fn small_bytes_are_answered(bytes in proptest::collection::vec(0_u8..8, 0..600)) {
        decode_all(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoiled_documents_are_answered(
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..12),
        cut in any::<bool>(),
    ) {
        let Samples { receipt, file, books, durable } = &*SAMPLES;
        let _ = Receipt::parse_canonical(&spoiled(receipt, at.index(receipt.len()), &with, cut));
        let _ = BatchFile::parse(&spoiled(file, at.index(file.len()), &with, cut));
        let _ = wire::decode::<Books>(&spoiled(books, at.index(books.len()), &with, cut));
        let bytes = spoiled(durable, at.index(durable.len()), &with, cut);
        let _ = wire::decode::<quorate_grid::Durable>(&bytes);
    }

    #[test]
    fn spoiled_texts_are_answered(
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 0..12),
        cut in any::<bool>(),
    ) {
        let invite = "quorate://pool.example:7421/\
            0101010101010101010101010101010101010101010101010101010101010101?pool=1&chain=31337\
            &contract=0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0&api=https%3A%2F%2Fpool.example";
        assert!(invite.parse::<Invite>().is_ok());
        decode_all(&spoiled(invite.as_bytes(), at.index(invite.len()), &with, cut));
        let bag = br#"{"schema":"quorate.bag/v1","app":"0101010101010101010101010101010101010101010101010101010101010101","limits":{"fuel":1000,"memory_bytes":65536,"output_bytes":1},"tasks":[{"args":["3"]}]}"#;
        assert!(Bag::parse(bag).is_ok());
        decode_all(&spoiled(bag, at.index(bag.len()), &with, cut));
    }
}
