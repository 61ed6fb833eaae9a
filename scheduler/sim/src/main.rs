//! `cargo sim`: see `--help`.
fn main() {
    let from: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(1);
    if n == 1 {
        let e = quorate_sim::run::seed(from, true, None);
        for l in &e.story { println!("{l}"); }
        println!("{:?}", e.violation);
        for (n, c) in e.tally.iter() { println!("{c:>8} {n}"); }
        return;
    }
    quorate_sim::run::keep_panics();
    let t = std::time::Instant::now();
    let r = quorate_sim::run::run(quorate_sim::run::Order { from, seeds: n, threads: 2, bug: None, first: false }, || true, |_| {});
    for f in &r.failures { println!("{} at {}: {}: {}", f.seed, f.at_ms, f.violation.law, f.violation.what.chars().take(300).collect::<String>()); }
    for (n, c) in r.tally.iter() { println!("{c:>8} {n}"); }
    println!("{} seeds, {} failures, {:?}", r.seeds, r.failures.len(), t.elapsed());
}
