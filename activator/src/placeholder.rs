//! The page that people see in place of a response that is not there yet. It asks again by itself.
//!
//! It is for browsers that show a page to someone, and for nobody else: a program that wanted JSON
//! must get an error that it understands.

use std::time::Duration;

use tidegate_relay::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use tidegate_relay::http::{HeaderMap, Method, StatusCode};
use tidegate_relay::{Reply, RequestHead};

/// The longest page: it is sent to everybody who waits.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// How soon the page asks again at first.
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(2);

/// After how long a browser that waits for a first instance is shown it: most starts are over by
/// then, and nobody minds a second of nothing.
pub const DEFAULT_AFTER: Duration = Duration::from_secs(1);

const PAGE: &str = include_str!("placeholder.html");

/// Where a page of one's own wants the seconds until it asks again, and what is the matter.
const REFRESH_SECONDS: &str = "{{refresh_seconds}}";
const STATE: &str = "{{state}}";

/// What is the matter, in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No instance is ready yet.
    Starting,
    /// More requests wait than may, or this one has waited for too long.
    Busy,
}

/// The page, and when it is shown.
#[derive(Debug, Clone)]
pub struct Placeholder {
    page: String,
    pub(crate) after: Duration,
    /// How soon it asks again at the earliest.
    refresh: Duration,
}

/// Why a page cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPage {
    /// It is longer than [`PAGE_BYTES_MAX`].
    #[error("the page has {bytes} bytes, expected at most {PAGE_BYTES_MAX}")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// There is nothing in it.
    #[error("the page is empty")]
    Empty,
}

impl Default for Placeholder {
    /// Tidegate's own page.
    fn default() -> Self {
        Self { page: PAGE.to_owned(), after: DEFAULT_AFTER, refresh: DEFAULT_REFRESH }
    }
}

impl Placeholder {
    /// A page of HTML. In it `{{refresh_seconds}}` becomes the time until it asks again, which it
    /// does in any case, and `{{state}}` becomes `starting` or `busy`.
    ///
    /// # Errors
    ///
    /// When the page is empty or too long.
    pub fn with_page(page: String) -> Result<Self, BadPage> {
        match page.len() {
            0 => Err(BadPage::Empty),
            bytes if bytes > PAGE_BYTES_MAX => Err(BadPage::TooLong { bytes }),
            _ => Ok(Self { page, ..Self::default() }),
        }
    }

    /// The same, shown to a browser that has waited for a first instance for so long.
    #[must_use]
    pub fn shown_after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// The response: a 503, so that no cache and no search engine takes it for the app's.
    pub(crate) fn reply(&self, state: State, retry_after: Duration) -> Reply {
        const REFRESH: HeaderName = HeaderName::from_static("refresh");
        const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
        let seconds = self.refresh.max(retry_after).as_secs().max(1);
        let state = match state {
            State::Starting => "starting",
            State::Busy => "busy",
        };
        let body = self.page.replace(REFRESH_SECONDS, &seconds.to_string()).replace(STATE, state);
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        // By the browser itself, at the same address: a page of one's own needs nothing for it.
        headers.insert(REFRESH, HeaderValue::from(seconds));
        Reply { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: body.into() }
    }
}

/// Whether someone looks at what comes: a browser goes to a page and says that it takes HTML. What
/// scripts fetch, and what programs ask for, does not.
pub(crate) fn is_for_eyes(head: &RequestHead) -> bool {
    const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
    const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
    let takes_html = head.headers.get_all(ACCEPT).iter().any(|value| {
        let ranges = value.as_bytes().split(|byte| *byte == b',');
        let mut names = ranges.filter_map(|range| range.split(|byte| *byte == b';').next());
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"text/html"))
    });
    // Browsers of the last years say which kind of request it is.
    let navigates = head.headers.get(FETCH_MODE).is_none_or(|mode| mode == "navigate");
    head.method == Method::GET
        && head.upgrade.is_none()
        && takes_html
        && navigates
        && !head.headers.contains_key(REQUESTED_WITH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_ones_own_is_filled_in_and_bounded() {
        let page = "<p>{{state}}, again in {{refresh_seconds}} s</p>".to_owned();
        let placeholder = Placeholder::with_page(page).unwrap();
        let reply = placeholder.reply(State::Busy, Duration::from_secs(7));
        assert_eq!(&reply.body[..], b"<p>busy, again in 7 s</p>");
        assert_eq!(reply.headers["refresh"], "7");
        let soon = placeholder.reply(State::Starting, Duration::ZERO);
        assert_eq!(&soon.body[..], b"<p>starting, again in 2 s</p>");
        assert_eq!(Placeholder::with_page(String::new()).unwrap_err(), BadPage::Empty);
        let bytes = PAGE_BYTES_MAX + 1;
        let long = Placeholder::with_page("x".repeat(bytes)).unwrap_err();
        assert_eq!(long, BadPage::TooLong { bytes });
    }

    #[test]
    fn our_own_page_says_what_is_the_matter_and_fetches_nothing() {
        let page = String::from_utf8(
            Placeholder::default().reply(State::Starting, Duration::ZERO).body.to_vec(),
        )
        .unwrap();
        assert!(page.contains("data-state=\"starting\"") && !page.contains("{{"), "{page}");
        assert!(!page.contains("http") && !page.contains("src="), "{page}");
    }
}
