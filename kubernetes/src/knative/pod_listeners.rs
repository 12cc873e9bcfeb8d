//! Listens to pods: what is inside each, as it changes.
//!
//! Our sidecar streams it; Knative's does not know the path and is scraped alone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tidegate_kubernetes_objects::store::ObjectKey;
use tidegate_kubernetes_podautoscaler::effect::ListenOrder;
use tidegate_kubernetes_podautoscaler::names::STATISTICS_PORT;
use tidegate_kubernetes_podautoscaler::reconciler::Event;
use tidegate_kubernetes_podautoscaler::statistics::{self, PodLoad};
use tidegate_proto::{LOAD_CONTENT_TYPE, LOAD_PATH};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::happened::Happened;
use super::metrics::Metrics;

/// Pods that are listened to at a time, of all revisions; others wait for a place and are scraped
/// meanwhile.
const LISTENED_MAX: usize = 4_096;

/// How long a pod may take to accept a connection and to answer.
const POD_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A stream in which so long nothing has come has ended: there is a message every second.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Time until a pod is tried again whose stream has ended.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// The pod knows no such stream, and never will.
    Unknown,
    /// It has ended, or did not begin.
    Broken(String),
}

/// Who listens, and to whom.
pub(crate) struct PodListeners {
    ear: Ear,
    /// By revision and pod; they end with it.
    listening: BTreeMap<(ObjectKey, IpAddr), JoinSet<()>>,
}

impl PodListeners {
    /// Tells `heard` what pods say.
    pub(crate) fn new(heard: mpsc::Sender<Happened>, metrics: Metrics) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(POD_CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let places = Arc::new(Semaphore::new(LISTENED_MAX));
        Self { ear: Ear { client, places, heard, metrics }, listening: BTreeMap::new() }
    }

    /// Listens to these pods of a revision from now on, and to no others of it.
    pub(crate) fn obey(&mut self, order: &ListenOrder) {
        let is_ordered =
            |of: &ObjectKey, pod: &IpAddr| *of != order.revision || order.pods.contains(pod);
        self.listening.retain(|(of, pod), _| is_ordered(of, pod));
        for pod in &order.pods {
            let key = (order.revision.clone(), *pod);
            let ear = self.ear.clone();
            self.listening.entry(key.clone()).or_insert_with(|| {
                let mut listener = JoinSet::new();
                listener.spawn(ear.listen(key, SocketAddr::new(*pod, STATISTICS_PORT)));
                listener
            });
        }
    }
}

/// What listens to one pod.
#[derive(Clone)]
struct Ear {
    client: Client<HttpConnector, Empty<Bytes>>,
    places: Arc<Semaphore>,
    heard: mpsc::Sender<Happened>,
    metrics: Metrics,
}

