//! What a file may say, and what is said of one that says something else.

use tidegate_routes::file::{FILE_BYTES_MAX, ROUTES_MAX};
use tidegate_routes::{RouteKind, Table};

fn refused(text: &str) -> String {
    Table::parse(text).map(|_| String::from("it is read")).unwrap_or_else(|error| error.to_string())
}

#[test]
fn errors_say_where_and_what_is_expected() {
    for (text, parts) in [
        ("", &["line 1, column 1", "there is no route"][..]),
        ("[route.a]\nto = 'web'\npaht = '/'", &["line 3, column 1", "did you mean `path`?"]),
        ("[routes.a]", &["line 1, column 2", "did you mean `route`?"]),
        (
            "[route.a]\nsplit = { v1 = 70, v2 = 29.9 }",
            &["line 2", "add up to 99.9 %, expected 100 %"],
        ),
        ("[route.a]\nsplit = { v1 = 70.05, v2 = 29.95 }", &["line 2, column 16", "steps of 0.1"]),
        ("[route.a]\nsplit = { v1 = -1, v2 = 101 }", &["line 2, column 16", "from 0 to 100"]),
        ("[route.a]\nsplit = { v1 = 50, 'default/v1' = 50 }", &["is there twice"]),
        ("[route.a]\nto = 'a/b/c'", &["line 2, column 6", "expected namespace/name"]),
        ("[route.a]\nto = ''", &["expected namespace/name"]),
        ("[route.a]\nhosts = ['a.b:80']\nto = 'web'", &["line 2, column 10", "without a port"]),
        ("[route.a]\nhosts = []\nto = 'web'", &["expected 1 to 100 hosts"]),
        ("[route.a]\npath = '/a/../b'\nto = 'web'", &["line 2, column 8", "without empty ones"]),
        ("[route.a]\npath = '/'\nexact = '/'\nto = 'web'", &["not both"]),
        ("[route.a]\nhosts = ['a.b']", &["expected `to`, `split`, `rollout`, `answer` or"]),
        ("[route.a]\nto = 'web'\nanswer = {}", &["line 2", "`to` cannot stand beside"]),
        ("[route.a]\nanswer = {}\nredirect = { to = '/' }", &["not both"]),
        ("[route.a]\nanswer = { status = 99 }", &["a number from 200 to 599"]),
        ("[route.a]\nanswer = { status = 204, body = 'x' }", &["none with 204"]),
        ("[route.a]\nanswer = { headers = { Connection = 'x' } }", &["concern its connection"]),
        ("[route.a]\nanswer = { headers = { 'a b' = 'x' } }", &["the name of a header field"]),
        ("[route.a]\nredirect = { to = '//evil.example' }", &["line 2", "expected https://host"]),
        ("[route.a]\nredirect = { to = '/', status = 200 }", &["expected 301, 302"]),
        ("[route.a]\nredirect = {}", &["`to` is missing"]),
        ("[route.a]\nto = 'web'\nsticky = 'yes'", &["line 3, column 10", "expected \"visitor\""]),
        ("[route.a]\nto = 'web'\nsticky = { header = 'a b' }", &["no name of a header field"]),
        ("[route.a]\nto = 'web'\nsticky = { cookie = 'a b' }", &["no name of a cookie"]),
        ("[route.a]\nto = 'web'\ntags = { A = 'web' }", &["lower-case letters"]),
        ("[route.a]\nto = 'web'\nwhen = [{ to = 'b' }]", &["expected `header` or `cookie`"]),
        ("[route.a]\nto = 'web'\nwhen = [{ header = 'x', value = '', to = 'b' }]", &["1 to 1024"]),
        ("[route.a]\nrollout = { from = 'a', to = 'a', over = '1m' }", &["another revision"]),
        ("[route.a]\nrollout = { from = 'a', to = 'b' }", &["expected `steps`, or `over`"]),
        ("[route.a]\nrollout = { from = 'a', to = 'b', over = '8d' }", &["at most a week"]),
        (
            "[route.a]\nrollout = { from = 'a', to = 'b', steps = [{ percent = 9, hold = 'x' }] }",
            &["`hold`: expected a time such as 5s"],
        ),
        (
            "[route.a]\nsplit = { a = 100 }\nrollout = { from = 'a', to = 'b', over = '1m' }",
            &["both revisions of the rollout"],
        ),
        ("[route.A]\nto = 'web'", &["line 1, column 8", "lower-case"]),
        ("[route.a]\nto = 'web'\n[route.b]\nto = 'api'", &["line 3", "the route \"a\""]),
        (
            "[route.a]\nhosts = ['x.y']\nto = 'w'\ntags = { t = 'v' }\n[route.b]\n\
             hosts = ['t-x.y']\nto = 'w'",
            &["line 1", "a tag has a host that the route \"b\" has"],
        ),
        ("[route.a\nto = 'web'", &["line 1, column 9"]),
        ("[route.a]\nto = 5", &["line 2, column 6", "expected text in quotes"]),
        ("route = 5", &["expected a table"]),
        ("[route.a]\nto = 'web'\nto = 'api'", &["line 3", "duplicate key"]),
    ] {
        let told = refused(text);
        for part in parts {
            assert!(told.contains(part), "{told:?} does not say {part:?}, about {text:?}");
        }
    }
}

