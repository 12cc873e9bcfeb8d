//! How services are read from their file, which is TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_admission::{QueueOrder, QueueRules};
use tidegate_routes::section::{At, Section, tables};
use tidegate_routes::{FILE_BYTES_MAX, FileError, ROLLOUT_KEYS, Revision, Table, rollout_settings};
use tidegate_words::{did_you_mean, excerpt};
use toml::Spanned;
use toml::de::DeValue;

use crate::command;
use crate::keys::{FILE, REFUSED, SERVICE, SERVICES_MAX, address};
use crate::quantity;
use crate::queue;
use crate::service::{
    Abandoned, Build, Concurrency, Entrance, IdleMode, Limits, Protocol, Ready, Rollout, Scale,
    Service, Services, Template,
};
use crate::shape::{Shape, check_all, scalar};
use crate::together;

impl Services {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What cannot be followed: of each service, and of what concerns all, the first.
    pub fn parse(text: &str) -> Result<Self, Vec<FileError>> {
        if text.len() > FILE_BYTES_MAX {
            let what =
                format!("the file has {} bytes, expected {FILE_BYTES_MAX} at most", text.len());
            return Err(vec![FileError { line: 1, column: 1, what }]);
        }
        let tables = tables(text).map_err(|error| vec![error])?;
        let top = Section::top(text, &tables);
        let raw: toml::Table = toml::from_str(text).unwrap_or_default();
        let mut services = read_top(&top).map_err(|error| vec![error])?;
        let mut wrong = Vec::new();
        let listed = top.section("service").map_err(|error| vec![error])?;
        let listed = listed.filter(|listed| listed.entries().next().is_some());
        let Some(listed) = listed else {
            let what = "there is no service, expected one or more, such as [service.web]";
            return Err(vec![top.wrong(what)]);
        };
        for (name, value) in listed.entries() {
            if services.services.len() + wrong.len() >= SERVICES_MAX {
                wrong.push(
                    listed.wrong_at(
                        &name.span,
                        format!("there are more than {SERVICES_MAX} services"),
                    ),
                );
                break;
            }
            match read_service(&listed, &name, value, &raw) {
                Ok(service) => drop(services.services.insert(name.value.to_owned(), service)),
                Err(error) => wrong.push(error),
            }
            note_places(&mut services, text, (&name, value));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if let Some(routes) = top.section("route").map_err(|error| vec![error])? {
            read_routes(&mut services, &routes).map_err(|error| vec![error])?;
            let table = raw.get("route").and_then(toml::Value::as_table);
            services.routes = table.cloned().unwrap_or_default();
        }
        let wrong = together::wrong(&services);
        if wrong.is_empty() { Ok(services) } else { Err(wrong) }
    }
}

fn read_top(top: &Section<'_>) -> Result<Services, FileError> {
    let plain: Vec<_> = FILE.iter().filter(|key| !matches!(key.shape, Shape::ByName(..))).collect();
    top.only(&FILE.iter().map(|key| key.name).collect::<Vec<_>>())?;
    for key in plain {
        if let Some(value) = top.get(key.name) {
            key.shape.check(top, key.name, value)?;
        }
    }
    let listen = top.get("listen").and_then(|value| address(&scalar(value.get_ref())?));
    Ok(Services { listen, drain: time(top, "drain")?, ..Services::default() })
}

/// Remembers where the keys of a service stand.
fn note_places(
    services: &mut Services,
    text: &str,
    (name, value): (&At<&str>, &Spanned<DeValue<'_>>),
) {
    let mut note = |key: &'static str, offset: usize| {
        let FileError { line, column, .. } = FileError::at(text, offset, "");
        services.places.insert((name.value.to_owned(), key), (line, column));
    };
    note("", name.span.start);
    let DeValue::Table(table) = value.get_ref() else { return };
    for (key, value) in table {
        if let Some(known) = SERVICE.iter().find(|known| known.name == &**key.get_ref()) {
            note(known.name, value.span().start);
        }
    }
}

fn read_service(
    listed: &Section<'_>,
    name: &At<&str>,
    value: &Spanned<DeValue<'_>>,
    raw: &toml::Table,
) -> Result<Service, FileError> {
    let called = format!("service \"{}\"", excerpt(name.value));
    let section = listed.as_section(called, value)?;
    let named = FILE.iter().find_map(|key| match key.shape {
        Shape::ByName(form, _) if key.name == "service" => Some(form),
        _ => None,
    });
    if let Some(form) = named.filter(|form| !(form.is)(name.value)) {
        return Err(section.wrong_at(&name.span, format!("expected {}", form.expected)));
    }
    for (key, value) in section.entries() {
        if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| *refused == key.value) {
            return Err(section.wrong_at(&value.span(), format!("`{}`: {what}", key.value)));
        }
    }
    check_all(&section, SERVICE)?;
    let raw = raw.get("service").and_then(|all| all.get(name.value)?.as_table());
    let service = Service {
        template: read_template(&section)?,
        scale: read_scale(&section)?,
        queue: read_queue(&section),
        entrance: read_entrance(&section)?,
        rollout: read_rollout(&section, raw)?,
        after: texts(&section, "after"),
    };
    consistent(&section, &service)?;
    Ok(service)
}

