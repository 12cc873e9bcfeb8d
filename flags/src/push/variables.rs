//! OpenTelemetry's variables, where a flag says nothing.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_exporter::settings::{INTERVAL_MAX, INTERVAL_MIN};
use tidegate_exporter::{Headers, HeadersError, Protocol};
use tidegate_knative::environment;

use super::PushError;

/// The variable with headers of every push.
const HEADERS: &str = "TIDEGATE_METRICS_PUSH_HEADERS";
const OTLP_HEADERS: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const ENDPOINTS: [&str; 2] =
    [environment::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, environment::OTEL_EXPORTER_OTLP_ENDPOINT];
const AUTHORITIES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CERTIFICATES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const KEYS: [&str; 2] = ["OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Service, instance, and labels.
type Names = (String, String, Vec<(String, String)>);

/// Gives the value of a variable.
type Read = dyn Fn(&str) -> Option<String>;

/// The environment of a process.
pub(super) struct Variables {
    read: Box<Read>,
}

impl Variables {
    pub(super) fn of_process() -> Self {
        let read = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        Self { read: Box::new(read) }
    }

    #[cfg(test)]
    pub(super) fn fixed(pairs: &'static [(&'static str, &'static str)]) -> Self {
        let read = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, v)| *v);
        Self { read: Box::new(move |name| read(name).map(str::to_owned)) }
    }

    /// The first of these that is set and not empty.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        let set = names.iter().filter_map(|name| Some((*name, (self.read)(name)?)));
        set.into_iter().find(|(_, value)| !value.is_empty())
    }

    pub(super) fn endpoint(&self) -> Option<(&'static str, String)> {
        self.first(&ENDPOINTS)
    }

    pub(super) fn protocol(&self) -> Result<Option<Protocol>, PushError> {
        let Some((name, value)) = self.first(&PROTOCOLS) else { return Ok(None) };
        match value.as_str() {
            "grpc" => Ok(Some(Protocol::OtlpGrpc)),
            "http/protobuf" => Ok(Some(Protocol::OtlpHttp)),
            // A variable that says nothing of a push here must not end a role that pushes nothing.
            _ if self.endpoint().is_none() => Ok(None),
            _ => Err(PushError::Variable { name, value, expected: "grpc or http/protobuf" }),
        }
    }

    pub(super) fn interval(&self) -> Result<Option<Duration>, PushError> {
        let Some((name, value)) = self.first(&[environment::OTEL_METRIC_EXPORT_INTERVAL]) else {
            return Ok(None);
        };
        let interval = value.parse().ok().map(Duration::from_millis);
        let interval = interval.filter(|time| (INTERVAL_MIN..=INTERVAL_MAX).contains(time));
        let expected = "milliseconds, 1000 to 3600000";
        interval.map(Some).ok_or(PushError::Variable { name, value, expected })
    }

    pub(super) fn headers(&self, protocol: Protocol) -> Result<Headers, HeadersError> {
        let ours = self.first(&[HEADERS]);
        let found = match protocol {
            Protocol::OtlpHttp | Protocol::OtlpGrpc => ours.or_else(|| self.first(&OTLP_HEADERS)),
            Protocol::RemoteWrite => ours,
        };
        match found {
            Some((name, text)) => Headers::of_variable(name, &text),
            None => Ok(Headers::default()),
        }
    }

    pub(super) fn authority(&self) -> Option<PathBuf> {
        self.first(&AUTHORITIES).map(|(_, path)| path.into())
    }

    pub(super) fn certificate(&self) -> Option<(PathBuf, PathBuf)> {
        let ((_, certificate), (_, key)) = (self.first(&CERTIFICATES)?, self.first(&KEYS)?);
        Some((certificate.into(), key.into()))
    }

    /// Who the process is, by the names that OpenTelemetry's variables give before those that it
    /// has by itself. What else they say of it goes with OTLP alone.
    pub(super) fn identity(
        &self,
        service: &str,
        name: Option<&str>,
        protocol: Protocol,
    ) -> Result<Names, PushError> {
        let mut labels = Vec::new();
        if let Some((_, text)) = self.first(&[ATTRIBUTES]) {
            for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
                let Some((key, value)) = pair.split_once('=') else {
                    let (name, expected) = (ATTRIBUTES, "key=value with commas between");
                    return Err(PushError::Variable { name, value: text, expected });
                };
                labels.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let mut taken = |key: &str| {
            let at = labels.iter().position(|(name, _)| name == key)?;
            Some(labels.remove(at).1)
        };
        let (named, instance) = (taken("service.name"), taken("service.instance.id"));
        taken("service.version");
        if protocol == Protocol::RemoteWrite {
            labels.clear();
        }
        let otel = self.first(&[environment::OTEL_SERVICE_NAME]).map(|(_, name)| name);
        let service = otel.or(named).unwrap_or_else(|| service.to_owned());
        let instance = instance.or(name.map(str::to_owned)).unwrap_or_else(|| self.host());
        Ok((service, instance, labels))
    }

    /// The name of the machine.
    fn host(&self) -> String {
        let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let named = named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let variable = || self.first(&[environment::HOSTNAME]).map(|(_, name)| name);
        named.or_else(variable).unwrap_or_else(|| "localhost".to_owned())
    }
}
