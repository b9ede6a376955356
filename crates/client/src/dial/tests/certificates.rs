//! An authority of its own for each test, and what it issues.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Arc<tempfile::TempDir>,
}

pub(super) struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
    folder: Arc<tempfile::TempDir>,
}

fn provider() -> Arc<CryptoProvider> {
    crate::tls::provider().unwrap()
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        // No two of the same name.
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// Its certificate, in PEM.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(super) fn issue(&self, name: &str) -> Issued {
        self.sign(CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    pub(super) fn issue_expired(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    /// As `openssl req -x509` makes them: it signs itself, and says that it may sign others. Its file
    /// comes with it.
    pub(super) fn self_signed(name: &str, expired: bool) -> (Issued, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let issued = Issued {
            certificate: params.self_signed(&key).unwrap(),
            key,
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        let file = issued.files().0;
        (issued, file)
    }

    fn sign(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap(),
            key,
            folder: Arc::clone(&self.folder),
        }
    }
}

impl Issued {
    pub(super) fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// Certificate and key, in PEM.
    pub(super) fn files(&self) -> (PathBuf, PathBuf) {
        let (chain, key) = (
            self.folder.path().join("chain.pem"),
            self.folder.path().join("key.pem"),
        );
        std::fs::write(&chain, self.certificate.pem()).unwrap();
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        (chain, key)
    }

    /// For a server; with an authority, it asks clients for certificates of that.
    pub(super) fn config(&self, clients: Option<&Authority>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                        .build()
                        .unwrap(),
                )
            }
        };
        builder
            .with_single_cert(vec![self.certificate.der().clone()], key(&self.key))
            .unwrap()
    }

    pub(super) fn config_for(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key(&self.key))
            .unwrap()
    }

    /// For a server that shows this certificate but has another key.
    pub(super) fn config_of_a_thief(&self) -> ServerConfig {
        let other = KeyPair::generate().unwrap();
        let signer = provider()
            .key_provider
            .load_private_key(key(&other))
            .unwrap();
        let shown = CertifiedKey::new(vec![self.certificate.der().clone()], signer);
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(shown))))
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn key(pair: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(pair.serialize_der()).into()
}
