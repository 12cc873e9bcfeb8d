use super::spec::{Reading, parse};
use super::*;
use crate::environment::Switch;

fn prober(json: &str, several: Switch) -> Prober {
    Prober::new(parse(json, Reading { several, ..Reading::default() }).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_aggressive_probe_gives_up_after_ten_seconds() {
    let prober = prober("{}", Switch::Off);
    let start = Instant::now();
    assert_eq!(prober.check().await, ProbeResult::NotReady);
    let elapsed = start.elapsed();
    assert!(elapsed >= AGGRESSIVE_TOTAL && elapsed < AGGRESSIVE_TOTAL * 2, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn concurrent_checks_share_one_round() {
    let prober = prober("{}", Switch::Off);
    let start = Instant::now();
    let late = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        prober.check().await
    };
    let (first, second) = tokio::join!(prober.check(), late);
    assert_eq!((first, second), (ProbeResult::NotReady, ProbeResult::NotReady));
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_check_does_not_stop_the_round() {
    let prober = prober("{}", Switch::Off);
    let impatient = tokio::time::timeout(Duration::from_secs(1), prober.check()).await;
    assert!(impatient.is_err());
    assert!(prober.shared.running.lock().is_some());
    tokio::time::sleep(AGGRESSIVE_TOTAL).await;
    assert!(prober.shared.running.lock().is_none());
}

#[tokio::test]
async fn one_failed_probe_of_several_decides() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = format!("{{\"tcpSocket\":{{\"port\":{port}}},\"periodSeconds\":1}}");
    let both = format!("[{open},{open}]");
    assert_eq!(prober(&both, Switch::On).check().await, ProbeResult::Ready);
    let one = format!("[{open},{{\"exec\":{{}},\"periodSeconds\":1}}]");
    assert_eq!(prober(&one, Switch::On).check().await, ProbeResult::NotReady);
    assert_eq!(prober("[]", Switch::On).check().await, ProbeResult::Ready);
}

#[tokio::test]
async fn the_watch_notifies_when_the_app_begins_to_listen() {
    let address = tidegate_reserved_port::reserve().unwrap();
    let json = format!("{{\"tcpSocket\":{{\"port\":{}}}}}", address.port());
    let (changes, mut readiness) = channel(Readiness::NotReady("".into()));
    let poll = Duration::from_millis(2);
    let watched = prober(&json, Switch::Off);
    let watch = tokio::spawn(watch::run(watched.clone(), poll, changes));
    // The channel does not notify of reasons, so the first one is polled for.
    let is_tried = |now: &Readiness| *now != Readiness::NotReady("".into());
    while !is_tried(&readiness.borrow_and_update()) {
        tokio::time::sleep(poll).await;
    }
    let first = readiness.borrow_and_update().clone();
    let Readiness::NotReady(reason) = first else { panic!("ready") };
    let both = format!("cannot connect to {address} or [::1]:{}: connection ref", address.port());
    assert!(reason.contains(&both) && reason.contains("; since 20"), "{reason}");
    assert_eq!(watched.listening_since(), None);
    let _listener = tokio::net::TcpListener::bind(address).await.unwrap();
    readiness.changed().await.unwrap();
    assert_eq!(*readiness.borrow(), Readiness::Ready);
    assert!(watched.listening_since().is_some());
    drop(readiness);
    watch.await.unwrap();
}

/// An app that listens and is not ready: the time until it listened is its own, what follows is
/// told apart.
#[tokio::test]
async fn an_app_listens_before_it_is_ready() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let json = format!(r#"{{"httpGet":{{"port":{port},"path":"/"}},"successThreshold":1}}"#);
    let (changes, readiness) = channel(Readiness::NotReady("".into()));
    let watched = prober(&json, Switch::Off);
    let poll = Duration::from_millis(2);
    let watch = tokio::spawn(watch::run(watched.clone(), poll, changes));
    while watched.listening_since().is_none() {
        // It has no HTTP to say yet.
        drop(listener.accept().await.unwrap());
        tokio::task::yield_now().await;
    }
    assert!(matches!(*readiness.borrow(), Readiness::NotReady(_)));
    let since = watched.listening_since();
    drop(listener.accept().await.unwrap());
    assert_eq!(watched.listening_since(), since, "the first time counts");
    drop(readiness);
    watch.abort();
}

/// An app that closes its connection with its response, as every app does after
/// `Connection: close`, once failed the probe: the end of the connection was handled before the
/// response that had arrived with it.
#[tokio::test]
async fn a_response_that_arrives_with_the_close_counts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    });
    // The response and the end are both there before the prober reads either.
    let json = format!(
        r#"{{"httpGet":{{"port":{port},"path":"/"}},"periodSeconds":1,"timeoutSeconds":5}}"#
    );
    let verdict = prober(&json, Switch::Off).check().await;
    app.join().unwrap();
    assert_eq!(verdict, ProbeResult::Ready);
}
