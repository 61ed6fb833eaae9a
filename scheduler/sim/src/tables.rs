//! What trust costs, measured: how many settled results are wrong and how many replicas a task takes,
//! under several rules and several kinds of saboteurs. Our own rules are the production grid's; what
//! peers do is written out in `peers`. What comes of it is discussed in `scheduler/docs/trust.md`.

mod crowd;
mod dice;
mod peers;
mod pool;
mod table;

use crowd::{Crowd, Ways};
use dice::{Dice, MILLION};
use quorate_grid::{credibility::Promise, policy::Policy};
use std::{
    fmt,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
    thread,
};
pub use table::Table;

/// The seed of the committed tables.
pub const SEED: u64 = 2026;
/// Trust of a deal whose pool makes a promise: one vote decides, and the promise asks for the rest.
const TRUST_OF_PROMISE: u32 = 2;
/// Lying rates among a million: with the worst for any number of checks among them.
const RATES: [u32; 8] = [10_000, 20_000, 50_000, 100_000, 200_000, 300_000, 500_000, MILLION];
/// Fractions of saboteurs among a million.
const FAULTY: [u32; 3] = [50_000, 200_000, 350_000];
/// Those of the goals.
const COMPARED: [u32; 2] = [50_000, 200_000];
/// Pools: many workers that do little, few that do much.
const SHORT: Size = Size { workers: 200, tasks: 10_000, runs: 5 };
const LONG: Size = Size { workers: 100, tasks: 50_000, runs: 2 };

/// Workers and tasks.
#[derive(Clone, Copy, Debug)]
struct Size {
    workers: u32,
    tasks: u32,
    /// Runs of which a row about our own rules is the mean.
    runs: u32,
}

/// How results are accepted.
#[derive(Clone, Copy, Debug)]
enum Rule {
    MFirst(usize),
    Boinc,
    Poco(u32),
    Ours(Promise),
}

/// What came of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Score {
    tasks: u32,
    /// Tasks settled with a wrong result.
    wrong: u32,
    /// Tasks that ended without a result.
    none: u32,
    replicas: u64,
    /// How long a task's first answer waited to be final, in times of a task.
    wait_tasks: f64,
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Cell {
    rule: Rule,
    crowd: Crowd,
    tasks: u32,
    seed: u64,
}

/// Makes one table.
type Maker = fn(u64) -> Table;

/// Every table, in the order they are printed.
const MAKERS: [Maker; 7] = [
    |seed| closed_form(seed, 200_000),
    |seed| compared(seed, SHORT),
    |seed| every_rate(seed, SHORT, &COMPARED, &RATES),
    |seed| other_ways(seed, SHORT),
    |seed| compared(seed, LONG),
    |seed| every_rate(seed, LONG, &COMPARED, &RATES),
    |seed| other_ways(seed, LONG),
];

/// How many tables there are.
pub const TABLES: usize = MAKERS.len();

/// Every table, in minutes; or the one of this number, counted from 1.
pub fn all(seed: u64, only: Option<usize>) -> Vec<Table> {
    let wanted = |number: &usize| only.is_none_or(|only| only == *number);
    let makers = MAKERS.iter().zip(1..).filter(|(_, number)| wanted(number));
    makers.map(|(maker, _)| maker(seed)).collect()
}

/// A part of the same, in seconds.
pub fn quick(seed: u64) -> Vec<Table> {
    vec![closed_form(seed, 200_000), every_rate(seed, SHORT, &COMPARED, &[100_000])]
}

/// m-first voting against its closed form: the crowd and the counting are right.
fn closed_form(seed: u64, tasks: u32) -> Table {
    // Of so many workers, who is drawn hardly changes who is left: the closed form draws with return.
    let crowd =
        Crowd { workers: 100_000, faulty_ppm: 350_000, lies_ppm: MILLION, ways: Ways::Together };
    let most = [1, 3, 15, 29, 51];
    let cells = most.map(|m| Cell { rule: Rule::MFirst(m), crowd, tasks, seed });
    let mut table = Table::new(
        "m-first voting, 35 % of the workers wrong",
        &["m", "wrong, closed form", "wrong, measured", "replicas a task"],
    );
    for (m, score) in most.iter().zip(measure(&cells)) {
        let exact = Percent(m_first_error(*m, 0.35));
        table.row([
            m.to_string(),
            exact.to_string(),
            score.error().to_string(),
            format!("{:.2}", score.slowdown()),
        ]);
    }
    table
}

