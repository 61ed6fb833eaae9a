//! The index (sled) lost or damaged: it is filled anew from the journal, which is said, and every answer
//! is what it was.

use super::{
    crash::replay_is_what_ran,
    dice::Dice,
    script::{End, ORDER_TASKS, Script, TASKS},
    stage::{Program, Template, said},
};
use quorate_common::{B256, digest::Digest, wire::to_bytes};
use quorate_scheduler::journal::{Journal, JournalError, Options};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

const WORKERS: u8 = 3;
/// Damaged starts: each takes two seconds.
const FLIPS: u64 = 6;
/// Bytes changed in each of them.
const FLIPPED_BYTES: u64 = 64;

/// Something that happens to sled's folder.
type Damage = fn(&Path);

#[tokio::test]
async fn an_index_that_is_lost_or_damaged_is_filled_anew() {
    let template = Template::make(WORKERS).await;
    let data = template.copy();
    let program = Program::serve(data.path(), &[], &[]).unwrap();
    let mut script = Script::new(&template.cast);
    assert_eq!(script.play(&program, &template.cast).await, End::Done);
    script.leave();
    program.batches_are_committed(TASKS).await;
    let before = answers(&program).await;
    keep_samples(&program, &before).await;
    assert!(program.end().success());
    keep_journal(data.path());
    let standing = replay_is_what_ran(data.path());
    let mut dice = Dice::new("bytes that are flipped");
    let damages: [(&str, Damage); 3] = [
        ("deleted", |sled| fs::remove_dir_all(sled).unwrap()),
        ("truncated", truncate),
        ("its state unknown", |sled| fs::remove_file(sled.with_file_name("standing")).unwrap()),
    ];
    for (what, damage) in damages {
        damage(&data.path().join("index/sled"));
        assert!(
            starts_as_before(data.path(), &before, what).await,
            "{what}: it was not filled anew"
        );
    }
    let mut rebuilt = 0;
    for _ in 0..FLIPS {
        flip(&data.path().join("index/sled"), &mut dice);
        // A flip in what sled no longer uses changes nothing.
        rebuilt += u64::from(starts_as_before(data.path(), &before, "flipped").await);
    }
    eprintln!("{rebuilt} of {FLIPS} flips were seen and the index filled anew");
    assert!(rebuilt > 0, "no flip was seen");
    assert_eq!(replay_is_what_ran(data.path()), standing);
}

/// Where the decoders' tests have their samples.
const SAMPLES: &str = "../client/tests/fuzz/corpus";

/// Writes a batch's evidence and a receipt of it as samples, if `QUORATE_BLESS` is set.
async fn keep_samples(program: &Program, answers: &[(String, Value)]) {
    if std::env::var_os("QUORATE_BLESS").is_none() {
        return;
    }
    let list = &answers.iter().find(|(path, _)| path == "/v1/batches").unwrap().1;
    let digest = list["batches"][0]["header"]["evidence"].as_str().unwrap();
    let digest = Digest::from(digest.parse::<B256>().unwrap());
    fs::create_dir_all(SAMPLES).unwrap();
    fs::write(format!("{SAMPLES}/batch.postcard"), program.blob(digest).await.unwrap()).unwrap();
    let (path, _) = answers.iter().find(|(path, _)| path.ends_with("receipt")).unwrap();
    fs::write(format!("{SAMPLES}/receipt.json"), program.text(path).await + "\n").unwrap();
}

/// Writes every record of a journal as a sample, if `QUORATE_BLESS` is set.
fn keep_journal(data: &Path) {
    if std::env::var_os("QUORATE_BLESS").is_none() {
        return;
    }
    let (journal, _) = Journal::open(&data.join("journal"), Options::default()).unwrap();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let read = journal.replay(1, |_, bytes| {
        records.push(bytes.to_vec());
        Ok::<_, JournalError>(())
    });
    read.unwrap();
    fs::write(format!("{SAMPLES}/journal.postcard"), to_bytes(&records)).unwrap();
}

/// Starts it, compares every answer, ends it. Whether it said that the index was filled anew.
async fn starts_as_before(data: &Path, before: &[(String, Value)], what: &str) -> bool {
    let lines = said(data).lines().count();
    let program = Program::serve(data, &[], &[])
        .unwrap_or_else(|status| panic!("{what}: {status}: {}", said(data)));
    for ((path, now), (_, before)) in answers(&program).await.iter().zip(before) {
        assert!(now == before, "{what}: {path} was {before} and is {now}");
    }
    assert!(program.end().success());
    let text = said(data);
    text.lines().skip(lines).any(|line| line.contains("index: filled anew from the journal"))
}

/// Everything a requester and a worker can ask.
async fn answers(program: &Program) -> Vec<(String, Value)> {
    let mut paths = vec!["/v1/workers".to_owned(), "/v1/batches".into(), "/v1/orders".into()];
    let list = program.get("/v1/orders").await.unwrap();
    for order in list["orders"].as_array().unwrap() {
        let order = format!("/v1/orders/{}", order["order"].as_str().unwrap());
        paths.push(format!("{order}/tasks"));
        for task in 0..ORDER_TASKS {
            paths.extend(["receipt", "explain"].map(|of| format!("{order}/tasks/{task}/{of}")));
        }
    }
    let mut answers = Vec::new();
    for path in paths {
        let mut answer = program.get(&path).await.unwrap();
        assert_eq!(answer["error"], Value::Null, "{path}");
        // Connections come and go.
        settle(&mut answer);
        answers.push((path, answer));
    }
    answers
}

/// What no journal remembers: who is connected, and how long runs took lately.
const VOLATILE: [&str; 4] = ["connected", "slots", "busy", "runtime_ms"];

fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            fields.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// To a sliver: sled writes little here, and the rest of the file is room.
fn truncate(sled: &Path) {
    let file = largest(sled);
    let part = written(&fs::read(&file).unwrap()) / 64;
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(part).unwrap();
}

fn flip(sled: &Path, dice: &mut Dice) {
    let file = largest(sled);
    let mut bytes = fs::read(&file).unwrap();
    let used = written(&bytes);
    for _ in 0..FLIPPED_BYTES {
        bytes[usize::try_from(dice.below(used)).unwrap()] ^= 1 << dice.below(8);
    }
    fs::write(file, bytes).unwrap();
}

fn written(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn largest(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
    files.filter(|path| path.is_file()).max_by_key(bytes).expect("sled has files")
}
