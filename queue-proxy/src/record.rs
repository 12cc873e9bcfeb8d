//! A recording, for the simulator to replay: what is written of each request, and where to.
//!
//! The format is [`tidegate_recording`]'s. A sidecar appends to the file that `TIDEGATE_RECORD`
//! names; several may share one, because lines are written whole.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_recording::{End, Head, Line, Place, Request, VERSION};
use tokio::time::Instant;

use crate::nonblocking_writer::{NonBlockingWriter, WriterGuard};

/// Writes lines of one recording without ever waiting; cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordingWriter {
    writer: NonBlockingWriter,
    clock: UnixClock,
}

/// Unix times that no change of the system's clock makes jump: they are counted from one moment.
#[derive(Debug, Clone, Copy)]
pub struct UnixClock {
    began: Instant,
    unix_us: u64,
}

impl UnixClock {
    /// Counted from now.
    pub fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), unix_us: micros(unix) }
    }

    /// Microseconds since 1970 at `moment`.
    pub fn unix_us(&self, moment: Instant) -> u64 {
        match moment.checked_duration_since(self.began) {
            Some(after) => self.unix_us.saturating_add(micros(after)),
            None => self.unix_us.saturating_sub(micros(self.began - moment)),
        }
    }
}

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl RecordingWriter {
    /// Writes to `output`, first the head that `head` makes of the time.
    ///
    /// # Errors
    ///
    /// The system allows no further thread.
    pub fn start(
        output: File,
        head: impl FnOnce(u64) -> Head,
    ) -> std::io::Result<(Self, WriterGuard)> {
        let clock = UnixClock::start();
        let (writer, flush) = NonBlockingWriter::start("record", output)?;
        let this = Self { writer, clock };
        this.write(&Line::Head(head(clock.unix_us)));
        Ok((this, flush))
    }

    /// The clock of all its times.
    pub fn clock(&self) -> UnixClock {
        self.clock
    }

    /// Hands over one line. Never waits.
    pub fn write(&self, line: &Line<'_>) {
        self.writer.write(&line.write());
    }

    /// Counts lines that were lost before they could be handed over.
    pub fn lose(&self, count: u64) {
        for _ in 0..count {
            self.writer.lose();
        }
    }

    /// Writes that the recording ends at `now`.
    pub fn end(&self, now: Instant) {
        let end = End { at_unix_us: self.clock.unix_us(now), lost: self.lost() };
        self.write(&Line::End(end));
    }

    /// Lines lost to a full buffer or to a file that refused them.
    pub fn lost(&self) -> u64 {
        self.writer.dropped() + self.writer.failed()
    }
}

/// What a sidecar knows of one request.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// When it arrived.
    pub arrived: Instant,
    /// How long it waited in the queue.
    pub wait: Duration,
    /// How long the app worked on it; `None` when it never reached the app.
    pub service: Option<Duration>,
    /// The status that the client got.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// Records the requests that reach a sidecar.
#[derive(Debug, Clone)]
pub struct Recorder {
    writer: RecordingWriter,
    revision: String,
    instance: String,
}

/// Whose requests are recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The revision, with its namespace.
    pub revision: &'a str,
    /// The instance.
    pub instance: &'a str,
    /// Requests that it takes at a time; 0 is unlimited.
    pub concurrency: u32,
    /// Whether that is found out from latency.
    pub adaptive: bool,
}

impl Recorder {
    /// Opens `path` to append, and writes a head.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created.
    pub fn open(path: &Path, of: Recorded<'_>) -> std::io::Result<(Self, WriterGuard)> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let (writer, flush) = RecordingWriter::start(file, |began_unix_us| Head {
            version: VERSION,
            recorded_at: Place::Sidecar,
            began_unix_us,
            revision: of.revision.to_owned(),
            concurrency: of.concurrency,
            adaptive: of.adaptive,
            scaling: None,
        })?;
        let (revision, instance) = (of.revision.to_owned(), of.instance.to_owned());
        Ok((Self { writer, revision, instance }, flush))
    }

    /// Hands over one request. Never waits.
    pub fn write(&self, row: &Row) {
        self.writer.write(&Line::Request(Request {
            arrived_unix_us: self.writer.clock().unix_us(row.arrived),
            wait_us: micros(row.wait),
            service_us: row.service.map(micros),
            status: row.status,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            // Whether another instance was ready is not known here.
            cold: None,
            timeline: None,
            revision: self.revision.as_str().into(),
            instance: Some(self.instance.as_str().into()),
        }));
    }

    /// Lines lost to a full buffer or to a file that refused them.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instance: &str) -> Recorded<'_> {
        Recorded { revision: "default/web", instance, concurrency: 2, adaptive: false }
    }

    #[test]
    fn two_sidecars_share_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.jsonl");
        let row = Row {
            arrived: Instant::now(),
            wait: Duration::from_micros(12),
            service: Some(Duration::from_micros(3400)),
            status: 200,
            request_bytes: 5,
            response_bytes: 64,
        };
        let (first, first_flush) = Recorder::open(&path, of("web-1")).unwrap();
        let (second, second_flush) = Recorder::open(&path, of("a,\"b\"")).unwrap();
        first.write(&row);
        first_flush.finish();
        second.write(&Row { service: None, status: 503, ..row });
        second_flush.finish();
        let text = std::fs::read(&path).unwrap();
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').map(|line| {
            Line::read(line).unwrap_or_else(|error| panic!("{}: {error}", text.escape_ascii()))
        });
        let mut recorded = tidegate_recording::Recorded::begin(lines.next().unwrap()).unwrap();
        assert_eq!(recorded.head.recorded_at, Place::Sidecar);
        assert_eq!(
            (recorded.head.concurrency, recorded.head.revision.as_str()),
            (2, "default/web")
        );
        for line in lines {
            recorded.add(line).unwrap();
        }
        assert_eq!((recorded.requests, &recorded.services_us[..]), (2, &[3400][..]));
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error() {
        assert!(Recorder::open(Path::new("/nowhere/at/all.jsonl"), of("1")).is_err());
    }

    #[test]
    fn times_before_and_after_its_start_are_counted_from_there() {
        let clock = UnixClock::start();
        let second = Duration::from_secs(1);
        assert_eq!(clock.unix_us(clock.began + second), clock.unix_us + 1_000_000);
        assert_eq!(clock.unix_us(clock.began - second), clock.unix_us - 1_000_000);
    }
}
