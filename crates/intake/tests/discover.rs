//! Discovery: the records of RFC 6186's examples, and files such as domains publish, without a network.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use restante_client::{Security, Server};
use restante_intake::discover::{
    Answer, Candidate, Discovery, Net, NotAnAddress, Options, Origin, Srv, discover,
};

/// A world of its own, which notes what it was asked.
#[derive(Default)]
struct World {
    srv: HashMap<String, Vec<Srv>>,
    mx: HashMap<String, Vec<String>>,
    files: HashMap<String, String>,
    greeting: Vec<String>,
    /// Never answers anything.
    mute: bool,
    asked: Mutex<Vec<String>>,
}

impl World {
    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let records = records.iter().map(|&(priority, weight, port, target)| Srv {
            priority,
            weight,
            port,
            target: target.to_owned(),
        });
        self.srv.insert(name.to_owned(), records.collect());
        self
    }

    fn file(mut self, url: &str, text: &str) -> Self {
        self.files.insert(url.to_owned(), text.to_owned());
        self
    }

    fn answer<T: Send + 'static>(&self, question: String, answer: T) -> Answer<'_, T> {
        self.asked.lock().unwrap().push(question);
        let mute = self.mute;
        Box::pin(async move {
            if mute {
                std::future::pending::<()>().await;
            }
            answer
        })
    }

    async fn find(&self, address: &str) -> Discovery {
        discover(address, self, Options::default()).await.unwrap()
    }
}

impl Net for World {
    fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let found = self.srv.get(name).cloned().unwrap_or_default();
        self.answer(format!("SRV {name}"), found)
    }
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<String>> {
        let found = self.mx.get(domain).cloned().unwrap_or_default();
        self.answer(format!("MX {domain}"), found)
    }
    fn get<'a>(&'a self, url: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        assert!(url.starts_with("https://"), "{url}");
        let found = self.files.get(url).map(|text| text.clone().into_bytes());
        self.answer(format!("GET {url}"), found)
    }
    fn greets<'a>(&'a self, server: &'a Server) -> Answer<'a, bool> {
        let place = server.place.to_string();
        let found = self.greeting.contains(&place);
        self.answer(format!("POP3 {place}"), found)
    }
}

fn shown(candidates: &[Candidate]) -> Vec<String> {
    let one = |c: &Candidate| {
        let security = match c.server.security {
            Security::ImplicitTls => "tls",
            Security::Stls => "stls",
            Security::DangerPlaintext => "plain",
        };
        format!("{} {security} {:?}", c.server.place, c.origin)
    };
    candidates.iter().map(one).collect()
}

const FILE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.org">
    <domain>example.org</domain>
    <displayName>Example &amp; Sons</displayName>
    <incomingServer type="imap">
      <hostname>imap.example.org</hostname><port>993</port>
      <socketType>SSL</socketType><username>%EMAILADDRESS%</username>
    </incomingServer>
    <!-- the old one -->
    <incomingServer type="pop3">
      <hostname>pop.example.org</hostname>
      <port>110</port>
      <socketType>plain</socketType>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>pop.%EMAILDOMAIN%</hostname>
      <port>995</port>
      <socketType>SSL</socketType>
      <username>%EMAILLOCALPART%-mail</username>
      <authentication>password-cleartext</authentication>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>pop.example.org</hostname>
      <port>110</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp"><hostname>smtp.example.org</hostname></outgoingServer>
  </emailProvider>
</clientConfig>"#;

#[tokio::test]
async fn a_known_domain_asks_nothing_of_the_network() {
    let world = World::default();
    let found = world.find("Ann@GMX.de").await;
    assert_eq!(shown(&found.candidates), ["pop.gmx.net:995 tls Provider"]);
    assert_eq!(found.candidates[0].users, ["Ann@GMX.de"]);
    let found = world.find("ann@web.de").await;
    assert_eq!(found.candidates[0].users, ["ann"]);
    let found = world.find("ann@icloud.com").await;
    assert!(found.candidates.is_empty());
    assert_eq!(found.without_pop3.unwrap().name, "iCloud Mail");
    assert!(world.asked.lock().unwrap().is_empty());
}

