//! Files that are known to hold no requests: summaries, snapshots, lag. Each with what to do.

/// Marks that a file has among its first bytes, all of them, and what it is.
const KNOWN: [(&[&str], &str); 13] = [
    (
        &["Running ", " test @ ", "threads and"],
        "is the summary of wrk or wrk2, which holds no single request; pass --arrivals \
         constant:RATE with its rate and --service with its latency instead",
    ),
    (
        &["Summary:", "Slowest:", "Requests/sec:"],
        "is the summary of hey or oha, which holds no single request; run `hey -o csv` or \
         `oha --output-format csv` for one row a request",
    ),
    (
        &["\"requestsPerSec\"", "\"latencyPercentiles\""],
        "is the summary of oha, which holds no single request; run `oha --output-format csv` for \
         one row a request",
    ),
    (
        &["\"latencies\"", "\"bytes_in\"", "\"throughput\"", "\"status_codes\""],
        "is a report of vegeta, which holds no single request; run `vegeta encode` on the results \
         for one row a request",
    ),
    (
        &["\"metrics\"", "\"http_req_duration\"", "\"root_group\""],
        "is the summary of k6, which holds no single request; run `k6 run --out csv=FILE` or \
         `--out json=FILE` for one row a request",
    ),
    (
        &["Type,Name,Request Count,Failure Count"],
        "is Locust's table of totals, which says nothing of when; pass the file that ends in \
         _stats_history.csv instead",
    ),
    (
        &["Method,Name,Error,Occurrences"],
        "is Locust's table of failures, which says nothing of when; pass the file that ends in \
         _stats_history.csv instead",
    ),
    (
        &["Count,Message,Traceback"],
        "is Locust's table of exceptions, which says nothing of when; pass the file that ends in \
         _stats_history.csv instead",
    ),
    (
        &["TOPIC", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"],
        "is a snapshot of a consumer group: lag is what waits, not what arrives; export \
         increase(...) of the end offsets from Prometheus, one value a step, instead",
    ),
    (
        &["\"num_pending\"", "\"num_ack_pending\"", "\"delivered\""],
        "is a snapshot of a NATS consumer: what is pending is what waits, not what arrives; \
         export increase(...) of the stream's last sequence from Prometheus instead",
    ),
    (
        &["Outstanding Acks", "Unprocessed Messages"],
        "is a snapshot of a NATS consumer: what is pending is what waits, not what arrives; \
         export increase(...) of the stream's last sequence from Prometheus instead",
    ),
    (
        &["\"nginx_version\"", "\"connections\""],
        "is a status snapshot of nginx, whose rows are no requests; pass its access log instead",
    ),
    (
        &["# HELP ", "# TYPE "],
        "is a page of metrics at one moment; ask Prometheus' query_range for rate(...) or \
         increase(...) over time instead",
    ),
];

/// Bytes in which marks are looked for: every one of these files begins with what it is.
const HEAD_BYTES_MAX: usize = 8_192;

/// Why a file that begins with `head` is no trace, when that is known.
pub(crate) fn of(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(HEAD_BYTES_MAX)];
    let plain = head.iter().filter(|byte| **byte != b'"').copied().collect::<Vec<u8>>();
    let has = |mark: &&str| {
        memchr::memmem::find(head, mark.as_bytes()).is_some()
            || memchr::memmem::find(&plain, mark.as_bytes()).is_some()
    };
    KNOWN.iter().find(|(marks, _)| marks.iter().all(has)).map(|(_, why)| *why)
}
