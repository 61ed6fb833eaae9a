//! `set` and `get`: the configuration, a key at a time.

use super::{
    Global,
    config::Config,
    control, failure,
    join::write_file,
    keys::AT_START,
    output::{Output, facts},
};
use crate::{control::Ask, start};
use quorate_common::{
    config::{Key, Origin},
    exit::{Code, Failure},
};
use serde_json::json;

/// `set`.
pub(super) async fn set(global: Global, pairs: Vec<String>, output: Output) -> Result<(), Failure> {
    let names = names(&pairs);
    let with = Global {
        set: global.set.iter().cloned().chain(pairs.iter().cloned()).collect(),
        ..global.clone()
    };
    for name in change(&global, pairs).await? {
        output.note(format!("`{name}` takes effect when the worker starts next"));
    }
    let config = Config::load(&with, &[])?;
    show(&config, |key| names.iter().any(|name| name == key.name), output)
}

/// Changes the configuration and tells the worker. Nothing is written unless all of it is good. Which of the keys
/// take effect at its next start only.
pub(crate) async fn change(
    global: &Global,
    pairs: Vec<String>,
) -> Result<Vec<&'static str>, Failure> {
    let names = names(&pairs);
    let global = global.clone();
    let with = Global { set: global.set.iter().cloned().chain(pairs).collect(), ..global };
    let config = Config::load(&with, &[])?;
    let written = Config::without_environment(&with, &[], false)?;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| failure::file(&config.data_dir, &error))?;
    write_file(&written.file, &written.layers.commented_file())?;
    let is_running = start::is_running(&config.data_dir);
    if is_running {
        control::ask(&config, &Ask::Reload).await?;
    }
    let is_later = |key: &&str| is_running && names.iter().any(|name| name == key);
    Ok(AT_START.into_iter().filter(is_later).collect())
}

fn names(pairs: &[String]) -> Vec<String> {
    pairs.iter().map(|pair| pair.split('=').next().unwrap_or(pair).to_owned()).collect()
}

/// `get`.
pub(super) fn get(global: &Global, name: Option<&str>, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    let is_known = |name: &str| config.layers.rows().iter().any(|(key, _)| key.name == name);
    if let Some(name) = name.filter(|name| !is_known(name)) {
        return Err(Failure::new(Code::NotFound, format!("there is no key `{name}`"))
            .hint("`quorate-worker get` prints all of them"));
    }
    show(&config, |key| name.is_none_or(|name| name == key.name), output)
}

fn show(config: &Config, is_shown: impl Fn(&Key) -> bool, output: Output) -> Result<(), Failure> {
    let rows: Vec<(Key, Option<(String, Origin)>)> =
        config.layers.rows().into_iter().filter(|(key, _)| is_shown(key)).collect();
    let value = |value: &Option<(String, Origin)>| value.clone().map(|(value, _)| value);
    let keys: Vec<_> = rows
        .iter()
        .map(|(key, found)| json!({ "key": key.name, "value": value(found), "help": key.help }))
        .collect();
    let document = json!({ "schema": "quorate.config/v1", "keys": keys });
    output.either(&document, || {
        let unset = || "(not set)".to_owned();
        let rows: Vec<(&str, String)> = rows
            .iter()
            .map(|(key, found)| (key.name, value(found).unwrap_or_else(unset)))
            .collect();
        facts(&rows)
    })
}
