//! What an application written for iExec finds in its environment, and how it says what its result is: with a
//! `computed.json` that names the path whose content is the same on every machine.
//!
//! Deliberately absent: enclaves and secrets, which have no meaning here, and any file beside that path.

use crate::{held::Folders, output::Files};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where such an application finds its folders.
pub const FOLDERS: Folders = Folders { input: "/iexec_in", output: "/iexec_out" };
/// What it must write.
const COMPUTED: &str = "computed.json";

/// Which task of which bag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its name in signatures.
    pub task_id: [u8; 32],
    /// Which of the bag's tasks, from 0.
    pub index: u32,
    /// How many there are.
    pub tasks: u32,
    /// Which of the inputs is the dataset, by its path.
    pub dataset: Option<String>,
}

/// What is wrong with what an application said. The sentence is the result, the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputedError {
    /// The most common mistake of all.
    #[error(
        "$IEXEC_OUT/computed.json is missing; expected the application to write it, as \
         {{\"deterministic-output-path\": \"/iexec_out/result.txt\"}}"
    )]
    Missing,
    /// Something else is in it.
    #[error(
        "$IEXEC_OUT/computed.json is not what it should be; expected an object with the text \
         \"deterministic-output-path\" or \"callback-data\""
    )]
    Malformed,
    /// A path that is not in the output folder.
    #[error("$IEXEC_OUT/computed.json names the path {0:?}; expected one in the folder /iexec_out")]
    Elsewhere(String),
    /// A path that is not there.
    #[error("$IEXEC_OUT/computed.json names the path {0:?}; nothing was written there")]
    Nothing(String),
    /// Bytes that are none.
    #[error("$IEXEC_OUT/computed.json has `callback-data` that is not 0x and hex digits")]
    Callback,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Computed {
    deterministic_output_path: Option<String>,
    callback_data: Option<String>,
}

