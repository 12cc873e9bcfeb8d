//! Settings: Knative's names and meanings, read from text, checked, and resolved to numbers.
//!
//! [`Config`] is the cluster's `config-autoscaler`, [`Overrides`] one revision's annotations, and
//! [`Resolved`] what the two come to for a given [`Workload`]. Reading reports everything that is
//! wrong at once, each finding with its key, its value and what would be accepted.
//!
//! In reading order: [`Violations`], [`Config`], [`Overrides`], [`ScaleBounds`], [`Resolved`],
//! [`HpaObject`]; with feature `files` also `files`, which reads manifests and flat files. How Go
//! writes numbers and durations is `tidegate-go-text`'s.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tidegate_autoscaler::settings::{
//!     Config, Overrides, Reachability, Resolved, Strictness, Workload,
//! };
//!
//! let data = BTreeMap::from([("stable-window".to_owned(), "30s".to_owned())]);
//! let config = Config::from_map(&data, Strictness::Strict)?;
//! let max = "autoscaling.knative.dev/max-scale".to_owned();
//! let annotations = BTreeMap::from([(max, "5".to_owned())]);
//! let overrides = Overrides::parse(&annotations, &config, Strictness::Strict)?;
//! let workload = Workload { container_concurrency: 10, reachability: Reachability::Reachable };
//! let resolved = Resolved::new(&config, &overrides, workload);
//! assert_eq!(resolved.spec.target_value, 7.0);
//! assert_eq!(resolved.bounds.max, 5);
//! # Ok::<(), tidegate_autoscaler::settings::Violations>(())
//! ```

mod annotations;
mod bounds;
mod config;
#[cfg(feature = "files")]
pub mod files;
mod hpa_object;
mod names;
mod resolve;
mod violation;

pub use annotations::{
    ANNOTATION_KEYS, AnnotationKey, Overrides, PROGRESS_DEADLINE, unknown_annotations,
    validate_annotations,
};
pub use bounds::ScaleBounds;
pub use config::{
    CONFIG_KEYS, Config, HPA_CLASS, KPA_CLASS, RPS_UTILIZATION, TARGET_MIN, WINDOW_MAX, WINDOW_MIN,
    unknown_config_keys,
};
pub use hpa_object::{HpaMetric, HpaObject, HpaTarget};
pub use names::{
    ANNOTATION_PREFIX, SettingsByName, annotation, setting_names, sort_settings, unknown_setting,
};
pub use resolve::{Reachability, Resolved, Workload};
pub use tidegate_go_text::{DurationError, GoDuration};
pub use violation::{Strictness, Violation, Violations};
