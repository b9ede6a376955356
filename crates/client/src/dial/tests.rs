//! Dialling real servers on loopback: rustls with certificates made here, a SOCKS5 proxy of a page.

mod certificates;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::server::{ClientCertificate, TlsOptions, TlsVersion};
use crate::tls::{hex, sha256};
use certificates::{Authority, Issued};

const GREETING: &[u8] = b"+OK ready\r\n";

/// What a TLS server saw.
struct Seen {
    exporter: [u8; 32],
    client: Option<Vec<u8>>,
}

/// A TLS server for one connection: greets, and gives back what it saw.
async fn tls_server(config: ServerConfig) -> (u16, tokio::task::JoinHandle<Option<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config))
            .accept(socket)
            .await
            .ok()?;
        let connection = stream.get_ref().1;
        let seen = Seen {
            exporter: connection
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
                .unwrap(),
            client: connection
                .peer_certificates()
                .map(|chain| chain[0].to_vec()),
        };
        stream.write_all(GREETING).await.ok()?;
        stream.shutdown().await.ok()?;
        Some(seen)
    });
    (port, served)
}

fn server(port: u16, tls: TlsOptions) -> Server {
    Server {
        timeout: Duration::from_secs(10),
        tls,
        ..Server::new(Place::tcp("localhost", port), Security::ImplicitTls)
    }
}

fn trusting(ca_file: PathBuf) -> TlsOptions {
    TlsOptions {
        ca_file: Some(ca_file),
        ..TlsOptions::default()
    }
}

async fn greeting(stream: &mut Stream) -> Vec<u8> {
    let mut text = vec![0; GREETING.len()];
    stream.read_exact(&mut text).await.unwrap();
    text
}

/// What dialling a server with this certificate comes to.
async fn outcome(issued: &Issued, tls: TlsOptions) -> Result<Stream, Error> {
    let (port, _served) = tls_server(issued.config(None)).await;
    dial(&server(port, tls)).await
}

fn tls_error(outcome: Result<Stream, Error>) -> String {
    match outcome {
        Err(Error::Tls(what)) => what.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_versions_give_their_facts_and_a_binding() {
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let (port, served) = tls_server(issued.config(None)).await;
        let options = TlsOptions {
            only: Some(version),
            ..trusting(authority.file())
        };
        let mut stream = dial(&server(port, options)).await.unwrap();
        assert_eq!(greeting(&mut stream).await, GREETING);
        let facts = stream.tls().unwrap();
        assert_eq!(facts.version, version);
        assert!(facts.cipher.starts_with("TLS"), "{}", facts.cipher);
        assert_eq!(facts.certificates[0], issued.der());
        assert_eq!(facts.leaf_sha256, sha256(&issued.der()));
        // RFC 9266 §2: both sides have the same 32 octets; rustls has RFC 7627 on TLS 1.2.
        let seen = served.await.unwrap().unwrap();
        assert_eq!(facts.exporter, Some(seen.exporter));
        assert_eq!(seen.client, None);
    }
}

#[tokio::test]
async fn a_version_the_server_does_not_speak_is_refused() {
    let authority = Authority::new();
    let config = authority
        .issue("localhost")
        .config_for(&[&rustls::version::TLS12]);
    let (port, _served) = tls_server(config).await;
    let options = TlsOptions {
        only: Some(TlsVersion::Tls13),
        ..trusting(authority.file())
    };
    tls_error(dial(&server(port, options)).await);
}

#[tokio::test]
async fn a_certificate_must_be_trusted_named_and_valid() {
    let authority = Authority::new();
    let right = authority.issue("localhost");
    let stranger = tls_error(outcome(&right, trusting(Authority::new().file())).await);
    assert!(
        stranger.contains("nobody who is trusted here"),
        "{stranger}"
    );
    assert!(stranger.contains(&hex(&sha256(&right.der()))), "{stranger}");

    let other = authority.issue("mail.example.org");
    let named = tls_error(outcome(&other, trusting(authority.file())).await);
    assert!(named.contains("it is not for localhost but for"), "{named}");
    assert!(named.contains("mail.example.org"), "{named}");

    let old = tls_error(
        outcome(
            &authority.issue_expired("localhost"),
            trusting(authority.file()),
        )
        .await,
    );
    assert!(old.contains("it has expired"), "{old}");
}

/// What `openssl req -x509` makes is refused by default, as an authority is no server; named itself, it
/// is what its owner means.
#[tokio::test]
async fn a_self_signed_authority_is_trusted_when_it_is_named_itself() {
    let (own, file) = Authority::self_signed("localhost", false);
    outcome(&own, trusting(file.clone())).await.unwrap();
    let (port, _served) = tls_server(own.config_of_a_thief()).await;
    assert!(dial(&server(port, trusting(file))).await.is_err());

    let stranger = tls_error(outcome(&own, trusting(Authority::new().file())).await);
    assert!(stranger.contains("nobody who is trusted"), "{stranger}");

    let (other, file) = Authority::self_signed("mail.example.org", false);
    let named = tls_error(outcome(&other, trusting(file)).await);
    assert!(named.contains("it is not for localhost"), "{named}");

    let (old, file) = Authority::self_signed("localhost", true);
    let old = tls_error(outcome(&old, trusting(file)).await);
    assert!(old.contains("it has expired"), "{old}");
}

#[tokio::test]
async fn a_pin_stands_in_for_everything_else() {
    let authority = Authority::new();
    let expired = authority.issue_expired("mail.example.org");
    let pinned = TlsOptions {
        pin_sha256: Some(sha256(&expired.der())),
        ..TlsOptions::default()
    };
    let mut stream = outcome(&expired, pinned.clone()).await.unwrap();
    assert_eq!(greeting(&mut stream).await, GREETING);

    // Not even one that a trusted authority issued for this host, nor with everything allowed.
    let right = authority.issue("localhost");
    let options = TlsOptions {
        ca_file: Some(authority.file()),
        danger_accept_any_certificate: true,
        ..pinned
    };
    let error = outcome(&right, options).await.unwrap_err();
    let Error::Pin { presented, pinned } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*presented, sha256(&right.der()));
    assert_eq!(*pinned, sha256(&expired.der()));
    let text = error.to_string();
    assert!(
        text.contains(&hex(presented)) && text.contains(&hex(pinned)),
        "{text}"
    );
}

