//! The updater on a real disk and a real line: every moment at which it can stop, full disks, other people's
//! files, links, endless and broken sources.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/publisher.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod publisher;
#[path = "support/site.rs"]
mod site;

use publisher::{key, version};
use quorate_update::{
    Folder, PROGRAM, Source, Step, UpdateError, Updater,
    rules::{Effect, Input, Me, Mode, Refusal},
};
use site::{Site, Web};
use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const PROGRAM_BYTES: usize = 300_000;

fn me(mode: Mode) -> Me {
    Me { platform: quorate_update::platform(), ..publisher::me_with(&key(7), "0.1.0", mode) }
}

fn updater(folder: Folder, source: &str, site: &Site) -> Updater {
    let source = Source::parse(source).unwrap();
    Updater::new(folder, source, &site.root(), me(Mode::Apply)).unwrap()
}

/// Looks, fetches, applies, and starts as a launcher would.
async fn whole(folder: Folder, source: &str, site: &Site) -> Result<(), UpdateError> {
    let source = Source::parse(source)?;
    let updater = Updater::new(folder.clone(), source, &site.root(), me(Mode::Apply))?;
    for effect in updater.check().await? {
        match effect {
            Effect::Fetch(version, file) => updater.fetch(version, file).await?,
            Effect::Tell(_) | Effect::Switch | Effect::Run { .. } => {}
        }
    }
    let state = updater.state()?;
    if state.current.is_none() {
        updater.tell(Input::Apply)?;
        updater.tell(Input::Start { own: version("0.1.0") })?;
        updater.settle()?;
    }
    let current = updater.state()?.current.unwrap();
    updater.tell(Input::CameUp(current))?;
    updater.settle()
}

fn runs(folder: &Folder, text: &str) -> bool {
    let state = folder.load().unwrap().unwrap();
    let Some(current) = state.current.filter(|current| *current == version(text)) else {
        return false;
    };
    let link = fs::read_link(folder.dir().join("current")).unwrap();
    assert_eq!(link, Path::new(text));
    folder.program(&current, &state.kept[&current].file).is_ok() && state.trial.is_none()
}

#[tokio::test]
async fn stopped_at_every_step_it_goes_on_and_never_runs_half_a_program() {
    let mut stops = 0;
    loop {
        let site = Site::new();
        site.publish("0.2.0", 1, &vec![7; PROGRAM_BYTES]);
        let dir = tempfile::tempdir().unwrap();
        let versions = dir.path().join("versions");
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), stops);
        let counted = Arc::clone(&count);
        let hook = Arc::new(move |step: Step| match counted.fetch_add(1, Ordering::Relaxed) {
            n if n == stop => Err(io::Error::other(format!("stopped at {step:?}"))),
            _ => Ok(()),
        });
        let folder = Folder::open_with(&versions, Some(hook)).unwrap();
        let outcome = whole(folder, &site.path(), &site).await;
        // Whatever it was: if there is a state, what it wants to run is there, whole.
        let after = Folder::open(&versions).unwrap();
        if let Some(state) = after.load().unwrap() {
            for (version, kept) in &state.kept {
                after.program(version, &kept.file).unwrap();
            }
        }
        whole(after.clone(), &site.path(), &site).await.unwrap();
        assert!(runs(&after, "0.2.0"), "stopped at step {stop}");
        assert_eq!(fs::read_dir(versions.join("incoming")).unwrap().count(), 0);
        if outcome.is_ok() {
            assert!(count.load(Ordering::Relaxed) <= stop);
            break;
        }
        stops += 1;
    }
    assert!(stops >= 15, "only {stops} steps");
}

