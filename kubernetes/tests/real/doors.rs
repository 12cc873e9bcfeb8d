//! A crowd at zero behind two activators, with and without the credits that sidecars grant them:
//! where its requests wait, and how long.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::{ask, median};
use crate::cluster::{APPS, App, Cluster, SYSTEM};

/// The component of the manifests, and the Secret that it names.
const COMPONENT: &str = "front-door";
const SECRET: &str = "tidegate-front-door";

/// Requests at once.
const REQUESTS: usize = 40;

/// How long each takes at the app, in milliseconds.
const REQUEST_MS: u64 = 200;

/// Pods at most, each with one place.
const PODS: i32 = 4;

/// Time between zero and the requests, so that no trace of the pods before is left.
const REST: Duration = Duration::from_secs(3);

/// Time between two looks at what sidecars say of themselves.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a sidecar may take to say it: one that is about to end does not.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where sidecars say it.
const METRICS_PORT: u16 = 9091;

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    crowd(cluster, "apart", &mut findings).await;
    let value = json!({"secret": "of-the-front-door-of-the-trials"});
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": value,
    });
    cluster.apply(SYSTEM, &secret.to_string());
    cluster.install_with(&[COMPONENT]).await;
    // The Secret comes before the pods.
    let namespace = cluster.apps("doors-together", &[]).await;
    cluster.apply(&namespace, &secret.to_string());
    let sidecars = crowd(cluster, "together", &mut findings).await;
    let sum = |name: &str| sidecars.values().filter_map(|page| page.get(name)).sum::<f64>();
    let spent = sum("tidegate_credits_spent_total");
    findings.must(|| spent > 0.0, "no credit was spent");
    let void = sum("tidegate_credits_void_total");
    findings.must(|| void == 0.0, format!("{void} credits were void"));
    let doors = sidecars.values().filter_map(|page| page.get("tidegate_front_doors").copied());
    findings.say(format!(
        "{} sidecars granted credits to {} activators at most; {spent} requests came with one",
        sidecars.len(),
        doors.fold(0.0, f64::max),
    ));
    cluster.remove_apps().await;
    cluster.install().await;
    cluster.kubectl(&["delete", "secret", SECRET, "--namespace", SYSTEM], None);
    findings
}

/// What a sidecar says of itself: of each figure the most.
type Page = BTreeMap<String, f64>;

/// Wakes an app by a crowd. Returns what its sidecars said.
async fn crowd(cluster: &Cluster, how: &str, findings: &mut Findings) -> BTreeMap<IpAddr, Page> {
    let app = App { concurrency: 1, max: PODS, ..App::named("till") };
    let namespace = cluster.apps(&format!("doors-{how}"), &[app]).await;
    assert_eq!(namespace, format!("{APPS}-doors-{how}"));
    cluster.until_zero(&namespace, "till").await;
    tokio::time::sleep(REST).await;
    let address = cluster.address(&namespace, "till").await;
    let begin = Instant::now();
    let mut requests: JoinSet<_> = (0..REQUESTS).map(|_| ask(address, REQUEST_MS)).collect();
    let (mut times, mut lost) = (Vec::new(), Vec::new());
    let mut sidecars: BTreeMap<IpAddr, Page> = BTreeMap::new();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    while !requests.is_empty() {
        tokio::select! {
            Some(ended) = requests.join_next() => match ended.unwrap() {
                Ok(answered) => times.push(answered.took.as_secs_f64()),
                Err(why) => lost.push(why),
            },
            _ = looks.tick() => look(cluster, &namespace, &mut sidecars).await,
        }
    }
    let all_s = begin.elapsed().as_secs_f64();
    look(cluster, &namespace, &mut sidecars).await;
    let waiting = sidecars.values().filter_map(|page| page.get("tidegate_requests_waiting"));
    findings.say(format!(
        "{how}: {} of {REQUESTS} answered, median {:.2} s, the last after {all_s:.2} s; {:.0} \
         requests at most waited in a sidecar",
        times.len(),
        median(times),
        waiting.copied().fold(0.0, f64::max),
    ));
    let first_lost = lost.first().cloned().unwrap_or_default();
    findings.must(|| lost.is_empty(), format!("{} lost: {first_lost}", lost.len()));
    sidecars
}

/// Takes note of what all sidecars say now.
async fn look(cluster: &Cluster, namespace: &str, sidecars: &mut BTreeMap<IpAddr, Page>) {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let addresses = pods.items.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref());
    for address in addresses.filter_map(|address| address.parse::<IpAddr>().ok()) {
        let page = tokio::time::timeout(LOOK_TIMEOUT, page(address)).await;
        let Ok(Some(page)) = page else { continue };
        let most = sidecars.entry(address).or_default();
        for (name, value) in page {
            let known = most.entry(name).or_default();
            *known = known.max(value);
        }
    }
}

async fn page(address: IpAddr) -> Option<Page> {
    let mut stream = TcpStream::connect(SocketAddr::new(address, METRICS_PORT)).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let figure = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let name = name.split('{').next()?.to_owned();
        Some((name, value.parse().ok()?))
    };
    Some(text.lines().filter(|line| line.starts_with("tidegate_")).filter_map(figure).collect())
}
