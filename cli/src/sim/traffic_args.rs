//! Which traffic: a trace, generators, and what is done to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tidegate_recording::Recorded;
use tidegate_sim::{SimSpan, Traffic};
use tidegate_sim_report::ColdStart;
use tidegate_sim_traffic::{
    BadRows, Declared, Format, Generated, Grouping, Merged, Placement, PrometheusValue, Spread,
    StampedAt, TokenTimes, TraceFile, TraceOptions, Transform, Transformed, Unit,
};
use tidegate_words::choose;

use super::as_recorded::{AsRecorded, Part};
use super::skipped::Counted;
use super::spooled::Spooled;
use crate::typed::{above_zero, share, span, span_above_zero, whole};

/// Most rows that are kept to put them in order: more is no disorder but another file.
const REORDER_MAX: usize = 10_000_000;

/// Options that choose the traffic.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traffic")]
pub(crate) struct TrafficArgs {
    /// The verb that it was typed after, for what is said about it.
    #[arg(skip = "sim")]
    verb: &'static str,
    /// Generated arrivals, such as poisson:70, step:10,50,60s or web=diurnal:40,0.8,24h; again for
    /// more at the same time. fitted:FILE learns from a trace; population:FUNCTIONS makes up many
    /// functions as they are in a cloud.
    #[arg(long, value_name = "SPEC")]
    pub(crate) arrivals: Vec<String>,
    /// A trace; its format is detected from its content. `-` reads standard input. Again for more
    /// at the same time.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Vec<PathBuf>,
    /// The format of the trace, when it cannot be detected.
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// The format of each line of an access log, as the server's configuration has it: nginx's
    /// log_format, Apache's LogFormat or Envoy's text_format.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which columns or keys of the trace are the time of a request, its service time and its
    /// revision: time=NAME,service=NAME,revision=NAME, as many of them as there are.
    #[arg(long, value_name = "ROLE=NAME", value_delimiter = ',', value_parser = field)]
    fields: Vec<(Role, String)>,
    /// Unit of the time of a request, where it is a bare number: s, ms, us or ns.
    #[arg(long, value_name = "UNIT")]
    time_unit: Option<Unit>,
    /// Unit of the service time, where it is a bare number: s, ms, us or ns.
    #[arg(long, value_name = "UNIT")]
    service_unit: Option<Unit>,
    /// Which moment of a request its stamp names: start or end.
    #[arg(long, value_name = "MOMENT")]
    stamps: Option<StampedAt>,
    /// Durations of the functions of an Azure 2019 trace.
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// Memory of the functions of an Azure 2019 trace.
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// What is a revision: each function, each app (all its functions together), or all as one:
    /// function, app or all.
    #[arg(long, value_name = "WHAT", default_value = "function")]
    group: Grouping,
    /// Where requests lie in an interval that was only counted: equidistant, uniform, exponential
    /// or start.
    #[arg(long, value_name = "HOW", default_value_t)]
    placement: Placement,
    /// Length of an interval of counts, when it is not the trace's own.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero)]
    interval: Option<SimSpan>,
    /// Whether stamps that many requests share are spread inside their tick: auto, never or always.
    #[arg(long, value_name = "WHETHER", default_value = "auto", value_parser = spread)]
    spread: Spread,
    /// Leave out rows that cannot be understood, and count them.
    #[arg(long)]
    skip_bad: bool,
    /// Rows that may be out of order.
    #[arg(long, value_name = "N", value_parser = whole(0..=REORDER_MAX))]
    reorder: Option<usize>,
    /// Time for each token of prompt and answer, to turn token counts into service times.
    #[arg(long, value_name = "TIME,TIME", value_parser = token_times)]
    token_times: Option<TokenTimes>,
    /// What the numbers of a Prometheus response are: requests a second (rate), in each step
    /// (increase), or so far (counter). Names such as http_requests_total say counter; a response
    /// without names is taken for a rate.
    #[arg(long, value_name = "WHAT", value_parser = prometheus)]
    prometheus: Option<PrometheusValue>,
    /// So many times as many requests, at the same times.
    #[arg(long, value_name = "FACTOR", value_parser = above_zero)]
    scale: Option<f64>,
    /// So many times as fast.
    #[arg(long, value_name = "FACTOR", value_parser = above_zero)]
    warp: Option<f64>,
    /// Only the part from one time to another.
    #[arg(long, value_name = "FROM..TO", value_parser = slice)]
    slice: Option<(SimSpan, SimSpan)>,
    /// Only this share of requests, chosen at random.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    sample: Option<f64>,
    /// Only this share of revisions, chosen at random, with all their requests.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    sample_revisions: Option<f64>,
}

