//! Rules: a saved query and what is done with what it finds.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use restante_archive::{Action, Page, RuleId};

use super::list::Row;
use super::page::Frame;
use super::signed::{Posted, Signed};
use super::{Fault, Reader, blocking, show};
use crate::limits::READER_ROWS;

struct Saved {
    id: RuleId,
    name: String,
    query: String,
    action: String,
}

struct Previewed {
    id: RuleId,
    name: String,
    total: String,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "reader/rules.html")]
struct RulesPage {
    frame: Frame,
    rules: Vec<Saved>,
    mistake: Option<String>,
    name: String,
    query: String,
    previewed: Option<Previewed>,
}

impl RulesPage {
    fn of(reader: &Reader, signed: &Signed) -> Result<Self, Fault> {
        let rules = reader.archive.rules(&signed.scope)?;
        Ok(Self {
            frame: Frame::new(reader, signed, "Rules", "rules")?,
            rules: rules
                .into_iter()
                .map(|rule| Saved {
                    id: rule.id,
                    name: rule.name,
                    query: rule.query,
                    action: rule.action.to_string(),
                })
                .collect(),
            mistake: None,
            name: String::new(),
            query: String::new(),
            previewed: None,
        })
    }
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
) -> Result<Html<String>, Fault> {
    blocking(move || Ok(Html(RulesPage::of(&reader, &signed)?.render()?))).await
}

fn action(name: &str, label: &str) -> Result<Action, String> {
    Ok(match name {
        "label" if label.trim().is_empty() => return Err("Which label?".to_owned()),
        "label" => Action::Label(label.to_owned()),
        "star" => Action::Star,
        "junk" => Action::Junk,
        "archive" => Action::Archive,
        "read" => Action::Read,
        _ => return Err("What is to be done?".to_owned()),
    })
}

/// Adds a rule and shows what it finds; nothing is done to what is there before it is asked for.
pub(super) async fn add(
    State(reader): State<Arc<Reader>>,
    posted: Posted,
) -> Result<Response, Fault> {
    blocking(move || {
        let form = &posted.form;
        let (name, query) = (form.get("name"), form.get("query"));
        let added = action(form.get("action"), form.get("label")).and_then(|action| {
            let mailbox = posted.signed.mailbox;
            let added = reader.archive.add_rule(mailbox, name, query, &action);
            added.map_err(|error| error.to_string())
        });
        match added {
            Ok(id) => Ok(Redirect::to(&format!("/rules/{id}/preview")).into_response()),
            Err(mistake) => {
                let page = RulesPage {
                    mistake: Some(mistake),
                    name: name.to_owned(),
                    query: query.to_owned(),
                    ..RulesPage::of(&reader, &posted.signed)?
                };
                Ok(Html(page.render()?).into_response())
            }
        }
    })
    .await
}

pub(super) async fn preview(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<RuleId>,
) -> Result<Html<String>, Fault> {
    blocking(move || {
        let mut page = RulesPage::of(&reader, &signed)?;
        let wanted = Page {
            limit: READER_ROWS,
            count: true,
            ..Page::default()
        };
        let results = reader.archive.preview_rule(&signed.scope, id, &wanted)?;
        let rule = page.rules.iter().find(|rule| rule.id == id);
        page.previewed = Some(Previewed {
            id,
            name: rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            total: show::count(results.total.unwrap_or(0)),
            rows: results.entries.into_iter().map(Row::new).collect(),
        });
        Ok(Html(page.render()?))
    })
    .await
}

pub(super) async fn apply(
    State(reader): State<Arc<Reader>>,
    Path(id): Path<RuleId>,
    posted: Posted,
) -> Result<Redirect, Fault> {
    blocking(move || {
        reader.archive.apply_rule(&posted.signed.scope, id)?;
        Ok(Redirect::to("/rules"))
    })
    .await
}

pub(super) async fn remove(
    State(reader): State<Arc<Reader>>,
    Path(id): Path<RuleId>,
    posted: Posted,
) -> Result<Redirect, Fault> {
    blocking(move || {
        reader.archive.remove_rule(&posted.signed.scope, id)?;
        Ok(Redirect::to("/rules"))
    })
    .await
}
