//! What is selected, or all that a search finds, as one mbox.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use restante_archive::{Page, Query};
use restante_store::UniqueId;
use restante_store::mbox::Writer;

use super::signed::{Posted, Signed};
use super::{Fault, Reader, blocking, parts, stream};
use crate::limits::{READER_EXPORT, READER_SELECTED};

pub(super) async fn export(
    State(reader): State<Arc<Reader>>,
    posted: Posted,
) -> Result<Response, Fault> {
    let ids = posted.form.ids()?;
    let query = posted.form.get("q").to_owned();
    let all = posted.form.get("all") == "yes";
    let of = Arc::clone(&reader);
    let ids = blocking(move || {
        let ids = if all {
            matching(&of, &posted.signed, &query)?
        } else {
            ids
        };
        for id in &ids {
            // Whatever the form names, only this user's mail goes out.
            let info = pollster::block_on(of.store.message(*id))?;
            if !info.is_some_and(|info| posted.signed.scope.contains(info.mailbox)) {
                return Err(Fault::NotFound);
            }
        }
        Ok(ids)
    })
    .await?;
    if ids.is_empty() {
        return Err(Fault::Bad("Nothing is selected.".to_owned()));
    }
    let store = Arc::clone(&reader.store);
    let body = stream::body(move |sink| {
        let mut mbox = Writer::new(sink);
        for id in ids {
            mbox.begin("MAILER-DAEMON", id.unix_ms())?;
            parts::copy(&*store, id, |bytes| mbox.write(bytes))?;
            mbox.end()?;
        }
        io::Result::Ok(())
    });
    let fields = [
        (header::CONTENT_TYPE, "application/mbox"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"restante.mbox\"",
        ),
    ];
    Ok((fields, body).into_response())
}

/// All that a search finds, oldest first.
fn matching(reader: &Reader, signed: &Signed, query: &str) -> Result<Vec<UniqueId>, Fault> {
    let query = Query::parse(query).map_err(|error| Fault::Bad(error.to_string()))?;
    let mut ids = Vec::new();
    let mut page = Page {
        limit: READER_SELECTED,
        ..Page::default()
    };
    loop {
        let results = reader.archive.search(&signed.scope, &query, &page)?;
        ids.extend(results.entries.iter().map(|entry| entry.id));
        page.after = results.next;
        if page.after.is_none() {
            ids.reverse();
            return Ok(ids);
        }
        if ids.len() >= READER_EXPORT {
            return Err(Fault::Bad(format!(
                "That is more than {READER_EXPORT} messages: use `restante export`."
            )));
        }
    }
}
