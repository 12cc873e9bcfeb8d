//! The kinds of objects that are served.

use serde_json::{Value, json};

/// A kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its group; empty for the core group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its name in objects.
    pub kind: &'static str,
    /// Whether it counts the changes of its specification.
    pub generation: Generation,
    /// Whether it has a scale subresource.
    pub scale: Scale,
    /// Whether its objects are in namespaces.
    pub extent: Extent,
}

/// Whether the objects of a kind are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// They are.
    Namespaced,
    /// They are the whole cluster's.
    Cluster,
}

/// Whether a kind counts the changes of its specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// It does.
    Counted,
    /// It does not.
    Absent,
}

/// Whether a kind has a scale subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// It has, with `spec.replicas` behind it.
    Replicas,
    /// It has none.
    Absent,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Kind {
    let (generation, scale) = (Generation::Absent, Scale::Absent);
    Kind { group, version, plural, kind, generation, scale, extent: Extent::Namespaced }
}

impl Kind {
    /// One that counts the changes of its specification.
    #[must_use]
    pub const fn counted(self) -> Self {
        Self { generation: Generation::Counted, ..self }
    }

    /// One whose objects are the whole cluster's.
    #[must_use]
    pub const fn of_cluster(self) -> Self {
        Self { extent: Extent::Cluster, ..self }
    }

    /// One with a scale subresource.
    #[must_use]
    pub const fn scaled(self) -> Self {
        Self { scale: Scale::Replicas, ..self }
    }

    /// The kind of a custom resource.
    #[must_use]
    pub const fn custom(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        name: &'static str,
    ) -> Self {
        kind(group, version, plural, name).counted()
    }

    /// Group and version, as objects have them.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Its name in messages: `deployments.apps`, or `pods`.
    #[must_use]
    pub fn long_plural(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

/// The kinds of every cluster that Tidegate uses.
pub const BUILT_IN: [Kind; 14] = [
    kind("apps", "v1", "deployments", "Deployment").counted().scaled(),
    kind("apps", "v1", "statefulsets", "StatefulSet").counted().scaled(),
    kind("apps", "v1", "daemonsets", "DaemonSet").counted(),
    kind("", "v1", "services", "Service"),
    kind("", "v1", "secrets", "Secret"),
    kind("", "v1", "configmaps", "ConfigMap"),
    kind("", "v1", "namespaces", "Namespace").of_cluster(),
    kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview").of_cluster(),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    )
    .counted()
    .of_cluster(),
    kind("", "v1", "pods", "Pod").counted(),
    kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice").counted(),
    kind("coordination.k8s.io", "v1", "leases", "Lease"),
    kind("events.k8s.io", "v1", "events", "Event"),
    kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
];

/// The list of a group's resources; `None` when there is no such group.
pub(crate) fn resources(kinds: &[Kind], group: &str, version: &str) -> Option<Value> {
    let of_group = kinds.iter().filter(|kind| kind.group == group && kind.version == version);
    let mut resources = Vec::new();
    for kind in of_group.clone() {
        let verbs =
            ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let (name, kind_name) = (kind.plural, kind.kind);
        let namespaced = kind.extent == Extent::Namespaced;
        resources.push(
            json!({"name": name, "namespaced": namespaced, "kind": kind_name, "verbs": verbs}),
        );
        if kind.scale == Scale::Replicas {
            resources.push(json!({
                "name": format!("{name}/scale"),
                "namespaced": namespaced,
                "group": "autoscaling",
                "version": "v1",
                "kind": "Scale",
                "verbs": ["get", "patch", "update"],
            }));
        }
        resources.push(json!({
            "name": format!("{name}/status"),
            "namespaced": namespaced,
            "kind": kind_name,
            "verbs": ["get", "patch", "update"],
        }));
    }
    let first = of_group.clone().next()?;
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": resources,
    }))
}
