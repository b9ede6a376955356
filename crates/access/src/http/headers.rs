//! The header fields that keep a browser from doing more with a page than showing it.

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};

/// What a page may load and do, unless its handler says otherwise: what this server serves, and nothing
/// from elsewhere. No script, style or image in the page's own text counts.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FIELDS: &[(&str, &str)] = &[
    ("content-security-policy", PAGE_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("x-dns-prefetch-control", "off"),
    ("cache-control", "no-store"),
];

/// Adds the fields that an answer does not have yet. Over TLS, the browser is told to stay with it for
/// half a year.
pub fn secure(headers: &mut HeaderMap, tls: bool) {
    for &(name, value) in FIELDS {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    if tls {
        headers
            .entry(HeaderName::from_static("strict-transport-security"))
            .or_insert(HeaderValue::from_static("max-age=15552000"));
    }
}
