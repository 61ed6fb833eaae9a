//! What all programs write into their logs, at the level where everything is logged, over a whole market: no key, no
//! password, no node's address with a key in it, in any spelling; and one word that finds a task's whole trip.
//! (`QUORATE_ANVIL` names the node's binary; without it the test says so and ends.)
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::Anvil;
use home::ENVIRONMENT;
use operator::Operator;
use quorate_chain::keystore::{Keystore, Password};
use requester::Requester;
use serde_json::Value;
use site::Site;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use volunteer::Volunteer;

const PASSWORD: &str = "a long password";
/// What a provider of nodes puts into its customers' addresses.
const NODE_KEY: &str = "s3cr3t-of-a-customer";
/// Letters of base64, to spell secrets with.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[tokio::test]
async fn no_secret_is_logged_and_one_word_follows_a_task() {
    ENVIRONMENT.set(vec![("QUORATE_LOG".into(), "trace".into())]).unwrap();
    let site = Site::new();
    let Some(mut anvil) = Anvil::start(&site).await else { return };
    anvil.url = format!("{}/?key={NODE_KEY}", anvil.url);
    let settings = ["batch.age_s=1", "log.format=json"];
    let mut operator = Operator::init(&site, &anvil, "operator", &settings).await;
    operator.serve().await;
    let invite = operator.invite().await;
    assert!(!invite.contains(NODE_KEY), "{invite}");
    let invite =
        format!("{invite}&rpc={}", anvil.url.split('/').take(3).collect::<Vec<_>>().join("/"));
    let mut volunteers = Vec::new();
    for n in 1..=3 {
        let mut volunteer = Volunteer::new(&site, &format!("volunteer-{n}"));
        volunteer.join_with_key(&operator, &anvil, &invite, &["--slots", "1"]).await;
        volunteer.start();
        volunteers.push(volunteer);
    }
    operator.has_workers(volunteers.len()).await;
    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    requester.run(&["wallet", "deposit", "1 QTT"]).await.expect(0);
    requester.home.file("exponents.txt", "2\n3\n5\n7\n11\n13\n");
    let module = requester::lucas_lehmer();
    let module = module.to_str().unwrap();
    let run = ["run", module, "--each-line", "exponents.txt", "-o", "out", "--trust", "5"];
    requester.run(&run).await.expect(0);
    for volunteer in &mut volunteers {
        assert_eq!(volunteer.end("TERM").await, 0);
    }
    assert_eq!(operator.end("TERM").await, 0);
    let logs = files(site.path(), &|path| has_ending(path, &["log", "out"]));
    // Not all that ends so is text; what is looked for is.
    let text = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let logs: Vec<(PathBuf, String)> =
        logs.into_iter().map(|path| (path.clone(), text(&path))).collect();
    nothing_is_told(&site, &logs);
    a_task_is_followed(&logs);
}

fn nothing_is_told(site: &Site, logs: &[(PathBuf, String)]) {
    let secrets = secrets(site.path());
    // Two of the pool's, its gas account's; a worker's two and its owner's, three times; the wallets'.
    assert!(secrets.len() >= 12, "only {} secrets were found to look for", secrets.len());
    let bytes: usize = logs.iter().map(|(_, text)| text.len()).sum();
    eprintln!("{} secrets looked for in {bytes} bytes of {} logs", secrets.len(), logs.len());
    assert!(bytes > 1 << 20, "everything was to be logged; there are {bytes} bytes");
    for (name, secret) in &secrets {
        for spelling in spellings(secret) {
            let mut planted = String::from("a line, ");
            planted += &spelling;
            assert!(planted.contains(&spelling));
            for (path, text) in logs {
                // Programs are told some of it on their command lines, which the test logs itself.
                let told = text
                    .lines()
                    .find(|line| line.contains(&spelling) && !line.contains("$ quorate"));
                assert!(told.is_none(), "{} tells {name}: {}", path.display(), told.unwrap());
            }
        }
    }
}

