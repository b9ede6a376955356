//! A query in pieces, each with its place.

use crate::{QueryError, limits};

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    /// `field:`, with what follows at once, if anything.
    Field(String),
    /// A word, and whether `*` ends it.
    Word(String, bool),
    Phrase(String),
}

/// A piece and its place, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) token: Token,
    pub(super) at: usize,
    pub(super) length: usize,
}

impl Piece {
    pub(super) fn wrong(&self, what: impl Into<String>) -> QueryError {
        QueryError {
            at: self.at,
            length: self.length,
            what: what.into(),
        }
    }
}

/// Takes a query to pieces.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, QueryError> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > limits::QUERY_CHARACTERS {
        return Err(QueryError {
            at: limits::QUERY_CHARACTERS,
            length: 0,
            what: format!(
                "a query has at most {} characters",
                limits::QUERY_CHARACTERS
            ),
        });
    }
    let mut lexer = Lexer {
        characters,
        at: 0,
        pieces: Vec::new(),
    };
    while lexer.next()? {}
    Ok(lexer.pieces)
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
    pieces: Vec<Piece>,
}

impl Lexer {
    fn push(&mut self, token: Token, from: usize) {
        self.pieces.push(Piece {
            token,
            at: from,
            length: self.at - from,
        });
    }

    fn next(&mut self) -> Result<bool, QueryError> {
        let Some(&c) = self.characters.get(self.at) else {
            return Ok(false);
        };
        let from = self.at;
        let after = self.characters.get(from + 1).copied();
        match c {
            c if c.is_whitespace() => self.at += 1,
            '(' => {
                self.at += 1;
                self.push(Token::Open, from);
            }
            ')' => {
                self.at += 1;
                self.push(Token::Close, from);
            }
            '"' => self.phrase()?,
            '-' if after.is_some_and(|c| !c.is_whitespace() && c != '-') => {
                self.at += 1;
                self.push(Token::Not, from);
            }
            _ => self.word(),
        }
        Ok(true)
    }

    fn phrase(&mut self) -> Result<(), QueryError> {
        let from = self.at;
        self.at += 1;
        let rest = &self.characters[self.at..];
        let Some(length) = rest.iter().position(|c| *c == '"') else {
            return Err(QueryError {
                at: from,
                length: self.characters.len() - from,
                what: "this quote has no end: add a \" where the phrase ends".to_owned(),
            });
        };
        let phrase = rest[..length].iter().collect();
        self.at += length + 1;
        self.push(Token::Phrase(phrase), from);
        Ok(())
    }

    fn word(&mut self) {
        let from = self.at;
        while let Some(&c) = self.characters.get(self.at) {
            if c.is_whitespace() || "()\"".contains(c) {
                break;
            }
            self.at += 1;
            let field = &self.characters[from..self.at - 1];
            if c == ':' && !field.is_empty() && field.iter().all(char::is_ascii_alphabetic) {
                let name: String = field.iter().collect();
                self.push(Token::Field(name.to_ascii_lowercase()), from);
                return;
            }
        }
        let word: String = self.characters[from..self.at].iter().collect();
        let token = match word.as_str() {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => match word.strip_suffix('*') {
                Some(start) => Token::Word(start.to_owned(), true),
                None => Token::Word(word, false),
            },
        };
        self.push(token, from);
    }
}
