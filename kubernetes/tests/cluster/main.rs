//! The whole controller over real sockets: an API server on loopback, a real activator, and pods
//! that follow their Deployment.

mod quiet;
mod rights;
mod stage;

use std::time::Instant;

use http::Method;
use serde_json::json;
use tidegate_kubernetes_fake::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use stage::{LEASE, PATIENCE, Stage, ask_service};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_scales_to_zero_and_its_first_request_wakes_it() {
    let stage = Stage::new(&json!({"scale": {"window": "6s"}})).await;
    let activator = stage.activator().await;
    let controller = stage.controller("one", stage.reports);
    let story = async {
        stage.until_mode("Zero").await;
        assert_eq!(stage.replicas().await, 0);
        stage.until_no_pod().await;
        assert_eq!(stage.condition("ScaledToZero").await, ("True".into(), "Idle".into()));
        let slice = stage.our_slice().await.expect("requests are led to the activator");
        assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "TrafficScaler");
        let port = slice["ports"][0]["port"].as_u64().expect("it has a port");
        let port = u16::try_from(port).expect("a port");
        // Some requests to the API server fail, and the first client's request waits all the same.
        stage.cluster.fail(Method::PATCH, "/scale", Fault::Internal, 2);
        let begin = Instant::now();
        let response = ask_service(port).await;
        eprintln!("answered {:?} after it was asked, the pod being ready at once", begin.elapsed());
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        stage.until_mode("Warm").await;
        assert!(stage.our_slice().await.is_none());
        // A late client is served all the same.
        assert!(ask_service(port).await.starts_with("HTTP/1.1 200"));
        let news = stage.news().await;
        for reason in ["ScaledToZero", "Activated"] {
            assert!(news.iter().any(|told| told == reason), "{reason} is not in {news:?}");
        }
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    controller.stop().await;
    drop(activator);
    rights::assert_least(&stage.cluster.take_seen());
}