#[tokio::test]
async fn any_certificate_still_needs_its_key() {
    let any = TlsOptions {
        danger_accept_any_certificate: true,
        ..TlsOptions::default()
    };
    let authority = Authority::new();
    let expired = authority.issue_expired("mail.example.org");
    assert!(outcome(&expired, any.clone()).await.is_ok());
    // A certificate that was seen elsewhere, without its key.
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let (port, _served) = tls_server(authority.issue("localhost").config_of_a_thief()).await;
        let options = TlsOptions {
            only: Some(version),
            ..any.clone()
        };
        tls_error(dial(&server(port, options)).await);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let authority = Authority::new();
    let client = authority.issue("tim");
    let (port, served) = tls_server(authority.issue("localhost").config(Some(&authority))).await;
    let (chain, key) = client.files();
    let options = TlsOptions {
        client_certificate: Some(ClientCertificate { chain, key }),
        ..trusting(authority.file())
    };
    let mut stream = dial(&server(port, options)).await.unwrap();
    assert_eq!(greeting(&mut stream).await, GREETING);
    assert_eq!(served.await.unwrap().unwrap().client, Some(client.der()));
}

#[tokio::test]
async fn files_that_are_wrong_are_named() {
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    let empty = authority.file().with_file_name("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [authority.file().with_file_name("missing.pem"), empty] {
        match outcome(&issued, trusting(file.clone())).await {
            Err(Error::Configuration(what)) => {
                assert!(what.contains(&file.display().to_string()), "{what}");
            }
            other => panic!("{other:?}"),
        }
    }
    let key_is_no_key = TlsOptions {
        client_certificate: Some(ClientCertificate {
            chain: authority.file(),
            key: authority.file(),
        }),
        ..trusting(authority.file())
    };
    assert!(matches!(
        outcome(&issued, key_is_no_key).await,
        Err(Error::Configuration(_))
    ));
}

#[tokio::test]
async fn tls_starts_on_an_established_stream() {
    let authority = Authority::new();
    let config = authority.issue("localhost").config(None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(GREETING).await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config))
            .accept(socket)
            .await
            .unwrap();
        stream.write_all(GREETING).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let server = Server {
        security: Security::Stls,
        ..server(port, trusting(authority.file()))
    };
    let mut stream = dial(&server).await.unwrap();
    assert!(stream.tls().is_none());
    assert_eq!(greeting(&mut stream).await, GREETING);
    let mut stream = stream.start_tls(&server).await.unwrap();
    assert!(stream.tls().is_some());
    assert_eq!(greeting(&mut stream).await, GREETING);
    assert!(stream.start_tls(&server).await.is_err(), "once only");
    served.await.unwrap();
}

/// A listener that sends these bytes to whoever comes, then says nothing.
async fn says(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut sink = Vec::new();
        // Until the client goes.
        let _ = socket.read_to_end(&mut sink).await;
    });
    port
}

fn hasty(server: Server) -> Server {
    Server {
        timeout: Duration::from_millis(200),
        ..server
    }
}

