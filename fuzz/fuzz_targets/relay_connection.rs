//! Whatever a client sends, a connection is answered, refused or closed: HTTP/1, HTTP/2 and the
//! way from one to the other. Every request that reaches the handler is sound, each is answered
//! once, in order, and nothing is answered that was not asked.

#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::messages;
use tidegate_fuzz::stage::{Road, assert_sound, play, talk};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Drain, Exchange, Handler, Reply, Server, ServerSettings};

/// Answers with the target, and counts.
struct Mirror {
    asked: Arc<AtomicUsize>,
}

impl Handler for Mirror {
    async fn handle(&self, exchange: &mut Exchange) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_sound(exchange.head());
        let target = exchange.head().target.clone();
        let _ = exchange.respond(Reply::text(StatusCode::OK, target)).await;
    }
}

fn occurrences(bytes: &[u8], mark: &[u8]) -> usize {
    bytes.windows(mark.len()).filter(|part| part.eq_ignore_ascii_case(mark)).count()
}

fuzz_target!(|bytes: &[u8]| {
    // Ports are few; most rounds need none.
    let road = if bytes.len() % 8 == 7 { Road::Tcp } else { Road::Pipe };
    let asked = Arc::new(AtomicUsize::new(0));
    let answers = play(async {
        let mirror = Mirror { asked: Arc::clone(&asked) };
        let server = Server::new(mirror, ServerSettings::default(), Drain::new());
        talk(&server, bytes, road).await
    });
    if messages::is_http2(&answers) {
        for (stream, heads) in messages::heads_by_stream(&answers) {
            assert_eq!(heads, 1, "stream {stream}");
        }
    } else if occurrences(bytes, b"HEAD ") == 0 {
        let count = messages::answers(&answers).messages;
        // These are answered before the handler; a refusal ends the connection.
        let others = occurrences(bytes, b"*") + occurrences(bytes, b"expect") + 1;
        let switched = occurrences(bytes, b"h2c");
        let asked = asked.load(Ordering::Relaxed);
        assert!(count <= asked + others + switched, "{asked} requests, {count} answers");
    }
});
