//! What people do with messages: read, star, archive, label, remove, bring back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use restante_archive::MarkChange;
use restante_store::UniqueId;

use super::signed::Posted;
use super::{Fault, Reader, blocking};

enum Act {
    Mark(MarkChange),
    Trash,
    Restore,
}

/// What a button's value stands for.
fn act(action: &str, label: &str) -> Result<Act, Fault> {
    let mut change = MarkChange::default();
    match action {
        "read" => change.read = Some(true),
        "unread" => change.read = Some(false),
        "star" => change.starred = Some(true),
        "unstar" => change.starred = Some(false),
        "archive" => change.archived = Some(true),
        "unarchive" => change.archived = Some(false),
        "junk" => change.junk = Some(true),
        "notjunk" => change.junk = Some(false),
        "label" => change.add.push(label.to_owned()),
        "unlabel" => change.remove.push(label.to_owned()),
        "trash" => return Ok(Act::Trash),
        "restore" => return Ok(Act::Restore),
        _ => return Err(Fault::Bad("There is no such action.".to_owned())),
    }
    Ok(Act::Mark(change))
}

/// One message (`one=star:ID`) or all that are selected (`action=star`, an `id` for each).
pub(super) async fn mark(
    State(reader): State<Arc<Reader>>,
    posted: Posted,
) -> Result<Response, Fault> {
    let form = &posted.form;
    let (action, ids): (&str, Vec<UniqueId>) = match form.get("one").split_once(':') {
        Some((action, id)) => (action, vec![id.parse().map_err(|_| Fault::NotFound)?]),
        None => (form.get("action"), form.ids()?),
    };
    let act = act(action, form.get("label"))?;
    let back = form.back();
    let quiet = !form.get("quiet").is_empty();
    blocking(move || {
        let signed = &posted.signed;
        if ids.is_empty() {
            return Ok(());
        }
        match act {
            Act::Mark(change) => reader.archive.mark(&signed.scope, &ids, &change)?,
            Act::Trash => reader.archive.trash(&signed.scope, &ids)?,
            Act::Restore => {
                pollster::block_on(reader.store.restore(signed.mailbox, &ids))?;
                // One step: what was brought back is the newest change, unless the index has more to do.
                reader
                    .archive
                    .catch_up(&mut |_| std::ops::ControlFlow::Break(()))?;
            }
        }
        Ok(())
    })
    .await?;
    if quiet {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Redirect::to(&back).into_response())
}

/// Remembers whether images from elsewhere are shown in this sender's mail.
pub(super) async fn trust(
    State(reader): State<Arc<Reader>>,
    posted: Posted,
) -> Result<Redirect, Fault> {
    let back = posted.form.back();
    blocking(move || {
        let trusted = posted.form.get("trust") == "yes";
        let address = posted.form.get("address");
        if !address.is_empty() {
            reader
                .archive
                .set_trusted(posted.signed.mailbox, address, trusted)?;
        }
        Ok(())
    })
    .await?;
    Ok(Redirect::to(&back))
}
