//! From the responses of some instances to a sample of all of them, as Knative scrapes.
//!
//! Nothing is fetched here: the caller asks instances one after the other and hands the responses
//! to a [`ScrapeRound`] until it wants no more; the [`Scraper`] computes what they amount to and
//! whether the next instances are asked directly or through the revision's service.

use std::fmt;

use crate::sample::Sample;

/// `1.96^2 * 100 / 25`: a sample of the instances whose mean is within five units of the mean of
/// all with 95 % confidence, when their load has a variance of 100.
const SAMPLE_FACTOR: f64 = 15.3664;

/// Populations up to this size are asked completely.
const SMALL_POPULATION: u32 = 3;

/// How many of `population` instances are asked; never more than 16.
pub fn sample_size(population: u32) -> u32 {
    if population <= SMALL_POPULATION {
        return population;
    }
    let population = f64::from(population);
    (population * SAMPLE_FACTOR / (population + SAMPLE_FACTOR - 1.0)).ceil() as u32
}

/// Whether instances can be asked directly or a mesh stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MeshMode {
    /// Directly, until every instance refuses as a mesh would; then through the service.
    #[default]
    Auto,
    /// Always through the service.
    Enabled,
    /// Always directly.
    Disabled,
    /// Always directly, and a mesh that lets addresses through is no reason to fall back.
    PassthroughLoadBalancer,
}

/// How instances are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Each at its own address.
    Direct,
    /// Through the service of the revision, which picks one.
    Service,
}

/// The response of one instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScrapeResponse {
    /// Its figures.
    Sample(Sample),
    /// HTTP 502 or 503, which is how a mesh refuses.
    MeshRefusal,
    /// Any other failure.
    Failure,
}

/// Why a scrape yielded nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScrapeError {
    /// Too few instances responded.
    Exhausted,
    /// None responded, and all refused as a mesh would.
    MeshRefused,
}

impl fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScrapeError::Exhausted => "pods exhausted",
            ScrapeError::MeshRefused => "all pod scrapes returned 503 error",
        })
    }
}

impl std::error::Error for ScrapeError {}

/// What a finished scrape amounts to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scraped {
    /// The figures of all instances together: record them.
    Sample(Sample),
    /// There are no instances to ask; record nothing.
    Nobody,
    /// Ask again, through the service.
    TryService,
    /// Record nothing.
    Failed(ScrapeError),
}

/// Collects the responses of one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeRound {
    method: Method,
    population: u32,
    wanted: u32,
    answered: u32,
    refused_otherwise: bool,
    sum: [f64; 4],
}

impl ScrapeRound {
    /// How instances are to be asked.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether another instance is to be asked, if there is one.
    pub fn wants_more(&self) -> bool {
        self.answered < self.wanted
    }

    /// Takes a response; one more than wanted is ignored.
    pub fn take(&mut self, answer: ScrapeResponse) {
        if !self.wants_more() {
            return;
        }
        match answer {
            ScrapeResponse::Sample(sample) => {
                self.answered += 1;
                let figures = [
                    sample.concurrency(),
                    sample.proxied_concurrency(),
                    sample.request_rate(),
                    sample.proxied_request_rate(),
                ];
                for (sum, figure) in self.sum.iter_mut().zip(figures) {
                    *sum += figure;
                }
            }
            ScrapeResponse::MeshRefusal => {}
            ScrapeResponse::Failure => self.refused_otherwise = true,
        }
    }

    /// The sample of all instances, if enough of them responded.
    fn extrapolate(&self) -> Result<Sample, ScrapeError> {
        if self.wants_more() {
            let mesh = self.answered == 0 && !self.refused_otherwise;
            return Err(if mesh { ScrapeError::MeshRefused } else { ScrapeError::Exhausted });
        }
        let all = self.sum.map(|sum| sum / f64::from(self.wanted) * f64::from(self.population));
        Sample::new(all[0], all[1], all[2], all[3]).map_err(|_| ScrapeError::Exhausted)
    }
}

/// Decides how a revision's instances are asked, and remembers that there is a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scraper {
    mode: MeshMode,
    service_only: bool,
}

impl Scraper {
    /// A scraper that knows of no mesh yet. Make a new one when the revision's metric changes.
    pub fn new(mode: MeshMode) -> Scraper {
        Scraper { mode, service_only: false }
    }

    /// Begins a scrape of `population` ready instances.
    ///
    /// Ask those first that are at least a stable window old, in random order if there are
    /// enough of them, then the younger ones; replace one that fails by the next.
    pub fn begin(&self, population: u32) -> ScrapeRound {
        let service = self.service_only || self.mode == MeshMode::Enabled;
        self.gather(if service { Method::Service } else { Method::Direct }, population)
    }

    /// Begins the second attempt that [`Scraped::TryService`] asks for.
    pub fn begin_service(&self, population: u32) -> ScrapeRound {
        self.gather(Method::Service, population)
    }

    fn gather(&self, method: Method, population: u32) -> ScrapeRound {
        ScrapeRound {
            method,
            population,
            wanted: sample_size(population),
            answered: 0,
            refused_otherwise: false,
            sum: [0.0; 4],
        }
    }

    /// Ends a scrape whose instances were all asked or enough of which responded.
    pub fn finish(&mut self, gathering: &ScrapeRound) -> Scraped {
        if gathering.population == 0 {
            return Scraped::Nobody;
        }
        match gathering.extrapolate() {
            Ok(sample) => {
                if self.mode == MeshMode::Auto && gathering.method == Method::Service {
                    self.service_only = true;
                }
                Scraped::Sample(sample)
            }
            Err(ScrapeError::MeshRefused)
                if self.mode == MeshMode::Auto && gathering.method == Method::Direct =>
            {
                Scraped::TryService
            }
            Err(error) => Scraped::Failed(error),
        }
    }
}