fn read_template(section: &Section<'_>) -> Result<Template, FileError> {
    let command = read_command(section, "command");
    let Some(command) = command else {
        return Err(section.wrong("`command` is missing, expected text or a list of text"));
    };
    let usual = Template::new(command);
    Ok(Template {
        directory: text(section, "directory"),
        variables: named(section, "environment")?.into_iter().collect(),
        env_files: texts(section, "env_files"),
        user: text(section, "user"),
        build: read_build(section)?,
        port: whole(section, "port").and_then(|port| u16::try_from(port).ok()),
        protocol: match text(section, "protocol").as_deref() {
            Some("tcp") => Protocol::Tcp,
            _ => Protocol::Http,
        },
        concurrency: match (text(section, "concurrency"), whole(section, "concurrency")) {
            (Some(_), _) => Concurrency::Auto,
            (None, Some(limit)) => Concurrency::Limit(limit),
            (None, None) => Concurrency::Unlimited,
        },
        idle_mode: match text(section, "idle_mode").as_deref() {
            Some("freeze") => IdleMode::Freeze,
            _ => IdleMode::Stop,
        },
        ready: read_ready(section)?,
        start_timeout: time(section, "start_timeout")?.unwrap_or(usual.start_timeout),
        timeout: time(section, "timeout")?.unwrap_or(usual.timeout),
        stop_timeout: time(section, "stop_timeout")?.unwrap_or(usual.stop_timeout),
        abandoned: match text(section, "abandoned").as_deref() {
            Some("release") => Abandoned::Release,
            _ => Abandoned::Hold,
        },
        limits: read_limits(section),
        ..usual
    })
}

/// A line for a shell, or a list.
fn read_command(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    match text(section, key) {
        Some(line) => Some(command::of_line(&line)),
        None => Some(texts(section, key)).filter(|words| !words.is_empty()),
    }
}

fn read_build(section: &Section<'_>) -> Result<Option<Build>, FileError> {
    if let Some(command) = read_command(section, "build") {
        return Ok(Some(Build { command }));
    }
    let Some(part) = section.section("build").ok().flatten() else { return Ok(None) };
    let image = part.needed_text("pack")?.value.to_owned();
    let mut command: Vec<String> =
        ["pack", "build", &image, "--path", "."].map(str::to_owned).into();
    if let Some(builder) = text(&part, "builder") {
        command.extend(["--builder".to_owned(), builder]);
    }
    Ok(Some(Build { command }))
}

fn read_limits(section: &Section<'_>) -> Limits {
    let Some(part) = section.section("limits").ok().flatten() else { return Limits::default() };
    Limits {
        memory_bytes: text(&part, "memory").and_then(|memory| quantity::bytes(&memory)),
        cpu_millis: text(&part, "cpu").and_then(|cpu| quantity::cpu_millis(&cpu)),
        processes: whole(&part, "processes"),
    }
}