impl Ear {
    /// Listens for as long as there is somebody to tell and something to hear.
    async fn listen(self, (revision, pod): (ObjectKey, IpAddr), address: SocketAddr) {
        // The semaphore is never closed.
        let Ok(_place) = self.places.acquire().await else { return };
        let tell = |load: Option<PodLoad>| {
            let event = Event::Heard(revision.clone(), pod, load);
            self.heard.send(Happened::Event(Box::new(event)))
        };
        loop {
            let end = self.stream(address, &tell).await;
            // A closed channel means that nobody decides any more.
            if tell(None).await.is_err() {
                return;
            }
            match end {
                End::Unknown => return,
                End::Broken(why) => tracing::debug!(%pod, why, "a pod is not heard any more"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One stream, to its end.
    async fn stream<T: Future>(
        &self,
        address: SocketAddr,
        tell: &impl Fn(Option<PodLoad>) -> T,
    ) -> End {
        let broken = |why: &dyn std::fmt::Display| End::Broken(why.to_string());
        let request = Request::get(format!("http://{address}{LOAD_PATH}")).body(Empty::new());
        let Ok(request) = request else { return End::Unknown };
        let response = match timeout(POD_CONNECT_TIMEOUT, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return broken(&error),
            Err(late) => return broken(&late),
        };
        let content_type = response.headers().get(CONTENT_TYPE);
        match response.status() {
            StatusCode::OK if content_type.is_some_and(|value| value == LOAD_CONTENT_TYPE) => {}
            StatusCode::SERVICE_UNAVAILABLE => return broken(&"it has too many listeners"),
            _ => return End::Unknown,
        }
        let (mut body, mut stream) = (response.into_body(), Vec::new());
        self.metrics.streams.increment(1.0);
        let _counted = Counted(&self.metrics);
        loop {
            let frame = match timeout(SILENCE_MAX, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return broken(&error),
                Ok(None) => return broken(&"it has ended the stream"),
                Err(_) => return broken(&"it is silent"),
            };
            let Ok(data) = frame.into_data() else { continue };
            stream.extend_from_slice(&data);
            match statistics::take_load(&mut stream) {
                Ok(Some(load)) => _ = tell(Some(load)).await,
                Ok(None) => {}
                Err(why) => return broken(&why),
            }
        }
    }
}

/// A stream that is counted while it lasts.
struct Counted<'a>(&'a Metrics);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.streams.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A pod that answers each connection with these bytes and then hangs up.
    async fn pod(answers: Vec<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            for answer in answers {
                let (mut connection, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 1_024];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(&answer).await;
            }
        });
        address
    }

    fn head(rest: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-type: {LOAD_CONTENT_TYPE}\r\n{rest}\r\n")
    }

    /// What is heard of a pod that answers so, until nobody listens any more or it is silent.
    async fn heard(answers: Vec<Vec<u8>>, most: usize) -> Vec<Option<PodLoad>> {
        let (sender, mut events) = mpsc::channel(8);
        let address = pod(answers).await;
        let listeners = PodListeners::new(sender, Metrics::default());
        let key = (ObjectKey::new("shop", "till-00001"), address.ip());
        let listening = tokio::spawn(listeners.ear.clone().listen(key, address));
        drop(listeners);
        let mut loads = Vec::new();
        while loads.len() < most
            && let Some(happened) = events.recv().await
        {
            match happened {
                Happened::Event(event) => match *event {
                    Event::Heard(_, _, load) => loads.push(load),
                    other => panic!("{other:?}"),
                },
                Happened::Ended(..) => panic!("nothing was begun"),
            }
        }
        listening.abort();
        loads
    }

    /// A message with so many requests that wait, as a chunk.
    fn chunk(waiting: u8) -> Vec<u8> {
        use tidegate_proto::Message;
        let load = tidegate_proto::stats::v1::Stat { waiting: waiting.into(), ..<_>::default() };
        let message = load.encode_length_delimited_to_vec();
        [format!("{:x}\r\n", message.len()).as_bytes(), &message, b"\r\n"].concat()
    }

    fn waiting(waiting: u32) -> Option<PodLoad> {
        Some(PodLoad { in_flight: waiting, waiting })
    }

    #[tokio::test]
    async fn a_stream_is_heard_and_taken_up_again_when_it_ends() {
        let begin = head("transfer-encoding: chunked\r\n").into_bytes();
        let first = [begin.clone(), chunk(3)].concat();
        let second = [begin, chunk(7)].concat();
        let loads = heard(vec![first, second], 4).await;
        assert_eq!(loads, [waiting(3), None, waiting(7), None]);
    }

    #[tokio::test]
    async fn a_sidecar_without_streams_is_asked_once() {
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        assert_eq!(heard(vec![answer], 9).await, [None]);
        let other = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
        assert_eq!(heard(vec![other], 9).await, [None]);
    }

    #[tokio::test]
    async fn what_is_no_load_ends_the_stream() {
        let answer = [head("").into_bytes(), vec![0xff; 64]].concat();
        let fine = [head("transfer-encoding: chunked\r\n").into_bytes(), chunk(1)].concat();
        assert_eq!(heard(vec![answer, fine], 2).await, [None, waiting(1)]);
    }
}
