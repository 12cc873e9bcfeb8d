//! `tidegate top` of a controller, or of several sites: their revisions, live. What does not answer
//! is never waited for: its rows stay, as old, and a line says since when.
//!
//! Modules in reading order: [`follow`] keeps asking, [`list`] is what is shown and chosen,
//! [`draw`] draws it.

mod draw;
mod follow;
mod list;

use std::process::ExitCode;

use tidegate_explain::{Query, site_text, text};
use tidegate_shutdown_signals::ShutdownSignals;
use tokio::time::MissedTickBehavior;

use self::follow::{Follower, State};
use self::list::List;
use super::keys::{Key, Keyboard};
use super::{AlternateScreen, Args};
use crate::explain::print;
use crate::reach::ask_at;
use crate::sites_file;
use crate::terminal::{Surface, size};

/// Shows them until interrupted, or until `q` is pressed.
pub(super) async fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    // What cannot be asked at first is a mistake; later it is news.
    let query = connect(args).await?;
    let again = {
        let (controller, credentials) = (args.controller.clone(), args.credentials.clone());
        move || {
            let (controller, credentials) = (controller.clone(), credentials.clone());
            async move { ask_at(&controller.unwrap_or_default(), &credentials).await }
        }
    };
    let follower = Follower::start(query, again, args.interval);
    match Surface::of_stdout() {
        surface @ Surface::Terminal(_) if !args.json => live(args, follower, surface).await,
        _ => rows(args, follower).await,
    }
}

async fn connect(args: &Args) -> anyhow::Result<Query> {
    match (&args.sites, &args.controller) {
        (Some(file), _) => sites_file::ask(file, args.interval, None).await,
        (None, controller) => {
            ask_at(controller.as_deref().unwrap_or_default(), &args.credentials).await
        }
    }
}

/// Plain rows, or JSON.
async fn rows(args: &Args, mut follower: Follower) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::new()?;
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut list = List::new(args.service.clone(), args.only.clone());
    let mut round = 0;
    while args.rounds.is_none_or(|rounds| round < rounds) {
        tokio::select! {
            _ = signals.next() => return Ok(ExitCode::SUCCESS),
            _ = ticks.tick() => {}
        }
        let state = follower.state().await;
        list.update(&state);
        print(&match args.json {
            true => json(&list, &state),
            false => draw::plain(&list, round),
        })?;
        round += 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is shown, as JSON.
fn json(list: &List, state: &State) -> Vec<String> {
    let told = list.shown();
    match state.told.sites.is_empty() {
        true => told.revisions.iter().map(text::status_json).collect(),
        false => site_text::json(&told),
    }
}

/// A screen that is redrawn.
async fn live(args: &Args, mut follower: Follower, surface: Surface) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::new()?;
    let mut keyboard = Keyboard::open();
    let screen = AlternateScreen::enter()?;
    let mut list = List::new(args.service.clone(), args.only.clone());
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            key = keyboard.next() => match key {
                Some(Key::Quit) | None => break,
                Some(key) => list.press(key),
            },
            _ = ticks.tick() => {
                list.update(&follower.state().await);
                round += 1;
                if args.rounds.is_some_and(|rounds| round > rounds) {
                    break;
                }
            }
        }
        screen.draw(&draw::screen(&list, size(), surface))?;
    }
    drop(screen);
    drop(keyboard);
    Ok(ExitCode::SUCCESS)
}
