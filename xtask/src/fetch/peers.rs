//! Byte-exact from Dovecot, from Courier and from ourselves, by every way and mechanism.

use std::path::Path;

use super::{LIMIT, archive, fetch};
use crate::courier::Courier;
use crate::cyrus::Cyrus;
use crate::dovecot::Dovecot;
use crate::interop::Way;
use crate::mail::{self, Mail};
use crate::process;
use crate::program::Program;
use crate::tally::Cases;
use crate::{Fallible, fail};

const USER: &str = "ann";
const WAYS: [Way; 3] = [Way::Plain, Way::Stls, Way::Pop3s];

/// A mechanism as Dovecot's configuration, a URL (RFC 2384) and Dovecot's log call it.
const MECHANISMS: &[(&str, &str, &str)] = &[
    ("plain", "PLAIN", "PLAIN"),
    ("login", "LOGIN", "LOGIN"),
    ("cram-md5", "CRAM-MD5", "CRAM-MD5"),
    ("scram-sha-1", "SCRAM-SHA-1", "SCRAM-SHA-1"),
    ("scram-sha-256", "SCRAM-SHA-256", "SCRAM-SHA-256"),
    ("plain apop", "+APOP", "APOP"),
];

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let mails = mail::collection(if quick { 30 } else { 4_000 });
    println!("  {} messages", mails.len());
    // Neither Dovecot nor Courier stuffs a dot at the very start of a message: what they send then is
    // another message, or none.
    let mut stuffed = mails.clone();
    stuffed.retain(|mail| !mail.bytes.starts_with(b"."));
    from_dovecot(binary, &stuffed, cases);
    let some = &stuffed[..stuffed.len().min(40)];
    for &(offered, asked, logged) in MECHANISMS {
        let name = format!("from Dovecot by {asked}");
        cases.case(&name, || by_mechanism(binary, some, offered, asked, logged));
    }
    let offered = "plain login cram-md5 scram-sha-1 scram-sha-256";
    cases.case("the strongest that Dovecot offers is taken", || {
        by_mechanism(binary, some, offered, "", "SCRAM-SHA-256")
    });
    cases.case(
        "from Dovecot by EXTERNAL, with a client certificate",
        || by_certificate(binary, some),
    );
    from_courier(binary, &stuffed, cases);
    from_cyrus(binary, &mails, cases);
    from_ourselves(binary, &mails, cases);
}

/// As these servers send what lies in a Maildir: every LF ends a line, as CRLF; the last line ends.
fn as_sent(mails: &[Mail]) -> Vec<Mail> {
    let sent = |mail: &Mail| Mail {
        name: mail.name.clone(),
        bytes: mail::ended(&mail::wire(&mail.bytes)),
    };
    mails.iter().map(sent).collect()
}

fn url(way: Way, user: &str, port: u16) -> String {
    let scheme = if way == Way::Pop3s { "pop3s" } else { "pop3" };
    format!("{scheme}://{user}@localhost:{port}")
}

/// Twice: the second time there is nothing new.
fn twice(binary: &Path, way: Way, url: &str, ca: &Path, sent: &[Mail]) -> Fallible<()> {
    let mut program = Program::new(binary, "fetch")?;
    let ca = ca.to_str().ok_or("a path that is no UTF-8")?;
    let more = match way {
        Way::Plain => vec!["--danger-plaintext"],
        Way::Stls | Way::Pop3s => vec!["--ca", ca],
    };
    fetch(&program, url, &more)?;
    archive::lists(&program, sent.len())?;
    fetch(&program, url, &more)?;
    archive::lists(&program, sent.len())?;
    archive::holds(&mut program, sent)
}

fn from_dovecot(binary: &Path, mails: &[Mail], cases: &mut Cases) {
    let sent = as_sent(mails);
    let mut server = match Dovecot::new([USER.to_owned()].into_iter()) {
        Ok(server) => server,
        Err(error) => return cases.case("Dovecot", || Err(error)),
    };
    cases.case("Dovecot starts", || {
        server.fill_raw(USER, 0, mails.iter().map(|mail| mail.bytes.as_slice()))?;
        server.start()
    });
    for way in WAYS {
        let port = if way == Way::Pop3s {
            server.pop3s
        } else {
            server.pop3
        };
        let name = format!("from Dovecot over {}, and nothing new then", way.name());
        cases.case(&name, || {
            let ca = server.path("certificate.pem");
            twice(binary, way, &url(way, USER, port), &ca, &sent)
        });
    }
}

fn by_mechanism(
    binary: &Path,
    mails: &[Mail],
    offered: &str,
    asked: &str,
    logged: &str,
) -> Fallible<()> {
    let mut server = Dovecot::offering([USER.to_owned()].into_iter(), offered)?;
    server.fill_raw(USER, 0, mails.iter().map(|mail| mail.bytes.as_slice()))?;
    server.start()?;
    let user = if asked.is_empty() {
        USER.to_owned()
    } else {
        format!("{USER};AUTH={asked}")
    };
    let ca = server.path("certificate.pem");
    let url = url(Way::Pop3s, &user, server.pop3s);
    twice(binary, Way::Pop3s, &url, &ca, &as_sent(mails))?;
    let log = std::fs::read_to_string(server.path("dovecot.log"))?;
    let logins: Vec<&str> = log.lines().filter(|line| line.contains("Login:")).collect();
    let wanted = format!("method={logged},");
    if logins.len() == 2 && logins.iter().all(|line| line.contains(&wanted)) {
        return Ok(());
    }
    fail(format!("not by {logged} alone: {}", logins.join(" | ")))
}

