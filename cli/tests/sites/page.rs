//! The page of a view: revisions with their sites, which of them answer, one revision of a site.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::stage::{Stage, is_now, reserved, silent};

/// The page looks once a second: asking more often tells nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// The data of the first event of a stream, or of a response.
fn first(address: &str, target: &str) -> Value {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is read");
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let data = lines.filter_map(|line| {
        let data = line.strip_prefix("data: ").unwrap_or(&line).to_owned();
        data.starts_with('{').then_some(data)
    });
    let data = data.into_iter().next().expect("an object");
    serde_json::from_str(&data).expect("JSON")
}

fn admin(view: &mut Process) -> String {
    let line = view.wait_for("a page in a browser at http://");
    let (_, after) = line.split_once("http://").expect("an address");
    after.trim_end_matches("/page").to_owned()
}

#[test]
fn the_page_of_a_view_shows_every_site() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    let dead = format!("[dead]\ncontroller = \"{}\"\n", reserved());
    stage.sites(&(section + &dead));
    let mut view = stage.view(&["--admin", "127.0.0.1:0"]);
    let edge = stage.edge(stage.calls, &[]);
    stage.listed_when(|all| {
        is_now(all, "edge", "cart") && is_now(all, "paris", "web") && silent(all, "dead").is_some()
    });
    let page = admin(&mut view);
    let about = first(&page, "/page/about");
    assert_eq!((&about["routes"], &about["orders"]), (&false.into(), &Value::Null), "{about}");
    assert_eq!(about["what_if"], false);

    // It looks once a second: what it told just now may be of before.
    let has_all = |told: &Value| {
        // Where as many browsers watch as may, none more is told anything.
        let sites = told["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        sites.iter().filter(|site| site["link"] == "up").count() == 2 && told["all"] == 3
    };
    let fleet = later(&page, "/page/events?view=fleet&sort=site", has_all);
    let sites: Vec<&str> = fleet["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["site"].as_str())
        .collect();
    assert_eq!(sites, ["edge", "paris", "paris"], "{fleet}");
    let links: Vec<(&Value, &Value)> = fleet["sites"]
        .as_array()
        .expect("sites")
        .iter()
        .map(|site| (&site["name"], &site["link"]))
        .collect();
    let of = |name: &str| links.iter().find(|(it, _)| *it == name).map(|(_, link)| *link);
    assert_eq!(of("dead"), Some(&"cut".into()), "{fleet}");
    assert_eq!((of("edge"), of("paris")), (Some(&"up".into()), Some(&"up".into())), "{fleet}");
    let of_one = first(&page, "/page/events?view=fleet&site=edge");
    assert_eq!((&of_one["found"], &of_one["all"]), (&1.into(), &3.into()), "{of_one}");

    let cart = "/page/events?view=revision&of=edge%3Ashop%2Fcart";
    let one = first(&page, cart);
    assert_eq!((&one["site"], &one["name"]), (&"edge".into(), &"cart".into()), "{one}");
    assert!(one["settings"]["stable_window_ms"].is_number(), "{one}");
    assert_eq!(one["state"]["link"], "up");
    let none = first(&page, "/page/events?view=revision&of=rome%3Ashop%2Fcart");
    assert_eq!(none["gone"], true);

    drop(edge);
    stage.listed_when(|all| silent(all, "edge").is_some());
    let is_old = |told: &Value| told["rows"][0]["is_old"] == true;
    let old = later(&page, "/page/events?view=fleet&site=edge", is_old);
    assert_eq!(old["rows"][0]["name"], "cart", "{old}");
    let one = first(&page, cart);
    assert_eq!((&one["state"]["link"], &one["name"]), (&"cut".into(), &"cart".into()), "{one}");
}

/// What the page tells once it is as is expected.
fn later(page: &str, target: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let told = first(page, target);
        if is_so(&told) {
            return told;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
