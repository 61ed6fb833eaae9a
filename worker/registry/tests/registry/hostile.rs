//! What a registry may do to who asks it: nothing that lasts.

use crate::strange::{Answer, Strange, head, http};
use quorate_common::{digest::Digest, image::Part};
use quorate_registry::{Reference, Registries, RegistryError, Repository, resolve};
use std::{path::PathBuf, time::Duration};

const BYTES: &[u8] = b"the bytes of a layer, as they were signed";

fn part() -> Part {
    Part { digest: Digest::of(BYTES), bytes: BYTES.len() as u64 }
}

/// A listed registry's repository, and a file for what comes.
struct Place {
    repository: Repository,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new(listed: &[&Strange]) -> Self {
        let texts: Vec<_> = listed.iter().map(|it| format!("http://{}", it.name())).collect();
        let registries = Registries::listed(&texts).expect("a list");
        let repository = registries.open(&listed[0].name(), "team/app").expect("it is listed");
        let dir = tempfile::tempdir().expect("a folder");
        Self { repository, file: dir.path().join("blob"), _dir: dir }
    }

    async fn fetch(&self) -> Result<(), RegistryError> {
        self.repository.blob(part(), &self.file, &mut |_| Duration::ZERO).await
    }

    async fn refused(&self, expected: &str) -> RegistryError {
        let error = self.fetch().await.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(self.file.exists(), error.may_pass(), "only what may be gone on with stays");
        error
    }
}

/// One that gives everybody this answer.
async fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Strange {
    Strange::start(move |_| answer()).await
}

#[tokio::test]
async fn other_bytes_than_were_signed_are_not_kept() {
    let registry = always(|| http("200 OK", &[], &BYTES.to_ascii_uppercase())).await;
    let error = Place::new(&[&registry]).refused("are not its bytes").await;
    assert!(!error.may_pass());
}

#[tokio::test]
async fn a_body_without_end_ends_at_what_was_signed() {
    // With a length it admits to, and without any.
    let registry = always(|| Answer::Endless(head("200 OK", &[], 1 << 40))).await;
    Place::new(&[&registry]).refused("has more than 41 bytes").await;
    let bare = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let registry = always(move || Answer::Endless(bare.to_vec())).await;
    Place::new(&[&registry]).refused("has more than 41 bytes").await;
    // And a small document.
    let reference = Reference::parse(&format!("{}/team/app:1", registry.name())).expect("a name");
    let registries = Registries::one(&registry.name()).expect("a list");
    let error = resolve(&registries, &reference, "linux/amd64").await.expect_err("endless");
    assert!(
        error.to_string().contains("manifest 1 of team/app has more than 1048576 bytes"),
        "{error}"
    );
}

/// The metadata service of a cloud, the router, a service on this machine: nobody is asked there.
#[tokio::test]
async fn a_redirection_leads_to_no_private_address() {
    let victim = always(|| http("200 OK", &[], BYTES)).await;
    let inside = format!("http://{}/secret", victim.name());
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://192.168.1.1/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "http://registry.example/",
        "file:///etc/passwd",
        &inside,
    ] {
        let to = target.to_owned();
        let answer = move || http("307 Temporary Redirect", &[("Location", &to)], b"");
        let registry = always(answer).await;
        let error = Place::new(&[&registry]).refused(" leads to ").await;
        assert!(matches!(error, RegistryError::Forbidden { .. }), "{target}: {error}");
    }
    assert_eq!(victim.asked(), Vec::<String>::new());
    // The same place is asked where it is listed as an address.
    let registry = always(move || http("302 Found", &[("Location", &inside)], b"")).await;
    let place = Place::new(&[&registry, &victim]);
    place.fetch().await.expect("both are listed");
    assert_eq!(victim.asked().len(), 1);
}

#[tokio::test]
async fn one_that_leads_in_circles_is_left() {
    let registry = always(|| http("301 Moved Permanently", &[("Location", "/again")], b"")).await;
    Place::new(&[&registry]).refused("it leads on after 5 steps").await;
    assert_eq!(registry.asked().len(), 5);
    let registry = always(|| http("301 Moved Permanently", &[], b"")).await;
    Place::new(&[&registry]).refused("it leads nowhere").await;
}

#[tokio::test]
async fn one_that_wants_an_account_gets_none() {
    let challenge = |value: &'static str| {
        always(move || http("401 Unauthorized", &[("WWW-Authenticate", value)], b""))
    };
    let registry = challenge("Basic realm=\"x\"").await;
    Place::new(&[&registry]).refused("the registry asks for an account").await;
    let registry = challenge("Bearer realm=\"http://169.254.169.254/token\"").await;
    Place::new(&[&registry]).refused("leads to http://169.254.169.254").await;
    let registry = always(|| http("403 Forbidden", &[], b"")).await;
    Place::new(&[&registry]).refused("the registry asks for an account").await;
}

