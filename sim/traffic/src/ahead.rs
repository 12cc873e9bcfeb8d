//! Traffic that is read or made up on a thread of its own, ahead of the simulation.
//!
//! The same arrivals in the same order, so the same results; where there is a second core, a run
//! then takes as long as the slower of the two instead of both.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tidegate_sim::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames};
use tidegate_sim::arrival::{SourceError, Traffic, Wrapper};

/// Arrivals handed over at once: enough that handing over costs nothing, few enough to stay in the
/// cache.
const BATCH: usize = 4_096;
/// Batches that may wait.
const BATCHES_AHEAD: usize = 4;

/// Traffic that is played by a thread of its own.
pub struct Ahead {
    inner: Arc<dyn Traffic>,
}

/// Arrivals, and what became known with them.
struct Batch {
    arrivals: Vec<Arrival>,
    /// Names that became known, each with how many of the arrivals had been pulled before: a
    /// simulation must not know them sooner, because a revision begins when it has a name.
    names: Vec<(usize, String)>,
    skipped: u64,
    /// Why there are no more, if that is an error.
    error: Option<SourceError>,
}

/// Takes what the thread hands over.
struct Reader {
    batches: Receiver<Batch>,
    arrivals: std::vec::IntoIter<Arrival>,
    pulled: usize,
    fresh: std::vec::IntoIter<(usize, String)>,
    error: Option<SourceError>,
    names: RevisionNames,
    skipped: u64,
}

impl Ahead {
    /// `inner`, ahead of whoever plays it.
    pub fn new(inner: Arc<dyn Traffic>) -> Ahead {
        Ahead { inner }
    }
}

impl Wrapper for Ahead {
    fn inner(&self) -> &dyn Traffic {
        self.inner.as_ref()
    }

    fn play(
        &self,
        source: Box<dyn ArrivalSource + Send>,
    ) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        // It ends with the traffic, or when its batches are not wanted any more.
        thread::Builder::new().name("arrivals".to_owned()).spawn(move || play(source, &sender))?;
        let mut reader = Reader {
            batches,
            arrivals: Vec::new().into_iter(),
            pulled: 0,
            fresh: Vec::new().into_iter(),
            error: None,
            names: RevisionNames::new(),
            skipped: 0,
        };
        // Names that are known from the beginning have to be, here too.
        reader.take_batch();
        reader.learn_names();
        Ok(Box::new(reader))
    }
}

fn play(mut source: Box<dyn ArrivalSource + Send>, sender: &SyncSender<Batch>) {
    let mut known = 0;
    let mut ends = false;
    while !ends {
        let mut arrivals = Vec::with_capacity(BATCH);
        let mut names = Vec::new();
        let mut error = None;
        loop {
            for index in known..source.names().len() {
                let name = source.names().name(RevisionIndex(index as u32));
                names.push((arrivals.len(), name.to_owned()));
            }
            known = source.names().len();
            if arrivals.len() == BATCH || ends {
                break;
            }
            match source.next() {
                Some(Ok(arrival)) => arrivals.push(arrival),
                Some(Err(problem)) => (error, ends) = (Some(problem), true),
                None => ends = true,
            }
        }
        let batch = Batch { arrivals, names, skipped: source.skipped(), error };
        if sender.send(batch).is_err() {
            return;
        }
    }
}

impl Reader {
    /// Takes the next batch; `false` when there is none.
    fn take_batch(&mut self) -> bool {
        let Ok(batch) = self.batches.recv() else { return false };
        // What the last batch ended with.
        self.pulled = usize::MAX;
        self.learn_names();
        (self.arrivals, self.fresh) = (batch.arrivals.into_iter(), batch.names.into_iter());
        (self.pulled, self.error, self.skipped) = (0, batch.error, batch.skipped);
        true
    }

    /// Takes note of the names that are known by now.
    fn learn_names(&mut self) {
        while self.fresh.as_slice().first().is_some_and(|(before, _)| *before <= self.pulled) {
            if let Some((_, name)) = self.fresh.next() {
                self.names.intern(&name);
            }
        }
    }
}

impl ArrivalSource for Reader {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        loop {
            if let Some(arrival) = self.arrivals.next() {
                self.pulled += 1;
                self.learn_names();
                return Some(Ok(arrival));
            }
            if let Some(error) = self.error.take() {
                return Some(Err(error));
            }
            if !self.take_batch() {
                return None;
            }
        }
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}
