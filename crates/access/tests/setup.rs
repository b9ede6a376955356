//! What mail programs and strangers get when they ask for settings.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Method, Request, Response, StatusCode, header};
use restante_access::setup::{Asker, Keep, Outgoing, Settings, Setup};
use restante_directory::{Directory, Options};
use restante_proto::Secret;

struct World {
    setup: Setup,
    /// Of ann's device `phone`.
    phone: String,
    _folder: tempfile::TempDir,
}

const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

impl World {
    /// The domain `example.org`, and its users `ann` and `zoe`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            domains: vec!["example.org".to_owned()],
            ..Options::default()
        };
        let directory = Directory::open(&folder.path().join("state.db"), options).unwrap();
        for name in ["ann", "zoe"] {
            let password = Secret::new(b"secret word".to_vec());
            directory.add_user(name, &password, None).unwrap();
        }
        let phone = directory.add_device("ann", "phone").unwrap();
        let settings = Settings {
            host: "mail.example.org".to_owned(),
            tls_port: Some(995),
            stls_port: None,
            outgoing: Outgoing {
                host: "smtp.example.org".to_owned(),
                port: 587,
            },
            domains: vec!["example.org".to_owned()],
            keep: Keep::Days(14),
            url: "https://mail.example.org".to_owned(),
        };
        Self {
            setup: Setup::new(settings, Arc::new(directory)),
            phone: String::from_utf8(phone.expose().to_vec()).unwrap(),
            _folder: folder,
        }
    }

    async fn ask(&self, request: Request<Bytes>, private: bool) -> Response<Bytes> {
        let asker = Asker {
            peer: Some(STRANGER),
            // As this machine is: what is asked here is not about the rate.
            counted_as: None,
            tls: private,
            private,
        };
        self.setup.answer(&request, asker).await
    }

    async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::builder().uri(path);
        self.ask(request.body(Bytes::new()).unwrap(), true).await
    }

    async fn post(&self, path: &str, body: &str, private: bool) -> Response<Bytes> {
        let request = Request::builder().method(Method::POST).uri(path);
        let body = Bytes::from(body.to_owned());
        self.ask(request.body(body).unwrap(), private).await
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

fn discover(address: &str) -> String {
    format!(
        "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>"
    )
}

#[tokio::test]
async fn a_stranger_does_not_learn_who_is_here() {
    let world = World::new();
    for path in [
        "/mail/config-v1.1.xml?emailaddress=",
        "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=",
        "/setup?address=",
        "/setup/profile?address=",
        "/setup/qr.svg?address=",
    ] {
        // Names of one length: the picture of a code depends on it, and on nothing else.
        let zoe = world.get(&format!("{path}zoe@example.org")).await;
        let bob = world.get(&format!("{path}bob@example.org")).await;
        assert_eq!(zoe.status(), StatusCode::OK, "{path}");
        assert_eq!(bob.status(), StatusCode::OK, "{path}");
        let names = |answer: &Response<Bytes>| {
            let mut headers: Vec<_> = answer.headers().keys().cloned().collect();
            headers.sort_by_key(ToString::to_string);
            headers
        };
        assert_eq!(names(&zoe), names(&bob), "{path}");
        if path.contains("config") {
            assert_eq!(text(&zoe), text(&bob), "{path}");
        }
        if path == "/setup?address=" {
            assert_eq!(text(&zoe).replace("zoe", "bob"), text(&bob));
        }
        for who in ["zoe", "bob"] {
            let foreign = world.get(&format!("{path}{who}@example.com")).await;
            assert_eq!(foreign.status(), StatusCode::NOT_FOUND, "{path}{who}");
            assert_eq!(text(&foreign), "not found\n");
        }
    }
    let path = "/autodiscover/autodiscover.xml";
    let zoe = world.post(path, &discover("zoe@example.org"), true).await;
    let bob = world.post(path, &discover("bob@example.org"), true).await;
    assert_eq!(zoe.status(), StatusCode::OK);
    assert_eq!(text(&zoe).replace("zoe@", "bob@"), text(&bob));
    let foreign = world.post(path, &discover("zoe@example.com"), true).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_an_address_the_name_that_was_asked_for_counts() {
    let world = World::new();
    let ask = async |host: &str| {
        let request = Request::builder()
            .uri("/mail/config-v1.1.xml")
            .header(header::HOST, host);
        world
            .ask(request.body(Bytes::new()).unwrap(), false)
            .await
            .status()
    };
    for host in [
        "autoconfig.example.org",
        "Autoconfig.Example.ORG:80",
        "example.org",
        "mail.example.org:8080",
    ] {
        assert_eq!(ask(host).await, StatusCode::OK, "{host}");
    }
    for host in ["autoconfig.example.com", "", "localhost"] {
        assert_eq!(ask(host).await, StatusCode::NOT_FOUND, "{host}");
    }
}

#[tokio::test]
async fn outlook_writes_the_path_as_it_likes_and_no_entity_is_expanded() {
    let world = World::new();
    for path in [
        "/autodiscover/autodiscover.xml",
        "/Autodiscover/Autodiscover.xml",
        "/AutoDiscover/AutoDiscover.XML",
    ] {
        let answer = world.post(path, &discover("ann@example.org"), false).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(text(&answer).contains("<LoginName>ann@example.org</LoginName>"));
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "text/xml; charset=utf-8"
        );
        let there = world.get(path).await;
        assert_eq!(there.status(), StatusCode::METHOD_NOT_ALLOWED);
        let request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        let elsewhere = world.ask(request, false).await;
        assert_eq!(elsewhere.status(), StatusCode::FOUND);
        assert_eq!(
            elsewhere.headers()[header::LOCATION],
            "https://mail.example.org/autodiscover/autodiscover.xml"
        );
    }
    let bomb =
        "<!DOCTYPE x [<!ENTITY a \"ann@example.org\">]><r><EMailAddress>&a;</EMailAddress></r>";
    let answer = world
        .post("/autodiscover/autodiscover.xml", bomb, false)
        .await;
    assert!(text(&answer).contains("<ErrorCode>600</ErrorCode>"));
    assert!(!text(&answer).contains("ann@"));
}

#[tokio::test]
async fn a_devices_password_is_put_into_a_profile_for_who_proves_it_and_over_tls_only() {
    let world = World::new();
    let phone = &world.phone;
    let form = format!("address=ann%40example.org&device=&password={phone}");
    let form = form.as_str();
    let good = world.post("/setup/profile", form, true).await;
    assert_eq!(good.status(), StatusCode::OK, "{}", text(&good));
    assert!(text(&good).contains(&format!(
        "<key>IncomingPassword</key><string>{phone}</string>"
    )));
    assert!(text(&good).contains("<string>ann+phone@example.org</string>"));
    // The user's own password is right, and yet in no file.
    for address in ["ann%40example.org", "ann%2Bphone%40example.org"] {
        let own = format!("address={address}&password=secret+word");
        let own = world.post("/setup/profile", &own, true).await;
        assert_eq!(own.status(), StatusCode::FORBIDDEN, "{address}");
        assert!(text(&own).contains("restante user device add"));
    }
    assert_eq!(
        good.headers()[header::CONTENT_TYPE],
        "application/x-apple-aspen-config"
    );
    assert_eq!(good.headers()[header::CACHE_CONTROL], "no-store");
    let clear = world.post("/setup/profile", form, false).await;
    assert_eq!(clear.status(), StatusCode::FORBIDDEN);
    let wrong = form.replace(phone.as_str(), "guess");
    let nobody = wrong.replace("ann", "bob");
    let wrong = world.post("/setup/profile", &wrong, true).await;
    let nobody = world.post("/setup/profile", &nobody, true).await;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(&wrong), text(&nobody));
    let asked = world.get("/setup/profile?address=ann@example.org").await;
    assert!(!text(&asked).contains("IncomingPassword"));
    // A password in the address of a page would stand in logs: it is not even looked at.
    let leaky = world
        .get("/setup/profile?address=ann@example.org&password=secret+word")
        .await;
    assert!(!text(&leaky).contains("secret"));
}

