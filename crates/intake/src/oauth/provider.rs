//! Who issues the tokens, and as which client we ask.

use std::net::IpAddr;
use std::path::PathBuf;

use restante_proto::Secret;
use url::{Host, Url};

use super::OAuthError;

/// An authorization server, RFC 6749, and our client there. The client id is the one that the user
/// registered.
#[derive(Debug, Clone)]
pub struct OAuthProvider {
    /// Where a person grants access in a browser; needed for a login in a browser on this machine.
    pub authorize: Option<Url>,
    /// Where codes and refresh tokens are exchanged.
    pub token: Url,
    /// RFC 8628: where a code for another device is asked for; needed for that way to log in.
    pub device: Option<Url>,
    /// What is asked for, such as `offline_access`.
    pub scopes: Vec<String>,
    /// As which client.
    pub client_id: String,
    /// Only where the provider gives one; for a program on a user's machine it is no secret.
    pub client_secret: Option<Secret>,
    /// RFC 6749 §2.3.1: whether the client secret goes into the body rather than the header.
    pub secret_in_body: bool,
    /// Parameters added to the authorization request, where a provider wants some.
    pub authorize_params: Vec<(String, String)>,
    /// RFC 8252 §7.3: the redirection as it is registered, such as `http://127.0.0.1`. Ours has the same
    /// host and path, and the port that we got, unless a port is given here.
    pub redirect: String,
    /// Certificates to trust, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl OAuthProvider {
    /// A provider with nothing but endpoints: a public client, `http://127.0.0.1` as redirection, and
    /// `prompt=consent`, without which OpenID Connect (Core 1.0 §11) grants no `offline_access`;
    /// who does not know that parameter ignores it (RFC 6749 §3.1).
    pub fn new(token: Url, client_id: impl Into<String>) -> Self {
        Self {
            authorize: None,
            token,
            device: None,
            scopes: Vec::new(),
            client_id: client_id.into(),
            client_secret: None,
            secret_in_body: false,
            authorize_params: vec![("prompt".to_owned(), "consent".to_owned())],
            redirect: "http://127.0.0.1".to_owned(),
            ca_file: None,
        }
    }

    /// Microsoft: both ways to log in. `tenant` is `consumers` for outlook.com and hotmail.com, an
    /// organisation's domain or id, or `common` for either. The application's platform is
    /// "mobile and desktop" with the redirection `http://localhost`, and public client flows are allowed.
    ///
    /// # Errors
    /// [`OAuthError::Configuration`] when `tenant` cannot be one.
    pub fn microsoft(tenant: &str, client_id: impl Into<String>) -> Result<Self, OAuthError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if tenant.is_empty() || !tenant.chars().all(fits) {
            return Err(OAuthError::Configuration(format!(
                "{tenant:?} is no tenant: it is common, consumers, organizations, a domain or an id"
            )));
        }
        let at = |what: &str| {
            let text = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{what}");
            known(&text)
        };
        let mut provider = Self::new(at("token")?, client_id);
        provider.authorize = Some(at("authorize")?);
        provider.device = Some(at("devicecode")?);
        provider.scopes = owned(&[
            "https://outlook.office.com/POP.AccessAsUser.All",
            "offline_access",
        ]);
        // Entra leaves the port out of the comparison for this host name only.
        provider.redirect = "http://localhost".to_owned();
        // Entra grants `offline_access` anyway, and in an organisation this would ask for consent that
        // only an administrator may give.
        provider.authorize_params.clear();
        Ok(provider)
    }

    /// Google: a login in a browser on this machine; there is no code for another device with mail.
    /// The client is a "desktop app", which has a secret that Google wants to see.
    ///
    /// # Errors
    /// None as long as Google's addresses are addresses.
    pub fn google(
        client_id: impl Into<String>,
        client_secret: Option<Secret>,
    ) -> Result<Self, OAuthError> {
        let mut provider = Self::new(known("https://oauth2.googleapis.com/token")?, client_id);
        provider.authorize = Some(known("https://accounts.google.com/o/oauth2/v2/auth")?);
        provider.scopes = owned(&["https://mail.google.com/"]);
        provider.client_secret = client_secret;
        provider.secret_in_body = true;
        // Else there is no refresh token, and without `prompt` only the very first login brings one.
        let offline = ("access_type".to_owned(), "offline".to_owned());
        provider.authorize_params.push(offline);
        Ok(provider)
    }

    /// Whether everything fits together: said when the configuration is read, not at the first fetch.
    ///
    /// # Errors
    /// [`OAuthError::Configuration`], which says what is wrong and what would be right.
    pub fn check(&self) -> Result<(), OAuthError> {
        let endpoints = [
            ("authorize", self.authorize.as_ref()),
            ("token", Some(&self.token)),
            ("device", self.device.as_ref()),
        ];
        for (name, url) in endpoints {
            if let Some(url) = url
                && !is_safe(url)
            {
                return Err(OAuthError::Configuration(format!(
                    "the {name} endpoint {url} has to begin with https://"
                )));
            }
        }
        if self.client_id.is_empty() {
            return Err(OAuthError::Configuration(
                "the client id is empty: register a client of your own with the provider and give its id"
                    .to_owned(),
            ));
        }
        Redirect::parse(&self.redirect).map(drop)
    }

    /// The provider's name for a person: the host that gives the tokens.
    pub(super) fn host(&self) -> &str {
        self.token.host_str().unwrap_or("the provider")
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn known(text: &str) -> Result<Url, OAuthError> {
    Url::parse(text).map_err(|error| OAuthError::Configuration(format!("{text}: {error}")))
}

/// RFC 6749 §3.1 and §3.2 require TLS; a server on this very machine is out of a listener's reach.
pub(super) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether a URL leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// RFC 8252 §7.3: a redirection to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// As it is written in the URL, brackets included.
    host: String,
    /// 0 = whichever is free.
    pub(super) port: u16,
    /// As registered: empty and `/` are not the same to a provider that compares strings.
    path: String,
    /// Where to listen. `localhost` may be either.
    pub(super) addresses: Vec<IpAddr>,
}

