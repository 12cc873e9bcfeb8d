//! What the formula of a HorizontalPodAutoscaler is told of its cluster.

use tidegate_kubernetes_hpa::metric::{TOLERANCE, parse_tolerance};

/// The option of every command that explains a HorizontalPodAutoscaler, which it names by `--hpa`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ToleranceArgs {
    /// How far a ratio may be from 1 without effect: `--horizontal-pod-autoscaler-tolerance` of the
    /// cluster's kube-controller-manager.
    #[arg(
        long,
        value_name = "RATIO",
        requires = "hpa",
        default_value_t = TOLERANCE,
        value_parser = parse_tolerance,
        allow_negative_numbers = true
    )]
    pub tolerance: f64,
}
