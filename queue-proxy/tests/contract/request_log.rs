//! The request log and the recorded trace.

use crate::app::App;
use crate::client::{get, root};
use crate::sidecar::Sidecar;

fn logging(app: &App, more: &str) -> Sidecar {
    let config = format!("{{\"enableRequestLog\":true{more}}}");
    Sidecar::start(app.port, &[("OBSERVABILITY_CONFIG", &config)])
}

#[test]
fn the_default_template_writes_one_json_line_for_each_request() {
    let app = App::hello();
    let sidecar = logging(&app, "");
    get(
        sidecar.ports.main,
        "POST /a?b=c HTTP/1.1\r\nHost: h\r\nUser-Agent: ua\r\nReferer: ref\r\nContent-Length: 2\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nhi",
    );
    let line = sidecar.stdout.wait_for("httpRequest");
    let order = [
        "\"requestMethod\": \"POST\"",
        "\"requestUrl\": \"/a?b\\u003Dc\"",
        "\"requestSize\": \"2\"",
        "\"status\": 200",
        "\"responseSize\": \"5\"",
        "\"userAgent\": \"ua\"",
        "\"remoteIp\": \"127.0.0.1:",
        "\"serverIp\": \"10.0.0.9\"",
        "\"referer\": \"ref\"",
        "\"latency\": \"",
        "\"protocol\": \"HTTP/1.1\"",
        "\"traceId\": \"0af7651916cd43dd8448eb211c80319c\"",
    ];
    let mut rest = &line[..];
    for field in order {
        let position = rest.find(field).unwrap_or_else(|| panic!("no {field} in {line}"));
        rest = &rest[position..];
    }
    get(
        sidecar.ports.main,
        &root("X-B3-TraceId: 463ac35c9f6413ad\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    );
    let lines = sidecar.stdout.wait_for_many("httpRequest", 2);
    assert!(lines[1].contains("\"traceId\": \"463ac35c9f6413ad\""), "{}", lines[1]);
    assert!(lines[1].contains("\"requestSize\": \"-1\""), "{}", lines[1]);
}

#[test]
fn probes_are_logged_when_enabled() {
    let app = App::hello();
    let kubelet = root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n");
    let sidecar = logging(&app, "");
    get(sidecar.ports.main, &kubelet);
    get(sidecar.ports.main, &root(""));
    let first = sidecar.stdout.wait_for("httpRequest");
    assert!(!first.contains("kube-probe"), "{first}");

    let sidecar = logging(&app, ",\"enableProbeRequestLog\":true");
    get(sidecar.ports.main, &kubelet);
    let line = sidecar.stdout.wait_for("kube-probe");
    assert!(line.contains("\"status\": 200"), "{line}");
}

#[test]
fn failing_templates_are_reported_in_the_log() {
    let app = App::hello();
    let sidecar = logging(&app, ",\"requestLogTemplate\":\"{{.Request.Nope}}\"");
    get(sidecar.ports.main, &root(""));
    sidecar.stdout.wait_for("Invalid request log template: method: GET, response code: 200");

    let mut sidecar = logging(&app, ",\"requestLogTemplate\":\"{{range .X}}{{end}}\"");
    sidecar.stderr.wait_for("'range' is not supported");
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    assert_eq!(sidecar.stdout.all(), "");
}

#[test]
fn a_template_can_separate_queue_time_from_app_time() {
    let app = App::hello();
    let template = ",\"requestLogTemplate\":\"{{.Response.Start}} {{.Response.Wait}} \
                    {{.Response.AppLatency}} {{.Revision.PodName}}\"";
    let sidecar = logging(&app, template);
    get(sidecar.ports.main, &root(""));
    let line = sidecar.stdout.wait_for("pod-abc");
    assert_eq!(line.split(' ').count(), 4, "{line}");
}

#[test]
fn json_lines_need_no_configuration() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[("TIDEGATE_REQUEST_LOG", "json")]);
    get(sidecar.ports.main, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    let line = sidecar.stdout.wait_for("start");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["status"], &json["request_bytes"]), (&200.into(), &2.into()));
    assert_eq!((&json["target"], &json["instance"]), (&"/x".into(), &"pod-abc".into()));
    assert!(json["app"].as_f64().unwrap() <= json["total"].as_f64().unwrap());
}

#[test]
fn the_recorded_trace_has_a_row_for_each_request_and_none_for_probes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.jsonl");
    let app = App::hello();
    let mut sidecar = Sidecar::start(app.port, &[("TIDEGATE_RECORD", path.to_str().unwrap())]);
    get(sidecar.ports.main, &root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n"));
    get(sidecar.ports.main, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    get(sidecar.ports.main, &root(""));
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    let trace = std::fs::read_to_string(&path).unwrap();
    let rows: Vec<serde_json::Value> =
        trace.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [head, first, second] = &rows[..] else { panic!("{trace}") };
    assert_eq!((&head["kind"], &head["recorded_at"]), (&"head".into(), &"sidecar".into()));
    for (row, sent) in [(first, 3), (second, 0)] {
        assert_eq!((&row["kind"], &row["status"]), (&"request".into(), &200.into()));
        assert_eq!(row["request_bytes"], sent, "{row}");
        assert_eq!(row["response_bytes"], 5, "{row}");
        assert_eq!((&row["revision"], &row["instance"]), (&head["revision"], &"pod-abc".into()));
        assert!(row["service_us"].is_u64(), "{row}");
        // Whether another instance was ready is not known to a sidecar.
        assert!(row.get("cold").is_none(), "{row}");
    }
}
