//! Watches: the changes since a version, as they occur.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Sender;
use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::path::parameter;
use crate::reply;
use crate::server::Shared;
use crate::store::{Happened, Key};

/// How long a watch lasts that sets no timeout.
const TIMEOUT_SECONDS: u64 = 300;

/// Which objects of a kind are selected.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    kind: Kind,
    namespace: Option<String>,
    labels: Vec<(String, Option<String>)>,
    name: Option<String>,
}

impl Selection {
    /// The objects of `kind` in `namespace`, or in all, that a query selects: by labels that are
    /// there or have a value, and by name.
    pub(crate) fn new(kind: Kind, namespace: Option<String>, query: &str) -> Self {
        let labels = parameter(query, "labelSelector").unwrap_or_default();
        let labels = labels.split(',').filter(|term| !term.is_empty()).map(|term| {
            match term.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.trim_matches('=').to_owned())),
                None => (term.to_owned(), None),
            }
        });
        let field = parameter(query, "fieldSelector").unwrap_or_default();
        let name = field.strip_prefix("metadata.name=").map(str::to_owned);
        Self { kind, namespace, labels: labels.collect(), name }
    }

    pub(crate) fn has(&self, key: &Key, object: &Value) -> bool {
        let has_label = |(name, value): &(String, Option<String>)| {
            let label = object["metadata"]["labels"].get(name).and_then(Value::as_str);
            label.is_some() && value.as_deref().is_none_or(|value| label == Some(value))
        };
        key.group == self.kind.group
            && key.plural == self.kind.plural
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
            && self.labels.iter().all(has_label)
    }
}

/// The parameters of a watch.
pub(crate) struct Watch {
    pub(crate) selection: Selection,
    from: Option<u64>,
    bookmarks: bool,
    initial: bool,
    timeout: Duration,
}

impl Watch {
    pub(crate) fn new(selection: Selection, query: &str) -> Self {
        let is_true = |name: &str| parameter(query, name).is_some_and(|value| value == "true");
        let from = parameter(query, "resourceVersion").and_then(|version| version.parse().ok());
        let seconds = parameter(query, "timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        Self {
            selection,
            from: from.filter(|version| *version > 0),
            bookmarks: is_true("allowWatchBookmarks"),
            initial: is_true("sendInitialEvents"),
            timeout: Duration::from_secs(seconds.unwrap_or(TIMEOUT_SECONDS)),
        }
    }

    /// Sends changes until the time is over, the watch is cut, or its client disconnects.
    pub(crate) async fn run(self, shared: Arc<Shared>, mut to: Sender<Bytes, Infallible>) {
        let (mut changed, mut cut) = (shared.changed.subscribe(), shared.cut.subscribe());
        let end = tokio::time::sleep(self.timeout);
        tokio::pin!(end);
        let (begin, mut at) = match self.begin(&shared) {
            Ok(begun) => begun,
            Err(refused) => {
                let _ = send(&mut to, &refused).await;
                return;
            }
        };
        let mut events = begin;
        loop {
            for event in events {
                if send(&mut to, &event).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = cut.changed() => return,
                () = &mut end => {
                    if self.bookmarks {
                        let _ = send(&mut to, &self.bookmark(at, json!({}))).await;
                    }
                    return;
                }
            }
            (events, at) = self.events_since(&shared, at);
        }
    }

    /// The events that a watch begins with, and the version from which on it goes on.
    fn begin(&self, shared: &Shared) -> Result<(Vec<Value>, u64), Value> {
        let state = shared.state.lock();
        if let Some(from) = self.from.filter(|_| !self.initial) {
            if from < state.store.oldest {
                return Err(reply::expired(from, state.store.oldest));
            }
            drop(state);
            return Ok(self.events_since(shared, from));
        }
        let all = state.store.of(&self.selection.kind);
        let selected = all.filter(|(key, object)| self.selection.has(key, object));
        let mut events: Vec<Value> =
            selected.map(|(_, object)| json!({"type": "ADDED", "object": object})).collect();
        let version = state.store.version;
        if self.initial {
            let end = json!({"k8s.io/initial-events-end": "true"});
            events.push(self.bookmark(version, end));
        }
        Ok((events, version))
    }

    fn events_since(&self, shared: &Shared, at: u64) -> (Vec<Value>, u64) {
        let state = shared.state.lock();
        let until = state.held.unwrap_or(state.store.version);
        let is_selected = |happened: &&Happened| {
            happened.version <= until && self.selection.has(&happened.key, &happened.object)
        };
        let events = state.store.since(at).filter(is_selected);
        let events = events.map(|h| json!({"type": h.what, "object": h.object}));
        (events.collect(), until.max(at))
    }

    fn bookmark(&self, version: u64, annotations: Value) -> Value {
        let Kind { kind, .. } = self.selection.kind;
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            metadata["annotations"] = annotations;
        }
        let api_version = self.selection.kind.api_version();
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        json!({"type": "BOOKMARK", "object": object})
    }
}

/// One event is one line.
async fn send(to: &mut Sender<Bytes, Infallible>, event: &Value) -> Result<(), ()> {
    let line = format!("{event}\n");
    to.send_data(Bytes::from(line)).await.map_err(|_| ())
}
