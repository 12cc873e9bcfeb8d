//! What the sidecar shows to the controller, and by what it knows it: files of a volume that the
//! kubelet keeps up to date.

use serde_json::{Map, Value, json};
use tidegate_knative::environment as keys;

use crate::json::{array, list, name};
use crate::settings::Settings;

/// The volume.
pub(crate) const VOLUME: &str = "tidegate-credentials";

/// Where the sidecar sees it.
const PATH: &str = "/var/run/tidegate";

/// The files of it.
const TOKEN: &str = "token";
const AUTHORITY: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Lifetime of a token; the kubelet renews it when a fifth is left.
const TOKEN_SECONDS: u32 = 3_600;

/// The volume, where the settings ask for files.
pub(crate) fn volume(settings: &Settings) -> Option<Value> {
    let mut sources = Vec::new();
    if let Some(audience) = &settings.token_audience {
        let token = json!({
            "path": TOKEN,
            "audience": audience,
            "expirationSeconds": TOKEN_SECONDS,
        });
        sources.push(json!({"serviceAccountToken": token}));
    }
    if let Some(authority) = &settings.authority {
        // A pod never waits for it: until it is there, the sidecar limits and serves, and reports
        // to nobody.
        let items = [json!({"key": AUTHORITY, "path": AUTHORITY})];
        let map = json!({"name": authority, "items": items, "optional": true});
        sources.push(json!({"configMap": map}));
    }
    if let Some(certificate) = &settings.certificate {
        let mut files = vec![CERTIFICATE, KEY];
        if settings.authority.is_none() {
            files.push(AUTHORITY);
        }
        let items: Vec<Value> =
            files.into_iter().map(|file| json!({"key": file, "path": file})).collect();
        sources.push(json!({"secret": {"name": certificate, "items": items}}));
    }
    let volume = json!({"name": VOLUME, "projected": {"sources": sources}});
    (!sources.is_empty()).then_some(volume)
}

/// Where the sidecar's container has it.
pub(crate) fn mounts() -> Value {
    json!([{"name": VOLUME, "mountPath": PATH, "readOnly": true}])
}

/// The variables that name the files.
pub(crate) fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    let of = |variable, file: &str| (variable, format!("{PATH}/{file}"));
    let mut variables = Vec::new();
    if settings.token_audience.is_some() {
        variables.push(of(keys::TIDEGATE_SECRET_FILE, TOKEN));
    }
    if settings.authority.is_some() || settings.certificate.is_some() {
        variables.push(of(keys::TIDEGATE_CONTROLLER_CA, AUTHORITY));
    }
    if settings.certificate.is_some() {
        variables.push(of(keys::TIDEGATE_CONTROLLER_CERT, CERTIFICATE));
        variables.push(of(keys::TIDEGATE_CONTROLLER_KEY, KEY));
    }
    variables
}

/// Whether a pod that is not ours has a volume of that name.
pub(crate) fn is_taken(spec: &Value) -> bool {
    list(spec, "volumes").iter().any(|volume| name(volume) == VOLUME)
}

/// Puts the volume first: what an API server adds comes last, so that it is found where it was.
pub(crate) fn put_in(spec: &mut Map<String, Value>, volume: Value) {
    array(spec, "volumes").insert(0, volume);
}

/// Takes it out again.
pub(crate) fn take_out(spec: &mut Map<String, Value>) {
    let volumes = array(spec, "volumes");
    volumes.retain(|volume| name(volume) != VOLUME);
    if volumes.is_empty() {
        spec.remove("volumes");
    }
}
