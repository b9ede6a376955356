//! Storing one message: looking for an earlier copy, APPEND, and CREATE where it is needed.

use super::super::super::error::{DestinationError, Fault};
use super::super::super::limits::{
    COPIES, HEADER_OCTETS, LITERAL_MINUS_OCTETS, LITERAL_PLUS_OCTETS, PIECE_OCTETS, STORED_WAIT,
};
use super::super::super::spooled::Message;
use super::super::super::wire::Broken;
use super::super::response::{Condition, Status, fetch, is_list, search};
use super::super::{Settings, text};
use super::{Failed, Outcome, Part, Session};

impl Session {
    /// Stores a message, unless an earlier attempt has.
    pub(in super::super) async fn store(
        &mut self,
        settings: &Settings,
        message: &mut Message,
    ) -> Result<(), Failed> {
        let octets = message.facts.wire_octets();
        if let Some(limit) = self.capabilities.append_limit()
            && octets > limit
        {
            return Err(Failed::Refused(DestinationError::message(
                Fault::Refused,
                format!("{}: it takes messages up to {limit} octets", self.name),
            )));
        }
        if message.again && self.has(settings, message).await? {
            return Ok(());
        }
        let mut status = self.append(settings, message).await?;
        if status.condition == Condition::No && status.code_name() == "TRYCREATE" {
            self.create(settings).await?;
            status = self.append(settings, message).await?;
        }
        match status.condition {
            Condition::Ok => Ok(()),
            _ => Err(Failed::Refused(self.refused(&status))),
        }
    }

    /// What a refusal says of other messages (RFC 5530 §3, RFC 4469, RFC 7889).
    fn refused(&self, status: &Status) -> DestinationError {
        let text = format!("{}: APPEND: {status}", self.name);
        match status.code_name() {
            "OVERQUOTA" | "UNAVAILABLE" | "INUSE" => {
                DestinationError::whole(Fault::Temporary, text)
            }
            "NOPERM" | "AUTHORIZATIONFAILED" | "PRIVACYREQUIRED" | "EXPIRED" => {
                DestinationError::whole(Fault::Permission, text)
            }
            "CANNOT" | "NONEXISTENT" | "TRYCREATE" => {
                DestinationError::whole(Fault::Configuration, text)
            }
            "SERVERBUG" | "LIMIT" | "EXPUNGEISSUED" => {
                DestinationError::message(Fault::Temporary, text)
            }
            _ => DestinationError::message(Fault::Refused, text),
        }
    }

    async fn create(&mut self, settings: &Settings) -> Result<(), Failed> {
        let name = text::mailbox(&settings.mailbox);
        for command in ["CREATE ", "SUBSCRIBE "] {
            let parts = [Part::Text(command), Part::String(name.as_bytes())];
            let outcome = self.command(&parts).await.map_err(Failed::Broken)?;
            let is_there = outcome.status.code_name() == "ALREADYEXISTS";
            // Clients may show only what is subscribed; a server without that is fine.
            if command == "CREATE " && outcome.status.condition != Condition::Ok && !is_there {
                let error = self.whole(Fault::Configuration, "CREATE", &outcome.status);
                return Err(Failed::Refused(error));
            }
        }
        Ok(())
    }

    /// ```text
    /// append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal
    /// ```
    async fn append(
        &mut self,
        settings: &Settings,
        message: &mut Message,
    ) -> Result<Status, Failed> {
        let octets = message.facts.wire_octets();
        let name = text::mailbox(&settings.mailbox);
        let name = text::quoted(name.as_bytes()).unwrap_or_default();
        let date = text::date_time(message.received_ms);
        let at_once = (self.capabilities.has("LITERAL+") && octets <= LITERAL_PLUS_OCTETS)
            || (self.capabilities.has("LITERAL-") && octets <= LITERAL_MINUS_OCTETS);
        let plus = if at_once { "+" } else { "" };
        let tag = self.next_tag();
        let line = format!("{tag} APPEND {name} {date} {{{octets}{plus}}}\r\n");
        self.send(line.as_bytes()).await.map_err(Failed::Broken)?;
        if !at_once && let Ok(outcome) = self.until_tagged(&tag).await.map_err(Failed::Broken)? {
            return Ok(outcome.status);
        }
        self.literal(message).await?;
        let lost = |e: Broken| Failed::Unknown(e.into_error(&settings.name, "APPEND"));
        let wait = STORED_WAIT.max(settings.server.timeout);
        let read = self.read_until_tagged(&tag, wait).await.map_err(lost)?;
        match read {
            Ok(Outcome { status, .. }) => Ok(status),
            Err(_) => Err(lost(Broken::Nonsense(
                "the server asks for more than was announced".into(),
            ))),
        }
    }

