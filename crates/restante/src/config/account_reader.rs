//! From `[account.NAME]` to [`Account`].

use std::time::Duration;

use restante_client::{ClientCertificate, Mechanism, Place, Security, Server, TlsOptions};
use restante_intake::destination::Spec;
use restante_proto::Secret;

use super::account::{self, Account, Keep, OAuth, SecretFrom, Target};
use super::section::Section;

/// Nobody fetches more often: providers shut out who does.
const EVERY_MS_MIN: u64 = 60_000;

/// A shorter silence is no sign of anything.
const TIMEOUT_MS_MIN: u64 = 1000;

/// Reads one account. `None` when it cannot even be named or reached; what is wrong is noted.
pub(super) fn read(mut section: Section<'_, '_, '_>) -> Option<Account> {
    let name = section.own_name().to_owned();
    let named = account::is_name(&name);
    if !named {
        section.wrong(
            "is not a name that an account can have",
            "letters, digits and -_.@+, as in [account.gmx] or [account.\"ann@gmx.net\"]",
        );
    }
    let server = server(&mut section);
    let user = required(&mut section, "user", "\"ann@example.org\"");
    let secret = secret(&mut section);
    let (minimum, only) = mechanisms(&mut section);
    let keep = section.take("keep", account::KEEP_RIGHT, |value| {
        account::keep(value.as_str()?)
    });
    let (target, target_secret, target_tls) = target(&mut section, keep);
    let max_size = section.size("max_size");
    let max_per_day = section.count("max_per_day");
    let every = every(&mut section);
    let on_failure = section.word("on_failure", "a command, such as \"notify-send 'No mail'\"");
    section.finish();
    let secret = match (&secret, minimum) {
        (SecretFrom::Prompt, Some(Mechanism::External)) => SecretFrom::Certificate,
        _ => secret,
    };
    let account = Account::new(name, server?, user?);
    named.then_some(Account {
        secret,
        minimum,
        only,
        keep: keep.unwrap_or(account.keep),
        target: target.unwrap_or_else(|| account.target.clone()),
        target_secret,
        target_tls,
        max_size,
        max_per_day,
        every: every.unwrap_or(account.every),
        on_failure,
        ..account
    })
}

/// A word that must be there.
fn required(section: &mut Section<'_, '_, '_>, key: &'static str, example: &str) -> Option<String> {
    if !section.has(key) {
        section.wrong(&format!("has no {key}"), &format!("{key} = {example}"));
    }
    section.word(key, example)
}

/// Where the server is, and how it is reached.
fn server(section: &mut Section<'_, '_, '_>) -> Option<Server> {
    let security = section.take(
        "security",
        "\"tls\", \"stls\" or \"danger-plaintext\"",
        |value| account::security(value.as_str()?),
    );
    let security = security.unwrap_or(Security::ImplicitTls);
    let port = section.take("port", "a port, such as 995", |value| {
        let port: u16 = value.as_integer()?.as_str().parse().ok()?;
        (port > 0).then_some(port)
    });
    let right = "\"pop.example.org\" or \"unix:/path\"";
    if !section.has("host") {
        section.wrong("has no host", "host = \"pop.example.org\"");
    }
    let place = section.take("host", right, |value| {
        let text = value.as_str()?;
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Place::unix(path));
        }
        // An IPv6 address may stand without brackets here: the port has its own key.
        let six = text.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, no_port) = account::host_and_port(&if six {
            format!("[{text}]")
        } else {
            text.to_owned()
        })?;
        if no_port.is_some() {
            return None;
        }
        Some(Place::tcp(
            host,
            port.unwrap_or(account::default_port(security)),
        ))
    });
    let tls = tls(section, security);
    let proxy = section.take("proxy", account::PROXY_RIGHT, |value| {
        account::proxy(value.as_str()?)
    });
    let timeout = section.take(
        "timeout",
        "a time of a second or more, such as \"60 s\"",
        |value| crate::units::duration_ms(value.as_str()?).filter(|ms| *ms >= TIMEOUT_MS_MIN),
    );
    let mut server = Server::new(place?, security);
    server.tls = tls;
    server.proxy = proxy;
    if let Some(ms) = timeout {
        server.timeout = Duration::from_millis(ms);
    }
    Some(server)
}

