//! A limit that is found instead of being configured: as many requests as an app works on before
//! more of them only share what it can do.
//!
//! Below that number a request takes as long as it takes, however many others are inside; above it,
//! twice as many take twice as long, and nothing is gained. So the rule asks the app: for a moment
//! it lets in half as many as are inside, or twice as many as it let in before, and compares how
//! long requests take with how many there were. The answer is a number, the [elasticity] of latency
//! over concurrency: 0 where requests do not disturb each other, 1 where they share, more where
//! they get in each other's way.
//!
//! Nothing has to be known beforehand, and it does not matter where it starts. What was seen with
//! few requests inside is remembered, so that an app is not asked again while its latency says
//! nothing new, and asking costs a small share of the time.
//!
//! [elasticity]: https://en.wikipedia.org/wiki/Elasticity_(economics)

mod round;

use core::time::Duration;

use self::round::{Elasticity, Level, Round};
use crate::limit::Limit;
use crate::time::Moment;

/// How an adaptive limit moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveSettings {
    /// The limit before anything was measured.
    pub initial: u32,
    /// Never less than this; at least one.
    pub minimum: u32,
    /// Never more than this.
    pub maximum: u32,
    /// The least time of one comparison's half.
    pub window: Duration,
    /// The longest that two questions are apart while the app says nothing new. Instances that
    /// started together should get different values, or they all ask at once.
    pub rest_max: Duration,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            initial: 20,
            minimum: 1,
            maximum: 200,
            window: Duration::from_millis(100),
            rest_max: Duration::from_secs(60),
        }
    }
}

/// From this elasticity on half as many are enough: the app does a fifth less at most.
const SHARED: f64 = 0.7;
/// Up to this one twice as many are worth it: the app does a fifth more at least.
const APART: f64 = 0.75;
/// Levels that are nearer than this factor in concurrency say nothing of each other.
const NEAR: f64 = 1.25;
/// With fewer requests than this inside there is nothing to find.
const FEW: f64 = 1.5;
/// So often those that were inside when the limit changed have to end before what ends counts: in
/// an app that shares what it can do, the longest of them stay longest.
const SETTLING_TURNS: u32 = 2;
/// What was seen with few requests inside is trusted for so many of the longest rests.
const REMEMBERED_RESTS: u32 = 10;
/// An app that has answered is asked again at most for this share of the time, one in so many; one
/// whose answer was not clear, sooner.
const ASKING_SHARES: (u32, u32) = (20, 4);
/// A question is given up after so many windows, or so many times what a request took before it.
const GIVEN_UP_AFTER: (u32, u32) = (100, 10);
/// The shortest rest after an answer that changed nothing.
const REST_MIN: Duration = Duration::from_secs(1);
/// From this limit on a quarter is added, as much as an answer between the two thresholds can be
/// too low by.
const HEADROOM_FROM: u32 = 4;

/// Whether half as many are enough, beyond doubt.
fn is_shared(elasticity: Elasticity) -> bool {
    elasticity.value - elasticity.error >= SHARED
}

/// Whether twice as many are worth it, beyond doubt.
fn is_apart(elasticity: Elasticity) -> bool {
    elasticity.value + elasticity.error <= APART
}

/// What is under way.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The limit is as it was found.
    Resting,
    /// It is another, to compare.
    Asking(Question),
}

/// How many are let in while the app is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// Half as many as were inside.
    Fewer,
    /// Twice as many as were let in.
    More,
}

/// What an app has answered, beyond doubt or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// What was tried is better.
    Yes,
    /// What was there before is.
    No,
    /// It may be either.
    Unclear,
    /// About as many were inside as before, which says nothing.
    Alike,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    tried: Tried,
    /// What was seen before.
    from: Level,
    /// What was found before.
    back_to: u32,
    /// When the limit was changed for it.
    began: Moment,
}

impl Question {
    /// What this level says, next to the one before.
    fn answer(&self, level: &Level) -> Answer {
        let (elasticity, is_yes, is_no): (_, fn(_) -> _, fn(_) -> _) = match self.tried {
            Tried::Fewer => (self.from.elasticity_over(level, NEAR), is_shared, is_apart),
            Tried::More => (level.elasticity_over(&self.from, NEAR), is_apart, is_shared),
        };
        match elasticity {
            None => Answer::Alike,
            Some(elasticity) if is_yes(elasticity) => Answer::Yes,
            Some(elasticity) if is_no(elasticity) => Answer::No,
            Some(_) => Answer::Unclear,
        }
    }
}

