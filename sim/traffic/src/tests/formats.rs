//! Formats with one request a row.

use super::*;

#[test]
fn azure_2021_ends_become_beginnings_in_order() {
    check(
        Format::Azure2021,
        "app,func,end_timestamp,duration\na,f,10.5,10\na,g,1.5,0.25\nb,f,2.25,1\n",
        &[(0.5, 10.0, "a/f"), (1.25, 0.25, "a/g"), (1.25, 1.0, "b/f")],
    );
}

#[test]
fn azure_llm_begins_at_its_first_request() {
    check(
        Format::AzureLlm,
        "TIMESTAMP,ContextTokens,GeneratedTokens\n\
         2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n",
        &[(0.0, -1.0, "traffic"), (0.052, -1.0, "traffic")],
    );
}

#[test]
fn tokens_become_service_times_when_asked() {
    let files = Files::new();
    let path = files.write(
        "llm.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,100,10\n",
    );
    let tokens =
        Some(TokenTimes { input: SimSpan::from_micros(100), output: SimSpan::from_millis(20) });
    let found = arrivals(&path, TraceOptions { tokens, ..TraceOptions::default() });
    assert_eq!(found, [(0.0, 0.21, "traffic".to_owned())]);
}

#[test]
fn ibm_as_lines_of_json_and_as_rows() {
    check(
        Format::Ibm,
        "{\"NamespaceHash\":\"n\",\"AppHash\":\"a\",\"NumEvents\":2,\"InvocationTimes\":[1.0,3.0],\
         \"AppExecTimes\":[100,200],\"TotalExecTimes\":[110,210],\"PodHash\":[\"p\",\"p\"]}\n\
         {\"NamespaceHash\":\"n\",\"AppHash\":\"b\",\"InvocationTimes\":[2.0],\
         \"AppExecTimes\":[5]}\n",
        &[(1.0, 0.1, "n/a"), (2.0, 0.005, "n/b"), (3.0, 0.2, "n/a")],
    );
    check(
        Format::Ibm,
        "NamespaceHash,AppHash,InvocationTimes,AppExecTimes\nn,a,1.5,100.0\nn,b,2,5\n",
        &[(1.5, 0.1, "n/a"), (2.0, 0.005, "n/b")],
    );
}

#[test]
fn huawei_requests_are_stamped_when_they_end() {
    check(
        Format::HuaweiRequests,
        "day,time_worker,time_frontend,requestID,clusterName,funcName,podID,userID,\
         totalCost_worker,totalCost_frontend\n\
         30,100.5,100.6,r,1,296,pool22-300-128-1,224,0.25,0.35\n",
        &[(100.25, 0.25, "224/296")],
    );
}

#[test]
fn burst_gpt_has_seconds_and_elapsed_time() {
    check(
        Format::BurstGpt,
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,\
         Log Type\n5,1,2.5,ChatGPT,472,18,490,Conversation log\n\
         45,2,,GPT-4,1087,230,1317,API log\n",
        &[(5.0, 2.5, "traffic"), (45.0, -1.0, "traffic")],
    );
}

#[test]
fn mooncake_counts_milliseconds() {
    check(
        Format::Known("mooncake"),
        "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \
         \"hash_ids\": [46, 47]}\n",
        &[(27.482, -1.0, "traffic")],
    );
}

#[test]
fn generic_csv_by_names_by_units_and_without_header() {
    check(
        Format::Csv,
        "arrival,service,revision\n0.5,0.1,web\n1,0.25,api\n",
        &[(0.5, 0.1, "web"), (1.0, 0.25, "api")],
    );
    check(
        Format::Csv,
        "\u{feff}duration_ms,arrival_ms\r\n100,1500\r\n\r\n20,1700\r\n",
        &[(1.5, 0.1, "traffic"), (1.7, 0.02, "traffic")],
    );
    check(Format::Csv, "0.5\n0.75\n", &[(0.5, -1.0, "traffic"), (0.75, -1.0, "traffic")]);
    check(Format::Csv, "0.5,0.1\n", &[(0.5, 0.1, "traffic")]);
    check(
        Format::Csv,
        "time,name\n2024-01-01T00:00:00.250Z,\"a, b\"\n2024-01-01T00:00:01+00:00,c\n",
        &[(0.0, -1.0, "a, b"), (0.75, -1.0, "c")],
    );
}

