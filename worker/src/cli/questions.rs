//! The three questions of a first `join` on a terminal: which pool, where the money goes, how much of the
//! computer. Whoever brings an invitation on the command line is asked nothing.

use super::JoinArgs;
use quorate_chain::Address;
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
};
use std::io::{self, BufRead, IsTerminal as _, Write};

/// Wrong answers in a row before it gives up: a pipe that says nothing must not be asked for ever.
const TRIES: usize = 5;
/// Bytes of an answer, at most: an invitation has some three hundred.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Keys and their values.
type Keys = &'static [(&'static str, &'static str)];

/// How much of the computer, in words and in keys.
pub(super) const SHARES: [(&str, &str, Keys); 3] = [
    ("quiet", "only while nobody is there", &[("idle.only", "true"), ("cpu.percent", "60")]),
    ("balanced", "half of the cores while you work, all of them otherwise", &[]),
    ("all", "this machine is for nothing else", &[("dedicated", "true")]),
];

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What the answers come to: arguments of `join`, and keys to set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) invite: Invite,
    /// Whether the earnings are given away, to whom the pool names.
    pub(super) donate: bool,
    pub(super) set: Vec<String>,
}

impl Answers {
    /// Lays them over the command line.
    pub(super) fn apply(self, args: &mut JoinArgs, set: &mut Vec<String>) {
        args.invite = Some(self.invite);
        args.donate |= self.donate;
        set.extend(self.set);
    }
}

/// Asks on standard error, hears on standard input.
pub(super) fn ask() -> Result<Answers, Failure> {
    ask_on(&mut io::stdin().lock(), &mut io::stderr().lock())
}

fn ask_on(hear: &mut impl BufRead, say: &mut impl Write) -> Result<Answers, Failure> {
    let question = "Which pool? Paste the invitation its operator gave you (quorate://…)";
    let invite = until_good(hear, say, question, |text| {
        text.parse::<Invite>().map_err(|error| error.to_string())
    })?;
    let question = "Where does the money go? Your address (0x…), a charity's, `donate` for the one this pool names, or nothing \
                    for an account that is made here";
    let payout = until_good(hear, say, question, payout)?;
    let question = "How much of the computer? quiet, balanced or all [balanced]";
    let mut set = until_good(hear, say, question, share)?;
    let donate = payout == Payout::Donate;
    if let Payout::To(address) = payout {
        set.push(format!("payout={address}"));
    }
    Ok(Answers { invite, donate, set })
}

/// Where the money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payout {
    /// To an account that is made here.
    Here,
    /// To whom the pool names.
    Donate,
    /// To somebody.
    To(Address),
}

pub(super) fn payout(text: &str) -> Result<Payout, String> {
    let expected = "that is no address; expected 0x and 40 digits, `donate`, or nothing";
    match text {
        "" => Ok(Payout::Here),
        "donate" => Ok(Payout::Donate),
        _ => text.parse().map(Payout::To).map_err(|_| expected.to_owned()),
    }
}

pub(super) fn share(text: &str) -> Result<Vec<String>, String> {
    let text = if text.is_empty() { "balanced" } else { text };
    let found = SHARES.iter().find(|(name, _, _)| *name == text);
    let found = found.ok_or_else(|| {
        let known: Vec<String> =
            SHARES.iter().map(|(name, words, _)| format!("{name} ({words})")).collect();
        format!("expected {}", known.join(", "))
    })?;
    Ok(found.2.iter().map(|(key, value)| format!("{key}={value}")).collect())
}

fn until_good<T>(
    hear: &mut impl BufRead,
    say: &mut impl Write,
    question: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let failed = |error: io::Error| Failure::new(Code::Internal, format!("the terminal: {error}"));
    for _ in 0..TRIES {
        write!(say, "{question}\n> ").and_then(|()| say.flush()).map_err(failed)?;
        let mut line = String::new();
        let mut bounded = io::Read::take(&mut *hear, ANSWER_BYTES_MAX);
        if bounded.read_line(&mut line).map_err(failed)? == 0 {
            break;
        }
        match read(line.trim()) {
            Ok(answer) => return Ok(answer),
            Err(why) => writeln!(say, "  {why}").map_err(failed)?,
        }
    }
    Err(Failure::new(Code::Usage, "there was no answer that could be used")
        .hint("`quorate-worker help join` shows how to say it on the command line"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const INVITE: &str = "quorate://127.0.0.1:7421/\
        00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\
        ?pool=1&chain=31337&contract=0x5fbdb2315678afecb367f032d93f642f64180aa3";

    fn told(answers: &str) -> (Result<Answers, Failure>, String) {
        let mut said = Vec::new();
        let asked = ask_on(&mut answers.as_bytes(), &mut said);
        (asked, String::from_utf8(said).unwrap())
    }

    #[test]
    fn three_answers_are_enough() {
        let (answers, said) = told(&format!("{INVITE}\n\n\n"));
        let answers = answers.unwrap();
        assert_eq!((answers.donate, answers.set), (false, Vec::<String>::new()));
        assert_eq!(said.matches("> ").count(), 3, "{said}");
    }

    #[test]
    fn donate_is_an_answer() {
        let answers = told(&format!("{INVITE}\ndonate\nall\n")).0.unwrap();
        assert_eq!((answers.donate, answers.set), (true, vec!["dedicated=true".to_owned()]));
    }

    #[test]
    fn wrong_answers_are_explained_and_asked_again() {
        let address = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a";
        let (answers, said) = told(&format!("hello\n{INVITE}\n0x12\n{address}\nsome\nquiet\n"));
        let answers = answers.unwrap();
        let payout = format!("payout={}", address.parse::<Address>().unwrap());
        assert_eq!(answers.set, ["idle.only=true", "cpu.percent=60", &payout]);
        assert!(
            said.contains("that is no address") && said.contains("only while nobody"),
            "{said}"
        );
    }

    #[test]
    fn silence_ends_it() {
        let (answers, _) = told("");
        assert!(answers.unwrap_err().message.contains("no answer"));
        let (answers, said) = told(&"x\n".repeat(50));
        assert!(answers.is_err());
        assert_eq!(said.matches("> ").count(), TRIES);
    }
}