/// What public registries do, where one must ask for a token that everybody gets.
#[tokio::test]
async fn a_token_for_everybody_is_asked_for_and_goes_nowhere_else() {
    let storage = always(|| http("200 OK", &[], BYTES)).await;
    let elsewhere = format!("http://{}/blob", storage.name());
    let registry = Strange::start(move |head: &str| {
        let realm = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let asks = format!(
            "Bearer realm=\"http://{realm}/token\",service=\"s\",scope=\"repository:team/app:pull\""
        );
        if head.starts_with("GET /token?service=s&scope=repository%3Ateam%2Fapp%3Apull ") {
            http("200 OK", &[], br#"{"token":"everybodys"}"#)
        } else if head.contains("authorization: Bearer everybodys") {
            http("307 Temporary Redirect", &[("Location", &elsewhere)], b"")
        } else {
            http("401 Unauthorized", &[("WWW-Authenticate", &asks)], b"")
        }
    })
    .await;
    let place = Place::new(&[&registry, &storage]);
    place.fetch().await.expect("fetched");
    assert_eq!(std::fs::read(&place.file).expect("there"), BYTES);
    assert_eq!(registry.asked().len(), 3, "refused, a token, and with it");
    assert!(
        storage.asked().iter().all(|head| !head.contains("authorization")),
        "{:?}",
        storage.asked()
    );
}

#[tokio::test]
async fn a_broken_line_is_gone_on_with_from_where_it_broke() {
    const HALF: usize = 20;
    for knows_ranges in [true, false] {
        let registry = Strange::start(move |asked: &str| {
            let rest = asked.contains(&format!("range: bytes={HALF}-"));
            match (rest, knows_ranges) {
                (false, _) => Answer::Bytes(
                    [head("200 OK", &[], BYTES.len()), BYTES[..HALF].to_vec()].concat(),
                ),
                (true, true) => http("206 Partial Content", &[], &BYTES[HALF..]),
                (true, false) => http("200 OK", &[], BYTES),
            }
        })
        .await;
        let place = Place::new(&[&registry]);
        let error = place.fetch().await.expect_err("it breaks");
        assert!(error.may_pass(), "{error}");
        assert_eq!(std::fs::read(&place.file).expect("there"), &BYTES[..HALF]);
        place.fetch().await.expect("the rest comes");
        assert_eq!(std::fs::read(&place.file).expect("there"), BYTES);
        place.fetch().await.expect("nothing is missing");
        assert_eq!(registry.asked().len(), 2, "a whole file needs no registry");
    }
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_will_not() {
    let registry = always(|| http("503 Service Unavailable", &[], b"")).await;
    assert!(Place::new(&[&registry]).refused("503 Service Unavailable").await.may_pass());
    let registry = always(|| http("429 Too Many Requests", &[], b"")).await;
    assert!(Place::new(&[&registry]).refused("429 Too Many Requests").await.may_pass());
    let registry = always(|| http("404 Not Found", &[], b"")).await;
    assert!(!Place::new(&[&registry]).refused("is not there").await.may_pass());
}

/// What a name stands for is the registry's to say; what a digest stands for is not.
#[tokio::test]
async fn a_manifest_is_what_was_asked_for() {
    let config = br#"{"architecture":"amd64"}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{}","size":{}}},"layers":[]}}"#,
        Digest::of(config),
        config.len()
    );
    let index = |digest: Digest, architecture: &str| {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"digest":"sha256:{digest}","platform":{{"os":"linux","architecture":"{architecture}"}}}}]}}"#
        )
    };
    let right = index(Digest::of(manifest.as_bytes()), "amd64");
    let wrong = index(Digest::of(b"something else"), "amd64");
    let other = index(Digest::of(manifest.as_bytes()), "s390x");
    let circle = index(Digest::of(right.as_bytes()), "amd64");
    let (kept, rows) = (manifest.clone(), [right, wrong, other, circle]);
    let registry = Strange::start(move |head: &str| {
        let [right, wrong, other, circle] = &rows;
        let body = match head.split(' ').nth(1).and_then(|path| path.rsplit('/').next()) {
            Some("right") => right.as_bytes(),
            Some("wrong") => wrong.as_bytes(),
            Some("other") => other.as_bytes(),
            Some("circle") => circle.as_bytes(),
            Some("text") => b"hello",
            Some(name) if name == format!("sha256:{}", Digest::of(right.as_bytes())) => {
                right.as_bytes()
            }
            Some(name) if name == format!("sha256:{}", Digest::of(config)) => config,
            // Whatever else is asked for, also by another digest.
            _ => kept.as_bytes(),
        };
        http("200 OK", &[], body)
    })
    .await;
    let registries = Registries::one(&registry.name()).expect("a list");
    let ask = async |name: &str| {
        let reference =
            Reference::parse(&format!("{}/team/app{name}", registry.name())).expect(name);
        resolve(&registries, &reference, "linux/amd64").await
    };
    let found = ask(":right").await.expect("an image");
    assert_eq!(
        (found.image.manifest.as_str(), &found.config[..]),
        (manifest.as_str(), &config[..])
    );
    let refused = async |name: &str, expected: &str| {
        let error = ask(name).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(":other", "manifest other is for linux/s390x; expected linux/amd64").await;
    refused(":wrong", "are not its bytes").await;
    refused(&format!("@sha256:{}", Digest::of(b"x")), "are not its bytes").await;
    refused(":text", "is no manifest").await;
    refused(":circle", "not an index of several").await;
}