#[test]
fn generic_lines_of_json() {
    check(
        Format::JsonLines,
        "{\"start_ms\": 1500, \"duration\": \"20ms\", \"function\": \"f\"}\n\
         {\"start_ms\": 1600.5, \"duration\": 0.5}\n",
        &[(1.5, 0.02, "f"), (1.6005, 0.5, "f")],
    );
}

#[test]
fn nginx_with_a_request_time_is_spread_inside_its_second() {
    let files = Files::new();
    let line = "127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 200 23 \"-\" \
                \"curl/8 \\\"x\\\"\" 0.250\n";
    let path = files.write("access.log", line.repeat(50));
    let found = arrivals(&path, TraceOptions::default());
    assert_eq!(found.len(), 50);
    assert!(found.iter().all(|(at, service, _)| *at < 1.0 && *service == 0.25));
    let distinct = found.windows(2).filter(|pair| pair[0].0 < pair[1].0).count();
    assert!(distinct > 45, "requests of one second lie apart, {distinct} of 49 do");
    let never = TraceOptions { spread: Spread::Never, ..TraceOptions::default() };
    assert!(arrivals(&path, never).iter().all(|(at, _, _)| *at == 0.0));
}

#[test]
fn apache_microseconds_and_exact_ends() {
    check(
        Format::Known("combined"),
        "h - - [10/Oct/2000:13:55:36 +0000] \"GET / HTTP/1.0\" 200 1 \"-\" \"-\" \
         971186136.750 rt=0.500\n\
         h - - [10/Oct/2000:13:55:37 +0000] \"GET / HTTP/1.0\" 200 1 \"-\" \"-\" \
         971186137.000 rt=0.250\n",
        &[(0.0, 0.5, "traffic"), (0.5, 0.25, "traffic")],
    );
}

#[test]
fn envoy_as_text_and_as_json() {
    check(
        Format::Known("envoy"),
        "[2016-04-15T20:17:00.310Z] \"POST /api/v1 HTTP/2\" 204 - 154 0 226 100 \"10.0.35.28\" \
         \"agent one\" \"cc21d9b0\" \"locations\" \"tcp://10.0.2.1:80\"\n\
         [2016-04-15T20:17:00.510Z] \"GET / HTTP/2\" 503 UF 0 0 5 - \"-\" \"a\" \"c\" \"other\" \
         \"-\"\n",
        &[(0.0, 0.1, "locations"), (0.2, -1.0, "other")],
    );
    check(
        Format::Known("envoy-json"),
        "{\"start_time\":\"2016-04-15T20:17:00.310Z\",\"duration\":226,\"response_code\":204,\
         \"upstream_service_time\":\"100\",\"authority\":\"locations\"}\n",
        &[(0.0, 0.1, "locations")],
    );
}

#[test]
fn load_balancer_logs_begin_at_the_request() {
    check(
        Format::Known("alb"),
        "http 2018-07-02T22:23:00.186641Z app/my-lb/50dc6c 192.168.131.39:2817 10.0.0.1:80 0.001 \
         0.010 0.002 200 200 34 366 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.46.0\" \
         - - arn:aws:x \"Root=1-58337262\" \"-\" \"-\" 0 2018-07-02T22:22:48.364000Z \"forward\" \
         \"-\"\n\
         h2 2018-07-02T22:23:01.186641Z app/my-lb/50dc6c 192.168.131.39:2817 - 0.001 -1 -1 503 - \
         34 366 \"GET http://www.example.com:80/ HTTP/1.1\" \"curl/7.46.0\" - - arn:aws:x \"Root=1\" \
         \"-\" \"-\" 0 2018-07-02T22:22:49.364000Z \"forward\" \"-\"\n",
        &[(0.0, 0.01, "traffic"), (1.0, -1.0, "traffic")],
    );
}

