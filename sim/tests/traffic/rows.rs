//! Traffic that a test writes down: requests of one revision.

use tidegate_sim::arrival::ArrivalList;
use tidegate_sim::{
    Arrival, ArrivalSource, RevisionIndex, RevisionNames, SimSpan, SimTime, SourceError, Traffic,
};

/// Requests in order: when each comes and how long it takes, milliseconds.
pub(crate) struct Rows(pub(crate) Vec<(u64, u64)>);

impl Traffic for Rows {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let arrivals = self.0.iter().map(|&(at_ms, service_ms)| Arrival {
            at: SimTime::from_nanos(at_ms * 1_000_000),
            service: Some(SimSpan::from_millis(service_ms)),
            revision: RevisionIndex(0),
        });
        Ok(Box::new(ArrivalList::new(arrivals.collect(), RevisionNames::one("web"))))
    }

    fn sha256(&self) -> String {
        String::new()
    }

    fn describe(&self) -> String {
        "rows".to_owned()
    }
}
