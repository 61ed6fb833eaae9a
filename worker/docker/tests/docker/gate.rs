//! The gate: open on an engine that keeps all limits, shut on one that does not, and it says which.

use crate::place::Place;

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
        } else {
            assert!(report.holds(), "{}: {broken:?}", place.name);
        }
    }
}