fn tls(section: &mut Section<'_, '_, '_>, security: Security) -> TlsOptions {
    let ca_file = section.path("ca");
    let pin_sha256 = pin(section, "pin");
    let chain = section.path("client_certificate");
    let key = section.path("client_key");
    if chain.is_some() != key.is_some() {
        section.wrong(
            "needs both client_certificate and client_key",
            "client_certificate = \"/path/cert.pem\" and client_key = \"/path/key.pem\"",
        );
    }
    let any = section.boolean("danger_accept_any_certificate") == Some(true);
    let trusts = ca_file.is_some() || pin_sha256.is_some();
    if any && trusts {
        section.wrong(
            "takes any certificate, so ca and pin say nothing",
            "ca or pin without danger_accept_any_certificate",
        );
    }
    if security == Security::DangerPlaintext && (trusts || any || chain.is_some()) {
        section.wrong(
            "has no TLS, so its certificates say nothing",
            "security = \"tls\" or \"stls\", or no ca, pin, client_certificate and danger_accept_any_certificate",
        );
    }
    TlsOptions {
        ca_file,
        pin_sha256,
        client_certificate: chain
            .zip(key)
            .map(|(chain, key)| ClientCertificate { chain, key }),
        danger_accept_any_certificate: any,
        ..TlsOptions::default()
    }
}

fn pin(section: &mut Section<'_, '_, '_>, key: &'static str) -> Option<[u8; 32]> {
    let right =
        "the 64 hex digits of the certificate's SHA-256, as `restante doctor HOST` shows it";
    section.take(key, right, |value| account::pin(value.as_str()?))
}

/// One source of the password or token; more than one is a mistake.
fn secret(section: &mut Section<'_, '_, '_>) -> SecretFrom {
    let keys = ["password_file", "password_env", "password_command"];
    let mut said = password(section, keys);
    let keyring = section.word(
        "password_keyring",
        "the entry's user, such as \"ann@gmx.net\"",
    );
    let token = section.word("token_command", "\"my-token-program ann@gmx.net\"");
    said.extend(keyring.map(SecretFrom::Keyring));
    said.extend(token.map(SecretFrom::TokenCommand));
    said.extend(oauth(section).map(|oauth| SecretFrom::OAuth(Box::new(oauth))));
    if said.len() > 1 {
        section.wrong(
            "has its password from more than one place",
            "one of password_file, password_env, password_command, password_keyring, token_command and oauth",
        );
    }
    let keyring = said
        .iter()
        .any(|from| matches!(from, SecretFrom::Keyring(_)));
    if keyring && cfg!(not(feature = "keyring")) {
        section.wrong(
            "wants the keyring, which this program was built without",
            "password_command with your keyring's own program, such as \"secret-tool lookup service restante\"; or build with --features keyring",
        );
    }
    said.pop().unwrap_or(SecretFrom::Prompt)
}

/// A password from a file, the environment or a command.
fn password(section: &mut Section<'_, '_, '_>, keys: [&'static str; 3]) -> Vec<SecretFrom> {
    let [file, environment, command] = keys;
    let file = section.path(file).map(SecretFrom::File);
    let right = "the name of a variable, such as \"GMX_PASSWORD\"";
    let environment = section.take(environment, right, |value| {
        let name = value.as_str()?;
        let good = !name.is_empty() && !name.contains(['=', '\0', ' ']);
        good.then(|| SecretFrom::Environment(name.to_owned()))
    });
    let command = section
        .word(command, "\"pass show mail/gmx\"")
        .map(SecretFrom::Command);
    [file, environment, command].into_iter().flatten().collect()
}

