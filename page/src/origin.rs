//! Where a request comes from: the one rule against pages of others.
//!
//! A page of another site can make a browser send requests here, also under a name of its own that
//! it lets lead to this machine (DNS rebinding). So only names that are ours are answered, and what
//! changes something or takes a place has to come from this page.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::header::{HeaderName, HeaderValue, ORIGIN};

/// What a browser says of the page that makes a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names under which the page is answered, beside those of this machine.
pub(crate) const HOSTS_MAX: usize = 16;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// It names another host.
    #[error(
        "this name is not one of this page: use localhost, or name it with --page-host where it \
         is right"
    )]
    Host,
    /// It comes from another page.
    #[error("only this page itself may ask for this")]
    Page,
}

/// The names of this machine's loopback, and those that were configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    named: Vec<String>,
    address: Option<IpAddr>,
}

impl Hosts {
    /// `named`, and the address that is listened on if it is one.
    pub(crate) fn new(named: Vec<String>, listen: Option<IpAddr>) -> Self {
        let named = named.into_iter().take(HOSTS_MAX).map(|name| name.to_ascii_lowercase());
        let address = listen.map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified());
        Self { named: named.collect(), address }
    }

    /// Whether the value of a `Host` field, with or without a port, is one of them.
    fn include(&self, host: &str) -> bool {
        let host = without_port(host).to_ascii_lowercase();
        let address: Option<IpAddr> =
            match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            };
        match address.map(|ip| ip.to_canonical()) {
            Some(ip) => ip.is_loopback() || Some(ip) == self.address || self.named.contains(&host),
            None => host == "localhost" || self.named.contains(&host),
        }
    }

    /// Refuses requests under names of others.
    pub(crate) fn check_host(&self, host: Option<&HeaderValue>) -> Result<(), Stranger> {
        let host = host.and_then(|host| host.to_str().ok());
        host.filter(|host| self.include(host)).map(|_| ()).ok_or(Stranger::Host)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Refuses what a browser says that a page of others asked for. Programs say nothing of it.
pub(crate) fn check_site(headers: &HeaderMap) -> Result<(), Stranger> {
    let is_ours = |site: &HeaderValue| *site == "same-origin" || *site == "none";
    match headers.get_all(SEC_FETCH_SITE).iter().all(is_ours) {
        true => Ok(()),
        false => Err(Stranger::Page),
    }
}

/// Refuses what does not come from this page: its `Origin` has to be there, and of this host.
pub(crate) fn check_origin(
    headers: &HeaderMap,
    host: Option<&HeaderValue>,
) -> Result<(), Stranger> {
    check_site(headers)?;
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, more) = (origins.next(), origins.next());
    let text = |value: Option<&HeaderValue>| Some(value?.to_str().ok()?.to_ascii_lowercase());
    let (Some(origin), Some(host), None) = (text(origin), text(host), more) else {
        return Err(Stranger::Page);
    };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    match authority == Some(host.as_str()) {
        true => Ok(()),
        false => Err(Stranger::Page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).expect("valid")
    }

    #[test]
    fn names_of_this_machine_and_configured_ones_are_ours() {
        let listen = "10.0.0.5".parse().ok();
        let hosts = Hosts::new(vec!["Page.Example.com".into()], listen);
        for ours in [
            "localhost",
            "LOCALHOST:9401",
            "127.0.0.1:9401",
            "127.8.9.1",
            "[::1]:80",
            "[::1]",
            "[::ffff:127.0.0.1]:1",
            "page.example.com",
            "page.example.com:9401",
            "10.0.0.5:9401",
        ] {
            assert_eq!(hosts.check_host(Some(&value(ours))), Ok(()), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "evil.example:127.0.0.1",
            "page.example.com.",
            "xpage.example.com",
            "10.0.0.6",
            "0.0.0.0:80",
            "localhost@evil.example",
            "::1:",
        ] {
            assert_eq!(hosts.check_host(Some(&value(foreign))), Err(Stranger::Host), "{foreign}");
        }
        assert_eq!(hosts.check_host(None), Err(Stranger::Host));
        let open = Hosts::new(vec![], "0.0.0.0".parse().ok());
        assert!(open.check_host(Some(&value("0.0.0.0"))).is_err(), "that is every address");
    }

    #[test]
    fn only_this_page_asks_for_changes() {
        let host = value("localhost:9401");
        let check = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, text)| {
                (HeaderName::from_bytes(name.as_bytes()).expect("a name"), value(text))
            });
            let mut headers = HeaderMap::new();
            for (name, text) in fields {
                headers.append(name, text);
            }
            (check_site(&headers).is_ok(), check_origin(&headers, Some(&host)).is_ok())
        };
        let (ours, theirs) =
            (("origin", "http://localhost:9401"), ("origin", "http://evil.example"));
        assert_eq!(check(&[ours, ("sec-fetch-site", "same-origin")]), (true, true));
        assert_eq!(check(&[("origin", "https://localhost:9401")]), (true, true));
        assert_eq!(check(&[]), (true, false), "a program says nothing, and changes nothing");
        assert_eq!(check(&[theirs]), (true, false));
        assert_eq!(check(&[("origin", "null")]), (true, false));
        assert_eq!(check(&[("origin", "http://localhost:9402")]), (true, false));
        assert_eq!(check(&[ours, theirs]), (true, false));
        assert_eq!(check(&[ours, ("sec-fetch-site", "cross-site")]), (false, false));
        assert_eq!(check(&[ours, ("sec-fetch-site", "same-site")]), (false, false));
    }
}