/// The variables, in the order iExec's own worker sets them. `inputs` are paths below the input folder.
pub fn environment(place: &Place, inputs: &[&str]) -> Vec<String> {
    let files: Vec<&str> =
        inputs.iter().copied().filter(|path| Some(*path) != place.dataset.as_deref()).collect();
    let mut all = BTreeMap::from([
        ("IEXEC_TASK_ID".to_owned(), format!("0x{}", hex::encode(place.task_id))),
        ("IEXEC_IN".to_owned(), FOLDERS.input.to_owned()),
        ("IEXEC_OUT".to_owned(), FOLDERS.output.to_owned()),
        ("IEXEC_BOT_SIZE".to_owned(), place.tasks.to_string()),
        ("IEXEC_BOT_FIRST_INDEX".to_owned(), "0".to_owned()),
        ("IEXEC_BOT_TASK_INDEX".to_owned(), place.index.to_string()),
        ("IEXEC_TASK_INDEX".to_owned(), place.index.to_string()),
        ("IEXEC_INPUT_FILES_FOLDER".to_owned(), FOLDERS.input.to_owned()),
        ("IEXEC_INPUT_FILES_NUMBER".to_owned(), files.len().to_string()),
    ]);
    if let Some(dataset) = &place.dataset {
        all.insert("IEXEC_DATASET_FILENAME".to_owned(), dataset.clone());
    }
    for (at, file) in files.iter().enumerate() {
        all.insert(format!("IEXEC_INPUT_FILE_NAME_{}", at + 1), (*file).to_owned());
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The part of what was written that is the result: a file under its own name, or what is in a folder.
///
/// # Errors
/// [`ComputedError`]: then there is none.
pub fn result(mut files: Files) -> Result<Files, ComputedError> {
    let said = files.remove(COMPUTED).ok_or(ComputedError::Missing)?;
    let Ok(computed) = serde_json::from_slice::<Computed>(&said) else {
        return Err(ComputedError::Malformed);
    };
    match computed {
        Computed { deterministic_output_path: Some(path), .. } => at(&path, files),
        Computed { callback_data: Some(data), .. } => callback(&data),
        Computed { .. } => Err(ComputedError::Malformed),
    }
}

fn at(path: &str, files: Files) -> Result<Files, ComputedError> {
    const CHARS_MAX: usize = 200;
    let shown = || path.chars().take(CHARS_MAX).collect::<String>();
    let below = path
        .strip_prefix(FOLDERS.output)
        .filter(|below| below.is_empty() || below.starts_with('/'));
    let wanted = below.ok_or_else(|| ComputedError::Elsewhere(shown()))?.trim_matches('/');
    if wanted.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(ComputedError::Elsewhere(shown()));
    }
    if wanted.is_empty() {
        return Ok(files);
    }
    let name = wanted.rsplit('/').next().unwrap_or(wanted);
    let found: Files = files
        .into_iter()
        .filter_map(|(path, bytes)| {
            if path == wanted {
                return Some((name.to_owned(), bytes));
            }
            let inner = path.strip_prefix(wanted)?.strip_prefix('/')?.to_owned();
            Some((inner, bytes))
        })
        .collect();
    if found.is_empty() { Err(ComputedError::Nothing(shown())) } else { Ok(found) }
}

fn callback(data: &str) -> Result<Files, ComputedError> {
    let digits = data.strip_prefix("0x").ok_or(ComputedError::Callback)?;
    let bytes = hex::decode(digits).map_err(|_| ComputedError::Callback)?;
    Ok(Files::from([("callback-data".to_owned(), bytes)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn only_what_is_named_is_the_result() {
        let said = |path: &str| {
            let computed = format!("{{\"deterministic-output-path\": {path:?}}}");
            let written =
                [("computed.json", computed.as_str()), ("a/b", "1"), ("a/c/d", "2"), ("ab", "3")];
            result(files(&written))
        };
        assert_eq!(said("/iexec_out/ab"), Ok(files(&[("ab", "3")])));
        assert_eq!(said("/iexec_out/a/c/d"), Ok(files(&[("d", "2")])));
        assert_eq!(said("/iexec_out/a/"), Ok(files(&[("b", "1"), ("c/d", "2")])));
        assert_eq!(said("/iexec_out"), Ok(files(&[("a/b", "1"), ("a/c/d", "2"), ("ab", "3")])));
        assert_eq!(said("/iexec_out/x"), Err(ComputedError::Nothing("/iexec_out/x".into())));
        for path in ["/etc/passwd", "/iexec_outside/a", "/iexec_out/../a", "a"] {
            assert_eq!(said(path), Err(ComputedError::Elsewhere(path.into())));
        }
    }

    #[test]
    fn what_is_not_said_right_is_told_in_a_sentence() {
        assert_eq!(result(files(&[("a", "1")])), Err(ComputedError::Missing));
        assert!(ComputedError::Missing.to_string().contains("computed.json is missing; expected"));
        for text in ["", "[]", "{}", "{\"deterministic-output-path\": 1}"] {
            assert_eq!(result(files(&[(COMPUTED, text)])), Err(ComputedError::Malformed));
        }
        let called = |text: &str| result(files(&[(COMPUTED, text)]));
        let data = Files::from([("callback-data".to_owned(), vec![1, 0xff])]);
        assert_eq!(called("{\"callback-data\": \"0x01ff\"}"), Ok(data));
        assert_eq!(called("{\"callback-data\": \"01ff\"}"), Err(ComputedError::Callback));
    }

    #[test]
    fn the_environment_tells_the_dataset_from_other_inputs() {
        let place = Place { index: 3, tasks: 9, dataset: Some("d".into()), ..Place::default() };
        let all = environment(&place, &["a", "d", "z/b"]);
        for line in [
            "IEXEC_IN=/iexec_in",
            "IEXEC_OUT=/iexec_out",
            "IEXEC_BOT_SIZE=9",
            "IEXEC_BOT_FIRST_INDEX=0",
            "IEXEC_BOT_TASK_INDEX=3",
            "IEXEC_DATASET_FILENAME=d",
            "IEXEC_INPUT_FILES_NUMBER=2",
            "IEXEC_INPUT_FILE_NAME_1=a",
            "IEXEC_INPUT_FILE_NAME_2=z/b",
        ] {
            assert!(all.iter().any(|known| known == line), "{line} is not in {all:?}");
        }
        let without = environment(&Place::default(), &[]);
        assert!(!without.iter().any(|line| line.contains("DATASET")), "{without:?}");
    }
}
