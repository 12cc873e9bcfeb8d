//! The objects, their versions and the history of changes.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::kinds::{Extent, Generation, Kind};

/// Events that are kept: a watch from an older version gets 410.
const HISTORY_MAX: usize = 100_000;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { group: kind.group, plural: kind.plural, namespace, name }
    }
}

/// A change of an object.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) version: u64,
    pub(crate) what: &'static str,
    pub(crate) key: Key,
    pub(crate) object: Value,
}

/// All objects and their history.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) version: u64,
    objects: BTreeMap<Key, Value>,
    history: VecDeque<Happened>,
    /// The oldest version whose history is complete.
    pub(crate) oldest: u64,
    /// What each manager has applied last, to find the fields that it omits now.
    pub(crate) applied: BTreeMap<(Key, String, &'static str), Value>,
    next_uid: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            version: 1,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            oldest: 1,
            applied: BTreeMap::new(),
            next_uid: 1,
        }
    }
}

impl Store {
    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The objects of a kind.
    pub(crate) fn of(&self, kind: &Kind) -> impl Iterator<Item = (&Key, &Value)> {
        let (group, plural) = (kind.group, kind.plural);
        self.objects.iter().filter(move |(key, _)| key.group == group && key.plural == plural)
    }

    /// Creates an object, with the fields that the server fills in.
    pub(crate) fn create(&mut self, kind: &Kind, key: Key, mut object: Value) -> Value {
        let uid = self.next_uid;
        self.next_uid += 1;
        let (minute, second) = ((uid / 60) % 60, uid % 60);
        object["kind"] = json!(kind.kind);
        object["apiVersion"] = json!(kind.api_version());
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if kind.extent == Extent::Namespaced {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{uid:012x}"));
        metadata["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:{second:02}Z"));
        if kind.generation == Generation::Counted {
            metadata["generation"] = json!(1);
        }
        self.write("ADDED", key, object)
    }

    /// Replaces an object. A change of nothing makes no event, as in a real server.
    pub(crate) fn replace(&mut self, kind: &Kind, key: Key, mut object: Value) -> Value {
        let before = self.objects.get(&key).cloned().unwrap_or_default();
        for field in ["uid", "creationTimestamp", "generation", "resourceVersion", "namespace"] {
            if let Some(kept) = before["metadata"].get(field) {
                object["metadata"][field] = kept.clone();
            }
        }
        if object == before {
            return before;
        }
        let is_changed = |field: &str| object.get(field) != before.get(field);
        let described = ["spec", "endpoints", "ports", "addressType"].into_iter().any(is_changed);
        if kind.generation == Generation::Counted && described {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object["metadata"]["generation"] = json!(generation);
        }
        self.write("MODIFIED", key, object)
    }

    /// Removes an object.
    pub(crate) fn delete(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.applied.retain(|(of, _, _), _| of != key);
        let owner = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.note("DELETED", key.clone(), object.clone());
        self.collect_owned(&owner);
        Some(object)
    }

    /// Removes what a deleted object owned.
    fn collect_owned(&mut self, owner: &str) {
        let owned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|reference| reference["uid"] == owner)
        };
        let of_owner = self.objects.iter().filter(|(_, object)| owned(object));
        let keys: Vec<Key> = of_owner.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.delete(&key);
        }
    }

    fn write(&mut self, what: &'static str, key: Key, object: Value) -> Value {
        let object = self.note(what, key.clone(), object);
        self.objects.insert(key, object.clone());
        object
    }

    fn note(&mut self, what: &'static str, key: Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let happened = Happened { version: self.version, what, key, object: object.clone() };
        self.history.push_back(happened);
        if self.history.len() > HISTORY_MAX
            && let Some(forgotten) = self.history.pop_front()
        {
            self.oldest = forgotten.version;
        }
        object
    }

    /// The changes after `version`.
    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Happened> {
        self.history.iter().filter(move |happened| happened.version > version)
    }

    /// Compacts the history.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.oldest = self.version;
    }
}
