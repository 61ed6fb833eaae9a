//! Compiled code on disk: loaded when it is this engine's own, compiled again when it is anything else.

use crate::programs::LUCAS_LEHMER;
use crate::rig::{cached_engine, engine, job, run, wasm};
use quorate_worker::engine::{Engine, EngineConfig, Job};
use std::path::Path;

#[test]
fn a_cached_module_is_loaded_and_a_damaged_one_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("modules");
    let bytes = LUCAS_LEHMER;
    let task = || Job { args: vec!["127".into()], ..job() };
    let direct = run(&engine().prepare(bytes).unwrap(), task());
    let cached = || run(&cached_engine(&cache).prepare(bytes).unwrap(), task()).manifest;
    assert_eq!(cached(), direct.manifest);
    let file = compiled_file(&cache);
    let good = std::fs::read(&file).unwrap();

    // Loaded, not written again: the file keeps its inode time even when it is checked.
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(cached(), direct.manifest);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written);

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&flipped[..], &good[..good.len() / 2], &good[..10], b""] {
        std::fs::write(&file, bad).unwrap();
        assert_eq!(cached(), direct.manifest);
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len(), "it was not written again");
    }

    // Another module's authentic file under this module's name is foreign too.
    let other = wasm(r#"(module (func (export "_start") unreachable))"#);
    cached_engine(&cache).prepare(&other).unwrap();
    let theirs = compiled_files(&cache).into_iter().find(|path| *path != file).unwrap();
    std::fs::copy(&theirs, &file).unwrap();
    assert_eq!(cached(), direct.manifest);

    // A new key makes every file foreign.
    std::fs::write(cache.join("key"), b"short").unwrap();
    assert_eq!(cached(), direct.manifest);
    assert_eq!(std::fs::read(cache.join("key")).unwrap().len(), 32);
}

fn compiled_files(cache: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "module")).collect()
}

fn compiled_file(cache: &Path) -> std::path::PathBuf {
    let files = compiled_files(cache);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[cfg(unix)]
#[test]
fn the_cache_is_this_users_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("new/modules");
    cached_engine(&cache).prepare(&wasm(r#"(module (func (export "_start")))"#)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
    assert_eq!(mode(&compiled_file(&cache)), 0o600);
    // A folder that others can write to is refused, and left as it is.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = EngineConfig { cache_dir: Some(cache.clone()), ..EngineConfig::default() };
    let error = Engine::new(config).unwrap_err().to_string();
    assert!(error.ends_with("others may write to it, expected mode 0700"), "{error}");
    assert_eq!(mode(&cache), 0o777);
}

#[test]
fn a_cache_that_is_no_folder_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config =
        EngineConfig { cache_dir: Some(file.path().to_owned()), ..EngineConfig::default() };
    let error = Engine::new(config).unwrap_err().to_string();
    assert!(
        error.contains(&format!("the cache folder {:?} cannot be used", file.path())),
        "{error}"
    );
}
