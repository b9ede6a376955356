//! TLS with rustls' client, on loopback.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restante_net::{Channel, Stream, Tls};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

fn client(folder: &Path, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem"));
    roots.add(certificate.expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// One connection: the server says `ok` and goes on until the client closes.
async fn meet(tls: &Arc<Tls>, config: &Arc<ClientConfig>) -> io::Result<HandshakeKind> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let tls = Arc::clone(tls);
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut channel = Channel::Tls(tls.accept(Stream::Tcp(stream)).await?);
        channel.write_all(b"ok").await?;
        channel.flush().await?;
        channel.read(&mut [0; 1]).await
    });
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let met = async {
        let connector = TlsConnector::from(Arc::clone(config));
        let mut stream = connector.connect(name, stream).await?;
        let mut text = [0; 2];
        stream.read_exact(&mut text).await?;
        let kind = stream.get_ref().1.handshake_kind();
        stream.shutdown().await?;
        Ok(kind.expect("the handshake is done"))
    }
    .await;
    let served = server.await.expect("the server does not panic");
    assert!(met.is_err() || served.is_ok(), "{served:?}");
    met
}

#[tokio::test]
async fn our_protocol_or_none_is_served_another_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Arc::new(Tls::self_signed(folder.path(), b"pop3").expect("a certificate"));
    for alpn in [&[][..], &[&b"pop3"[..]], &[&b"imap"[..], b"pop3"]] {
        let config = Arc::new(client(folder.path(), alpn));
        meet(&tls, &config).await.expect("served");
    }
    let config = Arc::new(client(folder.path(), &[b"h2", b"imap"]));
    let error = meet(&tls, &config).await.expect_err("refused").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn sessions_are_resumed_from_tickets_in_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Arc::new(Tls::self_signed(folder.path(), b"pop3").expect("a certificate"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_file(folder.path().join("certificate.pem"));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.expect("PEM")).expect("a certificate");
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a known version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        assert_ne!(
            meet(&tls, &config).await.expect("served"),
            HandshakeKind::Resumed
        );
        assert_eq!(
            meet(&tls, &config).await.expect("served"),
            HandshakeKind::Resumed
        );
    }
}

#[tokio::test]
async fn the_self_signed_certificate_is_kept_and_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("tls");
    let first = Tls::self_signed(&inside, b"pop3").expect("made");
    let again = Tls::self_signed(&inside, b"pop3").expect("found");
    let print = first.certificates().fingerprint();
    assert_eq!(print, again.certificates().fingerprint());
    assert_eq!(print.len(), 32 * 3 - 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| {
            let found = std::fs::metadata(path).expect("is there");
            found.permissions().mode() & 0o777
        };
        assert_eq!(mode(&inside), 0o700);
        assert_eq!(mode(&inside.join("self-signed.pem")), 0o600);
    }
    let public = std::fs::read_to_string(inside.join("certificate.pem")).expect("is there");
    assert!(public.contains("BEGIN CERTIFICATE") && !public.contains("PRIVATE"));
    assert_eq!(std::fs::read_dir(&inside).expect("lists").count(), 2);
}

#[tokio::test]
async fn reload_swaps_and_a_failed_one_changes_nothing() {
    let (one, two) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let other = Tls::self_signed(two.path(), b"pop3").expect("made");
    let tls = Arc::new(Tls::self_signed(one.path(), b"pop3").expect("made"));
    let before = tls.certificates().fingerprint();
    let file = one.path().join("self-signed.pem");
    let foreign = std::fs::read_to_string(two.path().join("self-signed.pem")).expect("reads");
    let own = std::fs::read_to_string(&file).expect("reads");

    let start = own.find("-----BEGIN CERTIFICATE").expect("has one");
    let mixed = foreign.replace(
        &foreign[foreign.find("-----BEGIN CERTIFICATE").expect("has one")..],
        &own[start..],
    );
    for (broken, culprit) in [
        ("", "no certificate"),
        (&own[start..], "no private key"),
        (mixed.as_str(), "does not belong"),
        ("-----BEGIN CERTIFICATE-----\nMII", "not a PEM file"),
    ] {
        std::fs::write(&file, broken).expect("writes");
        let error = tls.reload().expect_err("broken").to_string();
        assert!(
            error.contains(culprit) && error.contains("self-signed.pem"),
            "{error}"
        );
        assert_eq!(tls.certificates().fingerprint(), before);
    }
    let config = Arc::new(client(one.path(), &[]));
    meet(&tls, &config).await.expect("the old one still serves");

    std::fs::write(&file, foreign).expect("writes");
    tls.reload().expect("good files");
    assert_eq!(
        tls.certificates().fingerprint(),
        other.certificates().fingerprint()
    );
    let config = Arc::new(client(two.path(), &[]));
    meet(&tls, &config).await.expect("the new one serves");
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::self_signed(folder.path(), b"pop3")
        .expect("made")
        .with_handshake_deadline(Duration::from_millis(50));
    let (ours, _theirs) = tokio::io::duplex(64);
    let error = tls.accept(ours).await.expect_err("nothing came");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// RFC 2595 §4 STLS: the handshake begins on a connection that has spoken plainly before.
#[tokio::test]
async fn a_plain_connection_is_upgraded() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::self_signed(folder.path(), b"pop3").expect("made");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = Stream::Tcp(stream);
        stream.read_exact(&mut [0; 6]).await?;
        stream.write_all(b"+OK\r\n").await?;
        let mut stream = tls.accept(stream).await?;
        assert!(!stream.is_resumed());
        assert_eq!(stream.version(), "TLSv1.3");
        let mut text = [0; 4];
        stream.read_exact(&mut text).await?;
        io::Result::Ok(text)
    });
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(b"STLS\r\n").await.expect("writes");
    stream.read_exact(&mut [0; 5]).await.expect("answers");
    let connector = TlsConnector::from(Arc::new(client(folder.path(), &[b"pop3"])));
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let mut stream = connector.connect(name, stream).await.expect("shakes hands");
    stream.write_all(b"CAPA").await.expect("writes");
    assert_eq!(&server.await.expect("no panic").expect("serves"), b"CAPA");
}
