//! Pieces to a tree.

use super::fields::{text_node, value};
use super::lexer::{Piece, Token, pieces};
use super::{Column, Node};
use crate::{QueryError, limits};

/// Understands a query; `now` is what `today` and `7d` count from, and gives the time zone.
pub(super) fn parse(text: &str, now: &jiff::Zoned) -> Result<Node, QueryError> {
    let pieces = pieces(text)?;
    let mut parser = Parser {
        end: text.chars().count(),
        pieces,
        at: 0,
        terms: 0,
        depth: 0,
        now,
    };
    if parser.pieces.is_empty() {
        return Ok(Node::And(Vec::new()));
    }
    let node = parser.or()?;
    match parser.peek() {
        None => Ok(node),
        Some(piece) => {
            Err(piece.wrong("this parenthesis closes nothing: remove it, or open one before"))
        }
    }
}

struct Parser<'a> {
    pieces: Vec<Piece>,
    end: usize,
    at: usize,
    terms: usize,
    depth: usize,
    now: &'a jiff::Zoned,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Piece> {
        self.pieces.get(self.at)
    }

    fn take(&mut self) -> Option<Piece> {
        let piece = self.pieces.get(self.at).cloned();
        self.at += 1;
        piece
    }

    fn takes(&mut self, token: &Token) -> bool {
        let there = self.peek().is_some_and(|piece| piece.token == *token);
        self.at += usize::from(there);
        there
    }

    fn ended(&self, what: &str) -> QueryError {
        QueryError {
            at: self.end,
            length: 0,
            what: what.to_owned(),
        }
    }

    fn or(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.and()?];
        while self.takes(&Token::Or) {
            nodes.push(self.and()?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    fn and(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.not()?];
        loop {
            let next = self.peek().map(|piece| &piece.token);
            match next {
                Some(Token::And) => {
                    self.at += 1;
                    nodes.push(self.not()?);
                }
                None | Some(Token::Or | Token::Close) => return Ok(one_or(nodes, Node::And)),
                Some(_) => nodes.push(self.not()?),
            }
        }
    }

    fn not(&mut self) -> Result<Node, QueryError> {
        let Some(piece) = self.take() else {
            return Err(self.ended("the query ends here, but something to look for should follow"));
        };
        match &piece.token {
            Token::Not => {
                self.deeper(&piece)?;
                let node = self.not()?;
                self.depth -= 1;
                Ok(Node::Not(Box::new(node)))
            }
            Token::Open => {
                self.deeper(&piece)?;
                if self.peek().is_some_and(|next| next.token == Token::Close) {
                    return Err(piece.wrong("there is nothing between these parentheses"));
                }
                let node = self.or()?;
                self.depth -= 1;
                if !self.takes(&Token::Close) {
                    return Err(piece.wrong("this parenthesis is not closed: add a ) after it"));
                }
                Ok(node)
            }
            Token::Close => Err(piece.wrong("something to look for should stand before this parenthesis")),
            Token::And | Token::Or => {
                Err(piece.wrong("an operator joins two things: something to look for should stand before it; in small letters it is a word"))
            }
            Token::Field(name) => {
                self.count(&piece)?;
                let name = name.clone();
                self.field(&name, &piece)
            }
            Token::Word(word, prefix) => {
                self.count(&piece)?;
                text_node(Column::Any, word, *prefix, &piece)
            }
            Token::Phrase(phrase) => {
                self.count(&piece)?;
                text_node(Column::Any, phrase, false, &piece)
            }
        }
    }

    fn field(&mut self, name: &str, field: &Piece) -> Result<Node, QueryError> {
        let touches = |next: &Piece| next.at == field.at + field.length;
        let Some(next) = self.peek().filter(|next| touches(next)).cloned() else {
            super::fields::known(name, field)?;
            return Err(field.wrong(format!(
                "{name}: needs a value right after it, such as {}",
                super::fields::example(name)
            )));
        };
        let (text, prefix) = match &next.token {
            Token::Word(word, prefix) => (word.clone(), *prefix),
            Token::Phrase(phrase) => (phrase.clone(), false),
            // `date:-…`, `subject:AND`, `subject:re:` are what they look like: text.
            Token::And | Token::Or | Token::Field(_) | Token::Not => {
                super::fields::known(name, field)?;
                return Err(next.wrong(format!("put the value of {name}: in quotes")));
            }
            Token::Open | Token::Close => {
                super::fields::known(name, field)?;
                return Err(next.wrong(format!(
                    "{name}: takes one value; write ({name}:a OR {name}:b) for several"
                )));
            }
        };
        self.at += 1;
        value(name, &text, prefix, field, &next, self.now)
    }

    fn deeper(&mut self, piece: &Piece) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > limits::QUERY_DEPTH {
            return Err(piece.wrong(format!(
                "parentheses and NOTs are nested more than {} deep",
                limits::QUERY_DEPTH
            )));
        }
        Ok(())
    }

    fn count(&mut self, piece: &Piece) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > limits::QUERY_TERMS {
            return Err(piece.wrong(format!(
                "a query looks for at most {} things",
                limits::QUERY_TERMS
            )));
        }
        Ok(())
    }
}

fn one_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => many(nodes),
    }
}
