//! The server: one function that handles requests, and a loopback listener in front of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::change::{apply, merge, operate};
use crate::faults::{Fault, Faults};
use crate::kinds::{BUILT_IN, Extent, Kind, Scale, resources};
use crate::path::{ApiPath, Part, parameter, parse};
use crate::reply::Reply;
use crate::scale::{negative, scale_of};
use crate::store::{Key, Store};
use crate::stream::{Selection, Watch};

/// A request that was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// The type of its body; empty when it has none.
    pub content_type: String,
    /// Its body; null when it has none, or when it is no JSON.
    pub body: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client that connected.
    Loopback,
    /// A test in this process.
    Process,
}

/// The body of a response.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a cluster and its watches share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) changed: watch::Sender<()>,
    pub(crate) cut: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    kinds: Vec<Kind>,
    faults: Faults,
    seen: Vec<Seen>,
    /// The version until which watches get events, while events are held back.
    pub(crate) held: Option<u64>,
}

/// A cluster's API. Cheap to clone; clones are the same cluster.
#[derive(Debug, Clone)]
pub struct FakeCluster {
    shared: Arc<Shared>,
}

impl FakeCluster {
    /// An empty cluster that serves these kinds besides the usual ones.
    #[must_use]
    pub fn new(more: &[Kind]) -> Self {
        let kinds = BUILT_IN.into_iter().chain(more.iter().copied()).collect();
        let (store, faults) = (Store::default(), Faults::default());
        let state = State { store, kinds, faults, seen: Vec::new(), held: None };
        let (changed, cut) = (watch::Sender::new(()), watch::Sender::new(()));
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed, cut }) }
    }

    /// Serves on a free loopback port until the runtime ends.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn serve(&self) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cluster = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let cluster = cluster.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let cluster = cluster.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let request = Request::from_parts(head, body);
                        Ok::<_, hyper::Error>(cluster.respond_to(request, Origin::Loopback))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(address)
    }

    /// The next requests of this method whose path has this part fail, so many of them.
    pub fn fail(&self, method: Method, part_of_path: &str, fault: Fault, times: usize) {
        self.shared.state.lock().faults.add(method, part_of_path, fault, times);
    }

    /// Cuts every watch without a final event.
    pub fn cut_watches(&self) {
        self.shared.cut.send_replace(());
    }

    /// Sends watches no event until [`FakeCluster::release_events`].
    pub fn hold_events(&self) {
        let mut state = self.shared.state.lock();
        state.held = Some(state.store.version);
    }

    /// Sends watches the events that were held back.
    pub fn release_events(&self) {
        self.shared.state.lock().held = None;
        self.shared.changed.send_replace(());
    }

    /// Compacts the history: watches from older versions get 410, "too old resource version".
    pub fn compact(&self) {
        self.shared.state.lock().store.compact();
    }

    /// The requests received since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.state.lock().seen)
    }

    /// Handles a request. Watches need a tokio runtime.
    pub fn respond(&self, request: Request<Bytes>) -> Response<Body> {
        self.respond_to(request, Origin::Process)
    }

    fn respond_to(&self, request: Request<Bytes>, origin: Origin) -> Response<Body> {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default());
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let mut state = self.shared.state.lock();
        let whole = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let parsed = serde_json::from_slice(&body);
        state.seen.push(Seen {
            method: head.method.clone(),
            path: whole,
            content_type: content_type.clone(),
            body: parsed.as_ref().ok().cloned().unwrap_or_default(),
            origin,
        });
        let fault = state.faults.take(&head.method, &path);
        if let Some(refusal) = fault.and_then(refusal) {
            return response(refusal);
        }
        let Some(place) = parse(&state.kinds, &path) else { return no_such_path() };
        if let ApiPath::Collection { kind, namespace } = &place
            && parameter(query, "watch").is_some_and(|value| value == "1" || value == "true")
        {
            drop(state);
            let selection = Selection::new(*kind, namespace.clone(), query);
            return self.watch(Watch::new(selection, query));
        }
        let asked = Asked { method: head.method, query, content_type, body: parsed.ok() };
        let before = state.store.version;
        let reply = state.response(&place, asked);
        let has_changed = state.store.version != before;
        drop(state);
        if has_changed {
            self.shared.changed.send_replace(());
        }
        match (reply, fault) {
            (_, Some(Fault::LostResponse)) => {
                let message = "the response was lost";
                response(Reply::refused(504, "Timeout", message, Value::Null))
            }
            (Some(reply), _) => response(reply),
            (None, _) => no_such_path(),
        }
    }

    fn watch(&self, watch: Watch) -> Response<Body> {
        let (to, body) = Channel::new(16);
        tokio::spawn(watch.run(Arc::clone(&self.shared), to));
        with_body(StatusCode::OK, "application/json", body.boxed_unsync())
    }
}

