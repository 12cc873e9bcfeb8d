//! Calls that do not carry the secret are refused by every method of every service. The calls are
//! those of the `.proto` files, so that one that is added later is held to it as well.

use std::net::SocketAddr;
use std::path::Path;

use http::uri::PathAndQuery;
use tidegate_controller::{Access, NoActuator, UndeclaredRevisions};
use tidegate_trust::Secret;
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

const SECRET: &str = "a-secret-of-the-tests-0123456789";

/// A controller that requires the secret.
async fn start() -> SocketAddr {
    let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    tokio::spawn(controller.run(NoActuator));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let access = Access::by_secret(Secret::new(SECRET, "the test").expect("valid"));
    tokio::spawn(tidegate_controller::serve(handle, listener, access, std::future::pending()));
    address
}

/// `/package.Service/Method` of everything that can be called.
fn every_call() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/proto");
    let files = proto_files(&root);
    assert!(files.len() >= 3, "{files:?}");
    let compiled = protox::compile(files, [&root]).expect("they compile");
    let calls = compiled.file.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            let service_name = format!("{}.{}", file.package(), service.name());
            service.method.iter().map(move |call| format!("/{service_name}/{}", call.name()))
        })
    });
    // KEDA's calls are served elsewhere, for KEDA; credits are granted by sidecars, to those who
    // show the secret of a front door; and what runs on a machine is told over a socket, to its
    // user alone (`local/tests/strangers.rs`).
    let elsewhere = ["/externalscaler.", "/tidegate.credits.", "/tidegate.operate."];
    calls.filter(|call| !elsewhere.iter().any(|package| call.starts_with(package))).collect()
}

fn proto_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it can be listed");
    entries
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| match path.is_dir() {
            true => proto_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"))
        .collect()
}

/// The beginning of a call with one empty message and this header.
async fn call(channel: &Channel, path: &str, shown: &[&str]) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("it listens");
    let mut request = Request::new(tokio_stream::once(()));
    for value in shown {
        request.metadata_mut().append("authorization", value.parse().expect("a value"));
    }
    let path: PathAndQuery = path.parse().expect("a path");
    // An admitted stream begins at once, whatever it sends later.
    match client.streaming(request, path, ProstCodec::<(), ()>::default()).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn every_call_of_every_service_asks_for_the_secret() {
    let address = start().await;
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a good address");
    let channel = endpoint.connect().await.expect("it listens");
    let calls = every_call();
    assert!(calls.contains(&"/tidegate.stats.v1.StatsService/Report".to_owned()), "{calls:?}");
    assert!(calls.contains(&"/tidegate.scale.v1.ScaleService/Explain".to_owned()), "{calls:?}");
    let good = format!("Bearer {SECRET}");
    let longer = format!("{good}x");
    let unauthenticated: [&[&str]; 7] = [
        &[],
        &["Bearer "],
        &["Bearer another-secret-0123456789"],
        &[SECRET],
        &[&good, &good],
        &["Bearer another-secret-0123456789", &good],
        &[&longer],
    ];
    for path in &calls {
        for shown in unauthenticated {
            assert_eq!(
                call(&channel, path, shown).await,
                Code::Unauthenticated,
                "{path} {shown:?}"
            );
        }
        // It is served to a caller with the secret, and not merely unknown.
        let code = call(&channel, path, &[&good]).await;
        let is_served = !matches!(code, Code::Unauthenticated | Code::Unimplemented);
        assert!(is_served, "{path}: {code:?}");
    }
    // What is no call is none with or without the secret.
    for shown in [&[][..], &[&*good]] {
        let code = call(&channel, "/tidegate.stats.v1.StatsService/Nothing", shown).await;
        assert!(matches!(code, Code::Unauthenticated | Code::Unimplemented), "{code:?}");
    }
}
