//! How it is read to which revisions the requests of a route go.

use std::collections::BTreeMap;

use http::header::HeaderName;
use tidegate_rollout::{Gate, Settings, Step, Strategy, Weight};
use tidegate_words::excerpt;

use super::{NAMED_MAX, Reading, SPLIT_MAX, is_label};
use crate::error::FileError;
use crate::plan::{Choice, Condition, Field, Mirror, RolloutPlan};
use crate::section::{At, Section};
use crate::share::{Share, Split};
use crate::visitor::{Salt, Stickiness, VISITOR_COOKIE};

/// Time between two changes of a rollout that rises with time, in milliseconds.
const LINEAR_PERIOD_MS: u64 = 1_000;

/// What the new revision gets first where the file does not say it: one of a hundred requests.
const FIRST_SHARE: Share = Share::from_permille(10);

/// Longest text that a condition compares with, and longest name of a cookie.
const TEXT_BYTES_MAX: usize = 1_024;

pub(super) fn read(
    reading: &mut Reading<'_>,
    route: &str,
    section: &Section<'_>,
) -> Result<Choice, FileError> {
    let rollout = match section.section("rollout")? {
        Some(rollout) => Some(read_rollout(reading, &rollout)?),
        None => None,
    };
    Ok(Choice {
        split: read_split(reading, section, rollout.as_ref())?,
        tags: read_tags(reading, section)?,
        conditions: read_conditions(reading, section)?,
        stickiness: read_stickiness(section)?,
        salt: Salt::of_route(route),
        mirror: read_mirror(reading, section)?,
        rollout,
    })
}

fn read_split(
    reading: &mut Reading<'_>,
    section: &Section<'_>,
    rollout: Option<&RolloutPlan>,
) -> Result<Split, FileError> {
    let split = match (section.text("to")?, section.section("split")?, rollout) {
        (Some(to), Some(_), _) => {
            return Err(section.wrong_at(&to.span, "expected `to` or `split`, not both"));
        }
        (Some(to), None, Some(_)) => {
            let what = "a rollout goes between revisions that it names: expected no `to` beside it";
            return Err(section.wrong_at(&to.span, what));
        }
        (Some(to), None, None) => return Ok(Split::whole(reading.revision(section, &to)?)),
        (None, None, None) => {
            let what = "nothing is said about where its requests go, expected `to` or `split`";
            return Err(section.wrong(what));
        }
        (None, None, Some(plan)) => {
            let shares = vec![(plan.stable, Share::WHOLE), (plan.new, Share::NONE)];
            return Split::new(shares).map_err(|error| section.wrong(error));
        }
        (None, Some(split), _) => split,
    };
    let mut shares = Vec::new();
    for (name, value) in split.entries() {
        let revision = reading.revision(&split, &name)?;
        let share = split.as_percent(name.value, value)?.value;
        if shares.iter().any(|(known, _)| *known == revision) {
            let what = format!("\"{}\" is there twice", excerpt(name.value));
            return Err(split.wrong_at(&name.span, what));
        }
        shares.push((revision, share));
    }
    if shares.len() > SPLIT_MAX {
        return Err(split.wrong(format!("expected {SPLIT_MAX} revisions at most")));
    }
    if let Some(plan) = rollout {
        beside_each_other(&mut shares, plan).map_err(|what| split.wrong(what))?;
    }
    Split::new(shares).map_err(|error| split.wrong(error))
}

/// Puts the new revision of a rollout behind the stable one: what goes from one to the other then
/// moves no visitor of any other.
fn beside_each_other(
    shares: &mut Vec<(usize, Share)>,
    plan: &RolloutPlan,
) -> Result<(), &'static str> {
    let place =
        |shares: &[(usize, Share)], of: usize| shares.iter().position(|(known, _)| *known == of);
    let new = place(shares, plan.new).map(|at| shares.remove(at));
    match (new, place(shares, plan.stable)) {
        (Some(new), Some(at)) => {
            shares.insert(at + 1, new);
            Ok(())
        }
        _ => Err("expected both revisions of the rollout among those of the split"),
    }
}

