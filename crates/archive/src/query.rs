//! The query language: what a person types, understood, and compiled for SQLite.
//!
//! ```text
//! query   = [ or ]
//! or      = and *( "OR" and )
//! and     = not *( [ "AND" ] not )
//! not     = ( "NOT" / "-" ) not / "(" or ")" / term
//! term    = word / word "*" / phrase / field ":" ( word / word "*" / phrase )
//! phrase  = DQUOTE *( any but DQUOTE ) DQUOTE
//! field   = "from" / "to" / "subject" / "list" / "label" / "is" / "has" / "filename" / "larger" /
//!           "smaller" / "before" / "after" / "date" / "account" / "id" / "thread"
//! ```
//!
//! AND, OR and NOT are operators in capitals only. Words are found whatever their case and accents.

mod compile;
mod fields;
mod lexer;
mod parser;

use restante_store::UniqueId;

use crate::snippet::Phrase;
use crate::{QueryError, ThreadId};

pub(crate) use compile::{Plan, compile};

/// A query that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(crate) root: Node,
}

/// A column of the full-text index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Any,
    Subject,
    Sender,
    Recipient,
    List,
    File,
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Read,
    Starred,
    Archived,
    Junk,
}

/// A query as a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// Matches every message; an empty AND.
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Text {
        column: Column,
        text: String,
        prefix: bool,
    },
    Is(Is),
    HasAttachment,
    OnList,
    Newsletter,
    Label(Option<String>),
    Larger(u64),
    Smaller(u64),
    /// From the first second on, and before the second.
    Date(i64, i64),
    Account(String),
    Id(UniqueId),
    Thread(ThreadId),
}

impl Query {
    /// Understands a query. An empty one finds every message.
    ///
    /// # Errors
    /// Says where it is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let now = jiff::Zoned::now();
        parser::parse(text, &now).map(|root| Self { root })
    }

    /// Whether it finds every message.
    pub fn is_everything(&self) -> bool {
        matches!(&self.root, Node::And(nodes) if nodes.is_empty())
    }

    /// What text looks for anywhere, for highlighting. What is looked for in a header only is shown there.
    pub(crate) fn phrases(&self) -> Vec<Phrase> {
        let mut phrases = Vec::new();
        gather(&self.root, &mut phrases);
        phrases
    }
}

fn gather(node: &Node, phrases: &mut Vec<Phrase>) {
    match node {
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| gather(node, phrases)),
        Node::Text {
            column: Column::Any,
            text,
            prefix,
        } => phrases.extend(Phrase::new(text, *prefix)),
        _ => {}
    }
}
