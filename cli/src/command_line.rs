//! From the command line to arguments: clap's own reading, with house rules on top.
//!
//! A number below zero is a value that is refused in words, not an unknown flag; a command without
//! `--` before it is recognised as one; what is quoted back is bounded.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};
use tidegate_words::{excerpt, nearest, shorten};

use crate::examples;
use tidegate_flags::ending::EXIT_USAGE;

/// Value names behind which a leading minus means a number or a time, not a flag.
const NUMBERS: [&str; 9] =
    ["N", "N|auto", "TIME", "SHARE", "FACTOR", "PRICE", "DIST", "FROM..TO", "TIME,TIME"];

/// Options of the simulator that its short help shows.
const USUAL: [&str; 14] = [
    "arrivals",
    "trace",
    "policy",
    "set",
    "target",
    "concurrency",
    "service",
    "cold_start",
    "duration",
    "seed",
    "json",
    "html",
    "csv",
    "quiet",
];

/// Longest message of clap that is printed as it is, colours included.
const ANSWER_BYTES_MAX: usize = 2_000;

/// Reads the command line of this process. Errors in it have been printed when this returns.
///
/// # Errors
///
/// The code to end with: 0 after help that was asked for, else 2.
pub(crate) fn parse<C: CommandFactory + FromArgMatches>() -> Result<C, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some((number, word)) = words.iter().enumerate().find(|(_, word)| is_mangled(word)) {
        let shown = excerpt(&word.to_string_lossy());
        eprintln!("tidegate: argument {number} (\"{shown}\") is not UTF-8, expected text");
        return Err(ExitCode::from(EXIT_USAGE));
    }
    let mut command = command::<C>();
    let matches = command.try_get_matches_from_mut(&words);
    let parsed = matches.and_then(|matches| C::from_arg_matches(&matches));
    parsed.map_err(|error| tell(&error, &command, &words))
}

/// The whole command, house rules and examples included.
pub(crate) fn command<C: CommandFactory>() -> Command {
    house_rules(C::command(), &mut Vec::new())
}

/// The command with the rules that all verbs share; `path` are the verbs that lead to it.
fn house_rules(command: Command, path: &mut Vec<String>) -> Command {
    let is_sim_verb = path.first().is_some_and(|verb| verb == "sim") && path.len() > 1;
    let command = command.mut_args(|arg| {
        let names = arg.get_value_names().unwrap_or_default();
        let is_number = names.iter().any(|name| NUMBERS.contains(&name.as_str()));
        let has_heading = arg.get_help_heading().is_some();
        let advanced = is_sim_verb && has_heading && !USUAL.contains(&arg.get_id().as_str());
        let arg = if is_number { arg.allow_hyphen_values(true) } else { arg };
        // `-h` shows the options that are usually needed, `--help` all of them.
        if advanced { arg.hide_short_help(true) } else { arg }
    });
    let command = match examples::of(path) {
        Some(text) => command.after_long_help(text).after_help(examples::MORE),
        None => command,
    };
    command.mut_subcommands(|verb| {
        path.push(verb.get_name().to_owned());
        let verb = house_rules(verb, path);
        path.pop();
        verb
    })
}

/// Paths and words of a command may be any bytes; flags and their values are text.
fn is_mangled(word: &OsString) -> bool {
    word.to_str().is_none() && word.as_encoded_bytes().starts_with(b"-")
}

/// Prints a message of clap: help, version or error.
fn tell(error: &clap::Error, command: &Command, words: &[OsString]) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() && text.len() > ANSWER_BYTES_MAX {
        eprintln!("{}", shorten(text.trim_end()));
    } else if error.print().is_err() {
        // The reader of our output, such as `head`, has closed it: no failure.
        return ExitCode::SUCCESS;
    }
    if let Some(tip) = missing_dashes(error, words).or_else(|| nearest_name(error, command, words))
    {
        eprintln!("\n{tip}");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE))
}

/// The verb or option that was most likely meant, where clap itself finds none.
fn nearest_name(error: &clap::Error, command: &Command, words: &[OsString]) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(found)) => Some(found.as_str()),
        _ => None,
    };
    let mut verb = command;
    for word in words.iter().skip(1) {
        let Some(next) = word.to_str().and_then(|word| verb.find_subcommand(word)) else { break };
        verb = next;
    }
    let meant = match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let verbs = verb.get_subcommands().filter(|verb| !verb.is_hide_set());
            let found = context(ContextKind::InvalidSubcommand)?;
            nearest(found, verbs.map(Command::get_name))?.to_owned()
        }
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_none() => {
            let found = context(ContextKind::InvalidArg)?.strip_prefix("--")?;
            let options = verb.get_arguments().filter(|option| !option.is_hide_set());
            format!("--{}", nearest(found, options.filter_map(clap::Arg::get_long))?)
        }
        _ => return None,
    };
    Some(format!("did you mean '{meant}'?"))
}

/// `tidegate run python3 app.py`: what was meant as the command was taken for an argument.
fn missing_dashes(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let is_run = words.get(1).is_some_and(|verb| verb == "run");
    let Some(ContextValue::String(found)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_word = !found.starts_with('-') && words.iter().any(|word| word == found.as_str());
    if !is_run || error.kind() != ErrorKind::UnknownArgument || !is_word {
        return None;
    }
    let at = words.iter().position(|word| word == found.as_str())?;
    let command: Vec<_> = words[at..].iter().map(|word| word.to_string_lossy()).collect();
    Some(format!("put `--` before the command: tidegate run … -- {}", excerpt(&command.join(" "))))
}
