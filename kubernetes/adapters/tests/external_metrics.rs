//! An API server's side: TLS with a certificate of the front proxy, and the requests that its
//! discovery and an autoscaler behind it send.

#![expect(clippy::unwrap_used, reason = "what cannot be reached fails the test")]

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tidegate_kubernetes_adapters::front_proxy::FrontProxy;
use tidegate_kubernetes_adapters::server::{Guarded, serve_external_metrics};
use tidegate_kubernetes_adapters::{NotRecommended, Published, Recommendation, ScalerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

const VALUES: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop";

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// External metrics that are served, and whom they trust.
struct Stage {
    address: SocketAddr,
    published: Arc<Published>,
    servers: Authority,
    front_proxies: Authority,
}

fn of_config_map<'a>(authorities: &'a str, names: &'a str) -> FrontProxy {
    let value = |key: &str| match key {
        "requestheader-client-ca-file" => Some(authorities),
        "requestheader-allowed-names" => Some(names),
        _ => None,
    };
    FrontProxy::read(value).unwrap()
}

async fn start() -> Stage {
    let (servers, front_proxies) = (Authority::new(), Authority::new());
    let front_proxy = of_config_map(&front_proxies.pem, r#"["front-proxy-client"]"#);
    let shown = servers.sign("localhost");
    let config = front_proxy.server_config(&shown.certificate, &shown.key).unwrap();
    let guarded = Guarded { config, front_proxy: Arc::new(front_proxy) };
    let published = Arc::new(Published::new(|| true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, receiver) = watch::channel(guarded);
    tokio::spawn(serve_external_metrics(listener, receiver, Arc::clone(&published)));
    for (name, replicas) in [("web", 3), ("api", 0)] {
        let scaler = ScalerName { namespace: "shop".to_owned(), name: name.to_owned() };
        let (target, service) = (name.to_owned(), name.to_owned());
        published.publish(scaler, Some(Ok(Recommendation { target, service, replicas })));
    }
    Stage { address, published, servers, front_proxies }
}

impl Stage {
    /// Sends a request as somebody, and returns status and document.
    async fn ask(&self, who: Option<&Identity>, line: &str) -> std::io::Result<(u16, Value)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.servers.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match who {
            None => builder.with_no_client_auth(),
            Some(who) => {
                let shown = CertificateDer::from_pem_slice(who.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(who.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![shown], key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let head = "Host: localhost\r\nX-Remote-User: system:aggregator\r\nConnection: close";
        stream.write_all(format!("{line} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, serde_json::from_str(body).unwrap()))
    }

    fn front_proxy(&self) -> Identity {
        self.front_proxies.sign("front-proxy-client")
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let who = self.front_proxy();
        self.ask(Some(&who), &format!("GET {path}")).await.unwrap()
    }
}

#[tokio::test]
async fn an_api_server_finds_what_there_is() {
    let stage = start().await;
    let (status, group) = stage.get("/apis/external.metrics.k8s.io").await;
    assert_eq!((status, &group["kind"]), (200, &"APIGroup".into()));
    let (status, list) = stage.get("/apis/external.metrics.k8s.io/v1beta1?timeout=32s").await;
    assert_eq!((status, &list["kind"]), (200, &"APIResourceList".into()));
    assert_eq!(list["resources"][0]["name"], "tidegate-desired-replicas");
    let (status, index) = stage.get("/openapi/v3").await;
    let url = &index["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"];
    assert_eq!(status, 200, "{index}");
    let (status, document) = stage.get(url.as_str().unwrap()).await;
    assert_eq!((status, &document["openapi"]), (200, &"3.0.0".into()));
    assert_eq!(stage.get("/openapi/v2").await.0, 200);
    // Discovery in one document is asked for first, and where there is none group by group.
    let (status, failure) = stage.get("/apis").await;
    assert_eq!((status, &failure["kind"]), (404, &"Status".into()));
}

#[tokio::test]
async fn an_autoscaler_gets_the_values_that_its_selector_names() {
    let stage = start().await;
    stage.published.publish_concurrency([(
        ScalerName { namespace: "shop".to_owned(), name: "web".to_owned() },
        12_345,
    )]);
    let web = "labelSelector=trafficscaler%3Dweb";
    let (status, list) = stage.get(&format!("{VALUES}/tidegate-desired-replicas?{web}")).await;
    assert_eq!((status, &list["kind"]), (200, &"ExternalMetricValueList".into()));
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["value"], "3000m");
    assert_eq!(list["items"][0]["metricLabels"]["target"], "web");
    let (_, list) = stage.get(&format!("{VALUES}/tidegate-concurrency?{web}")).await;
    assert_eq!(list["items"][0]["value"], "12345m");
    // Without a selector it is every scaler of the namespace.
    let (_, list) = stage.get(&format!("{VALUES}/tidegate-desired-replicas")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_has_no_value_is_refused_with_what_to_do() {
    let stage = start().await;
    let scaler = ScalerName { namespace: "shop".to_owned(), name: "new".to_owned() };
    let why = NotRecommended("nothing has been decided yet".to_owned());
    stage.published.publish(scaler, Some(Err(why)));
    let replicas = "tidegate-desired-replicas";
    for (path, expected, message) in [
        (format!("{VALUES}/{replicas}?labelSelector=trafficscaler%3Dnew"), 503, "decided yet"),
        // A sum without one of them would be too small.
        (format!("{VALUES}/{replicas}"), 503, "shop/new has no number"),
        (format!("{VALUES}/{replicas}?labelSelector=trafficscaler%3Dnone"), 404, "name one by"),
        (format!("{VALUES}/{replicas}?labelSelector=%28"), 400, "is no label selector"),
        (format!("{VALUES}/cpu"), 404, "there are tidegate-desired-replicas and"),
        ("/".to_owned(), 404, "there is nothing at /"),
    ] {
        let (status, failure) = stage.get(&path).await;
        assert_eq!(status, expected, "{path}: {failure}");
        assert!(failure["message"].as_str().unwrap().contains(message), "{path}: {failure}");
        assert_eq!(failure["code"], expected);
    }
    let who = stage.front_proxy();
    let (status, _) = stage.ask(Some(&who), &format!("DELETE {VALUES}/{replicas}")).await.unwrap();
    assert_eq!(status, 405);
}

#[tokio::test]
async fn nobody_but_the_front_proxy_is_answered() {
    let stage = start().await;
    let line = format!("GET {VALUES}/tidegate-desired-replicas");
    // Another name of the same authority: a client certificate of a person, perhaps.
    let person = stage.front_proxies.sign("somebody");
    let (status, failure) = stage.ask(Some(&person), &line).await.unwrap();
    assert_eq!(status, 403, "{failure}");
    let stranger = Authority::new().sign("front-proxy-client");
    assert!(stage.ask(Some(&stranger), &line).await.is_err());
    assert!(stage.ask(None, &line).await.is_err());
}

#[test]
fn where_no_names_are_given_every_name_of_the_authority_will_do() {
    let authority = Authority::new();
    let person = authority.sign("somebody");
    let certificate = CertificateDer::from_pem_slice(person.certificate.as_bytes()).unwrap();
    assert!(of_config_map(&authority.pem, "[]").admits(&certificate));
    assert!(of_config_map(&authority.pem, "").admits(&certificate));
    assert!(!of_config_map(&authority.pem, r#"["a","b"]"#).admits(&certificate));
}

#[test]
fn a_cluster_that_cannot_be_extended_says_so() {
    let error = FrontProxy::read(|_| None).unwrap_err().to_string();
    assert!(error.contains("--requestheader-client-ca-file"), "{error}");
    let error = FrontProxy::read(|_| Some("x")).unwrap_err().to_string();
    assert!(error.contains("no list of names"), "{error}");
}
