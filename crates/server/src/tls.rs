//! TLS from PEM files, as bytes: which files, the binary knows.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// A certificate with its key, ready to be served with.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ServerConfig>);

/// Why a certificate and a key can't be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The first file.
    #[error("the certificate can't be read: it must be PEM with at least one CERTIFICATE")]
    Certificate,
    /// The second file.
    #[error("the private key can't be read: it must be PEM with a PRIVATE KEY")]
    Key,
    /// Both.
    #[error("the certificate and the private key can't be used: {0}")]
    Pair(#[source] rustls::Error),
}

impl Tls {
    /// Makes use of a chain of certificates, the server's own first, and the key to it.
    ///
    /// # Errors
    /// If either is no PEM or they don't belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(TlsError::Pair)?;
        // HTTP/2 is not spoken, so that none of its floods has to be withstood.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
