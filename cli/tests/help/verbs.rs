//! The verbs of `tidegate`, for the tests that go through all of them.

/// Every verb that people type.
pub(crate) const VERBS: [&str; 21] = [
    "",
    "run",
    "demo",
    "decide",
    "explain",
    "sim",
    "sim run",
    "sim compare",
    "sim sweep",
    "sim recommend",
    "sim fit",
    "sim traffic",
    "sim validate",
    "inject",
    "activator",
    "controller",
    "webhook",
    "queue-proxy",
    "crd",
    "completions",
    "man",
];