#[tokio::test]
async fn versions_that_are_of_no_use_are_removed_and_nothing_else() {
    let site = Site::new();
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    for (n, text) in ["0.2.0", "0.3.0", "0.4.0"].into_iter().enumerate() {
        site.publish(text, n as u64 + 1, text.as_bytes());
        let updater = updater(folder.clone(), &site.path(), &site);
        for effect in updater.check().await.unwrap() {
            if let Effect::Fetch(version, file) = effect {
                updater.fetch(version, file).await.unwrap();
            }
        }
        updater.tell(Input::Apply).unwrap();
        updater.tell(Input::Start { own: version("0.1.0") }).unwrap();
        updater.tell(Input::CameUp(version(text))).unwrap();
        fs::create_dir_all(dir.path().join("mine")).unwrap();
        updater.settle().unwrap();
    }
    let names = ["0.2.0", "0.3.0", "0.4.0", "mine"].map(|name| dir.path().join(name).exists());
    assert_eq!(names, [false, true, true, true]);
    // And back by the owner's word.
    let updater = updater(folder.clone(), &site.path(), &site);
    assert_eq!(updater.tell(Input::RollBack).unwrap(), [Effect::Switch]);
    let run = updater.tell(Input::Start { own: version("0.1.0") }).unwrap();
    assert_eq!(run, [Effect::Run { version: Some(version("0.3.0")), on_trial: false }]);
    let again = updater.tell(Input::RollBack).unwrap_err();
    assert!(again.to_string().starts_with("there is nothing to roll back to"), "{again}");
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_is_said() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        let site = Site::new();
        site.publish("0.2.0", 1, &vec![7; PROGRAM_BYTES]);
        let dir = tempfile::tempdir().unwrap();
        let hook =
            Arc::new(
                move |step: Step| {
                    if step == Step::Received { Err(io::Error::from(kind)) } else { Ok(()) }
                },
            );
        let folder = Folder::open_with(dir.path(), Some(hook)).unwrap();
        let error = whole(folder, &site.path(), &site).await.unwrap_err();
        assert!(matches!(&error, UpdateError::Disk { source, .. } if source.kind() == kind));
        assert!(error.is_passing());
        let incoming = fs::read_dir(dir.path().join("incoming")).unwrap().count();
        assert_eq!(incoming, 0, "a full disk is given back what the update took");
    }
}

#[tokio::test]
async fn what_others_could_have_written_is_not_started() {
    let site = Site::new();
    site.publish("0.2.0", 1, b"program");
    let dir = tempfile::tempdir().unwrap();
    let versions = dir.path().join("versions");
    let folder = Folder::open(&versions).unwrap();
    whole(folder.clone(), &site.path(), &site).await.unwrap();
    let file = folder.load().unwrap().unwrap().kept[&version("0.2.0")].file;
    let place = versions.join("0.2.0");
    let program = place.join(PROGRAM);
    let check = |why: &str| {
        let error = folder.program(&version("0.2.0"), &file).unwrap_err();
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains(why), "{text}");
    };
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };

    mode(&program, 0o722);
    check("mode 722 lets others write it");
    mode(&program, 0o700);
    mode(&place, 0o770);
    check("mode 770 lets others write it");
    mode(&place, 0o700);
    fs::hard_link(&program, versions.join("second")).unwrap();
    check("has 2 names");
    fs::remove_file(versions.join("second")).unwrap();
    folder.program(&version("0.2.0"), &file).unwrap();

    // Links: of the file, of its folder, of the folder of versions.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::rename(&program, other.join(PROGRAM)).unwrap();
    symlink(other.join(PROGRAM), &program).unwrap();
    check("FilesystemLoop");
    fs::remove_dir_all(&place).unwrap();
    symlink(&other, &place).unwrap();
    check("is a link or file where a folder is expected");
    fs::remove_file(&place).unwrap();
    check("NotFound");
    symlink(&versions, dir.path().join("link")).unwrap();
    let error = Folder::open(&dir.path().join("link")).unwrap_err();
    assert!(error.to_string().contains("is a link or file"), "{error}");
    mode(&versions, 0o777);
    assert!(Folder::open(&versions).is_err());
    mode(&versions, 0o700);

    // The same name with other bytes.
    fs::create_dir(&place).unwrap();
    mode(&place, 0o700);
    fs::write(&program, b"another").unwrap();
    check("has other bytes than the release says");
}

#[test]
fn another_users_file_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    // The state of another user is not read either. Without the right to give files away, nobody else can
    // have put one here, and the kernel says so.
    fs::write(dir.path().join("state.json"), "{}").unwrap();
    match std::os::unix::fs::chown(dir.path().join("state.json"), Some(12_345), None) {
        Ok(()) => {
            let error = folder.load().unwrap_err();
            assert!(error.to_string().contains("belongs to user 12345"), "{error}");
        }
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
    }
}

