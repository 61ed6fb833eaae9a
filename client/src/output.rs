//! What the program says. Standard output is data (tables, or one JSON document a line), standard
//! error is everything for people: notes, progress, errors.

use comfy_table::{ContentArrangement, Table, presets};
use quorate_common::exit::{Code, Failure};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// How the program talks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    /// Data as JSON.
    pub json: bool,
    /// No notes, no progress.
    pub quiet: bool,
    /// Colours where the stream is a terminal.
    pub color: bool,
}

/// `NO_COLOR` (set to anything but nothing) and dumb terminals switch colours off.
pub fn color_wanted(no_color: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    !no_color && !set("NO_COLOR") && !dumb
}

impl Output {
    /// Prints one line of data.
    ///
    /// # Errors
    /// Standard output cannot be written. A reader that went away (`| head`) is no error.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(text.as_ref().as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        settled(written)
    }

    /// Prints bytes as they are: a task's own output.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        settled(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Prints a document as one line of JSON.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document).map_err(|error| {
            Failure::new(Code::Internal, format!("document cannot be written as JSON: {error}"))
        })?;
        self.line(text)
    }

    /// Prints the document with `--json`, the text without.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn either(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.document(document) } else { self.line(text()) }
    }

    /// Says something to people, unless they asked for quiet.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.say(text.as_ref());
        }
    }

    /// Warns people, quiet or not.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.say(&format!("{} {}", self.paint("warning:", "33"), text.as_ref()));
    }

    /// Prints the error that ends the program: for people on standard error, and with `--json` as
    /// a document there.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            self.say(&failure.to_json());
        } else {
            self.say(&format!("{} {failure}", self.paint("error:", "1;31")));
        }
    }

    fn say(&self, text: &str) {
        // Nobody to talk to is no reason to fail.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color && io::stderr().is_terminal() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A table for people: no borders, so that columns can be cut and copied.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let last = header.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Names and values, one a line, names aligned.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        facts.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

fn settled(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Internal, format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_bare() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bbb".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["NAME", "N"], rows), "NAME  N\na     1\nbbb   22");
        let text = facts(&[("order", "x".into()), ("tasks", "7".into()), ("n", "8".into())]);
        assert_eq!(text, "order  x\ntasks  7\nn      8");
    }
}
