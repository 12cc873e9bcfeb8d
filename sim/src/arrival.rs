//! What traffic is to the engine: a stream of arrivals in order of time.
//!
//! Readers of recordings and generators implement [`ArrivalSource`]; the engine pulls one arrival
//! at a time and never looks ahead further than one, so memory does not grow with the trace. A
//! [`Traffic`] can be opened many times, so that a comparison or a sweep replays the very same
//! arrivals on every thread.

use serde::{Deserialize, Serialize};

use crate::time::{SimSpan, SimTime};

/// Which revision an arrival is for: an index into the source's [`RevisionNames`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RevisionIndex(pub u32);

/// One request on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it reaches the activator or ingress.
    pub at: SimTime,
    /// How long one instance works on it when nothing else disturbs; `None` leaves it to the
    /// scenario's service-time distribution.
    pub service: Option<SimSpan>,
    /// The revision it is for.
    pub revision: RevisionIndex,
}

/// The names of revisions seen so far, in order of first sight. Grows only at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionNames {
    names: Vec<String>,
    index: std::collections::HashMap<String, u32>,
}

/// Why a source cannot go on: a reader's error names file, line and column.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Arrivals, one after another, never going back in time.
pub trait ArrivalSource {
    /// The next arrival, `None` at the end. An error ends the run and is reported as it is; a
    /// source that skips bad rows counts them itself. An arrival earlier than the one before it is
    /// an error of the source, and the engine reports it as such.
    fn next(&mut self) -> Option<Result<Arrival, SourceError>>;

    /// Names of the revisions seen so far; must cover every id already handed out.
    fn names(&self) -> &RevisionNames;

    /// Rows skipped so far because they could not be understood (only when asked to skip).
    fn skipped(&self) -> u64 {
        0
    }
}

/// Traffic that can be replayed from its beginning any number of times, from any thread, each time
/// the same.
pub trait Traffic: Send + Sync {
    /// Starts it from the beginning.
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError>;

    /// Starts it from the beginning with another seed of whatever chance is in it. Traffic without
    /// chance, such as a recording that says every moment, is the same with every seed.
    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let _without_chance = seed;
        self.open()
    }

    /// Lower-case hexadecimal SHA-256 of what defines the arrivals: the bytes of the trace, or the
    /// generator's specification with its seed.
    fn sha256(&self) -> String;

    /// One line for people: the file's name or the generator's specification.
    fn describe(&self) -> String;

    /// Mean memory of an instance of a revision in megabytes, where it is known.
    fn memory_mb(&self, revision: &str) -> Option<f64> {
        let _unknown = revision;
        None
    }

    /// Total number of arrivals where it is known, for progress bars.
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// Traffic that is another's but for how its arrivals are played.
pub trait Wrapper: Send + Sync {
    /// The traffic underneath.
    fn inner(&self) -> &dyn Traffic;

    /// The seed to play it with where nobody asks for one; `None` leaves it its own.
    fn seed(&self) -> Option<u64> {
        None
    }

    /// What is played instead of an opened source of it.
    ///
    /// # Errors
    ///
    /// Why it cannot be played.
    fn play(
        &self,
        source: Box<dyn ArrivalSource + Send>,
    ) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(source)
    }
}

impl<W: Wrapper> Traffic for W {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        match self.seed() {
            Some(seed) => self.open_seeded(seed),
            None => self.play(self.inner().open()?),
        }
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        self.play(self.inner().open_seeded(seed)?)
    }

    fn sha256(&self) -> String {
        self.inner().sha256()
    }

    fn describe(&self) -> String {
        self.inner().describe()
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.inner().memory_mb(revision)
    }

    fn len_hint(&self) -> Option<u64> {
        self.inner().len_hint()
    }
}

impl RevisionNames {
    /// No names yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exactly one revision called `name`, with id 0.
    pub fn one(name: &str) -> Self {
        let mut names = Self::new();
        names.intern(name);
        names
    }

    /// The id of `name`, new when it was not seen before.
    pub fn intern(&mut self, name: &str) -> RevisionIndex {
        if let Some(&id) = self.index.get(name) {
            return RevisionIndex(id);
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), id);
        RevisionIndex(id)
    }

    /// The id of `name`, when it was seen.
    pub fn find(&self, name: &str) -> Option<RevisionIndex> {
        self.index.get(name).copied().map(RevisionIndex)
    }

    /// The name of `id`; `None` for one that was never handed out.
    pub fn get(&self, id: RevisionIndex) -> Option<&str> {
        self.names.get(id.0 as usize).map(String::as_str)
    }

    /// The name of `id` for people, or `?` for one that was never handed out. A trace may name a
    /// revision `?` too: [`RevisionNames::get`] tells the two apart.
    pub fn name(&self, id: RevisionIndex) -> &str {
        self.get(id).unwrap_or("?")
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name was seen.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All names in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Arrivals held in memory: for tests, and for embedding callers that have their own.
#[derive(Debug, Clone)]
pub struct ArrivalList {
    arrivals: std::vec::IntoIter<Arrival>,
    names: RevisionNames,
}

impl ArrivalList {
    /// Plays `arrivals` of the revisions `names` in order.
    pub fn new(arrivals: Vec<Arrival>, names: RevisionNames) -> Self {
        ArrivalList { arrivals: arrivals.into_iter(), names }
    }
}

impl ArrivalSource for ArrivalList {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        self.arrivals.next().map(Ok)
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}