/// The state of an adaptive limit.
#[derive(Debug, Clone)]
pub struct Adaptive {
    settings: AdaptiveSettings,
    /// What was found, or is tried, without the headroom.
    found: u32,
    step: Step,
    /// How many are still to end before what ends says something of this limit; `None` until one
    /// has.
    unsettled: Option<u32>,
    round: Round,
    /// What was seen with fewer requests inside, and when.
    low: Option<(Level, Moment)>,
    more_rest: Rest,
    fewer_rest: Rest,
}

/// When a question may be asked again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Moment,
    length: Duration,
}

impl Rest {
    const NONE: Self = Self { until: Moment::ZERO, length: REST_MIN };

    /// After a question of this length that changed nothing. Each rest after a clear answer is
    /// twice as long as the one before, up to `longest`.
    fn begin(&mut self, now: Moment, (answer, question): (Answer, Duration), longest: Duration) {
        let share = match answer {
            Answer::Yes | Answer::No => ASKING_SHARES.0,
            Answer::Unclear | Answer::Alike => ASKING_SHARES.1,
        };
        self.until = now.after(self.length.max(question.saturating_mul(share)));
        if answer == Answer::No {
            self.length = (self.length * 2).min(longest.max(REST_MIN));
        }
    }
}

impl Adaptive {
    /// Starts at the initial limit. Settings out of range are brought into it.
    pub fn new(settings: AdaptiveSettings) -> Self {
        let minimum = settings.minimum.max(1);
        let settings =
            AdaptiveSettings { minimum, maximum: settings.maximum.max(minimum), ..settings };
        Self {
            settings,
            // With its headroom it is what was asked for.
            found: (settings.initial - settings.initial / 5).clamp(minimum, settings.maximum),
            step: Step::Resting,
            unsettled: None,
            round: Round::default(),
            low: None,
            more_rest: Rest::NONE,
            fewer_rest: Rest::NONE,
        }
    }

    /// A request has completed `latency` after it was admitted; `in_flight` were executing then,
    /// itself included. Gives the new limit if this sample changed it.
    ///
    /// Only time in the app counts: a latency that includes waiting for this very limit would feed
    /// back into it. Failed requests should be left out, they are often quick.
    pub fn sample(&mut self, now: Moment, latency: Duration, in_flight: u32) -> Option<Limit> {
        let before = self.limit();
        if self.is_given_up(now) {
            self.end_unanswered(now);
        } else {
            self.hear(now, latency.as_secs_f64(), in_flight);
        }
        if self.limit() == before {
            return None;
        }
        self.round = Round::default();
        self.unsettled = None;
        Some(self.limit())
    }

    /// The limit in force.
    pub fn limit(&self) -> Limit {
        let headroom = match self.step {
            Step::Resting if self.found >= HEADROOM_FROM => self.found / 4,
            Step::Resting | Step::Asking(_) => 0,
        };
        Limit::from_wire(self.found.saturating_add(headroom).min(self.settings.maximum))
    }

    /// Adds what one request says, and acts once a round says enough.
    fn hear(&mut self, now: Moment, seconds: f64, in_flight: u32) {
        if seconds <= 0.0 {
            return;
        }
        let turns = SETTLING_TURNS.saturating_mul(in_flight);
        let unsettled = self.unsettled.get_or_insert(turns);
        if *unsettled > 0 {
            *unsettled -= 1;
            return;
        }
        self.round.add(now, seconds, in_flight);
        let Some(level) = self.round.level(now, self.settings.window) else { return };
        if self.is_open(&level) && self.round.may_go_on(&level, now, self.settings.window) {
            return;
        }
        let most_in_flight = self.round.most_in_flight();
        self.round = Round::default();
        match core::mem::replace(&mut self.step, Step::Resting) {
            Step::Resting => self.ask(now, level, most_in_flight),
            Step::Asking(question) => self.answered(now, question, level, most_in_flight),
        }
    }

