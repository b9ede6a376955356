//! Mail programs set themselves up: Mozilla's autoconfig, Outlook's autodiscover, Apple's profiles, the DNS
//! records that lead there, and a page for people.
//!
//! What a stranger learns is which domains are ours, and nothing of who has an address there: every answer is
//! made of the settings and the question alone. The one exception checks a password, like a login does,
//! before it puts that password into a profile.

mod autoconfig;
mod autodiscover;
mod dns;
mod page;
mod profile;
mod rate;
mod settings;
mod xml;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    LOCATION, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use restante_directory::{AuthError, Directory, Login, LoginError, device_name};
use restante_proto::Secret;

use crate::http::Client;
use crate::limits::SETUP_BODY_OCTETS;

pub use dns::{Data, Record, records};
pub use settings::{Keep, Outgoing, Security, Server, Settings};

use autodiscover::Request as Discovery;
use profile::Owner;
use rate::Rate;
use settings::Address;

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// Where from; `None` for this machine.
    pub peer: Option<IpAddr>,
    /// As what it is counted: see [`restante_net::Peer::counted_as`]; `None` for this machine.
    pub counted_as: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Whether nobody on the way can read along: TLS, or this machine.
    pub private: bool,
}

impl From<Client> for Asker {
    fn from(client: Client) -> Self {
        let peer = client.peer;
        let here = peer.is_loopback();
        Self {
            peer: peer.ip,
            counted_as: peer.counted_as().filter(|_| !here),
            tls: client.tls,
            private: client.tls || here,
        }
    }
}

/// Answers what mail programs and people ask.
pub struct Setup {
    settings: Settings,
    directory: Arc<Directory>,
    rate: Rate,
}

type Answer = Response<Bytes>;

impl Setup {
    /// Tells these settings. The directory is asked for nothing but whether a password is right.
    pub fn new(settings: Settings, directory: Arc<Directory>) -> Self {
        Self {
            settings,
            directory,
            rate: Rate::default(),
        }
    }