/// `oauth = { … }` or `[account.NAME.oauth]`.
fn oauth(section: &mut Section<'_, '_, '_>) -> Option<OAuth> {
    if !section.has("oauth") {
        // Asked for, so that it counts as known.
        return section.take("oauth", "", |_| None);
    }
    let mut section = section.section("oauth");
    let nobody = !section.has("provider") && !section.has("token_endpoint");
    let provider = section.take(
        "provider",
        "\"microsoft\" or \"google\"; or authorize_endpoint, token_endpoint and device_endpoint",
        |value| {
            let name = value.as_str()?;
            ["microsoft", "google"]
                .contains(&name)
                .then(|| name.to_owned())
        },
    );
    let client_id = required(
        &mut section,
        "client_id",
        "\"…\": one of your own; README.md says how to get it",
    );
    let client_secret = section.take(
        "client_secret",
        "the provider's secret for this program",
        |value| Some(Secret::from(value.as_str()?)),
    );
    let tenant = section.word(
        "tenant",
        "\"common\", \"consumers\", \"organizations\" or a tenant's id",
    );
    let scopes = section.take("scopes", "an array of words", |value| {
        let words = value.as_array()?.iter();
        words
            .map(|word| Some(word.get_ref().as_str()?.to_owned()))
            .collect::<Option<Vec<_>>>()
    });
    let mut endpoint = |key| {
        section.take(
            key,
            "an https:// address; http:// for this machine only",
            |value| {
                let url = value.as_str()?;
                let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
                let good = url.starts_with("https://") || local.iter().any(|l| url.starts_with(l));
                good.then(|| url.to_owned())
            },
        )
    };
    let authorize_endpoint = endpoint("authorize_endpoint");
    let token_endpoint = endpoint("token_endpoint");
    let device_endpoint = endpoint("device_endpoint");
    let redirect = section.word("redirect", "\"http://127.0.0.1\"");
    let ca = section.path("ca");
    if nobody {
        section.wrong(
            "names neither a provider nor its endpoints",
            "provider = \"microsoft\" or \"google\", or token_endpoint with authorize_endpoint or device_endpoint",
        );
    }
    section.finish();
    Some(OAuth {
        provider,
        client_id: client_id.unwrap_or_default(),
        client_secret,
        tenant,
        scopes: scopes.unwrap_or_default(),
        authorize_endpoint,
        token_endpoint,
        device_endpoint,
        redirect,
        ca,
    })
}

fn mechanisms(section: &mut Section<'_, '_, '_>) -> (Option<Mechanism>, Option<Mechanism>) {
    let minimum = section.take(
        "auth",
        "the weakest mechanism that may be tried, such as \"scram-sha-256\"; for APOP, apop = true",
        |value| {
            let mechanism: Mechanism = value.as_str()?.parse().ok()?;
            (mechanism != Mechanism::Apop).then_some(mechanism)
        },
    );
    let apop = section.boolean("apop") == Some(true);
    if apop && minimum.is_some() {
        section.wrong(
            "asks for APOP, so auth says nothing",
            "apop = true or auth, not both",
        );
    }
    (minimum, apop.then_some(Mechanism::Apop))
}

fn target(
    section: &mut Section<'_, '_, '_>,
    keep: Option<Keep>,
) -> (Option<Target>, SecretFrom, TlsOptions) {
    let both = section.has("into") && section.has("to");
    let into = section.take("into", "a user's name, such as \"me\"", |value| {
        restante_directory::user_name(value.as_str()?).ok()
    });
    let right = "\"maildir:/path\", \"mbox:/path\", \"lmtp:host:port\", \"smtp:host:port\", \"imaps://user@host/mailbox\" or \"pipe:command\"";
    let to = section.take("to", right, |value| Spec::parse(value.as_str()?).ok());
    if both {
        section.wrong(
            "has both into and to",
            "into for our own store, or to for another place",
        );
    }
    if to.is_some() && keep == Some(Keep::UntilBackedUp) {
        section.wrong(
            "keeps its mail until it is backed up, but what goes elsewhere is in no backup of ours",
            "into = \"me\", or another keep",
        );
    }
    let keys = ["to_password_file", "to_password_env", "to_password_command"];
    let mut secrets = password(section, keys);
    let login = matches!(to, Some(Spec::Imap { .. }));
    if secrets.len() > 1 || (!secrets.is_empty() && !login && to.is_some()) {
        section.wrong(
            "has a password too many for its destination",
            "one of to_password_file, to_password_env and to_password_command, with to = \"imaps://…\"",
        );
    }
    let tls = TlsOptions {
        ca_file: section.path("to_ca"),
        pin_sha256: pin(section, "to_pin"),
        ..TlsOptions::default()
    };
    let trusts = tls.ca_file.is_some() || tls.pin_sha256.is_some();
    if trusts && !to.as_ref().is_some_and(account::has_certificate) {
        section.wrong(
            "has a destination without TLS, so to_ca and to_pin say nothing",
            "to = \"imaps://user@host/mailbox\", or no to_ca and to_pin",
        );
    }
    let target = to.map(Target::Destination).or(into.map(Target::Mailbox));
    (target, secrets.pop().unwrap_or(SecretFrom::Prompt), tls)
}