#[test]
fn results_of_load_generators() {
    check(
        Format::Known("vegeta"),
        "1700000000000000000,200,1250000,0,12,,Ym9keQ==,,0,GET,http://a/,aGVhZGVycw==\n\
         1700000000500000000,0,2000000,0,0,\"dial: refused\",,,1,GET,http://a/,\n",
        &[(0.0, 0.00125, "traffic"), (0.5, 0.002, "traffic")],
    );
    check(
        Format::Known("hey"),
        "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,\
         offset\n0.0200,0.001,0.0,0.0,0.01,0.0,200,0.5000\n\
         0.0100,0.001,0.0,0.0,0.01,0.0,200,0.1000\n",
        &[(0.1, 0.01, "traffic"), (0.5, 0.02, "traffic")],
    );
    check(
        Format::Known("k6"),
        "{\"type\":\"Metric\",\"data\":{\"name\":\"http_reqs\"},\"metric\":\"http_reqs\"}\n\
         {\"metric\":\"http_req_duration\",\"type\":\"Point\",\
         \"data\":{\"time\":\"2024-01-01T00:00:01.5Z\",\"value\":500,\"tags\":{}}}\n\
         {\"metric\":\"http_req_duration\",\"type\":\"Point\",\
         \"data\":{\"time\":\"2024-01-01T00:00:01.75Z\",\"value\":250.5,\"tags\":{}}}\n",
        &[(0.0, 0.5, "traffic"), (0.4995, 0.2505, "traffic")],
    );
}

#[test]
fn a_browser_archive_over_many_lines() {
    check(
        Format::Known("har"),
        "{\n \"log\": {\n \"version\": \"1.2\",\n \"creator\": {},\n \"entries\": [\n\
         {\"startedDateTime\": \"2024-01-01T00:00:02.000+01:00\", \"time\": 25.5},\n\
         {\"startedDateTime\": \"2024-01-01T00:00:01.000+01:00\", \"time\": 10}]}}\n",
        &[(0.0, 0.01, "traffic"), (1.0, 0.0255, "traffic")],
    );
}

#[test]
fn request_logs_need_a_time() {
    check(
        Format::Known("request-log"),
        "{\"httpRequest\": {\"requestMethod\": \"GET\", \"latency\": \"0.5s\"}, \
         \"timestamp\": \"2024-01-01T00:00:01Z\"}\n\
         {\"httpRequest\": {\"latency\": \"0.25s\"}, \"timestamp\": \"2024-01-01T00:00:01Z\"}\n",
        &[(0.0, 0.5, "traffic"), (0.25, 0.25, "traffic")],
    );
}

#[test]
fn packed_files_read_like_plain_ones() {
    use flate2::{Compression, write::GzEncoder};
    let files = Files::new();
    let text = b"arrival,service\n0.5,0.1\n1,0.25\n";
    let plain = arrivals(&files.write("a.csv", text), TraceOptions::default());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text).expect("memory can be written");
    let gzip = files.write("a.csv.gz", gzip.finish().expect("memory can be written"));
    assert_eq!(arrivals(&gzip, TraceOptions::default()), plain);
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let (one, two) = text.split_at(20);
    // Two frames after each other, as parallel packers write.
    let mut packed = ruzstd::encoding::compress_to_vec(one, level);
    packed.extend(ruzstd::encoding::compress_to_vec(two, level));
    let zstd = files.write("a.csv.zst", packed);
    assert_eq!(arrivals(&zstd, TraceOptions::default()), plain);
}

#[test]
fn the_hash_is_that_of_the_bytes_of_the_file() {
    let files = Files::new();
    let path = files.write("a.csv", "arrival\n1\n2\n");
    let trace = TraceFile::open(&path, TraceOptions::default()).expect("the trace opens");
    let expected = "18e5cd4e03e9c4c1934a998c9dadfbe0\
                    c6bafad7a1d53d9c3cb3b78a73b04542";
    assert_eq!(trace.sha256(), expected, "before it was read");
    played(&trace);
    assert_eq!(trace.sha256(), expected, "after it was read");
}
