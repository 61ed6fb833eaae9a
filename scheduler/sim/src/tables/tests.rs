//! The committed figures: a part of them comes out again, and all of them keep to the goals.

use super::{RATES, SEED, SHORT, closed_form, every_rate, m_first_error};

const COMMITTED: &str = include_str!("../../../docs/trust.md");

/// Wrong results and replicas a task that the plan asked for, by the fraction of saboteurs, in the
/// short run and in the long one.
const GOALS: [(&str, f64, [f64; 2]); 2] =
    [("5.00 %", 1.0, [1.4, 1.12]), ("20 %", 1.0, [2.0, 1.35])];

fn rows(table: &str) -> Vec<&str> {
    table.lines().filter(|line| line.starts_with("| ")).skip(1).collect()
}

#[test]
fn a_part_of_the_tables_comes_out_again() {
    let made = [closed_form(SEED, 200_000), every_rate(SEED, SHORT, &[200_000], &[100_000])];
    for table in made.map(|table| table.to_string()) {
        assert!(!rows(&table).is_empty());
        for row in rows(&table) {
            assert!(COMMITTED.contains(row), "not among the committed figures: {row}");
        }
    }
}

#[test]
fn m_first_needs_so_many() {
    let least = |error: f64| (1..100).find(|m| m_first_error(*m, 0.35) <= error);
    assert_eq!([0.05, 0.01, 0.001].map(least), [Some(15), Some(29), Some(51)]);
}

#[test]
fn the_committed_figures_keep_to_the_goals() {
    let mut rows = 0;
    for (run, size) in ["200 workers, 10000 tasks", "100 workers, 50000 tasks"].iter().enumerate() {
        let title = format!("### A promise of 1 %, saboteurs together: {size}");
        let (_, after) = COMMITTED.split_once(&title).expect("the table is there");
        for row in after.lines().skip(1).take_while(|line| !line.starts_with("###")) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let goal = GOALS.iter().find(|(faulty, ..)| cells.get(1) == Some(faulty));
            let Some((_, error, slowdown)) = goal else { continue };
            let number = |at: usize| -> f64 {
                cells[at].trim_end_matches('%').trim().parse().expect("a number")
            };
            assert!(number(4) < *error, "the worst run is wrong too often: {row}");
            assert!(number(5) < slowdown[run], "too many replicas: {row}");
            rows += 1;
        }
    }
    assert_eq!(rows, 2 * GOALS.len() * RATES.len());
}
