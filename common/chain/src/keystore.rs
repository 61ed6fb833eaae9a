//! Accounts on disk: keystore V3 files, as geth, Foundry and MetaMask read and write them.
//!
//! A file is `NAME.json`, mode 0600, in a folder of mode 0700; its `address` can be read without
//! the password. The key derivation is the one of alloy's library, scrypt with n = 8192: choose a
//! long password. No key, password or decrypted byte is ever logged, and what can be is wiped.

use alloy::primitives::{Address, B256};
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use quorate_common::keys::{Signature, VoteKey};
use serde_json::Value;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fmt};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a keystore file at most; real ones have 500. A longer file is refused unread.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a password file at most; a longer one is refused unread.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Characters of an account's name, which is a file's name too.
const NAME_CHARS_MAX: usize = 64;

/// Memory one scrypt run may take: geth's standard needs 256 MiB, and a file that asks for more
/// than four times that is an attack on whoever opens it.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;

/// Rounds one pbkdf2 run may take: forty times the customary 262,144.
const PBKDF2_ROUNDS_MAX: u64 = 10_000_000;

/// Why an account cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// The file system refused.
    #[error("could not {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Others may read the keys.
    #[error("{path}: mode {mode:o} lets others in; run `chmod go-rwx {path}`")]
    Exposed {
        /// Which file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no such account.
    #[error("no account {name:?} in {folder}; accounts there: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where.
        folder: PathBuf,
        /// What is there, comma-separated.
        known: String,
    },
    /// There is such an account already, and it is not overwritten.
    #[error("account {name:?} exists already in {folder}; choose another name")]
    Exists {
        /// The name.
        name: String,
        /// Where.
        folder: PathBuf,
    },
    /// The name cannot be a file's.
    #[error("account name {name:?}: expected 1 to 64 letters, digits, '-' or '_'")]
    BadName {
        /// The name.
        name: String,
    },
    /// The file is not a keystore.
    #[error("{path} is no keystore V3 file: {what}; restore it from a backup")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The password does not open the file.
    #[error("wrong password for account {name:?}")]
    WrongPassword {
        /// Which account.
        name: String,
    },
    /// The private key is none.
    #[error("private key: expected 64 hex digits of a number from 1 to the curve's order")]
    BadKey,
    /// No password where it was said to be.
    #[error("password: {what}")]
    NoPassword {
        /// What is missing and how to give it.
        what: String,
    },
}

/// A password, wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// A password somebody typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

/// Where a password comes from.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// It is here.
    Given(Password),
    /// In the environment variable of this name.
    Env(String),
    /// In this file, without its last line break.
    File(PathBuf),
}

impl PasswordSource {
    /// The password.
    ///
    /// # Errors
    /// [`KeystoreError::NoPassword`] for an unset variable, [`KeystoreError::Io`] and
    /// [`KeystoreError::Exposed`] for a file that cannot, or can too easily, be read.
    pub fn read(&self) -> Result<Password, KeystoreError> {
        match self {
            Self::Given(password) => Ok(password.clone()),
            Self::Env(name) => {
                env::var(name).map(Password::new).map_err(|_| KeystoreError::NoPassword {
                    what: format!("environment variable {name} is not set to a text; set it"),
                })
            }
            Self::File(path) => {
                check_private(path)?;
                let text = read_capped(path, PASSWORD_BYTES_MAX)?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Ok(Password::new(line.strip_suffix('\r').unwrap_or(line)))
            }
        }
    }
}

/// An account as its file shows it without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file's name without `.json`.
    pub name: String,
    /// What the file says, unproven. Nothing if it says nothing, as Foundry's do not.
    pub address: Option<Address>,
}

/// A folder of accounts.
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

