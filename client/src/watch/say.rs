//! What the watcher says: a line for people, or one JSON event.

use crate::output::Output;
use quorate_common::{exit::Failure, ids::PoolId};
use serde_json::{Map, Value, json};

/// The schema of every event.
const SCHEMA: &str = "quorate.watch/v1";

/// Something that happened, to be said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    event: &'static str,
    pool: PoolId,
    index: Option<u64>,
    text: String,
    more: Map<String, Value>,
}

impl Said {
    /// `event` is the stable name, `text` the words.
    pub(super) fn new(
        event: &'static str,
        pool: PoolId,
        index: Option<u64>,
        text: impl ToString,
    ) -> Self {
        Self { event, pool, index, text: text.to_string(), more: Map::new() }
    }

    /// One more field of the JSON event.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Says it on standard output.
    pub(super) fn say(self, output: Output) -> Result<(), Failure> {
        let Self { event, pool, index, text, more } = self;
        let mut document = json!({ "schema": SCHEMA, "event": event, "pool": pool, "text": text });
        if let Value::Object(fields) = &mut document {
            fields.extend(index.map(|index| ("batch".to_owned(), index.into())));
            fields.extend(more);
        }
        output.either(&document, || match index {
            Some(index) => format!("{pool} batch {index}: {text}"),
            None => format!("{pool}: {text}"),
        })
    }
}
