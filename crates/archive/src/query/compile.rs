//! A tree to SQL: as much as can be into one MATCH of the full-text index, whose rows come newest
//! first; the rest as conditions on the message's row.

use rusqlite::types::Value;

use super::{Column, Is, Node, Query};
use crate::index::{SLOT_BITS, flags, meta, row_of};
use crate::script::spaced;

/// How a query is run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The full-text part.
    pub(crate) text: Option<String>,
    /// Rows from the first on, and before the second.
    pub(crate) rows: (i64, i64),
    /// Conditions on `message m`, with their values.
    pub(crate) conditions: Vec<String>,
    pub(crate) values: Vec<Value>,
}

/// Compiles for mailboxes of these numbers; `None` is all of them.
pub(crate) fn compile(query: &Query, mailboxes: Option<&[i64]>) -> Plan {
    let top = match &query.root {
        Node::And(nodes) => nodes.clone(),
        node => vec![node.clone()],
    };
    let mut plan = Plan {
        text: None,
        rows: (row_of(i64::MIN), i64::MAX),
        conditions: Vec::new(),
        values: Vec::new(),
    };
    let (mut text, mut rest) = (Vec::new(), Vec::new());
    for node in top {
        match node {
            Node::Date(from, to) => {
                plan.rows.0 = plan.rows.0.max(row_of(from));
                plan.rows.1 = plan.rows.1.min(row_end(to));
            }
            node if full_text(&node).is_some() => text.push(node),
            node => rest.push(node),
        }
    }
    if !text.is_empty() {
        let own = full_text(&Node::And(text));
        plan.text = match (own, mailboxes) {
            (Some(own), Some(numbers)) => {
                let seen: Vec<String> = numbers.iter().map(|n| word(&meta::mailbox(*n))).collect();
                Some(format!("({}) AND ({own})", seen.join(" OR ")))
            }
            (own, _) => own,
        };
    }
    for node in rest {
        let condition = condition(&node, &mut plan.values);
        plan.conditions.push(condition);
    }
    plan
}

/// The row before which a second lies.
fn row_end(second: i64) -> i64 {
    if second > i64::MAX >> (SLOT_BITS + 1) {
        i64::MAX
    } else {
        row_of(second)
    }
}

fn word(text: &str) -> String {
    format!("\"{text}\"")
}

/// The tree as FTS5 has it, if all of it can be; else `None`.
fn full_text(node: &Node) -> Option<String> {
    match node {
        Node::And(nodes) => {
            let (mut yes, mut no) = (Vec::new(), Vec::new());
            for node in nodes {
                match node {
                    Node::Not(inner) => no.push(full_text(inner)?),
                    other => yes.push(full_text(other)?),
                }
            }
            if yes.is_empty() {
                yes.push(word(meta::ALL));
            }
            let yes = format!("({})", yes.join(" AND "));
            if no.is_empty() {
                return Some(yes);
            }
            Some(format!("({yes} NOT ({}))", no.join(" OR ")))
        }
        Node::Or(nodes) => {
            let all: Option<Vec<String>> = nodes.iter().map(full_text).collect();
            Some(format!("({})", all?.join(" OR ")))
        }
        Node::Not(inner) => Some(format!("({} NOT {})", word(meta::ALL), full_text(inner)?)),
        Node::Text {
            column,
            text,
            prefix,
        } => {
            let column = match column {
                Column::Any => "",
                Column::Subject => "subject : ",
                Column::Sender => "sender : ",
                Column::Recipient => "recipient : ",
                Column::List => "list : ",
                Column::File => "file : ",
            };
            let star = if *prefix { " *" } else { "" };
            let text = text.replace('"', " ");
            Some(format!("({column}\"{}\"{star})", spaced(&text)))
        }
        Node::HasAttachment => Some(word(meta::ATTACHMENT)),
        Node::OnList => Some(word(meta::LIST)),
        Node::Newsletter => Some(word(meta::NEWSLETTER)),
        Node::Is(_)
        | Node::Label(_)
        | Node::Larger(_)
        | Node::Smaller(_)
        | Node::Date(..)
        | Node::Account(_)
        | Node::Id(_)
        | Node::Thread(_) => None,
    }
}

/// The tree as a condition on the message's row.
fn condition(node: &Node, values: &mut Vec<Value>) -> String {
    let mut value = |of: Value| {
        values.push(of);
        "?"
    };
    match node {
        Node::And(nodes) if nodes.is_empty() => "1".to_owned(),
        Node::And(nodes) => joined(nodes, " AND ", values),
        Node::Or(nodes) => joined(nodes, " OR ", values),
        Node::Not(inner) => format!("NOT {}", condition(inner, values)),
        Node::Is(is) => {
            let bit = match is {
                Is::Read => flags::READ,
                Is::Starred => flags::STARRED,
                Is::Archived => flags::ARCHIVED,
                Is::Junk => flags::JUNK,
            };
            format!("(m.flags & {bit} <> 0)")
        }
        Node::Label(None) => "(m.id IN (SELECT message FROM label))".to_owned(),
        Node::Label(Some(label)) => {
            let label = value(Value::Text(label.clone()));
            format!("(m.id IN (SELECT message FROM label WHERE label = {label}))")
        }
        Node::Larger(octets) => format!("(m.size > {})", value(signed(*octets))),
        Node::Smaller(octets) => format!("(m.size < {})", value(signed(*octets))),
        Node::Date(from, to) => {
            format!("(m.id >= {} AND m.id < {})", row_of(*from), row_end(*to))
        }
        Node::Account(name) => format!("(m.account IS {})", value(Value::Text(name.clone()))),
        Node::Id(id) => format!("(m.uid = {})", value(Value::Blob(id.as_bytes().to_vec()))),
        Node::Thread(thread) => format!("(m.thread = {})", value(Value::Integer(thread.0))),
        Node::Text { .. } | Node::HasAttachment | Node::OnList | Node::Newsletter => {
            let text = full_text(node).expect("these nodes are full text");
            let text = value(Value::Text(text));
            format!("(m.id IN (SELECT rowid FROM text WHERE text MATCH {text}))")
        }
    }
}

fn joined(nodes: &[Node], with: &str, values: &mut Vec<Value>) -> String {
    let all: Vec<String> = nodes.iter().map(|node| condition(node, values)).collect();
    format!("({})", all.join(with))
}

fn signed(octets: u64) -> Value {
    Value::Integer(i64::try_from(octets).unwrap_or(i64::MAX))
}