/// Every secret of everybody, with a name for it.
fn secrets(site: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![
        ("the password".to_owned(), PASSWORD.as_bytes().to_vec()),
        ("the node's key".to_owned(), NODE_KEY.as_bytes().to_vec()),
    ];
    for path in files(site, &|path| fs::metadata(path).is_ok_and(|file| file.len() <= 80)) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(secret) = hex::decode(text.trim()).ok().filter(|secret| secret.len() == 32) {
            found.push((path.display().to_string(), secret));
        }
    }
    let folders: BTreeSet<PathBuf> = files(site, &|path| has_ending(path, &["json"]))
        .iter()
        .filter_map(|path| Some(path.parent()?.to_owned()))
        .filter(|folder| folder.ends_with("wallets"))
        .collect();
    for folder in folders {
        let wallets = Keystore::at(&folder).unwrap();
        for entry in wallets.list().unwrap() {
            let signer = wallets.open(&entry.name, &Password::new(PASSWORD)).unwrap();
            found.push((format!("{}: {}", folder.display(), entry.name), signer.secret().to_vec()));
        }
    }
    found
}

/// How a secret may be written, whole or its first half: text, hex, base64, a list of numbers.
fn spellings(secret: &[u8]) -> Vec<String> {
    let half = &secret[..secret.len() / 2];
    let hex = hex::encode(half);
    let base64 = base64(half);
    // The last letter depends on what follows.
    let base64 = &base64[..base64.len() - 1];
    let numbers = half.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut all = vec![
        hex.to_uppercase(),
        hex,
        base64.to_owned(),
        base64.replace('+', "-").replace('/', "_"),
        numbers,
    ];
    all.extend(
        String::from_utf8(half.to_vec())
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')),
    );
    all
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for n in 0..=three.len() {
            text.push(char::from(LETTERS[(group >> (18 - 6 * n) & 63) as usize]));
        }
    }
    text
}

#[test]
fn secrets_are_spelt_as_they_would_be() {
    assert_eq!(base64(b"Man"), "TWFu");
    assert_eq!(base64(b"Ma"), "TWE");
    let spelt = spellings(&[0xfb; 32]);
    let mut hex = String::new();
    (0..16).for_each(|_| write!(hex, "fb").unwrap());
    assert_eq!(spelt[1], hex);
    assert!(spelt[4].starts_with("251, 251, "));
    assert!(spellings(b"a long password").contains(&"a long ".to_owned()));
}

/// The same word in the scheduler's lines and in those of the workers that had it.
fn a_task_is_followed(logs: &[(PathBuf, String)]) {
    let of = |name: &'static str| {
        logs.iter()
            .filter(move |(path, _)| path.file_name().unwrap().to_string_lossy().starts_with(name))
    };
    let (_, scheduler) = of("operator.log").next().unwrap();
    let lines: Vec<Value> =
        scheduler.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let fields = |said: &str| {
        lines
            .iter()
            .find(|line| line["fields"]["message"] == said)
            .map(|line| line["fields"].clone())
    };
    let deal =
        fields("deal opened").expect("a deal is logged")["deal"].as_str().unwrap().to_owned();
    let task = format!("{deal}/3");
    let trip: Vec<&str> = lines
        .iter()
        .filter(|line| line["fields"]["task"] == task.as_str())
        .filter_map(|line| line["fields"]["message"].as_str())
        .collect();
    for step in ["assigned", "commit heard", "commit set frozen", "reveal heard", "settled"] {
        assert!(trip.contains(&step), "{task} has no `{step}` in {trip:?}");
    }
    let word = format!("task={task} ");
    let workers: Vec<&str> = of("volunteer")
        .flat_map(|(_, text)| text.lines())
        .filter(|line| line.contains(&word))
        .collect();
    for step in ["running", "committing", "revealing"] {
        assert!(
            workers.iter().any(|line| line.contains(step)),
            "{task} has no `{step}` in {workers:?}"
        );
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|one| ending == *one))
}

/// Every file below a folder that is wanted.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path, wanted)),
            false if wanted(&path) => found.push(path),
            false => {}
        }
    }
    found
}