#[test]
fn a_file_is_bounded() {
    let long = format!("# {}", "x".repeat(FILE_BYTES_MAX));
    assert!(refused(&long).contains("expected 262144 at most"));
    let many: String = (0..=ROUTES_MAX)
        .map(|number| format!("[route.r{number}]\nexact = '/{number}'\nto = 'web'\n"))
        .collect();
    assert!(refused(&many).contains("more than 1000 routes"));
    let nested = format!("a = {}", "[".repeat(100_000));
    assert!(refused(&nested).contains("line 1"));
}

#[test]
fn everything_that_can_be_said_is_read() {
    let table = Table::parse(
        r#"
        [route.web]
        hosts = ["shop.example.com", "*.shop.example.com", "[::1]"]
        path = "/shop/"
        sticky = { cookie = "session" }
        split = { "prod/v1" = 99.5, "prod/v2" = 0.5 }
        tags = { next = "prod/v2" }
        mirror = { to = "prod/v3", percent = 0.1 }
        [[route.web.when]]
        header = "X-Beta"
        to = "prod/v2"
        [route.web.rollout]
        from = "prod/v1"
        to = "prod/v2"
        steps = [{ percent = 1, hold = "1m" }, { percent = 50, hold = "5m" }]
        tolerated_errors_percent = 1.5
        tolerated_latency_percent = 100
        min_requests = 500

        [route.gone]
        exact = "/gone"
        [route.gone.answer]
        status = 410
        type = "text/html; charset=utf-8"
        body = "<p>gone</p>"
        headers = { Cache-Control = "max-age=60" }
        "#,
    )
    .expect("it can be followed");
    let names: Vec<&str> = table.routes().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["gone", "web"]);
    let (_, plan) = table.rollouts().next().expect("there is one");
    assert_eq!(plan.settings.gate.tolerated_errors_permille, 15);
    assert_eq!(plan.settings.gate.requests_min, 500);
    let shares = table.shares("web").expect("it has some");
    let shown: Vec<String> = shares.iter().map(|(of, share)| format!("{of} {share}")).collect();
    assert_eq!(shown, ["prod/v1 99.5 %", "prod/v2 0.5 %"]);
    let RouteKind::Answer(answer) = &table.route("gone").expect("it is there").kind else {
        panic!("it is answered");
    };
    assert_eq!((answer.status.as_u16(), answer.headers.len()), (410, 2));
}

#[test]
fn shares_are_changed_as_a_whole_or_not_at_all() {
    use tidegate_routes::{Revision, Share};
    let table = Table::parse("[route.a]\nsplit = { v1 = 100, v2 = 0 }").expect("it is read");
    let share = |name: &str, permille| {
        let revision = Revision { namespace: "default".into(), name: name.into() };
        (revision, Share::from_permille(permille))
    };
    let changed =
        table.with_shares("a", &[share("v1", 300), share("v2", 700)]).expect("it is whole");
    assert_eq!(changed.shares("a").expect("some")[1].1, Share::from_permille(700));
    assert_ne!(changed, table);
    for (route, shares, part) in [
        ("b", vec![share("v1", 1_000)], "there is no route \"b\""),
        ("a", vec![share("v1", 999)], "add up to 99.9 %"),
        ("a", vec![share("v3", 1_000)], "no share for the revision default/v3"),
    ] {
        let told = table.with_shares(route, &shares).map_err(|error| error.to_string());
        assert!(told.as_ref().is_err_and(|told| told.contains(part)), "{told:?}");
    }
}