impl Keystore {
    /// The keystore in `folder`, which is made if need be.
    ///
    /// # Errors
    /// [`KeystoreError::Exposed`] if others may look into it.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self, KeystoreError> {
        let folder = folder.into();
        if !folder.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(io_error("create", &folder))?;
        }
        check_private(&folder)?;
        Ok(Self { folder })
    }

    /// Makes an account with a fresh key.
    ///
    /// # Errors
    /// [`KeystoreError::Exists`], [`KeystoreError::BadName`], or the disk's.
    pub fn create(&self, name: &str, password: &Password) -> Result<Signer, KeystoreError> {
        let fresh = PrivateKeySigner::random_with(&mut OsRng);
        let secret = Zeroizing::new(fresh.to_bytes().0);
        self.store(name, Signer::from_secret(&secret)?, password)
    }

    /// Takes in a private key written as 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`], and those of [`Self::create`].
    pub fn import(
        &self,
        name: &str,
        private_key: &str,
        password: &Password,
    ) -> Result<Signer, KeystoreError> {
        self.store(name, Signer::from_hex(private_key)?, password)
    }

    /// Opens an account.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::WrongPassword`], or a damaged or exposed file.
    pub fn open(&self, name: &str, password: &Password) -> Result<Signer, KeystoreError> {
        let path = self.path(name)?;
        if !path.exists() {
            return Err(self.unknown(name));
        }
        check_private(&path)?;
        let json = read_json(&path)?;
        check_cost(&json).map_err(|what| malformed(&path, what))?;
        let opened = PrivateKeySigner::decrypt_keystore(&path, password.0.as_bytes());
        let signer = opened.map_err(|error| match error.to_string() {
            text if text.contains("Mac Mismatch") => {
                KeystoreError::WrongPassword { name: name.to_owned() }
            }
            text => malformed(&path, text),
        })?;
        let signer = Signer::from_secret(&Zeroizing::new(signer.to_bytes().0))?;
        match address_in(&json) {
            Some(said) if said != signer.address() => {
                Err(malformed(&path, format!("it says {said} and holds {}", signer.address())))
            }
            _ => Ok(signer),
        }
    }

    /// Every account, by name. Files that are no keystores are passed over.
    ///
    /// # Errors
    /// [`KeystoreError::Io`] if the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, KeystoreError> {
        let mut entries = Vec::new();
        let read = io_error("read", &self.folder);
        for file in fs::read_dir(&self.folder).map_err(&read)? {
            let path = file.map_err(&read)?.path();
            let is_json = path.extension().is_some_and(|extension| extension == "json");
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let (Some(name), true, Ok(json)) = (name, is_json, read_json(&path)) else { continue };
            entries.push(Entry { name: name.to_owned(), address: address_in(&json) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Writes an account's file: encrypted beside its place, synced, then moved there.
    fn store(
        &self,
        name: &str,
        signer: Signer,
        password: &Password,
    ) -> Result<Signer, KeystoreError> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(self.exists(name));
        }
        let json = self.encrypt(&signer, password)?;
        write_private(&path, &json).map_err(|source| {
            // Another process may have taken the name since the look above.
            if source.kind() == io::ErrorKind::AlreadyExists {
                self.exists(name)
            } else {
                io_error("write", &path)(source)
            }
        })?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error("sync", &self.folder))?;
        Ok(signer)
    }

    /// The file's text. The library writes to a file of its own, without an address.
    fn encrypt(&self, signer: &Signer, password: &Password) -> Result<String, KeystoreError> {
        let draft = format!(".draft-{}", std::process::id());
        let path = self.folder.join(&draft);
        let written = PrivateKeySigner::encrypt_keystore(
            &self.folder,
            &mut OsRng,
            signer.secret.as_slice(),
            password.0.as_bytes(),
            Some(&draft),
        );
        let json = written
            .map_err(|error| io_error("write", &path)(io::Error::other(error)))
            .and_then(|_| read_json(&path));
        let removed = fs::remove_file(&path);
        let mut json = json?;
        removed.map_err(io_error("remove", &path))?;
        json["address"] = Value::String(alloy::hex::encode(signer.address()));
        Ok(json.to_string())
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        let fits = (1..=NAME_CHARS_MAX).contains(&name.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !fits || !name.bytes().all(plain) {
            return Err(KeystoreError::BadName { name: name.to_owned() });
        }
        Ok(self.folder.join(format!("{name}.json")))
    }

    fn exists(&self, name: &str) -> KeystoreError {
        KeystoreError::Exists { name: name.to_owned(), folder: self.folder.clone() }
    }

    fn unknown(&self, name: &str) -> KeystoreError {
        let names: Vec<String> =
            self.list().unwrap_or_default().into_iter().map(|entry| entry.name).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        KeystoreError::Unknown { name: name.to_owned(), folder: self.folder.clone(), known }
    }
}

