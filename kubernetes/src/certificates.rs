//! Where the certificates of an installation are kept, and to whom they are published.
//!
//! Everything is kept in one Secret of the system namespace, which the manifests create empty: it
//! is changed only at the version that was read, so that of several keepers one makes an authority
//! and the others take it over. What is published follows from it: a Secret for each server, which
//! its pods mount; the authorities in a ConfigMap of each namespace of apps, and in the
//! `caBundle` of the webhook.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_certificates::{Issued, Kept, Wanted};
use tidegate_kubernetes_objects::names::{
    AUTHORITY, AUTHORITY_KEY, CONTROLLER_CERTIFICATE, CONTROLLER_SERVICE, WEBHOOK,
    WEBHOOK_CERTIFICATE, WEBHOOK_SERVICE,
};

use crate::request::{ApiRequest, api};
use crate::world::Version;

/// The key of the Secret under which everything is kept.
const KEPT_KEY: &str = "certificates.json";

/// Longest text that is read from the Secret: four authorities and two certificates have eight
/// thousand bytes.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// What was published is published again after so long, in case somebody has changed it.
pub const REPEAT_MS: u64 = 600_000;

/// The Secret that everything is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its version.
    pub version: Version,
    /// Its identity, which owns what is published in its namespace.
    pub uid: String,
    /// What it holds; nothing at first.
    pub kept: Kept,
}

/// Why what a Secret holds cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the Secret {AUTHORITY} holds something else than certificates of ours in {KEPT_KEY} \
     ({problem}); remove that key to begin anew"
)]
pub struct NotOurs {
    problem: String,
}

/// The certificates of an installation in this namespace: clients in the namespace itself use the
/// short names of Services, others those with the namespace, and the API server the last one.
#[must_use]
pub fn wanted(system_namespace: &str) -> Vec<Wanted> {
    let of = |name: &str, service: &str| {
        let of_namespace = format!("{service}.{system_namespace}");
        let for_api_server = format!("{of_namespace}.svc");
        let dns_names = vec![service.to_owned(), of_namespace, for_api_server];
        Wanted { name: name.to_owned(), dns_names }
    };
    vec![of(CONTROLLER_CERTIFICATE, CONTROLLER_SERVICE), of(WEBHOOK_CERTIFICATE, WEBHOOK_SERVICE)]
}

/// Reads the Secret.
///
/// # Errors
/// Something else is in it.
pub fn stored(secret: &Value) -> Result<Stored, NotOurs> {
    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let refuse = |problem: &dyn std::fmt::Display| NotOurs { problem: problem.to_string() };
    let encoded = text(&format!("/data/{KEPT_KEY}"));
    let kept = match encoded.len() {
        0 => Kept::default(),
        1..=KEPT_BYTES_MAX => {
            let bytes = STANDARD.decode(encoded).map_err(|error| refuse(&error))?;
            serde_json::from_slice(&bytes).map_err(|error| refuse(&error))?
        }
        length => return Err(refuse(&format_args!("{length} bytes"))),
    };
    let version = Version(text("/metadata/resourceVersion").to_owned());
    Ok(Stored { version, uid: text("/metadata/uid").to_owned(), kept })
}

/// Where the Secret is.
#[must_use]
pub fn secret_path(system_namespace: &str, name: &str) -> String {
    format!("{}/namespaces/{system_namespace}/secrets/{name}", api("v1"))
}

/// Keeps something else in the Secret, if nobody has changed it since it was read.
///
/// # Errors
/// It cannot be written as JSON.
pub fn store(
    system_namespace: &str,
    Version(version): &Version,
    kept: &Kept,
) -> Result<ApiRequest, serde_json::Error> {
    let text = serde_json::to_string(kept)?;
    let body = json!({
        "metadata": {"resourceVersion": version},
        "data": {KEPT_KEY: STANDARD.encode(text)},
    });
    Ok(ApiRequest::merge(&secret_path(system_namespace, AUTHORITY), body))
}

/// What is to be in the cluster: the certificates of servers, and the authorities in each of these
/// namespaces.
#[must_use]
pub fn publications(
    system_namespace: &str,
    stored: &Stored,
    namespaces: &[String],
) -> Vec<ApiRequest> {
    let bundle = stored.kept.bundle();
    let servers = stored.kept.issued.iter();
    let servers =
        servers.map(|(name, issued)| certificate(system_namespace, name, (stored, issued)));
    let authorities = namespaces.iter().map(|namespace| authorities(namespace, &bundle));
    servers.chain(authorities).collect()
}

/// The Secret of a server. It goes with the one that everything is kept in.
fn certificate(
    system_namespace: &str,
    name: &str,
    (stored, issued): (&Stored, &Issued),
) -> ApiRequest {
    let identity = &issued.identity;
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": system_namespace,
            "labels": {"app.kubernetes.io/part-of": "tidegate"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Secret", "name": AUTHORITY, "uid": stored.uid},
            ],
        },
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": STANDARD.encode(&identity.certificate),
            "tls.key": STANDARD.encode(&identity.key),
            AUTHORITY_KEY: STANDARD.encode(stored.kept.bundle()),
        },
    });
    ApiRequest::apply(&secret_path(system_namespace, name), body)
}

/// What verifies the controller, where sidecars can mount it. It is public.
fn authorities(namespace: &str, bundle: &str) -> ApiRequest {
    let path = format!("{}/namespaces/{namespace}/configmaps/{AUTHORITY}", api("v1"));
    let body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": AUTHORITY,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "tidegate"},
        },
        "data": {AUTHORITY_KEY: bundle},
    });
    ApiRequest::apply(&path, body)
}

