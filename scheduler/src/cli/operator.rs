//! `operator`: who may see the pages of this pool, and who may act on them.

use super::{OperatorCommand, output::Output};
use crate::{
    config::Config,
    logbook::{Entry, Logbook},
    operators::{Operators, Role},
};
use dialoguer::Password;
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
};
use serde_json::{Value, json};
use std::io::IsTerminal as _;

/// Where a script leaves the password.
const PASSWORD_ENV: &str = "QUORATE_PASSWORD";

/// `operator`.
pub(super) fn run(
    config: &Config,
    command: &OperatorCommand,
    output: Output,
) -> Result<(), Failure> {
    let operators = Operators::of(&config.data);
    match command {
        OperatorCommand::Add { name, role } => add(config, &operators, name, *role, output),
        OperatorCommand::Ls => list(&operators, output),
        OperatorCommand::Rm { name } => {
            operators.remove(name)?;
            note(config, "operator rm", name, "")?;
            let document =
                json!({ "schema": "quorate.operator/v1", "name": name, "removed": true });
            output.either(&document, || format!("{name} is no operator any more"))
        }
    }
}

fn add(
    config: &Config,
    operators: &Operators,
    name: &str,
    role: Role,
    output: Output,
) -> Result<(), Failure> {
    if !config.data.is_dir() {
        let text = format!("{} is no folder of a pool", config.data.display());
        return Err(Failure::new(Code::NotFound, text)
            .hint("run quorate-scheduler init or serve first, or name it with --data"));
    }
    operators.add(name, role, &password()?)?;
    note(config, "operator add", name, &role.to_string())?;
    let document = json!({ "schema": "quorate.operator/v1", "name": name, "role": role });
    output.either(&document, || format!("{name} may {role}; log in on the pages that serve names"))
}

/// What happens to operators is written where what they do is.
fn note(config: &Config, act: &str, on: &str, reason: &str) -> Result<(), Failure> {
    let (operator, from, outcome) = ("local", "local", "done");
    let entry = Entry { operator, from, act, on, reason, outcome };
    Logbook::open(&config.data)?.write(SystemClock::start().now().unix_ms, &entry)
}

fn password() -> Result<String, Failure> {
    if let Ok(password) = std::env::var(PASSWORD_ENV) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Code::Usage, "there is nobody to ask for a password")
            .hint(format!("set {PASSWORD_ENV}, for this command only")));
    }
    let asked = Password::new()
        .with_prompt("Password, 12 characters or more")
        .with_confirmation("Once more", "They differ.")
        .interact();
    asked.map_err(|error| Failure::new(Code::Usage, format!("no password: {error}")))
}

fn list(operators: &Operators, output: Output) -> Result<(), Failure> {
    let all = operators.all()?;
    let rows: Vec<Value> =
        all.iter().map(|one| json!({ "name": one.name, "role": one.role })).collect();
    output.either(&json!({ "schema": "quorate.operators/v1", "operators": rows }), || {
        if all.is_empty() {
            return "no operators: quorate-scheduler operator add NAME --role act".into();
        }
        let line = |one: &crate::operators::Operator| format!("{:32} {}", one.name, one.role);
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