/// A parsed request.
struct Asked<'a> {
    method: Method,
    query: &'a str,
    content_type: String,
    body: Option<Value>,
}

impl State {
    /// The response to anything but a watch; `None` when there is no such group.
    fn response(&mut self, place: &ApiPath, asked: Asked<'_>) -> Option<Reply> {
        Some(match place {
            ApiPath::Group { group, version } => Reply::ok(resources(&self.kinds, group, version)?),
            ApiPath::Collection { kind, namespace } => match (&asked.method, namespace) {
                (&Method::GET, _) => self.list(kind, namespace.clone(), asked.query),
                (&Method::POST, Some(namespace)) => self.create(kind, namespace, asked.body),
                (&Method::POST, None) if kind.extent == Extent::Cluster => {
                    self.create(kind, "", asked.body)
                }
                _ => Reply::not_allowed(),
            },
            ApiPath::Object { kind, namespace, name, part } => {
                let key = Key::new(kind, namespace, name);
                if *part == Part::Scale && kind.scale == Scale::Absent {
                    return None;
                }
                match asked.method {
                    Method::GET => self.read(kind, &key, *part),
                    Method::PUT => self.replace(kind, &key, *part, asked.body),
                    Method::PATCH => self.patch(kind, &key, *part, asked),
                    Method::DELETE => self.delete(kind, &key, asked.body.as_ref()),
                    _ => Reply::not_allowed(),
                }
            }
        })
    }

    fn list(&self, kind: &Kind, namespace: Option<String>, query: &str) -> Reply {
        let selection = Selection::new(*kind, namespace, query);
        let all = self.store.of(kind).filter(|(key, object)| selection.has(key, object));
        // Items of built-in kinds omit kind and version, which the list has.
        let is_built_in = BUILT_IN.contains(kind);
        let items = all.map(|(_, object)| {
            let mut item = object.clone();
            if let Some(fields) = item.as_object_mut().filter(|_| is_built_in) {
                fields.retain(|name, _| name != "kind" && name != "apiVersion");
            }
            item
        });
        let items: Vec<Value> = items.collect();
        Reply::ok(json!({
            "kind": format!("{}List", kind.kind),
            "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": self.store.version.to_string()},
            "items": items,
        }))
    }

    fn create(&mut self, kind: &Kind, namespace: &str, body: Option<Value>) -> Reply {
        let Some(object) = body else { return Reply::bad_request("the body is no JSON") };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = Key::new(kind, namespace, &name);
        if self.store.get(&key).is_some() {
            return Reply::exists(kind, &name);
        }
        Reply::created(self.store.create(kind, key, object))
    }

    fn read(&self, kind: &Kind, key: &Key, part: Part) -> Reply {
        match self.store.get(key) {
            Some(object) if part == Part::Scale => Reply::ok(scale_of(object)),
            Some(object) => Reply::ok(object.clone()),
            None => Reply::not_found(kind, &key.name),
        }
    }

    fn replace(&mut self, kind: &Kind, key: &Key, part: Part, body: Option<Value>) -> Reply {
        let Some(new) = body else { return Reply::bad_request("the body is no JSON") };
        let Some(object) = self.store.get(key).cloned() else {
            return Reply::not_found(kind, &key.name);
        };
        if is_outdated(&object, &new) {
            return Reply::outdated(kind, &key.name);
        }
        self.write(kind, key, part, (object, new))
    }

    /// Puts the part of `new` that the path names into `object`.
    fn write(
        &mut self,
        kind: &Kind,
        key: &Key,
        part: Part,
        (mut object, mut new): (Value, Value),
    ) -> Reply {
        let reserved = ["kind", "apiVersion", "metadata"];
        match part {
            Part::Status => object["status"] = new["status"].take(),
            Part::Scale => {
                let replicas = new["spec"]["replicas"].as_i64().unwrap_or(0);
                if replicas < 0 {
                    return negative(key, replicas);
                }
                object["spec"]["replicas"] = json!(replicas);
            }
            Part::Whole => {
                if let Some(status) = object.get("status") {
                    new["status"] = status.clone();
                }
                for field in reserved {
                    let kept = object[field].take();
                    if field == "metadata" {
                        let mut metadata = kept;
                        if let Some(fields) = metadata.as_object_mut() {
                            fields.retain(|name, _| is_servers(name));
                        }
                        merge(&mut metadata, &without_servers(&new["metadata"]));
                        new[field] = metadata;
                    } else {
                        new[field] = kept;
                    }
                }
                object = new;
            }
        }
        let object = self.store.replace(kind, key.clone(), object);
        // Whoever takes the last finalizer off gets the object as it was at its end.
        if is_deleted(&object) && !has_finalizer(&object) {
            let _ = self.store.delete(key);
        }
        Reply::ok(if part == Part::Scale { scale_of(&object) } else { object })
    }

    fn patch(&mut self, kind: &Kind, key: &Key, part: Part, asked: Asked<'_>) -> Reply {
        let is_apply = asked.content_type.starts_with("application/apply-patch");
        let is_operations = asked.content_type == "application/json-patch+json";
        let is_merge = asked.content_type == "application/merge-patch+json";
        if !is_apply && !is_operations && !is_merge {
            let message = "415: Unsupported Media Type";
            return Reply::refused(415, "UnsupportedMediaType", message, json!({}));
        }
        let Some(patch) = asked.body else {
            return Reply::bad_request("error decoding patch: unexpected end of JSON input");
        };
        let found = self.store.get(key).cloned();
        if is_apply {
            return self.apply(kind, key, part, (found, patch, asked.query));
        }
        let Some(object) = found else { return Reply::not_found(kind, &key.name) };
        if is_operations {
            return match operate(&object, &patch) {
                Some(new) if is_outdated(&object, &new) => Reply::outdated(kind, &key.name),
                Some(new) => self.write(kind, key, part, (object, new)),
                None => Reply::not_applicable(),
            };
        }
        if is_outdated(&object, &patch) {
            return Reply::outdated(kind, &key.name);
        }
        let mut new = if part == Part::Scale { scale_of(&object) } else { object.clone() };
        merge(&mut new, &patch);
        self.write(kind, key, part, (object, new))
    }

    fn apply(
        &mut self,
        kind: &Kind,
        key: &Key,
        part: Part,
        (found, patch, query): (Option<Value>, Value, &str),
    ) -> Reply {
        let Some(manager) = parameter(query, "fieldManager") else {
            let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: \
                           is required for apply patch";
            return Reply::refused(422, "Invalid", message, Value::Null);
        };
        let named = if part == Part::Status { "status" } else { "" };
        let said = (key.clone(), manager, named);
        let before = self.store.applied.insert(said, patch.clone());
        let Some(object) = found else {
            if part != Part::Whole {
                return Reply::not_found(kind, &key.name);
            }
            return Reply::created(self.store.create(kind, key.clone(), patch));
        };
        let mut new = object.clone();
        apply(&mut new, before.as_ref(), &patch);
        self.write(kind, key, part, (object, new))
    }

    fn delete(&mut self, kind: &Kind, key: &Key, options: Option<&Value>) -> Reply {
        let Some(object) = self.store.get(key) else { return Reply::not_found(kind, &key.name) };
        let wanted = options.and_then(|o| o["preconditions"]["resourceVersion"].as_str());
        let is = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if wanted.is_some_and(|wanted| wanted != is) {
            return Reply::outdated(kind, &key.name);
        }
        if has_finalizer(object) {
            let mut waiting = object.clone();
            waiting["metadata"]["deletionTimestamp"] = json!(DELETED_AT);
            waiting["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            return Reply::ok(self.store.replace(kind, key.clone(), waiting));
        }
        let deleted = self.store.delete(key).unwrap_or_default();
        Reply::deleted(kind, key, &deleted)
    }
}

