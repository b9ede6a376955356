//! The file that mail programs find at `autoconfig.DOMAIN`: Mozilla's format 1.1.
//!
//! ```text
//! <clientConfig version="1.1">
//!   <emailProvider id="example.org">
//!     <incomingServer type="pop3">
//!       <hostname>, <port>, <socketType>SSL | STARTTLS | plain, <username>, <authentication>
//! ```

use quick_xml::events::Event;
use quick_xml::reader::Reader;
use restante_client::{Place, Security, Server};

use super::limits::{CANDIDATES, FILE_OCTETS};
use super::{Address, Candidate, Origin, is_host};
use crate::providers;

/// A server as the file describes it.
#[derive(Default)]
struct Described {
    hostname: String,
    port: String,
    socket_type: String,
    username: String,
}

/// The POP3 servers of a file, in its order; those with TLS only. What is not XML has none.
pub(super) fn servers(file: &[u8], address: &Address<'_>, origin: Origin) -> Vec<Candidate> {
    if file.len() > FILE_OCTETS {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(file);
    let mut reader = Reader::from_str(&text);
    let mut found = Vec::new();
    let mut server: Option<Described> = None;
    let mut field = String::new();
    while found.len() < CANDIDATES {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                field.clear();
                match start.local_name().as_ref() {
                    "incomingServer" => {
                        let kind = start.try_get_attribute("type").ok().flatten();
                        let pop3 = kind.is_some_and(|kind| &*kind.value == "pop3");
                        server = pop3.then(Described::default);
                    }
                    name => field.push_str(name),
                }
            }
            Ok(Event::Text(content)) => {
                if let Some(server) = &mut server {
                    server.take(&field, content.trim());
                }
            }
            Ok(Event::End(end)) => {
                field.clear();
                if end.local_name().as_ref() == "incomingServer"
                    && let Some(server) = server.take()
                {
                    found.extend(server.candidate(address, origin));
                }
            }
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    found
}

impl Described {
    fn take(&mut self, field: &str, text: &str) {
        let slot = match field {
            "hostname" => &mut self.hostname,
            "port" => &mut self.port,
            "socketType" => &mut self.socket_type,
            "username" => &mut self.username,
            _ => return,
        };
        slot.push_str(text);
    }

    fn candidate(self, address: &Address<'_>, origin: Origin) -> Option<Candidate> {
        let security = match self.socket_type.as_str() {
            "SSL" => Security::ImplicitTls,
            "STARTTLS" => Security::Stls,
            _ => return None,
        };
        let host = fill(&self.hostname, address).to_ascii_lowercase();
        let port: u16 = self.port.parse().ok().filter(|port| *port > 0)?;
        if !is_host(&host) {
            return None;
        }
        let mut users = Vec::new();
        if !self.username.is_empty() {
            users.push(fill(&self.username, address));
        }
        for user in address.users() {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        Some(Candidate {
            provider: providers::by_host(&host),
            server: Server::new(Place::tcp(host, port), security),
            users,
            origin,
            elsewhere: false,
        })
    }
}

/// Puts the address's parts into the file's placeholders.
fn fill(text: &str, address: &Address<'_>) -> String {
    text.replace("%EMAILADDRESS%", address.whole)
        .replace("%EMAILLOCALPART%", address.local_part)
        .replace("%EMAILDOMAIN%", &address.domain)
}
