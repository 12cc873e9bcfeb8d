//! A trace file as [`Traffic`]: what it is, how to read it, and its arrivals from the beginning.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_recording::Recorded;
use tidegate_sim::arrival::{ArrivalSource, RevisionNames, SourceError, Traffic};
use tidegate_sim::random::Streams;
use tidegate_sim::time::SimSpan;

use crate::azure2019::{self, CountTable};
use crate::counts::{CountSource, Placement};
use crate::described::DescribedReader;
use crate::detection::{self, Wish};
use crate::document;
use crate::error::TrafficError;
use crate::flatten;
use crate::format::{self, Format};
use crate::gob;
use crate::input::Input;
use crate::layout::{self, ColumnOptions};
use crate::options::{Declared, Grouping, Spread, TokenTimes};
use crate::plan::Plan;
use crate::profile::ServiceProfile;
use crate::prometheus::{self, PrometheusValue};
use crate::reading::{self, Reading, Sampled};
use crate::recording::{self, RecordingReader};
use crate::rows::{BadRows, REORDER_ROWS_END, RowReader, RowSource};
use crate::table::TableReader;
use crate::wide::{self, WideFeed};

/// Seconds of one column of a 2019 trace: columns are minutes.
const AZURE_2019_INTERVAL_NS: u64 = 60 * 1_000_000_000;

/// Rows that must all have a coarse stamp for stamps to be taken for coarse.
const COARSE_ROWS_MIN: usize = 10;

/// How to read a trace. The default asks the file itself.
#[derive(Debug, Clone, Default)]
pub struct TraceOptions {
    /// The format; detected from the content when `None`.
    pub format: Option<Format>,
    /// Durations file of an Azure 2019 trace.
    pub durations: Option<PathBuf>,
    /// Memory file of an Azure 2019 trace.
    pub memory: Option<PathBuf>,
    /// What a revision is.
    pub grouping: Grouping,
    /// What to do with rows that cannot be understood.
    pub bad_rows: BadRows,
    /// Where requests lie in an interval that was only counted.
    pub placement: Placement,
    /// When coarse stamps are spread.
    pub spread: Spread,
    /// Length of an interval of counts; the format's own (a minute), or what the stamps show, when
    /// `None`.
    pub interval: Option<SimSpan>,
    /// Rows that may be out of order; what fits the format when `None`.
    pub reorder_rows: Option<usize>,
    /// Service times from token counts.
    pub tokens: Option<TokenTimes>,
    /// What the numbers of a Prometheus answer are.
    pub prometheus: PrometheusValue,
    /// What the user says about fields, units and stamps.
    pub declared: Declared,
    /// Seed of placement and spreading.
    pub seed: u64,
}

/// A trace in a file.
pub struct TraceFile {
    input: Input,
    options: TraceOptions,
    format: Format,
    head: Vec<u8>,
    /// How to read a described format, and the names of its columns.
    plan: Option<(Plan, Vec<String>)>,
    reading: Reading,
    /// Counts, for formats whose file is read once and kept.
    table: Option<CountTable>,
    /// What a recording of ours holds besides its requests.
    recorded: Option<Recorded>,
    profiles: Vec<Option<ServiceProfile>>,
    memory_mb: Vec<Option<f64>>,
}

impl TraceFile {
    /// Looks at the file at `path`, tells its format, and reads what must be known before the first
    /// arrival: headers, and the counts and durations of functions.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is of no known format, or its beginning is not what its format
    /// promises; with file, line and column where there is one.
    pub fn open(path: &Path, options: TraceOptions) -> Result<Self, TrafficError> {
        Self::look(Input::new(path), options)
    }

    /// The same for a trace that is in memory already; messages call it `name`.
    ///
    /// # Errors
    ///
    /// As [`TraceFile::open`].
    pub fn from_bytes(
        name: &str,
        bytes: impl Into<Arc<[u8]>>,
        options: TraceOptions,
    ) -> Result<Self, TrafficError> {
        Self::look(Input::memory(name, bytes.into()), options)
    }