impl Redirect {
    pub(super) fn parse(text: &str) -> Result<Self, OAuthError> {
        let wrong = || {
            OAuthError::Configuration(format!(
                "the redirection {text} has to be http:// with 127.0.0.1, [::1] or localhost, \
                 such as http://127.0.0.1/callback"
            ))
        };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let extra = url.query().is_some() || url.fragment().is_some();
        let user = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "http" || !is_loopback(&url) || extra || user {
            return Err(wrong());
        }
        let addresses = match url.host() {
            Some(Host::Ipv4(ip)) => vec![IpAddr::V4(ip)],
            Some(Host::Ipv6(ip)) => vec![IpAddr::V6(ip)],
            _ => vec![
                IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
                IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            ],
        };
        let bare = url.path() == "/" && !text.ends_with('/');
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port().unwrap_or(0),
            path: if bare { "" } else { url.path() }.to_owned(),
            addresses,
        })
    }

    /// The redirection with the port that is listened on.
    pub(super) fn with_port(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host, self.path)
    }

    /// The path that the browser will ask for.
    pub(super) fn request_path(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn tokens_travel_by_tls_or_stay_on_this_machine() {
        for good in [
            "https://login.example/token",
            "http://127.0.0.1:8080/token",
            "http://[::1]/token",
            "http://localhost/token",
        ] {
            assert!(
                OAuthProvider::new(url(good), "id").check().is_ok(),
                "{good}"
            );
        }
        for bad in [
            "http://login.example/token",
            "http://localhost.example/token",
            "http://10.0.0.1/token",
            "ftp://127.0.0.1/token",
        ] {
            assert!(OAuthProvider::new(url(bad), "id").check().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirection_keeps_host_and_path_and_gets_a_port() {
        for (text, whole, path) in [
            ("http://127.0.0.1", "http://127.0.0.1:5000", "/"),
            ("http://localhost/", "http://localhost:5000/", "/"),
            ("http://[::1]/a/b", "http://[::1]:5000/a/b", "/a/b"),
        ] {
            let redirect = Redirect::parse(text).unwrap();
            assert_eq!(redirect.with_port(5000), whole);
            assert_eq!(redirect.request_path(), path);
            assert_eq!(redirect.port, 0);
        }
        assert_eq!(Redirect::parse("http://127.0.0.1:7000").unwrap().port, 7000);
        for bad in [
            "https://127.0.0.1",
            "http://example.org",
            "http://127.0.0.1/?a=b",
            "http://u@127.0.0.1/",
            "urn:ietf:wg:oauth:2.0:oob",
        ] {
            assert!(Redirect::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn presets_are_whole_and_ship_no_client_id() {
        let microsoft = OAuthProvider::microsoft("common", "mine").unwrap();
        assert!(microsoft.check().is_ok());
        assert_eq!(
            microsoft.device.unwrap().as_str(),
            "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode"
        );
        assert!(OAuthProvider::microsoft("../evil", "mine").is_err());
        assert!(OAuthProvider::microsoft("", "mine").is_err());
        assert!(OAuthProvider::google("mine", None).unwrap().check().is_ok());
        assert!(OAuthProvider::google("", None).unwrap().check().is_err());
    }
}
