//! Over TLS a server is whom an authority vouches for, and nobody else.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_replay::{Bounds, Client, Due, Failure, Outcome, Request, Security, Version, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// A server for `localhost`, and the certificate that vouches for it.
async fn serve() -> (SocketAddr, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem().into_bytes();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 1_024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, pem)
}

async fn ask(address: SocketAddr, security: Security) -> Outcome {
    let client = Client::new(&security, Version::Preferred).unwrap();
    let request = Request::get(&format!("https://localhost:{}/", address.port())).unwrap();
    let (sender, arrivals) = mpsc::channel(1);
    sender.send(Due::new(Duration::ZERO)).await.unwrap();
    drop(sender);
    let mut outcomes = Vec::new();
    let bounds = Bounds::default();
    send(&client, &[request], arrivals, bounds, pending(), |o| outcomes.push(o)).await;
    outcomes.remove(0)
}

#[tokio::test]
async fn a_server_is_known_by_the_authority_that_was_named() {
    let (address, pem) = serve().await;
    let known = ask(address, Security::Roots(pem)).await;
    assert_eq!(known.answer.unwrap().status, 204);
    for others in [Security::Nobody, Security::SystemRoots] {
        let stranger = ask(address, others).await;
        assert!(matches!(stranger.answer, Err(Failure::Connect(_))), "{stranger:?}");
    }
    assert!(Client::new(&Security::Roots(b"nothing".to_vec()), Version::Preferred).is_err());
}
