//! Which right of a role a request needs.

use http::Method;

use crate::server::Seen;

/// A right as roles have it: a verb on a resource of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The group; empty for the core group.
    pub group: String,
    /// The resource, with its subresource if it has one: `deployments/scale`.
    pub resource: String,
    /// The one object; `None` where the request names none.
    pub name: Option<String>,
    /// The verb.
    pub verb: &'static str,
}

impl Right {
    /// What a request needs; `None` for what everybody may ask, such as which kinds there are.
    #[must_use]
    pub fn of(seen: &Seen) -> Option<Self> {
        let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match words.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let (plural, name, part) = match rest {
            [] => return None,
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some((*name).to_owned()), None),
            [plural, name, part, ..] => (plural, Some((*name).to_owned()), Some(part)),
        };
        let verb = match (&seen.method, &name) {
            (&Method::GET, None) if query.contains("watch=") => "watch",
            (&Method::GET, None) => "list",
            (&Method::GET, Some(_)) => "get",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::DELETE, _) => "delete",
            _ => "patch",
        };
        let resource = match part {
            Some(part) => format!("{plural}/{part}"),
            None => (*plural).to_owned(),
        };
        Some(Self { group: group.to_owned(), resource, name, verb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Origin;

    #[test]
    fn requests_need_what_a_role_would_call_it() {
        for (method, path, resource, name, verb) in [
            (Method::GET, "/api/v1/namespaces", "namespaces", None, "list"),
            (Method::GET, "/api/v1/services?watch=1", "services", None, "watch"),
            (Method::GET, "/api/v1/namespaces/shop/secrets/a", "secrets", Some("a"), "get"),
            (Method::PATCH, "/api/v1/namespaces/shop/pods/a?x=y", "pods", Some("a"), "patch"),
            (Method::POST, "/apis/g/v1/namespaces/shop/events", "events", None, "create"),
            (Method::PUT, "/apis/g/v1/namespaces/s/a/b/scale", "a/scale", Some("b"), "update"),
        ] {
            let (path, body) = (path.to_owned(), serde_json::Value::Null);
            let content_type = String::new();
            let seen = Seen { method, path, content_type, body, origin: Origin::Loopback };
            let right = Right::of(&seen).expect("it needs one");
            let found = (right.resource.as_str(), right.name.as_deref(), right.verb);
            assert_eq!(found, (resource, name, verb), "{}", seen.path);
        }
    }
}
