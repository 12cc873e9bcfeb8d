//! Certificates and keys in PEM files. The one reader of all crates that use TLS.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Longest file that is read. All the authorities of a system fit into a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where systems keep the certificates they trust: Debian, Alpine and Arch; Red Hat; BSD and macOS.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The variable that names another place, as for OpenSSL and Go.
const SYSTEM_AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file is not PEM, or has nothing of use in it.
    #[error("cannot use {path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A key is another certificate's.
    #[error("the key {key} is not that of the certificate {certificate}")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate, or its key, is of an unknown kind.
    #[error("cannot use the certificate {path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The error of the library.
        source: rustls::Error,
    },
}

/// A file and what was in it when it was read.
#[derive(PartialEq, Eq)]
pub struct PemFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Whether it was not there when it was read.
    is_missing: bool,
}

impl PemFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is too long to be certificates.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let mut bytes = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Err(source) => Err(TlsError::Read { path: path.to_owned(), source }),
            Ok(length) if length as u64 == FILE_BYTES_MAX => Err(TlsError::Pem {
                path: path.to_owned(),
                source: format!("it is longer than {FILE_BYTES_MAX} bytes").into(),
            }),
            Ok(_) => Ok(Self { path: path.to_owned(), bytes, is_missing: false }),
        }
    }

    /// Reads a file that may not be there yet; it then has nothing in it.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], but that it is there.
    pub(crate) fn read_if_there(path: &Path) -> Result<Self, TlsError> {
        match Self::read(path) {
            Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self { path: path.to_owned(), bytes: Vec::new(), is_missing: true })
            }
            read => read,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificates in it, at least one.
    ///
    /// # Errors
    ///
    /// When there is none, or one that is not PEM.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let chain = chain.map_err(|error| self.unusable(error))?;
        if chain.is_empty() {
            return Err(self.unusable("no certificate in it"));
        }
        Ok(chain)
    }

    /// The first key in it.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| self.unusable(error))
    }

    /// Whether it was not there when it was read.
    pub(crate) fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// The certificates in it, as those of authorities.
    ///
    /// # Errors
    ///
    /// When none of them can be one.
    pub fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates()?);
        if roots.is_empty() {
            return Err(self.unusable("no authority in it"));
        }
        Ok(roots)
    }

    /// That what is in it cannot be used.
    #[must_use]
    pub fn unusable(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> TlsError {
        TlsError::Pem { path: self.path.clone(), source: source.into() }
    }

    /// That the certificate in it cannot be used.
    pub(crate) fn refused(&self, source: rustls::Error) -> TlsError {
        TlsError::Certificate { path: self.path.clone(), source }
    }
}

/// The content is not printed: it may be a key.
impl std::fmt::Debug for PemFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("PemFile").field(&self.path).finish()
    }
}

/// A certificate chain with its key.
///
/// # Errors
///
/// When either cannot be used, or they are not of each other.
pub fn identity(certificate: &PemFile, key: &PemFile) -> Result<CertifiedKey, TlsError> {
    let (chain, secret) = (certificate.certificates()?, key.key()?);
    CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Pair { certificate: certificate.path.clone(), key: key.path.clone() }
        }
        error => certificate.refused(error),
    })
}

/// Where this system keeps the certificates of its authorities.
#[must_use]
pub fn system_authorities() -> PathBuf {
    let named = std::env::var_os(SYSTEM_AUTHORITIES_VARIABLE).filter(|path| !path.is_empty());
    let usual = || SYSTEM_AUTHORITIES.iter().find(|path| Path::new(path).exists());
    // With none of them the error names the first.
    named.map_or_else(|| usual().unwrap_or(&SYSTEM_AUTHORITIES[0]).into(), PathBuf::from)
}
