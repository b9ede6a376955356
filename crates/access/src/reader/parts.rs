//! Attachments, images in a message, and its raw source. A file's kind is what its first octets say, never what the
//! message says of it.

use std::io::{self, Write as _};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use restante_archive::message::Part;
use restante_archive::{ArchiveError, Scope};
use restante_store::{MailStore, UniqueId};

use super::message::parse;
use super::signed::Signed;
use super::{Fault, Reader, blocking, stream};

/// Whatever is shown of a part may load nothing and run nothing.
const NOTHING: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox";
/// Browsers show a PDF with a viewer of their own, which a sandbox keeps from starting.
const VIEWER: &str =
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'";

/// How a part can be looked at without a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preview {
    Image(&'static str),
    Pdf,
    Text,
    None,
}

pub(super) fn preview(part: &Part) -> Preview {
    let content = part.start.as_slice();
    let webp = content.starts_with(b"RIFF") && content.get(8..12) == Some(b"WEBP");
    if content.starts_with(b"\x89PNG\r\n\x1a\n") {
        Preview::Image("image/png")
    } else if content.starts_with(b"\xff\xd8\xff") {
        Preview::Image("image/jpeg")
    } else if content.starts_with(b"GIF87a") || content.starts_with(b"GIF89a") {
        Preview::Image("image/gif")
    } else if webp {
        Preview::Image("image/webp")
    } else if content.starts_with(b"%PDF-") {
        Preview::Pdf
    } else if part.is_text {
        Preview::Text
    } else {
        Preview::None
    }
}

/// A name to show and to save under: no path, no control characters.
pub(super) fn name_of(part: &Part) -> String {
    let name = part.name.as_deref().unwrap_or_default();
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| {
            !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
        .take(150)
        .collect();
    let clean = clean.trim().trim_start_matches('.');
    if clean.is_empty() {
        format!("part-{}", part.id)
    } else {
        clean.to_owned()
    }
}

/// RFC 6266 §4: how a browser handles it, and the name in both forms.
fn disposition(how: &str, name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || " .-_".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let full = utf8_percent_encode(name, NON_ALPHANUMERIC);
    HeaderValue::try_from(format!(
        "{how}; filename=\"{plain}\"; filename*=UTF-8''{full}"
    ))
    .unwrap_or(HeaderValue::from_static("attachment"))
}

fn answer(
    content: Vec<u8>,
    kind: &'static str,
    shown: HeaderValue,
    policy: &'static str,
) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, shown),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(policy),
        ),
        (
            header::X_FRAME_OPTIONS,
            HeaderValue::from_static("SAMEORIGIN"),
        ),
    ];
    (fields, content).into_response()
}

/// A part to save.
pub(super) async fn download(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path((id, part)): Path<(String, u32)>,
) -> Result<Response, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let (part, content) = reader.archive.part(&signed.scope, id, part)?;
        let shown = disposition("attachment", &name_of(&part));
        Ok(answer(content, "application/octet-stream", shown, NOTHING))
    })
    .await
}

/// A part to look at.
pub(super) async fn view(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path((id, part)): Path<(String, u32)>,
) -> Result<Response, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let (part, content) = reader.archive.part(&signed.scope, id, part)?;
        let shown = disposition("inline", &name_of(&part));
        Ok(match preview(&part) {
            Preview::Image(kind) => answer(content, kind, shown, NOTHING),
            Preview::Pdf => answer(content, "application/pdf", shown, VIEWER),
            Preview::Text => answer(content, "text/plain; charset=utf-8", shown, NOTHING),
            Preview::None => {
                let shown = disposition("attachment", &name_of(&part));
                answer(content, "application/octet-stream", shown, NOTHING)
            }
        })
    })
    .await
}

