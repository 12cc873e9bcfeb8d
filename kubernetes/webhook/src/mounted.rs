//! A certificate that something else keeps in files, such as a Secret that is mounted, read anew
//! when it changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;
use tidegate_trust::pem::identity;
use tidegate_trust::{Renewed, TlsError};

use crate::keeper::ALPN;

/// Time between two checks of the files. A kubelet takes a minute or two to update them.
const PERIOD: Duration = Duration::from_secs(10);

/// A certificate in two files.
#[derive(Debug, Clone)]
pub struct MountedCertificate {
    config: Arc<Renewed<ServerConfig>>,
}

impl MountedCertificate {
    /// Reads certificate chain and key, PEM.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in it cannot be used; the file is named.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let config = Renewed::load([certificate, key], |[certificate, key]| {
            let shown = SingleCertAndKey::from(identity(certificate, key)?);
            let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions();
            let builder = builder.map_err(|error| certificate.unusable(error))?;
            let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(shown));
            config.alpn_protocols = vec![ALPN.to_vec()];
            Ok(config)
        })?;
        Ok(Self { config: Arc::new(config) })
    }

    /// TLS of the server as the files are now.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.current()
    }

    /// Checks the files for as long as it is polled. Cancel safe.
    pub async fn watch(&self) {
        Arc::clone(&self.config).watch(PERIOD).await;
    }
}
