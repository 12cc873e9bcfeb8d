//! Who this sidecar is.

/// Who this sidecar is; all of it may be empty.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Namespace of the revision.
    pub namespace: String,
    /// Service that owns the revision.
    pub service: String,
    /// Configuration that made the revision.
    pub configuration: String,
    /// The revision.
    pub revision: String,
    /// This pod, or instance.
    pub pod: String,
    /// Address of this pod.
    pub pod_ip: String,
}