fn every(section: &mut Section<'_, '_, '_>) -> Option<Option<Duration>> {
    let right = "a time of a minute or more, such as \"15 min\"; \"never\" for only when asked";
    section.take("every", right, |value| match value.as_str()? {
        "never" => Some(None),
        text => {
            let ms = crate::units::duration_ms(text).filter(|ms| *ms >= EVERY_MS_MIN)?;
            Some(Some(Duration::from_millis(ms)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Mistake, reader};
    use super::*;

    fn one(text: &str) -> (Vec<Account>, Vec<Mistake>) {
        let (typed, mistakes) = reader::read(text);
        (typed.accounts, mistakes)
    }

    #[test]
    fn an_account_needs_a_host_and_a_user_and_has_defaults_for_the_rest() {
        let (accounts, mistakes) =
            one("[account.gmx]\nhost = \"pop.gmx.net\"\nuser = \"ann@gmx.net\"\n");
        assert_eq!(mistakes, []);
        let gmx = &accounts[0];
        assert_eq!(gmx.name, "gmx");
        assert_eq!(gmx.server.place, Place::tcp("pop.gmx.net", 995));
        assert_eq!(gmx.server.security, Security::ImplicitTls);
        assert_eq!(gmx.keep, Keep::Forever);
        assert_eq!(gmx.target, Target::Mailbox("me".to_owned()));
        assert_eq!(gmx.every, Some(account::EVERY));
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
[account."ann@example.org"]
host = "::1"
port = 1110
security = "stls"
user = "ann"
password_command = "pass show mail/ann"
auth = "scram-sha-256"
keep = "30 days"
into = "Ann"
max_size = "10M"
max_per_day = 500
every = "never"
ca = "/ca.pem"
client_certificate = "/c.pem"
client_key = "/k.pem"
proxy = "socks5://127.0.0.1:9050"
timeout = "2 min"
on_failure = "logger failed"
[account.o]
host = "h"
user = "u"
to = "imaps://u@h/m"
to_ca = "/ca.pem"
to_pin = "0101010101010101010101010101010101010101010101010101010101010101"
danger_accept_any_certificate = true
oauth = { provider = "microsoft", client_id = "x", scopes = ["a", "b"], tenant = "common" }
"#;
        let (accounts, mistakes) = one(text);
        assert_eq!(mistakes, []);
        let ann = &accounts[0];
        assert_eq!(ann.name, "ann@example.org");
        assert_eq!(ann.server.place, Place::tcp("::1", 1110));
        assert!(matches!(&ann.secret, SecretFrom::Command(c) if c == "pass show mail/ann"));
        assert_eq!(ann.minimum, Some(Mechanism::ScramSha256));
        assert_eq!(ann.keep, Keep::Days(30));
        assert_eq!(ann.target, Target::Mailbox("ann".to_owned()));
        assert_eq!((ann.max_size, ann.max_per_day), (Some(10 << 20), Some(500)));
        assert_eq!(ann.every, None);
        assert!(ann.server.tls.client_certificate.is_some());
        let proxy = ann.server.proxy.as_ref().unwrap();
        assert_eq!(proxy.address, "127.0.0.1:9050");
        assert_eq!(ann.server.timeout, Duration::from_secs(120));
        assert!(matches!(&accounts[1].secret, SecretFrom::OAuth(o) if o.scopes.len() == 2));
        assert!(accounts[1].server.tls.danger_accept_any_certificate);
        let to = &accounts[1].target_tls;
        assert_eq!((to.ca_file.is_some(), to.pin_sha256), (true, Some([1; 32])));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = r#"
[account.a]
user = "u"
keep = "always"
[account.b]
host = "h:1"
user = "u"
password_env = "X"
password_command = "y"
[account."b c"]
host = "h"
user = "u"
pasword_file = "/x"
[account.d]
host = "h"
user = "u"
security = "danger-plaintext"
pin = "12"
ca = "/x"
every = "5s"
into = "me"
to = "mbox:/x"
[account.e]
host = "h"
user = "u"
apop = true
auth = "plain"
client_key = "/k"
to = "mbox:/x"
to_ca = "/ca.pem"
[account.e.oauth]
provider = "yahoo"
"#;
        let (accounts, mistakes) = one(text);
        let lines: Vec<_> = mistakes.iter().map(|m| m.line).collect();
        assert_eq!(
            lines,
            [2, 4, 5, 6, 10, 13, 14, 14, 18, 20, 23, 23, 23, 31, 32],
            "{mistakes:#?}"
        );
        assert_eq!(mistakes[5].right, "password_file");
        assert_eq!(accounts.len(), 2, "those that can be reached");
    }
}
