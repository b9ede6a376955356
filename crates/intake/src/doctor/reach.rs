//! Greeting, TLS, certificate, and the capabilities before login.

use std::time::Duration;

use restante_client::{
    Capabilities, Connection, Error, Mechanism, Place, Security, Server, TlsVersion, connect, dial,
};

use super::certificate::{Certificate, printable};
use super::{Report, TlsTrial};

/// How far one gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Not,
    /// It answers, but its certificate is not to be trusted: nothing secret may go there.
    Untrusted,
    Trusted,
}

/// How long to wait for what is asked by the way only.
const ASIDE: Duration = Duration::from_secs(5);

/// The same server, whatever its certificate. Only for what is said before login.
pub(super) fn any_certificate(server: &Server) -> Server {
    let mut server = server.clone();
    server.tls.pin_sha256 = None;
    server.tls.danger_accept_any_certificate = true;
    server
}

pub(super) async fn reach(report: &mut Report, server: &Server) -> Reached {
    let (mut connection, problem) = match connect(server).await {
        Ok(connection) => (connection, None),
        Err(error @ (Error::Tls(_) | Error::Pin { .. })) => {
            match connect(&any_certificate(server)).await {
                Ok(connection) => (connection, Some(error)),
                Err(_) => {
                    report.fail_by(&error, "", false);
                    without_tls(report, server).await;
                    return Reached::Not;
                }
            }
        }
        Err(error) => {
            if let Error::StlsRefused(_) = error {
                report.stls = Some(false);
            }
            report.fail_by(&error, "", false);
            return Reached::Not;
        }
    };
    report.greeting = Some(printable(&connection.greeting().text));
    if let Some(facts) = connection.tls() {
        let leaf = facts.certificates.first().map_or(&[][..], Vec::as_slice);
        let mut certificate = Certificate::read(leaf, &facts.leaf_sha256);
        certificate.problem = problem.as_ref().map(Error::to_string);
        certificate.trusted = problem.is_none()
            && !(server.tls.danger_accept_any_certificate && server.tls.pin_sha256.is_none());
        report.certificate = Some(certificate);
    }
    let apop = connection.greeting().text.contains('<') && connection.greeting().text.contains('@');
    match connection.capabilities().await {
        Ok(capabilities) => note_capabilities(report, capabilities, apop),
        Err(error) => report.odd(format!("CAPA before login: {error}")),
    }
    leave(connection).await;
    versions(report, server).await;
    match problem {
        None => Reached::Trusted,
        Some(_) => Reached::Untrusted,
    }
}

/// QUIT, without waiting long for an answer.
async fn leave(connection: Connection) {
    // Nothing was done that the answer could confirm.
    let _ = tokio::time::timeout(ASIDE, connection.quit()).await;
}

fn note_capabilities(report: &mut Report, capabilities: &Capabilities, apop: bool) {
    if !capabilities.is_known() {
        report.odd("does not know CAPA: what it can do has to be tried out");
        return;
    }
    report.before_login = Some(lines(capabilities));
    report.stls =
        (report.security != "tls").then(|| report.security == "stls" || capabilities.has("STLS"));
    report.pipelining.advertised = capabilities.pipelining();
    note_policies(report, capabilities);
    let mut offered: Vec<String> = Mechanism::ALL
        .into_iter()
        .rev()
        .filter(|mechanism| match mechanism {
            Mechanism::UserPass => capabilities.has("USER"),
            Mechanism::Apop => apop,
            _ => false,
        } || capabilities.mechanisms().any(|name| name.eq_ignore_ascii_case(mechanism.name())))
        .map(|mechanism| mechanism.name().to_owned())
        .collect();
    offered.extend(
        capabilities
            .mechanisms()
            .filter(|name| name.parse::<Mechanism>().is_err())
            .map(|name| format!("{} (not spoken here)", printable(name))),
    );
    report.mechanisms = offered;
}

pub(super) fn lines(capabilities: &Capabilities) -> Vec<String> {
    capabilities.lines().map(printable).collect()
}

/// RFC 2449 §6.5 LOGIN-DELAY and §6.7 EXPIRE.
pub(super) fn note_policies(report: &mut Report, capabilities: &Capabilities) {
    if let Some(mut delay) = capabilities.arguments("LOGIN-DELAY") {
        report.login_delay_seconds = delay.next().and_then(|seconds| seconds.parse().ok());
    }
    if let Some(mut expire) = capabilities.arguments("EXPIRE") {
        report.expire = expire.next().map(printable);
    }
}

/// Each version alone. Certificates do not matter here.
async fn versions(report: &mut Report, server: &Server) {
    if server.security == Security::DangerPlaintext && report.stls != Some(true) {
        return;
    }
    let mut server = any_certificate(server);
    if server.security == Security::DangerPlaintext {
        server.security = Security::Stls;
    }
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        server.tls.only = Some(version);
        let trial = match connect(&server).await {
            Ok(connection) => {
                let facts = connection.tls();
                if let (None, Some(facts)) = (&report.certificate, facts) {
                    let leaf = facts.certificates.first().map_or(&[][..], Vec::as_slice);
                    report.certificate = Some(Certificate::read(leaf, &facts.leaf_sha256));
                }
                let trial = TlsTrial {
                    version: version.to_string(),
                    accepted: true,
                    cipher: facts.map(|facts| facts.cipher.clone()),
                    reason: None,
                };
                leave(connection).await;
                trial
            }
            Err(error) => TlsTrial {
                version: version.to_string(),
                accepted: false,
                cipher: None,
                reason: Some(error.to_string()),
            },
        };
        report.tls.push(trial);
    }
}

/// A port that was thought to be POP3S: perhaps it is plain POP3.
async fn without_tls(report: &mut Report, server: &Server) {
    let mut plain = server.clone();
    plain.security = Security::DangerPlaintext;
    plain.timeout = plain.timeout.min(ASIDE);
    let Ok(mut connection) = connect(&plain).await else {
        return;
    };
    report.greeting = Some(printable(&connection.greeting().text));
    let stls = matches!(connection.capabilities().await, Ok(list) if list.has("STLS"));
    report.stls = Some(stls);
    report.odd(if stls {
        "speaks plain POP3 with STLS on this port, not TLS from the first byte"
    } else {
        "speaks plain POP3 on this port, and offers no STLS"
    });
    leave(connection).await;
}

/// Whether something answers on IMAP's port 993 (RFC 8314 §3.2); nothing is said to it.
pub(super) async fn imap(report: &mut Report, server: &Server) {
    let Place::Tcp { host, .. } = &server.place else {
        return;
    };
    let mut imap = server.clone();
    imap.place = Place::tcp(host.clone(), 993);
    imap.security = Security::DangerPlaintext;
    imap.timeout = imap.timeout.min(ASIDE);
    report.imap = Some(dial(&imap).await.is_ok());
}