/// `sum over j from m to 2m - 1 of C(2m - 1, j) x^j (1 - x)^(2m - 1 - j)`.
fn m_first_error(m: usize, x: f64) -> f64 {
    let n = 2 * m - 1;
    let mut term = (1.0 - x).powi(i32::try_from(n).expect("small"));
    let mut sum = 0.0;
    for j in 0..=n {
        if j >= m {
            sum += term;
        }
        term *= (n - j) as f64 / (j + 1) as f64 * x / (1.0 - x);
    }
    sum
}

/// Every rule against the same saboteurs.
fn compared(seed: u64, size: Size) -> Table {
    let rules = |faulty_ppm| {
        [
            Rule::MFirst(1),
            Rule::MFirst(2),
            Rule::MFirst(3),
            Rule::Boinc,
            Rule::Poco(10),
            Rule::Poco(100),
            Rule::Ours(Promise { faulty_ppm, ..Promise::ONE_PERCENT }),
        ]
    };
    let mut crowds = Vec::new();
    for faulty_ppm in FAULTY {
        for ways in [Ways::Together, Ways::Alone] {
            for lies_ppm in [MILLION, 300_000] {
                crowds.push(Crowd { workers: size.workers, faulty_ppm, lies_ppm, ways });
            }
        }
    }
    let cell = |crowd: Crowd| {
        rules(crowd.faulty_ppm).map(|rule| Cell { rule, crowd, tasks: size.tasks, seed })
    };
    let cells: Vec<Cell> = crowds.iter().copied().flat_map(cell).collect();
    let scores = measure(&cells);
    let mut table = Table::new(
        &format!("wrong results and replicas a task: {size}"),
        &[
            "saboteurs",
            "lies",
            "one replica",
            "2-first",
            "3-first",
            "BOINC adaptive",
            "PoCo, trust 10",
            "PoCo, trust 100",
            "promise of 1 %",
        ],
    );
    for (crowd, scores) in crowds.iter().zip(scores.chunks(rules(0).len())) {
        let mut row = vec![Percent::of(crowd.faulty_ppm).to_string(), crowd.to_string()];
        row.extend(scores.iter().map(Score::to_string));
        table.row(row);
    }
    table
}

/// The promise at every lying rate, full collusion.
fn every_rate(seed: u64, size: Size, faulty: &[u32], rates: &[u32]) -> Table {
    let mut table = promise_table(&format!("a promise of 1 %, saboteurs together: {size}"));
    for &faulty_ppm in faulty {
        let crowds = rates.iter().map(|lies_ppm| Crowd {
            workers: size.workers,
            faulty_ppm,
            lies_ppm: *lies_ppm,
            ways: Ways::Together,
        });
        promise_rows(&mut table, seed, size, crowds.collect());
    }
    table
}

/// The promise against saboteurs that it was not made for.
fn other_ways(seed: u64, size: Size) -> Table {
    let mut table = promise_table(&format!("a promise of 1 %, saboteurs of other ways: {size}"));
    for ways in [Ways::Talking, Ways::Milking(20), Ways::Milking(40)] {
        let crowds = [50_000, 100_000, 200_000, 500_000, MILLION].map(|lies_ppm| Crowd {
            workers: size.workers,
            faulty_ppm: 200_000,
            lies_ppm,
            ways,
        });
        promise_rows(&mut table, seed, size, crowds.to_vec());
    }
    table
}

fn promise_table(title: &str) -> Table {
    let head = [
        "saboteurs",
        "lies",
        "wrong, mean",
        "wrong, worst run",
        "replicas a task",
        "no result",
        "wait, in tasks",
    ];
    Table::new(title, &head)
}

