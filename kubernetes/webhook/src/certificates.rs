//! An authority of our own and a certificate from it, made anew long before they end.
//!
//! An API server learns a new authority only when somebody tells it: a new one is published for
//! [`SETTLING`] before it signs, and an old one stays published until it ends: at no moment is a
//! certificate served that nobody can check.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

/// How long an authority is good for.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a certificate is good for.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Time between the publication of an authority and its first certificate.
pub const SETTLING: Duration = Duration::from_secs(24 * 3600);

/// By how much clocks may differ.
const SKEW: Duration = Duration::from_secs(300);

/// Most authorities at a time: the one that ends and the one that comes.
const AUTHORITIES_MAX: usize = 4;

/// Time since the beginning of 1970, in whole seconds.
pub type UnixSeconds = u64;

/// Everything that is kept: the keys too, so it is nobody else's to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Authorities that are published, the oldest first.
    pub authorities: Vec<Identity>,
    /// What the server shows.
    pub certificate: Option<Identity>,
    /// The names that the certificate is for.
    pub names: Vec<String>,
}

/// A certificate with its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// When it was made.
    pub made: UnixSeconds,
    /// When it ends.
    pub until: UnixSeconds,
}

impl Identity {
    /// Whether less than a third of its life is left.
    fn is_due(&self, now: UnixSeconds) -> bool {
        self.until.saturating_sub(now) < self.until.saturating_sub(self.made) / 3
    }
}

impl Kept {
    /// What is to be kept from now on, for a server of these names; the same where nothing is due.
    ///
    /// # Errors
    /// No key or certificate can be made.
    pub fn renewed(&self, now: UnixSeconds, names: &[String]) -> Result<Self, rcgen::Error> {
        let mut kept = self.clone();
        kept.authorities.retain(|authority| authority.until > now);
        if kept.authorities.last().is_none_or(|newest| newest.is_due(now)) {
            kept.authorities.push(authority(now)?);
        }
        let surplus = kept.authorities.len().saturating_sub(AUTHORITIES_MAX);
        kept.authorities.drain(..surplus);
        let is_right = kept.names == names
            && kept.certificate.as_ref().is_some_and(|certificate| !certificate.is_due(now));
        if !is_right && let Some(signer) = kept.signer(now) {
            kept.certificate = Some(signed(signer, now, names)?);
            kept.names = names.to_vec();
        }
        Ok(kept)
    }

    /// The newest authority that everybody has had time to learn of; where there is none, the
    /// oldest.
    fn signer(&self, now: UnixSeconds) -> Option<&Identity> {
        let settled = |authority: &&Identity| authority.made + SETTLING.as_secs() <= now;
        self.authorities.iter().rev().find(settled).or(self.authorities.first())
    }

    /// All authorities, PEM: what checks the certificate now, and what will.
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|authority| authority.certificate.as_str()).collect()
    }
}

fn params_of_authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tidegate webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority(now: UnixSeconds) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = params_of_authority();
    let until = limit(&mut params, now, now + AUTHORITY_LIFE.as_secs());
    let certificate = params.self_signed(&key)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem(), made: now, until })
}

fn signed(
    authority: &Identity,
    now: UnixSeconds,
    names: &[String],
) -> Result<Identity, rcgen::Error> {
    let issuer = Issuer::new(params_of_authority(), KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tidegate webhook");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let end = (now + CERTIFICATE_LIFE.as_secs()).min(authority.until);
    let until = limit(&mut params, now, end);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem(), made: now, until })
}

/// Sets from when to when a certificate is good, and returns when it ends.
fn limit(params: &mut CertificateParams, now: UnixSeconds, until: UnixSeconds) -> UnixSeconds {
    let at = |seconds| std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    params.not_before = at(now.saturating_sub(SKEW.as_secs())).into();
    params.not_after = at(until).into();
    until
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const START: u64 = 1_800_000_000;

    fn names() -> Vec<String> {
        vec!["tidegate-webhook.tidegate-system.svc".to_owned()]
    }

    #[test]
    fn nothing_is_made_anew_that_is_not_due() {
        let kept = Kept::default().renewed(START, &names()).unwrap();
        assert_eq!(kept.authorities.len(), 1);
        assert_eq!(kept.renewed(START + 39 * DAY, &names()).unwrap(), kept);
        let later = kept.renewed(START + 41 * DAY, &names()).unwrap();
        assert_eq!(later.authorities, kept.authorities);
        assert_ne!(later.certificate, kept.certificate);
        let renamed = kept.renewed(START, &["other.svc".to_owned()]).unwrap();
        assert_ne!(renamed.certificate, kept.certificate);
        assert_eq!(renamed.authorities, kept.authorities);
    }

    /// Three years, a look a day: what is served is always checked by what was published a day ago,
    /// and has a third of its life left.
    #[test]
    fn whoever_learns_of_authorities_within_a_day_always_trusts_what_is_served() {
        let mut kept = Kept::default().renewed(START, &names()).unwrap();
        let mut published = vec![kept.bundle()];
        let mut signers = std::collections::BTreeSet::new();
        for day in 1..3 * 365 {
            let now = START + day * DAY;
            let next = kept.renewed(now, &names()).unwrap();
            if next.certificate != kept.certificate {
                let signer = next.signer(now).unwrap();
                assert!(published.last().unwrap().contains(&signer.certificate), "day {day}");
                assert!(signer.until >= next.certificate.as_ref().unwrap().until);
                signers.insert(signer.certificate.clone());
            }
            let certificate = next.certificate.as_ref().unwrap();
            assert!(certificate.until > now + DAY, "day {day}");
            assert!((1..=2).contains(&next.authorities.len()), "day {day}");
            published.push(next.bundle());
            kept = next;
        }
        assert!(signers.len() >= 3, "{} authorities have signed", signers.len());
    }
}
