//! An authority of our own and the certificates of servers that it signs, renewed long before they
//! expire.
//!
//! Clients learn of a new authority only when it is distributed to them: a new one is published for
//! [`SETTLING`] before it signs, and an old one stays published until it expires, so that at no
//! moment a certificate is served that a client cannot verify.
//!
//! It must never read a clock, store anything or print a key: [`Kept`] is a value, time is an
//! argument, and the caller keeps the value where others cannot read it.
//!
//! One module, in reading order: [`Wanted`] is what is asked for, [`Kept`] what is stored,
//! [`Kept::renewed`] the rule.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use rcgen::Error;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

/// Lifetime of an authority.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Lifetime of a certificate.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Time between the publication of an authority and its first certificate.
pub const SETTLING: Duration = Duration::from_secs(24 * 3600);

/// By how much clocks may differ.
const SKEW: Duration = Duration::from_secs(300);

/// Most authorities at a time: the one that expires and its successor, twice over.
const AUTHORITIES_MAX: usize = 4;

/// Time since the beginning of 1970, in whole seconds.
pub type UnixSeconds = u64;

/// A certificate that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name among all that are kept.
    pub name: String,
    /// The DNS names of the server.
    pub dns_names: Vec<String>,
}

/// Everything that is stored: the keys too, so nobody else may read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Authorities that are published, the oldest first.
    pub authorities: Vec<Identity>,
    /// The certificates of servers by their names.
    pub issued: BTreeMap<String, Issued>,
}

/// The certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Certificate and key.
    pub identity: Identity,
    /// The DNS names that it is for.
    pub dns_names: Vec<String>,
}

/// A certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// When it was made.
    pub made: UnixSeconds,
    /// When it expires.
    pub until: UnixSeconds,
}

impl Identity {
    /// Whether less than a third of its lifetime is left.
    fn is_due(&self, now: UnixSeconds) -> bool {
        self.until.saturating_sub(now) < self.until.saturating_sub(self.made) / 3
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Identity");
        shown.field("made", &self.made).field("until", &self.until).finish_non_exhaustive()
    }
}

impl Kept {
    /// What is to be stored from now on so that everything `wanted` is served; the same where
    /// nothing is due. What is not wanted any more is dropped.
    ///
    /// # Errors
    /// No key or certificate can be made, such as one for a name that no host can have.
    pub fn renewed(&self, now: UnixSeconds, wanted: &[Wanted]) -> Result<Self, Error> {
        let mut kept = self.clone();
        kept.authorities.retain(|authority| authority.until > now);
        if kept.authorities.last().is_none_or(|newest| newest.is_due(now)) {
            kept.authorities.push(authority(now)?);
        }
        let surplus = kept.authorities.len().saturating_sub(AUTHORITIES_MAX);
        kept.authorities.drain(..surplus);
        kept.issued.retain(|name, _| wanted.iter().any(|wanted| wanted.name == *name));
        for Wanted { name, dns_names } in wanted {
            let is_right = kept.issued.get(name).is_some_and(|issued| {
                issued.dns_names == *dns_names
                    && !issued.identity.is_due(now)
                    && kept.can_verify(&issued.identity)
            });
            if !is_right && let Some(signer) = kept.signer(now) {
                let identity = signed(signer, now, dns_names)?;
                let issued = Issued { identity, dns_names: dns_names.clone() };
                kept.issued.insert(name.clone(), issued);
            }
        }
        Ok(kept)
    }

    /// Whether an authority is left that may have signed this: none that was made later did, and
    /// none that expires earlier.
    fn can_verify(&self, identity: &Identity) -> bool {
        let mut authorities = self.authorities.iter();
        authorities
            .any(|authority| authority.made <= identity.made && identity.until <= authority.until)
    }

    /// The newest authority that every client has had time to learn of; where there is none, the
    /// oldest.
    fn signer(&self, now: UnixSeconds) -> Option<&Identity> {
        let settled = |authority: &&Identity| authority.made + SETTLING.as_secs() <= now;
        self.authorities.iter().rev().find(settled).or(self.authorities.first())
    }

    /// All authorities, PEM: what verifies the certificates now, and what will.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|authority| authority.certificate.as_str()).collect()
    }
}

fn params_of_authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tidegate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn authority(now: UnixSeconds) -> Result<Identity, Error> {
    let key = KeyPair::generate()?;
    let mut params = params_of_authority();
    let until = limit(&mut params, now, now + AUTHORITY_LIFE.as_secs());
    let certificate = params.self_signed(&key)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem(), made: now, until })
}

