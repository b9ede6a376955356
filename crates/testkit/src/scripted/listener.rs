//! Connections, and TLS on them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::quirks::Tls;
use super::wire::Wire;
use super::{Shared, session, write_certificate};

/// Both directions of a connection, encrypted or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

fn acceptor(folder: &Path) -> io::Result<TlsAcceptor> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    write_certificate(folder, &made.cert.pem())?;
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(super) async fn start(
    shared: &Arc<Shared>,
    folder: &Path,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let acceptor = acceptor(folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shared = Arc::clone(shared);
    let accepting = tokio::spawn(async move {
        // Dropped with this task, it drops all connections.
        let mut sessions = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while sessions.try_join_next().is_some() {}
            let _ = stream.set_nodelay(true);
            let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
            sessions.spawn(async move {
                let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
                shared.most.fetch_max(open, Ordering::Relaxed);
                // However it ends, a connection that is dropped deletes nothing.
                let _ = connection(Box::new(stream), &shared, &acceptor).await;
                shared.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok((address, accepting))
}

async fn connection(
    stream: Box<dyn Duplex>,
    shared: &Arc<Shared>,
    acceptor: &TlsAcceptor,
) -> io::Result<()> {
    let (number, quirks) = {
        let mut state = shared.lock();
        state.sessions += 1;
        (state.sessions, state.quirks.clone())
    };
    let cut = quirks.cuts.get(number - 1).copied();
    let mut wire = Wire::new(stream, Arc::clone(shared), &quirks, cut);
    match quirks.tls {
        Tls::Implicit => wire.encrypt(acceptor).await?,
        Tls::Stalls => return wire.swallow().await,
        Tls::No | Tls::Stls => {}
    }
    session::run(wire, shared, number, &quirks, acceptor).await
}