/// RFC 6186 §3.3.
#[tokio::test]
async fn srv_records_name_the_server() {
    let world = World::default()
        .srv(
            "_pop3._tcp.example.com.",
            &[(0, 1, 110, "pop3.example.com.")],
        )
        .srv(
            "_pop3s._tcp.example.com.",
            &[(0, 1, 995, "pop3.example.com.")],
        );
    let found = world.find("ann@example.com").await;
    assert_eq!(
        shown(&found.candidates),
        [
            "pop3.example.com:995 tls Srv",
            "pop3.example.com:110 stls Srv"
        ]
    );
    let first = &found.candidates[0];
    // RFC 6186 §4: the whole address first, then the local part.
    assert_eq!(first.users, ["ann@example.com", "ann"]);
    assert!(!first.elsewhere);
}

/// RFC 6186 §3.4: the last example, `_pop3._tcp SRV 0 0 0 .`
#[tokio::test]
async fn a_dot_says_that_a_service_is_not_offered() {
    let world = World::default()
        .srv("_pop3._tcp.example.com.", &[(0, 0, 0, ".")])
        .srv(
            "_pop3s._tcp.example.com.",
            &[(10, 1, 995, "pop3.example.com.")],
        );
    let found = world.find("ann@example.com").await;
    assert_eq!(shown(&found.candidates), ["pop3.example.com:995 tls Srv"]);

    let mut world = World::default()
        .srv("_pop3._tcp.example.com.", &[(0, 0, 0, ".")])
        .srv("_pop3s._tcp.example.com.", &[(0, 0, 0, ".")])
        .file(
            "https://example.com/.well-known/autoconfig/mail/config-v1.1.xml",
            FILE,
        );
    world.greeting.push("pop.example.com:995".to_owned());
    let found = world.find("ann@example.com").await;
    assert!(found.declined && found.candidates.is_empty());
}

/// RFC 2782: lower priority first, then the greater weight; RFC 6186 §6: a host elsewhere is told.
#[tokio::test]
async fn priority_and_weight_order_the_records() {
    let world = World::default().srv(
        "_pop3s._tcp.example.com.",
        &[
            (20, 9, 995, "late.example.com."),
            (10, 1, 995, "light.example.com."),
            (10, 5, 1995, "Mail.Example.NET."),
            (0, 0, 0, "bad host"),
        ],
    );
    let found = world.find("ann@example.com").await;
    assert_eq!(
        shown(&found.candidates),
        [
            "mail.example.net:1995 tls Srv",
            "light.example.com:995 tls Srv",
            "late.example.com:995 tls Srv"
        ]
    );
    let elsewhere: Vec<_> = found.candidates.iter().map(|c| c.elsewhere).collect();
    assert_eq!(elsewhere, [true, false, false]);
}

#[tokio::test]
async fn an_autoconfig_file_names_the_server_and_the_user() {
    let world = World::default().file(
        "https://autoconfig.example.org/mail/config-v1.1.xml?emailaddress=ann%2Bx%40example.org",
        FILE,
    );
    let found = world.find("ann+x@example.org").await;
    // The one without TLS is not proposed.
    assert_eq!(
        shown(&found.candidates),
        [
            "pop.example.org:995 tls Autoconfig",
            "pop.example.org:110 stls Autoconfig"
        ]
    );
    assert_eq!(
        found.candidates[0].users,
        ["ann+x-mail", "ann+x@example.org", "ann+x"]
    );
}

#[tokio::test]
async fn a_file_that_is_no_autoconfig_file_says_nothing() {
    let url = "https://example.org/.well-known/autoconfig/mail/config-v1.1.xml";
    let cut: Vec<String> = (0..FILE.len())
        .filter(|at| FILE.is_char_boundary(*at))
        .map(|at| FILE[..at].to_owned())
        .collect();
    for text in cut.iter().map(String::as_str).chain([
        "",
        "<html><body>Not found<p></html>",
        "<incomingServer type='pop3'><hostname>a b</hostname><port>995</port><socketType>SSL</socketType></incomingServer>",
        "<incomingServer type='pop3'><hostname>a.b</hostname><port>0</port><socketType>SSL</socketType></incomingServer>",
    ]) {
        let found = World::default().file(url, text).find("a@example.org").await;
        assert!(found.candidates.len() <= 2, "{text}");
        if !text.contains("</socketType>") || !text.contains("<?xml") {
            assert!(found.candidates.is_empty(), "{text}");
        }
    }
}

