//! Who may look at the pages of this pool, and who may act: names, roles and argon2id hashes in one file of
//! the data folder, written by the command line only. There is no operator until somebody adds one, and no
//! password that was not chosen here.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use quorate_common::exit::{Code, Failure};
use quorate_grid::restraint::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Characters of a password at least: with a guess a second at most (see `ui::session`), twelve of anybody's
/// choice outlast the pool.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Bytes of a password at most: hashing takes what it is given.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Operators of a pool at most: a login looks through all of them.
const OPERATORS_MAX: usize = 100;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See every page.
    Read,
    /// And drain and ban.
    Act,
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// How it logs in, and what the log calls it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// argon2id, as a PHC string.
    hash: String,
}

/// The file.
#[derive(Clone, Debug)]
pub struct Operators {
    path: PathBuf,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Act => "act",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "act" => Ok(Self::Act),
            _ => Err(format!("role `{text}`: expected read or act")),
        }
    }
}

impl Operators {
    /// Those of a data folder.
    pub fn of(data: &Path) -> Self {
        Self { path: data.join("operators.json") }
    }

    /// Everybody, by name; nobody where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or is not what this program writes.
    pub fn all(&self) -> Result<Vec<Operator>, Failure> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        serde_json::from_slice(&text).map_err(|error| {
            let text = format!("{}: {error}", self.path.display());
            Failure::new(Code::Internal, text)
                .hint("restore it, or remove it and add the operators anew")
        })
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// The name is taken or not a name, the password too short.
    pub fn add(&self, name: &str, role: Role, password: &str) -> Result<(), Failure> {
        check_name(name)?;
        check_password(password)?;
        let mut all = self.all()?;
        if all.iter().any(|operator| operator.name == name) {
            return Err(Failure::new(
                Code::Conflict,
                format!("operator `{name}` is there already"),
            )
            .hint("remove it first: quorate-scheduler operator rm NAME"));
        }
        if all.len() >= OPERATORS_MAX {
            let text = format!("there are {OPERATORS_MAX} operators; expected fewer");
            return Err(Failure::new(Code::Conflict, text).hint("remove one first"));
        }
        let hash = hash(password)?;
        all.push(Operator { name: name.to_owned(), role, hash });
        all.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(&all)
    }

    /// Removes an operator: its sessions end with its next click.
    ///
    /// # Errors
    /// There is no such operator.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let mut all = self.all()?;
        let before = all.len();
        all.retain(|operator| operator.name != name);
        if all.len() == before {
            return Err(Failure::new(Code::NotFound, format!("no operator `{name}`"))
                .hint("`quorate-scheduler operator ls` names them"));
        }
        self.write(&all)
    }

    /// The operator with that name and password. A name that nobody has takes as long.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn check(&self, name: &str, password: &str) -> Result<Option<Operator>, Failure> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(None);
        }
        let known = self.all()?.into_iter().find(|operator| operator.name == name);
        let Some(known) = known else {
            hash(password)?;
            return Ok(None);
        };
        let parsed = PasswordHash::new(&known.hash).map_err(|error| unhashed(&error))?;
        let fits = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
        Ok(fits.then_some(known))
    }

    /// Whether an operator is still what it was when it logged in.
    pub fn stands(&self, operator: &Operator) -> bool {
        self.all().is_ok_and(|all| all.contains(operator))
    }

    /// Writes the file anew, whole or not at all, for its owner's eyes only.
    fn write(&self, all: &[Operator]) -> Result<(), Failure> {
        let unborn = self.path.with_extension("tmp");
        let text = serde_json::to_vec_pretty(all).expect("operators are plain data");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unborn)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unborn, &self.path)
        };
        write().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(Code::Internal, format!("{}: {error}", self.path.display()))
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let text = format!(
        "operator name `{shown}`: expected 1 to {NAME_BYTES_MAX} letters, digits and `-_.@`"
    );
    Err(Failure::new(Code::Usage, text))
}

fn check_password(password: &str) -> Result<(), Failure> {
    let chars = password.chars().count();
    if chars >= PASSWORD_CHARS_MIN && password.len() <= PASSWORD_BYTES_MAX {
        return Ok(());
    }
    let text =
        format!("the password has {chars} characters; expected at least {PASSWORD_CHARS_MIN}");
    Err(Failure::new(Code::Usage, text).hint("four or five random words do well"))
}

fn hash(password: &str) -> Result<String, Failure> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| unhashed(&error))?.to_string())
}

fn unhashed(error: &impl std::fmt::Display) -> Failure {
    Failure::new(Code::Internal, format!("a password could not be hashed: {error}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_operator_is_who_knows_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let operators = Operators::of(dir.path());
        assert!(operators.all().unwrap().is_empty());
        assert!(operators.check("ada", "correct horse battery").unwrap().is_none());
        operators.add("ada", Role::Act, "correct horse battery").unwrap();
        operators.add("bob", Role::Read, "another long password").unwrap();
        let ada = operators.check("ada", "correct horse battery").unwrap().unwrap();
        assert_eq!((ada.name.as_str(), ada.role), ("ada", Role::Act));
        assert!(operators.check("ada", "correct horse batterz").unwrap().is_none());
        assert!(operators.check("bob", "correct horse battery").unwrap().is_none());
        let path = dir.path().join("operators.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(path).unwrap().contains("$argon2id$"));
        assert!(operators.stands(&ada));
        operators.remove("ada").unwrap();
        assert!(!operators.stands(&ada), "its sessions end");
        assert!(operators.remove("ada").is_err());
    }

    #[test]
    fn weak_passwords_and_strange_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let operators = Operators::of(dir.path());
        let refused = |name: &str, password: &str| {
            operators.add(name, Role::Read, password).unwrap_err().to_string()
        };
        assert!(refused("ada", "short").contains("expected at least 12"));
        assert!(refused("", "long enough password").contains("expected 1 to 32"));
        assert!(refused("<script>", "long enough password").contains("letters, digits"));
    }
}
