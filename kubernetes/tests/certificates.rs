//! The keeper of the certificates and an API server on loopback: what it makes, what it asks for,
//! and what the manifests let it ask for.

#![expect(clippy::unwrap_used, reason = "what cannot be reached fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_kubernetes::certificate_keeper::{Config, keep};
use tidegate_kubernetes_fake::{FakeCluster, Right, Seen};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at what was asked for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

const SECRETS: &str = "/api/v1/namespaces/tidegate-system/secrets";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

async fn ask(cluster: &FakeCluster, method: Method, path: &str, body: Value) -> Value {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    let body = cluster.respond(request).into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap_or_default()
}

async fn get(cluster: &FakeCluster, path: &str) -> Value {
    ask(cluster, Method::GET, path, Value::Null).await
}

/// What the manifests create, and two namespaces of which one opts in.
async fn installed() -> FakeCluster {
    let cluster = FakeCluster::new(&[]);
    let create = |path: &'static str, object| ask(&cluster, Method::POST, path, object);
    create(SECRETS, json!({"metadata": {"name": "tidegate-authority"}})).await;
    let webhooks = json!([{"name": "inject.tidegate.dev", "clientConfig": {}}]);
    create(CONFIGURATIONS, json!({"metadata": {"name": "tidegate"}, "webhooks": webhooks})).await;
    let labels = json!({"tidegate.dev/inject": "enabled"});
    create("/api/v1/namespaces", json!({"metadata": {"name": "shop", "labels": labels}})).await;
    create("/api/v1/namespaces", json!({"metadata": {"name": "other"}})).await;
    cluster.take_seen();
    cluster
}

/// A keeper that runs until it is dropped.
struct Keeper {
    task: JoinHandle<()>,
    health: watch::Receiver<Option<String>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    async fn start(cluster: &FakeCluster) -> Self {
        let api = cluster.serve().await.unwrap();
        let mut client = kube::Config::new(format!("http://{api}").parse().unwrap());
        client.default_retry = false;
        let config = Config {
            client: kube::Client::try_from(client).unwrap(),
            system_namespace: "tidegate-system".to_owned(),
            namespace: None,
            webhook_configuration: Some("tidegate".to_owned()),
        };
        let (sender, health) = watch::channel(None);
        let task = tokio::spawn(keep(config, sender));
        Self { task, health }
    }

    /// What came of its next check.
    async fn checked(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.health.changed()).await.unwrap().unwrap();
        self.health.borrow_and_update().clone()
    }
}

/// The rights of the keeper's roles, a name each.
fn granted() -> BTreeSet<(String, String, String)> {
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("install");
    let files = ["certificates/rights.yaml", "tokens/rights.yaml", "webhook/rights.yaml"];
    let texts = files.map(|file| std::fs::read_to_string(install.join(file)).unwrap());
    let objects: Vec<Value> =
        texts.iter().flat_map(|text| serde_saphyr::from_multiple::<Value>(text).unwrap()).collect();
    let bound: Vec<&Value> = objects
        .iter()
        .filter(|object| object["subjects"][0]["name"] == "tidegate-certificates")
        .map(|binding| &binding["roleRef"]["name"])
        .collect();
    let mut rights = BTreeSet::new();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    for role in objects.iter().filter(|object| !object["rules"].is_null()) {
        if !bound.contains(&&role["metadata"]["name"]) {
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            let (groups, resources) = (list(&rule["apiGroups"]), list(&rule["resources"]));
            let names = match list(&rule["resourceNames"]) {
                names if names.is_empty() => vec![String::new()],
                names => names,
            };
            for verb in list(&rule["verbs"]) {
                for name in &names {
                    let resource = format!("{} {name}", resources[0]).trim().to_owned();
                    rights.insert((groups[0].clone(), resource, verb.clone()));
                }
            }
        }
    }
    rights
}

#[tokio::test]
async fn certificates_are_made_published_and_told_to_the_api_server() {
    let cluster = installed().await;
    let mut keeper = Keeper::start(&cluster).await;
    assert_eq!(keeper.checked().await, None);
    let authority = get(&cluster, &format!("{SECRETS}/tidegate-authority")).await;
    let server = get(&cluster, &format!("{SECRETS}/tidegate-controller-tls")).await;
    assert_eq!(server["type"], "kubernetes.io/tls");
    assert_eq!(server["metadata"]["ownerReferences"][0]["uid"], authority["metadata"]["uid"]);
    let of_webhook = get(&cluster, &format!("{SECRETS}/tidegate-webhook-tls")).await;
    let configuration = get(&cluster, &format!("{CONFIGURATIONS}/tidegate")).await;
    let bundle = &configuration["webhooks"][0]["clientConfig"]["caBundle"];
    assert_eq!(*bundle, of_webhook["data"]["ca.crt"]);
    for (namespace, is_there) in [("shop", true), ("tidegate-system", true), ("other", false)] {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/tidegate-authority");
        let text = get(&cluster, &path).await["data"]["ca.crt"].clone();
        let is_one = text.as_str().is_some_and(|text| text.starts_with("-----BEGIN CERT"));
        assert_eq!(is_one, is_there, "{namespace}");
    }
}