/// Traffic as it was asked for, and what is known about it besides.
pub(crate) struct Chosen {
    pub(crate) traffic: Arc<dyn Traffic>,
    /// Whether it ends by itself.
    pub(crate) ends: bool,
    /// Rows left out, once the traffic was played to its end.
    skipped: Arc<AtomicU64>,
    verb: &'static str,
    /// The trace files among it.
    traces: Vec<Arc<TraceFile>>,
    /// Which part of them is played.
    part: Part,
}

impl Chosen {
    /// Warns how many rows were left out, if any were.
    pub(crate) fn note_skipped(&self) {
        let count = self.skipped.load(Ordering::Relaxed);
        let rows = if count == 1 { "row" } else { "rows" };
        if count > 0 {
            let verb = self.verb;
            eprintln!(
                "tidegate {verb}: note: left out {count} {rows} that could not be understood"
            );
        }
    }

    /// The cold starts of the recordings among the traces.
    pub(crate) fn cold_starts(&self) -> Vec<ColdStart> {
        let recorded = self.recordings().flat_map(|recorded| &recorded.cold_starts);
        let read = |start: &tidegate_recording::ColdStart| ColdStart {
            at: Duration::from_micros(start.at_us),
            instance: start.instance.clone(),
            timeline: start.timeline,
        };
        recorded.map(read).collect()
    }

    /// The service that was recorded, if a recording of ours is among the traces.
    ///
    /// # Errors
    ///
    /// When there are several, or its policy is not known.
    pub(crate) fn as_recorded(&self) -> anyhow::Result<Option<AsRecorded>> {
        let mut recordings = self.recordings();
        let Some(recorded) = recordings.next() else { return Ok(None) };
        let others = recordings.count();
        if others > 0 {
            bail!(
                "expected one recording to take the settings from, found {}; \
                 `tidegate sim traffic --csv FILE` makes plain rows of one",
                others + 1
            );
        }
        AsRecorded::of(recorded, self.part).map(Some).map_err(anyhow::Error::msg)
    }

    /// The recordings of ours among the traces.
    pub(crate) fn recordings(&self) -> impl Iterator<Item = &Recorded> {
        self.traces.iter().filter_map(|trace| trace.recorded())
    }
}

impl TrafficArgs {
    /// The same after the verb `replay`, with one more trace and another speed if they were typed.
    pub(crate) fn of_replay(mut self, trace: Option<&Path>, speed: Option<f64>) -> Self {
        self.verb = "replay";
        self.trace.extend(trace.map(Path::to_owned));
        self.warp = speed.or(self.warp);
        self
    }