/// Where a webhook's configuration is.
#[must_use]
pub fn webhook_path(name: &str) -> String {
    let group = api("admissionregistration.k8s.io/v1");
    format!("{group}/mutatingwebhookconfigurations/{name}")
}

/// Tells the API server who vouches for the webhook; `None` where it knows.
#[must_use]
pub fn ca_bundle(configuration: &Value, name: &str, bundle: &str) -> Option<ApiRequest> {
    let encoded = STANDARD.encode(bundle);
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    let ours = webhooks?.iter().find(|webhook| webhook["name"] == WEBHOOK)?;
    let known = ours.pointer("/clientConfig/caBundle").and_then(Value::as_str);
    if known == Some(&encoded) {
        return None;
    }
    let body = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": encoded}}],
    });
    Some(ApiRequest::apply(&webhook_path(name), body))
}

/// What has been published, so that it is not published again each minute.
#[derive(Debug, Default)]
pub struct Publisher {
    /// By path: what, and when. As many as there are publications.
    done: BTreeMap<String, (u64, Timestamp)>,
}

impl Publisher {
    /// Those of `wanted` that are to be sent at `now`: new or changed ones, and those of long ago.
    pub fn due(&mut self, now: Timestamp, wanted: Vec<ApiRequest>) -> Vec<ApiRequest> {
        let paths: std::collections::BTreeSet<&str> =
            wanted.iter().map(|request| request.path.as_str()).collect();
        self.done.retain(|path, _| paths.contains(path.as_str()));
        let is_due = |request: &ApiRequest| match self.done.get(&request.path) {
            Some((hash, at)) => *hash != fingerprint(request) || now.millis_since(*at) >= REPEAT_MS,
            None => true,
        };
        wanted.into_iter().filter(is_due).collect()
    }

    /// This was done at `now`.
    pub fn published(&mut self, now: Timestamp, request: &ApiRequest) {
        self.done.insert(request.path.clone(), (fingerprint(request), now));
    }
}

fn fingerprint(request: &ApiRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.body.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: &str = "tidegate-system";

    fn kept() -> Kept {
        Kept::default().renewed(1_800_000_000, &wanted(NAMESPACE)).expect("certificates")
    }

    fn secret(data: &Value) -> Value {
        json!({"metadata": {"resourceVersion": "7", "uid": "u-1"}, "data": data})
    }

    #[test]
    fn what_is_stored_is_what_is_read() {
        let empty = stored(&json!({"metadata": {"resourceVersion": "3"}})).expect("it is empty");
        assert_eq!(empty.kept, Kept::default());
        let kept = kept();
        let request = store(NAMESPACE, &empty.version, &kept).expect("JSON");
        assert_eq!(request.body["metadata"]["resourceVersion"], "3");
        let read = stored(&secret(&request.body["data"])).expect("it is ours");
        assert_eq!(read.kept, kept);
        for other in ["%%", "e30", &STANDARD.encode("[]"), &"A".repeat(KEPT_BYTES_MAX + 1)] {
            let error = stored(&secret(&json!({KEPT_KEY: other}))).expect_err("it is not");
            assert!(error.to_string().contains("remove that key"), "{error}");
        }
    }

    #[test]
    fn keys_go_nowhere_but_into_secrets_of_the_system_namespace() {
        let stored = Stored { version: Version("7".into()), uid: "u-1".into(), kept: kept() };
        let namespaces = ["shop".to_owned(), "till".to_owned()];
        let all = publications(NAMESPACE, &stored, &namespaces);
        assert_eq!(all.len(), 4);
        for request in &all {
            let is_ours = request.path.contains("/namespaces/tidegate-system/secrets/");
            let text = request.body.to_string();
            let has_key = text.contains("PRIVATE KEY") || text.contains("tls.key");
            assert_eq!(is_ours, has_key, "{}", request.path);
            assert!(!text.contains(KEPT_KEY), "the authority's key stays where it is");
        }
    }

    #[test]
    fn what_is_published_is_published_again_only_when_it_changes_or_after_a_while() {
        let at = Timestamp::from_millis;
        let stored = Stored { version: Version("7".into()), uid: "u-1".into(), kept: kept() };
        let all = || publications(NAMESPACE, &stored, &["shop".to_owned()]);
        let mut publisher = Publisher::default();
        for request in publisher.due(at(0), all()) {
            publisher.published(at(0), &request);
        }
        assert_eq!(publisher.due(at(60_000), all()), []);
        let more = publications(NAMESPACE, &stored, &["shop".to_owned(), "till".to_owned()]);
        assert_eq!(publisher.due(at(60_000), more).len(), 1);
        let renewed = Stored { kept: Kept::default(), ..stored.clone() };
        let changed = publications(NAMESPACE, &renewed, &["shop".to_owned()]);
        assert_eq!(publisher.due(at(60_000), changed).len(), 1);
        assert_eq!(publisher.due(at(0).plus_millis(REPEAT_MS), all()).len(), 3);
    }

    #[test]
    fn the_bundle_is_written_where_it_differs() {
        let configuration = |bundle: &str| {
            let ours = json!({"name": WEBHOOK, "clientConfig": {"caBundle": bundle}});
            json!({"webhooks": [{"name": "other"}, ours]})
        };
        let patch = ca_bundle(&configuration(""), "tidegate", "PEM").expect("it differs");
        let webhooks = patch.body["webhooks"].as_array().expect("a list");
        assert_eq!(webhooks.len(), 1, "webhooks of others are not touched");
        assert_eq!(webhooks[0]["clientConfig"]["caBundle"], STANDARD.encode("PEM"));
        assert!(ca_bundle(&configuration(&STANDARD.encode("PEM")), "tidegate", "PEM").is_none());
        assert!(ca_bundle(&json!({"webhooks": []}), "tidegate", "PEM").is_none());
    }
}