fn read_ready(section: &Section<'_>) -> Result<Ready, FileError> {
    if let Some(ready) = text(section, "ready") {
        return Ok(if ready == "tcp" { Ready::Tcp } else { Ready::Http(ready) });
    }
    let Some(part) = section.section("ready").ok().flatten() else { return Ok(Ready::Tcp) };
    if let Some(command) = read_command(&part, "exec") {
        return Ok(Ready::Exec(command));
    }
    if let Some(line) = text(&part, "log") {
        return Ok(Ready::Log(line));
    }
    Ok(Ready::Grpc(part.needed_text("grpc")?.value.to_owned()))
}

fn read_scale(section: &Section<'_>) -> Result<Scale, FileError> {
    let usual = Scale::default();
    // Two instances cannot have one port.
    let most = if has_fixed_port(section) { 1 } else { usual.max };
    let max = whole(section, "max").unwrap_or(most);
    let window = time(section, "window")?.unwrap_or(usual.window);
    if let Some(place) = section.place("window").filter(|_| window.subsec_nanos() > 0) {
        return Err(section.wrong_at(&place, "`window`: expected whole seconds"));
    }
    Ok(Scale {
        min: whole(section, "min").unwrap_or(usual.min),
        max,
        initial: whole(section, "initial").unwrap_or(usual.initial.min(max)),
        window,
        idle: time(section, "idle")?,
        set: named(section, "set")?,
    })
}

fn read_queue(section: &Section<'_>) -> QueueRules {
    QueueRules {
        order: text(section, "order").and_then(|order| queue::order(&order)),
        classes: texts(section, "classes").iter().filter_map(|text| queue::class(text)).collect(),
        class_header: text(section, "class_header"),
    }
}

fn read_entrance(section: &Section<'_>) -> Result<Entrance, FileError> {
    let listen = section.get("listen").and_then(|value| address(&scalar(value.get_ref())?));
    if let (Some(place), Some(0)) = (section.place("listen"), listen.map(|at| at.port())) {
        return Err(section.wrong_at(&place, "`listen`: expected a port other than 0"));
    }
    Ok(Entrance { hosts: texts(section, "hosts"), path: text(section, "path"), listen })
}

fn read_rollout(section: &Section<'_>, raw: Option<&toml::Table>) -> Result<Rollout, FileError> {
    match text(section, "rollout").as_deref() {
        Some("replace") => return Ok(Rollout::Replace),
        Some(_) => return Ok(Rollout::WhenReady),
        None if has_fixed_port(section) => return read_replacing(section),
        None => {}
    }
    let Some(part) = section.section("rollout").ok().flatten() else {
        return Ok(Rollout::WhenReady);
    };
    part.only(&ROLLOUT_KEYS)?;
    rollout_settings(&part)?;
    let raw = raw.and_then(|service| service.get("rollout")?.as_table());
    Ok(Rollout::Shares(raw.cloned().unwrap_or_default()))
}

/// Of two revisions with one port the old one has to end first.
fn read_replacing(section: &Section<'_>) -> Result<Rollout, FileError> {
    match section.place("rollout") {
        None => Ok(Rollout::Replace),
        Some(place) => Err(section.wrong_at(&place, format!("`rollout`: {ONE_AT_A_TIME}"))),
    }
}

/// Why revisions with a fixed port are replaced.
const ONE_AT_A_TIME: &str =
    "two revisions cannot have one `port` at a time: expected \"replace\", or no `port`";

fn has_fixed_port(section: &Section<'_>) -> bool {
    section.get("port").is_some()
}

