//! The book's table of causes and what the processes respond are the same.
//!
//! The story behind it: the sidecar, the activator and their metrics each had names of their own
//! for one failure, and a table in a comment said what the code did no more.

#![expect(clippy::unwrap_used, reason = "what cannot be read or made fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tidegate_activator::error::Failure;
use tidegate_activator::respond::{Protocol, ReplyStyle};
use tidegate_admission::Refusal;
use tidegate_queue_proxy::error::Failure as SidecarFailure;
use tidegate_queue_proxy::respond::RefusalStyle;
use tidegate_relay::http::{HeaderMap, HeaderValue, StatusCode, header};
use tidegate_relay::{Cause, CauseHeader, ForwardError, Interrupted, Timeout, host};

/// The statuses that a process responds by cause.
type Statuses = BTreeMap<Cause, BTreeSet<u16>>;

/// One of every kind of error of an exchange, but for those that another proxy declined.
fn forward_errors() -> Vec<ForwardError> {
    let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let address = || "127.0.0.1:1".to_owned();
    vec![
        ForwardError::Connect { network: "tcp", address: address(), source: refused() },
        ForwardError::NoDescriptors { network: "tcp", address: address(), source: refused() },
        ForwardError::ConnectTimedOut { address: address(), waited_ms: 1 },
        ForwardError::Closed,
        ForwardError::Truncated,
        ForwardError::Io(refused()),
        ForwardError::Malformed("junk".to_owned()),
        ForwardError::ResponseBody("junk"),
        ForwardError::SwitchedProtocol { got: "a".to_owned(), wanted: String::new() },
        ForwardError::Http2("reset".into()),
        ForwardError::TimedOut(Timeout::Overall),
        ForwardError::ClientGone,
        ForwardError::TooManyInformational,
        ForwardError::OverBudget,
        ForwardError::RequestBody("junk"),
    ]
}

const REFUSALS: [Refusal; 2] = [Refusal::QueueFull, Refusal::WaitedTooLong];
const INTERRUPTED: [Interrupted; 2] =
    [Interrupted::ClientGone, Interrupted::TimedOut(Timeout::Idle)];

fn sidecar() -> Statuses {
    let mut headers = HeaderMap::new();
    headers.insert(header::FORWARDED, HeaderValue::from_static("no host"));
    let malformed = host::in_field(&headers, header::FORWARDED).unwrap_err();
    let mut failures = vec![SidecarFailure::from(malformed)];
    failures.extend(REFUSALS.map(SidecarFailure::from));
    failures.extend(INTERRUPTED.map(SidecarFailure::from));
    failures.extend(forward_errors().into_iter().map(SidecarFailure::from));
    let mut statuses = Statuses::new();
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
        let style = RefusalStyle { status, retry_after_seconds: None };
        for failure in &failures {
            let (cause, reply) = (failure.cause(), failure.reply(style));
            assert_eq!(cause.is_some(), reply.is_some(), "{failure}: a response has a cause");
            if let Some((cause, reply)) = cause.zip(reply) {
                statuses.entry(cause).or_default().insert(reply.status.as_u16());
            }
        }
    }
    statuses
}

/// What an activator responds: in HTTP, and in gRPC.
fn activator() -> (Statuses, Statuses) {
    let mut failures = vec![
        Failure::UnknownRevision,
        Failure::MalformedRoute,
        Failure::Died(ForwardError::Closed),
        Failure::GivenUp("it ended".to_owned()),
        Failure::Unreachable { attempts: 1, source: ForwardError::Closed },
    ];
    failures.extend(REFUSALS.map(Failure::from));
    failures.extend(INTERRUPTED.map(Failure::from));
    failures.extend(forward_errors().into_iter().map(Failure::from));
    let (mut http, mut grpc) = (Statuses::new(), Statuses::new());
    for failure in failures {
        let Some(cause) = failure.cause() else { continue };
        let shown = ReplyStyle::new(CauseHeader::Shown);
        for refusal_status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
            let reply = failure.reply(Protocol::Http, ReplyStyle { refusal_status, ..shown });
            assert_eq!(reply.headers["tidegate-error"], cause.label());
            http.entry(cause).or_default().insert(reply.status.as_u16());
        }
        let hidden = failure.reply(Protocol::Http, ReplyStyle::new(CauseHeader::Hidden));
        assert!(!hidden.headers.contains_key("tidegate-error"));
        let told = failure.reply(Protocol::Grpc, shown);
        assert_eq!(told.headers["tidegate-error"], cause.label());
        let status = told.headers["grpc-status"].to_str().unwrap().parse().unwrap();
        grpc.entry(cause).or_default().insert(status);
    }
    (http, grpc)
}

fn cell(statuses: &Statuses, cause: Cause) -> String {
    let Some(statuses) = statuses.get(&cause) else { return "—".to_owned() };
    statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")
}

#[test]
fn the_book_has_every_cause_and_its_statuses() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("<!-- causes -->\n").unwrap();
    let (table, _) = table.split_once("<!-- end of causes -->").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let told: Vec<String> =
        rows.iter().map(|row| format!("{} {} / {} / {}", row[0], row[2], row[3], row[4])).collect();
    let (sidecar, (http, grpc)) = (sidecar(), activator());
    let true_ones = Cause::ALL.map(|cause| {
        let cells = [&sidecar, &http, &grpc].map(|statuses| cell(statuses, cause));
        format!("`{}` {}", cause.label(), cells.join(" / "))
    });
    assert_eq!(told, true_ones, "docs/errors.md and what is responded differ");
}

#[test]
fn an_activator_passes_on_the_cause_and_the_status_of_its_sidecar() {
    for cause in Cause::ALL {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let failure = Failure::from(ForwardError::Declined { status, cause });
        assert_eq!(failure.cause(), Some(cause));
        let reply = failure.reply(Protocol::Http, ReplyStyle::new(CauseHeader::Shown));
        assert_eq!(
            (reply.status, &reply.headers["tidegate-error"]),
            (status, &HeaderValue::from_static(cause.label()))
        );
    }
}
