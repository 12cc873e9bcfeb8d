//! How a table is read from its file, which is TOML.

mod choice;
mod renamed;

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use tidegate_words::excerpt;

use crate::answer::{Answer, BODY_BYTES_MAX, HEADERS_MAX, Kept, Location, Redirect, field};
use crate::error::FileError;
use crate::host::{HostPattern, LABEL_BYTES_MAX};
use crate::path::PathRule;
use crate::plan::{Revision, Route, RouteKind};
use crate::section::{At, Section, tables};
use crate::table::Table;

pub use self::choice::{ROLLOUT_KEYS, rollout_settings};
pub use self::renamed::renamed;

/// Longest file: what fits into a message to an activator with room to spare.
pub const FILE_BYTES_MAX: usize = 256 * 1024;

/// Most routes of a file.
pub const ROUTES_MAX: usize = 1_000;

/// Most hosts of one route.
pub const HOSTS_MAX: usize = 100;

/// Most revisions among which one route is divided.
pub const SPLIT_MAX: usize = 32;

/// Most tags, and most conditions, of one route.
pub const NAMED_MAX: usize = 64;

/// Longest part of a revision's name, as Kubernetes bounds names.
const REVISION_BYTES_MAX: usize = 253;

const ROUTE_KEYS: &[&str] = &[
    "hosts", "path", "exact", "to", "split", "sticky", "tags", "when", "mirror", "rollout",
    "answer", "redirect",
];

/// What is said of a route only where its requests go to revisions.
const FORWARD_KEYS: &[&str] = &["to", "split", "sticky", "tags", "when", "mirror", "rollout"];

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be followed: where it stands, and what would be accepted.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.len() > FILE_BYTES_MAX {
            let what =
                format!("the file has {} bytes, expected {FILE_BYTES_MAX} at most", text.len());
            return Err(FileError { line: 1, column: 1, what });
        }
        let tables = tables(text)?;
        let top = Section::top(text, &tables);
        top.only(&["route"])?;
        let Some(routes) = top.section("route")? else {
            return Err(top.wrong("there is no route, expected one or more, such as [route.shop]"));
        };
        Self::of_section(&routes, &revision_of)
    }

    /// Reads the routes of a file that has other things in it as well; `resolve` says which
    /// revision a name of it means.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be followed: where it stands, and what would be accepted; or
    /// what `resolve` has against a name.
    pub fn of_section(
        routes: &Section<'_>,
        resolve: &dyn Fn(&str) -> Result<Revision, String>,
    ) -> Result<Self, FileError> {
        let mut reading = Reading { revisions: BTreeMap::new(), resolve };
        let mut all = Vec::new();
        let mut places = Vec::new();
        for (name, value) in routes.entries() {
            let section = routes.as_section(format!("route \"{}\"", excerpt(name.value)), value)?;
            if all.len() >= ROUTES_MAX {
                return Err(section.wrong(format!("there are more than {ROUTES_MAX} routes")));
            }
            all.push(reading.route(&name, &section)?);
            places.push(section);
        }
        Self::new(reading.into_revisions(), all).map_err(|(number, why)| places[number].wrong(why))
    }
}

/// The revision that is written as `namespace/name`, or as `name` of the namespace `default`.
fn revision_of(name: &str) -> Result<Revision, String> {
    let (namespace, of) = name.split_once('/').unwrap_or(("default", name));
    if !is_revision_part(namespace) || !is_revision_part(of) {
        return Err(format!(
            "\"{}\" is no revision, expected namespace/name, such as default/web-v1",
            excerpt(name)
        ));
    }
    Ok(Revision { namespace: namespace.to_owned(), name: of.to_owned() })
}

/// What is collected on the way: the numbers of the revisions.
pub(crate) struct Reading<'a> {
    revisions: BTreeMap<Revision, usize>,
    resolve: &'a dyn Fn(&str) -> Result<Revision, String>,
}

impl Reading<'_> {
    /// The revisions in the order of their numbers.
    fn into_revisions(self) -> Vec<Revision> {
        let mut all: Vec<(Revision, usize)> = self.revisions.into_iter().collect();
        all.sort_by_key(|(_, number)| *number);
        all.into_iter().map(|(revision, _)| revision).collect()
    }

    /// The number of the revision that a name means.
    pub(crate) fn revision(
        &mut self,
        section: &Section<'_>,
        name: &At<&str>,
    ) -> Result<usize, FileError> {
        let revision =
            (self.resolve)(name.value).map_err(|what| section.wrong_at(&name.span, what))?;
        let next = self.revisions.len();
        Ok(*self.revisions.entry(revision).or_insert(next))
    }

    fn route(&mut self, name: &At<&str>, section: &Section<'_>) -> Result<Route, FileError> {
        section.only(ROUTE_KEYS)?;
        if !is_label(name.value) {
            let what = format!(
                "expected a name of at most {LABEL_BYTES_MAX} lower-case letters, digits and \
                 hyphens"
            );
            return Err(section.wrong_at(&name.span, what));
        }
        let hosts = hosts(section)?;
        let path = path(section)?;
        let forwards = FORWARD_KEYS.iter().find_map(|key| Some((*key, section.place(key)?)));
        let kind = match (section.section("answer")?, section.section("redirect")?, forwards) {
            (None, None, Some(_)) => {
                RouteKind::Forward(Box::new(choice::read(self, name.value, section)?))
            }
            (Some(answer), None, None) => RouteKind::Answer(Box::new(read_answer(&answer)?)),
            (None, Some(redirect), None) => {
                RouteKind::Redirect(Box::new(read_redirect(&redirect, &path)?))
            }
            (None, None, None) => {
                let what = "nothing is said about its requests, expected `to`, `split`, `rollout`, \
                            `answer` or `redirect`";
                return Err(section.wrong(what));
            }
            (Some(_), Some(_), _) => {
                return Err(section.wrong("expected `answer` or `redirect`, not both"));
            }
            (_, _, Some((key, place))) => {
                let what = format!("`{key}` cannot stand beside `answer` or `redirect`");
                return Err(section.wrong_at(&place, what));
            }
        };
        Ok(Route { name: name.value.to_owned(), hosts, path, kind })
    }
}