    /// Whether more samples are of use: what was asked has no answer yet, or nothing was.
    fn is_open(&self, level: &Level) -> bool {
        match &self.step {
            Step::Resting => true,
            Step::Asking(question) => {
                matches!(question.answer(level), Answer::Unclear | Answer::Alike)
            }
        }
    }

    /// Whether there has been no answer for so long that there may never be one: nobody asks the
    /// app for anything any more, or it hangs.
    fn is_given_up(&self, now: Moment) -> bool {
        let Step::Asking(question) = &self.step else { return false };
        let (windows, latencies) = GIVEN_UP_AFTER;
        let latency = Duration::try_from_secs_f64(question.from.latency_seconds);
        let longest = latency.unwrap_or(Duration::MAX).saturating_mul(latencies);
        now.since(question.began) > longest.max(self.settings.window.saturating_mul(windows))
    }

    fn end_unanswered(&mut self, now: Moment) {
        if let Step::Asking(question) = core::mem::replace(&mut self.step, Step::Resting) {
            self.go_back(now, question, Answer::No);
        }
    }

    fn go_back(&mut self, now: Moment, question: Question, answer: Answer) {
        self.found = question.back_to;
        let rest = match question.tried {
            Tried::Fewer => &mut self.fewer_rest,
            Tried::More => &mut self.more_rest,
        };
        rest.begin(now, (answer, now.since(question.began)), self.settings.rest_max);
    }

    /// What the answer is, and whether the same is asked again from there.
    fn answered(&mut self, now: Moment, question: Question, level: Level, most_in_flight: u32) {
        let answer = question.answer(&level);
        match (question.tried, answer) {
            (Tried::Fewer, Answer::Yes) => {
                // What was known of more says nothing of this.
                (self.fewer_rest, self.more_rest, self.low) = (Rest::NONE, Rest::NONE, None);
                self.try_fewer(now, level);
            }
            (Tried::Fewer, Answer::No | Answer::Unclear) => {
                self.low = Some((level, now));
                self.go_back(now, question, answer);
            }
            // Where no more came the room does no harm.
            (Tried::More, Answer::Yes | Answer::Alike) => {
                self.more_rest = Rest::NONE;
                if most_in_flight >= self.found {
                    self.try_more(now, level);
                }
            }
            (Tried::Fewer, Answer::Alike) | (Tried::More, Answer::No | Answer::Unclear) => {
                self.go_back(now, question, answer);
            }
        }
    }

    /// A round at the limit that was found: is it time to ask?
    fn ask(&mut self, now: Moment, level: Level, most_in_flight: u32) {
        let remembered = self.settings.rest_max.saturating_mul(REMEMBERED_RESTS);
        self.low = self.low.filter(|(_, seen)| now.since(*seen) < remembered);
        let known = self.low.and_then(|(low, _)| level.elasticity_over(&low, NEAR));
        let is_shared = known.is_some_and(is_shared);
        let may_be_fewer = now >= self.fewer_rest.until && self.half_of(&level).is_some();
        // Fewer first: an app that is full already is not asked to do twice as much.
        if may_be_fewer && (known.is_none() || is_shared) {
            self.try_fewer(now, level);
        } else if most_in_flight >= self.found && now >= self.more_rest.until && !is_shared {
            self.try_more(now, level);
        }
    }

    fn try_more(&mut self, now: Moment, from: Level) {
        let doubled = self.found.saturating_mul(2).min(self.settings.maximum);
        if doubled > self.found {
            self.begin(now, Tried::More, from, doubled);
        }
    }

    fn try_fewer(&mut self, now: Moment, from: Level) {
        if let Some(half) = self.half_of(&from) {
            self.begin(now, Tried::Fewer, from, half);
        }
    }

    fn begin(&mut self, now: Moment, tried: Tried, from: Level, limit: u32) {
        self.step = Step::Asking(Question { tried, from, back_to: self.found, began: now });
        self.found = limit;
    }

    /// Half as many as there are, if that is allowed and says something.
    fn half_of(&self, level: &Level) -> Option<u32> {
        let AdaptiveSettings { minimum, maximum, .. } = self.settings;
        let half = ((level.in_flight / 2.0) as u32).clamp(minimum, maximum);
        let says_something = level.in_flight >= FEW && f64::from(half) * NEAR <= level.in_flight;
        says_something.then_some(half)
    }
}
