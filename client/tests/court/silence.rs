//! What a scheduler hides cannot be taken again, but it can be asked for: a record's votes, a tree's
//! tasks, a file that nobody finds by its hash. Whoever does not answer is convicted for that.

use super::{
    arena::{Arena, Verdict},
    batch::{Batch, committed},
    dice::Dice,
    round,
};
use quorate_client::watch::brief::Brief;
use quorate_common::{B256, messages::Header};
use quorate_grid::evidence::BatchFile;

type Secret = (&'static str, fn(&mut Header, &mut BatchFile));

const SECRETS: [Secret; 3] = [
    ("votes hash", |header, file| {
        file.tasks[2].rec.votes_hash.0[0] ^= 1;
        header.tasks_root = round::tasks_root(&file.tasks);
    }),
    ("tasks root", |header, _| header.tasks_root = B256::repeat_byte(9)),
    // Its tasks may be as they should be: then an answer would save it, and this pool has none.
    ("evidence", |header, _| header.evidence = B256::repeat_byte(9)),
];

/// The whole of it; see `court.rs`.
pub(crate) fn run() {
    for (name, hide) in SECRETS {
        let (mut arena, mut dice) = (Arena::start(), Dice::new(1));
        let batch = Batch::new(&mut arena, 5, &mut dice);
        let (mut header, mut file) = (batch.header.clone(), batch.file.clone());
        hide(&mut header, &mut file);
        let hidden = committed(header);
        let (separator, court) = (&batch.arena.separator, &batch.arena.court);
        let accusation = batch.books.accuse(separator, &batch.registry, &hidden.header, &file);
        let before = Some(&batch.first);
        let brief = Brief { batch: &hidden, before, accusation: &accusation };
        for proof in brief.proofs(court) {
            let verdict = batch.arena.judge(&batch.pool, &hidden.header, &proof);
            assert!(!matches!(verdict, Verdict::Fraud { .. }), "{name}: {}", proof.what);
        }
        batch.arena.commit(&batch.pool, &hidden.header);
        batch.arena.ask_in_vain(&hidden.filing(), 2);
        assert!(batch.arena.is_convicted(batch.pool.id), "{name}");
    }
}
