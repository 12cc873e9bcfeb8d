//! Arrivals that were read once and are kept, so that another question does not read them again.

use std::sync::Arc;

use tidegate_sim::{Arrival, ArrivalSource, RevisionNames, SourceError, Traffic};

/// Arrivals kept at most: 32 bytes each, 160 MB in all. More are read again for every question.
pub const ARRIVALS_MAX: usize = 5_000_000;

/// Traffic, kept where it is small enough.
pub struct Replay {
    inner: Arc<dyn Traffic>,
    kept: Option<Kept>,
    /// How many requests there are.
    pub requests: u64,
    /// How many revisions there are.
    pub revisions: usize,
    /// Whether any request brings a service time of its own.
    pub has_service: bool,
    /// Rows that were left out.
    pub skipped: u64,
}

/// What was read: the arrivals, and how many names were known at which of them.
#[derive(Debug, Clone)]
struct Kept {
    arrivals: Arc<[Arrival]>,
    names: Arc<[String]>,
    /// Index of an arrival, and how many names were known once it had been read.
    grown: Arc<[(usize, usize)]>,
    known_at_first: usize,
}

impl Replay {
    /// Reads `inner` to its end.
    ///
    /// # Errors
    ///
    /// What its reader says.
    pub fn new(inner: Arc<dyn Traffic>) -> Result<Self, SourceError> {
        let mut source = inner.open()?;
        let known_at_first = source.names().len();
        let (mut arrivals, mut grown) = (Vec::new(), Vec::new());
        let (mut requests, mut known, mut has_service) = (0_u64, known_at_first, false);
        while let Some(arrival) = source.next() {
            let arrival = arrival?;
            has_service |= arrival.service.is_some();
            if source.names().len() > known {
                known = source.names().len();
                grown.push((arrivals.len(), known));
            }
            if arrivals.len() < ARRIVALS_MAX {
                arrivals.push(arrival);
            }
            requests += 1;
        }
        let names: Arc<[String]> = source.names().iter().map(str::to_owned).collect();
        let (revisions, skipped) = (names.len(), source.skipped());
        let grown = grown.into();
        let is_whole = arrivals.len() as u64 == requests;
        let kept =
            is_whole.then(|| Kept { arrivals: arrivals.into(), names, grown, known_at_first });
        drop(source);
        Ok(Replay { inner, kept, requests, revisions, has_service, skipped })
    }
}

impl Traffic for Replay {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        match &self.kept {
            Some(kept) => Ok(Box::new(Played::new(kept.clone()))),
            None => self.inner.open(),
        }
    }

    fn sha256(&self) -> String {
        self.inner.sha256()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.inner.memory_mb(revision)
    }

    fn len_hint(&self) -> Option<u64> {
        Some(self.requests)
    }
}

/// The same traffic for a run whose hash nobody reads: of a large trace it takes as long as a run.
pub struct Unhashed<'a>(pub &'a Replay);

impl Traffic for Unhashed<'_> {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        self.0.open()
    }

    fn sha256(&self) -> String {
        String::new()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.0.memory_mb(revision)
    }

    fn len_hint(&self) -> Option<u64> {
        self.0.len_hint()
    }
}

/// Plays what was kept. Names become known when the reader knew them: a revision begins, with the
/// instances that always stay, when it is first seen.
struct Played {
    kept: Kept,
    next: usize,
    next_growth: usize,
    names: RevisionNames,
}

impl Played {
    fn new(kept: Kept) -> Self {
        let mut names = RevisionNames::new();
        for name in &kept.names[..kept.known_at_first] {
            names.intern(name);
        }
        Played { kept, next: 0, next_growth: 0, names }
    }
}

impl ArrivalSource for Played {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let arrival = *self.kept.arrivals.get(self.next)?;
        if let Some(&(at, known)) = self.kept.grown.get(self.next_growth)
            && at == self.next
        {
            for name in &self.kept.names[self.names.len()..known] {
                self.names.intern(name);
            }
            self.next_growth += 1;
        }
        self.next += 1;
        Some(Ok(arrival))
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}
