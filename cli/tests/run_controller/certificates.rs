//! An authority of our own and what it signs, as files.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

/// Somebody who vouches for others.
pub(crate) struct Authority {
    folder: PathBuf,
    name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What is special about a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    Expired,
    NotYetValid,
}

impl Authority {
    /// A new one, which nobody trusts by itself.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can be made");
        std::fs::write(folder.join(format!("{name}.crt")), issuer.pem()).expect("writable");
        Self { folder: folder.to_owned(), name: name.to_owned(), issuer }
    }

    /// The file that says who it is.
    pub(crate) fn file(&self) -> String {
        self.path(&format!("{}.crt", self.name))
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().expect("text").to_owned()
    }

    /// A certificate for `host`, in files that begin with `name`. Files of that name are replaced.
    pub(crate) fn sign(&self, name: &str, host: &str, kind: Kind) -> Pair {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = usages.to_vec();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        match kind {
            Kind::Good => {}
            Kind::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Kind::NotYetValid => params.not_before = date_time_ymd(3000, 1, 1),
        }
        assert!(host.parse::<IpAddr>().is_ok() || host.contains('.'), "a host: {host}");
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let pair = Pair {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        };
        std::fs::write(&pair.certificate, certificate.pem()).expect("writable");
        std::fs::write(&pair.key, key.serialize_pem()).expect("writable");
        pair
    }
}
