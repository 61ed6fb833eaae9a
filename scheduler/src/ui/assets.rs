//! Style and scripts, built into the program: files of ours are the only ones a page may load.

use actix_web::{HttpResponse, get, http::header, web};
use quorate_common::digest::Digest;
use std::sync::LazyLock;

/// Name, type, bytes.
const ASSETS: [(&str, &str, &str); 4] = [
    ("ui.css", "text/css; charset=utf-8", include_str!("../../assets/ui.css")),
    ("ui.js", "text/javascript; charset=utf-8", include_str!("../../assets/ui.js")),
    ("proof.js", "text/javascript; charset=utf-8", include_str!("../../assets/proof.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Changes with the assets, so that browsers may keep them for ever.
pub(super) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let all: String = ASSETS.iter().map(|(_, _, text)| *text).collect();
        Digest::of(all.as_bytes()).to_string().chars().take(12).collect()
    });
    &VERSION
}

/// One of them. Strangers need the style to log in.
#[get("/ui/assets/{name}")]
pub(super) async fn asset(path: web::Path<String>) -> HttpResponse {
    let Some((_, kind, text)) = ASSETS.iter().find(|(name, ..)| *name == path.as_str()) else {
        return HttpResponse::NotFound().finish();
    };
    HttpResponse::Ok()
        .content_type(*kind)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(*text)
}
