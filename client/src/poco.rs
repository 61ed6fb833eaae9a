//! `quorate poco`: what a sequence of votes comes to, computed by the scheduler's own code
//! (`quorate_grid::poco`). JSON figures are whole numbers of any size: a group has up to 39 digits.

use crate::{
    cli::PocoArgs,
    output::{Output, table},
};
use quorate_common::{
    B256,
    exit::{Code, Failure},
    ids::REPLICAS_MAX,
    keccak256,
};
use quorate_grid::poco::{Tally, weight};
use serde::Serialize;
use serde_json::value::RawValue;

/// What one vote changed.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was voted for.
    pub vote: String,
    /// The vote's weight.
    pub weight: u32,
    /// The product of weights behind this vote, a whole number.
    pub group: Box<RawValue>,
    /// One plus the sum of all groups, a whole number.
    pub total: Box<RawValue>,
    /// Whether what was voted for is credible now.
    pub decided: bool,
    /// Every group after the vote, for the table.
    #[serde(skip)]
    groups: String,
    #[serde(skip)]
    score: u32,
}

/// Counts votes written `SCORE:VOTE`. A trust of 0 counts as 1, as everywhere.
///
/// # Errors
/// [`Code::Usage`] for a vote that does not read, or more votes than a task has.
pub fn count(trust: u32, votes: &[String]) -> Result<Vec<Row>, Failure> {
    if votes.len() > REPLICAS_MAX {
        let text = format!("{} votes; expected at most {REPLICAS_MAX}, as a task has", votes.len());
        return Err(usage(text));
    }
    let mut tally = Tally::default();
    let mut names: Vec<(B256, String)> = Vec::new();
    votes.iter().map(|vote| step(&mut tally, &mut names, trust, vote)).collect()
}

/// Runs the command.
///
/// # Errors
/// As [`count`]; standard output.
pub fn run(args: &PocoArgs, output: Output) -> Result<(), Failure> {
    let rows = count(args.trust, &args.votes)?;
    output.either(&rows, || show(&rows))
}

fn step(
    tally: &mut Tally,
    names: &mut Vec<(B256, String)>,
    trust: u32,
    text: &str,
) -> Result<Row, Failure> {
    let (score, vote) = parse(text)?;
    let (digest, weight) = (keccak256(vote), weight(score));
    tally.add(digest, weight);
    if !names.iter().any(|(known, _)| *known == digest) {
        names.push((digest, vote.to_owned()));
    }
    let group = |(digest, group): &(B256, u128)| {
        let name = names.iter().find(|(known, _)| known == digest).map_or("?", |(_, name)| name);
        format!("{name}={group}")
    };
    let groups: Vec<String> = tally.groups().iter().map(group).collect();
    Ok(Row {
        vote: vote.to_owned(),
        weight,
        group: number(tally.group(digest))?,
        total: number(tally.total())?,
        decided: tally.decided(trust) == Some(digest),
        groups: groups.join(" "),
        score,
    })
}

fn parse(text: &str) -> Result<(u32, &str), Failure> {
    let bad = || {
        let most = u32::MAX;
        usage(format!("vote `{text}`: expected SCORE:VOTE, a score from 0 to {most}, as `100:b`"))
    };
    let (score, vote) = text.split_once(':').ok_or_else(bad)?;
    let digits = !score.is_empty() && score.bytes().all(|byte| byte.is_ascii_digit());
    let score = score.parse().ok().filter(|_| digits && !vote.is_empty()).ok_or_else(bad)?;
    Ok((score, vote))
}

/// A JSON number of any size.
fn number(value: impl std::fmt::Display) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(value.to_string())
        .map_err(|error| Failure::new(Code::Internal, format!("not a number: {error}")))
}

fn show(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let decided = if row.decided { format!("yes: {}", row.vote) } else { "no".to_owned() };
        let share = format!("{}/{}", row.group, row.total);
        vec![
            row.score.to_string(),
            row.vote.clone(),
            row.weight.to_string(),
            row.groups.clone(),
            share,
            decided,
        ]
    };
    table(&["SCORE", "VOTE", "WEIGHT", "GROUPS", "GROUP/TOTAL", "DECIDED"], rows.iter().map(line))
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Usage, text).hint("quorate poco --trust 100 12:a 100:b 300:b")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(trust: u32, votes: &[&str]) -> String {
        let votes: Vec<String> = votes.iter().map(|vote| (*vote).to_owned()).collect();
        serde_json::to_string(&count(trust, &votes).expect("votes")).expect("JSON")
    }

    #[test]
    fn the_example_of_the_rules() {
        let expected = "[\
            {\"vote\":\"a\",\"weight\":3,\"group\":3,\"total\":4,\"decided\":false},\
            {\"vote\":\"b\",\"weight\":32,\"group\":32,\"total\":36,\"decided\":false},\
            {\"vote\":\"b\",\"weight\":99,\"group\":3168,\"total\":3172,\"decided\":true}]";
        assert_eq!(json(100, &["12:a", "100:b", "300:b"]), expected);
    }

    #[test]
    fn figures_beyond_128_bits_stay_exact() {
        let vote = |name: &str| format!("{}:{name}", u32::MAX);
        let votes: Vec<String> =
            ["a", "a", "a", "a", "a", "b", "b", "b", "b", "b"].map(vote).to_vec();
        let rows = count(2, &votes).expect("votes");
        let last = rows.last().expect("a row");
        assert_eq!(last.group.get(), u128::MAX.to_string());
        assert_eq!(last.total.get(), "680564733841876926926749214863536422911");
        assert!(!last.decided);
    }

    #[test]
    fn bad_votes_are_named() {
        for vote in ["", "a", "12", ":a", "12:", "-1:a", "+1:a", "1.5:a", "4294967296:a"] {
            let error = count(5, &[vote.to_owned()]).expect_err(vote);
            assert_eq!(error.exit, 2);
            assert!(error.message.contains(&format!("vote `{vote}`")), "{error}");
        }
        assert_eq!(count(5, &vec!["1:a".into(); 16]).expect_err("too many").exit, 2);
    }
}
