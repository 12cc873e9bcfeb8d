//! Traffic made from other traffic: more or less of it, faster or slower, a part, several together.

use std::sync::Arc;

use tidegate_sim::arrival::{
    Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError, Traffic,
};
use tidegate_sim::random::{Stream, Streams};
use tidegate_sim::time::{SimSpan, SimTime};

use crate::input::sha256_of;

/// Most copies of one arrival: a thousandfold trace is no longer that trace.
pub const SCALE_MAX: f64 = 1_000.0;

/// One change to traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// So many times as many requests in the same time. Whole copies lie at random between an
    /// arrival and the next, so bursts keep their place and do not become instantaneous; a factor
    /// below one leaves requests out at random.
    Scale(f64),
    /// The same requests in so many times less time.
    Warp(f64),
    /// Only the requests from the first span (included) to the second (not included), which then
    /// begin at time zero.
    Slice(SimSpan, SimSpan),
    /// Each request with this probability, as a sampling collector would have kept it.
    Sample(f64),
    /// Each revision, with all its requests, with this probability.
    SampleRevisions(f64),
}

/// Traffic after one [`Transform`].
pub struct Transformed {
    inner: Arc<dyn Traffic>,
    transform: Transform,
    seed: u64,
}

/// Several traffics at once; revisions of the same name are the same revision.
pub struct Merged {
    parts: Vec<Arc<dyn Traffic>>,
}

impl std::fmt::Display for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Transform::Scale(factor) => write!(f, "scaled by {factor}"),
            Transform::Warp(factor) => write!(f, "{factor} times as fast"),
            Transform::Slice(from, to) if *to == SimSpan::FOREVER => {
                write!(f, "from {} s", from.as_secs_f64())
            }
            Transform::Slice(from, to) => {
                write!(f, "from {} s to {} s", from.as_secs_f64(), to.as_secs_f64())
            }
            Transform::Sample(share) => write!(f, "{share} of all requests"),
            Transform::SampleRevisions(share) => write!(f, "{share} of all revisions"),
        }
    }
}

impl Transformed {
    /// `inner` after `transform`, with random choices from `seed`.
    ///
    /// # Errors
    ///
    /// When a factor or share is out of range; the message says which range.
    pub fn new(inner: Arc<dyn Traffic>, transform: Transform, seed: u64) -> Result<Self, String> {
        let expected = match transform {
            Transform::Scale(factor) if !(factor > 0.0 && factor <= SCALE_MAX) => {
                Some(format!("a scale above 0 and up to {SCALE_MAX}, found {factor}"))
            }
            Transform::Warp(factor) if !(factor > 0.0 && factor.is_finite()) => {
                Some(format!("a warp factor above 0, found {factor}"))
            }
            Transform::Slice(from, to) if from >= to => {
                Some("a slice that ends after it begins".to_owned())
            }
            Transform::Sample(share) | Transform::SampleRevisions(share)
                if !(share > 0.0 && share <= 1.0) =>
            {
                Some(format!("a share above 0 and up to 1, found {share}"))
            }
            _ => None,
        };
        match expected {
            Some(expected) => Err(format!("expected {expected}")),
            None => Ok(Transformed { inner, transform, seed }),
        }
    }
}

impl Traffic for Transformed {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(self.change(self.inner.open()?, self.seed))
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(self.change(self.inner.open_seeded(seed)?, seed))
    }

    /// The hash of the trace itself: what was done to it stands in the settings.
    fn sha256(&self) -> String {
        self.inner.sha256()
    }

    fn describe(&self) -> String {
        format!("{}, {}", self.inner.describe(), self.transform)
    }

    fn len_hint(&self) -> Option<u64> {
        let length = self.inner.len_hint()?;
        match self.transform {
            Transform::Scale(factor) | Transform::Sample(factor) => {
                Some((length as f64 * factor) as u64)
            }
            Transform::Warp(_) => Some(length),
            Transform::Slice(..) | Transform::SampleRevisions(_) => None,
        }
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.inner.memory_mb(revision)
    }
}

impl Transformed {
    fn change(
        &self,
        inner: Box<dyn ArrivalSource + Send>,
        seed: u64,
    ) -> Box<dyn ArrivalSource + Send> {
        let streams = Streams::new(seed);
        match self.transform {
            Transform::Scale(factor) => Box::new(Scaled::new(inner, factor, streams)),
            Transform::Sample(share) => Box::new(Scaled::new(inner, share, streams)),
            Transform::Warp(factor) => Box::new(Warped { inner, factor }),
            Transform::Slice(from, to) => {
                let from = SimTime::ZERO + from;
                Box::new(Sliced { inner, from, to: SimTime::ZERO + to })
            }
            Transform::SampleRevisions(share) => {
                Box::new(Chosen { inner, share, streams, chosen: Vec::new() })
            }
        }
    }
}

/// More or fewer of the same arrivals.
struct Scaled {
    inner: Box<dyn ArrivalSource + Send>,
    factor: f64,
    stream: Stream,
    /// The arrival after the ones being copied.
    ahead: Option<Arrival>,
    /// Copies not yet handed out, latest first.
    copies: Vec<Arrival>,
    started: bool,
}

impl Scaled {
    fn new(inner: Box<dyn ArrivalSource + Send>, factor: f64, streams: Streams) -> Self {
        let stream = streams.stream("scale", 0);
        Scaled { inner, factor, stream, ahead: None, copies: Vec::new(), started: false }
    }