fn signed(authority: &Identity, now: UnixSeconds, dns_names: &[String]) -> Result<Identity, Error> {
    let issuer = Issuer::new(params_of_authority(), KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(dns_names)?;
    params.distinguished_name = DistinguishedName::new();
    let first = dns_names.first().map_or("Tidegate", String::as_str);
    // X.509 has at most 64 characters there; the names that count are in the extension.
    params.distinguished_name.push(DnType::CommonName, first.chars().take(64).collect::<String>());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let end = (now + CERTIFICATE_LIFE.as_secs()).min(authority.until);
    let until = limit(&mut params, now, end);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem(), made: now, until })
}

/// Sets from when to when a certificate is valid, and returns when it expires.
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
    const NAME: &str = "webhook";

    fn wanted(dns_names: &[&str]) -> Vec<Wanted> {
        let dns_names = dns_names.iter().map(|&name| name.to_owned()).collect();
        vec![Wanted { name: NAME.to_owned(), dns_names }]
    }

    fn usual() -> Vec<Wanted> {
        wanted(&["tidegate-webhook.tidegate-system.svc"])
    }

    #[test]
    fn nothing_is_renewed_that_is_not_due() {
        let kept = Kept::default().renewed(START, &usual()).unwrap();
        assert_eq!(kept.authorities.len(), 1);
        assert_eq!(kept.renewed(START + 39 * DAY, &usual()).unwrap(), kept);
        let later = kept.renewed(START + 41 * DAY, &usual()).unwrap();
        assert_eq!(later.authorities, kept.authorities);
        assert_ne!(later.issued[NAME], kept.issued[NAME]);
        let renamed = kept.renewed(START, &wanted(&["other.svc"])).unwrap();
        assert_ne!(renamed.issued[NAME], kept.issued[NAME]);
        assert_eq!(renamed.authorities, kept.authorities);
        assert!(kept.renewed(START, &[]).unwrap().issued.is_empty());
    }

    #[test]
    fn each_server_has_a_certificate_of_its_own() {
        let mut both = usual();
        let dns_names = vec!["tidegate-controller".to_owned()];
        both.push(Wanted { name: "controller".to_owned(), dns_names });
        let kept = Kept::default().renewed(START, &both).unwrap();
        let certificate = |name: &str| &kept.issued[name].identity.certificate;
        assert_ne!(certificate(NAME), certificate("controller"));
        let alone = kept.renewed(START, &usual()).unwrap();
        assert_eq!(alone.issued[NAME], kept.issued[NAME]);
    }

    #[test]
    fn a_certificate_without_its_authority_is_renewed() {
        let kept = Kept::default().renewed(START, &usual()).unwrap();
        let orphan = Kept { authorities: Vec::new(), ..kept.clone() };
        let renewed = orphan.renewed(START + DAY, &usual()).unwrap();
        assert_ne!(renewed.issued[NAME], kept.issued[NAME]);
    }

    #[test]
    fn keys_are_never_printed() {
        let kept = Kept::default().renewed(START, &usual()).unwrap();
        assert!(!format!("{kept:?}").contains("PRIVATE KEY"));
    }

    /// Three years, a look a day: what is served is always verified by what was published a day
    /// ago, and has a third of its lifetime left.
    #[test]
    fn clients_that_learn_of_authorities_within_a_day_always_trust_what_is_served() {
        let mut kept = Kept::default().renewed(START, &usual()).unwrap();
        let mut published = vec![kept.bundle()];
        let mut signers = std::collections::BTreeSet::new();
        for day in 1..3 * 365 {
            let now = START + day * DAY;
            let next = kept.renewed(now, &usual()).unwrap();
            if next.issued != kept.issued {
                let signer = next.signer(now).unwrap();
                assert!(published.last().unwrap().contains(&signer.certificate), "day {day}");
                assert!(signer.until >= next.issued[NAME].identity.until);
                signers.insert(signer.certificate.clone());
            }
            let certificate = &next.issued[NAME].identity;
            assert!(certificate.until > now + DAY, "day {day}");
            assert!((1..=2).contains(&next.authorities.len()), "day {day}");
            published.push(next.bundle());
            kept = next;
        }
        assert!(signers.len() >= 3, "{} authorities have signed", signers.len());
    }
}
