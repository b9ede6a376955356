//! What a server says that it can do: RFC 2449 §6.

use restante_proto::client::{Command, Event};

use crate::Error;
use crate::link::{Link, refused};

/// RFC 2449 §5 CAPA; state AUTHORIZATION or TRANSACTION. A server that refuses it says nothing.
pub(crate) async fn ask(link: &mut Link) -> Result<Capabilities, Error> {
    match link.ask(&Command::Capa).await {
        Ok(_) => {}
        Err(Error::Refused { .. }) => return Ok(Capabilities::unknown()),
        Err(error) => return Err(error),
    }
    let mut lines = Vec::new();
    loop {
        link.advance().await?;
        match link.event()? {
            Event::Capability(line) => lines.push(String::from_utf8_lossy(line).into()),
            Event::End(_) => return Ok(Capabilities::of(lines)),
            other => return Err(refused(&other)),
        }
    }
}

/// The answer to CAPA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    known: bool,
    lines: Vec<Box<str>>,
}

impl Capabilities {
    /// From the lines of a capability list.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            known: true,
            lines: lines.into_iter().map(Into::into).collect(),
        }
    }

    pub(crate) const fn of(lines: Vec<Box<str>>) -> Self {
        Self { known: true, lines }
    }

    /// Of a server that does not know CAPA: nothing is said either way.
    pub const fn unknown() -> Self {
        Self {
            known: false,
            lines: Vec::new(),
        }
    }

    /// Whether the server knows CAPA.
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// The lines as they came, in order.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| &**line)
    }

    /// Whether a capability is listed. Names are compared without regard to case.
    pub fn has(&self, name: &str) -> bool {
        self.arguments(name).is_some()
    }

    /// The arguments of a capability, if it is listed.
    pub fn arguments(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        self.lines.iter().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            words
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case(name))
                .then_some(words)
        })
    }

    /// The SASL mechanisms offered (RFC 5034 §4), as they are spelt.
    pub fn mechanisms(&self) -> impl Iterator<Item = &str> {
        self.arguments("SASL").into_iter().flatten()
    }

    /// Whether commands may be pipelined (RFC 2449 §6.6).
    pub fn pipelining(&self) -> bool {
        self.has("PIPELINING")
    }
}
