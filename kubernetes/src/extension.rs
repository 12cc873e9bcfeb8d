//! How a cluster comes to ask us for external metrics: the objects, and what is to be done to them.
//!
//! Pure: it is given what there is, and answers with requests.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_kubernetes_adapters::external_metrics::{GROUP, VERSION};
use tidegate_kubernetes_adapters::front_proxy::CONFIG_MAP;
use tidegate_kubernetes_objects::names::{FIELD_MANAGER, MANAGED_BY_LABEL, SERVICE_NAME_LABEL};

use crate::reconciler::Response;
use crate::request::{ApiRequest, api};
use crate::world::{Family, ObjectKey};

/// The name of the port of the Service.
const PORT: &str = "https";

/// What leads to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The Service that the cluster asks, which has no selector.
    pub service: ObjectKey,
    /// Our address.
    pub address: IpAddr,
    /// The Pod that we are in, by name and uid: with it goes what leads to it.
    pub pod: Option<(String, String)>,
}

impl Extension {
    /// The names that our certificate is for.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        let ObjectKey { namespace, name } = &self.service;
        vec![format!("{name}.{namespace}.svc")]
    }
}

/// The extension while we serve it, and at which port.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The port.
    pub port: u16,
    /// What leads to us.
    pub extension: &'a Extension,
}

/// Where API servers say who they are.
#[must_use]
pub fn authentication_path() -> String {
    format!("{}/namespaces/kube-system/configmaps/{CONFIG_MAP}", api("v1"))
}

/// The one APIService of the group, of whomever it is.
#[must_use]
pub fn api_service_path() -> String {
    format!("{}/apiservices/{VERSION}.{GROUP}", api("apiregistration.k8s.io/v1"))
}

/// A response that is none, in words.
#[must_use]
pub fn failure(response: &Response) -> String {
    match response {
        Response::Failed { why, .. } => why.clone(),
        Response::Conflict => "somebody else has changed it".to_owned(),
        Response::NotFound => "it is not there".to_owned(),
        Response::Done(_) => "the response makes no sense".to_owned(),
    }
}

impl Endpoint<'_> {
    /// Leads the Service to us, by the one slice that it has.
    #[must_use]
    pub fn lead(&self) -> ApiRequest {
        let ObjectKey { namespace, name } = &self.extension.service;
        let base = api("discovery.k8s.io/v1");
        let path = format!("{base}/namespaces/{namespace}/endpointslices/{name}");
        ApiRequest::apply(&path, self.slice())
    }

    fn slice(&self) -> Value {
        let Extension { service, address, pod } = self.extension;
        let mut metadata = json!({
            "name": service.name,
            "namespace": service.namespace,
            "labels": {SERVICE_NAME_LABEL: service.name, MANAGED_BY_LABEL: FIELD_MANAGER},
        });
        if let Some((name, uid)) = pod {
            metadata["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]);
        }
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": Family::of(address).name(),
            "ports": [{"name": PORT, "port": self.port, "protocol": "TCP"}],
            "endpoints": [{
                "addresses": [address.to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false},
            }],
        })
    }

    /// What is to be done for the API server to trust our certificate, if anything is.
    ///
    /// # Errors
    /// The APIService is not there, or another's: a cluster has one for all.
    pub fn api_service_step(
        &self,
        found: Option<&Value>,
        authorities: &str,
    ) -> Result<Option<ApiRequest>, String> {
        let ours = &self.extension.service;
        let Some(found) = found else {
            return Err(format!(
                "there is no APIService {VERSION}.{GROUP}: apply kubernetes/install/\
                 external-metrics"
            ));
        };
        let named = |field: &str| {
            let at = format!("/spec/service/{field}");
            found.pointer(&at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let service = ObjectKey { namespace: named("namespace"), name: named("name") };
        if service != *ours {
            return Err(format!(
                "the APIService {VERSION}.{GROUP} belongs to Service {service}, and a cluster has \
                 one for all: with KEDA use its external-push trigger, or remove what serves it"
            ));
        }
        let bundle = json!(STANDARD.encode(authorities));
        let is_there = found.pointer("/spec/caBundle") == Some(&bundle);
        let body = json!({"spec": {"caBundle": bundle}});
        Ok((!is_there).then(|| ApiRequest::merge(&api_service_path(), body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension() -> Extension {
        Extension {
            service: ObjectKey::new("tidegate-system", "tidegate-external-metrics"),
            address: [10, 88, 0, 7].into(),
            pod: Some(("tidegate-controller-1".to_owned(), "uid-1".to_owned())),
        }
    }

    #[test]
    fn the_service_leads_to_whoever_decides() {
        let (first, mut second) = (extension(), extension());
        second.address = [10, 88, 0, 8].into();
        second.pod = Some(("tidegate-controller-2".to_owned(), "uid-2".to_owned()));
        let one = Endpoint { port: 9443, extension: &first };
        let request = one.lead();
        assert_eq!(request.body["endpoints"][0]["addresses"][0], "10.88.0.7");
        let moved = Endpoint { port: 9443, extension: &second }.lead();
        assert_eq!(moved.body["metadata"]["ownerReferences"][0]["uid"], "uid-2");
        assert_eq!(moved.path, request.path);
    }

    #[test]
    fn only_an_api_service_of_ours_is_told_our_authorities() {
        let ours = extension();
        let endpoint = Endpoint { port: 9443, extension: &ours };
        let of = |namespace: &str, name: &str| {
            let service = json!({"namespace": namespace, "name": name});
            json!({"spec": {"service": service}})
        };
        let found = of("tidegate-system", "tidegate-external-metrics");
        let step = endpoint.api_service_step(Some(&found), "PEM").expect("it is ours");
        let request = step.expect("it has none");
        assert_eq!(request.body, json!({"spec": {"caBundle": "UEVN"}}));
        let mut told = found;
        told["spec"]["caBundle"] = json!("UEVN");
        assert_eq!(endpoint.api_service_step(Some(&told), "PEM"), Ok(None));
        let kedas = of("keda", "keda-operator-metrics-apiserver");
        let error = endpoint.api_service_step(Some(&kedas), "PEM").unwrap_err();
        assert!(error.contains("belongs to Service keda/keda-operator"), "{error}");
        assert!(endpoint.api_service_step(None, "PEM").unwrap_err().contains("apply"));
    }
}
