use std::time::UNIX_EPOCH;

use super::*;

fn request() -> RequestFacts {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", "curl/8 <x>".parse().unwrap());
    headers.insert("x-b3-traceid", "463ac35c9f6413ad".parse().unwrap());
    RequestFacts {
        method: Method::POST,
        target: "/a?b=c".to_owned(),
        version: Version::HTTP_11,
        host: "h".to_owned(),
        headers,
        remote: SocketAddr::from(([127, 0, 0, 1], 4000)),
        content_length: None,
    }
}

fn response() -> ResponseFacts {
    ResponseFacts {
        status: 201,
        body_bytes: 12,
        request_bytes: 5,
        start: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
        latency: Duration::from_micros(1500),
        wait: Duration::from_micros(500),
        service: Duration::from_millis(1),
        cause: None,
    }
}

fn line(template: &str, request: &RequestFacts) -> String {
    let identity = Identity { pod_ip: "10.0.0.9".to_owned(), ..Identity::default() };
    let (writer, _flush) = NonBlockingWriter::start("test", std::io::sink()).unwrap();
    let log = RequestLog { template: Template::parse(template).unwrap(), probes: Switch::Off };
    RequestLogger::new(log, QueryRule::default(), identity, writer).line(request, &response())
}

#[test]
fn the_default_template_renders_every_field() {
    assert_eq!(
        line(DEFAULT_TEMPLATE, &request()),
        "{\"httpRequest\": {\"requestMethod\": \"POST\", \"requestUrl\": \"/a?b\\u003Dc\", \
         \"requestSize\": \"-1\", \"status\": 201, \"responseSize\": \"12\", \
         \"userAgent\": \"curl/8 \\u003Cx\\u003E\", \"remoteIp\": \"127.0.0.1:4000\", \
         \"serverIp\": \"10.0.0.9\", \"referer\": \"\", \"latency\": \"0.0015s\", \
         \"protocol\": \"HTTP/1.1\"}, \"traceId\": \"463ac35c9f6413ad\"}\n"
    );
}

#[test]
fn a_traceparent_wins_over_b3() {
    let mut request = request();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers.insert("traceparent", parent.parse().unwrap());
    assert_eq!(line("{{.TraceID}}", &request), "0af7651916cd43dd8448eb211c80319c\n");
}

#[test]
fn a_template_that_fails_at_run_time_logs_knatives_text() {
    assert_eq!(
        line("{{.Request.Nope}}", &request()),
        "Invalid request log template: method: POST, response code: 201, latency: 0.0015, \
         url: /a?b=c\n"
    );
}

#[test]
fn headers_are_found_by_their_canonical_names() {
    assert_eq!(
        line("{{index .Request.Header \"X-B3-Traceid\"}}", &request()),
        "[463ac35c9f6413ad]\n"
    );
    assert_eq!(line("{{.Response.Wait}} {{.Response.AppLatency}}", &request()), "0.0005 0.001\n");
    assert_eq!(line("{{.Response.Start}}", &request()), "2023-11-14T22:13:20.000001Z\n");
}

#[test]
fn the_json_template_is_valid_json_for_any_request() {
    let mut request = request();
    request.target = "/a\"b\\c?<>&'\u{7f}é".to_owned();
    request.headers.insert("traceparent", "00-\"x-1-1".parse().unwrap());
    request.headers.remove("x-b3-traceid");
    let line = line(JSON_TEMPLATE, &request);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| {
        panic!("{error}: {line}");
    });
    assert_eq!(json["target"], request.target);
    assert_eq!(json["trace_id"], "");
    assert_eq!((&json["wait"], &json["app"]), (&0.0005.into(), &0.001.into()));
    assert_eq!((&json["request_bytes"], &json["response_bytes"]), (&5.into(), &12.into()));
}

/// `traceparent: 00-S3CRET` and `?token=S3CRET` were once written down as they came.
#[test]
fn secrets_are_masked_in_every_field() {
    let mut request = request();
    request.target = "/a?token=S3CRET&b=c".to_owned();
    request.headers.insert("traceparent", "00-S3CRET".parse().unwrap());
    request.headers.insert("x-b3-traceid", "S3CRET".parse().unwrap());
    request.headers.insert("referer", "http://u:S3CRET@h/?key=S3CRET".parse().unwrap());
    request.headers.insert("authorization", "Bearer S3CRET".parse().unwrap());
    for template in [
        DEFAULT_TEMPLATE,
        JSON_TEMPLATE,
        "{{.Request.URL}} {{.Request.URL.Path}} {{.Request.URL.RawQuery}} {{.Request.Referer}}",
        "{{.Request.RequestURI}} {{.Request.Nope}}",
    ] {
        let line = line(template, &request);
        assert!(!line.contains("S3CRET"), "{line}");
        assert!(line.contains('c'), "{line}");
    }
    let line = line("{{.Request.URL.RawQuery}}", &request);
    assert_eq!(line, "token=***&b=c\n");
}

#[test]
fn a_line_is_bounded_for_any_request() {
    let mut request = request();
    let long = "<".repeat(1 << 20);
    request.target = format!("/{long}");
    request.method = Method::from_bytes("M".repeat(1 << 16).as_bytes()).unwrap();
    for name in ["user-agent", "referer"] {
        request.headers.insert(name, long.parse().unwrap());
    }
    let default = line(DEFAULT_TEMPLATE, &request);
    assert!(default.len() < LONGEST_LINE, "{}", default.len());
    for number in 0..100 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        request.headers.insert(name, long.parse().unwrap());
    }
    let (writer, _flush) = NonBlockingWriter::start("test", std::io::sink()).unwrap();
    let template = Template::parse("{{.Request.Header}}").unwrap();
    let log = RequestLog { template, probes: Switch::Off };
    let logger = RequestLogger::new(log, QueryRule::default(), Identity::default(), writer);
    logger.write(&request, &response());
    assert_eq!(logger.lost(), 1);
}
