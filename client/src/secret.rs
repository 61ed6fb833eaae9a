//! Where passwords and keys come from: a file, the environment, or somebody at the keyboard. Never
//! the command line, where every user of the machine could read them.

use crate::{config::Config, failure};
use console::Term;
use quorate_chain::{Password, PasswordSource};
use quorate_common::exit::{Code, Failure};
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// The variable that may hold the wallet's password.
const PASSWORD_ENV: &str = "QUORATE_PASSWORD";
/// Bytes of a key file at most: 64 digits, `0x`, white space.
const KEY_BYTES_MAX: u64 = 256;

/// The password of an account that exists.
///
/// # Errors
/// [`Code::Usage`] if there is none and nobody to ask; an exposed or unreadable file.
pub fn password(config: &Config, account: &str) -> Result<Password, Failure> {
    match configured(config)? {
        Some(password) => Ok(password),
        None => Ok(Password::new(ask(&format!("Password of wallet {account}: "))?.to_string())),
    }
}

/// The password of a new account: typed twice.
///
/// # Errors
/// As [`password`]; [`Code::Usage`] if it is empty or differs.
pub fn new_password(config: &Config, account: &str) -> Result<Password, Failure> {
    if let Some(password) = configured(config)? {
        return Ok(password);
    }
    let first = ask(&format!("New password of wallet {account}: "))?;
    if first.is_empty() {
        return Err(Failure::new(Code::Usage, "the password is empty; choose a long one"));
    }
    if *first != *ask("Again: ")? {
        return Err(Failure::new(Code::Usage, "the passwords differ; nothing was written"));
    }
    Ok(Password::new(first.to_string()))
}

/// A private key: from a file (`-`: standard input) or typed.
///
/// # Errors
/// An unreadable file, nobody to ask.
pub fn private_key(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let Some(path) = file else { return ask("Private key (64 hex digits): ") };
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        io::stdin().lock().take(KEY_BYTES_MAX).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(KEY_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| failure::file("read", path, &error))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn configured(config: &Config) -> Result<Option<Password>, Failure> {
    let source = match config.password_file() {
        Some(path) => PasswordSource::File(path),
        None if std::env::var_os(PASSWORD_ENV).is_some() => {
            PasswordSource::Env(PASSWORD_ENV.into())
        }
        None => return Ok(None),
    };
    source.read().map(Some).map_err(|error| failure::keystore(&error))
}

fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        let text = "a secret is needed, and there is no terminal to ask at";
        return Err(Failure::new(Code::Usage, text).hint(format!(
            "set `password_file` or {PASSWORD_ENV}; `wallet import` takes --key-file"
        )));
    }
    let term = Term::stderr();
    let read = term.write_str(question).and_then(|()| term.read_secure_line());
    read.map(Zeroizing::new).map_err(|error| {
        Failure::new(Code::Internal, format!("the terminal cannot be read: {error}"))
    })
}