#[tokio::test]
async fn the_exchanger_tells_whose_customer_a_domain_is() {
    let mut world = World::default();
    let mut mx = |domain: &str, host: &str| {
        world.mx.insert(domain.to_owned(), vec![host.to_owned()]);
    };
    mx("example.org", "aspmx.l.google.com.");
    mx("example.net", "mail.protonmail.ch.");
    let found = world.find("ann@example.org").await;
    assert_eq!(
        shown(&found.candidates),
        ["pop.gmail.com:995 tls Exchanger"]
    );
    assert_eq!(found.candidates[0].provider.unwrap().name, "Gmail");
    let found = world.find("ann@example.net").await;
    assert_eq!(found.without_pop3.unwrap().name, "Proton Mail");
    assert!(found.candidates.is_empty());
}

#[tokio::test]
async fn preference_is_srv_then_autoconfig_then_exchanger() {
    let mut world = World::default()
        .srv(
            "_pop3s._tcp.example.org.",
            &[(0, 1, 995, "srv.example.org.")],
        )
        .file(
            "https://example.org/.well-known/autoconfig/mail/config-v1.1.xml",
            FILE,
        );
    world
        .mx
        .insert("example.org".to_owned(), vec!["mx00.gmx.net.".to_owned()]);
    let found = world.find("ann@example.org").await;
    let origins: Vec<_> = found.candidates.iter().map(|c| c.origin).collect();
    assert_eq!(
        origins,
        [
            Origin::Srv,
            Origin::Autoconfig,
            Origin::Autoconfig,
            Origin::Exchanger
        ]
    );
}

#[tokio::test]
async fn usual_names_are_tried_last_and_tls_first() {
    let mut world = World {
        greeting: vec![
            "mail.example.org:995".to_owned(),
            "pop.example.org:110".to_owned(),
        ],
        ..World::default()
    };
    let found = world.find("ann@example.org").await;
    assert_eq!(
        shown(&found.candidates),
        ["mail.example.org:995 tls UsualName"]
    );
    world.greeting.remove(0);
    let found = world.find("ann@example.org").await;
    assert_eq!(
        shown(&found.candidates),
        ["pop.example.org:110 stls UsualName"]
    );
}

#[tokio::test]
async fn a_third_party_is_asked_only_when_told_so() {
    let url = "https://autoconfig.thunderbird.net/v1.1/example.org";
    let world = World::default().file(url, FILE);
    assert!(world.find("ann@example.org").await.candidates.is_empty());
    let asked = world.asked.lock().unwrap().join("\n");
    assert!(!asked.contains("thunderbird"), "{asked}");
    let options = Options { public_list: true };
    let found = discover("ann@example.org", &world, options).await.unwrap();
    assert_eq!(found.candidates[0].origin, Origin::PublicList);
}

#[tokio::test(start_paused = true)]
async fn a_silent_world_ends_in_time() {
    let world = World {
        mute: true,
        ..World::default()
    };
    let start = tokio::time::Instant::now();
    let found = world.find("ann@example.org").await;
    assert!(found.candidates.is_empty());
    assert!(
        start.elapsed() <= Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn only_addresses_are_looked_for() {
    let long = format!("{}@example.org", "a".repeat(300));
    for bad in [
        "",
        "ann",
        "ann@",
        "@example.org",
        "ann@localhost",
        "a b@example.org",
        "ann@exa mple.org",
        "ann@-x.org",
        "ann@example..org",
        "ann@example.org/x",
        "ann\r\n@example.org",
        &long,
    ] {
        let world = World::default();
        let found = discover(bad, &world, Options::default()).await;
        assert_eq!(found.err(), Some(NotAnAddress), "{bad}");
        assert!(world.asked.lock().unwrap().is_empty());
    }
}
