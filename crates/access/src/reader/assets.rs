//! Style and script: in the program itself, so that nothing is missing without a network.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Fault;

/// Name, type, content. `htmx.min.js` is htmx 2.0.11 (0BSD, see `assets/htmx.LICENSE`), unchanged.
const ASSETS: &[(&str, &str, &[u8])] = &[
    (
        "reader.css",
        "text/css; charset=utf-8",
        include_bytes!("../../assets/reader.css"),
    ),
    (
        "reader.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/reader.js"),
    ),
    (
        "htmx.min.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/htmx.min.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_bytes!("../../assets/icon.svg"),
    ),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for (_, _, content) in ASSETS {
        hasher.update(content);
    }
    hasher.finalize().to_hex()[..12].to_owned()
});

/// Stands in the addresses of these files, so that browsers may keep them.
pub(super) fn version() -> &'static str {
    &VERSION
}

pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Fault> {
    let found = ASSETS.iter().find(|(known, _, _)| *known == name);
    let (_, kind, content) = found.ok_or(Fault::NotFound)?;
    let fields = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((fields, *content).into_response())
}