/// What keys of a service say together.
fn consistent(section: &Section<'_>, service: &Service) -> Result<(), FileError> {
    let Service { template, scale, queue, entrance, rollout, .. } = service;
    let wrong = |key: &str, what: String| {
        let place = section.place(key).unwrap_or_else(|| section.span());
        Err(section.wrong_at(&place, format!("`{key}`: {what}")))
    };
    if template.port.is_some() {
        if scale.max > 1 {
            let what = "two instances cannot have one `port`: expected 1, or no `port`";
            return wrong("max", what.to_owned());
        }
        if *rollout != Rollout::Replace {
            return wrong("rollout", ONE_AT_A_TIME.to_owned());
        }
    }
    for (key, count) in [("min", scale.min), ("initial", scale.initial)] {
        if count > scale.max {
            return wrong(key, format!("{count} is more than `max`, which is {}", scale.max));
        }
    }
    if queue.class_header.is_some() && queue.classes.is_empty() {
        return wrong(
            "class_header",
            "there are no classes: expected `classes` as well".to_owned(),
        );
    }
    if template.protocol == Protocol::Tcp {
        if queue.order.as_ref().is_some_and(|order| *order != QueueOrder::Arrival) {
            let what = "connections of \"tcp\" say nothing of themselves: expected \"arrival\"";
            return wrong("order", what.to_owned());
        }
        if !queue.classes.is_empty() {
            return wrong("classes", "connections of \"tcp\" name none".to_owned());
        }
        if entrance.listen.is_none() {
            return wrong("protocol", "with \"tcp\" expected a `listen` as well".to_owned());
        }
        for (key, is_there) in
            [("hosts", !entrance.hosts.is_empty()), ("path", entrance.path.is_some())]
        {
            if is_there {
                return wrong(
                    key,
                    "connections of \"tcp\" name none: expected only `listen`".to_owned(),
                );
            }
        }
        if matches!(rollout, Rollout::Shares(_)) {
            let what = "what becomes of connections of \"tcp\" is not known: expected \
                        \"when-ready\" or \"replace\"";
            return wrong("rollout", what.to_owned());
        }
    }
    Ok(())
}

/// Reads the further routes, whose names are those of services.
fn read_routes(services: &mut Services, routes: &Section<'_>) -> Result<(), FileError> {
    let names = || services.services.keys().map(String::as_str);
    for (route, _) in routes.entries() {
        if names().any(|name| name == route.value) {
            let what = format!(
                "a service has this name, and a route of its own: expected `hosts` and `path` in \
                 [service.{}], or another name",
                route.value
            );
            return Err(routes.wrong_at(&route.span, what));
        }
    }
    Table::of_section(routes, &|name| match services.services.get(name) {
        Some(service) if service.template.protocol == Protocol::Tcp => {
            Err(format!("the service \"{name}\" carries no HTTP"))
        }
        Some(_) => Ok(Revision { namespace: "local".to_owned(), name: name.to_owned() }),
        None => {
            Err(format!("there is no service \"{}\"{}", excerpt(name), did_you_mean(name, names())))
        }
    })?;
    Ok(())
}

// What follows reads values that were checked: another type is that of another alternative.

fn text(section: &Section<'_>, key: &str) -> Option<String> {
    section.text(key).ok().flatten().map(|text| text.value.to_owned())
}

fn texts(section: &Section<'_>, key: &str) -> Vec<String> {
    let Ok(values) = section.list(key) else { return Vec::new() };
    values.iter().filter_map(|value| scalar(value.get_ref())).collect()
}

fn whole(section: &Section<'_>, key: &str) -> Option<u32> {
    section.whole(key).ok().flatten().and_then(|number| u32::try_from(number.value).ok())
}

fn time(section: &Section<'_>, key: &str) -> Result<Option<Duration>, FileError> {
    Ok(section.time_ms(key)?.map(|time| Duration::from_millis(time.value)))
}

fn named(section: &Section<'_>, key: &str) -> Result<Vec<(String, String)>, FileError> {
    let Some(part) = section.section(key)? else { return Ok(Vec::new()) };
    let pairs = part.entries().map(|(name, value)| (name.value, scalar(value.get_ref())));
    let pairs: BTreeMap<_, _> = pairs.collect();
    Ok(pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}
