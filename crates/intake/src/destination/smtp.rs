//! An LMTP or SMTP server as destination: RFC 2033, RFC 5321.
//!
//! One recipient, and the null reverse-path `<>`: what cannot be delivered is kept by the server that it
//! was fetched from, so that nobody needs a bounce. Lines get CRLF, dots are stuffed, and nothing else
//! changes: lines over 998 octets and 8-bit octets go as they are, announced where the server can be told.

mod reply;

use restante_client::Server;
use restante_proto::dot::Encoder;

use super::error::{DestinationError, Fault};
use super::limits::{GOODBYE_WAIT, STORED_WAIT};
use super::spec::Protection;
use super::spooled::{Deliver, Message};
use super::wire::{Broken, Wire, is_local};
use reply::{Extensions, Reply};

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Lmtp,
    Smtp,
}

/// Where and to whom.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) server: Server,
    pub(super) protection: Protection,
    pub(super) recipient: String,
}

/// A server, with a connection that is kept from message to message.
pub(super) struct Smtp {
    settings: Settings,
    session: Option<Session>,
}

struct Session {
    wire: Wire,
    extensions: Extensions,
}

/// How a message fared that is not stored.
enum Failed {
    /// The connection is as good as before.
    Refused(DestinationError),
    /// The connection is of no use any more. Nothing of the message was stored.
    Broken(DestinationError),
    /// The connection is of no use any more, and whether the message is stored is not known.
    Unknown(DestinationError),
}

impl Smtp {
    /// Connects, so that a server that takes nothing is known at once.
    pub(super) async fn open(settings: Settings) -> Result<Self, DestinationError> {
        let session = Session::open(&settings).await?;
        Ok(Self {
            settings,
            session: Some(session),
        })
    }

    async fn deliver(&mut self, message: &mut Message) -> Result<(), DestinationError> {
        loop {
            let (mut session, is_fresh) = match self.session.take() {
                Some(session) => (session, false),
                None => (Session::open(&self.settings).await?, true),
            };
            if let Some(max) = session.extensions.size
                && message.facts.wire_octets() > max
            {
                self.session = Some(session);
                let name = &self.settings.name;
                let text = format!("{name}: it takes messages up to {max} octets");
                return Err(DestinationError::message(Fault::Refused, text));
            }
            match session.deliver(&self.settings, message).await {
                Ok(()) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(Failed::Refused(error)) => {
                    if session.reset(&self.settings).await.is_ok() {
                        self.session = Some(session);
                    }
                    return Err(error);
                }
                // Servers close what was idle for a while.
                Err(Failed::Broken(_)) if !is_fresh => {}
                Err(Failed::Broken(error) | Failed::Unknown(error)) => return Err(error),
            }
        }
    }
}

impl Deliver for Smtp {
    async fn deliver(&mut self, message: &mut Message) -> Result<(), DestinationError> {
        self.deliver(message).await
    }

    async fn close(mut self) {
        if let Some(mut session) = self.session.take()
            && session.wire.send(b"QUIT\r\n").await.is_ok()
        {
            let _ = Reply::read(&mut session.wire, GOODBYE_WAIT).await;
        }
    }
}

impl Session {
    async fn open(settings: &Settings) -> Result<Self, DestinationError> {
        let mut session = Self {
            wire: Wire::connect(&settings.server, &settings.name).await?,
            extensions: Extensions::default(),
        };
        // RFC 5321 §4.5.3.2.1: a server that is busy may take its time to greet.
        let greeting = session.reply(settings, "the greeting").await?;
        if greeting.code != 220 {
            return Err(refused_whole(settings, "the greeting", &greeting));
        }
        session.hello(settings).await?;
        let wanted = match settings.protection {
            Protection::Required | Protection::Implicit => true,
            Protection::Offered => session.extensions.starttls && !is_local(&settings.server.place),
            Protection::DangerPlaintext => false,
        };
        if !wanted {
            return Ok(session);
        }
        if !session.extensions.starttls {
            return Err(DestinationError::whole(
                Fault::Permission,
                format!("{}: it does not offer STARTTLS", settings.name),
            ));
        }
        // RFC 3207 §4.
        session.send(settings, b"STARTTLS\r\n").await?;
        let reply = session.reply(settings, "STARTTLS").await?;
        if reply.code != 220 {
            return Err(refused_whole(settings, "STARTTLS", &reply));
        }
        let wire = &mut session.wire;
        wire.start_tls(&settings.server, &settings.name).await?;
        session.hello(settings).await?;
        Ok(session)
    }