#[tokio::test]
async fn who_guesses_passwords_is_stopped_here_as_in_a_session() {
    let world = Arc::new(World::new());
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..20 {
        let world = Arc::clone(&world);
        guesses.spawn(async move {
            let form = format!("address=ann%40example.org&password=guess{n}");
            world.post("/setup/profile", &form, true).await.status()
        });
    }
    let answers = guesses.join_all().await;
    assert!(
        answers.contains(&StatusCode::TOO_MANY_REQUESTS),
        "{answers:?}"
    );
    assert!(!answers.contains(&StatusCode::OK), "{answers:?}");
}

#[tokio::test]
async fn a_flood_from_one_address_is_refused() {
    let world = World::new();
    let mut refused = 0;
    for _ in 0..200 {
        let request = Request::builder().uri("/setup").body(Bytes::new()).unwrap();
        let asker = Asker {
            peer: Some(STRANGER),
            counted_as: Some(STRANGER),
            tls: false,
            private: false,
        };
        let answer = world.setup.answer(&request, asker).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn what_is_not_here_is_said_so() {
    let world = World::new();
    for path in ["/admin", "/setup/", "/mail/config-v1.0.xml", "//setup"] {
        assert_eq!(
            world.get(path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    for path in [
        "/setup?address=nonsense",
        "/setup/profile",
        "/setup?address=ann@example.org&device=a+b",
    ] {
        assert_eq!(
            world.get(path).await.status(),
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
    let page = world.get("/setup").await;
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"));
    let posted = world.post("/setup", "", true).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()[header::ALLOW], "GET, HEAD");
    assert_eq!(
        world.get("/").await.headers()[header::LOCATION],
        "https://mail.example.org/setup"
    );
}
