//! What has to be known of an instance's processes to take them over from a run that was killed.

use serde::{Deserialize, Serialize};

use crate::instance::Proof;

/// An instance that may outlive the run that started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptInstance {
    /// Its revision, `namespace/name`.
    pub revision: String,
    /// Its name.
    pub instance: String,
    /// What its launch was, as [`Launch::digest`](crate::Launch::digest) has it.
    pub launch: u64,
    /// Its app.
    pub app: KeptProcess,
    /// Its queue-proxy.
    pub sidecar: KeptProcess,
    /// Where its app listens.
    pub app_port: u16,
    /// Where its queue-proxy takes requests.
    pub sidecar_port: u16,
    /// Whether it was ready, as far as its queue-proxy cannot see that.
    pub is_proved: bool,
}

/// A process, and no other one that is given its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProcess {
    /// Its number.
    pub pid: i32,
    /// When it was started, in the kernel's ticks since the machine was.
    pub started_ticks: u64,
}

impl KeptInstance {
    /// What its actuator need not prove again.
    pub(crate) fn proof(&self) -> Proof {
        if self.is_proved { Proof::Given } else { Proof::Missing }
    }

    /// Where its queue-proxy takes requests, `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.sidecar_port)
    }
}