    async fn hello(&mut self, settings: &Settings) -> Result<(), DestinationError> {
        let verb = match settings.protocol {
            Protocol::Lmtp => "LHLO",
            Protocol::Smtp => "EHLO",
        };
        let name = our_name();
        self.send(settings, format!("{verb} {name}\r\n").as_bytes())
            .await?;
        let mut reply = self.reply(settings, verb).await?;
        if settings.protocol == Protocol::Smtp && matches!(reply.code, 500..=504) {
            // RFC 5321 §3.2: a server without extensions.
            self.send(settings, format!("HELO {name}\r\n").as_bytes())
                .await?;
            reply = self.reply(settings, "HELO").await?;
        }
        if reply.code != 250 {
            return Err(refused_whole(settings, verb, &reply));
        }
        self.extensions = Extensions::parse(&reply);
        if !settings.recipient.is_ascii() && !self.extensions.smtputf8 {
            return Err(DestinationError::whole(
                Fault::Configuration,
                format!(
                    "{}: it takes no recipient outside ASCII (SMTPUTF8)",
                    settings.name
                ),
            ));
        }
        Ok(())
    }

    async fn send(&mut self, settings: &Settings, bytes: &[u8]) -> Result<(), DestinationError> {
        let sent = self.wire.send(bytes).await;
        sent.map_err(|e| e.into_error(&settings.name, "sending"))
    }

    async fn reply(&mut self, settings: &Settings, to: &str) -> Result<Reply, DestinationError> {
        let wait = self.wire.timeout();
        let reply = Reply::read(&mut self.wire, wait).await;
        reply.map_err(|e| e.into_error(&settings.name, to))
    }

    async fn reset(&mut self, settings: &Settings) -> Result<(), DestinationError> {
        self.send(settings, b"RSET\r\n").await?;
        match self.reply(settings, "RSET").await?.code {
            250 => Ok(()),
            _ => Err(DestinationError::whole(
                Fault::Protocol,
                format!("{}: RSET was refused", settings.name),
            )),
        }
    }

    async fn deliver(&mut self, settings: &Settings, message: &mut Message) -> Result<(), Failed> {
        self.envelope(settings, message).await?;
        self.content(settings, message).await
    }

    /// MAIL, RCPT and DATA; in one write where the server has PIPELINING (RFC 2920).
    async fn envelope(&mut self, settings: &Settings, message: &Message) -> Result<(), Failed> {
        let octets = message.facts.wire_octets();
        let mut mail = "MAIL FROM:<>".to_owned();
        if self.extensions.size.is_some() {
            mail.push_str(&format!(" SIZE={octets}"));
        }
        if self.extensions.eight_bit && message.facts.has_8bit {
            mail.push_str(" BODY=8BITMIME");
        }
        if !settings.recipient.is_ascii() {
            mail.push_str(" SMTPUTF8");
        }
        mail.push_str("\r\n");
        let rcpt = format!("RCPT TO:<{}>\r\n", settings.recipient);
        let steps = [("MAIL", mail), ("RCPT", rcpt), ("DATA", "DATA\r\n".into())];
        let pipelined = self.extensions.pipelining;
        if pipelined {
            let all: String = steps.iter().map(|(_, line)| line.as_str()).collect();
            let sent = self.send(settings, all.as_bytes()).await;
            sent.map_err(Failed::Broken)?;
        }
        let mut refused = None;
        for (step, line) in &steps {
            if !pipelined {
                let sent = self.send(settings, line.as_bytes()).await;
                sent.map_err(Failed::Broken)?;
            }
            let reply = self.reply(settings, step).await.map_err(Failed::Broken)?;
            match (*step, reply.code, &refused) {
                (_, 421, _) => return Err(Failed::Broken(refused_whole(settings, step, &reply))),
                ("MAIL", 250, None) | ("RCPT", 250 | 251, None) | ("DATA", 354, None) => {}
                // It waits for a message after refusing its envelope: nothing may be sent, not even
                // a dot.
                ("DATA", 354, Some(_)) => {
                    let error = refused.take().unwrap_or_else(super::not_begun);
                    return Err(Failed::Unknown(error));
                }
                (_, _, Some(_)) => {}
                (_, _, None) => {
                    refused = Some(refused_envelope(settings, step, &reply));
                    if !pipelined {
                        break;
                    }
                }
            }
        }
        match refused {
            None => Ok(()),
            Some(error) => Err(Failed::Refused(error)),
        }
    }

