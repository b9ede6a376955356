//! Which server certificates are taken.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{TlsError, sha256};
use crate::limits::ROOTS_KEPT;
use crate::server::TlsOptions;

/// Decides about one handshake's certificate, and remembers which it was.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    shown: OnceLock<[u8; 32]>,
}

#[derive(Debug)]
enum Trust {
    /// Issued for this host by somebody trusted, and valid now; or itself named as trusted.
    Chain {
        verifier: Arc<WebPkiServerVerifier>,
        /// The certificates of the account's own file.
        named: Vec<CertificateDer<'static>>,
    },
    /// This one, whatever stands in it.
    Pin([u8; 32]),
    Any,
}

impl Verifier {
    pub(super) fn new(
        options: &TlsOptions,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let trust = if let Some(pin) = options.pin_sha256 {
            Trust::Pin(pin)
        } else if options.danger_accept_any_certificate {
            Trust::Any
        } else {
            let (roots, named) = match &options.ca_file {
                Some(file) => {
                    let named = certificates(file)?;
                    (roots_of(&named, file)?, named)
                }
                None => (of_the_system()?, Vec::new()),
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
                .build()
                .map_err(|error| TlsError::Setup(format!("cannot set up TLS: {error}")))?;
            Trust::Chain { verifier, named }
        };
        Ok(Self {
            trust,
            algorithms: provider.signature_verification_algorithms,
            shown: OnceLock::new(),
        })
    }

    /// A refusal in words that say what to do.
    pub(super) fn explain(&self, reason: &CertificateError, host: &str) -> TlsError {
        let shown = self.shown.get().copied();
        if let (Trust::Pin(pinned), Some(shown)) = (&self.trust, shown)
            && *pinned != shown
        {
            return TlsError::Pin {
                pinned: *pinned,
                shown,
            };
        }
        let reason = match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "it has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet; is this computer's clock right?".to_owned()
            }
            CertificateError::NotValidForName => format!("it is not for {host}"),
            CertificateError::NotValidForNameContext { presented, .. } => {
                format!("it is not for {host} but for {}", names(presented))
            }
            CertificateError::Other(_) if is_authority(&Error::InvalidCertificate(reason.clone())) => {
                "it is an authority's own, and nobody who is trusted here; if it is your server's, pin \
                 it or name its file (--ca)"
                    .to_owned()
            }
            CertificateError::UnknownIssuer => {
                "nobody who is trusted here has issued it; if it is your own, pin it or name its \
                 issuer's file"
                    .to_owned()
            }
            other => other.to_string(),
        };
        TlsError::Certificate {
            reason,
            sha256: shown,
        }
    }
}

/// Whether the only fault is that the server shows an authority's certificate as its own. That is what
/// `openssl req -x509` makes; a person who names that very file trusts the server that has its key.
/// webpki looks at the validity first, so one that has expired has another fault.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    let reason = other.0.downcast_ref::<webpki::Error>();
    reason == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// At most four names: the server may show hundreds.
fn names(presented: &[String]) -> String {
    match presented {
        [] => "no host at all".to_owned(),
        few if few.len() <= 4 => few.join(", "),
        many => format!("{} and {} more", many[..4].join(", "), many.len() - 4),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = *self.shown.get_or_init(|| sha256(leaf));
        match &self.trust {
            Trust::Chain { verifier, named } => {
                let verified = verifier.verify_server_cert(leaf, intermediates, name, ocsp, now);
                match verified {
                    Err(error) if is_authority(&error) && named.iter().any(|one| one == leaf) => {
                        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                        Ok(ServerCertVerified::assertion())
                    }
                    verified => verified,
                }
            }
            Trust::Pin(pinned) if *pinned != shown => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Trust::Pin(_) | Trust::Any => Ok(ServerCertVerified::assertion()),
        }
    }

    // Whoever shows a certificate has to prove that it has the key, even if any certificate is taken.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let cannot = |why: String| {
        TlsError::Setup(format!(
            "cannot read certificates in PEM from {}: {why}",
            file.display()
        ))
    };
    let found = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cannot(error.to_string()))?;
    if found.is_empty() {
        return Err(cannot("there is none in it".into()));
    }
    Ok(found)
}

fn roots_of(named: &[CertificateDer<'_>], file: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in named {
        roots.add(certificate.clone()).map_err(|error| {
            TlsError::Setup(format!(
                "a certificate in {} cannot be trusted: {error}",
                file.display()
            ))
        })?;
    }
    Ok(Arc::new(roots))
}

/// The system's certificates. They are kept for a while: there are hundreds, each in its own file, and
/// a fetcher connects often.
fn of_the_system() -> Result<Arc<RootCertStore>, TlsError> {
    static KEPT: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((since, roots)) = &*kept
        && since.elapsed() < ROOTS_KEPT
    {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = match found.errors.first() {
            Some(error) => format!(" ({error})"),
            None => String::new(),
        };
        return Err(TlsError::Setup(format!(
            "this system has no certificates of trusted authorities{why}: install them (Debian and \
             others: the package ca-certificates), or name a file of your own (--ca)"
        )));
    }
    let roots = Arc::new(roots);
    *kept = Some((Instant::now(), Arc::clone(&roots)));
    Ok(roots)
}
