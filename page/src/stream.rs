//! Events to one browser, as server-sent events (`text/event-stream`).
//!
//! At most one event is under way. The next is made when the last has been taken, so that a slow
//! reader gets the newest state and no backlog; one that takes nothing for a while is cut off.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::http::StatusCode;
use tidegate_relay::http::header::{CONTENT_TYPE, HeaderValue};
use tidegate_relay::{Conversation, Exchange, Reply};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::assets::guarded;
use crate::fleet::Snapshot;
use crate::viewer::{Told, Viewer};

/// What an event may come to. A revision's first one, with an hour of it, two hundred decisions and
/// two hundred instances with names as long as they may be, is below.
pub(crate) const EVENT_BYTES_MAX: usize = 1 << 20;

/// How long a browser may take to take an event.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a stream may say nothing: a line that means nothing tells both ends that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The browser went, or the controller, or the page.
    Gone,
    /// The browser took nothing for too long.
    Slow,
}

/// Tells `viewer` of each look, until one of both goes.
pub(crate) async fn tell(
    mut looks: watch::Receiver<Arc<Snapshot>>,
    exchange: &mut Exchange,
    mut viewer: Viewer,
) -> End {
    let mut reply = guarded(Reply::empty(StatusCode::OK));
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let Ok(mut conversation) = exchange.converse(reply) else { return End::Gone };
    looks.mark_changed();
    loop {
        match timeout(SILENCE_MAX, looks.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                if let Err(end) = taken(&mut conversation, b":\n\n".to_vec()).await {
                    return end;
                }
                continue;
            }
        }
        let snapshot = looks.borrow_and_update().clone();
        if snapshot.is_unseen() {
            continue;
        }
        let Ok(told) = viewer.next(&snapshot).await else { break };
        let Some(told) = told else { continue };
        if let Err(end) = taken(&mut conversation, frame(&told)).await {
            return end;
        }
    }
    // The browser may have gone as well.
    let _ = conversation.end(None).await;
    End::Gone
}

/// Waits until all of `output` is taken.
async fn taken(conversation: &mut Conversation<'_>, mut output: Vec<u8>) -> Result<(), End> {
    let send = poll_fn(|cx| conversation.poll_send(cx, &mut output));
    match timeout(TAKE_TIMEOUT, send).await {
        Ok(sent) => sent.map_err(|_| End::Gone),
        Err(_) => Err(End::Slow),
    }
}

/// An event in its frame. JSON has no line breaks, so that its text ends no field.
fn frame(told: &Told) -> Vec<u8> {
    if told.json.len() > EVENT_BYTES_MAX {
        return b"event: too-large\ndata: {}\n\n".to_vec();
    }
    format!("event: {}\ndata: {}\n\n", told.kind, told.json).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_with_its_event_whatever_is_in_it() {
        let json = serde_json::to_string("a\n\nevent: forged\r\ndata: {}").expect("text");
        let framed = frame(&Told { kind: "fleet", json });
        let text = String::from_utf8(framed).expect("text");
        assert_eq!(text.matches("\n").count(), 3, "{text:?}");
        assert!(text.starts_with("event: fleet\ndata: \"a\\n") && text.ends_with("\"\n\n"));
    }

    #[test]
    fn what_is_too_large_is_left_out() {
        let json = "1".repeat(EVENT_BYTES_MAX + 1);
        assert!(frame(&Told { kind: "fleet", json }).len() < 100);
    }
}
