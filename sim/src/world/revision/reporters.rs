//! Who reports the load of a revision, and what they have counted: its activator and, as one, the
//! sidecars of its instances. Their averages are additive.
//!
//! In a cluster the activator reports a revision only while it has requests of it: at once when the
//! first one comes, then every second, and once more that there are none. Nobody reports a revision
//! that has neither requests nor instances.

use tidegate_admission::meter::PeriodAverages;
use tidegate_admission::{Meter, Moment, Source};

use crate::time::NANOS_PER_SEC;
use crate::world::request::Way;

/// Whether the activator has a revision in its books, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Books {
    /// It has had no request of it for a second.
    Closed,
    /// It is about to say that the first request has come.
    Opened { at: u64 },
    /// It has said so, and leaves that request out of the report of this second.
    Announced { at: u64 },
    /// It reports every second.
    Open,
}

/// The meters of a revision.
#[derive(Debug, Clone)]
pub(crate) struct Reporters {
    activator: Meter,
    sidecars: Meter,
    books: Books,
    /// When all periods ended together, nanoseconds.
    closed_at: u64,
}

/// What a second's reports say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Second {
    /// The activator's, if it reports.
    pub(crate) activator: Option<Load>,
    /// That of all sidecars together.
    pub(crate) sidecars: Load,
}

/// The average concurrency of a second, and the requests that came in it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Load {
    pub(crate) concurrency: f64,
    pub(crate) requests: u64,
}

impl Load {
    fn of(period: &PeriodAverages) -> Load {
        Load { concurrency: period.average_concurrency, requests: period.request_count }
    }

    /// Both together.
    pub(crate) fn and(self, other: Load) -> Load {
        Load {
            concurrency: self.concurrency + other.concurrency,
            requests: self.requests + other.requests,
        }
    }
}

impl Reporters {
    /// Reporters that have counted nothing by `now`.
    pub(crate) const fn new(now: u64) -> Reporters {
        let meter = Meter::new(Moment::from_nanos(now));
        let sidecars = Meter::new(Moment::from_nanos(now));
        Reporters { activator: meter, sidecars, books: Books::Closed, closed_at: now }
    }

    /// Counts a request in. The activator's first one of a revision begins its period: what was
    /// before is no part of it.
    #[inline]
    pub(crate) fn arrive(&mut self, now: u64, way: Way) {
        let moment = Moment::from_nanos(now);
        match way {
            Way::Activator => {
                if self.books == Books::Closed {
                    self.books = Books::Opened { at: now };
                    let _ = self.activator.cut(moment);
                }
                self.activator.arrive(moment, Source::Direct);
            }
            Way::Direct => self.sidecars.arrive(moment, Source::Direct),
        }
    }

    /// Counts a request out.
    #[inline]
    pub(crate) fn depart(&mut self, now: u64, way: Way) {
        let meter = match way {
            Way::Activator => &mut self.activator,
            Way::Direct => &mut self.sidecars,
        };
        meter.depart(Moment::from_nanos(now), Source::Direct);
    }

    /// The revision has rested until `now`: no period of its sidecars contains that.
    pub(crate) fn rested(&mut self, now: u64) {
        let _ = self.sidecars.cut(Moment::from_nanos(now));
    }

    /// Whether the activator says now that a first request has come. The report is for the
    /// second that ends at the returned time, like the one in turn that leaves that request out.
    #[inline]
    pub(crate) fn announce(&mut self) -> Option<u64> {
        let Books::Opened { at } = self.books else { return None };
        self.books = Books::Announced { at };
        Some((at / NANOS_PER_SEC + 1) * NANOS_PER_SEC)
    }

    /// Whether the activator will report without another request.
    pub(crate) fn are_open(&self) -> bool {
        self.books != Books::Closed
    }

    /// Whether nothing but reports of no load will follow without another request: the last one
    /// said all that there was.
    pub(crate) fn are_up_to_date(&self) -> bool {
        matches!(self.books, Books::Closed | Books::Open)
    }

    /// Ends each of the seconds from the one that ends at `first` to the one that ends at `last`,
    /// all of them without a request.
    pub(crate) fn close_idle(&mut self, first: u64, last: u64) {
        let second = self.close(first);
        debug_assert_eq!(second.sidecars, Load::default(), "a sleeping revision had requests");
        let _ = self.sidecars.cut(Moment::from_nanos(last));
    }

    /// Ends everyone's second.
    pub(crate) fn close(&mut self, now: u64) -> Second {
        let sidecars = Load::of(&self.sidecars.cut(Moment::from_nanos(now)));
        Second { activator: self.close_books(now), sidecars }
    }

    /// Ends everyone's period where the activator reports whether it has requests or not. Returns
    /// its load, and its length in nanoseconds.
    pub(crate) fn close_all(&mut self, now: u64) -> (Load, u64) {
        let length = now.saturating_sub(std::mem::replace(&mut self.closed_at, now));
        let now = Moment::from_nanos(now);
        (Load::of(&self.activator.cut(now)).and(Load::of(&self.sidecars.cut(now))), length)
    }

    fn close_books(&mut self, now: u64) -> Option<Load> {
        let announced = match self.books {
            Books::Closed => return None,
            // Its period has only just begun.
            Books::Opened { at } | Books::Announced { at } if at == now => return None,
            Books::Announced { .. } => 1_u32,
            Books::Opened { .. } | Books::Open => 0,
        };
        let load = Load::of(&self.activator.cut(Moment::from_nanos(now)));
        self.books = if load.concurrency == 0.0 { Books::Closed } else { Books::Open };
        Some(Load {
            concurrency: (load.concurrency - f64::from(announced)).max(0.0),
            requests: load.requests.saturating_sub(u64::from(announced)),
        })
    }
}
