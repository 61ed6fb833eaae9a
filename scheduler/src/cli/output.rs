//! What the program says: data on standard output, everything for people on standard error.

use quorate_common::exit::{Code, Failure};
use serde::Serialize;
use std::io::{self, Write as _};

/// How the program talks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// Data as JSON.
    pub(super) json: bool,
    /// No notes.
    pub(super) quiet: bool,
}

impl Output {
    /// Prints one piece of data. A reader that went away (`| head`) is no error.
    pub(super) fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let text = format!("standard output cannot be written: {error}");
                Err(Failure::new(Code::Internal, text))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Prints the document with `--json`, the text without.
    pub(super) fn either(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.line(text());
        }
        let text = serde_json::to_string(document).map_err(|error| {
            Failure::new(Code::Internal, format!("document cannot be written as JSON: {error}"))
        })?;
        self.line(text)
    }

    /// Says something to people, unless they asked for quiet.
    pub(super) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            say(text.as_ref());
        }
    }

    /// Warns people, quiet or not.
    pub(super) fn warn(self, text: impl AsRef<str>) {
        say(&format!("warning: {}", text.as_ref()));
    }

    /// Prints the error that ends the program.
    pub(super) fn failure(self, failure: &Failure) {
        if self.json {
            say(&failure.to_json());
        } else {
            say(&format!("error: {failure}"));
        }
    }
}

fn say(text: &str) {
    // Nobody to talk to is no reason to fail.
    drop(writeln!(io::stderr().lock(), "{text}"));
}
