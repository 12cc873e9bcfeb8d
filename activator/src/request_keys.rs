//! Where a request says what it is ordered and placed by: its class, whose it is, what it is about.
//!
//! Nothing of this is believed any further: a client that claims to be of the best class is of it.
//! Who stands in front of strangers has these headers removed or set before.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tidegate_admission::attributes::CLASSES_MAX;
use tidegate_admission::{Attributes, Moment};
use tidegate_relay::RequestHead;
use tidegate_relay::http::header::{COOKIE, HeaderName};

/// The header that names a request's class, unless another is configured.
pub const CLASS_HEADER: HeaderName = HeaderName::from_static("x-request-class");

/// A part of a request that others may share with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The first value of a header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The path without its query.
    Path,
    /// The address of the connection: that of the last proxy, where there is one.
    ClientAddress,
}

/// A source of keys that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected header:NAME, cookie:NAME, path or client-address")]
pub struct NoKeySource;

impl FromStr for KeySource {
    type Err = NoKeySource;

    fn from_str(text: &str) -> Result<Self, NoKeySource> {
        match text.split_once(':') {
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| NoKeySource),
            // A cookie's name is a token, as a header's is (RFC 6265).
            Some(("cookie", name)) if name.parse::<HeaderName>().is_ok() => {
                Ok(Self::Cookie(name.to_owned()))
            }
            None if text == "path" => Ok(Self::Path),
            None if text == "client-address" => Ok(Self::ClientAddress),
            _ => Err(NoKeySource),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Path => f.write_str("path"),
            Self::ClientAddress => f.write_str("client-address"),
        }
    }
}

impl KeySource {
    /// The number that stands for what the request has there; `None` if it has nothing.
    ///
    /// The same in every process, so that all activators place a request alike.
    fn key_of(&self, head: &RequestHead, peer: Option<IpAddr>) -> Option<u64> {
        match self {
            Self::Header(name) => head.headers.get(name).map(|value| hash(value.as_bytes())),
            Self::Cookie(name) => cookie(head, name.as_bytes()).map(hash),
            Self::Path => Some(hash(head.path())),
            Self::ClientAddress => peer.map(|address| match address {
                IpAddr::V4(address) => hash(&address.octets()),
                // Who has an address of version 6 has all of its network.
                IpAddr::V6(address) => hash(&address.octets()[..8]),
            }),
        }
    }
}

/// The value of the first cookie of this name.
fn cookie<'a>(head: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    let fields = head.headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

/// FNV-1a, 64 bits: the dispatcher mixes it further where that matters.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The classes of requests by name, the best one first or not: their weights are the dispatcher's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassNames {
    header: HeaderName,
    names: Vec<String>,
}

impl ClassNames {
    /// These, named by this header. A request that names none of them is of the last.
    ///
    /// `None` beyond the number of classes that a queue can have.
    pub fn new(header: HeaderName, names: Vec<String>) -> Option<Self> {
        (names.len() <= CLASSES_MAX).then_some(Self { header, names })
    }

    fn class_of(&self, head: &RequestHead) -> u8 {
        let named = head.headers.get(&self.header).map(|value| value.as_bytes());
        let is_named = |name: &String| Some(name.as_bytes()) == named;
        let index = self.names.iter().position(is_named).unwrap_or(self.names.len());
        // There are no more than a few.
        u8::try_from(index).unwrap_or(u8::MAX)
    }
}

/// What requests are ordered and placed by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestKeys {
    /// Whose requests take turns.
    pub fairness: Option<KeySource>,
    /// What goes to one instance.
    pub affinity: Option<KeySource>,
    /// The classes, where there are several.
    pub classes: Option<ClassNames>,
}

impl RequestKeys {
    /// What a dispatcher is told of the request, which is due at `due`.
    pub(crate) fn attributes(
        &self,
        head: &RequestHead,
        peer: Option<IpAddr>,
        due: Moment,
    ) -> Attributes {
        let key = |source: &Option<KeySource>| source.as_ref()?.key_of(head, peer);
        Attributes {
            class: self.classes.as_ref().map_or(0, |classes| classes.class_of(head)),
            // All that say nothing are one.
            key: key(&self.fairness).unwrap_or(0),
            due,
            bytes: u32::try_from(head.held_bytes()).unwrap_or(u32::MAX),
            affinity: key(&self.affinity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_written_alike() {
        for text in ["header:x-user", "cookie:session", "path", "client-address"] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        for bad in ["", "header", "header:", "header:a b", "cookie:", "cookie:a=b", "Path", "ip"] {
            assert_eq!(bad.parse::<KeySource>(), Err(NoKeySource), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
