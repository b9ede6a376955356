//! STLS (RFC 2595 §4) over TCP: taken, refused, left out, tampered with.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use restante_client::{
    Closing, Credentials, Error, Login, Place, Security, Server, TlsOptions, connect,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A server for one connection: answers STLS so, then speaks TLS if `tls`; hands back what it heard in
/// clear.
async fn server(stls: &'static str, tls: bool) -> (Server, tokio::task::JoinHandle<String>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"+OK in clear\r\n").await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"STLS\r\n") {
            let octet = socket.read_u8().await.unwrap();
            heard.push(octet);
        }
        socket.write_all(stls.as_bytes()).await.unwrap();
        if tls {
            let mut stream = BufReader::new(acceptor.accept(socket).await.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
                answer(&line, stream.get_mut()).await;
                line.clear();
            }
        } else {
            let _ = socket.read_to_end(&mut heard).await;
        }
        String::from_utf8_lossy(&heard).into_owned()
    });
    let mut server = Server::new(Place::tcp("127.0.0.1", port), Security::Stls);
    server.timeout = Duration::from_secs(5);
    server.tls = TlsOptions {
        danger_accept_any_certificate: true,
        ..TlsOptions::default()
    };
    (server, task)
}

async fn answer(line: &str, stream: &mut (impl AsyncWrite + Unpin)) {
    let reply = match line.trim_end() {
        "CAPA" => "+OK\r\nUSER\r\nIMPLEMENTATION after-tls\r\n.\r\n",
        _ => "+OK\r\n",
    };
    stream.write_all(reply.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn the_session_is_a_new_one_over_tls() {
    let (server, task) = server("+OK begin\r\n", true).await;
    let mut connection = connect(&server).await.unwrap();
    assert!(connection.tls().is_some());
    assert_eq!(connection.greeting().text, "in clear");
    let capabilities = connection.capabilities().await.unwrap();
    assert_eq!(
        capabilities.arguments("IMPLEMENTATION").unwrap().next(),
        Some("after-tls")
    );
    let login = Login::new("tim", Credentials::Password("tanstaaf".into()));
    let session = connection.login(&login).await.unwrap();
    assert!(matches!(session.quit().await, Closing::Acknowledged(_)));
    assert_eq!(task.await.unwrap(), "STLS\r\n");
}

#[tokio::test]
async fn stls_refused_is_an_error_and_nothing_else_is_sent() {
    for stls in ["-ERR unknown command\r\n", "-ERR\r\n"] {
        let (server, task) = server(stls, false).await;
        let error = connect(&server).await.unwrap_err();
        assert!(matches!(error, Error::StlsRefused(Some(_))), "{error}");
        assert_eq!(task.await.unwrap(), "STLS\r\n");
    }
}

#[tokio::test]
async fn bytes_ahead_of_the_handshake_are_an_error() {
    for stls in [
        "+OK begin\r\n+OK injected\r\n",
        "+OK begin\r\n+OK\r\nPIPELINING\r\n.\r\n",
        "+OK begin\r\n\0",
    ] {
        let (server, task) = server(stls, false).await;
        let error = connect(&server).await.unwrap_err();
        assert!(matches!(error, Error::Injected), "{stls:?}: {error}");
        assert_eq!(task.await.unwrap(), "STLS\r\n");
    }
}

/// `+OK`, and then no TLS: in clear it is never spoken on.
#[tokio::test]
async fn a_lie_about_stls_is_an_error() {
    let (mut server, task) = server("+OK begin\r\n", false).await;
    server.timeout = Duration::from_millis(200);
    let error = connect(&server).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout(_) | Error::Tls(_)),
        "{error}"
    );
    let heard = task.await.unwrap();
    assert!(
        !heard.contains("USER") && !heard.contains("CAPA"),
        "{heard:?}"
    );
}