/// Pods often come right after their namespace: the next check would come too late for them, and a
/// kubelet may look for the authorities again only after a minute.
#[tokio::test]
async fn a_namespace_that_opts_in_gets_the_authorities_at_once() {
    let cluster = installed().await;
    let mut keeper = Keeper::start(&cluster).await;
    assert_eq!(keeper.checked().await, None);
    let labels = json!({"tidegate.dev/inject": "enabled"});
    let namespace = json!({"metadata": {"name": "late", "labels": labels}});
    ask(&cluster, Method::POST, "/api/v1/namespaces", namespace).await;
    let path = "/api/v1/namespaces/late/configmaps/tidegate-authority";
    // Two checks at most: that of the first list of namespaces may see it or not.
    for _ in 0..2 {
        assert_eq!(keeper.checked().await, None);
        if !get(&cluster, path).await["data"]["ca.crt"].is_null() {
            return;
        }
    }
    panic!("the authorities were not published in it");
}

/// Everything that it asks for is granted, and nothing is granted that it does not ask for.
/// Applying what is not there needs the right to create it as well.
#[tokio::test]
async fn the_manifests_grant_what_the_keeper_asks_for_and_no_more() {
    let cluster = installed().await;
    let mut keeper = Keeper::start(&cluster).await;
    assert_eq!(keeper.checked().await, None);
    // The watch of namespaces follows the first check.
    let mut seen = cluster.take_seen();
    let is_watch = |seen: &Seen| Right::of(seen).is_some_and(|right| right.verb == "watch");
    let watches = async {
        while !seen.iter().any(is_watch) {
            tokio::time::sleep(POLL_INTERVAL).await;
            seen.extend(cluster.take_seen());
        }
    };
    tokio::time::timeout(PATIENCE, watches).await.expect("it watches namespaces");
    let mut asked = BTreeSet::new();
    for seen in seen {
        let Right { group, resource, name, verb } = Right::of(&seen).unwrap();
        let resource = [resource, name.unwrap_or_default()].join(" ").trim().to_owned();
        let right = (group, resource, verb.to_owned());
        if seen.content_type.contains("apply") && !right.1.starts_with("mutating") {
            asked.insert((right.0.clone(), right.1.clone(), "create".to_owned()));
        }
        asked.insert(right);
    }
    assert_eq!(asked, granted());
}

/// Two keepers begin at the same time: one makes the authority, the other takes it over.
#[tokio::test]
async fn of_two_keepers_one_makes_the_authority() {
    let cluster = installed().await;
    let (mut one, mut two) = (Keeper::start(&cluster).await, Keeper::start(&cluster).await);
    for keeper in [&mut one, &mut two] {
        // Who came second is told so, and tries again.
        while let Some(problem) = keeper.checked().await {
            assert!(problem.contains("somebody else has changed it"), "{problem}");
        }
    }
    let published = get(&cluster, &format!("{SECRETS}/tidegate-webhook-tls")).await;
    let configuration = get(&cluster, &format!("{CONFIGURATIONS}/tidegate")).await;
    let bundle = &configuration["webhooks"][0]["clientConfig"]["caBundle"];
    assert_eq!(*bundle, published["data"]["ca.crt"]);
    let written = cluster.take_seen().into_iter().filter(|seen| {
        seen.method == Method::PATCH
            && seen.path.contains("/tidegate-authority?")
            && seen.path.contains("/secrets/")
    });
    let versions: BTreeSet<String> =
        written.map(|seen| seen.body["metadata"]["resourceVersion"].to_string()).collect();
    assert_eq!(versions.len(), 1, "all writes were to the empty Secret: {versions:?}");
}

#[tokio::test]
async fn without_the_secret_it_says_what_is_missing() {
    let cluster = FakeCluster::new(&[]);
    let mut keeper = Keeper::start(&cluster).await;
    let problem = keeper.checked().await.unwrap();
    assert!(problem.contains("the Secret tidegate-authority is not there"), "{problem}");
}
