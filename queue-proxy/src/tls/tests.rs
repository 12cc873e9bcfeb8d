use std::path::Path;

use tidegate_trust::renewed::Renewal;

use super::*;

fn settings(change: impl FnOnce(&mut TlsSettings)) -> TlsSettings {
    let mut settings = TlsSettings {
        directory: PathBuf::new(),
        poll: Duration::from_secs(60),
        min_version: None,
        max_version: None,
        cipher_suites: None,
        curve_preferences: None,
    };
    change(&mut settings);
    settings
}

fn write_pair(directory: &Path, name: &str) {
    let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), pair.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
}

#[test]
fn without_both_files_there_is_no_tls() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Certificate::load(directory.path()).unwrap().is_none());
    write_pair(directory.path(), "a");
    std::fs::remove_file(directory.path().join("tls.key")).unwrap();
    assert!(Certificate::load(directory.path()).unwrap().is_none());
}

#[test]
fn a_broken_certificate_prevents_the_start_but_stops_no_running_process() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tls.crt"), "junk").unwrap();
    std::fs::write(directory.path().join("tls.key"), "junk").unwrap();
    assert!(Certificate::load(directory.path()).is_err());

    write_pair(directory.path(), "a");
    let certificate = Certificate::load(directory.path()).unwrap().unwrap();
    let renewals = certificate.renewals();
    assert_eq!(renewals.renew(), Renewal::Unchanged);
    let first = renewals.current();
    std::fs::write(directory.path().join("tls.crt"), "junk").unwrap();
    assert_eq!(renewals.renew(), Renewal::Kept);
    std::fs::remove_file(directory.path().join("tls.crt")).unwrap();
    assert_eq!(renewals.renew(), Renewal::Kept);
    assert!(Arc::ptr_eq(&first, &renewals.current()));
    write_pair(directory.path(), "b");
    assert_eq!(renewals.renew(), Renewal::Replaced);
    assert_ne!(first.cert, renewals.current().cert);
}

#[test]
fn tls_variables_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    write_pair(directory.path(), "a");
    let load = || Certificate::load(directory.path()).unwrap().unwrap();
    for change in [
        (|tls| tls.min_version = Some("1.1".to_owned())) as fn(&mut TlsSettings),
        |tls| tls.max_version = Some("1.2".to_owned()),
        |tls| tls.cipher_suites = Some("TLS_NOPE".to_owned()),
        |tls| tls.curve_preferences = Some("P-1".to_owned()),
    ] {
        assert!(server_config(&settings(change), load()).is_err());
    }
    let fine = settings(|tls| {
        tls.min_version = Some("1.2".to_owned());
        tls.cipher_suites =
            Some("TLS_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned());
        tls.curve_preferences = Some("X25519,CurveP256".to_owned());
    });
    server_config(&fine, load()).unwrap();
}
