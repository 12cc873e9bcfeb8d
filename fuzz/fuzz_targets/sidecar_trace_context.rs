//! Any headers that carry trace context: what reaches a log is an identifier or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_queue_proxy::trace::trace_id;
use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::HeaderValue;

fuzz_target!(|values: (Vec<&[u8]>, &[u8])| {
    let (parents, b3) = values;
    let mut headers = HeaderMap::new();
    for parent in parents.into_iter().take(4) {
        if let Ok(value) = HeaderValue::from_bytes(parent) {
            headers.append("traceparent", value);
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(b3) {
        headers.insert("x-b3-traceid", value);
    }
    let id = trace_id(&headers);
    assert!(matches!(id.len(), 0 | 16 | 32), "{id}");
    assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    assert!(id.is_empty() || id.bytes().any(|byte| byte != b'0'));
});
