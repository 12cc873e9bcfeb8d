//! Encrypted pushes: to whom the authorities vouch for, and to nobody else.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tidegate_exporter::{Protocol, Settings};
use tidegate_trust::{ClientCertificates, ClientTls};

use crate::receiver::Receiver;
use crate::{HITS_IN_OTLP, Site, assert_complete, number, points, settings, until};

/// A receiver's configuration, with its certificate in `path`.
fn server(path: &Path) -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
    std::fs::write(path, made.cert.pem()).expect("writable");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate")
}

fn trusting(path: &Path) -> Arc<ClientTls> {
    let authority = Some(path.to_owned());
    Arc::new(ClientCertificates { authority, identity: None }.load().expect("readable"))
}

#[tokio::test]
async fn a_receiver_shows_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, other) = (folder.path().join("own.pem"), folder.path().join("other.pem"));
    let receiver = Receiver::start_tls(server(&own)).await;
    drop(server(&other));
    let encrypted = |tls| Settings { tls, ..settings(Protocol::OtlpHttp, &receiver.address) };
    for tls in [Some(trusting(&other)), None] {
        let site = Site::start(encrypted(tls), 0);
        let failed = "tidegate_metrics_push_attempts_total";
        until(|| number(&site.registry.gather(), failed, "failed") > 0.0).await;
        assert_eq!(points(&site.end().await.0, "delivered"), 0);
        assert_eq!(receiver.requests(), 0);
    }
    let site = Site::start(encrypted(Some(trusting(&own))), 0);
    site.until_readings(10).await;
    let (_, last) = site.end().await;
    assert_complete(&receiver, HITS_IN_OTLP, 1, last);
}