    fn advance(&mut self) -> Result<Option<Arrival>, SourceError> {
        if !self.started {
            self.started = true;
            self.ahead = self.inner.next().transpose()?;
        }
        loop {
            if let Some(copy) = self.copies.pop() {
                return Ok(Some(copy));
            }
            let Some(arrival) = self.ahead.take() else { return Ok(None) };
            self.ahead = self.inner.next().transpose()?;
            let whole = self.factor as u64;
            let extra = self.stream.unit() < self.factor - whole as f64;
            let count = whole + u64::from(extra);
            let gap = self.ahead.map_or(SimSpan::ZERO, |next| next.at.since(arrival.at));
            for copy in 0..count {
                // One copy stays where it was.
                let offset = if copy == 0 { 0 } else { self.stream.below(gap.as_nanos().max(1)) };
                let at = arrival.at + SimSpan::from_nanos(offset);
                self.copies.push(Arrival { at, ..arrival });
            }
            self.copies.sort_by_key(|copy| std::cmp::Reverse(copy.at));
        }
    }
}

impl ArrivalSource for Scaled {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        self.advance().transpose()
    }

    fn names(&self) -> &RevisionNames {
        self.inner.names()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped()
    }
}

/// The same arrivals on a faster or slower clock.
struct Warped {
    inner: Box<dyn ArrivalSource + Send>,
    factor: f64,
}

impl ArrivalSource for Warped {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let next = self.inner.next()?;
        Some(next.map(|arrival| {
            let nanos = (arrival.at.as_nanos() as f64 / self.factor + 0.5) as u64;
            Arrival { at: SimTime::from_nanos(nanos), ..arrival }
        }))
    }

    fn names(&self) -> &RevisionNames {
        self.inner.names()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped()
    }
}

/// A part of the arrivals, moved to the beginning.
struct Sliced {
    inner: Box<dyn ArrivalSource + Send>,
    from: SimTime,
    to: SimTime,
}

impl ArrivalSource for Sliced {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        loop {
            match self.inner.next()? {
                Ok(arrival) if arrival.at < self.from => {}
                Ok(arrival) if arrival.at >= self.to => return None,
                Ok(arrival) => {
                    let at = SimTime::ZERO + arrival.at.since(self.from);
                    return Some(Ok(Arrival { at, ..arrival }));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn names(&self) -> &RevisionNames {
        self.inner.names()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped()
    }
}

/// The arrivals of some revisions.
struct Chosen {
    inner: Box<dyn ArrivalSource + Send>,
    share: f64,
    streams: Streams,
    chosen: Vec<bool>,
}

impl ArrivalSource for Chosen {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        loop {
            let next = self.inner.next()?;
            let Ok(arrival) = &next else { return Some(next) };
            let id = arrival.revision.0 as usize;
            while self.chosen.len() <= id {
                let mut stream = self.streams.stream("choose", self.chosen.len() as u64);
                self.chosen.push(stream.unit() < self.share);
            }
            if self.chosen[id] {
                return Some(next);
            }
        }
    }

    fn names(&self) -> &RevisionNames {
        self.inner.names()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped()
    }
}

impl Merged {
    /// All of `parts` together.
    pub fn new(parts: Vec<Arc<dyn Traffic>>) -> Self {
        Merged { parts }
    }
}

impl Traffic for Merged {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        merge(self.parts.iter().map(|part| part.open()))
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        merge(self.parts.iter().map(|part| part.open_seeded(seed)))
    }

    fn sha256(&self) -> String {
        let hashes: Vec<String> = self.parts.iter().map(|part| part.sha256()).collect();
        match &hashes[..] {
            [one] => one.clone(),
            many => sha256_of(&many.join("\n")),
        }
    }

    fn describe(&self) -> String {
        self.parts.iter().map(|part| part.describe()).collect::<Vec<_>>().join(" and ")
    }

    fn len_hint(&self) -> Option<u64> {
        self.parts.iter().map(|part| part.len_hint()).sum()
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.parts.iter().find_map(|part| part.memory_mb(revision))
    }
}

/// `sources` as one.
fn merge(
    sources: impl Iterator<Item = Result<Box<dyn ArrivalSource + Send>, SourceError>>,
) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
    let mut merging = Merging { parts: Vec::new(), names: RevisionNames::new() };
    for source in sources {
        let mut source = source?;
        let ahead = source.next().transpose()?;
        merging.parts.push(Part { source, ahead, ids: Vec::new() });
    }
    Ok(Box::new(merging))
}

struct Part {
    source: Box<dyn ArrivalSource + Send>,
    ahead: Option<Arrival>,
    /// Ids of the part as ids of the whole.
    ids: Vec<RevisionIndex>,
}

struct Merging {
    parts: Vec<Part>,
    names: RevisionNames,
}

impl ArrivalSource for Merging {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        // Merges have a handful of parts, so looking at each is cheaper than a heap.
        let parts = self.parts.iter_mut().filter(|part| part.ahead.is_some());
        let first = parts.min_by_key(|part| part.ahead.map(|arrival| arrival.at))?;
        let arrival = first.ahead.take()?;
        match first.source.next().transpose() {
            Ok(next) => first.ahead = next,
            Err(error) => return Some(Err(error)),
        }
        let id = arrival.revision.0 as usize;
        if first.ids.len() <= id {
            let names: Vec<String> =
                first.source.names().iter().skip(first.ids.len()).map(str::to_owned).collect();
            first.ids.extend(names.iter().map(|name| self.names.intern(name)));
        }
        let revision = first.ids.get(id).copied().unwrap_or(arrival.revision);
        Some(Ok(Arrival { revision, ..arrival }))
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }

    fn skipped(&self) -> u64 {
        self.parts.iter().map(|part| part.source.skipped()).sum()
    }
}