fn read_tags(
    reading: &mut Reading<'_>,
    section: &Section<'_>,
) -> Result<BTreeMap<String, usize>, FileError> {
    let mut tags = BTreeMap::new();
    let Some(listed) = section.section("tags")? else { return Ok(tags) };
    for (tag, value) in listed.entries() {
        if !is_label(tag.value) || tags.len() == NAMED_MAX {
            let what = format!(
                "\"{}\": expected at most {NAMED_MAX} tags of lower-case letters, digits and \
                 hyphens",
                excerpt(tag.value)
            );
            return Err(listed.wrong_at(&tag.span, what));
        }
        let revision = reading.revision(&listed, &listed.as_text(tag.value, value)?)?;
        tags.insert(tag.value.to_owned(), revision);
    }
    Ok(tags)
}

fn read_conditions(
    reading: &mut Reading<'_>,
    section: &Section<'_>,
) -> Result<Vec<Condition>, FileError> {
    let listed = section.list("when")?;
    if let Some(place) = section.place("when").filter(|_| listed.len() > NAMED_MAX) {
        let what = format!("`when`: expected {NAMED_MAX} conditions at most");
        return Err(section.wrong_at(&place, what));
    }
    let mut conditions = Vec::new();
    for value in listed {
        let part = section.as_section("a condition of `when`".to_owned(), value)?;
        part.only(&["header", "cookie", "value", "to"])?;
        let field =
            read_field(&part)?.ok_or_else(|| part.wrong("expected `header` or `cookie`"))?;
        let value = part.text("value")?;
        if let Some(value) = &value
            && (value.value.is_empty() || value.value.len() > TEXT_BYTES_MAX)
        {
            let what =
                format!("`value`: expected 1 to {TEXT_BYTES_MAX} bytes; without it, any value");
            return Err(part.wrong_at(&value.span, what));
        }
        let to = reading.revision(&part, &part.needed_text("to")?)?;
        conditions.push(Condition { field, value: value.map(|value| value.value.to_owned()), to });
    }
    Ok(conditions)
}

/// What a section names by `header` or `cookie`.
fn read_field(section: &Section<'_>) -> Result<Option<Field>, FileError> {
    match (section.text("header")?, section.text("cookie")?) {
        (None, None) => Ok(None),
        (Some(header), None) => {
            let name = header.value.parse::<HeaderName>();
            let name = name.map_err(|_| {
                let what = format!("\"{}\" is no name of a header field", excerpt(header.value));
                section.wrong_at(&header.span, what)
            })?;
            Ok(Some(Field::Header(name)))
        }
        (None, Some(cookie)) => {
            if !is_cookie_name(cookie.value) {
                let what = format!("\"{}\" is no name of a cookie", excerpt(cookie.value));
                return Err(section.wrong_at(&cookie.span, what));
            }
            Ok(Some(Field::Cookie(cookie.value.to_owned())))
        }
        (Some(_), Some(cookie)) => {
            Err(section.wrong_at(&cookie.span, "expected `header` or `cookie`, not both"))
        }
    }
}

fn is_cookie_name(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_byte)
}

fn read_stickiness(section: &Section<'_>) -> Result<Stickiness, FileError> {
    let expected = || {
        format!(
            "`sticky`: expected \"visitor\", for a cookie of ours named {VISITOR_COOKIE}, \
             {{ header = \"NAME\" }} or {{ cookie = \"NAME\" }}"
        )
    };
    let Some(place) = section.place("sticky") else { return Ok(Stickiness::None) };
    if let Ok(Some(text)) = section.text("sticky") {
        return match text.value {
            "visitor" => Ok(Stickiness::Visitor),
            _ => Err(section.wrong_at(&text.span, expected())),
        };
    }
    let Ok(Some(part)) = section.section("sticky") else {
        return Err(section.wrong_at(&place, expected()));
    };
    part.only(&["header", "cookie"])?;
    match read_field(&part)? {
        Some(Field::Header(name)) => Ok(Stickiness::Header(name)),
        Some(Field::Cookie(name)) => Ok(Stickiness::Cookie(name)),
        None => Err(section.wrong_at(&place, expected())),
    }
}