    fn look(mut input: Input, options: TraceOptions) -> Result<Self, TrafficError> {
        let mut head = input.head()?;
        if let Some(why) = format::unreadable(&head) {
            let file = input.name().to_owned();
            return Err(TrafficError::Unsupported { file, why: why.to_owned() });
        }
        if gob::is_results(&head) {
            input = input.flattened(gob::lines(&input, document::DOCUMENT_BYTES_MAX)?);
            head = input.head()?;
        }
        let document = format::of_document(&head).filter(|_| options.format.is_none());
        if document.is_none()
            && !matches!(options.format, Some(Format::Prometheus | Format::Ibm))
            && flatten::is_document(&head)
            && let Some(lines) = flatten::lines(&input)?
        {
            input = input.flattened(lines);
            head = input.head()?;
        }
        let (format, plan) = match document {
            Some(format) => (format, None),
            None => {
                let TraceOptions { format, declared, grouping, .. } = &options;
                let wish = Wish { format: *format, declared, grouping: *grouping };
                let found = detection::of(&input, &head, wish)?;
                input = input.unwrapped(&found.wrappers);
                (found.format, found.plan)
            }
        };
        let mut file = TraceFile {
            input,
            options,
            format,
            head,
            plan,
            reading: Reading::default(),
            table: None,
            recorded: None,
            profiles: Vec::new(),
            memory_mb: Vec::new(),
        };
        file.prepare()?;
        file.load()?;
        file.reading = file.read()?;
        Ok(file)
    }

    /// Learns from the first rows how exact the stamps of a described format are.
    fn prepare(&mut self) -> Result<(), TrafficError> {
        let Some((plan, columns)) = self.plan.take() else { return Ok(()) };
        let mut plan = plan.declared(&self.options.declared);
        plan.tokens = self.options.tokens;
        let lines = self.input.lines()?;
        let sample = DescribedReader::new(lines, plan.clone(), columns.clone()).stamps();
        if sample.stamps.is_empty() && sample.ended && !plan.filters.is_empty() {
            let why = format!("has no row that is a request by its {}", plan.filtered_by());
            return Err(TrafficError::Unsupported { file: self.input.name().to_owned(), why });
        }
        let (tick_ns, shared) = reading::coarseness(&sample.stamps);
        // Elsewhere a few stamps on whole seconds may be chance: some writers leave out zeros.
        let telling = plan.is_text() || (shared && sample.stamps.len() >= COARSE_ROWS_MIN);
        let coarse = tick_ns >= layout::COARSE_TICK_NS && telling;
        plan.spread_ns = match self.options.spread {
            Spread::Never => None,
            Spread::Always => Some(tick_ns),
            Spread::Auto => coarse.then_some(tick_ns),
        };
        plan.tick_ns = tick_ns;
        self.plan = Some((plan, columns));
        Ok(())
    }

    /// What is taken for what.
    fn read(&self) -> Result<Reading, TrafficError> {
        let mut names = RevisionNames::new();
        let (sentence, assumed, unit_assumed) = match &self.plan {
            Some((plan, _)) => {
                let sentence = reading::of_plan(plan, self.input.wrappers());
                (sentence, plan.assumed.clone(), plan.unit_assumed)
            }
            None => (self.sentence()?, Vec::new(), false),
        };
        let mut warnings = assumed;
        if self.table.is_none() && !self.is_counted() && self.format != Format::Ibm {
            let sampled = Sampled::of(self.rows(&mut names)?.as_mut());
            if let Some(why) = sampled.refuted().filter(|_| unit_assumed) {
                return Err(TrafficError::Undeclared { file: self.input.name().to_owned(), why });
            }
            warnings.extend(sampled.doubts());
        }
        warnings.extend(self.recorded.iter().flat_map(recording::warnings));
        Ok(Reading { sentence, warnings })
    }

