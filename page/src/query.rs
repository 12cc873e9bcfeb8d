//! What an address of the page asks for.

use tidegate_controller::RevisionId;
use tidegate_controller::routes::RouteOrder;

use crate::fleet::{Direction, Only, ROWS_MAX, RowQuery, SEARCH_BYTES_MAX, SortKey};
use crate::source::Id;
use crate::what_if::SETTINGS_MAX;

/// Rows of a page where none are asked for.
const ROWS_DEFAULT: usize = 50;

/// Longest name of a site: that of a label of a host's name.
const SITE_QUERY_BYTES_MAX: usize = 63;

/// Longest name of a route that is ordered about.
const ROUTE_BYTES_MAX: usize = 512;

/// Longest setting, with its key.
const SETTING_BYTES_MAX: usize = 256;

/// What an address asks for that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// A parameter has a value that it cannot have.
    #[error("the parameter `{name}` is no good: expected {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it can have.
        expected: String,
    },
    /// A parameter is not there.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
}

/// What a stream shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// A page of the table of revisions.
    Fleet(RowQuery),
    /// One revision.
    Revision(Id),
    /// Routes and rollouts.
    Routes,
}

/// The parameters of an address.
struct Parameters<'a>(&'a [u8]);

impl Parameters<'_> {
    fn of(target: &[u8]) -> Parameters<'_> {
        let query = target.iter().position(|byte| *byte == b'?').map(|at| &target[at + 1..]);
        Parameters(query.unwrap_or_default())
    }

    /// The first value under a name, decoded; what is no text is taken for none.
    fn get(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = String> {
        self.0.split(|byte| *byte == b'&').filter_map(move |pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let is_it = parts.next() == Some(name.as_bytes());
            is_it.then(|| decoded(parts.next().unwrap_or_default()))?
        })
    }

    fn one_of<T: Copy>(
        &self,
        name: &'static str,
        all: &[(&'static str, T)],
    ) -> Result<Option<T>, QueryError> {
        let Some(given) = self.get(name) else { return Ok(None) };
        match all.iter().find(|(known, _)| *known == given) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
                let expected = format!("one of {}", known.join(", "));
                Err(QueryError::Value { name, expected })
            }
        }
    }

    fn number(&self, name: &'static str, most: usize) -> Result<Option<usize>, QueryError> {
        let Some(given) = self.get(name) else { return Ok(None) };
        match given.parse() {
            Ok(number) if number <= most => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number up to {most}");
                Err(QueryError::Value { name, expected })
            }
        }
    }
}

