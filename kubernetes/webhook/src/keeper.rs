//! Keeps authorities and certificate in a folder, renews them, and hands them to the server and to
//! the part that writes the cluster's configuration.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use tidegate_kubernetes_certificates::{Kept, UnixSeconds, Wanted};

/// The name of the certificate among those that are kept.
const CERTIFICATE: &str = "webhook";

/// The stored state, keys included; readable for its owner only.
pub const KEPT_FILE: &str = "certificates.json";

/// The authorities, PEM: what a `MutatingWebhookConfiguration` needs as its `caBundle`.
pub const BUNDLE_FILE: &str = "ca.crt";

/// Time between two checks for a renewal that is due, or that another process has made.
const PERIOD: Duration = Duration::from_secs(60);

/// Most bytes of the kept file that are read: four authorities and a certificate have six thousand.
const KEPT_BYTES_MAX: u64 = 256 << 10;

/// The one protocol that an API server speaks to a webhook.
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// Why certificates cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The kept file is not ours.
    #[error("cannot read {path}: {source}; remove it to begin anew")]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] tidegate_kubernetes_certificates::Error),
    /// A certificate cannot be used.
    #[error("cannot use the certificate: {0}")]
    Use(String),
}

/// Keeps the certificates of one server.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    wanted: Vec<Wanted>,
    kept: Kept,
    config: watch::Sender<Arc<ServerConfig>>,
    bundle: watch::Sender<String>,
}

impl Keeper {
    /// Reads what the folder has, renews what is due and writes it back.
    ///
    /// # Errors
    /// The folder cannot be used, or what it has is not ours.
    pub fn open(folder: &Path, names: &[String]) -> Result<Self, KeeperError> {
        let wanted = vec![Wanted { name: CERTIFICATE.to_owned(), dns_names: names.to_vec() }];
        let kept = renew(folder, &wanted, now())?;
        let (config, _) = watch::channel(server_config(&kept)?);
        let (bundle, _) = watch::channel(kept.bundle());
        Ok(Self { folder: folder.to_owned(), wanted, kept, config, bundle })
    }

    /// TLS of the server, as it is now and as it becomes.
    pub fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// The authorities, PEM, as they are now and as they become: for the process with the right to
    /// write them into the cluster.
    pub fn bundle(&self) -> watch::Receiver<String> {
        self.bundle.subscribe()
    }

    /// Renews the certificates when due, checking once a minute, for as long as it is polled. A
    /// failed renewal is logged, and the old certificate served.
    ///
    /// Cancel safe.
    pub async fn run(mut self) {
        let mut pace = tokio::time::interval(PERIOD);
        loop {
            pace.tick().await;
            if let Err(error) = self.look() {
                tracing::error!("the webhook's certificates are not renewed: {error}");
            }
        }
    }

    fn look(&mut self) -> Result<(), KeeperError> {
        let kept = renew(&self.folder, &self.wanted, now())?;
        if kept == self.kept {
            return Ok(());
        }
        tracing::info!("the webhook has a new certificate, or a new authority");
        self.config.send_replace(server_config(&kept)?);
        self.bundle.send_replace(kept.bundle());
        self.kept = kept;
        Ok(())
    }
}

fn now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The folder's state, renewed; written only where something has changed, so that a folder that
/// another process fills can be read-only.
fn renew(folder: &Path, wanted: &[Wanted], now: UnixSeconds) -> Result<Kept, KeeperError> {
    let path = folder.join(KEPT_FILE);
    let found = read(&path)?;
    let kept = found.renewed(now, wanted)?;
    if kept != found {
        let text = serde_json::to_string(&kept)
            .map_err(|source| KeeperError::Kept { path: path.clone(), source })?;
        write(&path, text.as_bytes(), 0o600)?;
        write(&folder.join(BUNDLE_FILE), kept.bundle().as_bytes(), 0o644)?;
    }
    Ok(kept)
}

fn read(path: &Path) -> Result<Kept, KeeperError> {
    let file = |source| KeeperError::File { path: path.to_owned(), source };
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(file(error)),
    };
    if length > KEPT_BYTES_MAX {
        let problem = format!("{length} bytes, expected at most {KEPT_BYTES_MAX}");
        return Err(file(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
    }
    let text = fs::read(path).map_err(file)?;
    serde_json::from_slice(&text)
        .map_err(|source| KeeperError::Kept { path: path.to_owned(), source })
}

/// Writes a temporary file and renames it, so that no reader sees half of it.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeeperError> {
    let beside = path.with_extension("new");
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|source| KeeperError::File { path: path.to_owned(), source })
}

fn server_config(kept: &Kept) -> Result<Arc<ServerConfig>, KeeperError> {
    let unusable = |error: &dyn std::fmt::Display| KeeperError::Use(error.to_string());
    let issued = kept.issued.get(CERTIFICATE).ok_or_else(|| unusable(&"there is none"))?;
    let identity = &issued.identity;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())
        .map_err(|error| unusable(&error))?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_outlive_the_process_and_stay_private() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let first = Keeper::open(folder.path(), &names).unwrap();
        let again = Keeper::open(folder.path(), &names).unwrap();
        assert_eq!(first.kept, again.kept);
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(KEPT_FILE), mode(BUNDLE_FILE)), (0o600, 0o644));
        let bundle = fs::read_to_string(folder.path().join(BUNDLE_FILE)).unwrap();
        assert_eq!(bundle, *first.bundle().borrow());
        assert!(bundle.starts_with("-----BEGIN CERTIFICATE-----"), "{bundle}");
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEPT_FILE);
        fs::write(&path, "{").unwrap();
        let error = Keeper::open(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("remove it to begin anew"), "{error}");
        let nowhere = folder.path().join("nowhere");
        let error = Keeper::open(&nowhere, &[]).unwrap_err().to_string();
        assert!(error.contains("cannot use") && error.contains("nowhere"), "{error}");
    }

    #[test]
    fn a_renewal_reaches_the_server_and_the_bundles_readers() {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(folder.path(), &["localhost".to_owned()]).unwrap();
        let (config, bundle) = (keeper.config(), keeper.bundle());
        keeper.look().unwrap();
        assert!(!config.has_changed().unwrap());
        fs::remove_file(folder.path().join(KEPT_FILE)).unwrap();
        keeper.look().unwrap();
        assert!(config.has_changed().unwrap() && bundle.has_changed().unwrap());
    }
}
