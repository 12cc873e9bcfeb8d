//! Limit, queue, refusals, and what happens to requests whose clients leave.

use std::time::Duration;

use tidegate_admission::Abandoned;
use tidegate_relay::CauseHeader;
use tidegate_words::excerpt;

use super::{Admission, AppProtocol, Concurrency, ReportSettings, milliseconds};
use crate::environment::{Environment, Reader, Switch, keys};
use crate::tcp_connections::parse_ports;

/// Limit, queue and refusals.
pub(super) fn read<E: Environment>(
    reader: &mut Reader<'_, E>,
    limit: i64,
    abandoned: Abandoned,
) -> Admission {
    let limit = u32::try_from(limit.clamp(0, i64::from(u32::MAX))).unwrap_or(0);
    let concurrency = match reader.optional(keys::TIDEGATE_CONCURRENCY).as_deref() {
        Some("auto") => Concurrency::Adaptive { ceiling: (limit > 0).then_some(limit) },
        Some(other) => {
            let message = format!("cannot use '{other}', expected 'auto'");
            reader.reject(keys::TIDEGATE_CONCURRENCY, message);
            Concurrency::Unlimited
        }
        None if limit == 0 => Concurrency::Unlimited,
        None => Concurrency::Fixed(limit),
    };
    let refusal_status = match reader.optional_integer(keys::TIDEGATE_REFUSAL_STATUS) {
        None | Some(503) => http::StatusCode::SERVICE_UNAVAILABLE,
        Some(429) => http::StatusCode::TOO_MANY_REQUESTS,
        Some(other) => {
            let message = format!("cannot use {other}, expected 503 or 429");
            reader.reject(keys::TIDEGATE_REFUSAL_STATUS, message);
            http::StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let any = 0..=i64::from(u32::MAX);
    let number = |value: i64| u32::try_from(value).ok();
    Admission {
        concurrency,
        queue_depth: reader
            .optional_within(keys::TIDEGATE_QUEUE_DEPTH, any.clone())
            .and_then(number),
        queue_timeout: milliseconds(reader, keys::TIDEGATE_QUEUE_TIMEOUT_MS)
            .filter(|timeout| !timeout.is_zero()),
        refusal_status,
        retry_after_seconds: reader
            .optional_within(keys::TIDEGATE_RETRY_AFTER_SECONDS, any)
            .and_then(number),
        abandoned,
        app_protocol: app_protocol(reader),
        tcp_ports: tcp_ports(reader),
        cause_header: match reader.flag(keys::TIDEGATE_CAUSE_HEADER) {
            Switch::Off => CauseHeader::Hidden,
            Switch::On => CauseHeader::Shown,
        },
    }
}

fn app_protocol<E: Environment>(reader: &mut Reader<'_, E>) -> AppProtocol {
    match reader.optional(keys::TIDEGATE_APP_PROTOCOL).as_deref() {
        None | Some("" | "http") => AppProtocol::Http,
        Some("tcp") => AppProtocol::Tcp,
        Some(other) => {
            let message = format!("cannot use '{}', expected 'http' or 'tcp'", excerpt(other));
            reader.reject(keys::TIDEGATE_APP_PROTOCOL, message);
            AppProtocol::Http
        }
    }
}

fn tcp_ports<E: Environment>(reader: &mut Reader<'_, E>) -> Vec<u16> {
    let ports = reader.optional(keys::TIDEGATE_TCP_PORTS).filter(|text| !text.is_empty());
    let ports = ports.map(|text| parse_ports(&text).map_err(|expected| (text, expected)));
    match ports {
        None => Vec::new(),
        Some(Ok(ports)) => ports,
        Some(Err((text, expected))) => {
            let found = excerpt(&text);
            reader.reject(keys::TIDEGATE_TCP_PORTS, format!("cannot use '{found}', {expected}"));
            Vec::new()
        }
    }
}

/// A sidecar that reports to Tidegate's controller counts abandoned requests that the app still
/// works on against the limit; one in Knative's place releases them as Knative's does.
pub(super) fn abandoned<E: Environment>(
    reader: &mut Reader<'_, E>,
    overall: Option<Duration>,
    report: Option<&ReportSettings>,
) -> Abandoned {
    let longest = milliseconds(reader, keys::TIDEGATE_ABANDONED_TIMEOUT_MS);
    let hold = match longest {
        Some(longest) => Abandoned::Hold { longest },
        None => Abandoned::hold(overall),
    };
    match reader.optional(keys::TIDEGATE_ABANDONED).as_deref() {
        Some("hold") => hold,
        Some("release") => Abandoned::Release,
        None if report.is_some() => hold,
        None => Abandoned::Release,
        Some(other) => {
            let message = format!("cannot use '{other}', expected 'hold' or 'release'");
            reader.reject(keys::TIDEGATE_ABANDONED, message);
            Abandoned::Release
        }
    }
}