/// Text as forms encode it.
fn decoded(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, more @ ..] = rest {
        rest = more;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

impl View {
    /// Reads the target of a request for a stream.
    pub(crate) fn of_target(target: &[u8]) -> Result<Self, QueryError> {
        let parameters = Parameters::of(target);
        let views = [("fleet", 0), ("revision", 1), ("routes", 2)];
        match parameters.one_of("view", &views)? {
            Some(1) => revision(&parameters).map(Self::Revision),
            Some(2) => Ok(Self::Routes),
            _ => rows(&parameters).map(Self::Fleet),
        }
    }
}

fn revision(parameters: &Parameters<'_>) -> Result<Id, QueryError> {
    let given = parameters.get("of").ok_or(QueryError::Missing("of"))?;
    // A site stands before a colon, which no name has.
    let (site, of) = given.split_once(':').unwrap_or(("", &given));
    let id = of.split_once('/').and_then(|(ns, name)| RevisionId::new(ns, name).ok());
    let id = id.filter(|_| site.len() <= SITE_QUERY_BYTES_MAX);
    let id = id.map(|revision| Id { site: site.into(), revision });
    let expected =
        || "NAMESPACE/NAME of a revision, after SITE: where there are several".to_owned();
    id.ok_or_else(|| QueryError::Value { name: "of", expected: expected() })
}

fn rows(parameters: &Parameters<'_>) -> Result<RowQuery, QueryError> {
    let search = parameters.get("search").unwrap_or_default();
    if search.len() > SEARCH_BYTES_MAX {
        let expected = format!("at most {SEARCH_BYTES_MAX} bytes");
        return Err(QueryError::Value { name: "search", expected });
    }
    let site = parameters.get("site").unwrap_or_default();
    if site.len() > SITE_QUERY_BYTES_MAX {
        let expected = format!("at most {SITE_QUERY_BYTES_MAX} bytes");
        return Err(QueryError::Value { name: "site", expected });
    }
    let directions = [("up", Direction::Up), ("down", Direction::Down)];
    Ok(RowQuery {
        search,
        site,
        only: parameters.one_of("only", &Only::ALL)?.unwrap_or(Only::All),
        sort: parameters.one_of("sort", &SortKey::ALL)?.unwrap_or(SortKey::Name),
        direction: parameters.one_of("direction", &directions)?.unwrap_or(Direction::Up),
        from: parameters.number("from", usize::MAX >> 1)?.unwrap_or(0),
        count: parameters.number("count", ROWS_MAX)?.unwrap_or(ROWS_DEFAULT),
    })
}

/// Reads the target of a question what would have been: a revision, and its other settings.
pub(crate) fn what_if(target: &[u8]) -> Result<(Id, Vec<(String, String)>), QueryError> {
    let parameters = Parameters::of(target);
    let id = revision(&parameters)?;
    let expected = || format!("KEY=VALUE, at most {SETTINGS_MAX} of them");
    let wrong = || QueryError::Value { name: "set", expected: expected() };
    let given: Vec<String> = parameters.all("set").take(SETTINGS_MAX + 1).collect();
    if given.len() > SETTINGS_MAX || given.iter().any(|pair| pair.len() > SETTING_BYTES_MAX) {
        return Err(wrong());
    }
    let pair = |pair: &String| {
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    Ok((id, given.iter().map(pair).collect::<Result<_, _>>()?))
}

/// Reads the target of an order: a route, and what is to become of its rollout.
pub(crate) fn order(target: &[u8]) -> Result<(String, RouteOrder), QueryError> {
    let parameters = Parameters::of(target);
    let orders = [
        ("pause", RouteOrder::Pause),
        ("resume", RouteOrder::Resume),
        ("promote", RouteOrder::Promote),
        ("abort", RouteOrder::Abort),
        ("restart", RouteOrder::Restart),
    ];
    let order = parameters.one_of("order", &orders)?.ok_or(QueryError::Missing("order"))?;
    let route = parameters.get("route").ok_or(QueryError::Missing("route"))?;
    if route.len() > ROUTE_BYTES_MAX {
        let expected = format!("at most {ROUTE_BYTES_MAX} bytes");
        return Err(QueryError::Value { name: "route", expected });
    }
    Ok((route, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_shown() {
        let fleet = View::of_target(b"/page/events").expect("nothing is wrong with it");
        let View::Fleet(rows) = fleet else { panic!("{fleet:?}") };
        assert_eq!((rows.sort, rows.direction, rows.count), (SortKey::Name, Direction::Up, 50));
        let target = b"/page/events?view=fleet&search=we+b%2f&sort=waiting&direction=down&from=9";
        let View::Fleet(rows) = View::of_target(target).expect("valid") else { panic!("a table") };
        assert_eq!((rows.search.as_str(), rows.sort, rows.from), ("we b/", SortKey::Waiting, 9));
        let one = View::of_target(b"/page/events?view=revision&of=prod%2Fweb").expect("valid");
        let revision = RevisionId::new("prod", "web").expect("valid");
        assert_eq!(one, View::Revision(Id::of_controller(revision.clone())));
        let of_site = View::of_target(b"/page/events?view=revision&of=paris%3Aprod%2Fweb");
        assert_eq!(of_site, Ok(View::Revision(Id { site: "paris".into(), revision })));
        assert_eq!(View::of_target(b"/page/events?view=routes"), Ok(View::Routes));
    }

    #[test]
    fn what_cannot_be_had_is_told() {
        let long = format!("/page/events?search={}", "x".repeat(SEARCH_BYTES_MAX + 1));
        for bad in [
            "/page/events?view=other",
            "/page/events?view=revision",
            "/page/events?view=revision&of=web",
            "/page/events?view=revision&of=a/b/c",
            "/page/events?view=revision&of=%3Cscript%3E/x",
            "/page/events?sort=size",
            "/page/events?from=-1",
            "/page/events?count=101",
            "/page/events?from=99999999999999999999",
            &long,
        ] {
            let told = View::of_target(bad.as_bytes()).expect_err(bad).to_string();
            assert!(!told.contains('<') && told.len() < 200, "{told}");
        }
    }

    #[test]
    fn broken_encodings_are_no_value() {
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decoded(b"%E2%82%AC+a").as_deref(), Some("€ a"));
    }

    #[test]
    fn other_settings_are_pairs_and_few() {
        let target = b"/page/what-if?of=a/b&set=min-scale%3D1&set=+window=30s";
        let (id, settings) = what_if(target).expect("valid");
        assert_eq!(id.to_string(), "a/b");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(settings, [pair("min-scale", "1"), pair("window", "30s")]);
        assert!(what_if(b"/page/what-if?of=a/b&set=min-scale").is_err());
        let many = format!("/page/what-if?of=a/b{}", "&set=a=1".repeat(SETTINGS_MAX + 1));
        assert!(what_if(many.as_bytes()).is_err());
        let long = format!("/page/what-if?of=a/b&set=a={}", "1".repeat(SETTING_BYTES_MAX));
        assert!(what_if(long.as_bytes()).is_err());
    }

    #[test]
    fn orders_are_those_there_are() {
        let read = order(b"/page/orders?route=shop%20x&order=pause");
        assert_eq!(read, Ok(("shop x".to_owned(), RouteOrder::Pause)));
        assert!(order(b"/page/orders?order=pause").is_err());
        assert!(order(b"/page/orders?route=shop").is_err());
        assert!(order(b"/page/orders?route=shop&order=explode").is_err());
    }
}
