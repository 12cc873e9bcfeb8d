//! Buffers and header maps, kept per thread: an idle connection owns none.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderMap;

/// The size of a read buffer, in bytes: a request head with cookies fits, and ten thousand of them
/// fit in memory.
pub(crate) const BUFFER_BYTES: usize = 8 * 1024;

/// Buffers of this size take over while a long body streams: fewer system calls per byte, and
/// still small enough to stay in the cache.
pub(crate) const STREAM_BUFFER_BYTES: usize = 64 * 1024;

/// How many of each a thread keeps. More connections than this are seldom busy in one turn of
/// the event loop.
const KEPT_MAX: usize = 64;

/// Header maps that grew beyond this many fields are dropped.
const KEPT_FIELDS_MAX: usize = 64;

thread_local! {
    static INPUTS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static OUTPUTS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty read buffer of at least [`BUFFER_BYTES`].
pub(crate) fn take_input() -> BytesMut {
    INPUTS.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Gives a read buffer back. Large ones, and ones that are still referenced, are dropped.
pub(crate) fn keep_input(mut buffer: BytesMut) {
    buffer.clear();
    // Reclaims the front that was split off, unless it is still referenced.
    if buffer.try_reclaim(BUFFER_BYTES) && buffer.capacity() <= 2 * BUFFER_BYTES {
        keep(&INPUTS, buffer);
    }
}

/// An empty write buffer.
pub(crate) fn take_output() -> Vec<u8> {
    OUTPUTS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a write buffer back.
pub(crate) fn keep_output(mut buffer: Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > 0 && buffer.capacity() <= 2 * BUFFER_BYTES {
        keep(&OUTPUTS, buffer);
    }
}

/// An empty header map.
pub(crate) fn take_map() -> HeaderMap {
    MAPS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a header map back.
pub(crate) fn keep_map(mut map: HeaderMap) {
    map.clear();
    if map.capacity() > 0 && map.capacity() <= KEPT_FIELDS_MAX {
        keep(&MAPS, map);
    }
}

fn keep<T>(kept: &'static std::thread::LocalKey<RefCell<Vec<T>>>, item: T) {
    kept.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(item);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table of bounds promises for a thread.
    const THREAD_BYTES_MAX: usize = 3 << 20;

    #[test]
    fn what_a_thread_keeps_has_a_bound_in_bytes() {
        for size in [1, BUFFER_BYTES, 2 * BUFFER_BYTES, 2 * BUFFER_BYTES + 1, STREAM_BUFFER_BYTES] {
            for _ in 0..2 * KEPT_MAX {
                keep_input(BytesMut::with_capacity(size));
                keep_output(Vec::with_capacity(size));
                keep_map(HeaderMap::with_capacity(KEPT_FIELDS_MAX / 2));
                keep_map(HeaderMap::with_capacity(4 * KEPT_FIELDS_MAX));
            }
        }
        let inputs = INPUTS.with_borrow(|kept| kept.iter().map(BytesMut::capacity).sum::<usize>());
        let outputs = OUTPUTS.with_borrow(|kept| kept.iter().map(Vec::capacity).sum::<usize>());
        let fields = MAPS.with_borrow(|kept| kept.iter().map(HeaderMap::capacity).sum::<usize>());
        assert!(fields <= KEPT_MAX * KEPT_FIELDS_MAX, "{fields} fields");
        // A name, a value, a hash and an index for each field.
        const FIELD_BYTES: usize = 112;
        let bytes = inputs + outputs + fields * FIELD_BYTES;
        assert!(bytes <= THREAD_BYTES_MAX, "{bytes} bytes");
    }
}
