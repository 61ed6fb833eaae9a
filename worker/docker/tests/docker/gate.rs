//! The gate: open on an engine that keeps all limits, shut on one that does not, and it says which.

use crate::place::{FOLDERS, LIMITS, Place, busybox, label, read_as, saved};
use quorate_docker::{Engine, Stop, Task};
use std::{fs, path::Path};

/// What Podman 4 as root lacks: it mounts volumes anew without `noexec`, its filter lets user namespaces and the
/// kernel's keys through, and on control groups of version 1 it does not tell memory's end from a kill.
const PODMAN_LACKS: [&str; 5] = [
    "refused: it succeeded, expected a program in /tmp",
    "refused: it succeeded, expected a program in the output",
    "refused: it succeeded, expected a user namespace",
    "refused: it succeeded, expected the call keyctl",
    "memory: it was killed from outside, or killed itself with SIGKILL, expected a program that takes twice as \
     much is killed, and it is said why",
];

#[test]
fn the_gate_is_open_where_every_limit_holds_and_nowhere_else() {
    for place in Place::all("gate") {
        let report = place.engine.gate().expect("probes run");
        println!("{} on {:?}\n{report}", place.name, place.engine.about());
        let broken: Vec<String> = report.broken().collect();
        assert_eq!(report.holds(), broken.is_empty());
        if place.is_podman() {
            let unknown: Vec<_> =
                broken.iter().filter(|finding| !PODMAN_LACKS.contains(&finding.as_str())).collect();
            assert!(unknown.is_empty(), "{}: {unknown:?}", place.name);
            // On control groups of version 1 it stays shut, and says for what.
            let says_why = broken.iter().any(|finding| finding == PODMAN_LACKS[4]);
            assert!(place.engine.about().cgroups == 2 || says_why, "{}: {broken:?}", place.name);
        } else {
            assert!(report.holds(), "{}: {broken:?}", place.name);
        }
    }
}

/// The engine that `QUORATE_TEST_RUNSC` names has a runtime of gVisor's name, which writes down what it is asked.
#[test]
fn an_engine_that_has_runsc_is_asked_for_it() {
    let Ok(socket) = std::env::var("QUORATE_TEST_RUNSC") else {
        assert!(std::env::var_os("CI").is_none(), "QUORATE_TEST_RUNSC names no engine");
        eprintln!("NOT TESTED: QUORATE_TEST_RUNSC names no engine; deploy/test starts one");
        return;
    };
    let worker = label("runsc", std::process::id());
    let engine = Engine::connect(Some(Path::new(&socket)), &worker).expect("an engine");
    assert_eq!(engine.about().runtime, "runsc");
    engine.begin().expect("our own image loads");
    let image = read_as(&saved(&busybox(), "{}"), &worker).expect("an image");
    engine.prepare(&image).expect("it loads");
    let log = Path::new(&socket).with_file_name("runsc.log");
    let created =
        || fs::read_to_string(&log).unwrap_or_default().matches("create --bundle").count();
    let before = created();
    let args = ["/bin/busybox", "sh", "-c", "echo fine"].map(str::to_owned).into();
    let (env, stdin, inputs) = (Vec::new(), Vec::new(), Vec::new());
    let (limits, hold) = (LIMITS, Default::default());
    let task = Task { image: image.id, args, env, stdin, inputs, folders: FOLDERS, limits, hold };
    let outcome = engine.run(task, Stop::default()).expect("an outcome");
    assert_eq!(outcome.stdout, b"fine\n");
    assert!(created() > before, "no container was made by runsc");
    engine.sweep().expect("swept");
}
