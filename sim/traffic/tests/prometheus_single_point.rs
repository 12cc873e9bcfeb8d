//! An answer of Prometheus with one point for each series was read as if its step were 60 s, and
//! nobody was told: a query with a step of 15 s gave four times its requests. How long a step is
//! stands nowhere in such an answer, so it is asked for; a table of counts with one row likewise.

use tidegate_sim::{SimSpan, Traffic};
use tidegate_sim_traffic::{TraceFile, TraceOptions};

const POINT: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[
    {"metric":{"app":"a"},"values":[[1795600800,"2"]]}]}}"#;

fn open(content: &str, interval: Option<SimSpan>) -> Result<u64, String> {
    let options = TraceOptions { interval, ..TraceOptions::default() };
    let trace = TraceFile::from_bytes("answer", content.as_bytes(), options)
        .map_err(|error| error.to_string())?;
    let mut source = trace.open().map_err(|error| error.to_string())?;
    Ok(std::iter::from_fn(|| source.next()).filter(Result::is_ok).count() as u64)
}

#[test]
fn a_single_point_needs_to_be_told_its_step() {
    let told = open(POINT, None).expect_err("nothing says the step");
    assert!(told.contains("pass --interval"), "{told}");
    assert_eq!(open(POINT, Some(SimSpan::from_secs(15))), Ok(30));
    assert_eq!(open(POINT, Some(SimSpan::from_secs(60))), Ok(120));
}

#[test]
fn a_single_row_of_counts_needs_it_too() {
    let row = "timestamp,count\n1795600800,30\n";
    let told = open(row, None).expect_err("nothing says the step");
    assert!(told.contains("pass --interval"), "{told}");
    assert_eq!(open(row, Some(SimSpan::from_secs(15))), Ok(30));
    assert_eq!(open("minute,requests\n3,30\n", None), Ok(30), "a minute is one");
}
