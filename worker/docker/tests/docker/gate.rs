//! The gate on an engine that keeps all limits.

use crate::place::Place;

#[test]
fn every_limit_holds_on_an_ordinary_engine() {
    for place in Place::all("gate") {
        let report = place.engine.gate().expect("probes run");
        println!("{} on {:?}\n{report}", place.name, place.engine.about());
        assert!(report.holds(), "{}: {:?}", place.name, report.broken().collect::<Vec<_>>());
    }
}