    /// The sentence for formats that are not described as data.
    fn sentence(&self) -> Result<String, TrafficError> {
        if let Some(recorded) = &self.recorded {
            return Ok(recording::sentence(recorded));
        }
        if let Some(layout) =
            layout::of(self.format, &self.input, &self.head, self.column_options())?
        {
            let header = format::header(format::first_line(&self.head));
            return Ok(reading::of_layout(&layout, &header));
        }
        if let Some(table) = &self.table {
            return Ok(reading::of_counts(&table.taken, table.interval_ns));
        }
        if self.is_counted() {
            let wanted = self.options.interval.map(SimSpan::as_nanos);
            let grouping = self.options.grouping;
            let mut names = RevisionNames::new();
            let (columns, interval_ns, _) =
                wide::plan(&self.input, self.format, grouping, wanted, &mut names)?;
            return Ok(reading::of_counts(columns.taken(), interval_ns));
        }
        Ok("InvocationTimes are the beginnings of requests in seconds; AppExecTimes are the \
            service times in milliseconds"
            .into())
    }

    /// Which field was taken for what, in which unit, and whether a stamp is a beginning or an end;
    /// with what was taken for granted, and what can hardly be.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The format, as given or as detected.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What a recording of ours holds besides its requests; `None` for every other format.
    pub fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_ref()
    }

    /// Mean memory of an instance of `revision` in megabytes, when a memory file has it.
    pub fn memory_mb(&self, revision: &str) -> Option<f64> {
        let names = &self.table.as_ref()?.names;
        let id = names.find(revision)?;
        self.memory_mb.get(id.0 as usize).copied().flatten()
    }

    /// When time zero of the arrivals is, in seconds since 1970; `None` for traces with times of
    /// their own. Looks for the first arrival.
    pub fn origin_unix_s(&self) -> Option<f64> {
        if self.table.is_some() || self.is_counted() {
            return None;
        }
        if let Some(recorded) = &self.recorded {
            return Some(recorded.began_unix_us as f64 / 1e6);
        }
        let mut names = RevisionNames::new();
        let reader = self.rows(&mut names).ok()?;
        let TraceOptions { bad_rows, reorder_rows, seed, .. } = self.options;
        let mut source = RowSource::new(reader, names, bad_rows, reorder_rows, Streams::new(seed));
        source.next()?.ok()?;
        source.origin_ns().filter(|origin| *origin > 0).map(|origin| origin as f64 / 1e9)
    }

    /// Functions without an entry in the durations file.
    pub fn functions_without_durations(&self) -> usize {
        self.profiles.iter().filter(|profile| profile.is_none()).count()
    }

    /// Rows that were skipped while counts were loaded.
    pub fn skipped(&self) -> u64 {
        self.table.as_ref().map_or(0, |table| table.skipped)
    }

    /// Reads what must be there before the first arrival.
    fn load(&mut self) -> Result<(), TrafficError> {
        let options = &self.options;
        match self.format {
            Format::Azure2019 => {
                let interval =
                    options.interval.map_or(AZURE_2019_INTERVAL_NS, SimSpan::as_nanos).max(1);
                let grouping = options.grouping;
                let table =
                    azure2019::invocations(&self.input, interval, grouping, options.bad_rows)?;
                if let Some(path) = &options.durations {
                    let beside = Input::new(path);
                    self.profiles =
                        azure2019::durations(&beside, &table.keys, grouping, options.bad_rows)?;
                }
                if let Some(path) = &options.memory {
                    self.memory_mb = azure2019::memory(&Input::new(path), &table.keys)?;
                }
                self.table = Some(table);
            }
            Format::Prometheus => {
                let table = prometheus::read(
                    &self.input,
                    options.prometheus,
                    options.grouping,
                    options.interval,
                )?;
                self.table = Some(table);
            }
            _ if options.durations.is_some() => {
                let why = format!(
                    "is in the format {}, which takes no durations file (only azure2019 does)",
                    self.format
                );
                let file = self.input.name().to_owned();
                return Err(TrafficError::Unsupported { file, why });
            }
            Format::Recording => {
                self.recorded = Some(recording::summed_up(&self.input, options.bad_rows)?);
            }
            // Opening once finds a wrong header before any work begins.
            _ => drop(self.source(self.options.seed)?),
        }
        Ok(())
    }

    fn source(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, TrafficError> {
        let streams = Streams::new(seed);
        if let Some(table) = &self.table {
            let feed = Box::new(table.feed());
            return Ok(Box::new(self.count_source(feed, table.names.clone(), streams)));
        }
        let mut names = RevisionNames::new();
        if self.is_counted() {
            let wanted = self.options.interval.map(SimSpan::as_nanos);
            let grouping = self.options.grouping;
            let (columns, interval_ns, origin_ns) =
                wide::plan(&self.input, self.format, grouping, wanted, &mut names)?;
            let feed = WideFeed::new(&self.input, columns, interval_ns, origin_ns)?;
            return Ok(Box::new(self.count_source(Box::new(feed), names, streams)));
        }
        let reader = self.rows(&mut names)?;
        if names.is_empty() && self.is_one_revision() {
            names.intern("traffic");
        }
        // A recording has a request's line where it ended, however its stamp names its beginning.
        let late = (self.format == Format::Recording).then_some(REORDER_ROWS_END);
        let TraceOptions { bad_rows, reorder_rows, .. } = self.options;
        Ok(Box::new(RowSource::new(reader, names, bad_rows, reorder_rows.or(late), streams)))
    }

    /// Whether lines hold counts of a time step.
    fn is_counted(&self) -> bool {
        matches!(
            self.format,
            Format::HuaweiCounts | Format::OpenDc | Format::Counts | Format::LocustHistory
        )
    }

    fn count_source(
        &self,
        feed: Box<dyn super::counts::CountFeed>,
        names: RevisionNames,
        streams: Streams,
    ) -> CountSource {
        let Self { profiles, options, .. } = self;
        CountSource::new(
            feed,
            names,
            profiles.clone(),
            options.placement,
            options.bad_rows,
            streams,
        )
    }

    /// Whether rows of this file name no revision.
    fn is_one_revision(&self) -> bool {
        if let Some((plan, _)) = &self.plan {
            return plan.revisions.is_empty();
        }
        if self.recorded.is_some() {
            return self.options.grouping == Grouping::All;
        }
        match layout::of(self.format, &self.input, &self.head, self.column_options()) {
            Ok(Some(layout)) => layout.revision.is_empty(),
            _ => true,
        }
    }

    fn column_options(&self) -> ColumnOptions {
        let TraceOptions { grouping, spread, tokens, .. } = self.options;
        ColumnOptions { grouping, spread, tokens }
    }

    fn rows(&self, names: &mut RevisionNames) -> Result<Box<dyn RowReader>, TrafficError> {
        if let Some((plan, columns)) = &self.plan {
            let lines = self.input.lines()?;
            return Ok(Box::new(DescribedReader::new(lines, plan.clone(), columns.clone())));
        }
        let options = self.column_options();
        if let Some(recorded) = &self.recorded {
            let lines = self.input.lines()?;
            return Ok(Box::new(RecordingReader::new(lines, options.grouping, recorded)));
        }
        if let Some(layout) = layout::of(self.format, &self.input, &self.head, options)? {
            return Ok(Box::new(TableReader::new(self.input.lines()?, layout)));
        }
        let lines = self.input.lines()?;
        Ok(Box::new(document::ibm(&self.input, lines, options.grouping, names)?))
    }
}

impl Traffic for TraceFile {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(self.source(self.options.seed)?)
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(self.source(seed)?)
    }

    fn sha256(&self) -> String {
        // The file could be read a moment ago; an empty hash means that it no longer can.
        self.input.sha256().unwrap_or_default()
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.input.name(), self.format)
    }

    fn len_hint(&self) -> Option<u64> {
        self.table.as_ref().map(CountTable::total)
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        TraceFile::memory_mb(self, revision)
    }
}