/// When everything is deleted that waits for its finalizers: nothing here reads a clock.
const DELETED_AT: &str = "2026-01-01T12:00:00Z";

fn has_finalizer(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

fn is_deleted(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some_and(|at| !at.is_null())
}

/// Fields of metadata that the server fills in.
fn is_servers(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];
    NAMES.contains(&name)
}

fn without_servers(metadata: &Value) -> Value {
    let mut fields = metadata.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !is_servers(name));
    Value::Object(fields)
}

/// Whether a change names a version that is no longer the object's.
fn is_outdated(object: &Value, change: &Value) -> bool {
    let version = change["metadata"].get("resourceVersion").and_then(Value::as_str);
    version.is_some_and(|version| object["metadata"]["resourceVersion"] != version)
}

fn refusal(fault: Fault) -> Option<Reply> {
    Some(match fault {
        Fault::TooMany { retry_after_seconds } => {
            let message = "Too many requests, please try again later.";
            let reply = Reply::refused(429, "TooManyRequests", message, Value::Null);
            Reply { retry_after_seconds: Some(retry_after_seconds), ..reply }
        }
        Fault::Internal => {
            let message = "Internal error occurred: etcdserver: leader changed";
            Reply::refused(500, "InternalError", message, Value::Null)
        }
        Fault::Forbidden => Reply::refused(403, "Forbidden", "forbidden", Value::Null),
        Fault::LostResponse => return None,
    })
}

fn response(reply: Reply) -> Response<Body> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Full::new(Bytes::from(reply.body.to_string())).boxed_unsync();
    let mut response = with_body(status, "application/json", body);
    if let Some(seconds) = reply.retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The response for a path that no group serves is plain text.
fn no_such_path() -> Response<Body> {
    let body = Full::new(Bytes::from_static(b"404 page not found\n")).boxed_unsync();
    with_body(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body)
}

fn with_body(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
