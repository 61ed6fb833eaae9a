//! What an operator does to a running pool: copies of its disk while it works, a way back from one, a drain
//! before the end; and what it is told when its settings are wrong.

use super::{
    chain::OtherChain,
    script::{End, Script, TASKS},
    stage::{Cast, Program, command, said, words},
};
use serde_json::Value;
use std::{fs, path::Path, process::ExitStatus, sync::Arc};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const WORKERS: u8 = 3;
/// Exit codes: the command line, something missing, a conflict, a bad backup or warnings.
const USAGE: i32 = 2;
const CONFLICT: i32 = 8;
const FAILED: i32 = 10;

/// A pool on a chain of its own.
struct Pool {
    data: TempDir,
    set: Arc<[String]>,
    cast: Cast,
    program: Option<Program>,
}

impl Pool {
    async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (chain, cast) = OtherChain::start(data.path(), WORKERS).await;
        let set = chain.settings(&cast).into();
        let mut pool = Self { data, set, cast, program: None };
        let program = pool.serve(pool.data.path());
        pool.program = Some(program.unwrap_or_else(|s| panic!("{s}: {}", said(pool.data.path()))));
        pool.program().knows(&pool.cast.members).await;
        pool
    }

    fn serve(&self, data: &Path) -> Result<Program, ExitStatus> {
        let set: Vec<&str> = self.set.iter().map(String::as_str).collect();
        Program::serve(data, &[], &set)
    }

    fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }

    fn end(&mut self) {
        assert!(self.program.take().unwrap().end().success());
    }

    /// Runs a command beside it, as another program.
    async fn beside(&self, line: String) -> Result<Value, String> {
        let (data, set) = (self.data.path().to_owned(), Arc::clone(&self.set));
        let run = move || {
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            command(&data, &set, &line)
        };
        spawn_blocking(run).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_it_works_brings_the_pool_back_unless_it_is_old() {
    let mut pool = Pool::open().await;
    let shelf = tempfile::tempdir().unwrap();
    let place = |name: &str| shelf.path().join(name);
    let mut script = Script::new(&pool.cast);
    let backups = async {
        for n in 0..4 {
            let made =
                pool.beside(format!("backup create {}", place(&n.to_string()).display())).await;
            made.unwrap_or_else(|said| panic!("backup {n}: {said}"));
        }
    };
    let (end, ()) = tokio::join!(script.play_to(pool.program(), &pool.cast, 10), backups);
    assert_eq!(end, End::Done);
    script.leave();
    pool.program().batches_are_committed(10).await;
    // Quiet: what is on disk is all there is.
    let last = place("last");
    pool.beside(format!("backup create {}", last.display())).await.unwrap();
    pool.end();
    for backup in ["0", "1", "2", "3", "last"].map(place) {
        let good = pool.beside(format!("backup verify {}", backup.display())).await;
        assert_eq!(good.unwrap()["result"], "good");
    }
    let set: Vec<&str> = pool.set.iter().map(String::as_str).collect();
    let now = command(pool.data.path(), &set, "replay").unwrap();
    let home = place("home");
    command(&home, &set, &format!("backup restore {}", last.display())).unwrap();
    assert_eq!(command(&home, &set, "replay").unwrap(), now);
    // An old one is known by the chain: batches were signed since.
    let old = place("old");
    command(&old, &set, &format!("backup restore {}", place("0").display())).unwrap();
    let status = pool.serve(&old).err().expect("it must not open its doors");
    assert_eq!(status.code(), Some(CONFLICT), "{}", said(&old));
    assert!(said(&old).contains("an old disk was restored"), "{}", said(&old));
    // The newest goes on where the other stopped, on another machine, for all it matters.
    let program = pool.serve(&home).unwrap_or_else(|s| panic!("{s}: {}", said(&home)));
    assert_eq!(script.play(&program, &pool.cast).await, End::Done);
    script.promises.are_kept(&program, &script.pool.unwrap(), TASKS).await;
    damage_is_found(&pool, &last);
}

fn damage_is_found(pool: &Pool, backup: &Path) {
    let set: Vec<&str> = pool.set.iter().map(String::as_str).collect();
    let verify = |what: &str| {
        let line = ["backup", "verify", backup.to_str().unwrap()];
        let (code, _, said) = words(pool.data.path(), &set, &line);
        assert_eq!(code, Some(FAILED), "{what}: {said}");
        said
    };
    fs::write(backup.join("stranger"), "x").unwrap();
    assert!(verify("a stranger").contains("not in the backup's list"));
    fs::remove_file(backup.join("stranger")).unwrap();
    let key = backup.join("keys/signer.key");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, text.replace(&text[..1], "g")).unwrap();
    assert!(verify("a changed key").contains("keys/signer.key: sha256"));
    fs::remove_file(&key).unwrap();
    assert!(verify("a lost key").contains("keys/signer.key"));
    // Nothing of a bad backup is put anywhere, and nothing over what is there.
    let target = pool.data.path().join("new");
    let line = ["backup", "restore", backup.to_str().unwrap()];
    assert_eq!(words(&target, &set, &line).0, Some(FAILED));
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_is_open_takes_nothing_new_and_ends() {
    let mut pool = Pool::open().await;
    let mut script = Script::new(&pool.cast);
    // In the middle of the first order, three tasks in an open batch.
    assert_eq!(script.play_to(pool.program(), &pool.cast, 3).await, End::Done);
    let drain = pool.beside("drain --timeout 60".into());
    let rest = async {
        let program = pool.program();
        program
            .until("the drain to be heard", async || {
                let status = pool.beside("status".into()).await.unwrap();
                (status["draining"] == true).then_some(())
            })
            .await;
        let (status, placed) = program.place(&pool.cast.requester, 1, 9).await.unwrap();
        assert!(status == 409 && placed.text.contains("takes no new orders"), "{}", placed.text);
        // What was taken before goes on, asked for again or not.
        script.play_to(program, &pool.cast, 10).await
    };
    let (drained, end) = tokio::join!(drain, rest);
    assert_eq!(end, End::Done);
    let drained = drained.unwrap_or_else(|said| panic!("{said}"));
    assert_eq!((&drained["stopped"], &drained["remaining"]["tasks"]), (&true.into(), &0.into()));
    assert!(pool.program.take().unwrap().ended().success());
    assert!(!pool.data.path().join("control.sock").exists());
    // Two batches of four and one of two, all on chain: nobody is owed anything that is not there.
    let program = pool.serve(pool.data.path()).unwrap();
    let list = program.get("/v1/batches").await.unwrap();
    let states: Vec<&str> =
        list["batches"].as_array().unwrap().iter().map(|b| b["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["committed"; 3], "{list}");
    assert!(program.end().success());
    let nobody = pool.beside("drain".into()).await.expect_err("nobody is there");
    assert!(nobody.contains("no scheduler serves"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_by_file_line_key_value_and_expectation() {
    let mut pool = Pool::open().await;
    pool.end();
    let data = pool.data.path();
    let refused = |text: &str, code: i32| {
        fs::write(data.join("quorate.toml"), text).unwrap();
        let (found, _, said) = words(data, &[], &["check"]);
        let (served, _, says) = words(data, &[], &["serve"]);
        assert_eq!(served, Some(code), "{text}: {says}");
        (found, format!("{said}\n{says}"))
    };
    let (_, slip) = refused("[batch]\ntask = 5\n", USAGE);
    for word in
        ["quorate.toml:2: unknown key `batch.task`; did you mean `batch.tasks`?", "set up wrongly"]
    {
        assert!(slip.contains(word), "no `{word}` in {slip}");
    }
    let (_, range) = refused("\n[pool]\nstake_ratio = 101\n", USAGE);
    assert!(
        range.contains("quorate.toml:3: `pool.stake_ratio` is 101; expected a whole number"),
        "{range}"
    );
    let contract = "0x00000000000000000000000000000000000000aa";
    let url = pool.set.iter().find_map(|pair| pair.strip_prefix("chain.url=")).unwrap();
    let on = |rest: &str| format!("[chain]\npreset = \"dev\"\nurl = \"{url}\"\n{rest}");
    let (found, none) =
        refused(&on(&format!("contract = \"{contract}\"\n[pool]\nid = 1\n")), USAGE);
    assert!(
        none.contains(&format!("quorate.toml:4: `chain.contract` is \\\"{contract}\\\"")),
        "{none}"
    );
    assert!(found == Some(1) && none.contains("there is no code"), "{none}");
    // What is nobody's mistake is told apart: the same settings, and a node that is down.
    let down = "[chain]\npreset = \"dev\"\nurl = \"http://127.0.0.1:9/secret-key\"\n\
                contract = \"0x00000000000000000000000000000000000000aa\"\n[pool]\nid = 1\n";
    let (_, luck) = refused(down, 9);
    assert!(luck.contains("this may pass") && !luck.contains("secret-key"), "{luck}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_newer_release_is_refused_and_left_alone() {
    let mut pool = Pool::open().await;
    pool.end();
    let path = pool.data.path().join("format.json");
    let format: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let newer = serde_json::json!({
        "schema": format["schema"], "format": format["format"].as_u64().unwrap() + 1, "release": "9.0.0",
    });
    fs::write(&path, newer.to_string()).unwrap();
    let status = pool.serve(pool.data.path()).err().expect("it must not open its doors");
    assert_eq!(status.code(), Some(CONFLICT));
    let said = said(pool.data.path());
    assert!(said.contains("run release 9.0.0 or later"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), newer.to_string().into_bytes());
}
