//! The recording of a service: every request as the front door saw it, and every instance.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_activator::{EndedRequest, RequestObserver};
use tidegate_controller::identity::InstanceName;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::{Handle, Notice};
use tidegate_queue_proxy::nonblocking_writer::WriterGuard;
use tidegate_queue_proxy::record::{RecordingWriter, micros};
use tidegate_recording::{
    CLIENT_CLOSED_REQUEST, Decision, Head, InstanceEvent, InstancePhase, Line, RecordedTimeline,
    Request,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Why a recording cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Something is in the file already.
    #[error("{0} is there already; a recording holds one run: name a file that does not exist yet")]
    Taken(PathBuf),
    /// The file cannot be created, or the system allows no further thread.
    #[error("cannot write to {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Records a service. Cheap to clone; memory is bounded and no request ever waits for it.
#[derive(Debug, Clone)]
pub struct Recording {
    writer: RecordingWriter,
    /// `namespace/name` of the only revision.
    revision: Arc<str>,
    /// Taken when the recording ends.
    flush: Arc<Mutex<Option<WriterGuard>>>,
}

impl Recording {
    /// Creates the file at `path` and writes the head that `head` makes of the time.
    ///
    /// # Errors
    ///
    /// When the file cannot be created, or is no empty one.
    pub fn create(path: &Path, head: impl FnOnce(u64) -> Head) -> Result<Self, RecordingError> {
        let failed = |source| RecordingError::Open { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let known = file.metadata().map_err(failed)?;
        if known.is_file() && known.len() > 0 {
            return Err(RecordingError::Taken(path.to_owned()));
        }
        let mut revision = String::new();
        let (writer, flush) = RecordingWriter::start(file, |began_unix_us| {
            let head = head(began_unix_us);
            revision.clone_from(&head.revision);
            head
        })
        .map_err(failed)?;
        let flush = Arc::new(Mutex::new(Some(flush)));
        Ok(Self { writer, revision: revision.into(), flush })
    }

    /// Notes what happens to an instance.
    fn notice(&self, notice: &Notice) {
        let (instance, phase) = match notice {
            Notice::Starting { instance } => (instance, InstancePhase::Starting),
            Notice::Ready { instance, .. } => (instance, InstancePhase::Ready),
            Notice::Draining { instance } => (instance, InstancePhase::Draining),
            Notice::Stopped { instance } | Notice::Crashed { instance, .. } => {
                (instance, InstancePhase::Gone)
            }
            _ => return,
        };
        self.instance(instance, phase);
    }

    fn instance(&self, instance: &InstanceName, phase: InstancePhase) {
        self.writer.write(&Line::Instance(InstanceEvent {
            at_unix_us: self.writer.clock().unix_us(Instant::now()),
            phase,
            revision: (&*self.revision).into(),
            instance: instance.to_string().into(),
        }));
    }

    /// Notes a decision.
    fn decision(&self, wanted: u32) {
        self.writer.write(&Line::Decision(Decision {
            at_unix_us: self.writer.clock().unix_us(Instant::now()),
            wanted,
            revision: (&*self.revision).into(),
        }));
    }

    /// Counts what was not noted.
    fn lose(&self, count: u64) {
        self.writer.lose(count);
    }

    /// Ends the recording, once, and waits for a moment until it is written.
    fn finish(&self) {
        let Some(flush) = self.flush.lock().take() else { return };
        self.writer.end(Instant::now());
        flush.finish();
    }

    /// Lines that could not be written, because the disk was too slow or full.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }
}

/// Notes what is decided and what happens to instances, and ends the recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Notes it from now on.
    pub(crate) fn start(recording: Recording, controller: &Handle) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (notices, decisions) = (controller.watch_notices(), controller.watch_decisions());
        let task = tokio::spawn(record_changes(recording, notices, decisions, stopped));
        Self { stop, task }
    }

    /// Notes what is left and ends the recording; waits for a moment until it is written.
    pub(crate) async fn finish(self) {
        drop(self.stop);
        // It fails only if the runtime ends, and nothing is left to be written then.
        let _ = self.task.await;
    }
}

async fn record_changes(
    recording: Recording,
    mut notices: broadcast::Receiver<Notice>,
    mut decisions: broadcast::Receiver<Arc<DecisionRecord>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut wanted = None;
    loop {
        tokio::select! {
            // A decision before its starts; and what has happened before the end belongs into it.
            biased;
            decision = decisions.recv() => match decision {
                Ok(decision) => {
                    let now = u32::try_from(decision.replicas()).unwrap_or(0);
                    if wanted.replace(now) != Some(now) {
                        recording.decision(now);
                    }
                }
                Err(RecvError::Lagged(count)) => recording.lose(count),
                Err(RecvError::Closed) => break,
            },
            notice = notices.recv() => match notice {
                Ok(notice) => recording.notice(&notice),
                Err(RecvError::Lagged(count)) => recording.lose(count),
                Err(RecvError::Closed) => break,
            },
            _ = &mut stopped => break,
        }
    }
    // It waits for the disk, if only for a moment.
    let _ = tokio::task::spawn_blocking(move || recording.finish()).await;
}

impl RequestObserver for Recording {
    fn ended(&self, request: &EndedRequest<'_>) {
        self.writer.write(&Line::Request(Request {
            arrived_unix_us: self.writer.clock().unix_us(request.arrived),
            wait_us: micros(request.wait),
            service_us: request.service.map(micros),
            status: request.status.unwrap_or(CLIENT_CLOSED_REQUEST),
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            cold: Some(request.cold),
            timeline: request.timeline.map(RecordedTimeline),
            revision: (&*self.revision).into(),
            instance: request.instance.map(Into::into),
        }));
    }
}
