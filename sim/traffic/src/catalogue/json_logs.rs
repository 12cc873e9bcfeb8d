//! Access logs of JSON, and of W3C's extended format.

use crate::description::{Description, Record, Said, Stamped, Term, end, never, only, start, time};
use crate::field::Unit::{Micros, Millis, Nanos, Seconds};

/// The keys under which nginx's JSON logs carry their stamp: all are written when a request ends.
const NGINX_STAMPS: [Stamped; 10] = [
    end(&["msec"]).of(Seconds),
    end(&["time_iso8601"]),
    end(&["time_local"]),
    end(&["@timestamp"]),
    end(&["timestamp"]),
    end(&["time"]),
    end(&["ts"]),
    end(&["date"]),
    end(&["datetime"]),
    end(&["timestamp_iso8601"]),
];

const NGINX_REVISIONS: [&str; 5] =
    ["proxy_upstream_name", "host", "server_name", "http_host", "vhost"];

const NGINX: Description = Description {
    stamps: &NGINX_STAMPS,
    revision: &NGINX_REVISIONS,
    ..Description::new("nginx-json", Record::Json)
};

/// What a request log of a queue-proxy may call its time: a beginning when it says so.
const REQUEST_LOG_STAMPS: [Stamped; 8] = [
    start(&["start_time"]),
    start(&["startTime"]),
    start(&["start"]),
    end(&["timestamp"]),
    end(&["time"]),
    end(&["ts"]),
    start(&["httpRequest.startTime"]),
    end(&["httpRequest.timestamp"]),
];

/// The app's own time, in preference to the whole latency.
const REQUEST_LOG_SERVICES: [&[Term]; 5] = [
    &[time("app_time", Seconds)],
    &[time("appTime", Seconds)],
    &[time("httpRequest.appTime", Seconds)],
    &[time("app_time_us", Micros)],
    &[time("httpRequest.latency", Seconds)],
];

const ECS_SERVICES: [&[Term]; 2] =
    [&[time("event.duration", Nanos)], &[time("transaction.duration.us", Micros)]];

const CLOUD_FRONT: Description = Description {
    signature: &["x-edge-location", "date", "time"],
    stamps: &[end(&["date", "time"])],
    services: &[&[time("time-taken", Seconds)]],
    revision: &["x-host-header", "cs(Host)"],
    ..Description::new("cloudfront", Record::Directives)
};

const IIS: Description = Description {
    stamps: &[end(&["date", "time"])],
    services: &[&[time("time-taken", Millis)]],
    revision: &["cs-host", "s-sitename"],
    ..Description::new("iis", Record::Directives)
};

const ENVOY: Description = Description {
    only: &[never("protocol", &["-"])],
    stamps: &[start(&["start_time"])],
    services: &[
        &[time("upstream_service_time", Millis)],
        &[time("x_envoy_upstream_service_time", Millis)],
        &[time("duration", Millis)],
    ],
    revision: &["authority", ":authority"],
    ..Description::new("envoy-json", Record::Json)
};

const GATEWAY: Description = Description {
    stamps: &[start(&["requestTimeEpoch"]).of(Millis), start(&["requestTime"])],
    services: &[
        &[time("integrationLatency", Millis)],
        &[time("integration_latency", Millis)],
        &[time("responseLatency", Millis)],
        &[time("response_latency", Millis)],
    ],
    revision: &["domainName", "apiId"],
    ..Description::new("api-gateway", Record::Json)
};

