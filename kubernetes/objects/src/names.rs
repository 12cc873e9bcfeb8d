//! The vocabulary that all parts share: names of kinds, labels, annotations and field managers.

/// The API group of our kinds, and the domain of our labels and annotations.
pub const GROUP: &str = "tidegate.dev";

/// The version of the group that is served and stored.
pub const VERSION: &str = "v1alpha1";

/// Group and version, as an object's `apiVersion` has them.
pub const API_VERSION: &str = "tidegate.dev/v1alpha1";

/// The kind that says how a workload is scaled.
pub const KIND: &str = "TrafficScaler";

/// That kind in paths of the API.
pub const PLURAL: &str = "trafficscalers";

/// The kind that says how requests go from one revision to the next.
pub const ROLLOUT_KIND: &str = "TrafficRollout";

/// That kind in paths of the API.
pub const ROLLOUT_PLURAL: &str = "trafficrollouts";

/// The group and version of the Gateway API's routes.
pub const ROUTE_API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// The kind of the routes whose weights are set.
pub const ROUTE_KIND: &str = "HTTPRoute";

/// That kind in paths of the API.
pub const ROUTE_PLURAL: &str = "httproutes";

/// The manager of the fields that we apply, and the name in
/// `endpointslice.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "tidegate";

/// The namespace that the manifests install into.
pub const SYSTEM_NAMESPACE: &str = "tidegate-system";

/// The Service whose endpoints are the activators.
pub const ACTIVATOR_SERVICE: &str = "tidegate-activator";

/// The Lease that the deciding controller holds.
pub const LEASE: &str = "tidegate-controller";

/// The Secret in the system namespace that holds the authority of our certificates, and the
/// ConfigMap in each namespace of apps by which sidecars verify the controller.
pub const AUTHORITY: &str = "tidegate-authority";

/// The key of that ConfigMap.
pub const AUTHORITY_KEY: &str = "ca.crt";

/// The Service of the deciding controller, and what its certificate is for.
pub const CONTROLLER_SERVICE: &str = "tidegate-controller";

/// The Secret with the controller's certificate.
pub const CONTROLLER_CERTIFICATE: &str = "tidegate-controller-tls";

/// The Service of the webhook, and what its certificate is for.
pub const WEBHOOK_SERVICE: &str = "tidegate-webhook";

/// The Secret with the webhook's certificate.
pub const WEBHOOK_CERTIFICATE: &str = "tidegate-webhook-tls";

/// The webhook in its `MutatingWebhookConfiguration`.
pub const WEBHOOK: &str = "inject.tidegate.dev";

/// The audience of the tokens that pods present to the controller.
pub const TOKEN_AUDIENCE: &str = "tidegate";

/// The label by which a namespace opts in to the sidecar.
pub const INJECT_LABEL: &str = "tidegate.dev/inject=enabled";

/// The reporting controller of an Event.
pub const REPORTING_CONTROLLER: &str = "tidegate.dev/controller";

/// What keeps a `TrafficScaler` that is deleted there until its target has been woken: on it only
/// while the target is at zero, or on its way there.
pub const FINALIZER: &str = "tidegate.dev/wake-target";

/// The label that ties an EndpointSlice to its Service; Kubernetes' own.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The label that names the manager of an EndpointSlice; Kubernetes' own.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// The Service through which the API server asks for external metrics.
pub const EXTERNAL_METRICS_SERVICE: &str = "tidegate-external-metrics";
