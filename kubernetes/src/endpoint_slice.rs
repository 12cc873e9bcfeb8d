//! EndpointSlices as they were last seen, and which of them belong to which Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tidegate_kubernetes_objects::store::{ObjectKey, Store, Version, Versioned};

/// A family of addresses, as an EndpointSlice has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As an EndpointSlice names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The version that was seen.
    pub version: Version,
    /// The Service it belongs to.
    pub service: String,
    /// Whether it says that it is managed by us, and then the uid of the object that owns it.
    pub ours: Option<String>,
    /// What is in it.
    pub content: SliceContent,
    /// How many of its endpoints are ready.
    pub ready: usize,
}

/// What an EndpointSlice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceContent {
    /// The family of its addresses.
    pub family: Family,
    /// Names, numbers and application protocols of its ports, by name.
    pub ports: BTreeMap<String, (u16, Option<String>)>,
    /// Its addresses that are ready.
    pub addresses: BTreeSet<IpAddr>,
}

impl Versioned for Slice {
    fn version(&self) -> &Version {
        &self.version
    }
}

/// The slices of Services. A Service's own are found without a look at all others.
#[derive(Debug, Clone, Default)]
pub struct SliceStore {
    slices: Store<ObjectKey, Slice>,
    by_service: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

/// The Service that a slice belongs to.
#[must_use]
pub fn service_of(key: &ObjectKey, slice: &Slice) -> ObjectKey {
    ObjectKey { namespace: key.namespace.clone(), name: slice.service.clone() }
}

impl SliceStore {
    /// A slice was seen.
    pub fn upsert(&mut self, key: ObjectKey, slice: Slice) {
        let service = service_of(&key, &slice);
        let before = self.slices.get(&key).map(|before| service_of(&key, before));
        if self.slices.upsert(key.clone(), slice) {
            if let Some(before) = before.filter(|before| *before != service) {
                self.unlink(&before, &key);
            }
            self.by_service.entry(service).or_default().insert(key);
        }
    }

    /// A slice was deleted, which was then of this version.
    pub fn remove(&mut self, key: &ObjectKey, version: &Version) {
        if let Some(gone) = self.slices.remove(key, version) {
            self.unlink(&service_of(key, &gone), key);
        }
    }

    /// All slices whose keys are `listed` were listed.
    pub fn replace_some(
        &mut self,
        is_listed: impl Fn(&ObjectKey) -> bool,
        all: impl IntoIterator<Item = (ObjectKey, Slice)>,
    ) {
        self.slices.replace_some(is_listed, all);
        self.by_service.clear();
        for (key, slice) in self.slices.iter() {
            let slices = self.by_service.entry(service_of(key, slice)).or_default();
            slices.insert(key.clone());
        }
    }

    fn unlink(&mut self, service: &ObjectKey, key: &ObjectKey) {
        if let Some(slices) = self.by_service.get_mut(service) {
            slices.remove(key);
            if slices.is_empty() {
                self.by_service.remove(service);
            }
        }
    }

    /// Whether a whole list was ever seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.slices.is_complete()
    }

    /// The slice, as last seen.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Slice> {
        self.slices.get(key)
    }

    /// The slice with the key that is kept.
    #[must_use]
    pub fn get_key_value(&self, key: &ObjectKey) -> Option<(&ObjectKey, &Slice)> {
        self.slices.get_key_value(key)
    }

    /// The slices of a Service, in the order of their names.
    pub fn of_service(&self, service: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, &Slice)> {
        let keys = self.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| self.slices.get_key_value(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(version: u32, service: &str) -> Slice {
        let (ports, addresses) = (BTreeMap::new(), BTreeSet::new());
        Slice {
            version: Version(version.to_string()),
            service: service.to_owned(),
            ours: None,
            content: SliceContent { family: Family::V4, ports, addresses },
            ready: 0,
        }
    }

    fn names(store: &SliceStore, service: &str) -> Vec<String> {
        let service = ObjectKey::new("shop", service);
        let slices = store.of_service(&service);
        slices.map(|(key, _)| key.name.clone()).collect()
    }

    #[test]
    fn a_services_slices_are_those_that_name_it_last() {
        let mut store = SliceStore::default();
        let key = |name: &str| ObjectKey::new("shop", name);
        store.upsert(key("a"), slice(1, "web"));
        store.upsert(key("b"), slice(2, "web"));
        store.upsert(ObjectKey::new("other", "c"), slice(3, "web"));
        assert_eq!(names(&store, "web"), ["a", "b"]);
        store.upsert(key("b"), slice(5, "api"));
        store.upsert(key("b"), slice(4, "web"));
        assert_eq!(
            (names(&store, "web"), names(&store, "api")),
            (vec!["a".into()], vec!["b".into()])
        );
        store.remove(&key("b"), &Version("4".into()));
        assert_eq!(names(&store, "api"), ["b"]);
        store.remove(&key("b"), &Version("6".into()));
        assert!(names(&store, "api").is_empty());
        store.replace_some(|key| key.namespace == "shop", [(key("d"), slice(7, "web"))]);
        assert_eq!(names(&store, "web"), ["d"]);
        assert!(store.get(&ObjectKey::new("other", "c")).is_some());
    }
}
