//! Which revision a request is for.
//!
//! Knative's rules: an ingress names it in two headers; without them the host names it as
//! `name.namespace.svc` and the cluster's domain. With neither, a configured default takes it: the
//! one revision of local mode.

use tidegate_reporter::RevisionName;

/// The parts of a request that name its revision, as far as they are readable text.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteKey<'a> {
    /// The value of [`headers::SERVING_REVISION`](tidegate_knative::headers::SERVING_REVISION).
    pub revision: Option<&'a str>,
    /// The value of [`headers::SERVING_NAMESPACE`](tidegate_knative::headers::SERVING_NAMESPACE).
    pub namespace: Option<&'a str>,
    /// The host, with or without a port.
    pub host: Option<&'a str>,
}

impl RouteKey<'_> {
    /// The revision that the request names, whether or not it exists.
    pub fn named(&self) -> Option<RevisionName> {
        match (self.namespace, self.revision) {
            (Some(namespace), Some(name)) if !namespace.is_empty() && !name.is_empty() => {
                Some(RevisionName { namespace: namespace.into(), name: name.into() })
            }
            _ => self.host.and_then(service_host),
        }
    }

    /// Whether an ingress named it, so that the default revision must not serve it.
    pub fn is_explicit(&self) -> bool {
        self.namespace.is_some() && self.revision.is_some()
    }
}

/// Whether a routing header names something: letters, digits, dots, hyphens and underscores, no
/// more of them than a name in Kubernetes has.
pub fn is_name(text: &str) -> bool {
    const NAME_MAX: usize = 253;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_byte)
}

/// Takes `name.namespace.svc[.domain][:port]` apart.
fn service_host(host: &str) -> Option<RevisionName> {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let mut labels = host.trim_end_matches('.').split('.');
    let (name, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    let named = !name.is_empty() && !namespace.is_empty() && svc.eq_ignore_ascii_case("svc");
    named.then(|| RevisionName {
        namespace: namespace.to_ascii_lowercase(),
        name: name.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(namespace: &str, name: &str) -> Option<RevisionName> {
        Some(RevisionName { namespace: namespace.into(), name: name.into() })
    }

    #[test]
    fn both_headers_win_over_the_host() {
        let host = Some("other.default.svc.cluster.local");
        let key = RouteKey { revision: Some("web-1"), namespace: Some("prod"), host };
        assert_eq!(key.named(), revision("prod", "web-1"));
        assert!(key.is_explicit());
        let half = RouteKey { namespace: None, ..key };
        assert_eq!(half.named(), revision("default", "other"));
        assert!(!half.is_explicit());
        let empty = RouteKey { revision: Some(""), ..key };
        assert_eq!(empty.named(), revision("default", "other"));
    }

    #[test]
    fn a_service_host_names_its_revision() {
        let named = |host| RouteKey { host: Some(host), ..RouteKey::default() }.named();
        assert_eq!(named("web.prod.svc.cluster.local"), revision("prod", "web"));
        assert_eq!(named("Web.Prod.SVC:8080"), revision("prod", "web"));
        assert_eq!(named("web.prod.svc."), revision("prod", "web"));
        for other in
            ["", "localhost", "127.0.0.1:80", "web.prod", ".prod.svc", "web..svc", "[::1]:8"]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