    /// The message, and the end of the command. Until the last piece is sent the server cannot have
    /// stored it.
    async fn literal(&mut self, message: &mut Message) -> Result<(), Failed> {
        let (mut at, mut out) = (0, Vec::with_capacity(PIECE_OCTETS + 2));
        let mut last = None;
        loop {
            let piece = message.piece(at).await.map_err(Failed::Broken)?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            if !out.is_empty() {
                self.send(&out).await.map_err(Failed::Broken)?;
                out.clear();
            }
            with_crlf(&piece, &mut last, &mut out);
        }
        out.extend_from_slice(b"\r\n");
        self.send(&out).await.map_err(Failed::Unknown)
    }

    /// Whether the mailbox has this message: one with the same Message-ID, or without any with the
    /// same header, and of the same size.
    async fn has(&mut self, settings: &Settings, message: &mut Message) -> Result<bool, Failed> {
        let octets = message.facts.wire_octets();
        let start = start_of(message).await.map_err(Failed::Broken)?;
        if !self.examine(settings).await? {
            return Ok(false);
        }
        let id = text::message_id(&start);
        let query = match &id {
            Some(id) => format!("UID SEARCH HEADER Message-ID \"{id}\""),
            None => format!(
                "UID SEARCH LARGER {} SMALLER {}",
                octets.saturating_sub(1),
                octets + 1
            ),
        };
        let outcome = self.asked(&query).await?;
        let mut found: Vec<u32> = outcome
            .data
            .iter()
            .filter_map(|d| search(d))
            .flatten()
            .collect();
        // The newest ones: an earlier attempt is not long ago.
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(COPIES);
        for uid in found {
            let what = match &id {
                Some(_) => "RFC822.SIZE",
                None => "(RFC822.SIZE BODY.PEEK[HEADER])",
            };
            let outcome = self.asked(&format!("UID FETCH {uid} {what}")).await?;
            for data in &outcome.data {
                let Some(copy) = fetch(data) else { continue };
                let header = id.is_some() || copy.literal.is_some_and(|h| same_header(&start, h));
                if copy.octets == Some(octets) && header {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Opens the mailbox for reading; `false` when there is none.
    async fn examine(&mut self, settings: &Settings) -> Result<bool, Failed> {
        let name = text::mailbox(&settings.mailbox);
        let name = text::quoted(name.as_bytes()).unwrap_or_default();
        let listed = self.asked(&format!("LIST \"\" {name}")).await?;
        if !listed.data.iter().any(|data| is_list(data)) {
            return Ok(false);
        }
        self.asked(&format!("EXAMINE {name}")).await?;
        Ok(true)
    }

    /// A command that has to be answered with OK: without its answer a second copy might be stored.
    async fn asked(&mut self, command: &str) -> Result<Outcome, Failed> {
        let parts = [Part::Text(command)];
        let outcome = self.command(&parts).await.map_err(Failed::Broken)?;
        if outcome.status.condition == Condition::Ok {
            return Ok(outcome);
        }
        Err(Failed::Refused(DestinationError::message(
            Fault::Temporary,
            format!(
                "{}: looking for an earlier copy: {}",
                self.name, outcome.status
            ),
        )))
    }
}

/// Appends `bytes`, with a CR before each LF that has none.
fn with_crlf(bytes: &[u8], last: &mut Option<u8>, out: &mut Vec<u8>) {
    let mut copied = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        let before = at.checked_sub(1).map_or(*last, |at| Some(bytes[at]));
        if before != Some(b'\r') {
            out.extend_from_slice(&bytes[copied..at]);
            out.push(b'\r');
            copied = at;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    *last = bytes.last().copied().or(*last);
}

/// The first octets of a message, as they are sent.
async fn start_of(message: &mut Message) -> Result<Vec<u8>, DestinationError> {
    let (mut at, mut last, mut start) = (0, None, Vec::new());
    while start.len() < HEADER_OCTETS {
        let piece = message.piece(at).await?;
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        with_crlf(&piece, &mut last, &mut start);
    }
    start.truncate(HEADER_OCTETS);
    Ok(start)
}

/// Whether a message that starts so has this header. Servers may leave out the empty line at its end.
fn same_header(start: &[u8], header: &[u8]) -> bool {
    let header = header.strip_suffix(b"\r\n\r\n").unwrap_or(header);
    let header = header.strip_suffix(b"\r\n").unwrap_or(header);
    !header.is_empty() && start.starts_with(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_their_cr_at_every_split() {
        let message = b"\na\r\nb\n\n\r\r\n\r";
        for piece in 1..=message.len() {
            let (mut last, mut out) = (None, Vec::new());
            for piece in message.chunks(piece) {
                with_crlf(piece, &mut last, &mut out);
            }
            assert_eq!(
                out.escape_ascii().to_string(),
                r"\r\na\r\nb\r\n\r\n\r\r\n\r"
            );
        }
    }
}
