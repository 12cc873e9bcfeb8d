//! Faults that a test injects.

use http::Method;

/// A way for a request to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429, with a `Retry-After` of so many seconds.
    TooMany {
        /// How long to wait.
        retry_after_seconds: u32,
    },
    /// 500.
    Internal,
    /// 403, as without the right.
    Forbidden,
    /// The request is executed, and its response is lost: the client gets a 504.
    LostResponse,
}

/// Faults for future requests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    coming: Vec<Coming>,
}

#[derive(Debug)]
struct Coming {
    method: Method,
    part_of_path: String,
    fault: Fault,
    left: usize,
}

impl Faults {
    pub(crate) fn add(&mut self, method: Method, part_of_path: &str, fault: Fault, times: usize) {
        let part_of_path = part_of_path.to_owned();
        self.coming.push(Coming { method, part_of_path, fault, left: times });
    }

    /// The fault of this request, if it has one.
    pub(crate) fn take(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let is_it = |coming: &&mut Coming| {
            coming.left > 0 && coming.method == *method && path.contains(&coming.part_of_path)
        };
        let coming = self.coming.iter_mut().find(is_it)?;
        coming.left -= 1;
        Some(coming.fault)
    }
}