#[tokio::test]
async fn a_silent_peer_ends_the_handshake() {
    let any = TlsOptions {
        danger_accept_any_certificate: true,
        ..TlsOptions::default()
    };
    let port = says(b"").await;
    let start = Instant::now();
    assert!(matches!(
        dial(&hasty(server(port, any.clone()))).await,
        Err(Error::Timeout(Waiting::Handshake))
    ));
    assert!(start.elapsed() < Duration::from_secs(5));
    let port = says(b"+OK this is plain POP3\r\n").await;
    let plain = tls_error(dial(&server(port, any)).await);
    assert!(plain.contains("does not speak TLS here"), "{plain}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = dial(&server(port, TlsOptions::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Network(_)));
    assert!(
        error.to_string().contains(&format!("localhost:{port}")),
        "{error}"
    );
}

#[tokio::test]
async fn all_addresses_are_tried_and_the_slow_do_not_hold_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let live = listener.local_addr().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = gone.local_addr().unwrap();
    drop(gone);
    assert_eq!(
        first_of(vec![dead, live])
            .await
            .unwrap()
            .peer_addr()
            .unwrap(),
        live
    );
    assert!(first_of(vec![dead]).await.is_err() && first_of(Vec::new()).await.is_err());

    let six: Vec<SocketAddr> = (1..=3)
        .map(|p| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], p)))
        .collect();
    let four = SocketAddr::from(([127, 0, 0, 1], 9));
    let ordered = alternating([&six[..], &[four]].concat());
    assert_eq!(ordered, [six[0], four, six[1], six[2]]);
    assert_eq!(alternating(vec![four; 100]).len(), ADDRESSES);
    assert!(alternating(Vec::new()).is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pop3");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(GREETING).await.unwrap();
    });
    let server = Server::new(Place::unix(&path), Security::DangerPlaintext);
    assert_eq!(greeting(&mut dial(&server).await.unwrap()).await, GREETING);
    served.await.unwrap();
    let missing = Server::new(
        Place::unix(folder.path().join("none")),
        Security::DangerPlaintext,
    );
    let error = dial(&missing).await.unwrap_err().to_string();
    assert!(error.contains("unix:") && error.contains("none"), "{error}");
    let proxied = Server {
        proxy: Some(Socks5 {
            address: "127.0.0.1:9".into(),
            login: None,
        }),
        ..server
    };
    assert!(matches!(dial(&proxied).await, Err(Error::Configuration(_))));
}

/// RFC 1928 §3 to §6 and RFC 1929: one connection; the target asked for comes back.
async fn proxy(
    password: Option<&'static str>,
    answer: u8,
) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let methods = counted(&mut socket, 1).await;
        let method = if password.is_some() { 2 } else { 0 };
        assert!(methods.contains(&method));
        socket.write_all(&[5, method]).await.unwrap();
        if let Some(password) = password {
            assert_eq!(counted(&mut socket, 1).await, b"tim");
            assert_eq!(counted(&mut socket, 0).await, password.as_bytes());
            socket.write_all(&[1, 0]).await.unwrap();
        }
        let mut head = [0; 4];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(head, [5, 1, 0, 3], "CONNECT to a name");
        let mut target = counted(&mut socket, 0).await;
        target.extend(socket.read_u16().await.unwrap().to_be_bytes());
        socket
            .write_all(&[5, answer, 0, 1, 127, 0, 0, 1, 0, 9])
            .await
            .unwrap();
        socket.write_all(GREETING).await.unwrap();
        target
    });
    (address, served)
}

/// `skip` octets, a length, and that many.
async fn counted(socket: &mut TcpStream, skip: usize) -> Vec<u8> {
    let mut head = vec![0; skip + 1];
    socket.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; usize::from(head[skip])];
    socket.read_exact(&mut rest).await.unwrap();
    rest
}

fn by(address: String, login: Option<(String, restante_proto::Secret)>) -> Server {
    Server {
        proxy: Some(Socks5 { address, login }),
        timeout: Duration::from_secs(10),
        // RFC 2606: nobody can look this up, so the proxy was asked to.
        ..Server::new(Place::tcp("mail.invalid", 110), Security::DangerPlaintext)
    }
}

#[tokio::test]
async fn a_proxy_looks_the_name_up() {
    for password in [None, Some("secret")] {
        let (address, served) = proxy(password, 0).await;
        let login = password.map(|password| ("tim".to_owned(), password.into()));
        let mut stream = dial(&by(address, login)).await.unwrap();
        assert_eq!(greeting(&mut stream).await, GREETING);
        assert_eq!(served.await.unwrap(), b"mail.invalid\x00\x6e");
    }
}

#[tokio::test]
async fn a_proxy_that_will_not_is_named() {
    let (address, _served) = proxy(None, 5).await;
    let error = dial(&by(address.clone(), None)).await.unwrap_err();
    assert!(matches!(error, Error::Proxy(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&address) && text.contains("mail.invalid:110"),
        "{text}"
    );

    let silent = format!("127.0.0.1:{}", says(b"").await);
    assert!(matches!(
        dial(&hasty(by(silent, None))).await,
        Err(Error::Timeout(Waiting::Proxy))
    ));
    assert!(matches!(
        dial(&by("nonsense".into(), None)).await,
        Err(Error::Configuration(_))
    ));
}
