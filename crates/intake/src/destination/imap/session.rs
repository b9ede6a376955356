//! One connection, logged in.

mod append;

use std::time::Duration;

use super::super::Credential;
use super::super::error::{DestinationError, Fault};
use super::super::limits::RESPONSES;
use super::super::spec::Protection;
use super::super::wire::{Broken, Until, Wire, is_local};
use super::response::{Capabilities, Condition, Response, Status, capability};
use super::{Settings, text};

/// How a message fared that is not stored.
pub(super) enum Failed {
    /// The connection is as good as before.
    Refused(DestinationError),
    /// The connection is of no use any more. Nothing of the message was stored.
    Broken(DestinationError),
    /// The connection is of no use any more, and whether the message is stored is not known.
    Unknown(DestinationError),
}

pub(super) struct Session {
    wire: Wire,
    tags: u32,
    capabilities: Capabilities,
    /// What to call the server in an error.
    name: String,
}

/// A part of a command.
enum Part<'a> {
    Text(&'a str),
    /// Octets that may have to be sent as a literal.
    String(&'a [u8]),
}

/// A command's end, and the data that came before it.
struct Outcome {
    status: Status,
    data: Vec<Vec<u8>>,
}

impl Session {
    /// Connects, with TLS as asked, and logs in.
    pub(super) async fn open(settings: &Settings) -> Result<Self, DestinationError> {
        let name = &settings.name;
        if settings.protection == Protection::DangerPlaintext && !is_local(&settings.server.place) {
            return Err(DestinationError::whole(
                Fault::Configuration,
                format!("{name}: only this machine itself is spoken to in clear"),
            ));
        }
        let mut session = Self {
            wire: Wire::connect(&settings.server, name).await?,
            tags: 0,
            capabilities: Capabilities::default(),
            name: name.clone(),
        };
        let greeting = session.greeting().await?;
        match settings.protection {
            Protection::Implicit => {}
            Protection::DangerPlaintext => {}
            // PREAUTH leaves no place for STARTTLS (RFC 3501 §11.1).
            _ if greeting.condition == Condition::PreAuth => {
                return Err(session.whole(Fault::Permission, "STARTTLS", &greeting));
            }
            Protection::Required | Protection::Offered => session.encrypt(settings).await?,
        }
        if greeting.condition != Condition::PreAuth {
            session.log_in(settings).await?;
        }
        session.learn_capabilities().await?;
        Ok(session)
    }

    async fn greeting(&mut self) -> Result<Status, DestinationError> {
        let until = Until::now_and(self.wire.timeout());
        match Response::read(&mut self.wire, until).await {
            Ok(Response::Status(status))
                if matches!(status.condition, Condition::Ok | Condition::PreAuth) =>
            {
                self.note(&status);
                Ok(status)
            }
            Ok(Response::Status(status)) => {
                Err(self.whole(Fault::Unavailable, "the greeting", &status))
            }
            Ok(_) => Err(self.broken(
                "the greeting",
                Broken::Nonsense("this is no IMAP server".into()),
            )),
            Err(broken) => Err(self.broken("the greeting", broken)),
        }
    }

    async fn encrypt(&mut self, settings: &Settings) -> Result<(), DestinationError> {
        let outcome = self.command(&[Part::Text("STARTTLS")]).await?;
        if outcome.status.condition != Condition::Ok {
            return Err(self.whole(Fault::Permission, "STARTTLS", &outcome.status));
        }
        self.wire.start_tls(&settings.server, &self.name).await?;
        // What was said in clear counts no more (RFC 3501 §6.2.1).
        self.capabilities = Capabilities::default();
        Ok(())
    }

    /// Twice: a credential that is refused may only be too old.
    async fn log_in(&mut self, settings: &Settings) -> Result<(), DestinationError> {
        if !self.knows_capabilities() {
            self.learn_capabilities().await?;
        }
        let mut refused = None;
        for again in [false, true] {
            let credential = settings.credentials.credential(again).await;
            let credential = credential.map_err(|e| {
                DestinationError::whole(
                    Fault::Permission,
                    format!("{}: no credential: {e}", self.name),
                )
            })?;
            // Only a token gets better by asking for it again.
            let is_password = matches!(credential, Credential::Password(_));
            let outcome = self.authenticate(settings, &credential).await?;
            match outcome.status.condition {
                Condition::Ok => {
                    // RFC 3501 §6.2.2: they may be others now.
                    self.capabilities = Capabilities::default();
                    self.note(&outcome.status);
                    return Ok(());
                }
                _ => refused = Some(self.refused_login(&outcome.status)),
            }
            if is_password || refused.as_ref().is_some_and(DestinationError::is_temporary) {
                break;
            }
        }
        Err(refused.unwrap_or_else(crate::destination::not_begun))
    }

    fn refused_login(&self, status: &Status) -> DestinationError {
        // RFC 5530 §3.
        let fault = match status.code_name() {
            "UNAVAILABLE" | "INUSE" | "LIMIT" => Fault::Temporary,
            _ => Fault::Permission,
        };
        self.whole(fault, "the log-in", status)
    }

    async fn authenticate(
        &mut self,
        settings: &Settings,
        credential: &Credential,
    ) -> Result<Outcome, DestinationError> {
        let (mechanism, response) = match credential {
            Credential::Token(token) if self.capabilities.has("AUTH=OAUTHBEARER") => {
                let (host, port) = host_and_port(settings);
                let user = &settings.user;
                let response = text::oauthbearer(user, &host, port, token.expose());
                ("OAUTHBEARER", response)
            }
            Credential::Token(token) => {
                let response = text::xoauth2(&settings.user, token.expose());
                ("XOAUTH2", response)
            }
            Credential::Password(password) if self.capabilities.has("AUTH=PLAIN") => {
                ("PLAIN", text::plain(&settings.user, password.expose()))
            }
            Credential::Password(password) => {
                if self.capabilities.has("LOGINDISABLED") {
                    return Err(DestinationError::whole(
                        Fault::Permission,
                        format!("{}: it takes no password here (LOGINDISABLED)", self.name),
                    ));
                }
                let user = settings.user.as_bytes();
                let parts = [
                    Part::Text("LOGIN "),
                    Part::String(user),
                    Part::Text(" "),
                    Part::String(password.expose()),
                ];
                return self.command(&parts).await;
            }
        };
        let response = zeroize::Zeroizing::new(response);
        let response = zeroize::Zeroizing::new(text::base64(&response));
        self.sasl(mechanism, &response).await
    }

    /// RFC 3501 §6.2.2: the response is sent when the server asks; what it asks next, an error it
    /// explains, is answered with nothing.
    async fn sasl(&mut self, mechanism: &str, response: &str) -> Result<Outcome, DestinationError> {
        let tag = self.next_tag();
        self.send(format!("{tag} AUTHENTICATE {mechanism}\r\n").as_bytes())
            .await?;
        let mut lines = [format!("{response}\r\n"), "\r\n".to_owned()].into_iter();
        loop {
            match self.until_tagged(&tag).await? {
                Ok(outcome) => return Ok(outcome),
                Err(_challenge) => {
                    let line = zeroize::Zeroizing::new(lines.next().unwrap_or("*\r\n".into()));
                    self.send(line.as_bytes()).await?;
                }
            }
        }
    }

    fn knows_capabilities(&self) -> bool {
        self.capabilities != Capabilities::default()
    }

    async fn learn_capabilities(&mut self) -> Result<(), DestinationError> {
        if self.knows_capabilities() {
            return Ok(());
        }
        let outcome = self.command(&[Part::Text("CAPABILITY")]).await?;
        let found = outcome.data.iter().find_map(|data| capability(data));
        self.capabilities = found.unwrap_or_default();
        Ok(())
    }

    /// Takes the capabilities from a status that has them.
    fn note(&mut self, status: &Status) {
        if let Some(words) = status.code.strip_prefix("CAPABILITY ") {
            self.capabilities = Capabilities::parse(words);
        }
    }

    fn next_tag(&mut self) -> String {
        self.tags = self.tags.wrapping_add(1);
        format!("r{}", self.tags)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        let sent = self.wire.send(bytes).await;
        sent.map_err(|e| self.broken("sending", e))
    }

    /// Sends a command and reads up to its end. What it holds of literals waits for leave.
    async fn command(&mut self, parts: &[Part<'_>]) -> Result<Outcome, DestinationError> {
        let tag = self.next_tag();
        let mut line = zeroize::Zeroizing::new(format!("{tag} "));
        for part in parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::String(octets) => match text::quoted(octets) {
                    Some(quoted) => line.push_str(&quoted),
                    None => {
                        line.push_str(&format!("{{{}}}\r\n", octets.len()));
                        self.send(line.as_bytes()).await?;
                        if let Ok(outcome) = self.until_tagged(&tag).await? {
                            return Ok(outcome);
                        }
                        self.send(octets).await?;
                        line.clear();
                    }
                },
            }
        }
        line.push_str("\r\n");
        self.send(line.as_bytes()).await?;
        match self.until_tagged(&tag).await? {
            Ok(outcome) => Ok(outcome),
            Err(_) => Err(self.broken(
                "a command",
                Broken::Nonsense("the server asks for more than the command has".into()),
            )),
        }
    }

    /// Reads up to the command's end, or to where the server asks for more of it (the inner error).
    async fn until_tagged(
        &mut self,
        tag: &str,
    ) -> Result<Result<Outcome, Vec<u8>>, DestinationError> {
        let read = self.read_until_tagged(tag, self.wire.timeout()).await;
        read.map_err(|e| self.broken("a command", e))
    }

    async fn read_until_tagged(
        &mut self,
        tag: &str,
        wait: Duration,
    ) -> Result<Result<Outcome, Vec<u8>>, Broken> {
        let until = Until::now_and(wait);
        let (mut data, mut octets) = (Vec::new(), 0);
        for _ in 0..RESPONSES {
            match Response::read(&mut self.wire, until).await? {
                Response::Tagged(its, status) if its == tag.as_bytes() => {
                    return Ok(Ok(Outcome { status, data }));
                }
                Response::Tagged(..) => {
                    return Err(Broken::Nonsense(
                        "the server answered a command that was not sent".into(),
                    ));
                }
                Response::Continue(text) => return Ok(Err(text)),
                Response::Status(status) if status.condition == Condition::Bye => {
                    return Err(Broken::Lost(std::io::Error::other(status.to_string())));
                }
                Response::Status(_) => {}
                Response::Data(one) => {
                    octets += one.len();
                    // What came unasked is not worth an error: it is dropped.
                    if octets <= super::super::limits::RESPONSE_OCTETS {
                        data.push(one);
                    }
                }
            }
        }
        Err(Broken::Nonsense(format!(
            "the server sent more than {RESPONSES} responses to one command"
        )))
    }

    /// Takes its leave.
    pub(super) async fn logout(&mut self, wait: Duration) {
        let tag = self.next_tag();
        if self
            .send(format!("{tag} LOGOUT\r\n").as_bytes())
            .await
            .is_ok()
        {
            let _ = self.read_until_tagged(&tag, wait).await;
        }
    }

    fn whole(&self, fault: Fault, what: &str, status: &Status) -> DestinationError {
        DestinationError::whole(fault, format!("{}: {what}: {status}", self.name))
    }

    fn broken(&self, what: &str, broken: Broken) -> DestinationError {
        broken.into_error(&self.name, what)
    }
}

fn host_and_port(settings: &Settings) -> (String, u16) {
    match &settings.server.place {
        restante_client::Place::Tcp { host, port } => (host.clone(), *port),
        #[cfg(unix)]
        restante_client::Place::Unix(_) => ("localhost".to_owned(), 143),
    }
}
