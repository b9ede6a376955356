//! TLS as the account wants it: rustls, versions 1.2 and 1.3.
//!
//! Nothing is offered by ALPN (RFC 7301), though `pop3` is registered: a server in front of which
//! stands something that knows other protocols only may refuse the connection for it, and nothing
//! would be gained. `tls-unique` (RFC 5929) is not had, since rustls does not show the Finished
//! messages; SCRAM's -PLUS uses `tls-exporter` (RFC 9266) on both versions.

mod hello;
mod trust;

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::Error;
use crate::server::{ClientCertificate, TlsOptions, TlsVersion};

pub(crate) use hello::Tapped;
use trust::Verifier;

pub(crate) type TlsStream<S> = tokio_rustls::client::TlsStream<Tapped<S>>;

/// What a handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFacts {
    /// The version agreed on.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name: `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The server's certificates as it sent them, in DER, its own first.
    pub certificates: Vec<Vec<u8>>,
    /// SHA-256 of the first of them: what [`TlsOptions::pin_sha256`](crate::TlsOptions) holds.
    pub leaf_sha256: [u8; 32],
    /// The channel binding `tls-exporter` (RFC 9266); not had on TLS 1.2 without extended master secret.
    pub exporter: Option<[u8; 32]>,
}

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsError {
    /// What this side was told is wrong: a file that cannot be read, a name no certificate can have.
    Setup(String),
    /// The server's certificate is not to be trusted.
    Certificate {
        /// What is wrong with it.
        reason: String,
        /// Its SHA-256.
        sha256: Option<[u8; 32]>,
    },
    /// The server showed another certificate than the one pinned.
    Pin {
        /// SHA-256 of the pinned one.
        pinned: [u8; 32],
        /// SHA-256 of the one shown.
        shown: [u8; 32],
    },
    /// The handshake failed.
    Handshake(String),
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Setup(what) => Self::Configuration(what.into()),
            TlsError::Handshake(what) => Self::Tls(format!("no handshake: {what}").into()),
            TlsError::Pin { pinned, shown } => Self::Pin {
                pinned,
                presented: shown,
            },
            TlsError::Certificate { reason, sha256 } => {
                let which = match sha256 {
                    Some(sha256) => format!(" (its SHA-256 is {})", hex(&sha256)),
                    None => String::new(),
                };
                Self::Tls(
                    format!("the server's certificate is not to be trusted: {reason}{which}")
                        .into(),
                )
            }
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The cryptography chosen when this crate was built, or the process's default.
pub(crate) fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    #[cfg(feature = "aws-lc-rs")]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return CryptoProvider::get_default().cloned().ok_or_else(|| {
        TlsError::Setup(
            "no cryptography for TLS: turn on the feature `aws-lc-rs` or `ring`, or install a \
             rustls::crypto::CryptoProvider as the process's default"
                .into(),
        )
    });
}

/// The handshake, on a stream from which nothing of it was read. The caller keeps the time.
pub(crate) async fn handshake<S>(
    stream: S,
    host: &str,
    options: &TlsOptions,
) -> Result<(TlsStream<S>, TlsFacts), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A host name may end with the root's dot; the name in a certificate does not.
    let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
        .map_err(|_| TlsError::Setup(format!("`{host}` is not a host's name or address")))?;
    let (config, verifier) = {
        let options = options.clone();
        // Certificates are read from files.
        tokio::task::spawn_blocking(move || configure(&options))
            .await
            .map_err(|_| TlsError::Setup("the task that reads certificates ended".into()))??
    };
    let connector = TlsConnector::from(Arc::new(config));
    // In a box, so that the handshake's state does not stand in every connection's future.
    let mut stream = Box::pin(connector.connect(name, Tapped::new(stream)))
        .await
        .map_err(|error| failed(error, host, &verifier))?;
    let hello = stream.get_mut().0.take();
    let facts = facts(stream.get_ref().1, &hello)?;
    Ok((stream, facts))
}

fn configure(options: &TlsOptions) -> Result<(ClientConfig, Arc<Verifier>), TlsError> {
    let provider = provider()?;
    let verifier = Arc::new(Verifier::new(options, &provider)?);
    let versions: &[_] = match options.only {
        None => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Some(TlsVersion::Tls13) => &[&rustls::version::TLS13],
        Some(TlsVersion::Tls12) => &[&rustls::version::TLS12],
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::Setup(format!("cannot set up TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
    let mut config = match &options.client_certificate {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (chain, key) = client_certificate(files)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                TlsError::Setup(format!(
                    "the client certificate {} and the key {} cannot be used: {error}",
                    files.chain.display(),
                    files.key.display()
                ))
            })?
        }
    };
    // One connection a configuration: there is nothing to resume.
    config.resumption = Resumption::disabled();
    Ok((config, verifier))
}

fn client_certificate(
    files: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = trust::certificates(&files.chain)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        TlsError::Setup(format!(
            "cannot read a private key in PEM from {}: {error}",
            files.key.display()
        ))
    })?;
    Ok((chain, key))
}

fn failed(error: io::Error, host: &str, verifier: &Verifier) -> Error {
    let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return Error::Network(error);
    };
    Error::from(match tls {
        rustls::Error::InvalidCertificate(reason) => verifier.explain(reason, host),
        // What plain POP3 looks like to TLS.
        rustls::Error::InvalidMessage(_) => TlsError::Handshake(format!(
            "the server does not speak TLS here; is this the port for STLS? ({tls})"
        )),
        other => TlsError::Handshake(other.to_string()),
    })
}

fn facts(connection: &rustls::ClientConnection, hello: &[u8]) -> Result<TlsFacts, TlsError> {
    let incomplete = || TlsError::Handshake("it ended without its facts".into());
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => return Err(incomplete()),
    };
    let suite = connection
        .negotiated_cipher_suite()
        .ok_or_else(incomplete)?;
    let certificates: Vec<Vec<u8>> = connection
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect();
    let leaf = certificates.first().ok_or_else(incomplete)?;
    // RFC 9266 §4.2: on TLS 1.2 the binding is unique only with the extended master secret.
    let unique = version == TlsVersion::Tls13 || hello::has_extended_master_secret(hello);
    // RFC 9266 §2: this label, no context as TLS 1.3 has it (an empty one), 32 octets.
    let exporter = unique
        .then(|| {
            connection
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
                .ok()
        })
        .flatten();
    Ok(TlsFacts {
        version,
        cipher: format!("{:?}", suite.suite()),
        leaf_sha256: sha256(leaf),
        certificates,
        exporter,
    })
}