    /// For [`crate::http`], whose [`Client`] says who asks.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(self)
    }

    /// Answers one request, whose body is within [`SETUP_BODY_OCTETS`].
    pub async fn answer(&self, request: &Request<Bytes>, asker: Asker) -> Answer {
        if !self.rate.admits(asker.counted_as, Instant::now()) {
            let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            set(&mut answer, RETRY_AFTER, "10");
            return answer;
        }
        let path = request.uri().path();
        let discovery = path.eq_ignore_ascii_case("/autodiscover/autodiscover.xml");
        match (request.method(), path) {
            (&Method::POST, _) if discovery => self.autodiscover(request.body()),
            // Outlook asks so in clear, to be sent to where it may POST.
            (&Method::GET, _) if discovery && !asker.tls && self.has_https() => {
                self.redirect("/autodiscover/autodiscover.xml")
            }
            _ if discovery => not_allowed("POST"),
            (&Method::POST, "/setup/profile") => self.profile_with_password(request, asker).await,
            (&Method::GET | &Method::HEAD, _) => self.get(request, asker),
            _ if path == "/setup/profile" => not_allowed("GET, POST"),
            _ => not_allowed("GET, HEAD"),
        }
    }

    fn get(&self, request: &Request<Bytes>, asker: Asker) -> Answer {
        let query = Query::read(request.uri().query().unwrap_or_default().as_bytes());
        match request.uri().path() {
            "/mail/config-v1.1.xml" | "/.well-known/autoconfig/mail/config-v1.1.xml" => {
                self.autoconfig(&query, request.headers())
            }
            "/" => self.redirect("/setup"),
            "/setup" => self.page(&query, asker),
            "/setup/style.css" => {
                let mut answer = answer("text/css; charset=utf-8", page::STYLE.to_owned());
                set(&mut answer, CACHE_CONTROL, "max-age=3600");
                answer
            }
            "/setup/qr.svg" => match self.owner(&query) {
                Ok(owner) => page::qr(&self.settings, owner.as_ref())
                    .map_or_else(not_found, |code| answer("image/svg+xml", code)),
                Err(refused) => refused.answer(),
            },
            "/setup/profile" => match self.owner(&query) {
                Ok(Some(owner)) => self.profile(&owner, None),
                Ok(None) => plain(
                    StatusCode::BAD_REQUEST,
                    "whose profile? /setup/profile?address=YOU@DOMAIN\n",
                ),
                Err(refused) => refused.answer(),
            },
            _ => not_found(),
        }
    }

    /// For the domain of the address; without one for the domain that the client came to.
    fn autoconfig(&self, query: &Query, headers: &HeaderMap) -> Answer {
        let domain = match query.email.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Address::parse(text).map(|address| address.domain().to_owned()),
            None => self.domain_of_host(headers),
        };
        match domain.filter(|domain| self.settings.is_ours(domain)) {
            Some(domain) => rendered(
                "text/xml; charset=utf-8",
                autoconfig::document(&self.settings, &domain),
            ),
            None => not_found(),
        }
    }

    fn domain_of_host(&self, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(HOST)?.to_str().ok()?.to_ascii_lowercase();
        let host = host.split(':').next().unwrap_or_default();
        if host == self.settings.host && !self.settings.is_ours(host) {
            return self.settings.domains.first().cloned();
        }
        Some(host.strip_prefix("autoconfig.").unwrap_or(host).to_owned())
    }

    fn autodiscover(&self, body: &[u8]) -> Answer {
        let document = match autodiscover::request(body) {
            Discovery::For(address) if self.settings.is_ours(address.domain()) => {
                autodiscover::document(&self.settings, &address)
            }
            Discovery::For(_) => return not_found(),
            Discovery::Wrong(code, message) => {
                autodiscover::problem(code, message, SystemTime::now())
            }
        };
        rendered("text/xml; charset=utf-8", document)
    }

    fn page(&self, query: &Query, asker: Asker) -> Answer {
        let owner = match self.owner(query) {
            Ok(owner) => owner,
            Err(refused) => return refused.answer(),
        };
        let page = page::page(&self.settings, owner.as_ref(), asker.private);
        let mut answer = rendered("text/html; charset=utf-8", page);
        set(&mut answer, CONTENT_SECURITY_POLICY, page::POLICY);
        answer
    }

    fn profile(&self, owner: &Owner, password: Option<&Secret>) -> Answer {
        let Some(document) = profile::document(&self.settings, owner, password) else {
            return plain(
                StatusCode::UNPROCESSABLE_ENTITY,
                "no profile can be made: the password has characters that a profile cannot hold\n",
            );
        };
        let mut answer = rendered("application/x-apple-aspen-config", document);
        let disposition = "attachment; filename=\"mail.mobileconfig\"";
        set(&mut answer, CONTENT_DISPOSITION, disposition);
        answer
    }

    /// The profile that holds a device's own password, which this very request proves.
    async fn profile_with_password(&self, request: &Request<Bytes>, asker: Asker) -> Answer {
        if !asker.private {
            return plain(
                StatusCode::FORBIDDEN,
                "a password is taken over an encrypted connection only: use https\n",
            );
        }
        let query = Query::read(request.body());
        let (mut owner, password) = match (self.owner(&query), query.password) {
            (Ok(Some(owner)), Some(password)) => (owner, password),
            (Err(refused), _) => return refused.answer(),
            _ => return plain(StatusCode::BAD_REQUEST, "address and password are needed\n"),
        };
        // Under the plain address only a device's own password names a device.
        let login = owner.address.base();
        let checked = self.directory.log_in(&login, &password, asker.peer).await;
        match checked {
            Ok(Login {
                user,
                device: Some(device),
                ..
            }) => {
                tracing::info!(peer = ?asker.peer, user = %user.name, device = %device.name, "a profile with a device's password was made");
                owner.device = Some(device.name);
                self.profile(&owner, Some(&password))
            }
            Ok(_) => plain(
                StatusCode::FORBIDDEN,
                "That is your own password, which no file should hold. Make one for the device: restante user device add NAME DEVICE\n",
            ),
            Err(LoginError::Auth(AuthError::Refused)) => {
                tracing::warn!(peer = ?asker.peer, ?login, "login refused");
                plain(StatusCode::FORBIDDEN, "wrong address or password\n")
            }
            Err(LoginError::Auth(error @ AuthError::Throttled)) => {
                plain(StatusCode::TOO_MANY_REQUESTS, &format!("{error}\n"))
            }
            Err(error) => {
                tracing::error!(peer = ?asker.peer, ?login, ?error, "login could not be checked");
                plain(StatusCode::SERVICE_UNAVAILABLE, "try again later\n")
            }
        }
    }

    /// Who is asked for. A domain that is not ours is not found, whatever stands before it.
    fn owner(&self, query: &Query) -> Result<Option<Owner>, Refused> {
        let Some(text) = query.address.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let address = Address::parse(text).ok_or(Refused::NoAddress)?;
        if !self.settings.is_ours(address.domain()) {
            return Err(Refused::NotOurs);
        }
        let device = query.device.clone().filter(|name| !name.is_empty());
        let device = device.map(|name| device_name(&name)).transpose();
        let device = device.map_err(|_| Refused::NoDevice)?;
        Ok(Some(Owner { address, device }))
    }

    /// Whether clients are sent to HTTPS.
    fn has_https(&self) -> bool {
        self.settings.url.starts_with("https:")
    }

    /// To the place that clients should use.
    fn redirect(&self, path: &str) -> Answer {
        let mut answer = plain(StatusCode::FOUND, "");
        set(
            &mut answer,
            LOCATION,
            &format!("{}{path}", self.settings.url),
        );
        answer
    }
}

