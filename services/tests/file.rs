//! What a file says, and what is said of one that cannot be followed: where, and what would be
//! accepted.

use std::time::Duration;

use tidegate_services::{
    Abandoned, Common, Concurrency, Difference, IdleMode, Lead, Part, Protocol, QueueOrder,
    QueueRules, Ready, Rollout, Services, routes,
};

const ALL: &str = r#"
listen = 8080
drain = "10s"

[service.web]
command = ["./web", "--port", "{PORT}"]
directory = "web"
environment = { MODE = "production", WORKERS = 2, DEBUG = false }
env_files = [".env"]
user = "www-data"
build = "make web"
concurrency = 10
min = 1
max = 4
initial = 2
window = "1m30s"
idle = "20s"
ready = "/healthz"
idle_mode = "freeze"
start_timeout = "90s"
timeout = "2m"
stop_timeout = "5s"
abandoned = "release"
limits = { memory = "512Mi", cpu = "1.5", processes = 100 }
set = { target = 7, "autoscaling.knative.dev/panic-threshold-percentage" = "300" }
order = "fair:header:x-tenant"
classes = ["paid=4", "free=1"]
class_header = "x-plan"
hosts = ["shop.localhost", "*.shop.localhost"]
path = "/shop"
listen = "127.0.0.1:9000"
rollout = { steps = [{ percent = 10, hold = "1m" }] }
after = ["db"]

[service.api]
command = "node server.js"
concurrency = "auto"
ready = { grpc = "" }
build = { pack = "api", builder = "paketobuildpacks/builder-jammy-base" }
rollout = "replace"

[service.db]
command = "redis-server --port $PORT"
protocol = "tcp"
listen = 6379

[route.both]
hosts = ["both.localhost"]
split = { web = 70, api = 30 }
"#;

