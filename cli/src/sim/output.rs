//! Destinations of results: files, standard output, the terminal.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tempfile::TempPath;
use tidegate_sim::scenario::Detail;
use tidegate_sim::{Recording, RunOutput};
use tidegate_sim_report as report;
use tidegate_sim_report::{Chart, Colour, Terminal};
use tidegate_words::{choose, shell_word};

use super::CannotWrite;
use tidegate_flags::files::make_folder;

/// Columns when the width of the terminal is unknown.
const DEFAULT_WIDTH: usize = 100;

/// Options that choose what is written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Answers")]
pub(crate) struct OutputArgs {
    /// The result as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// One page with everything: charts, decisions, settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// One row for each step of the series.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// One row for each request, with the columns of InVitro's load generator.
    #[arg(long, value_name = "FILE")]
    pub(crate) requests_csv: Option<PathBuf>,
    /// One row for each minute, with the columns of InVitro's load generator.
    #[arg(long, value_name = "FILE")]
    pub(crate) minutes_csv: Option<PathBuf>,
    /// Every chart as SVG into this directory.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Every chart as PNG into this directory.
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// What is kept: the course of everything over time (series), the figures of each revision
    /// (revisions), or only those over all of them (totals). For very many revisions the first
    /// costs most of the time and the second most of the memory.
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "series",
        value_parser = kept,
        conflicts_with_all = ["html", "csv", "svg", "png"]
    )]
    detail: Kept,
    /// No summary and no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What is kept of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// The course over time, and the figures of each revision.
    Series,
    /// The figures of each revision.
    Revisions,
    /// The figures over all of them.
    Totals,
}

impl Kept {
    const fn name(self) -> &'static str {
        match self {
            Kept::Series => "series",
            Kept::Revisions => "revisions",
            Kept::Totals => "totals",
        }
    }
}

fn kept(text: &str) -> Result<Kept, String> {
    choose(text, &[Kept::Series, Kept::Revisions, Kept::Totals], Kept::name)
}

impl OutputArgs {
    /// What a run has to record for these outputs.
    pub(crate) fn recording(&self) -> Recording {
        match self.detail {
            Kept::Series => {}
            Kept::Revisions => return Recording::NOTHING,
            Kept::Totals => return Recording { detail: Detail::Totals, ..Recording::NOTHING },
        }
        let picture = self.html.is_some() || self.svg.is_some() || self.png.is_some();
        if picture || self.csv.is_some() {
            Recording::REPORT
        } else if self.summarises() {
            Recording { decisions: 0, revision_series: 0, ..Recording::REPORT }
        } else {
            Recording::NOTHING
        }
    }

    /// Whether a summary goes to standard output.
    pub(crate) fn summarises(&self) -> bool {
        !self.quiet && !self.json.as_deref().is_some_and(is_stdout)
    }

    /// Writes everything that was asked for; the summary last, where it stays in view.
    pub(crate) fn write(&self, run: &RunOutput, page: &report::Page<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.html {
            write_file(path, report::html(page).as_bytes())?;
        }
        if let Some(path) = &self.csv {
            let mut file = create(path)?;
            report::series_csv(&run.series, &mut file).with_context(|| cannot_write(path))?;
        }
        if let Some(directory) = &self.svg {
            make_folder("--svg", directory)?;
            for chart in Chart::ALL {
                let text = report::svg(&chart.draw(run));
                write_file(&directory.join(format!("{}.svg", chart.name())), text.as_bytes())?;
            }
        }
        if let Some(directory) = &self.png {
            make_folder("--png", directory)?;
            for chart in Chart::ALL {
                let image = report::png(&chart.draw(run));
                let path = directory.join(format!("{}.png", chart.name()));
                write_file(&path, &image.with_context(|| cannot_write(&path))?)?;
            }
        }
        if let Some(path) = &self.json {
            let mut text = serde_json::to_string_pretty(&run.result)?;
            text.push('\n');
            write_file(path, text.as_bytes())?;
        }
        if self.summarises() {
            let text = report::summary(run, terminal(), page.prices);
            write_file(Path::new("-"), text.as_bytes())?;
        }
        Ok(())
    }
}

/// Whether a path means standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The terminal behind standard output.
pub(crate) fn terminal() -> Terminal {
    let tty = io::stdout().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let colour = if tty && !plain && !dumb { Colour::On } else { Colour::Off };
    let typed = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let measured = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let width = typed.or(measured).unwrap_or(DEFAULT_WIDTH).max(20);
    Terminal { width, colour }
}

/// Writes all of `bytes` to a file, or to standard output for `-`.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if is_stdout(path) {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).with_context(|| cannot_write(path))
    } else {
        std::fs::write(path, bytes).with_context(|| cannot_write(path))
    }
}

/// A file that rows are written to one by one, or standard output for `-`.
pub(crate) fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if is_stdout(path) {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| cannot_write(path))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 20, file)))
}

pub(crate) fn cannot_write(path: &Path) -> CannotWrite {
    CannotWrite(path.display().to_string())
}

/// Keeps standard input in a file, since traffic must be readable more than once.
pub(crate) fn spool_stdin() -> anyhow::Result<TempPath> {
    let mut file = tempfile::Builder::new().prefix("tidegate-stdin-").tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file.into_temp_path())
}

/// The command line that was typed, quoted so that a shell reads it back.
pub(crate) fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| shell_word(&word.to_string_lossy()));
    std::iter::once("tidegate".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
