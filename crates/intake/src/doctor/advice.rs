//! What a report means, in plain words.

use jiff::Timestamp;
use restante_client::{Place, Security, Server};

use super::Report;
use crate::providers;

/// A certificate that ends within so many days deserves a word.
const SOON_SECONDS: i64 = 14 * 86_400;

pub(super) fn give(report: &mut Report, server: &Server) {
    let mut words = Vec::new();
    failure(report, server, &mut words);
    encryption(report, server, &mut words);
    if report.greeting.is_some() && report.failure.is_none() {
        fetching(report, &mut words);
        provider(report, server, &mut words);
        verdict(report, &mut words);
    }
    report.advice = words;
}

fn host(server: &Server) -> &str {
    match &server.place {
        Place::Tcp { host, .. } => host,
        #[cfg(unix)]
        Place::Unix(_) => "localhost",
    }
}

fn failure(report: &Report, server: &Server, words: &mut Vec<String>) {
    if let Some(failure) = &report.failure
        && let Some(means) = providers::explain(host(server), failure)
    {
        words.push(means.to_owned());
    }
    if report.greeting.is_none() && report.stls != Some(false) {
        words.push("Check the host's name, the port and the network; POP3 with TLS is usually on port 995.".into());
    }
}

fn encryption(report: &Report, server: &Server, words: &mut Vec<String>) {
    if let Some(certificate) = &report.certificate {
        if certificate.problem.is_some() {
            words.push(format!(
                "If this certificate is your own server's, pin it: --pin {}",
                certificate.sha256
            ));
        }
        let now = Timestamp::now().as_second();
        if certificate
            .not_after
            .is_some_and(|end| (now..now + SOON_SECONDS).contains(&end))
        {
            words.push("The certificate ends soon; without a new one fetching will stop.".into());
        }
    }
    match (server.security, report.stls) {
        (Security::Stls, Some(false)) => words.push(
            "The server takes no STLS, or somebody on the way removed it: try TLS on port 995. \
             Without TLS anybody on the way can read password and mail."
                .into(),
        ),
        (Security::DangerPlaintext, Some(true)) => {
            words.push("The server takes STLS: use it instead of plain text.".into());
        }
        (Security::DangerPlaintext, _) => words.push(
            "Anybody on the way can read password and mail; only good on this very computer."
                .into(),
        ),
        (Security::ImplicitTls, Some(true)) => {
            words.push("Use STLS on this port, or TLS on port 995.".into());
        }
        _ => {}
    }
}

fn fetching(report: &Report, words: &mut Vec<String>) {
    if report.pipelining.before_login == Some(false) || report.pipelining.after_login == Some(false)
    {
        words.push(
            "Commands must go one by one here: fetching takes one round trip a message.".into(),
        );
    }
    if let Some(seconds) = report.login_delay_seconds.filter(|&seconds| seconds > 0) {
        words.push(format!(
            "Fetch at most every {seconds} seconds: the server refuses earlier logins."
        ));
    }
    match report.expire.as_deref() {
        None => {}
        Some("NEVER") => words.push("The server never deletes mail by itself.".into()),
        Some("0") => words.push(
            "The server deletes mail once it was fetched: keep a backup of the archive.".into(),
        ),
        Some(days) => words.push(format!(
            "The server deletes mail by itself after {days} days."
        )),
    }
}

fn provider(report: &mut Report, server: &Server, words: &mut Vec<String>) {
    let Some(known) = providers::by_host(host(server)) else {
        return;
    };
    report.provider = Some(known.name.clone());
    if let Some(pop3) = &known.pop3 {
        words.push(pop3.after_retr.clone());
        words.push(format!("POP3 does not show here: {}", pop3.misses));
        words.push(format!("To get that: {}", pop3.rest));
        if let Some(window) = pop3.window {
            words.push(format!(
                "A session shows about {window} messages; a fetch goes on until a session brings nothing new."
            ));
        }
    }
}

/// POP3 or IMAP.
fn verdict(report: &Report, words: &mut Vec<String>) {
    let drop = report.maildrop.as_ref();
    let ids = drop.and_then(|drop| drop.unique_ids.as_ref());
    let imap = report.imap == Some(true);
    let shaky = drop.is_some_and(|drop| drop.unique_ids.is_none() && drop.count > 0)
        || ids.is_some_and(|ids| ids.stable == Some(false) || ids.duplicates > 0);
    let open_uidl = report
        .before_login
        .iter()
        .chain(&report.after_login)
        .flatten()
        .any(|line| line.eq_ignore_ascii_case("UIDL"));
    if shaky {
        words.push(format!(
            "Unique-ids cannot be relied on here. Restante tells messages apart by their headers, which \
             is slower{}",
            if imap { "; IMAP, which this host has too, suits such a mailbox better." } else { "." }
        ));
    } else if open_uidl || ids.is_some() {
        words.push("POP3 suits an archive here: new mail is told from old without fail.".into());
    } else {
        words.push(
            "Whether POP3 suits an archive here shows after a login: UIDL is not announced.".into(),
        );
    }
    words.push(
        if imap {
            "POP3 brings the inbox alone. For folders, sent mail and read marks use IMAP, which answers on port 993 of this host."
        } else {
            "POP3 brings the inbox alone: no folders, no sent mail, no read marks. Those need IMAP, which did not answer on port 993 of this host."
        }
        .into(),
    );
}
