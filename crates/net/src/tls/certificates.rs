//! The certificate that handshakes use, and where it is read again.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{TlsError, self_signed};

/// A certificate chain with its key. Handshakes take the newest; those that have begun keep theirs.
pub struct Certificates {
    current: ArcSwap<CertifiedKey>,
    chain: PathBuf,
    key: PathBuf,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// From PEM files: the chain with the server's own certificate first, and the private key. Both may
    /// be one file.
    ///
    /// # Errors
    /// A file cannot be read, is not PEM, has no certificate or no key, or key and certificate do
    /// not belong together.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let current = load(chain, key)?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(current),
            chain: chain.to_owned(),
            key: key.to_owned(),
        }))
    }

    /// Self-signed, kept in `folder` and used again at the next start: `self-signed.pem` (0600: key and
    /// certificate) and `certificate.pem` (the certificate alone, for clients that shall trust it).
    ///
    /// # Errors
    /// The folder or its files cannot be made, read or used.
    pub fn self_signed(folder: &Path) -> Result<Arc<Self>, TlsError> {
        let file = self_signed::find_or_make(folder)?;
        Self::from_files(&file, &file)
    }

    /// Reads the files again. Handshakes from now on use what they say.
    ///
    /// # Errors
    /// As [`Self::from_files`]; the certificate in use stays then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.chain, &self.key)?;
        self.current.store(Arc::new(fresh));
        Ok(())
    }

    /// SHA-256 of the server's own certificate in DER, as `AB:CD:…`: what clients and
    /// `openssl x509 -fingerprint -sha256` show.
    pub fn fingerprint(&self) -> String {
        let current = self.current.load();
        let der = current.cert.first().map_or(&[][..], |der| der.as_ref());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let mut text = String::new();
        for (index, byte) in digest.as_ref().iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            // Writing to a String does not fail.
            let _always = write!(text, "{colon}{byte:02X}");
        }
        text
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load(chain_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let failed =
        |file: &Path, what: &dyn fmt::Display| TlsError::new(format!("{}: {what}", file.display()));
    let pem = std::fs::read(chain_file).map_err(|error| failed(chain_file, &error))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(chain_file, &format_args!("not a PEM file: {error}")))?;
    if chain.is_empty() {
        let what = "no certificate in it; it must hold -----BEGIN CERTIFICATE-----";
        return Err(failed(chain_file, &what));
    }
    let pem = std::fs::read(key_file).map_err(|error| failed(key_file, &error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let what = "no private key in it; it must hold an unencrypted -----BEGIN PRIVATE KEY-----";
        failed(key_file, &what)
    })?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => failed(
            key_file,
            &format_args!("the key does not belong to {}", chain_file.display()),
        ),
        other => failed(
            key_file,
            &format_args!("cannot be used with {}: {other}", chain_file.display()),
        ),
    })
}