fn promise_rows(table: &mut Table, seed: u64, size: Size, crowds: Vec<Crowd>) {
    let cell = |crowd: Crowd| {
        let promise = Promise { faulty_ppm: crowd.faulty_ppm, ..Promise::ONE_PERCENT };
        let rule = Rule::Ours(promise);
        (0..size.runs).map(move |run| {
            let seed = seed + u64::from(run);
            Cell { rule, crowd, tasks: size.tasks, seed }
        })
    };
    let cells: Vec<Cell> = crowds.iter().copied().flat_map(cell).collect();
    let scores = measure(&cells);
    for (crowd, runs) in crowds.iter().zip(scores.chunks(size.runs as usize)) {
        let mean = |of: fn(&Score) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let worst = runs.iter().map(|run| run.error().0).fold(0.0, f64::max);
        table.row([
            Percent::of(crowd.faulty_ppm).to_string(),
            crowd.to_string(),
            Percent(mean(|run| run.error().0)).to_string(),
            Percent(worst).to_string(),
            format!("{:.2}", mean(Score::slowdown)),
            Percent(mean(|run| f64::from(run.none) / f64::from(run.tasks))).to_string(),
            format!("{:.1}", mean(|run| run.wait_tasks)),
        ]);
    }
}

/// Runs every cell, on as many threads as there are processors: each has its own seed, so that the
/// figures do not depend on that.
fn measure(cells: &[Cell]) -> Vec<Score> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(cells.len().max(1));
    let (next, scores) = (AtomicUsize::new(0), Mutex::new(vec![Score::default(); cells.len()]));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (at, score) = (place(cells, cell), cell.run());
                    scores.lock().expect("no thread failed")[at] = score;
                }
            });
        }
    });
    scores.into_inner().expect("no thread failed")
}

fn place(cells: &[Cell], cell: &Cell) -> usize {
    cells.iter().position(|known| std::ptr::eq(known, cell)).expect("it is one of them")
}

impl Cell {
    fn run(&self) -> Score {
        let Self { rule, crowd, tasks, seed } = *self;
        let seed = Dice::new(seed).roll();
        match rule {
            Rule::MFirst(m) => peers::m_first(m, crowd, tasks, seed),
            Rule::Boinc => peers::boinc(crowd, tasks, seed),
            Rule::Poco(trust) => pool::run(Policy::default(), trust, crowd, tasks, seed),
            Rule::Ours(promise) => {
                let policy = Policy { promise: Some(promise), ..Policy::default() };
                pool::run(policy, TRUST_OF_PROMISE, crowd, tasks, seed)
            }
        }
    }
}

impl Score {
    /// Wrong results among those that were settled with one.
    fn error(&self) -> Percent {
        Percent(f64::from(self.wrong) / f64::from((self.tasks - self.none).max(1)))
    }

    /// Replicas asked for, for each task.
    fn slowdown(&self) -> f64 {
        self.replicas as f64 / f64::from(self.tasks.max(1))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:.2}", self.error(), self.slowdown())
    }
}

/// A part of one, shown in percent.
#[derive(Clone, Copy, Debug)]
struct Percent(f64);

impl Percent {
    fn of(ppm: u32) -> Self {
        Self(f64::from(ppm) / f64::from(MILLION))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        match percent {
            0.0 => f.write_str("0 %"),
            10.0.. => write!(f, "{percent:.0} %"),
            _ => write!(f, "{percent:.2} %"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} workers, {} tasks", self.workers, self.tasks)
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lies = Percent::of(self.lies_ppm);
        match self.ways {
            Ways::Together => write!(f, "{lies}, together"),
            Ways::Alone => write!(f, "{lies}, alone"),
            Ways::Talking => write!(f, "{lies}, talking"),
            Ways::Milking(honest) => write!(f, "{lies}, after {honest} honest answers"),
        }
    }
}

#[cfg(test)]
mod tests;