/// Why nobody is meant.
#[derive(Debug, Clone, Copy)]
enum Refused {
    NoAddress,
    NotOurs,
    NoDevice,
}

impl Refused {
    fn answer(self) -> Answer {
        let wrong = |text| plain(StatusCode::BAD_REQUEST, text);
        match self {
            Self::NoAddress => wrong("that is no mail address; it looks like you@example.org\n"),
            Self::NotOurs => not_found(),
            Self::NoDevice => {
                wrong("a device's name has at most 32 letters, digits, dots, - and _\n")
            }
        }
    }
}

/// One request, its body read within its limit.
async fn handle(State(setup): State<Arc<Setup>>, request: Request<Body>) -> Response<Body> {
    let Some(client) = request.extensions().get::<Client>().copied() else {
        // Only a server that does not say who asks, and then everyone is a stranger.
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "try again later\n").map(Body::from);
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, SETUP_BODY_OCTETS).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "too large\n").map(Body::from);
    };
    let request = Request::from_parts(parts, body);
    setup.answer(&request, client.into()).await.map(Body::from)
}

/// What a query or a form says; of a name that comes twice, the first.
#[derive(Default)]
struct Query {
    /// Mozilla's `emailaddress`.
    email: Option<String>,
    address: Option<String>,
    device: Option<String>,
    password: Option<Secret>,
}

impl Query {
    fn read(text: &[u8]) -> Self {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            let slot = match &*name {
                "emailaddress" => &mut query.email,
                "address" => &mut query.address,
                "device" => &mut query.device,
                "password" => {
                    query
                        .password
                        .get_or_insert_with(|| Secret::new(value.into_owned().into_bytes()));
                    continue;
                }
                _ => continue,
            };
            slot.get_or_insert_with(|| value.into_owned());
        }
        query
    }
}

fn answer(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    set(&mut answer, CONTENT_TYPE, content_type);
    set(&mut answer, CACHE_CONTROL, "no-store");
    set(
        &mut answer,
        HeaderName::from_static("x-content-type-options"),
        "nosniff",
    );
    set(
        &mut answer,
        HeaderName::from_static("referrer-policy"),
        "no-referrer",
    );
    answer
}

fn rendered(content_type: &'static str, document: Result<String, askama::Error>) -> Answer {
    match document {
        Ok(document) => answer(content_type, document),
        Err(error) => {
            tracing::error!(%error, "a document cannot be made");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "try again later\n")
        }
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut answer = answer("text/plain; charset=utf-8", text.to_owned());
    *answer.status_mut() = status;
    answer
}

fn not_found() -> Answer {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "not allowed\n");
    set(&mut answer, ALLOW, methods);
    answer
}

/// A value with octets that no header can have is left out.
fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
