//! POP URLs (RFC 2384), as far as they name a server and a login.

use restante_client::{Mechanism, Place, Security, Server};

use super::account::{Account, default_port, host_and_port};

/// Whether a word is meant as a URL rather than as an account's name.
pub(crate) fn is_url(word: &str) -> bool {
    word.contains("://")
}

/// Reads `pop3s://user@host[:port]` (TLS) or `pop3://…` (STLS). The error says what would be right.
///
/// ```abnf
/// popurl   = "pop://" server            ; RFC 2384 §8
/// server   = [user-auth "@"] hostport
/// user-auth = enc-user [auth]
/// auth     = ";AUTH=" ( "*" / enc-auth-type )
/// enc-ext  = "+" ("APOP" / 1*achar)
/// ```
///
/// `pop3` is taken for `pop`, `pop3s` says that TLS comes first, a `@` in the user may stand
/// unencoded, and `unix:/path` may stand for the host.
pub(crate) fn account(url: &str) -> Result<Account, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let security = match scheme.to_ascii_lowercase().as_str() {
        "pop3s" | "pops" => Security::ImplicitTls,
        "pop3" | "pop" => Security::Stls,
        _ => {
            return Err(format!(
                "{scheme}:// is not a way to fetch: pop3s://user@host (TLS) or pop3://user@host (STLS)"
            ));
        }
    };
    // A path cannot hold the last `@` before the host, but a Unix socket's may hold any.
    let split = match rest.split_once("@unix:") {
        Some((login, path)) => Some((login, Err(path))),
        None => rest.rsplit_once('@').map(|(login, host)| (login, Ok(host))),
    };
    let Some((login, host)) = split else {
        return Err(format!(
            "{scheme}://{rest} names no user: {scheme}://user@host"
        ));
    };
    let (user, auth) = match login.split_once(';') {
        None => (login, None),
        Some((user, parameter)) => (user, Some(parameter)),
    };
    if user.contains(':') {
        return Err(format!(
            "a password has no place in a URL, where other users of this machine and the shell's history see it; leave it out to be asked, or use --password-stdin, --password-file, --password-env or --password-command. The user's `:` itself would be %3A: {scheme}://USER@…"
        ));
    }
    let user = decode(user)
        .filter(|user| !user.is_empty() && !user.contains(char::is_control))
        .ok_or_else(|| {
            format!("the user in {scheme}://… is not as it should be: {scheme}://user@host")
        })?;
    let place = match host {
        Err(path) if path.starts_with('/') => Place::unix(path),
        Err(_) => return Err("a Unix socket is named by its whole path: unix:/run/pop3".to_owned()),
        Ok(host) => {
            let host = host.strip_suffix('/').unwrap_or(host);
            let (host, port) = host_and_port(host).ok_or_else(|| {
                format!("{host} is not a host: {scheme}://user@host or {scheme}://user@host:port")
            })?;
            Place::tcp(host, port.unwrap_or(default_port(security)))
        }
    };
    let name = ledger_name(&user, &place);
    let mut account = Account::new(name, Server::new(place, security), user);
    if let Some(auth) = auth {
        mechanism(auth, &mut account)?;
    }
    Ok(account)
}

/// RFC 2384 §4: `;AUTH=*` any; `;AUTH=+APOP`; `;AUTH=` and a SASL mechanism, and then no other.
fn mechanism(parameter: &str, account: &mut Account) -> Result<(), String> {
    let right = ";AUTH=*, ;AUTH=+APOP or a SASL mechanism as in ;AUTH=SCRAM-SHA-256";
    let value = parameter
        .split_once('=')
        .filter(|(key, _)| key.eq_ignore_ascii_case("AUTH"))
        .and_then(|(_, value)| decode(value))
        .ok_or_else(|| format!(";{parameter} is not known; right would be: {right}"))?;
    if value == "*" {
        return Ok(());
    }
    let name = value.strip_prefix('+').unwrap_or(&value);
    let mechanism: Option<Mechanism> = name.parse().ok();
    match mechanism {
        Some(mechanism) if value.starts_with('+') == (mechanism == Mechanism::Apop) => {
            account.only = Some(mechanism);
            Ok(())
        }
        _ => Err(format!(
            ";{parameter} is not known; right would be: {right}"
        )),
    }
}

/// What the ledger calls an account that has no name: the same for `pop3s` and `pop3`, told apart by
/// ports that are not theirs.
fn ledger_name(user: &str, place: &Place) -> String {
    match place {
        Place::Tcp {
            host,
            port: 110 | 995,
        } => format!("{user}@{host}"),
        other => format!("{user}@{other}"),
    }
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(crate::units::percent_decoded(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2384 §7 gives these.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let rg = account("pop://rg@mailsrv.qualcomm.com").unwrap();
        assert_eq!(rg.user, "rg");
        assert_eq!(rg.server.place, Place::tcp("mailsrv.qualcomm.com", 110));
        assert_eq!(rg.server.security, Security::Stls);
        let apop = account("pop://rg;AUTH=+APOP@mail.eudora.com:8110").unwrap();
        assert_eq!(apop.only, Some(Mechanism::Apop));
        assert_eq!(apop.user, "rg");
        assert_eq!(apop.server.place, Place::tcp("mail.eudora.com", 8110));
        let sasl = account("pop://baz;AUTH=SCRAM-MD5@foo.bar");
        assert!(
            sasl.unwrap_err().contains("SCRAM-MD5"),
            "we have no such mechanism, and RFC 2384 §4 wants no other"
        );
    }

    #[test]
    fn what_people_type_is_read() {
        let at = account("pop3s://ann@gmx.net@pop.gmx.net/").unwrap();
        assert_eq!(at.user, "ann@gmx.net");
        assert_eq!(at.server.security, Security::ImplicitTls);
        assert_eq!(at.server.place, Place::tcp("pop.gmx.net", 995));
        assert_eq!(at.name, "ann@gmx.net@pop.gmx.net");
        let encoded = account("pop3s://ann%40gmx.net@pop.gmx.net:995").unwrap();
        assert_eq!((&encoded.user, &encoded.name), (&at.user, &at.name));
        let six = account("pop3://u;auth=plain@[::1]:1110").unwrap();
        assert_eq!(six.server.place, Place::tcp("::1", 1110));
        assert_eq!(six.only, Some(Mechanism::Plain));
        assert_eq!(six.name, "u@[::1]:1110");
        let any = account("pop3://u;AUTH=*@h").unwrap();
        assert_eq!(any.only, None);
        let unix = account("pop3://u@unix:/run/a@b").unwrap();
        assert_eq!(unix.server.place, Place::unix("/run/a@b"));
    }

    #[test]
    fn what_is_wrong_is_explained_without_the_password() {
        for (url, says) in [
            ("pop3s://ann:hunter2@h", "--password-stdin"),
            ("imap://ann@h", "pop3s://user@host"),
            ("pop3s://h", "names no user"),
            ("pop3s://@h", "the user"),
            ("pop3s://a%4@h", "the user"),
            ("pop3s://a@h:0", "is not a host"),
            ("pop3s://a@h/1", "is not a host"),
            ("pop3://a@unix:run", "whole path"),
            ("pop3://a;x=1@h", ";AUTH="),
        ] {
            let error = account(url).unwrap_err();
            assert!(error.contains(says), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
