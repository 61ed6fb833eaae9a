//! `quorate help`: a command's long help, or a topic that no command is about.

use crate::{cli::Cli, output::Output};
use clap::CommandFactory as _;
use quorate_common::exit::{self, Code, Failure};

/// Topics that are no commands.
const TOPICS: [&str; 1] = ["exit-codes"];

/// Prints help for a path of commands, or a topic.
///
/// # Errors
/// [`Code::Usage`] for an unknown one.
pub(crate) fn run(topic: &[String], output: Output) -> Result<(), Failure> {
    if let [topic] = topic
        && topic == TOPICS[0]
    {
        return output.line(format!("Exit codes:\n{}", exit::HELP));
    }
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for name in topic {
        found = found.find_subcommand_mut(name).ok_or_else(|| {
            let text = format!("no help topic `{}`", topic.join(" "));
            Failure::new(Code::Usage, text).hint(format!(
                "`quorate help` lists the commands; further topics: {}",
                TOPICS.join(", ")
            ))
        })?;
    }
    output.line(found.render_long_help().to_string().trim_end())
}