/// An image that a message's HTML shows. The frame that asks has no session; that its address was made here says that
/// whoever shows it may see the message.
pub(super) async fn inline(
    State(reader): State<Arc<Reader>>,
    Path((id, part, mac)): Path<(String, u32, String)>,
) -> Result<Response, Fault> {
    if blake3::hash(reader.sessions.mac(&id, part).as_bytes()) != blake3::hash(mac.as_bytes()) {
        return Err(Fault::NotFound);
    }
    let id = parse(&id)?;
    blocking(move || {
        let (part, content) = reader.archive.part(&Scope::all(), id, part)?;
        let Preview::Image(kind) = preview(&part) else {
            return Err(Fault::NotFound);
        };
        let shown = HeaderValue::from_static("inline");
        let mut response = answer(content, kind, shown, NOTHING);
        // The frame's origin is nobody's, so that it counts as another site.
        response.headers_mut().insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
        Ok(response)
    })
    .await
}

/// The message as it came, to be read.
pub(super) async fn raw(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    source(&reader, &signed, &id, "text/plain; charset=utf-8", "inline").await
}

/// The message as it came, to be saved or opened in a mail program.
pub(super) async fn eml(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    source(&reader, &signed, &id, "message/rfc822", "attachment").await
}

async fn source(
    reader: &Arc<Reader>,
    signed: &Signed,
    id: &str,
    kind: &'static str,
    how: &'static str,
) -> Result<Response, Fault> {
    let id = parse(id)?;
    let info = reader.store.message(id).await?;
    if !info.is_some_and(|info| signed.scope.contains(info.mailbox)) {
        return Err(Fault::NotFound);
    }
    let store = Arc::clone(&reader.store);
    let body = stream::body(move |sink| copy(&*store, id, |bytes| sink.write_all(bytes)));
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CONTENT_DISPOSITION,
            disposition(how, &format!("{id}.eml")),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(NOTHING),
        ),
    ];
    Ok((fields, body).into_response())
}

/// Reads a message piece by piece.
pub(super) fn copy(
    store: &dyn MailStore,
    id: UniqueId,
    mut to: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let failed = |error| io::Error::other(ArchiveError::from(error).to_string());
    let mut body = pollster::block_on(store.read(id)).map_err(failed)?;
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if pollster::block_on(body.read(&mut piece)).map_err(failed)? == 0 {
            return Ok(());
        }
        to(&piece)?;
    }
}

#[cfg(test)]
mod tests {
    use restante_archive::limits::PART_START_OCTETS;

    use super::*;

    fn part(name: &str, media_type: &str, content: &[u8]) -> Part {
        Part {
            id: 3,
            name: Some(name.to_owned()),
            media_type: media_type.to_owned(),
            content_id: None,
            inline: false,
            within: None,
            size: content.len() as u64,
            start: content[..content.len().min(PART_START_OCTETS)].to_vec(),
            is_text: media_type.starts_with("text/"),
        }
    }

    #[test]
    fn a_kind_is_what_the_octets_say() {
        let html = part("x.png", "image/png", b"<script>alert(1)</script>");
        assert_eq!(preview(&html), Preview::None);
        let svg = part("x.svg", "image/svg+xml", b"<svg/>");
        assert_eq!(preview(&svg), Preview::None);
        let page = part("x.html", "text/html", b"<script>alert(1)</script>");
        // Shown as plain text, and sniffed by nobody.
        assert_eq!(preview(&page), Preview::Text);
        let png = part("x", "text/html", b"\x89PNG\r\n\x1a\n");
        assert_eq!(preview(&png), Preview::Image("image/png"));
    }

    #[test]
    fn names_lead_nowhere() {
        for (name, shown) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\windows\\x.exe", "x.exe"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("..", "part-3"),
            ("", "part-3"),
        ] {
            assert_eq!(name_of(&part(name, "x/y", b"")), shown);
        }
        let field = disposition("attachment", "Rechnung \"März\".pdf");
        assert_eq!(
            field.to_str().expect("ASCII"),
            "attachment; filename=\"Rechnung _M_rz_.pdf\"; filename*=UTF-8''Rechnung%20%22M%C3%A4rz%22%2Epdf"
        );
    }
}
