//! A disk that is set back to an old copy: the scheduler sees it on chain or hears it from a worker, and
//! signs nothing more. Words that it did not sign do not stop it.

use super::{
    chain::OtherChain,
    script::{End, Script, TASKS},
    stage::{Cast, PATIENCE, Program, copy_dir, said},
    worker::Worker,
};
use quinn::Endpoint;
use quorate_common::{
    frame::{self, FrameTree},
    keys::VoteKey,
    word::{Said, Word},
};
use std::{net::Ipv4Addr, process::ExitStatus};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

const WORKERS: u8 = 3;
/// The exit code that says so: a conflict with what was said before.
const CONFLICT: i32 = 8;
/// What an operator must read.
const WORDS: [&str; 5] = [
    "an old disk was restored",
    "signed with this folder's key",
    "nothing more is signed",
    "put back the newest copy",
    "quorate-scheduler init in an empty folder",
];

/// A pool that has worked on, and a copy of its disk from before.
struct Past {
    cast: Cast,
    set: Vec<String>,
    now: TempDir,
    old: TempDir,
    script: Script,
}

impl Past {
    /// A pool works until `first` tasks are over and is copied; then until `then` are.
    async fn make(first: usize, then: usize) -> Self {
        let (now, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (chain, cast) = OtherChain::start(now.path(), WORKERS).await;
        let set = chain.settings(&cast);
        let mut script = Script::new(&cast);
        for (tasks, is_copied) in [(first, true), (then, false)] {
            let program =
                serve(&now, &set).unwrap_or_else(|status| panic!("{status}: {}", said(now.path())));
            program.knows(&cast.members).await;
            assert_eq!(script.play_to(&program, &cast, tasks).await, End::Done);
            script.leave();
            program.batches_are_committed(tasks).await;
            assert!(program.end().success());
            if is_copied {
                copy_dir(now.path(), old.path());
            }
        }
        Self { cast, set, now, old, script }
    }
}

fn serve(data: &TempDir, set: &[String]) -> Result<Program, ExitStatus> {
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    Program::serve(data.path(), &[], &set)
}

#[track_caller]
fn says_so(data: &TempDir, evidence: &str) {
    let said = said(data.path());
    for word in WORDS.into_iter().chain([evidence]) {
        assert!(said.contains(word), "it does not say `{word}`: {said}");
    }
}

#[tokio::test]
async fn the_chain_shows_an_old_disk_and_it_does_not_start() {
    let past = Past::make(6, 14).await;
    let status = serve(&past.old, &past.set).err().expect("it must not open its doors");
    assert_eq!(status.code(), Some(CONFLICT), "{}", said(past.old.path()));
    says_so(&past.old, "the chain has batch 3 of pool-1");
    says_so(&past.old, "this journal ends at batch 1");
    // The right disk is as good as before.
    let mut script = past.script;
    let program = serve(&past.now, &past.set).unwrap();
    assert_eq!(script.play(&program, &past.cast).await, End::Done);
    script.promises.are_kept(&program, &script.pool.unwrap(), TASKS).await;
}

#[tokio::test]
async fn a_worker_shows_an_old_disk_and_it_stops() {
    // No batch was closed in between: the chain has nothing to show.
    let past = Past::make(4, 6).await;
    let program = serve(&past.old, &past.set).unwrap();
    let newest = |worker: &&Worker| worker.newest.as_ref().and_then(Word::acknowledged);
    let witness = past.script.workers().max_by_key(newest).unwrap();
    let count = newest(&witness).unwrap().1;
    for worker in past.script.workers() {
        for lie in lies(witness.newest.as_ref().unwrap(), worker) {
            assert!(is_welcomed(&program, worker, Some(lie)).await, "{}", said(past.old.path()));
        }
    }
    // An old word is no evidence either.
    assert!(is_welcomed(&program, witness, None).await);
    assert!(program.has_ended().is_none());
    assert!(!is_welcomed(&program, witness, witness.newest.clone()).await);
    assert_eq!(program.ended().code(), Some(CONFLICT), "{}", said(past.old.path()));
    says_so(&past.old, &format!("a worker shows acknowledgement {count} of pool-1"));
}

/// Words that the pool did not say: a higher count under its signature, another key's signature, another
/// pool's word.
fn lies(newest: &Word, liar: &Worker) -> [Word; 3] {
    let higher = |said: &Said| match said {
        Said::CommitAck(ack) => {
            let mut ack = ack.clone();
            ack.seq += 1_000;
            Said::CommitAck(ack)
        }
        Said::RevealAck(ack) => {
            let mut ack = ack.clone();
            ack.seq += 1_000;
            Said::RevealAck(ack)
        }
        Said::Assign(_) | Said::CommitSet(_) => panic!("an acknowledgement was kept"),
    };
    let raised = Word { said: higher(&newest.said), proof: newest.proof.clone() };
    let key: &VoteKey = &liar.member.vote_key;
    let hash = raised.said.struct_hash();
    let signature = frame::sign(key, &liar.pool.separator, &[hash]);
    let forged =
        Word { said: raised.said.clone(), proof: FrameTree::new(&[hash]).proof(0, signature) };
    let mut moved = newest.clone();
    if let Said::CommitAck(ack) = &mut moved.said {
        ack.pool.0 += 1;
    }
    if let Said::RevealAck(ack) = &mut moved.said {
        ack.pool.0 += 1;
    }
    [raised, forged, moved]
}

/// Whether a worker that shows this word gets an answer.
async fn is_welcomed(program: &Program, worker: &Worker, newest: Option<Word>) -> bool {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut worker = Worker::new(worker.member.clone(), worker.pool);
    worker.newest = newest;
    let (tell, mut hear) = mpsc::channel(8);
    assert!(worker.connect(&endpoint, program.quic, 0, tell).await);
    let answer = async {
        while program.has_ended().is_none() {
            let look = std::time::Duration::from_millis(20);
            if let Ok(heard) = timeout(look, hear.recv()).await {
                return heard.is_some_and(|(_, heard)| heard.is_some());
            }
        }
        false
    };
    timeout(PATIENCE, answer).await.unwrap()
}