fn parse(text: &str) -> Services {
    Services::parse(text).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

/// What is wrong, as it is told.
fn wrong(text: &str) -> Vec<String> {
    let wrong = Services::parse(text).expect_err(text);
    wrong.iter().map(|error| format!("{}:{}: {}", error.line, error.column, error.what)).collect()
}

#[test]
fn everything_that_can_be_said_is_read() {
    let services = parse(ALL);
    assert_eq!(services.listen.map(|at| at.to_string()).as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(services.drain, Some(Duration::from_secs(10)));
    let web = &services.services["web"];
    assert_eq!(web.template.command, ["./web", "--port", "{PORT}"]);
    let variables: Vec<_> =
        web.template.variables.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(variables, ["DEBUG=false", "MODE=production", "WORKERS=2"]);
    assert_eq!(web.template.concurrency, Concurrency::Limit(10));
    assert_eq!((web.scale.min, web.scale.max, web.scale.initial), (1, 4, 2));
    assert_eq!(web.scale.window, Duration::from_secs(90));
    assert_eq!(web.template.ready, Ready::Http("/healthz".into()));
    assert_eq!(web.template.idle_mode, IdleMode::Freeze);
    assert_eq!(web.template.abandoned, Abandoned::Release);
    assert_eq!(
        web.template.build.as_ref().map(|build| build.command.join(" ")).as_deref(),
        Some("make web")
    );
    let limits = web.template.limits;
    assert_eq!((limits.memory_bytes, limits.cpu_millis), (Some(512 << 20), Some(1_500)));
    assert_eq!((limits.processes, web.scale.set.len()), (Some(100), 2));
    let QueueRules { order, classes, class_header } = &web.queue;
    assert_eq!(*order, Some(QueueOrder::FairBy("header:x-tenant".into())));
    let classes: Vec<_> = classes.iter().map(|c| (c.name.as_str(), c.weight.get())).collect();
    assert_eq!(classes, [("paid", 4), ("free", 1)]);
    assert_eq!(class_header.as_deref(), Some("x-plan"));
    assert!(matches!(web.rollout, Rollout::Shares(_)));
    let api = &services.services["api"];
    assert_eq!(api.template.command, ["node", "server.js"]);
    assert_eq!(api.queue, QueueRules::default());
    assert_eq!(api.template.ready, Ready::Grpc(String::new()));
    let pack = "pack build api --path . --builder paketobuildpacks/builder-jammy-base";
    assert_eq!(
        api.template.build.as_ref().map(|build| build.command.join(" ")).as_deref(),
        Some(pack)
    );
    let db = &services.services["db"];
    assert_eq!(db.template.protocol, Protocol::Tcp);
    assert_eq!(db.template.command, ["sh", "-c", "redis-server --port $PORT"]);
    assert_eq!(db.scale.initial, 1);
}

/// Files with a mistake, and a part of what is told of it; `WEB` is a service without one.
const MISTAKES: &[(&str, &str)] = &[
    ("x = ", "1:"),
    ("", "1:1: there is no service, expected one or more"),
    ("listne = 1\n", "1:1: unknown key `listne`, expected listen, drain, service or route"),
    ("listen = 'x'\n", "1:10: `listen`: expected an address such as \"127.0.0.1:9000\""),
    ("[service.Web]\ncommand='a'", "1:10: service \"Web\": expected a name of at most 50"),
    ("[service.web]\nmin = 1", "service \"web\": `command` is missing"),
    ("WEB comand = 'b'", "did you mean `command`?"),
    ("WEB port = 0", "3:8: service \"web\": `port`: expected a whole number from 1 to 65535"),
    ("WEB port = 80\nmax = 2", "4:7: service \"web\": `max`: two instances cannot have one `port`"),
    ("WEB port = 80\nrollout = 'when-ready'", "4:11: service \"web\": `rollout`: two revisions"),
    ("WEB port = 80\nrollout = { over = '1m' }", "4:11: service \"web\": `rollout`: two revisions"),
    ("WEB port = 80\nlisten = 80", "3:8: service \"web\": `port`: 80 is the `listen` of \"web\""),
    ("WEB port = 80\n[service.x]\ncommand='x'\nport = 80", "`port`: 80 is that of \"web\""),
    ("listen = 80\nWEB port = 80", "`port`: 80 is where clients of all services connect"),
    ("WEB image = 'x'", "`image`: images cannot be run here"),
    ("WEB limits = { memory = '1GB' }", "`memory`: expected memory as Kubernetes writes it"),
    ("WEB limits = { disk = '1G' }", "unknown key `disk`, expected memory, cpu or processes"),
    ("WEB max = 0", "3:7: service \"web\": `max`: expected a whole number from 1 to 10000"),
    ("WEB min = 5\nmax = 2", "3:7: service \"web\": `min`: 5 is more than `max`, which is 2"),
    ("WEB window = '1s'", "`window`: expected a time such as \"30s\", 6s to 1h"),
    ("WEB window = '6.5s'", "`window`: expected whole seconds"),
    ("WEB idle = 30", "3:8: service \"web\": `idle`: expected a time such as \"30s\""),
    ("WEB concurrency = 'many'", "expected a whole number from 1 to 1000000 or \"auto\""),
    ("WEB ready = 'udp'", "`ready`: expected \"tcp\", or a path such as \"/healthz\""),
    ("WEB ready = { exec = [] }", "`exec`: expected 1 to 100 entries"),
    ("WEB ready = { log = ' * ' }", "`log`: expected a part of a line, at most 500 bytes"),
    ("WEB ready = { exec = 'a', log = 'b' }", "expected a table with one of grpc, exec or log"),
    ("WEB ready = {}", "3:9: service \"web\": `ready`: expected a table with one of grpc, exec or"),
    ("WEB protocol = 'udp'", "`protocol`: expected http or tcp, found 'udp'"),
    ("WEB protocol = 'tcp'", "`protocol`: with \"tcp\" expected a `listen` as well"),
    ("WEB protocol = 'tcp'\nlisten = 9\npath = '/'", "`path`: connections of \"tcp\" name none"),
    ("WEB protocol = 'tcp'\nlisten = 9\norder = 'deadline'", "`order`: connections of \"tcp\" say"),
    ("WEB protocol = 'tcp'\nlisten = 9\nclasses = ['a=1']", "`classes`: connections of \"tcp\""),
    (
        "WEB order = 'newest'",
        "3:9: service \"web\": `order`: expected \"arrival\", \"deadline\", or",
    ),
    ("WEB order = 'fair:user'", "\"fair:\" and header:NAME, cookie:NAME, path or client-address"),
    ("WEB classes = ['gold']", "expected a name and a weight from 1 to 65535, such as \"gold=10\""),
    ("WEB class_header = 'x-plan'", "`class_header`: there are no classes"),
    ("WEB hosts = ['a b']", "3:10: service \"web\": `hosts`: expected a host without a port"),
    ("WEB rollout = 'slow'", "expected \"when-ready\" or \"replace\" or a table with `steps`"),
    ("WEB rollout = { over = '1m', stepps = 1 }", "unknown key `stepps`"),
    ("WEB rollout = { steps = [{ percent = 0.05, hold = '1m' }] }", "in steps of 0.1"),
    ("WEB after = ['db']", "`after`: there is no service \"db\""),
    ("WEB after = ['web']", "`after`: it waits for itself: web after web"),
    ("WEB environment = { A = [1] }", "`A`: expected text, a number, true or false"),
    ("WEB environment = { 'A B' = 1 }", "\"A B\": expected a name of letters, digits"),
    ("WEB [route.x]\nto = 'wbe'", "4:6: route \"x\": there is no service \"wbe\"; did you mean"),
    ("WEB [route.web]\nto = 'web'", "3:8: `route`: a service has this name"),
    ("WEB listen = 9\n[service.api]\ncommand = 'b'\nlisten = 9", "127.0.0.1:9 is that of api"),
    ("WEB [service.api]\ncommand = 'b'\nhosts = ['WEB.localhost']", "is that of \"api\""),
    ("WEB [route.x]\nhosts = ['web.localhost']\nto = 'web'", "for the same host and path as"),
];

#[test]
fn mistakes_are_told_by_their_place_and_by_what_would_be_accepted() {
    for (text, told) in MISTAKES {
        let text = text.replace("WEB ", "[service.web]\ncommand = 'a'\n");
        let all = wrong(&text);
        let is_told = all.iter().any(|line| line.contains(told));
        assert!(is_told, "{text}\nexpected {told}\nfound {all:#?}");
    }
}

/// Who has mistakes in several services wants to know of all of them.
#[test]
fn each_service_tells_its_own_mistake() {
    let all = wrong(
        "[service.a]\ncommand = 1\n[service.b]\ncommand = 'b'\nmax = -1\n[service.c]\ncommand='c'",
    );
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all[0].starts_with("2:11: service \"a\""), "{all:#?}");
    assert!(all[1].starts_with("5:7: service \"b\""), "{all:#?}");
}

#[test]
fn files_of_variables_stand_behind_what_the_file_says_itself() {
    let mut services = parse(ALL);
    let read = |name: &str| match name {
        ".env" => Ok("MODE=development\nTOKEN='x'\n".to_owned()),
        other => Err(format!("there is no {other}")),
    };
    services.read_env_files(read).expect("it can be read");
    let variables = &services.services["web"].template.variables;
    assert_eq!((variables["MODE"].as_str(), variables["TOKEN"].as_str()), ("production", "x"));
    let mut services = parse(ALL);
    let wrong = services.read_env_files(|_| Ok("A".to_owned())).expect_err("it cannot");
    let told = wrong[0].to_string();
    assert!(
        told.starts_with("line 9, column 13: service \"web\": `env_files`: .env: line 1"),
        "{told}"
    );
}

#[test]
fn what_has_changed_is_told_by_service_and_part() {
    let before = parse(ALL);
    assert!(Difference::between(&before, &parse(ALL)).is_nothing());
    let now = ALL
        .replace("max = 4", "max = 5")
        .replace("fair:header:x-tenant", "deadline")
        .replace("\"node server.js\"", "\"node other.js\"")
        .replace("drain = \"10s\"", "drain = \"20s\"")
        .replace("web = 70, api = 30", "web = 60, api = 40")
        + "[service.new]\ncommand = 'x'\n";
    let difference = Difference::between(&before, &parse(&now));
    assert_eq!(difference.added, ["new"]);
    let web = vec![Part::Scale, Part::Queue];
    let changed = [("api".to_owned(), vec![Part::Template]), ("web".to_owned(), web)];
    assert_eq!(difference.changed, changed);
    assert_eq!(difference.common, [Common::Drain, Common::Routes]);
    assert_eq!(Difference::between(&parse(&now), &before).removed, ["new"]);
}

#[test]
fn routes_lead_to_the_revisions_that_there_are() {
    let services = parse(ALL);
    let leads = [
        ("web", Lead::From("web-00001", "web-00002")),
        ("api", Lead::To("api-00003")),
        ("db", Lead::Nowhere("it ended")),
    ];
    let text = routes(&services, &leads.into());
    let table = tidegate_routes::Table::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let shares = |route: &str| {
        let shares = table.shares(route).unwrap_or_default();
        shares.iter().map(|(of, share)| format!("{of} {share}")).collect::<Vec<_>>()
    };
    assert_eq!(shares("web"), ["local/web-00001 100 %", "local/web-00002 0 %"]);
    assert_eq!(shares("both"), ["local/api-00003 30 %", "local/web-00001 70 %"]);
    assert_eq!(table.rollouts().count(), 1);
    let headers = http::HeaderMap::new();
    let found = |host: &'static str, target: &'static [u8]| {
        let request =
            tidegate_routes::Request { host: Some(host), target, headers: &headers, draw: 0 };
        match table.find(&request) {
            tidegate_routes::Outcome::Forward(forward) => forward.route.to_owned(),
            tidegate_routes::Outcome::Answer { answer, .. } => {
                format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
            }
            other => format!("{other:?}"),
        }
    };
    assert_eq!(found("shop.localhost:8080", b"/shop/cart"), "web");
    assert_eq!(found("api.localhost", b"/"), "api");
    let nowhere = found("shop.localhost", b"/elsewhere");
    assert!(nowhere.starts_with("404"), "{nowhere}");
    assert!(nowhere.contains("  shop.localhost/shop is web\n"), "{nowhere}");
    assert!(nowhere.contains("  api.localhost is api\n"), "{nowhere}");
}