/// SASL EXTERNAL (RFC 4422 appendix A): who has the certificate is in without a password, and nobody else.
fn by_certificate(binary: &Path, mails: &[Mail]) -> Fallible<()> {
    let mut server = Dovecot::new([USER.to_owned()].into_iter())?;
    let program = Program::new(binary, "external")?;
    for name in [USER, "stranger"] {
        client_certificate(&program.path(name), name)?;
    }
    server.with_client_certificates(&program.path(USER).join("certificate.pem"))?;
    server.fill_raw(USER, 0, mails.iter().map(|mail| mail.bytes.as_slice()))?;
    server.start()?;
    let url = url(Way::Pop3s, &format!("{USER};AUTH=EXTERNAL"), server.pop3s);
    let ca = server.path("certificate.pem").display().to_string();
    for (name, code) in [("stranger", 77), (USER, 0)] {
        let certificate = program.path(name).join("certificate.pem");
        let key = program.path(name).join("key.pem");
        let mut command = program.command(&["fetch", &url, "--ca", &ca]);
        command.arg("--client-certificate").arg(certificate);
        command.arg("--client-key").arg(key);
        let said = process::run(&mut command, b"", LIMIT)?;
        if said.status.code() != Some(code) {
            return fail(format!("{name}: not {code}: {}", said.tail()));
        }
    }
    let mut program = program;
    archive::holds(&mut program, &as_sent(mails))
}

/// A certificate that signs itself, for a name, in a folder that is made.
fn client_certificate(folder: &Path, name: &str) -> Fallible<()> {
    std::fs::create_dir(folder)?;
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    openssl.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
    openssl.args(["-subj", &format!("/CN={name}")]);
    let made = process::run(openssl.current_dir(folder), b"", LIMIT)?;
    made.ok("openssl req").map(drop)
}

fn from_cyrus(binary: &Path, mails: &[Mail], cases: &mut Cases) {
    // It does not serve messages with NUL as they are, nor without a header. What has CRLF comes as it lies.
    let sent: Vec<Mail> = mails.iter().filter_map(as_cyrus_has_it).collect();
    println!("  {} of them for Cyrus", sent.len());
    let mut server = match Cyrus::new(USER) {
        Ok(server) => server,
        Err(error) => return cases.case("Cyrus", || Err(error)),
    };
    cases.case("Cyrus starts", || {
        server.start(sent.iter().map(|mail| mail.bytes.as_slice()))
    });
    let ca = server.certificate();
    for way in WAYS {
        let port = if way == Way::Pop3s {
            server.pop3s
        } else {
            server.pop3
        };
        let name = format!("from Cyrus over {}, and nothing new then", way.name());
        cases.case(&name, || {
            twice(binary, way, &url(way, USER, port), &ca, &sent)
        });
    }
    for mechanism in [
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "+APOP",
    ] {
        let name = format!("from Cyrus by {mechanism}");
        cases.case(&name, || {
            let user = format!("{USER};AUTH={mechanism}");
            let url = url(Way::Pop3s, &user, server.pop3s);
            let program = Program::new(binary, "cyrus")?;
            let ca = ca.to_str().ok_or("a path that is no UTF-8")?;
            fetch(&program, &url, &["--ca", ca, "--limit", "5"])?;
            archive::lists(&program, 5)
        });
    }
}

/// The message as it may lie in Cyrus' spool, with CRLF and a last line that ends.
fn as_cyrus_has_it(mail: &Mail) -> Option<Mail> {
    let bytes = mail::ended(&mail::wire(&mail.bytes));
    (!bytes.contains(&0)).then(|| Mail {
        name: mail.name.clone(),
        bytes,
    })
}

fn from_courier(binary: &Path, mails: &[Mail], cases: &mut Cases) {
    // Courier adds a header of its own to what is not 7-bit MIME for who did not say UTF8; and it ends
    // at a NUL. What it sends of the rest is what lies there.
    let mut plain = mails.to_vec();
    plain.retain(|mail| mail.bytes.is_ascii() && !mail.bytes.contains(&0));
    println!("  {} of them in plain ASCII, for Courier", plain.len());
    let sent = as_sent(&plain);
    let mut server = match Courier::new(USER) {
        Ok(server) => server,
        Err(error) => return cases.case("Courier", || Err(error)),
    };
    cases.case("Courier starts", || {
        // It takes what lies there for lines that end in LF, and sends CRLF.
        let lines: Vec<Vec<u8>> = plain
            .iter()
            .map(|mail| mail::normalised(&mail.bytes))
            .collect();
        server.fill(USER, lines.iter().map(Vec::as_slice))?;
        server.start()
    });
    for way in [Way::Plain, Way::Stls] {
        let name = format!("from Courier over {}, and nothing new then", way.name());
        cases.case(&name, || {
            let ca = server.certificate();
            twice(binary, way, &url(way, USER, server.pop3), &ca, &sent)
        });
    }
}

fn from_ourselves(binary: &Path, mails: &[Mail], cases: &mut Cases) {
    let serve = || -> Fallible<Program> {
        let mut server = Program::new(binary, "source")?;
        let folder = server.path("mails");
        mail::write_folder(mails, &folder)?;
        server.add_user(USER)?;
        server.import(&folder, USER)?;
        server.start()?;
        Ok(server)
    };
    let mut server = match serve() {
        Ok(server) => server,
        Err(error) => return cases.case("our own server", || Err(error)),
    };
    let sent: Vec<Mail> = mails.iter().map(Mail::ended).collect();
    for way in WAYS {
        let port = if way == Way::Pop3s {
            server.pop3s
        } else {
            server.pop3
        };
        let name = format!("from ourselves over {}, and nothing new then", way.name());
        cases.case(&name, || {
            let ca = server.certificate();
            twice(binary, way, &url(way, USER, port), &ca, &sent)
        });
    }
    cases.case("our own server is well", || {
        server.healthy()?;
        server.stop()
    });
}
