//! One report: how busy instances or activators were over about a second.

use std::fmt;

/// The largest figure a report may carry. Sums of a whole window of them stay far from
/// infinity, so arithmetic on validated samples never yields NaN.
pub const MAX_FIGURE: f64 = 1e15;

/// What a sample covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Origin {
    /// All instances of the revision together, as scraped or summed over their reports.
    Instances,
    /// Requests held or carried by an activator. Activators add up.
    Activator,
}

/// How busy a revision was over about one second; revision totals, not per instance.
///
/// Figures are finite and in `0..=`[`MAX_FIGURE`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "RawSample", into = "RawSample"))]
pub struct Sample {
    concurrency: f64,
    proxied_concurrency: f64,
    request_rate: f64,
    proxied_request_rate: f64,
}

impl Sample {
    /// A second without any request.
    pub const IDLE: Sample = Sample {
        concurrency: 0.0,
        proxied_concurrency: 0.0,
        request_rate: 0.0,
        proxied_request_rate: 0.0,
    };

    /// Builds a sample from the average number of concurrent requests, the part of it that came
    /// through an activator, requests per second, and the part of those that came through an
    /// activator.
    ///
    /// # Errors
    ///
    /// [`SampleError`] when a figure is NaN, infinite, negative or above [`MAX_FIGURE`].
    pub fn new(
        concurrency: f64,
        proxied_concurrency: f64,
        request_rate: f64,
        proxied_request_rate: f64,
    ) -> Result<Sample, SampleError> {
        let check = |field: &'static str, value: f64| {
            if (0.0..=MAX_FIGURE).contains(&value) {
                Ok(value)
            } else {
                Err(SampleError { field, value })
            }
        };
        Ok(Sample {
            concurrency: check("concurrency", concurrency)?,
            proxied_concurrency: check("proxied concurrency", proxied_concurrency)?,
            request_rate: check("request rate", request_rate)?,
            proxied_request_rate: check("proxied request rate", proxied_request_rate)?,
        })
    }

    /// A sample of `concurrency` average concurrent requests and nothing else.
    ///
    /// # Errors
    ///
    /// [`SampleError`] when the figure is NaN, infinite, negative or above [`MAX_FIGURE`].
    pub fn of_concurrency(concurrency: f64) -> Result<Sample, SampleError> {
        Sample::new(concurrency, 0.0, 0.0, 0.0)
    }

    /// Average number of requests in flight.
    pub const fn concurrency(&self) -> f64 {
        self.concurrency
    }

    /// The part of [`Self::concurrency`] that an activator reports as well.
    pub const fn proxied_concurrency(&self) -> f64 {
        self.proxied_concurrency
    }

    /// Requests per second.
    pub const fn request_rate(&self) -> f64 {
        self.request_rate
    }

    /// The part of [`Self::request_rate`] that an activator reports as well.
    pub const fn proxied_request_rate(&self) -> f64 {
        self.proxied_request_rate
    }

    /// Whether there was any request in the second.
    pub(crate) fn is_busy(&self) -> bool {
        self.concurrency > 0.0 || self.request_rate > 0.0
    }

    /// What goes into the windows, concurrency and request rate, less what activators count.
    pub(crate) fn own(&self) -> [f64; 2] {
        [self.concurrency - self.proxied_concurrency, self.request_rate - self.proxied_request_rate]
    }
}

/// A figure of a report that no report can carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleError {
    /// The figure's name.
    pub field: &'static str,
    /// The value that was refused.
    pub value: f64,
}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SampleError { field, value } = self;
        write!(f, "sample: {field} is {value}, expected a number from 0 to {MAX_FIGURE:e}")
    }
}

impl std::error::Error for SampleError {}

/// The same figures before they are checked.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct RawSample {
    concurrency: f64,
    #[serde(default)]
    proxied_concurrency: f64,
    #[serde(default)]
    request_rate: f64,
    #[serde(default)]
    proxied_request_rate: f64,
}

#[cfg(feature = "serde")]
impl TryFrom<RawSample> for Sample {
    type Error = SampleError;

    fn try_from(raw: RawSample) -> Result<Sample, SampleError> {
        Sample::new(
            raw.concurrency,
            raw.proxied_concurrency,
            raw.request_rate,
            raw.proxied_request_rate,
        )
    }
}

#[cfg(feature = "serde")]
impl From<Sample> for RawSample {
    fn from(sample: Sample) -> RawSample {
        RawSample {
            concurrency: sample.concurrency,
            proxied_concurrency: sample.proxied_concurrency,
            request_rate: sample.request_rate,
            proxied_request_rate: sample.proxied_request_rate,
        }
    }
}
