//! CSV files: one row a request, one row a minute, one row a step of the series.

use std::io::{self, Write};

use tidegate_sim::arrival::RevisionNames;
use tidegate_sim::record::{Observer, Outcome, RequestRecord};
use tidegate_sim::series::TimeSeries;
use tidegate_sim::time::SimTime;

use crate::escape::csv_field;

/// Columns of the request file. The first ten are those of InVitro's load generator, so that tools
/// made for its output read this; times are in microseconds.
pub const REQUEST_COLUMNS: &str = "phase,instance,invocationID,functionName,startTime,\
     requestedDuration,responseTime,actualDuration,connectionTimeout,functionTimeout,waitTime,\
     startType,retries,outcome";

/// Columns of the minute file, those of InVitro; `rps` is the mean over the minute.
pub const MINUTE_COLUMNS: &str =
    "phase,rps,index,duration,num_func_target,num_func_invoked,num_coldstarts";

/// Microseconds of a minute, the `duration` of InVitro's rows.
const MINUTE_US: u64 = 60_000_000;

/// Writes a row for every request as it ends.
pub struct RequestRows<W: Write> {
    out: W,
    names: RevisionNames,
    /// The first error; rows after it are let go, and the run ends at the next progress report.
    failed: Option<io::Error>,
}

/// Counts what InVitro's minute file says.
#[derive(Debug, Default)]
pub struct MinuteRows {
    /// For each minute: requests that arrived and were not refused, all requests, cold starts.
    minutes: Vec<[u64; 3]>,
}

impl<W: Write> RequestRows<W> {
    /// Writes to `out`, beginning with the header. Ids of revisions are named by `names`; one that
    /// it does not know is written as its number.
    ///
    /// # Errors
    ///
    /// When the header cannot be written.
    pub fn new(mut out: W, names: RevisionNames) -> io::Result<Self> {
        writeln!(out, "{REQUEST_COLUMNS}")?;
        Ok(RequestRows { out, names, failed: None })
    }

    /// Everything written so far reaches its destination.
    ///
    /// # Errors
    ///
    /// The first error of any row, or of flushing.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn row(&mut self, request: &RequestRecord) -> io::Result<()> {
        let micros = |time: SimTime| time.as_nanos() / 1_000;
        let response = request.ended.since(request.arrived).as_nanos() / 1_000;
        let (wait, actual) = match request.started {
            Some(started) => (
                started.since(request.arrived).as_nanos() / 1_000,
                request.ended.since(started).as_nanos() / 1_000,
            ),
            None => (response, 0),
        };
        let unnamed = || format!("revision-{}", request.revision.0);
        let name = self.names.get(request.revision).map_or_else(unnamed, csv_field);
        let instance = request.instance.map(|number| number.to_string()).unwrap_or_default();
        let refused = request.outcome == Outcome::Rejected;
        let given_up = request.outcome == Outcome::TimedOut;
        let (number, service) = (request.number, request.service.as_nanos() / 1_000);
        let start = micros(request.arrived);
        let start_type = if request.cold { "cold" } else { "hot" };
        let retries = request.retries;
        let outcome = request.outcome.name();
        writeln!(
            self.out,
            "2,{instance},{number},{name},{start},{service},{response},{actual},{refused},\
             {given_up},{wait},{start_type},{retries},{outcome}"
        )
    }
}

impl<W: Write> Observer for RequestRows<W> {
    fn request(&mut self, request: &RequestRecord) {
        if self.failed.is_none() {
            self.failed = self.row(request).err();
        }
    }

    fn progress(&mut self, _now: SimTime, _requests: u64) -> bool {
        self.failed.is_none()
    }
}

impl MinuteRows {
    /// No minutes yet.
    pub const fn new() -> Self {
        MinuteRows { minutes: Vec::new() }
    }

    /// Writes the rows counted so far.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn write<W: Write>(&self, mut out: W) -> io::Result<()> {
        writeln!(out, "{MINUTE_COLUMNS}")?;
        for (index, [invoked, targeted, cold]) in self.minutes.iter().enumerate() {
            let rps = targeted / 60;
            writeln!(out, "2,{rps},{index},{MINUTE_US},{targeted},{invoked},{cold}")?;
        }
        out.flush()
    }
}

impl Observer for MinuteRows {
    fn request(&mut self, request: &RequestRecord) {
        let minute = (request.arrived.as_nanos() / (MINUTE_US * 1_000)) as usize;
        if self.minutes.len() <= minute {
            self.minutes.resize(minute + 1, [0; 3]);
        }
        let counts = &mut self.minutes[minute];
        counts[0] += u64::from(request.outcome != Outcome::Rejected);
        counts[1] += 1;
        counts[2] += u64::from(request.cold);
    }
}

/// Writes every step of `series` with all its columns, under the names of
/// [`SeriesPoint`](tidegate_sim::SeriesPoint).
///
/// # Errors
///
/// When `out` cannot be written.
pub fn series_csv<W: Write>(series: &[TimeSeries], mut out: W) -> io::Result<()> {
    let mut header = None;
    for one in series {
        let name = csv_field(one.revision.as_deref().unwrap_or("(all)"));
        for point in &one.points {
            let value = serde_json::to_value(point)?;
            let Some(object) = value.as_object() else { continue };
            if header.is_none() {
                let names: Vec<&str> = object.keys().map(String::as_str).collect();
                writeln!(out, "revision,{}", names.join(","))?;
                header = Some(());
            }
            let values: Vec<String> = object.values().map(ToString::to_string).collect();
            writeln!(out, "{name},{}", values.join(","))?;
        }
    }
    out.flush()
}
