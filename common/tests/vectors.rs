//! Golden files: the bytes that programs of another version or in another language must agree on.
//! Each is compared byte by byte with what the code gives; `QUORATE_BLESS=1` writes them anew. Their
//! shape is in `vectors/README.md`, and `deploy/contracts/test/Vectors.t.sol` reads two of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "vectors/eip712.rs"]
mod eip712;
#[path = "vectors/identity.rs"]
mod identity;
#[path = "vectors/json.rs"]
mod json;
#[path = "vectors/manifest.rs"]
mod manifest;
#[path = "vectors/merkle.rs"]
mod merkle;
#[path = "vectors/wire.rs"]
mod wire;

use json::Json;
use std::{fs, path::Path};

/// Compares a golden file with `json`, or writes it when asked to.
#[track_caller]
fn golden(name: &str, json: &Json) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    let mut text = serde_json::to_string_pretty(json).unwrap();
    text.push('\n');
    if std::env::var_os("QUORATE_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    let line = known.lines().zip(text.lines()).take_while(|(one, other)| one == other).count() + 1;
    assert!(
        known == text,
        "vectors/{name} differs from the code at line {line}: a change of protocol. \
         If it is meant, raise the version and run with QUORATE_BLESS=1"
    );
}
