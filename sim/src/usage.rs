//! What a run used that is paid for, beside instances and requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run used beside instances; what is not known is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Memory of the instances times their time, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gb_hours: Option<f64>,
    /// Hours of GPUs: those of the nodes for as long as these are there, or, without nodes, those
    /// of the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_hours: Option<f64>,
    /// Hours of nodes, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_hours: Option<f64>,
    /// Each kind of node, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, NodeUsage>,
}

/// How nodes of one kind were used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeUsage {
    /// Hours of all of them together, from joining on.
    pub hours: f64,
    /// Most at once.
    pub most: u64,
    /// Nodes that joined after the beginning.
    pub joined: u64,
    /// Nodes that failed or were taken away.
    pub lost: u64,
}
