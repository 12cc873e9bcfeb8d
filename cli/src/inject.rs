//! `tidegate inject`: the sidecar, put into Kubernetes manifests.
//!
//! It reads, hands the text to the library, and prints what comes back. Which pods get what is
//! decided there.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use tidegate_kubernetes_inject::settings::{IMAGE_VARIABLE, KEYS};
use tidegate_kubernetes_inject::{Action, Failure, INPUT_BYTES_MAX, Options, Settings, inject};
use tidegate_words::shorten;

use tidegate_flags::ending::{EXIT_FAILED, EXIT_USAGE, mistyped};
use tidegate_flags::files::text_of;

/// What was typed after `tidegate inject`.
#[derive(Debug, clap::Args)]
#[command(after_help = settings_help())]
pub(crate) struct Args {
    /// Manifests in YAML or JSON; `-`, the default, reads standard input. Several files come out as
    /// one.
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    /// Requests that the app takes at a time; 0 is no limit.
    #[arg(short = 'c', long, value_name = "N|auto")]
    concurrency: Option<String>,
    /// The app's port, where its container declares none or several.
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// The container that takes the traffic, where there are several.
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Take the sidecar out again, with everything that came with it.
    #[arg(long)]
    remove: bool,
    /// Send this Service, which is in the input too, through the sidecar: its target ports are
    /// changed, or changed back. Repeatable.
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Take this object for a workload: a Job, or another kind with a pod's template at
    /// `spec.template`. Repeatable.
    #[arg(long = "workload", value_name = "KIND[/NAME]")]
    workloads: Vec<String>,
}

/// Settings of the sidecar, wherever it is put in.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingArgs {
    /// The sidecar's image. docs/inject.md says how to build it.
    #[arg(long, value_name = "IMAGE", env = IMAGE_VARIABLE)]
    image: Option<String>,
    /// The controller that takes reports.
    #[arg(long, value_name = "HOST:PORT")]
    controller: Option<String>,
    /// Any setting, as the annotation `tidegate.dev/KEY` has it. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingArgs {
    /// Sets what was typed.
    pub(crate) fn apply(&self, settings: &mut Settings) -> anyhow::Result<()> {
        for pair in &self.set {
            settings.set_pair(pair).context("--set")?;
        }
        set(settings, [("image", &self.image), ("controller", &self.controller)])
    }
}

/// Sets what flags of its own say.
fn set<const COUNT: usize>(
    settings: &mut Settings,
    flags: [(&str, &Option<String>); COUNT],
) -> anyhow::Result<()> {
    for (key, value) in flags {
        if let Some(value) = value {
            settings.set(key, value).map_err(|error| anyhow!("--{error}"))?;
        }
    }
    Ok(())
}

/// All settings with what they mean, for the end of the long help.
fn settings_help() -> String {
    let mut text = String::from("Settings, for --set and as annotations tidegate.dev/KEY:");
    for key in KEYS {
        text.push_str(&format!("\n  {:<16}{}", key.name, key.meaning));
    }
    text
}

/// Prints the manifests with sidecars. What was refused is on standard error, each with its file
/// and line; then nothing is printed.
pub(crate) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let options = args.options().map_err(mistyped)?;
    let input = Input::read(&args.files)?;
    match inject(&input.text, &options) {
        Ok(outcome) => {
            for note in &outcome.notes {
                eprintln!("tidegate inject: {note}");
            }
            let mut out = io::stdout().lock();
            out.write_all(outcome.text.as_bytes()).and_then(|()| out.flush())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Malformed(problem)) => {
            let place = input.place(problem.line);
            let (column, problem) = (problem.column, shorten(&problem.problem).into_owned());
            eprintln!("tidegate inject: {place}:{column}: {problem}");
            Ok(ExitCode::from(EXIT_USAGE))
        }
        Err(Failure::Refused(refusals)) => {
            for refused in &refusals {
                let place = match refused.line {
                    0 => String::new(),
                    line => format!("{}: ", input.place(line)),
                };
                eprintln!("tidegate inject: {place}{refused}");
            }
            eprintln!("tidegate inject: nothing was written");
            Ok(ExitCode::from(EXIT_FAILED))
        }
        Err(failure @ Failure::TooLarge) => Err(mistyped(failure)),
    }
}

impl Args {
    fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options {
            action: if self.remove { Action::Remove } else { Action::Inject },
            services: self.services.clone(),
            workloads: self.workloads.clone(),
            ..Options::default()
        };
        self.settings.apply(&mut options.settings)?;
        let flags = [
            ("concurrency", &self.concurrency),
            ("port", &self.port),
            ("container", &self.container),
        ];
        set(&mut options.settings, flags)?;
        Ok(options)
    }
}

/// One text, and the files that it came from.
struct Input {
    text: String,
    /// Each file's name, and the number of lines before it.
    files: Vec<(String, usize)>,
}

impl Input {
    fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut input = Self { text: String::new(), files: Vec::new() };
        if paths.is_empty() {
            input.add(Path::new("-"))?;
        }
        for path in paths {
            input.add(path)?;
        }
        Ok(input)
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let (name, text) = if path == Path::new("-") {
            ("standard input".to_owned(), standard_input()?)
        } else {
            let name = path.display().to_string();
            let text = text_of(path).map_err(|error| mistyped(anyhow!("{name}: {error}")))?;
            (name, text)
        };
        if !self.text.is_empty() {
            let ends = self.text.ends_with('\n');
            self.text.push_str(if ends { "" } else { "\n" });
            self.text.push_str(if text.starts_with("---") { "" } else { "---\n" });
        }
        self.files.push((name, self.text.matches('\n').count()));
        self.text.push_str(&text);
        Ok(())
    }

    /// A line of the text as its file and the line in it.
    fn place(&self, line: usize) -> String {
        let file = self.files.iter().rev().find(|(_, before)| *before < line);
        let (name, before) = file.map_or(("", 0), |(name, before)| (name.as_str(), *before));
        format!("{name}:{}", line - before)
    }
}

fn standard_input() -> anyhow::Result<String> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        let problem = anyhow!("nothing to read; name a file with -f, or pipe manifests into it");
        return Err(mistyped(problem));
    }
    let mut bytes = Vec::new();
    input.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let no_text = |error: std::string::FromUtf8Error| {
        let at = error.utf8_error().valid_up_to() + 1;
        mistyped(anyhow!("standard input: no text: byte {at} is not UTF-8"))
    };
    String::from_utf8(bytes).map_err(no_text)
}
