//! The account that owns a worker's stake and earnings: a keystore in the worker's folder, or a key
//! file the owner names. The worker at work never opens it.

use super::{config::Config, failure, output::Output};
use quorate_chain::{Keystore, Password, PasswordSource, Signer};
use quorate_common::{
    exit::{Code, Failure},
    keys,
};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

const PASSWORD_ENV: &str = "QUORATE_PASSWORD";
/// Bytes of a key file at most: 64 digits, `0x`, white space.
const KEY_BYTES_MAX: u64 = 256;

/// Opens the owner's account; makes it, if it is the worker's own and missing.
pub(crate) fn open(config: &Config, output: Output) -> Result<Signer, Failure> {
    if let Some(path) = config.file_of("owner_key_file") {
        return from_file(&path);
    }
    let name = config.layers.text("owner").map_err(|error| failure::config(&error))?;
    let keystore =
        Keystore::at(config.path("wallets")).map_err(|error| failure::keystore(&error))?;
    let entries = keystore.list().map_err(|error| failure::keystore(&error))?;
    if entries.iter().any(|entry| entry.name == name) {
        let password = password(config)?;
        return keystore.open(&name, &password).map_err(|error| failure::keystore(&error));
    }
    let password = new_password(config, output)?;
    let signer = keystore.create(&name, &password).map_err(|error| failure::keystore(&error))?;
    output.note(format!("made the account {} (wallet `{name}`)", signer.address()));
    Ok(signer)
}

pub(super) fn from_file(path: &Path) -> Result<Signer, Failure> {
    let failed = |error: io::Error| failure::file(path, &error);
    let metadata = fs::metadata(path).map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("key file {}: mode {mode:o} lets others read it", path.display());
        let hint = format!("run `chmod 600 {}`", path.display());
        return Err(Failure::new(Code::Denied, text).hint(hint));
    }
    if metadata.len() > KEY_BYTES_MAX {
        let text = format!("key file {}: expected 64 hex digits", path.display());
        return Err(Failure::new(Code::Usage, text));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    Signer::from_hex(text.trim()).map_err(|error| failure::keystore(&error))
}

fn password(config: &Config) -> Result<Password, Failure> {
    let source = match config.file_of("password_file") {
        Some(path) => PasswordSource::File(path),
        None if std::env::var_os(PASSWORD_ENV).is_some() => {
            PasswordSource::Env(PASSWORD_ENV.into())
        }
        None => PasswordSource::File(config.path(OWN_PASSWORD)),
    };
    source.read().map_err(|error| failure::keystore(&error))
}

/// Where a password goes that nobody chose.
const OWN_PASSWORD: &str = "wallets/owner.password";

/// The chosen password, or a random one beside the keystore: a volunteer's machine must be able to
/// claim without its owner, and whoever wants more names a password file elsewhere.
fn new_password(config: &Config, output: Output) -> Result<Password, Failure> {
    let path = config.path(OWN_PASSWORD);
    let is_chosen =
        config.file_of("password_file").is_some() || std::env::var_os(PASSWORD_ENV).is_some();
    if is_chosen || path.exists() {
        return password(config);
    }
    let random = keys::random32().map_err(|error| failure::key(&error))?;
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", hex::encode(random))?;
        file.sync_all()
    };
    write().map_err(|error| failure::file(&path, &error))?;
    output.note(format!("its password is in {}", path.display()));
    password(config)
}
