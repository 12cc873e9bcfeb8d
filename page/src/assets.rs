//! What a browser loads: three files that are part of the program, and under which rules.

use tidegate_relay::Reply;
use tidegate_relay::http::StatusCode;
use tidegate_relay::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// What the page may do: run and show what comes with it, and ask the address it came from. No
/// text can become markup or a script in it: a browser that knows trusted types throws instead.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const HTML: &str = include_str!("assets/page.html");
const STYLE_SHEET: &str = include_str!("assets/page.css");
const ICON: &str = include_str!("assets/icon.svg");
/// In the order in which they build on each other.
const SCRIPTS: [&str; 7] = [
    include_str!("assets/elements.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/fleet.js"),
    include_str!("assets/what_if.js"),
    include_str!("assets/revision.js"),
    include_str!("assets/routes.js"),
    include_str!("assets/page.js"),
];

/// The file at a path, if there is one.
pub(crate) fn file(path: &[u8]) -> Option<Reply> {
    let (kind, text) = match path {
        b"/page" => ("text/html; charset=utf-8", HTML.to_owned()),
        b"/page/page.css" => ("text/css; charset=utf-8", STYLE_SHEET.to_owned()),
        b"/page/page.js" => ("text/javascript; charset=utf-8", SCRIPTS.concat()),
        b"/page/icon.svg" => ("image/svg+xml", ICON.to_owned()),
        _ => return None,
    };
    let mut reply = Reply::text(StatusCode::OK, text);
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Some(guarded(reply))
}

/// A response as all of the page's are: kept by nobody, shown in no frame, and taken for nothing
/// but what it says it is.
pub(crate) fn guarded(mut reply: Reply) -> Reply {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
    ] {
        reply.headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser has to load at most, in all.
    const BYTES_MAX: usize = 150 * 1024;

    #[test]
    fn all_of_it_is_small() {
        let bytes = HTML.len() + STYLE_SHEET.len() + ICON.len() + SCRIPTS.concat().len();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_makes_markup() {
        for text in [HTML, STYLE_SHEET, ICON].iter().chain(&SCRIPTS) {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for elsewhere in ["http://", "https://", "@import", "url("] {
                assert!(!text.contains(elsewhere), "{elsewhere}");
            }
        }
        for script in SCRIPTS {
            for maker in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!script.contains(maker), "{maker}");
            }
        }
        for inline in ["<script>", "<style", "style=", " onload", " onclick", " onerror"] {
            assert!(!HTML.contains(inline), "{inline}");
        }
    }
}