fn is_revision_part(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=REVISION_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_byte)
}

/// Whether a text is a label of a host's name, in lower case: what routes are called.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_short = (1..=LABEL_BYTES_MAX).contains(&text.len());
    is_short && text.bytes().all(is_byte) && !text.starts_with('-') && !text.ends_with('-')
}

fn hosts(section: &Section<'_>) -> Result<Vec<HostPattern>, FileError> {
    let listed = section.list("hosts")?;
    if let Some(place) = section.place("hosts")
        && (listed.is_empty() || listed.len() > HOSTS_MAX)
    {
        let what =
            format!("`hosts`: expected 1 to {HOSTS_MAX} hosts; without the key, all of them");
        return Err(section.wrong_at(&place, what));
    }
    let read = |value| {
        let At { value, span } = section.as_text("hosts", value)?;
        let pattern = HostPattern::parse(value);
        pattern.map_err(|expected| {
            section.wrong_at(&span, format!("the host \"{}\": {expected}", excerpt(value)))
        })
    };
    listed.iter().map(read).collect()
}

fn path(section: &Section<'_>) -> Result<PathRule, FileError> {
    let (prefix, exact) = (section.text("path")?, section.text("exact")?);
    let (read, given) = match (prefix, exact) {
        (None, None) => return Ok(PathRule::Prefix(String::new())),
        (Some(given), None) => (PathRule::prefix(given.value), given),
        (None, Some(given)) => (PathRule::exact(given.value), given),
        (Some(_), Some(given)) => {
            let what = "expected `path`, for all below it, or `exact`, not both";
            return Err(section.wrong_at(&given.span, what));
        }
    };
    read.map_err(|expected| {
        section.wrong_at(&given.span, format!("the path \"{}\": {expected}", excerpt(given.value)))
    })
}

fn status(section: &Section<'_>, usual: StatusCode) -> Result<StatusCode, FileError> {
    let Some(At { value, span }) = section.whole("status")? else { return Ok(usual) };
    let number = u16::try_from(value).ok().filter(|number| (200..=599).contains(number));
    let status = number.and_then(|number| StatusCode::from_u16(number).ok());
    status.ok_or_else(|| section.wrong_at(&span, "`status`: expected a number from 200 to 599"))
}

fn read_answer(section: &Section<'_>) -> Result<Answer, FileError> {
    section.only(&["status", "body", "type", "headers"])?;
    let status = status(section, StatusCode::OK)?;
    let body = section.text("body")?;
    let mut headers = HeaderMap::new();
    if let Some(At { value, span }) = &body {
        let is_bodiless = matches!(status.as_u16(), 204 | 205 | 304);
        if value.len() > BODY_BYTES_MAX || (is_bodiless && !value.is_empty()) {
            let what = format!(
                "`body`: expected {BODY_BYTES_MAX} bytes at most, and none with 204, 205 or 304"
            );
            return Err(section.wrong_at(span, what));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if let Some(At { value, span }) = section.text("type")? {
        let (name, value) = field(CONTENT_TYPE.as_str(), value)
            .map_err(|expected| section.wrong_at(&span, format!("`type`: {expected}")))?;
        headers.insert(name, value);
    }
    if let Some(fields) = section.section("headers")? {
        for (name, value) in fields.entries() {
            let given = fields.as_text(name.value, value)?;
            let read = field(name.value, given.value);
            let (name, value) = read.map_err(|expected| {
                fields.wrong_at(&name.span, format!("`{}`: {expected}", excerpt(name.value)))
            })?;
            headers.insert(name, value);
        }
        if headers.len() > HEADERS_MAX {
            return Err(fields.wrong(format!("expected {HEADERS_MAX} fields at most")));
        }
    }
    let body = body.map(|body| body.value.to_owned().into()).unwrap_or_default();
    Ok(Answer { status, headers, body })
}

fn read_redirect(section: &Section<'_>, path: &PathRule) -> Result<Redirect, FileError> {
    section.only(&["to", "status", "keep_path"])?;
    let to = section.needed_text("to")?;
    let status = status(section, StatusCode::TEMPORARY_REDIRECT)?;
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Err(section.wrong("`status`: expected 301, 302, 303, 307 or 308"));
    }
    let wrong = |expected| section.wrong_at(&to.span, format!("`to`: {expected}"));
    let kept = match (section.truth("keep_path")?.unwrap_or(false), path) {
        (false, _) => Kept::Nothing,
        (true, PathRule::Prefix(prefix)) => Kept::Below(prefix.clone()),
        // Nothing lies below it but its query.
        (true, PathRule::Exact(exact)) => {
            Kept::Below(exact.strip_suffix('/').unwrap_or(exact).to_owned())
        }
    };
    Redirect::new(status, Location::parse(to.value).map_err(wrong)?, kept).map_err(wrong)
}
