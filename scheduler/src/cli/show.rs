//! `config show`, `config check` and `replay`.

use super::output::Output;
use crate::{config::Config, replay};
use quorate_common::{
    config::{Key, Layers, Origin},
    exit::Failure,
};
use serde_json::{Value, json};

/// `config show`.
pub(super) fn show(layers: &Layers, origin: bool, output: Output) -> Result<(), Failure> {
    let rows = layers.rows();
    let document = |(key, value): &(Key, Option<(String, Origin)>)| {
        let (value, from) = value.as_ref().map(|(v, from)| (v, from.to_string())).unzip();
        json!({ "key": key.name, "value": value, "origin": from, "help": key.help })
    };
    let keys: Vec<Value> = rows.iter().map(document).collect();
    output.either(&json!({ "schema": "quorate.config/v1", "keys": keys }), || {
        let line = |(key, value): &(Key, Option<(String, Origin)>)| match value {
            Some((value, from)) if origin => format!("{} = {value}    # {from}", key.name),
            Some((value, _)) => format!("{} = {value}", key.name),
            None => format!("# {} is not set", key.name),
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// `config check`: whoever has a [`Config`] has read every value.
pub(super) fn check(config: &Config, output: Output) -> Result<(), Failure> {
    let document = json!({ "schema": "quorate.config-check/v1", "ok": true, "data": config.data });
    output.either(&document, || "ok".into())
}

/// `replay`.
pub(super) fn replay(config: &Config, output: Output) -> Result<(), Failure> {
    let standing = replay::standing(config)?;
    output.either(&standing, || {
        let replay::Standing { seq, state, acknowledged, orders, settled, batches, .. } = &standing;
        format!(
            "record        {seq}\nstate         {state}\nacknowledged  {acknowledged}\norders        \
             {orders}\nsettled       {settled}\nbatches       {batches}"
        )
    })
}