fn read_mirror(
    reading: &mut Reading<'_>,
    section: &Section<'_>,
) -> Result<Option<Mirror>, FileError> {
    let Some(part) = section.section("mirror")? else { return Ok(None) };
    part.only(&["to", "percent"])?;
    let to = reading.revision(&part, &part.needed_text("to")?)?;
    let share = part.percent("percent")?.map_or(Share::WHOLE, |share| share.value);
    Ok(Some(Mirror { to, share }))
}

/// What a rollout says besides where it leads, as [`rollout_settings`] reads it.
pub const ROLLOUT_KEYS: [&str; 6] = [
    "steps",
    "over",
    "first_percent",
    "tolerated_errors_percent",
    "tolerated_latency_percent",
    "min_requests",
];

fn read_rollout(
    reading: &mut Reading<'_>,
    section: &Section<'_>,
) -> Result<RolloutPlan, FileError> {
    section.only(&[&["from", "to"][..], &ROLLOUT_KEYS].concat())?;
    let stable = reading.revision(section, &section.needed_text("from")?)?;
    let to = section.needed_text("to")?;
    let new = reading.revision(section, &to)?;
    if stable == new {
        return Err(section.wrong_at(&to.span, "`to`: expected another revision than in `from`"));
    }
    let settings = rollout_settings(section)?;
    Ok(RolloutPlan { stable, new, settings })
}

/// How fast a rollout goes, and what the new revision must be like, where a table says so.
///
/// # Errors
///
/// What of it cannot be followed.
pub fn rollout_settings(section: &Section<'_>) -> Result<Settings, FileError> {
    let strategy = read_strategy(section)?;
    let mut gate = Gate::default();
    if let Some(errors) = section.percent("tolerated_errors_percent")? {
        gate.tolerated_errors_permille = errors.value.permille();
    }
    if let Some(At { value, span }) = section.whole("tolerated_latency_percent")? {
        let wrong = |_| section.wrong_at(&span, "`tolerated_latency_percent`: it is too large");
        gate.tolerated_latency_percent = u32::try_from(value).map_err(wrong)?;
    }
    if let Some(At { value, .. }) = section.whole("min_requests")? {
        gate.requests_min = value;
    }
    Ok(Settings { strategy, gate })
}

fn read_strategy(section: &Section<'_>) -> Result<Strategy, FileError> {
    let steps = section.list("steps")?;
    let strategy = match (section.place("steps"), section.time_ms("over")?) {
        (Some(_), None) => {
            let mut all = Vec::new();
            for value in steps {
                let step = section.as_section("a step of the rollout".to_owned(), value)?;
                step.only(&["percent", "hold"])?;
                let missing = |key: &str| step.wrong(format!("`{key}` is missing"));
                let share = step.percent("percent")?.ok_or_else(|| missing("percent"))?.value;
                let hold_ms = step.time_ms("hold")?.ok_or_else(|| missing("hold"))?.value;
                all.push(Step { weight: weight(share), hold_ms });
            }
            Strategy::steps(all)
        }
        (None, Some(over)) => {
            let first = section.percent("first_percent")?.map_or(FIRST_SHARE, |first| first.value);
            Strategy::linear(weight(first), over.value, LINEAR_PERIOD_MS)
        }
        _ => return Err(section.wrong("expected `steps`, or `over` with a time, not both")),
    };
    strategy.map_err(|error| section.wrong(error))
}

fn weight(share: Share) -> Weight {
    // A share is no more than the whole.
    Weight::from_permille(share.permille().into()).unwrap_or(Weight::WHOLE)
}
