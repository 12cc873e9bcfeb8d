//! Small files of each format, damaged at random: whatever comes out, nothing panics, arrivals
//! never go back in time, and errors name the file. The same is fuzzed at length by `fuzz/`.

use super::*;
use tidegate_sim::random::{Stream, Streams};

/// Damaged copies of each file.
const COPIES: usize = 400;
/// The same of each layout, of which there are many.
const LAYOUT_COPIES: usize = 12;
/// Arrivals read of each: a damaged count may stand for millions.
const ARRIVALS_MAX: usize = 2_000;

const SAMPLES: [&str; 19] = [
    "app,func,end_timestamp,duration\na,f,10.5,10\na,g,1.5,0.25\nb,f,2.25,1\n",
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n",
    "{\"AppHash\":\"a\",\"InvocationTimes\":[1.0,3.0],\"AppExecTimes\":[100,200]}\n",
    "NamespaceHash,AppHash,InvocationTimes,AppExecTimes\nn,a,1.5,100.0\n",
    "time_worker,time_frontend,funcName,userID,totalCost_worker\n100.5,100.6,296,224,0.25\n",
    "Timestamp,Session ID,Elapsed time,Request tokens,Response tokens\n5,1,2.5,472,18\n",
    "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46]}\n",
    "arrival,service,revision\n0.5,0.1,web\n1,0.25,\"a \"\"b\"\"\"\n",
    "{\"start_ms\": 1500, \"duration\": \"20ms\", \"function\": \"f\"}\n",
    "h - - [10/Oct/2000:13:55:36 -0700] \"GET /\\\"x HTTP/1.1\" 200 23 \"-\" \"c\" 0.250\n",
    "[2016-04-15T20:17:00.310Z] \"POST / HTTP/2\" 204 - 1 0 226 100 \"x\" \"a\" \"c\" \"l\" \
     \"t\"\n",
    "{\"start_time\":\"2016-04-15T20:17:00.310Z\",\"duration\":226,\"response_code\":204}\n",
    "1700000000000000000,200,1250000,0,12,,Ym9keQ==,,0,GET,http://a/,aGVhZGVycw==\n",
    "response-time,status-code,offset\n0.0200,200,0.5000\n",
    "{\"log\": {\"entries\": [{\"startedDateTime\": \"2024-01-01T00:00:02Z\", \"time\": 25.5}]}}",
    "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,3,0,2\no,a,g,timer,1,1,1\n",
    "day,time,0,1\n1,86400,2,NaN\n1,86460,0,1.0\n",
    "minute,requests\n0,1\n2,2\n4,0\n",
    "{\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"a\":\"b\"},\
     \"values\":[[1700000000,\"0.1\"],[1700000015,\"0.1\"]]}]}}",
];

/// One damage: a byte changed, a stretch cut out, doubled or swapped for digits.
fn damage(bytes: &mut Vec<u8>, chance: &mut Stream) {
    if bytes.is_empty() {
        return;
    }
    let at = chance.below(bytes.len() as u64) as usize;
    let length = (chance.below(8) as usize).min(bytes.len() - at);
    match chance.below(5) {
        0 => bytes[at] = chance.bits() as u8,
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        3 => {
            let extremes =
                ["9999999999999999999", "-1", "1e308", "NaN", "", "\"", "\n", "0.", "[["];
            let chosen = extremes[chance.below(extremes.len() as u64) as usize];
            bytes.splice(at..at + length, chosen.bytes());
        }
        _ => bytes.truncate(at),
    }
}

/// Reads all of it, or up to a bound, or up to its error.
fn read(bytes: &[u8], options: TraceOptions) {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let trace = match TraceFile::from_bytes("damaged", bytes, options) {
        Ok(trace) => trace,
        Err(error) => {
            assert!(error.to_string().contains("damaged"), "{error} for {}", shown());
            return;
        }
    };
    let Ok(mut source) = trace.open() else { return };
    let mut last = tidegate_sim::time::SimTime::ZERO;
    for _ in 0..ARRIVALS_MAX {
        match source.next() {
            Some(Ok(arrival)) => {
                assert!(arrival.at >= last, "back in time: {}", shown());
                assert!(source.names().get(arrival.revision).is_some(), "{}", shown());
                last = arrival.at;
            }
            Some(Err(error)) => {
                assert!(error.to_string().contains("damaged"), "{error} for {}", shown());
                return;
            }
            None => return,
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused_but_never_break_anything() {
    for (number, sample) in SAMPLES.iter().enumerate() {
        let mut chance = Streams::new(20).stream("damage", number as u64);
        for copy in 0..COPIES {
            let mut bytes = sample.as_bytes().to_vec();
            for _ in 0..=chance.below(3) {
                damage(&mut bytes, &mut chance);
            }
            let bad_rows = if copy % 2 == 0 { BadRows::Refuse } else { BadRows::Skip };
            let placement = Placement::Start;
            read(&bytes, TraceOptions { bad_rows, placement, ..TraceOptions::default() });
        }
    }
}

#[test]
fn damaged_layouts_are_read_or_refused_but_never_break_anything() {
    let layouts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layouts");
    let entries = std::fs::read_dir(layouts).expect("the layouts are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for (number, path) in paths.iter().enumerate() {
        let whole = std::fs::read(path).expect("a layout can be read");
        let mut chance = Streams::new(22).stream("damage", number as u64);
        for _ in 0..LAYOUT_COPIES {
            let mut bytes = whole.clone();
            for _ in 0..=chance.below(3) {
                damage(&mut bytes, &mut chance);
            }
            let placement = Placement::Start;
            read(&bytes, TraceOptions { placement, ..TraceOptions::default() });
        }
    }
}

#[test]
fn samples_themselves_are_whole() {
    for sample in SAMPLES {
        let trace = TraceFile::from_bytes("whole", sample.as_bytes(), TraceOptions::default());
        let trace = trace.unwrap_or_else(|error| panic!("{error}: {sample}"));
        assert!(!played(&trace).is_empty(), "{sample}");
    }
}

#[test]
fn damaged_specifications_are_refused_in_words() {
    for (number, (name, usage)) in GENERATORS.iter().enumerate() {
        let mut chance = Streams::new(21).stream("damage", number as u64);
        for _ in 0..COPIES {
            let mut bytes = format!("{name}:{usage}").replace("RATE", "5").into_bytes();
            for _ in 0..=chance.below(4) {
                damage(&mut bytes, &mut chance);
            }
            let spec = String::from_utf8_lossy(&bytes).into_owned();
            if spec.contains("fitted:") {
                continue;
            }
            if let Ok(made) = Generated::new(&spec, 0, SimSpan::from_secs(10), 1) {
                let mut source = made.open().expect("a parsed generator opens");
                for _ in 0..ARRIVALS_MAX {
                    let Some(arrival) = source.next() else { break };
                    arrival.expect("generators do not fail");
                }
            }
        }
    }
}
