//! Counts per interval become arrivals.

use super::*;

const HEADER: &str = "HashOwner,HashApp,HashFunction,Trigger,480,481,482\n";

fn azure(files: &Files, rows: &str, options: TraceOptions) -> Vec<(f64, f64, String)> {
    arrivals(&files.write("invocations.csv", format!("{HEADER}{rows}")), options)
}

#[test]
fn counts_are_kept_whatever_the_placement() {
    let files = Files::new();
    let rows = "o,a,f,http,3,0,2\no,a,g,timer,1,1,1\n";
    for name in ["equidistant", "uniform", "exponential", "start"] {
        let placement: Placement = name.parse().expect("the name is known");
        let found = azure(&files, rows, TraceOptions { placement, ..TraceOptions::default() });
        let count = |function: &str, minute: f64| {
            let inside = |(at, _, name): &&(f64, f64, String)| {
                name == function && *at >= minute * 60.0 && *at < (minute + 1.0) * 60.0
            };
            found.iter().filter(inside).count()
        };
        assert_eq!([count("a/f", 0.0), count("a/f", 1.0), count("a/f", 2.0)], [3, 0, 2], "{name}");
        assert_eq!([count("a/g", 0.0), count("a/g", 1.0), count("a/g", 2.0)], [1, 1, 1], "{name}");
    }
}

#[test]
fn a_timer_fires_at_the_same_second_of_every_minute() {
    let files = Files::new();
    let options = TraceOptions { placement: Placement::Equidistant, ..TraceOptions::default() };
    let found = azure(&files, "o,a,g,timer,1,1,1\no,a,h,timer,1,1,1\n", options);
    let of = |name: &str| -> Vec<f64> {
        found.iter().filter(|row| row.2 == name).map(|row| row.0).collect()
    };
    for name in ["a/g", "a/h"] {
        let times = of(name);
        assert!((times[1] - times[0] - 60.0).abs() < 1e-6, "{name}: {times:?}");
        assert!((times[2] - times[1] - 60.0).abs() < 1e-6, "{name}: {times:?}");
    }
    assert_ne!(of("a/g"), of("a/h"), "functions do not all fire at the same second");
}

#[test]
fn the_same_seed_gives_the_same_arrivals_and_another_one_others() {
    let files = Files::new();
    let rows = "o,a,f,http,30,10,20\n";
    let with = |seed| azure(&files, rows, TraceOptions { seed, ..TraceOptions::default() });
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn durations_are_joined_and_missing_ones_left_open() {
    let files = Files::new();
    let durations = files.write(
        "durations.csv",
        "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,\
         percentile_Average_50,percentile_Average_100\no,a,f,15,3,10,20,10,15,20\n",
    );
    let memory = files
        .write("memory.csv", "HashOwner,HashApp,SampleCount,AverageAllocatedMb\no,a,10,128.5\n");
    let invocations =
        files.write("invocations.csv", format!("{HEADER}o,a,f,http,50,50,50\no,b,g,http,1,0,0\n"));
    let options = TraceOptions {
        durations: Some(durations),
        memory: Some(memory),
        ..TraceOptions::default()
    };
    let trace = TraceFile::open(&invocations, options).expect("the trace opens");
    assert_eq!(trace.functions_without_durations(), 1);
    assert_eq!(trace.memory_mb("a/f"), Some(128.5));
    assert_eq!(trace.memory_mb("b/g"), None);
    assert_eq!(trace.len_hint(), Some(151));
    for (_, service, name) in played(&trace) {
        match name.as_str() {
            "a/f" => assert!((0.010..=0.020).contains(&service), "{service}"),
            _ => assert_eq!(service, -1.0),
        }
    }
}

#[test]
fn functions_of_an_application_add_up() {
    let files = Files::new();
    let options = TraceOptions {
        grouping: Grouping::App,
        placement: Placement::Start,
        ..TraceOptions::default()
    };
    let found = azure(&files, "o,a,f,http,1,0,0\no,a,g,timer,1,0,0\no,b,f,http,0,1,0\n", options);
    let names: Vec<&str> = found.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(names, ["o/a", "o/a", "o/b"]);
}

#[test]
fn huawei_wide_files_and_plain_tables_of_counts() {
    let files = Files::new();
    let start = || TraceOptions { placement: Placement::Start, ..TraceOptions::default() };
    let path = files.write("day_001.csv", "day,time,0,1\n1,86400,2,NaN\n1,86460,0,1.0\n");
    let found = arrivals(&path, start());
    let expected = [(0.0, -1.0, "0"), (0.0, -1.0, "0"), (60.0, -1.0, "1")];
    assert_eq!(found, expected.map(|(at, service, name)| (at, service, name.to_owned())));
    let path = files.write("counts.csv", "minute,requests\n0,1\n2,2\n4,0\n");
    let times: Vec<f64> = arrivals(&path, start()).iter().map(|row| row.0).collect();
    assert_eq!(times, [0.0, 120.0, 120.0]);
    let path = files.write(
        "rate.csv",
        "time,rps\n2024-01-01T00:00:00Z,0.5\n\
                                        2024-01-01T00:00:03Z,0.5\n",
    );
    assert_eq!(arrivals(&path, start()).len(), 3, "fractions carry over to the next step");
    let path = files.write(
        "opendc.csv",
        "Timestamp [ms],Invocations,Avg Exec time per Invocation,Provisioned CPU [Mhz]\n\
         0,1,250,100\n60000,1,100,100\n",
    );
    let services: Vec<f64> = arrivals(&path, start()).iter().map(|row| row.1).collect();
    assert_eq!(services, [0.25, 0.1]);
}

#[test]
fn prometheus_rates_become_counts() {
    let files = Files::new();
    let path = files.write(
        "answer.json",
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[\
         {\"metric\":{\"revision_name\":\"web\"},\"values\":[[1700000000,\"0.1\"],\
         [1700000015,\"0.1\"],[1700000030,\"NaN\"]]},\
         {\"metric\":{\"revision_name\":\"api\"},\"values\":[[1700000015,\"1\"]]}]}}",
    );
    let options = TraceOptions { placement: Placement::Start, ..TraceOptions::default() };
    let found = arrivals(&path, options);
    let count = |name: &str| found.iter().filter(|row| row.2 == name).count();
    // 0.1 a second for 15 s is 1.5 requests: one in the first step, two in the second.
    assert_eq!((count("web"), count("api")), (3, 15));
}
