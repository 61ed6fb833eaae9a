//! `wasi:cli`: arguments, environment, exit, the three streams, and that none of them is a terminal.

use super::held::{Held, InputStream, OutputStream, Sink, Source};
use super::{Call, Context, Host, act, functions, give, interface, resource};
use crate::engine::meter::Halt;
use wasmtime::component::{Linker, Resource};

/// Fuel for every string of a list, beyond its bytes.
const STRING_FUEL: u64 = 24;

/// Kinds of things that nobody ever gets.
enum TerminalInput {}
enum TerminalOutput {}

pub(super) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    functions! { interface(linker, "cli/environment")?, give:
        "get-environment" = environment();
        "get-arguments" = arguments();
        "initial-cwd" = no_folder();
    }
    functions! { interface(linker, "cli/exit")?, act: "exit" = leave(status: Result<(), ()>); }
    functions! { interface(linker, "cli/stdin")?, give: "get-stdin" = stdin(); }
    functions! { interface(linker, "cli/stdout")?, give: "get-stdout" = stdout(); }
    functions! { interface(linker, "cli/stderr")?, give: "get-stderr" = stderr(); }
    resource::<TerminalInput>(&mut interface(linker, "cli/terminal-input")?, "terminal-input")?;
    resource::<TerminalOutput>(&mut interface(linker, "cli/terminal-output")?, "terminal-output")?;
    functions! { interface(linker, "cli/terminal-stdin")?, give:
        "get-terminal-stdin" = no_terminal_in();
    }
    functions! { interface(linker, "cli/terminal-stdout")?, give:
        "get-terminal-stdout" = no_terminal_out();
    }
    functions! { interface(linker, "cli/terminal-stderr")?, give:
        "get-terminal-stderr" = no_terminal_out();
    }
    Ok(())
}

impl Call<'_> {
    fn arguments(&mut self) -> Result<Vec<String>, Halt> {
        self.pay_strings(self.host.args.len(), self.host.args.iter().map(String::len).sum())?;
        Ok(self.host.args.clone())
    }

    fn environment(&mut self) -> Result<Vec<(String, String)>, Halt> {
        self.pay_strings(self.host.env.len(), self.host.env.iter().map(String::len).sum())?;
        let pairs = self.host.env.iter().filter_map(|pair| pair.split_once('='));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn pay_strings(&mut self, count: usize, bytes: usize) -> Result<(), Halt> {
        self.burn((count as u64).saturating_mul(STRING_FUEL))?;
        self.burn_bytes(bytes as u64)
    }

    fn no_folder(&mut self) -> Result<Option<String>, Halt> {
        Ok(None)
    }

    /// There are two ways to leave: preview 2 has no other codes.
    fn leave(&mut self, status: Result<(), ()>) -> Result<(), Halt> {
        Err(Halt::Exit(i32::from(status.is_err())))
    }

    fn stdin(&mut self) -> Result<Resource<InputStream>, Halt> {
        self.hold(Held::Input(Source::Stdin))
    }

    fn stdout(&mut self) -> Result<Resource<OutputStream>, Halt> {
        self.hold(Held::Output(Sink::Stdout))
    }

    fn stderr(&mut self) -> Result<Resource<OutputStream>, Halt> {
        self.hold(Held::Output(Sink::Stderr))
    }

    fn no_terminal_in(&mut self) -> Result<Option<Resource<TerminalInput>>, Halt> {
        Ok(None)
    }

    fn no_terminal_out(&mut self) -> Result<Option<Resource<TerminalOutput>>, Halt> {
        Ok(None)
    }
}
