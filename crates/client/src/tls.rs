//! TLS as the account wants it.

use crate::server::TlsVersion;

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