pub(crate) const ALL: [Description; 30] = [
    Description { signature: &["start_time", "duration", "response_code"], ..ENVOY },
    Description { signature: &["start_time", "duration", "authority"], ..ENVOY },
    Description {
        signature: &["Duration", "StartUTC"],
        stamps: &[start(&["StartUTC"])],
        services: &[&[time("Duration", Nanos)]],
        revision: &["ServiceName", "RouterName"],
        ..Description::new("traefik-json", Record::Json)
    },
    Description {
        signature: &["Duration", "DownstreamStatus"],
        stamps: &[start(&["StartLocal"]), end(&["time"])],
        services: &[&[time("Duration", Nanos)]],
        revision: &["ServiceName", "RouterName"],
        ..Description::new("traefik-json", Record::Json)
    },
    Description {
        signature: &["ts", "request.method", "duration", "status"],
        only: &[only("msg", &["handled request"])],
        stamps: &[end(&["ts"])],
        services: &[&[time("duration", Seconds)]],
        revision: &["request.host"],
        ..Description::new("caddy", Record::Json)
    },
    Description {
        signature: &["httpRequest", "timestamp", "resource.type"],
        stamps: &[start(&["timestamp"])],
        services: &[&[time("httpRequest.latency", Seconds)]],
        revision: &[
            "resource.labels.backend_service_name",
            "resource.labels.service_name",
            "resource.labels.url_map_name",
        ],
        assumed: "the timestamp of a log entry is taken for the beginning of its request \
                  (--stamps end says otherwise)",
        ..Description::new("gcp-load-balancer", Record::Json)
    },
    Description {
        signature: &["httpRequest"],
        stamps: &REQUEST_LOG_STAMPS,
        services: &REQUEST_LOG_SERVICES,
        totals: &[&[time("httpRequest.latency", Seconds)]],
        no_time: "Knative's default log template has none, so add one to \
                  logging.request-log-template (for example \"startTime\")",
        ..Description::new("request-log", Record::Json)
    },
    Description {
        signature: &["EdgeStartTimestamp"],
        stamps: &[start(&["EdgeStartTimestamp"])],
        services: &[
            &[time("OriginResponseDurationMs", Millis)],
            &[time("OriginResponseTime", Nanos)],
            &[time("EdgeEndTimestamp", Nanos), super::spans::less_stamp("EdgeStartTimestamp")],
            &[time("EdgeTimeToFirstByteMs", Millis)],
        ],
        revision: &["ClientRequestHost"],
        ..Description::new("cloudflare", Record::Json)
    },
    Description { signature: &["requestTimeEpoch"], ..GATEWAY },
    Description { signature: &["requestTime", "routeKey"], ..GATEWAY },
    Description { signature: &["requestTime", "resourcePath"], ..GATEWAY },
    Description { signature: &["requestTime", "requestId"], ..GATEWAY },
    Description {
        signature: &["latency_human", "latency"],
        stamps: &[end(&["time"])],
        services: &[&[time("latency", Nanos)]],
        revision: &["host"],
        ..Description::new("echo", Record::Json)
    },
    Description {
        signature: &["responseTime", "res.statusCode", "time"],
        stamps: &[end(&["time"]).of(Millis)],
        services: &[&[time("responseTime", Millis)]],
        ..Description::new("pino", Record::Json)
    },
    Description {
        signature: &["event.start", "event.duration"],
        stamps: &[start(&["event.start"])],
        services: &ECS_SERVICES,
        revision: &["service.name", "url.domain"],
        ..Description::new("ecs", Record::Json)
    },
    Description {
        signature: &["@timestamp", "transaction.duration.us"],
        only: &[only("processor.event", &["transaction"])],
        stamps: &[start(&["@timestamp"])],
        services: &ECS_SERVICES,
        revision: &["service.name"],
        ..Description::new("ecs", Record::Json)
    },
    Description {
        signature: &["event.end", "event.duration"],
        stamps: &[end(&["event.end"])],
        services: &ECS_SERVICES,
        revision: &["service.name", "url.domain"],
        ..Description::new("ecs", Record::Json)
    },
    Description {
        signature: &["@timestamp", "event.duration"],
        stamps: &[end(&["@timestamp"])],
        services: &ECS_SERVICES,
        revision: &["service.name", "url.domain"],
        assumed: "@timestamp is taken for the end of a request, as logs are written then \
                  (--stamps start says otherwise)",
        ..Description::new("ecs", Record::Json)
    },
    Description {
        signature: &["@timestamp", "http.request.method"],
        stamps: &[end(&["@timestamp"])],
        revision: &["service.name", "url.domain"],
        ..Description::new("ecs", Record::Json)
    },
    Description {
        signature: &["request_time"],
        services: &[&[time("request_time", Seconds)]],
        ..NGINX
    },
    Description {
        signature: &["upstream_response_time"],
        services: &[&[time("upstream_response_time", Seconds)]],
        ..NGINX
    },
    Description {
        signature: &["requestTime", "remoteAddr"],
        services: &[&[time("requestTime", Seconds)]],
        ..NGINX
    },
    Description { signature: &["x-edge-location", "sc-status"], ..CLOUD_FRONT },
    Description { signature: &["date", "time", "sc-substatus"], ..IIS },
    Description { signature: &["date", "time", "sc-win32-status"], ..IIS },
    Description { signature: &["date", "time", "s-sitename"], ..IIS },
    Description {
        // A draft of the W3C says seconds, IIS writes milliseconds: which of them is asked.
        signature: &["date", "time"],
        stamps: &[end(&["date", "time"])],
        services: &[&[time("time-taken", Seconds)]],
        unit: Said::ByUser,
        revision: &["cs-host", "cs(Host)"],
        ..Description::new("w3c", Record::Directives)
    },
    Description {
        signature: &["timestamp", "input_length"],
        stamps: &[start(&["timestamp"]).of(Millis)],
        services: &[&super::load_generators::TOKENS],
        ..Description::new("mooncake", Record::Json)
    },
    Description {
        signature: &["timestamp", "hash_ids"],
        stamps: &[start(&["timestamp"]).of(Millis)],
        services: &[&super::load_generators::TOKENS],
        ..Description::new("mooncake", Record::Json)
    },
    Description { signature: &["time_local", "request"], ..NGINX },
];