/// Greets each client, and sends back what it says.
async fn greet_and_echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            if write.write_all(b"greeting").await.is_ok() {
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_carries_no_http_wakes_its_target_and_is_joined_to_it() {
    let stage = Stage::new(&json!({"scale": {"window": "6s"}})).await;
    let database = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let number = database.local_addr().expect("it has an address").port();
    tokio::spawn(greet_and_echo(database));
    stage.add_port("mysql-main", number).await;
    let activator = stage.activator().await;
    let controller = stage.controller("one", stage.reports);
    let story = async {
        stage.until_mode("Zero").await;
        let slice = stage.our_slice().await.expect("connections are led to the activator");
        let ports = slice["ports"].as_array().expect("it has ports");
        let port = ports.iter().find(|port| port["name"] == "mysql-main").expect("this one too");
        let port = port["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let mut client = TcpStream::connect(("127.0.0.1", port.expect("a port"))).await.unwrap();
        // The server is the one that speaks first, and there is none yet.
        let mut greeting = [0; 8];
        let read = tokio::time::timeout(PATIENCE, client.read_exact(&mut greeting)).await;
        read.expect("it is joined to the pod").unwrap();
        assert_eq!(&greeting, b"greeting");
        client.write_all(b"query").await.unwrap();
        client.shutdown().await.unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).await.unwrap();
        assert_eq!(reply, b"query");
        let carried: Vec<String> = stage.status().await["activatorPorts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|port| format!("{} {}", port["servicePort"], port["protocol"]))
            .collect();
        assert_eq!(carried, ["80 \"HTTP\"", "5432 \"TCP\""]);
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    controller.stop().await;
    drop(activator);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_adds_replicas_while_watches_are_cut() {
    let spec = json!({"sidecar": {"concurrency": 1}, "scale": {"maxScale": 7, "window": "6s"}});
    let stage = Stage::new(&spec).await;
    let controller = stage.controller("one", stage.reports);
    let story = async {
        stage.until_mode("Warm").await;
        stage.cluster.cut_watches();
        stage.cluster.compact();
        stage.until("seven replicas", || async { stage.replicas().await == 7 }).await;
        stage
            .until("a decision that says why", || async {
                let status = stage.status().await;
                let reason = status["lastDecision"]["reason"].as_str().unwrap_or_default();
                status["desiredReplicas"] == 7 && !reason.is_empty()
            })
            .await;
        assert_eq!(stage.condition("Ready").await.0, "True");
        // Without an activator the target is not scaled to zero, and a condition says why.
        assert_eq!(stage.condition("ScaledToZero").await.1, "NotPossible");
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(3.0) => {}
    }
    let patched = stage.cluster.take_seen();
    let only = patched.iter().filter(|seen| {
        seen.path.contains("/deployments/till/scale") && seen.method == Method::PATCH
    });
    assert!(only.count() >= 1);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_autoscalers_targets_and_invalid_settings_are_left_alone() {
    let stage = Stage::new(&json!({"scale": {"window": "2s"}})).await;
    let controller = stage.controller("one", stage.reports);
    stage
        .until("what is wrong", || async {
            stage.condition("Ready").await == ("False".into(), "InvalidSettings".into())
        })
        .await;
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"});
    let rival = json!({"metadata": {"name": "old"}, "spec": {"scaleTargetRef": reference}});
    let path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    stage.ask(Method::POST, path, rival).await;
    stage
        .until("the conflict", || async {
            stage.condition("Conflict").await == ("True".into(), "Conflict".into())
        })
        .await;
    assert_eq!(stage.replicas().await, 1);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_controllers_one_decides_and_the_other_takes_over() {
    let stage = Stage::new(&json!({"scale": {"minScale": 2, "window": "6s"}})).await;
    let first = stage.controller("one", stage.reports);
    stage.until("a holder", || async { holder(&stage).await == "one" }).await;
    let second = stage.controller("two", stage.reports);
    let story = async {
        stage.until("two replicas", || async { stage.replicas().await == 2 }).await;
        assert_eq!(holder(&stage).await, "one");
        // A controller that shuts down releases the Lease; the other need not wait until it
        // expires.
        first.stop().await;
        stage.until("another holder", || async { holder(&stage).await == "two" }).await;
        stage.set_replicas(1).await;
        stage.until("two replicas again", || async { stage.replicas().await == 2 }).await;
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_nobody_decides_is_woken_by_whoever_decides_next() {
    let stage = Stage::new(&json!({"scale": {"window": "6s"}})).await;
    let activator = stage.activator().await;
    let first = stage.controller("one", stage.reports);
    let story = async {
        stage.until_mode("Zero").await;
        stage.until_no_pod().await;
        first.stop().await;
        assert!(stage.delete_scaler().await, "it waits until its target is woken");
        let slice = stage.our_slice().await.expect("its requests are held meanwhile");
        let port = slice["ports"][0]["port"].as_u64().expect("it has a port");
        let port = u16::try_from(port).expect("a port");
        let held = tokio::spawn(async move { ask_service(port).await });
        let second = stage.controller("two", stage.reports);
        stage.until("one replica", || async { stage.replicas().await == 1 }).await;
        let response = held.await.expect("it does not panic");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        stage.until("its end", || async { !stage.has_scaler().await }).await;
        assert!(stage.our_slice().await.is_none());
        assert_eq!(stage.replicas().await, 1);
        second.stop().await;
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    drop(activator);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_pods_is_deleted_at_once_and_forgotten() {
    let stage = Stage::new(&json!({"scale": {"window": "6s"}})).await;
    let controller = stage.controller("one", stage.reports);
    let story = async {
        stage.until_mode("Warm").await;
        assert!(!stage.delete_scaler().await);
        // Its reporters are refused from then on, and nothing is scaled any more.
        stage.set_replicas(3).await;
        stage.create_scaler(&json!({"scale": {"minScale": 2, "maxScale": 2}})).await;
        stage.until("the settings of the new one", || async { stage.replicas().await == 2 }).await;
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    controller.stop().await;
}

async fn holder(stage: &Stage) -> String {
    let lease = stage.get(LEASE).await;
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// The story of one cycle, with the part of Kubernetes' own autoscaler played by hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_autoscaler_scales_by_our_numbers_is_led_to_zero_and_back_but_never_set() {
    let spec = json!({"actuator": "externalMetrics", "scale": {"window": "6s"}});
    let stage = Stage::new(&spec).await;
    let activator = stage.activator().await;
    let controller = stage.controller("one", stage.reports);
    let story = async {
        let missing = ("False".into(), "AutoscalerNotFound".into());
        stage
            .until("what is missing", || async { stage.condition("Ready").await == missing })
            .await;
        stage.create_hpa(1).await;
        stage.until("Ready", || async { stage.condition("Ready").await.0 == "True" }).await;
        assert_eq!(stage.condition("Conflict").await.0, "False");
        stage
            .until("nothing is wanted", || async { stage.status().await["desiredReplicas"] == 0 })
            .await;
        assert_eq!(stage.condition("ScaledToZero").await.1, "NotPossible");
        let told = stage.keda().await.expect("it is decided");
        assert_eq!(told, (true, 1.0), "nobody is told of a zero that is not allowed");
        assert!(stage.our_slice().await.is_none(), "whoever never goes to zero has no detour");
        stage.set_least_of_hpa(0).await;
        stage.until_mode("Draining").await;
        // Zero is said only once requests are led to the activator on every node.
        let is_zero = || async { stage.keda().await.is_ok_and(|told| told == (false, 0.0)) };
        stage.until("zero is recommended", is_zero).await;
        assert!(stage.our_slice().await.is_some());
        stage.set_replicas(0).await;
        stage.until_mode("Zero").await;
        assert_eq!(stage.condition("ScaledToZero").await, ("True".into(), "Idle".into()));
        let slice = stage.our_slice().await.expect("requests are led to the activator");
        let port = slice["ports"][0]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let asked = tokio::spawn(ask_service(port.expect("it has a port")));
        let is_one = || async { stage.keda().await.is_ok_and(|told| told == (true, 1.0)) };
        stage.until("one is recommended", is_one).await;
        stage.set_replicas(1).await;
        assert!(asked.await.expect("it is answered").starts_with("HTTP/1.1 200"));
        stage.until_mode("Warm").await;
    };
    tokio::select! {
        () = story => {}
        () = stage.run_pods(0.0) => {}
    }
    let patched = stage.cluster.take_seen();
    let ours = patched.iter().filter(|seen| seen.path.contains("/scale"));
    assert_eq!(ours.count(), 0, "somebody else sets the replicas");
    controller.stop().await;
    drop(activator);
}