    /// Opens traces, parses generators and applies changes. Generated traffic ends after `until`.
    pub(crate) fn build(&self, seed: u64, until: Option<SimSpan>) -> anyhow::Result<Chosen> {
        if self.trace.is_empty() && self.arrivals.is_empty() {
            bail!("expected traffic: name a trace with --trace, or make some up with --arrivals");
        }
        let mut parts: Vec<Arc<dyn Traffic>> = Vec::new();
        let mut ends = true;
        if self.trace.iter().filter(|path| super::output::is_stdout(path)).count() > 1 {
            bail!("expected `-` once: standard input can be read only once");
        }
        let (mut traces, mut spooled) = (Vec::new(), None);
        for path in &self.trace {
            if super::output::is_stdout(path) {
                let file = spooled.insert(super::output::spool_stdin().context("standard input")?);
                traces.push(Arc::new(self.open(file, seed)?));
            } else {
                traces.push(Arc::new(self.open(path, seed)?));
            }
        }
        parts.extend(traces.iter().map(|trace| Arc::clone(trace) as Arc<dyn Traffic>));
        for (number, spec) in self.arrivals.iter().enumerate() {
            // These laws end by themselves, all others never do.
            ends &= spec.contains("fitted:") || spec.contains("times:");
            let until = until.unwrap_or(SimSpan::FOREVER);
            let made = Generated::shared(spec, number as u64, until, seed);
            parts.push(made.map_err(anyhow::Error::from_boxed)?);
        }
        let mut traffic = match parts.len() {
            1 => parts.remove(0),
            _ => Arc::new(Merged::new(parts)) as Arc<dyn Traffic>,
        };
        for change in self.changes() {
            let changed = Transformed::new(traffic, change, seed);
            traffic = Arc::new(changed.map_err(anyhow::Error::msg)?);
        }
        let skipped = Arc::new(AtomicU64::new(traces.iter().map(|trace| trace.skipped()).sum()));
        if self.skip_bad {
            traffic = Arc::new(Counted { inner: traffic, count: Arc::clone(&skipped) });
        }
        if let Some(file) = spooled {
            traffic = Arc::new(Spooled { inner: traffic, _file: file });
        }
        Ok(Chosen { traffic, ends, skipped, verb: self.verb, traces, part: self.part() })
    }

    fn part(&self) -> Part {
        let (from, to) = self.slice.unwrap_or((SimSpan::ZERO, SimSpan::FOREVER));
        Part { from, to, warp: self.warp.unwrap_or(1.0) }
    }

    /// What the traffic is, in a few words: file names without their directories, and generators.
    pub(crate) fn title(&self) -> String {
        let file = |path: &PathBuf| match path.file_name() {
            Some(name) if !super::output::is_stdout(path) => name.to_string_lossy().into_owned(),
            _ => "standard input".to_owned(),
        };
        let parts: Vec<String> =
            self.trace.iter().map(file).chain(self.arrivals.iter().cloned()).collect();
        let mut title = parts.join(" and ");
        for change in self.changes() {
            title.push_str(&format!(", {change}"));
        }
        if title.is_empty() { "clients in a closed loop".to_owned() } else { title }
    }

    /// When time zero is, in seconds since 1970: for a single trace with calendar times that is
    /// played at its own speed.
    pub(crate) fn origin_unix_s(&self, chosen: &Chosen) -> Option<f64> {
        let [trace] = &chosen.traces[..] else { return None };
        if self.warp.is_some() || !self.arrivals.is_empty() {
            return None;
        }
        let from = self.slice.map_or(0.0, |(from, _)| from.as_secs_f64());
        Some(trace.origin_unix_s()? + from)
    }

    /// No arrivals at all, for clients in a closed loop.
    pub(crate) fn nothing(seed: u64) -> anyhow::Result<Chosen> {
        let made = Generated::shared("timer:1s", 0, SimSpan::ZERO, seed);
        let traffic = made.map_err(anyhow::Error::from_boxed)?;
        let skipped = Arc::default();
        let part = Part { from: SimSpan::ZERO, to: SimSpan::FOREVER, warp: 1.0 };
        Ok(Chosen { traffic, ends: true, skipped, verb: "sim", traces: Vec::new(), part })
    }

