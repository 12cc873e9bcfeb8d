//! `tidegate replay`: a trace, or generated traffic, sent against anything that speaks HTTP.
//!
//! It turns arguments into requests and their times, lets `tidegate-replay` send them, and says
//! what came of them. Modules in reading order: `target` (where requests go), `feed` (reads the
//! traffic ahead), `answers` (what is printed and written).

mod answers;
mod feed;
mod target;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hyper::http::uri::Scheme;
use tidegate_replay::{Bounds, Client, Report, Request, Security, Version, send};
use tidegate_sim::SimSpan;
use tokio::sync::mpsc;

use self::answers::Answers;
use self::feed::READ_AHEAD;
use self::target::To;
use crate::sim::traffic_args::TrafficArgs;
use crate::typed::{above_zero, share, span_above_zero, time_within, whole};
use tidegate_flags::ending::{EXIT_FAILED, mistyped};
use tidegate_flags::files::bytes_of;

/// Longest wait for a response that can be asked for.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

/// Most requests in flight that can be asked for: each has a connection, and a port of one address.
const IN_FLIGHT_MAX: u32 = 60_000;

/// Most bytes of a body that is made up: it is held once.
const BODY_BYTES_MAX: usize = 256 << 20;

/// The exit code of a replay that SIGINT cut short.
const EXIT_INTERRUPTED: u8 = 130;

/// What was typed after `tidegate replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A trace; the same as --trace.
    #[arg(value_name = "TRACE")]
    file: Option<PathBuf>,
    /// Where requests go: a URL; or REVISION=URL for those of one revision of the trace, again for
    /// others.
    #[arg(long, value_name = "[REVISION=]URL", required = true, value_parser = To::parse)]
    to: Vec<To>,
    /// So many times as fast as it was: 10 or 10x.
    #[arg(long, value_name = "FACTOR", value_parser = speed, conflicts_with = "warp")]
    speed: Option<f64>,
    /// When generated traffic ends.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero, default_value = "1m")]
    duration: SimSpan,
    /// Seed of all chance.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        hide_short_help = true,
        value_parser = whole(0..=u64::MAX)
    )]
    seed: u64,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    request: RequestArgs,
    /// From when a request is sent to the last byte of its response, at most.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        help_heading = "Bounds",
        hide_short_help = true,
        value_parser = time_within(Duration::from_millis(1), TIMEOUT_MAX)
    )]
    timeout: Duration,
    /// Requests in flight at most: what is due beyond that is sent late, which its latency counts.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        help_heading = "Bounds",
        hide_short_help = true,
        value_parser = whole(1..=IN_FLIGHT_MAX)
    )]
    in_flight: u32,
    /// Exit code 1 if more than this share of requests fail: no whole response, or a status of 500
    /// and above.
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = share,
        help_heading = "Answers",
        hide_short_help = true
    )]
    fail_above: Option<f64>,
    /// The figures as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    json: Option<PathBuf>,
    /// The latencies over percentiles, as HdrHistogram's tools plot them, in milliseconds.
    #[arg(long, value_name = "FILE", help_heading = "Answers", hide_short_help = true)]
    hgrm: Option<PathBuf>,
}

/// What is sent.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
struct RequestArgs {
    /// The method.
    #[arg(long, value_name = "METHOD", default_value = "GET", hide_short_help = true)]
    method: String,
    /// A header, such as `Accept: text/html`; again for more. Host replaces the URL's own.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A file that is the body of each request.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    body: Option<PathBuf>,
    /// A body of so many bytes.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "body",
        hide_short_help = true,
        value_parser = whole(0..=BODY_BYTES_MAX)
    )]
    body_bytes: Option<usize>,
    /// The header that tells the server each request's service time, in milliseconds, where the
    /// trace has it.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    service_time_header: Option<String>,
    /// Speak HTTP/2 from the first byte, also without TLS.
    #[arg(long, hide_short_help = true)]
    http2: bool,
    /// A file of PEM certificates that vouch for servers, instead of the system's.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ca: Option<PathBuf>,
}

impl RequestArgs {
    /// The request that goes to `url`.
    fn to(&self, url: &str, body: &[u8]) -> anyhow::Result<Request> {
        let mut request = Request::get(url)?.method(&self.method)?.body(body.to_vec());
        for line in &self.header {
            request = request.header(line)?;
        }
        if let Some(name) = &self.service_time_header {
            request = request.service_time_header(name)?;
        }
        Ok(request)
    }

    fn body(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.body, self.body_bytes) {
            (Some(path), _) => {
                bytes_of(path).with_context(|| format!("--body: {}", path.display()))
            }
            (None, count) => Ok(vec![b'x'; count.unwrap_or(0)]),
        }
    }

    fn client(&self, requests: &[Request]) -> anyhow::Result<Client> {
        let is_over_tls = |request: &Request| request.uri().scheme() == Some(&Scheme::HTTPS);
        let security = match &self.ca {
            // A system may have no authorities at all, and without TLS none is needed.
            None if !requests.iter().any(is_over_tls) => Security::Nobody,
            Some(path) => {
                let read = bytes_of(path).with_context(|| format!("--ca: {}", path.display()))?;
                Security::Roots(read)
            }
            None => Security::SystemRoots,
        };
        let version = if self.http2 { Version::Http2 } else { Version::Preferred };
        Ok(Client::new(&security, version)?)
    }
}

/// A factor, perhaps with an `x` behind it.
fn speed(text: &str) -> Result<f64, String> {
    above_zero(text.strip_suffix('x').unwrap_or(text))
}

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, to, speed, duration, seed, traffic, request, .. } = &args;
    let traffic = traffic.clone().of_replay(file.as_deref(), *speed);
    let chosen = traffic.build(*seed, Some(*duration)).map_err(mistyped)?;
    let table = target::table(to).map_err(|wrong| mistyped(anyhow!("--to: {wrong}")))?;
    let body = request.body().map_err(mistyped)?;
    let requests: Result<Vec<Request>, _> =
        to.iter().map(|to| request.to(&to.url, &body)).collect();
    let requests = requests.map_err(mistyped)?;
    let client = request.client(&requests).map_err(mistyped)?;
    let bounds = Bounds {
        in_flight_max: NonZeroU32::new(args.in_flight).unwrap_or(NonZeroU32::MIN),
        timeout: args.timeout,
    };
    let mut report = Report::new(requests.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (due, arrivals) = mpsc::channel(READ_AHEAD);
    let opened =
        chosen.traffic.open().map_err(|error| mistyped(anyhow::Error::from_boxed(error)))?;
    let feeder = std::thread::spawn(move || feed::feed(opened, &table, &due));
    let progress = answers::progress();
    let sent = runtime.block_on(async {
        let interrupted = async {
            // Without a handler for the signal there is none to wait for.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let observe = |outcome| {
            report.add(&outcome);
            progress.inc(1);
        };
        send(&client, &requests, arrivals, bounds, interrupted, observe).await
    });
    progress.finish_and_clear();
    // With the channel closed it ends at its next arrival.
    let fed = feeder.join().map_err(|_| anyhow!("the reader of the traffic has failed"))?;
    fed.map_err(mistyped)?;
    chosen.note_skipped();
    let answers =
        Answers { to, sent, report: &report, traffic: chosen.traffic.as_ref(), seed: *seed };
    answers.write(args.json.as_deref(), args.hgrm.as_deref())?;
    if sent.interrupted.is_some() {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    let failed = report.all.failed() as f64 / report.all.requests.max(1) as f64;
    let too_many = args.fail_above.is_some_and(|most| failed > most);
    Ok(if too_many { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}