/// An account that can sign. Its secret is wiped when the last clone is dropped, and never shown.
#[derive(Clone)]
pub struct Signer {
    secret: Zeroizing<[u8; 32]>,
    key: VoteKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

impl Signer {
    /// From 32 secret bytes.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`] for zero or a number beyond the curve's order.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, KeystoreError> {
        let key = VoteKey::from_bytes(secret).ok_or(KeystoreError::BadKey)?;
        Ok(Self { secret: Zeroizing::new(*secret), key })
    }

    /// From 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeystoreError::BadKey`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeystoreError> {
        let mut secret = Zeroizing::new([0; 32]);
        alloy::hex::decode_to_slice(text.trim(), secret.as_mut_slice())
            .map_err(|_| KeystoreError::BadKey)?;
        Self::from_secret(&secret)
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs a 32-byte digest, in the 64 bytes of EIP-2098 with a low `s`.
    pub fn sign(&self, digest: B256) -> Signature {
        self.key.sign(digest)
    }

    /// The key behind the account, for orders and frames.
    pub fn vote_key(&self) -> &VoteKey {
        &self.key
    }

    /// The raw key. Whoever takes it keeps it as secret as this does.
    pub fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }
}

/// What the file's scrypt or pbkdf2 would cost, refused before it is paid.
fn check_cost(json: &Value) -> Result<(), String> {
    let params = &json["crypto"]["kdfparams"];
    let number = |name: &str| params[name].as_u64();
    if let (Some(n), Some(r)) = (number("n"), number("r")) {
        let bytes = n.saturating_mul(r).saturating_mul(128);
        if bytes > SCRYPT_BYTES_MAX {
            return Err(format!("scrypt would take {bytes} bytes, more than {SCRYPT_BYTES_MAX}"));
        }
    }
    if let Some(rounds) = number("c").filter(|rounds| *rounds > PBKDF2_ROUNDS_MAX) {
        return Err(format!("pbkdf2 would take {rounds} rounds, more than {PBKDF2_ROUNDS_MAX}"));
    }
    if number("dklen").is_some_and(|bytes| bytes < 32) {
        return Err("dklen is below 32".to_owned());
    }
    let iv = json["crypto"]["cipherparams"]["iv"].as_str().map_or(0, str::len);
    if iv != 32 { Err("the iv has not 16 bytes".to_owned()) } else { Ok(()) }
}

fn address_in(json: &Value) -> Option<Address> {
    json["address"].as_str()?.parse().ok()
}

fn read_json(path: &Path) -> Result<Value, KeystoreError> {
    let text = read_capped(path, FILE_BYTES_MAX)?;
    let json: Value =
        serde_json::from_str(&text).map_err(|error| malformed(path, error.to_string()))?;
    if json["version"] == 3 && json["crypto"].is_object() {
        return Ok(json);
    }
    Err(malformed(path, "expected \"version\": 3 and \"crypto\"".to_owned()))
}

fn read_capped(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, KeystoreError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mut text = Zeroizing::new(String::new());
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(io_error("read", path))?;
    if text.len() as u64 > bytes_max {
        return Err(malformed(path, format!("longer than {bytes_max} bytes")));
    }
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a keystore under the account's name would block the name for ever.
        let _ = fs::remove_file(path);
    }
    written
}

fn check_private(path: &Path) -> Result<(), KeystoreError> {
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeystoreError::Exposed { path: path.to_owned(), mode })
}

