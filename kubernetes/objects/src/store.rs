//! Objects of a cluster's API as they were last seen, of whatever kind.
//!
//! Observations come late, twice, in the wrong order or not at all. So each object has its version,
//! an older one never replaces a newer one, and a whole list replaces everything.

use std::collections::BTreeMap;

/// A namespaced object of a kind that is clear from the context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The object `name` in `namespace`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object's `resourceVersion`: decimal digits that grow, as far as the API promises.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version(pub String);

impl Version {
    /// Whether this is surely older than `other`. Texts that are no numbers have no order.
    #[must_use]
    pub fn is_older_than(&self, other: &Version) -> bool {
        match (self.0.parse::<u64>(), other.0.parse::<u64>()) {
            (Ok(ours), Ok(theirs)) => ours < theirs,
            _ => false,
        }
    }
}

/// An object that has a version.
pub trait Versioned {
    /// The version that was seen.
    fn version(&self) -> &Version;
}

impl<V: Versioned, T> Versioned for (V, T) {
    fn version(&self) -> &Version {
        self.0.version()
    }
}

/// A change of one kind of object, as a watch reports it.
#[derive(Debug, Clone)]
pub enum Change<K, V> {
    /// Everything there is.
    Listed(Vec<(K, V)>),
    /// One is so now.
    Seen(K, V),
    /// One is gone, which was of this version.
    Gone(K, Version),
}

/// Objects of one kind as they were last seen.
#[derive(Debug, Clone)]
pub struct Store<K, V> {
    objects: BTreeMap<K, V>,
    /// Whether a whole list was ever seen: before that, what is missing may well be there.
    complete: bool,
}

impl<K, V> Default for Store<K, V> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), complete: false }
    }
}

impl<K: Ord, V: Versioned> Store<K, V> {
    /// An object was seen. Returns whether it was not older than what was known.
    pub fn upsert(&mut self, key: K, value: V) -> bool {
        let known = self.objects.get(&key);
        if known.is_some_and(|known| value.version().is_older_than(known.version())) {
            return false;
        }
        self.objects.insert(key, value);
        true
    }

    /// An object was deleted, which was then of this version. What has been created anew stays.
    pub fn remove(&mut self, key: &K, version: &Version) -> Option<V> {
        let known = self.objects.get(key)?;
        if version.is_older_than(known.version()) {
            return None;
        }
        self.objects.remove(key)
    }

    /// Everything there is was listed.
    pub fn replace(&mut self, all: impl IntoIterator<Item = (K, V)>) {
        self.objects = all.into_iter().collect();
        self.complete = true;
    }

    /// Everything there is of those whose keys are `listed` was listed.
    pub fn replace_some(
        &mut self,
        is_listed: impl Fn(&K) -> bool,
        all: impl IntoIterator<Item = (K, V)>,
    ) {
        self.objects.retain(|key, _| !is_listed(key));
        self.objects.extend(all);
        self.complete = true;
    }

    /// Takes in a change. A list is of those whose keys are `listed`.
    pub fn take_in(&mut self, is_listed: impl Fn(&K) -> bool, change: Change<K, V>) {
        match change {
            Change::Listed(all) => self.replace_some(is_listed, all),
            Change::Seen(key, value) => _ = self.upsert(key, value),
            Change::Gone(key, version) => _ = self.remove(&key, &version),
        }
    }

    /// Whether a whole list was ever seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The object, as last seen.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.objects.get(key)
    }

    /// The object with the key that is kept.
    #[must_use]
    pub fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
        self.objects.get_key_value(key)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.objects.iter()
    }
}