#[tokio::test]
async fn a_link_in_the_way_of_what_comes_is_not_followed() {
    let site = Site::new();
    let file = site.publish("0.2.0", 1, b"program");
    let dir = tempfile::tempdir().unwrap();
    let versions = dir.path().join("versions");
    let folder = Folder::open(&versions).unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, versions.join("incoming").join(file.sha256.to_string())).unwrap();
    symlink(&victim, versions.join("state.json.new")).unwrap();
    symlink(&victim, versions.join("current.new")).unwrap();
    let error = whole(folder.clone(), &site.path(), &site).await.unwrap_err();
    assert!(matches!(error, UpdateError::Disk { verb: "written", .. }), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    fs::remove_file(versions.join("incoming").join(file.sha256.to_string())).unwrap();
    whole(folder.clone(), &site.path(), &site).await.unwrap();
    assert!(runs(&folder, "0.2.0"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[tokio::test]
async fn a_broken_line_is_taken_up_where_it_broke() {
    let site = Site::new();
    let program: Vec<u8> = (0..PROGRAM_BYTES).map(|n| (n % 251) as u8).collect();
    site.publish("0.2.0", 1, &program);
    for ranges in [true, false] {
        let web = Web::serve(site.dir(), ranges, Some(100_000), 0).await;
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let error = whole(folder.clone(), &web.url(), &site).await.unwrap_err();
        assert!(matches!(error, UpdateError::Unreachable { .. }), "{error}");
        web.mend();
        whole(folder.clone(), &web.url(), &site).await.unwrap();
        assert!(runs(&folder, "0.2.0"));
        let asked = web.asked();
        assert!(asked.iter().any(|from| *from > 0), "{asked:?}");
    }
}

#[tokio::test]
async fn endless_data_ends_at_what_was_signed() {
    let site = Site::new();
    site.publish("0.2.0", 1, &vec![7; PROGRAM_BYTES]);
    let web = Web::serve(site.dir(), true, None, 64 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let error = whole(folder, &web.url(), &site).await.unwrap_err();
    assert!(
        matches!(&error, UpdateError::Refused(Refusal::TooLong { what: "document", .. })),
        "{error}"
    );
    web.only_blobs_are_endless();
    let folder = Folder::open(dir.path()).unwrap();
    let error = whole(folder, &web.url(), &site).await.unwrap_err();
    assert!(
        matches!(&error, UpdateError::Refused(Refusal::TooLong { what: "the program", .. })),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
}

#[tokio::test]
async fn other_bytes_under_the_signed_name_are_refused_and_gone() {
    let site = Site::new();
    let file = site.publish("0.2.0", 1, b"good program");
    fs::write(site.dir().join("blobs").join(file.sha256.to_string()), b"evil program").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let error = whole(folder, &site.path(), &site).await.unwrap_err();
    assert!(matches!(error, UpdateError::WrongBytes { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    assert!(!dir.path().join("0.2.0").exists());
}

#[tokio::test]
async fn a_source_that_shows_less_than_before_is_named() {
    let site = Site::new();
    site.publish("0.3.0", 2, b"new");
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    updater(folder.clone(), &site.path(), &site).check().await.unwrap();
    site.publish("0.2.0", 1, b"old");
    let error = updater(folder.clone(), &site.path(), &site).check().await.unwrap_err();
    assert!(error.to_string().contains("may be rolling it back"), "{error}");
    // Another root is another publisher; its numbers begin anew.
    let other =
        Site::of(publisher::Publisher { keys: (20..25).map(key).collect(), ..site.publisher() });
    other.publish("0.2.0", 1, b"other");
    updater(folder, &other.path(), &other).check().await.unwrap();
}

#[test]
fn an_address_that_is_none_is_named() {
    let error = Source::parse("ftp://example.org").unwrap_err();
    assert!(error.to_string().contains("`update.url` is `ftp://example.org`"), "{error}");
}