    fn open(&self, path: &Path, seed: u64) -> anyhow::Result<TraceFile> {
        let options = TraceOptions {
            format: self.format,
            durations: self.durations.clone(),
            memory: self.memory.clone(),
            grouping: self.group,
            bad_rows: if self.skip_bad { BadRows::Skip } else { BadRows::Refuse },
            placement: self.placement,
            spread: self.spread,
            interval: self.interval,
            reorder_rows: self.reorder,
            tokens: self.token_times,
            prometheus: self.prometheus.unwrap_or_default(),
            declared: self.declared(),
            seed,
        };
        let file = TraceFile::open(path, options)?;
        tell_reading(self.verb, &file);
        let without = file.functions_without_durations();
        if without > 0 {
            let verb = self.verb;
            eprintln!(
                "tidegate {verb}: note: {without} functions have no durations and take the \
                 distribution of --service"
            );
        }
        Ok(file)
    }

    /// What was said about fields, units and stamps.
    fn declared(&self) -> Declared {
        let named = |role: Role| {
            let found = self.fields.iter().find(|(known, _)| *known == role);
            found.map(|(_, name)| name.clone())
        };
        Declared {
            log_format: self.log_format.clone(),
            time: named(Role::Time),
            service: named(Role::Service),
            revision: named(Role::Revision),
            time_unit: self.time_unit,
            service_unit: self.service_unit,
            stamps: self.stamps,
        }
    }

    /// Changes in the order in which they make sense together.
    fn changes(&self) -> Vec<Transform> {
        let slice = self.slice.map(|(from, to)| Transform::Slice(from, to));
        let revisions = self.sample_revisions.map(Transform::SampleRevisions);
        let sample = self.sample.map(Transform::Sample);
        let warp = self.warp.map(Transform::Warp);
        let scale = self.scale.map(Transform::Scale);
        [slice, revisions, sample, warp, scale].into_iter().flatten().collect()
    }
}

/// What a field of a trace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Time,
    Service,
    Revision,
}

/// Says on standard error which field was taken for what, and what may be wrong with it.
fn tell_reading(verb: &str, file: &TraceFile) {
    let reading = file.reading();
    let clean = |text: &str| text.replace(char::is_control, "?");
    eprintln!("tidegate {verb}: read {}: {}", file.describe(), clean(&reading.sentence));
    for warning in &reading.warnings {
        eprintln!("tidegate {verb}: warning: {}", clean(warning));
    }
}

fn field(text: &str) -> Result<(Role, String), String> {
    let all = [("time", Role::Time), ("service", Role::Service), ("revision", Role::Revision)];
    let expected = "expected ROLE=NAME, such as time=started_at or service=took_ms";
    let (role, name) = text.split_once('=').ok_or(expected)?;
    let (_, role) = choose(role, &all, |(name, _)| name)?;
    if name.is_empty() { Err(expected.to_owned()) } else { Ok((role, name.to_owned())) }
}

fn slice(text: &str) -> Result<(SimSpan, SimSpan), String> {
    let expected = "expected FROM..TO, such as 1h..2h or 30m..";
    let (from, to) = text.split_once("..").ok_or(expected)?;
    let from = if from.is_empty() { SimSpan::ZERO } else { span(from)? };
    let to = if to.is_empty() { SimSpan::FOREVER } else { span(to)? };
    if from >= to {
        return Err(format!("{expected}, with FROM before TO"));
    }
    Ok((from, to))
}

fn spread(text: &str) -> Result<Spread, String> {
    let all = [("auto", Spread::Auto), ("never", Spread::Never), ("always", Spread::Always)];
    choose(text, &all, |(name, _)| name).map(|(_, spread)| spread)
}

fn prometheus(text: &str) -> Result<PrometheusValue, String> {
    let all = [
        ("rate", PrometheusValue::Rate),
        ("increase", PrometheusValue::Increase),
        ("counter", PrometheusValue::Counter),
    ];
    choose(text, &all, |(name, _)| name).map(|(_, value)| value)
}

fn token_times(text: &str) -> Result<TokenTimes, String> {
    let (input, output) = text.split_once(',').ok_or("expected two times, such as 0.1ms,20ms")?;
    Ok(TokenTimes { input: span(input)?, output: span(output)? })
}
