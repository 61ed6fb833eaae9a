//! Style and script, built into the program: files of ours are the only ones a page may load. The style is that of
//! the operator's pages, with a little of its own behind it.

use super::answer::{Answer, bytes, plain};
use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, HeaderValue},
};
use std::sync::LazyLock;

/// Name, type, bytes.
const ASSETS: [(&str, &str, &str); 4] = [
    ("ui.css", "text/css; charset=utf-8", include_str!("../../../scheduler/assets/ui.css")),
    ("page.css", "text/css; charset=utf-8", include_str!("../../assets/page.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("../../assets/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../../scheduler/assets/icon.svg")),
];

/// Changes with the assets, so that browsers may keep them for ever.
pub(super) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let all: String = ASSETS.iter().map(|(_, _, text)| *text).collect();
        blake3::hash(all.as_bytes()).to_hex()[..12].to_owned()
    });
    &VERSION
}

/// One of them. Strangers need the style to read why they are not let in.
pub(super) fn asset(name: &str) -> Answer {
    let Some((_, kind, text)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return plain(StatusCode::NOT_FOUND, "there is no such file");
    };
    let mut answer = bytes(StatusCode::OK, kind, *text);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    answer.headers_mut().insert(CACHE_CONTROL, kept);
    answer
}
