//! W3C trace context: which trace a request belongs to, whether it is sampled, and fresh numbers.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header that carries the context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A position in a trace: its identity and the current span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) sampled: bool,
}

impl Context {
    /// The context that a request brings; `None` when it brings none that is valid, or several.
    pub(super) fn extract(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let context = Self::parse(values.next()?.to_str().ok()?);
        context.filter(|_| values.next().is_none())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, trace, span, flags) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let lower_hex = |field: &str, length: usize| {
            field.len() == length
                && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let well_formed = lower_hex(version, 2)
            && lower_hex(trace, 32)
            && lower_hex(span, 16)
            && lower_hex(flags, 2)
            && version != "ff"
            && (version != "00" || fields.next().is_none());
        if !well_formed {
            return None;
        }
        let context = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & SAMPLED != 0,
        };
        (context.trace != 0 && context.span != 0).then_some(context)
    }

    /// Hands the context on.
    pub(super) fn inject(&self, headers: &mut HeaderMap) {
        let flags = u8::from(self.sampled);
        let text = format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span);
        // Hexadecimal digits and dashes always make a header value.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// The trace that a request belongs to, in 32 hexadecimal digits: by its `traceparent`, else by
/// `X-B3-TraceId`, which may have 16; empty without either. What is no identifier is none: it could
/// be anything.
pub fn trace_id(headers: &HeaderMap) -> String {
    if let Some(context) = Context::extract(headers) {
        return format!("{:032x}", context.trace);
    }
    let id = headers.get("x-b3-traceid").and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_id = matches!(id.len(), 16 | 32)
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|byte| byte != b'0');
    if is_id { id.to_ascii_lowercase() } else { String::new() }
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// All.
    Always,
    /// None.
    Never,
    /// This share of all traces, whatever the caller decided.
    Ratio(f64),
    /// What the caller decided; without a caller, this share.
    ParentOrRatio(f64),
}

impl Sampler {
    /// The sampler that the environment names, else the one for the configured rate.
    pub fn choose(name: Option<&str>, argument: Option<&str>, rate: f64) -> Self {
        let ratio = argument.and_then(|text| text.parse().ok()).unwrap_or(1.0);
        match name {
            Some("always_on") => Self::Always,
            Some("always_off") => Self::Never,
            Some("traceidratio") => Self::Ratio(ratio),
            Some("parentbased_always_on") => Self::ParentOrRatio(1.0),
            Some("parentbased_always_off") => Self::ParentOrRatio(0.0),
            Some("parentbased_traceidratio") => Self::ParentOrRatio(ratio),
            _ if rate >= 1.0 => Self::Always,
            _ if rate > 0.0 => Self::ParentOrRatio(rate),
            _ => Self::Never,
        }
    }

    pub(super) fn samples(&self, parent: Option<&Context>, trace: u128) -> bool {
        match (self, parent) {
            (Self::Always, _) => true,
            (Self::Never, _) => false,
            (Self::ParentOrRatio(_), Some(parent)) => parent.sampled,
            (Self::Ratio(ratio) | Self::ParentOrRatio(ratio), _) => {
                // The lower half decides, as in OpenTelemetry: every service comes to the same end.
                let low = (trace & u128::from(u64::MAX)) as u64 >> 1;
                (low as f64) < ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64
            }
        }
    }
}

/// Identifiers that are unique, and not secret.
#[derive(Debug)]
pub(super) struct Numbers {
    state: AtomicU64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { state: AtomicU64::new(RandomState::new().hash_one(std::process::id())) }
    }

    /// A number that is not zero (SplitMix64).
    pub(super) fn next(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.state.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).max(1)
    }

    pub(super) fn trace(&self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn contexts_survive_a_round_trip() {
        let context = Context::parse(PARENT).unwrap();
        assert!(context.sampled);
        let mut headers = HeaderMap::new();
        context.inject(&mut headers);
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert_eq!(Context::extract(&headers), Some(context));
    }

    #[test]
    fn malformed_contexts_are_none() {
        for text in [
            "",
            "bogus",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
        // A later version may have more fields.
        let later = PARENT.replacen("00", "01", 1) + "-more";
        assert!(Context::parse(&later).is_some());
    }

    #[test]
    fn malformed_trace_identifiers_are_ignored() {
        let traced = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            trace_id(&headers)
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(traced(&[("traceparent", PARENT)]), trace);
        assert_eq!(traced(&[("x-b3-traceid", "463AC35C9F6413AD")]), "463ac35c9f6413ad");
        assert_eq!(traced(&[("x-b3-traceid", trace)]), trace);
        assert_eq!(traced(&[("traceparent", "00-S3CRET"), ("x-b3-traceid", trace)]), trace);
        for parent in ["00-S3CRET", "00-S3CRET-b7ad6b7169203331-01", "S3CRET", "00-"] {
            assert_eq!(traced(&[("traceparent", parent)]), "", "{parent}");
        }
        for id in ["S3CRET", "", "0000000000000000", "463ac35c9f6413a", "463ac35c9f6413ad0"] {
            assert_eq!(traced(&[("x-b3-traceid", id)]), "", "{id}");
        }
        // Two parents are none (Trace Context, 3.2).
        assert_eq!(traced(&[("traceparent", PARENT), ("traceparent", PARENT)]), "");
    }

    #[test]
    fn samplers_follow_the_environment_then_the_rate() {
        assert_eq!(Sampler::choose(None, None, 1.0), Sampler::Always);
        assert_eq!(Sampler::choose(None, Some("0.5"), 0.25), Sampler::ParentOrRatio(0.25));
        assert_eq!(Sampler::choose(None, None, 0.0), Sampler::Never);
        assert_eq!(Sampler::choose(Some("traceidratio"), Some("0.5"), 0.0), Sampler::Ratio(0.5));
        let numbers = Numbers::new();
        let half = Sampler::Ratio(0.5);
        let sampled = (0..10_000).filter(|_| half.samples(None, numbers.trace())).count();
        assert!((4500..5500).contains(&sampled), "{sampled}");
        let parent = Context::parse(PARENT);
        assert!(Sampler::ParentOrRatio(0.0).samples(parent.as_ref(), 1));
        assert!(!Sampler::ParentOrRatio(0.0).samples(None, 1));
    }
}