fn malformed(path: &Path, what: String) -> KeystoreError {
    KeystoreError::Malformed { path: path.to_owned(), what }
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> KeystoreError {
    let path = path.to_owned();
    move |source| KeystoreError::Io { action, path: path.clone(), source }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use alloy::primitives::address;

    /// Anvil's first account.
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const ACCOUNT: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

    fn keystore() -> (tempfile::TempDir, Keystore) {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().join("keys")).unwrap();
        (folder, keystore)
    }

    fn password() -> Password {
        Password::new("correct horse")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn an_account_is_made_listed_and_opened() {
        let (_folder, keystore) = keystore();
        let made = keystore.create("pool", &password()).unwrap();
        let imported = keystore.import("anvil", KEY, &password()).unwrap();
        assert_eq!(imported.address(), ACCOUNT);
        let opened = keystore.open("pool", &password()).unwrap();
        assert_eq!(opened.secret(), made.secret());
        let listed = keystore.list().unwrap();
        let expected = [("anvil", ACCOUNT), ("pool", made.address())]
            .map(|(name, at)| Entry { name: name.to_owned(), address: Some(at) });
        assert_eq!(listed, expected);
        assert_eq!(mode(&keystore.folder), 0o700);
        assert_eq!(mode(&keystore.folder.join("pool.json")), 0o600);
        assert_eq!(fs::read_dir(&keystore.folder).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn nothing_is_overwritten_and_wrong_passwords_are_told() {
        let (_folder, keystore) = keystore();
        keystore.import("a", KEY, &password()).unwrap();
        let error = keystore.create("a", &password()).unwrap_err();
        assert!(matches!(error, KeystoreError::Exists { .. }), "{error}");
        let error = keystore.open("a", &Password::new("guess")).unwrap_err();
        assert!(matches!(error, KeystoreError::WrongPassword { .. }), "{error}");
        let error = keystore.open("b", &password()).unwrap_err();
        assert!(error.to_string().contains("accounts there: a"), "{error}");
    }

    #[test]
    fn bad_names_and_bad_keys_are_refused() {
        let (_folder, keystore) = keystore();
        for name in ["", "../a", "a/b", "a.json", &"x".repeat(65)] {
            let error = keystore.create(name, &password()).unwrap_err();
            assert!(matches!(error, KeystoreError::BadName { .. }), "{error}");
        }
        let zero = "00".repeat(32);
        for key in ["", "xyz", "0x12", zero.as_str(), &"ff".repeat(32), &"11".repeat(33)] {
            let error = keystore.import("a", key, &password()).unwrap_err();
            assert!(matches!(error, KeystoreError::BadKey), "{key}: {error}");
        }
        assert_eq!(keystore.list().unwrap(), []);
    }

    #[test]
    fn exposed_and_damaged_files_are_refused() {
        let (_folder, keystore) = keystore();
        keystore.import("a", KEY, &password()).unwrap();
        let path = keystore.folder.join("a.json");
        let good = fs::read_to_string(&path).unwrap();
        let dear = good.replace("\"n\":8192", "\"n\":1073741824");
        let short_iv = good.replacen("\"iv\":\"", "\"iv\":\"\",\"x\":\"", 1);
        let liar = good.replace("f39fd6", "f39fd7");
        for bad in ["", "{}", "[3]", &good[..100], &dear, &short_iv, &liar, &" ".repeat(70_000)] {
            assert_ne!(bad, good);
            fs::write(&path, bad).unwrap();
            let error = keystore.open("a", &password()).unwrap_err();
            assert!(matches!(error, KeystoreError::Malformed { .. }), "{error}");
        }
        fs::write(&path, good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = keystore.open("a", &password()).unwrap_err();
        assert!(matches!(error, KeystoreError::Exposed { mode: 0o640, .. }), "{error}");
    }

    #[test]
    fn a_file_of_geth_opens() {
        // The first test vector of the Web3 Secret Storage Definition (pbkdf2).
        let json = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":
            "6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":
            "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
            "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":
            "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":
            "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":
            "3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
        let (_folder, keystore) = keystore();
        write_private(&keystore.folder.join("geth.json"), json).unwrap();
        let opened = keystore.open("geth", &Password::new("testpassword")).unwrap();
        let expected = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
        assert_eq!(alloy::hex::encode(opened.secret().as_slice()), expected);
        assert_eq!(keystore.list().unwrap()[0].address, None);
    }

    #[test]
    fn passwords_come_from_files_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        write_private(&path, "two words \r\n").unwrap();
        let read = PasswordSource::File(path.clone()).read().unwrap();
        assert_eq!(read.0.as_str(), "two words ");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = PasswordSource::File(path).read().unwrap_err();
        assert!(matches!(error, KeystoreError::Exposed { .. }), "{error}");
        let error = PasswordSource::Env("QUORATE_NO_SUCH_VARIABLE".to_owned()).read().unwrap_err();
        assert!(error.to_string().contains("QUORATE_NO_SUCH_VARIABLE"), "{error}");
    }

    #[test]
    fn secrets_do_not_show() {
        let signer = Signer::from_hex(KEY).unwrap();
        assert_eq!(format!("{signer:?}"), format!("Signer({ACCOUNT})"));
        assert_eq!(format!("{:?}", password()), "Password(..)");
    }
}