    /// The message and its final dot. From there on its outcome is not known until the reply is read.
    async fn content(&mut self, settings: &Settings, message: &mut Message) -> Result<(), Failed> {
        let (mut encoder, mut at, mut out) = (Encoder::new(), 0, Vec::new());
        loop {
            let piece = message.piece(at).await.map_err(Failed::Broken)?;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            // One piece is always kept back, so that the last write has the final dot: a server that
            // ends early says so before it.
            if !out.is_empty() {
                self.send_content(settings, &out).await?;
                out.clear();
            }
            encoder.push(&piece, &mut out);
        }
        encoder.finish(&mut out);
        let until = STORED_WAIT.max(settings.server.timeout);
        let lost = |e: Broken| {
            let error = e.into_error(&settings.name, "the reply to a message");
            Failed::Unknown(DestinationError::message(
                error.fault(),
                format!("{error}; it may have been delivered"),
            ))
        };
        self.wire.send(&out).await.map_err(lost)?;
        let reply = Reply::read(&mut self.wire, until).await.map_err(lost)?;
        match reply.code {
            // RFC 2033 §4.2: one reply for each recipient, and there is one.
            250 => Ok(()),
            200..=299 | 421 => Err(Failed::Unknown(refused_whole(
                settings,
                "the message",
                &reply,
            ))),
            _ => Err(Failed::Refused(refused_message(
                settings,
                "the message",
                &reply,
            ))),
        }
    }

    async fn send_content(&mut self, settings: &Settings, bytes: &[u8]) -> Result<(), Failed> {
        let Err(broken) = self.wire.send(bytes).await else {
            return Ok(());
        };
        // A server that gives up in the midst of a message may have said why.
        match Reply::read(&mut self.wire, GOODBYE_WAIT).await {
            Ok(reply) if reply.code != 421 && reply.code >= 400 => Err(Failed::Unknown(
                refused_message(settings, "the message", &reply),
            )),
            _ => Err(Failed::Broken(
                broken.into_error(&settings.name, "sending a message"),
            )),
        }
    }
}

/// The name for EHLO (RFC 5321 §4.1.4): this machine's, or an address literal.
fn our_name() -> String {
    restante_net::host_name()
        .filter(|name| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
            !name.is_empty() && name.len() <= 255 && name.chars().all(is_plain)
        })
        .unwrap_or_else(|| "[127.0.0.1]".to_owned())
}

fn fault_of(reply: &Reply) -> Fault {
    match reply.code {
        400..=499 => Fault::Temporary,
        // RFC 4954 §6, RFC 3207 §4: it wants a log-in or TLS.
        530 | 534 | 535 | 538 => Fault::Permission,
        500..=599 => Fault::Refused,
        _ => Fault::Protocol,
    }
}

fn refused_whole(settings: &Settings, what: &str, reply: &Reply) -> DestinationError {
    let text = format!("{}: {what}: {reply}", settings.name);
    DestinationError::whole(fault_of(reply), text)
}

fn refused_message(settings: &Settings, what: &str, reply: &Reply) -> DestinationError {
    let text = format!("{}: {what}: {reply}", settings.name);
    DestinationError::message(fault_of(reply), text)
}

/// The envelope is the same for all messages but for the size (552, RFC 1870 §6).
fn refused_envelope(settings: &Settings, step: &str, reply: &Reply) -> DestinationError {
    match (step, reply.code) {
        ("MAIL", 552) => refused_message(settings, step, reply),
        _ => refused_whole(settings, step, reply),
    }
}
