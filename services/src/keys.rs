//! The keys of a file, with what their values may be and what they mean.

use core::net::SocketAddr;
use std::time::Duration;

use tidegate_admission::attributes::CLASSES_MAX;
use tidegate_routes::host::HostPattern;
use tidegate_routes::is_label;
use tidegate_routes::path::PathRule;
use tidegate_words::time::WAIT_MAX;

use crate::env_file::is_variable;
use crate::quantity;
use crate::queue;
use crate::shape::{Foreign, Form, Key, Shape};

/// Most services of a file.
pub const SERVICES_MAX: usize = 500;

/// Most hosts, arguments, files or names in one list.
const LIST_MAX: usize = 100;

/// Most instances that a person may ask for: more processes than this are a typing error, whatever
/// the machine.
pub const INSTANCES_MAX: u32 = 10_000;

/// Most requests that an instance may be said to take at a time.
pub(crate) const CONCURRENCY_MAX: u64 = 1_000_000;

/// Longest time of a request: what fits into the milliseconds that activators are told.
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The stable windows that Knative allows.
const WINDOW: Shape =
    Shape::Time { least: Duration::from_secs(6), most: Duration::from_secs(3_600) };

const SOME_TIME: Shape = Shape::Time { least: Duration::from_millis(1), most: WAIT_MAX };

const ANY_TIME: Shape = Shape::Time { least: Duration::ZERO, most: WAIT_MAX };

const COUNT: Shape = Shape::Whole { least: 0, most: INSTANCES_MAX as u64 };

const TEXTS: Shape = Shape::List { of: &Shape::Text, most: LIST_MAX };

/// Longest name of a service: a number is added for its revisions, and both are a label.
const NAME_BYTES_MAX: usize = 50;

const NAME: Form = Form {
    pattern: "^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$",
    is: |text| is_label(text) && text.len() <= NAME_BYTES_MAX,
    expected: "a name of at most 50 lower-case letters, digits and hyphens",
};

const ROUTE_NAME: Form = Form {
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    is: is_label,
    expected: "a name of lower-case letters, digits and hyphens",
};

const VARIABLE: Form = Form {
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
    is: is_variable,
    expected: "a name of letters, digits and underscores",
};

const SETTING: Form = Form {
    pattern: "^[a-z0-9./-]+$",
    is: |text| {
        let is_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"./-".contains(&b);
        !text.is_empty() && text.bytes().all(is_byte)
    },
    expected: "a key of config-autoscaler, or an annotation of autoscaling.knative.dev",
};

const HOST: Form = Form {
    pattern: "^(\\*\\.)?[A-Za-z0-9_.-]+$|^\\[[0-9a-fA-F:.]+\\]$",
    is: |text| HostPattern::parse(text).is_ok(),
    expected: "a host without a port, such as shop.localhost or *.example.com",
};

const PATH: Form = Form {
    pattern: "^/",
    is: |text| PathRule::prefix(text).is_ok(),
    expected: "a path such as \"/\" or \"/api\"",
};

const ADDRESS: Form = Form {
    pattern: "^(.+:)?[0-9]{1,5}$",
    is: |text| address(text).is_some(),
    expected: "an address such as \"127.0.0.1:9000\", or a port of 127.0.0.1",
};

const READY: Form = Form {
    pattern: "^(tcp|/[!-~]*)$",
    is: |text| {
        text == "tcp" || (text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()))
    },
    expected: "\"tcp\", or a path such as \"/healthz\"",
};

/// Longest text that is looked for in a line of output.
const LINE_BYTES_MAX: usize = 500;

const LINE: Form = Form {
    pattern: "[^*\\s]",
    is: |text| {
        let says_something = text.chars().any(|c| c != '*' && !c.is_whitespace());
        says_something && text.len() <= LINE_BYTES_MAX && !text.contains(char::is_control)
    },
    expected: "a part of a line, at most 500 bytes, such as \"listening on port\"",
};

const MEMORY: Form = Form {
    pattern: "^[0-9]+(\\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$",
    is: |text| quantity::bytes(text).is_some(),
    expected: "memory as Kubernetes writes it, such as \"512Mi\" or \"1G\"",
};

const CPU: Form = Form {
    pattern: "^[0-9]+(\\.[0-9]+)?m?$",
    is: |text| quantity::cpu_millis(text).is_some(),
    expected: "processors as Kubernetes writes them, such as \"0.5\" or \"500m\"",
};

const USER: Form = Form {
    pattern: "^[A-Za-z0-9_.][A-Za-z0-9_.-]*(:[A-Za-z0-9_.][A-Za-z0-9_.-]*)?$",
    is: |text| {
        let is_name = |name: &str| {
            let is_byte = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
            !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_byte)
        };
        let (user, group) = text.split_once(':').unwrap_or((text, "0"));
        is_name(user) && is_name(group)
    },
    expected: "a user, or a user and a group, such as \"www-data\" or \"1000:1000\"",
};

const ORDER: Form = Form {
    pattern: "^(arrival|deadline|fair:(path|client-address|\
              (header|cookie):[A-Za-z0-9!#$%&'*+.^_`|~-]+))$",
    is: |text| queue::order(text).is_some(),
    expected: "\"arrival\", \"deadline\", or \"fair:\" and header:NAME, cookie:NAME, path or \
               client-address",
};

const CLASS: Form = Form {
    pattern: "^[A-Za-z0-9._-]+=([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|\
              655[0-2][0-9]|6553[0-5])$",
    is: |text| queue::class(text).is_some(),
    expected: "a name and a weight from 1 to 65535, such as \"gold=10\"",
};

const HEADER: Form = Form {
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    is: queue::is_token,
    expected: "the name of a header, such as \"x-request-class\"",
};

/// Where to listen: `HOST:PORT`, or a port of loopback.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    match text.parse::<u16>() {
        Ok(port) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse().ok(),
    }
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about }
}

/// The keys of a file.
pub(crate) const FILE: &[Key] = &[
    key(
        "listen",
        Shape::Either(&[Shape::Form(ADDRESS), Shape::Whole { least: 0, most: 65_535 }]),
        "Where clients of all services connect. Without it 127.0.0.1:8080, or a free port.",
    ),
    key("drain", ANY_TIME, "On Ctrl-C, how long requests in flight may take: 30s."),
    key(
        "service",
        Shape::ByName(NAME, &Shape::Table(SERVICE)),
        "The services, each as [service.NAME].",
    ),
    key(
        "route",
        Shape::ByName(ROUTE_NAME, &Shape::Foreign(Foreign::Route)),
        "Further routes, which divide requests between services.",
    ),
];

/// The keys of a service.
pub(crate) const SERVICE: &[Key] = &[
    key(
        "command",
        Shape::Either(&[Shape::Text, TEXTS]),
        "What is run: a line for a shell, or a list of a program and its arguments. {PORT} in it \
         becomes the port to listen on, as does the variable PORT.",
    ),
    key("directory", Shape::Text, "The folder that it runs in; that of this file by default."),
    key(
        "environment",
        Shape::Named(VARIABLE),
        "Variables. {PORT} in a value becomes the port to listen on.",
    ),
    key("env_files", TEXTS, "Files with variables, NAME=VALUE on each line; later ones win."),
    key("user", Shape::Form(USER), "Who runs it, and perhaps a group: root may say it."),
    key(
        "build",
        Shape::Either(&[Shape::Text, TEXTS, Shape::Table(BUILD)]),
        "What is run before the first instance of a revision: a line for a shell, a list, or a \
         Cloud Native Buildpack.",
    ),
    key(
        "port",
        Shape::Whole { least: 1, most: 65_535 },
        "The port that it listens on where it cannot be told another one: one instance at a time, \
         and a new revision once the old one has ended.",
    ),
    key(
        "protocol",
        Shape::Words(&["http", "tcp"]),
        "What its connections carry: http, or tcp for a protocol of its own, which needs a listen.",
    ),
    key(
        "concurrency",
        Shape::Either(&[Shape::Whole { least: 1, most: CONCURRENCY_MAX }, Shape::Words(&["auto"])]),
        "Requests that one instance takes at a time, or \"auto\"; unlimited when absent.",
    ),
    key("min", COUNT, "Fewest instances: 0."),
    key("max", Shape::Whole { least: 1, most: INSTANCES_MAX as u64 }, "Most instances: 10."),
    key(
        "initial",
        COUNT,
        "Instances to start with: 1, which shows whether it works; with 0 the first request starts \
         the first.",
    ),
    key("window", WINDOW, "The stable window, over which load is averaged: 60s."),
    key(
        "idle",
        ANY_TIME,
        "How long the last instance stays after the last request; half a window when absent.",
    ),
    key(
        "idle_mode",
        Shape::Words(&["stop", "freeze"]),
        "What becomes of instances that are not wanted: they end, or stand still in memory.",
    ),
    key(
        "ready",
        Shape::Either(&[Shape::Form(READY), Shape::OneOf(PROBE)]),
        "When an instance takes requests: once its port accepts connections (tcp), once it answers \
         a path with 200 to 399, once gRPC's health service says so, once a command ends well, or \
         once it has written a line.",
    ),
    key("start_timeout", SOME_TIME, "How long an instance may take to become ready: 60s."),
    key(
        "timeout",
        Shape::Time { least: Duration::from_millis(1), most: TIMEOUT_MAX },
        "How long a request may take, waiting for an instance included: 300s.",
    ),
    key("stop_timeout", ANY_TIME, "How long an instance may take to end on SIGTERM: 10s."),
    key(
        "abandoned",
        Shape::Words(&["hold", "release"]),
        "With a limit, what happens to a slot when its client disconnects while the app works.",
    ),
    key(
        "order",
        Shape::Form(ORDER),
        "Who goes first while several requests wait: \"arrival\", \"deadline\", whose response is \
         due first, or users in turn, such as \"fair:header:x-user\".",
    ),
    key(
        "classes",
        Shape::List { of: &Shape::Form(CLASS), most: CLASSES_MAX },
        "Classes of requests with their weights, such as \"gold=10\"; the last has those that name \
         none.",
    ),
    key(
        "class_header",
        Shape::Form(HEADER),
        "The header that names a request's class: X-Request-Class.",
    ),
    key(
        "limits",
        Shape::Table(LIMITS),
        "What one instance may use, where control groups can be had.",
    ),
    key("set", Shape::Named(SETTING), "Keys of config-autoscaler, and annotations."),
    key(
        "hosts",
        Shape::List { of: &Shape::Form(HOST), most: LIST_MAX },
        "Hosts of the common address that are its; NAME.localhost without hosts and path.",
    ),
    key(
        "path",
        Shape::Form(PATH),
        "The path that is its, with all below it; of every host where it has no hosts.",
    ),
    key(
        "listen",
        Shape::Either(&[Shape::Form(ADDRESS), Shape::Whole { least: 1, most: 65_535 }]),
        "An address of its own.",
    ),
    key(
        "rollout",
        Shape::Either(&[
            Shape::Words(&["when-ready", "replace"]),
            Shape::Foreign(Foreign::Rollout),
        ]),
        "How requests go to a new revision: all at once when it is ready, after the old one has \
         ended, or in shares.",
    ),
    key(
        "after",
        Shape::List { of: &Shape::Form(NAME), most: LIST_MAX },
        "Services that have to be ready before this one is started.",
    ),
];

const LIMITS: &[Key] = &[
    key("memory", Shape::Form(MEMORY), "Memory of one instance, such as \"512Mi\"."),
    key("cpu", Shape::Form(CPU), "Processors for one instance, such as \"0.5\" or \"500m\"."),
    key(
        "processes",
        Shape::Whole { least: 1, most: 1_000_000 },
        "Processes and threads of one instance.",
    ),
];

const BUILD: &[Key] = &[
    key("pack", Shape::Text, "Name of the image that `pack build` makes of the folder."),
    key("builder", Shape::Text, "The builder; that of pack's configuration when absent."),
];

const PROBE: &[Key] = &[
    key(
        "grpc",
        Shape::Either(&[Shape::Words(&[""]), Shape::Text]),
        "The service that gRPC's health service is asked about; empty for all of it.",
    ),
    key(
        "exec",
        Shape::Either(&[Shape::Text, TEXTS]),
        "A command that ends with 0 once the app is ready: a line for a shell, or a list of a \
         program and its arguments. {PORT} in it becomes the port of the instance.",
    ),
    key(
        "log",
        Shape::Form(LINE),
        "What a line of its output has in it once it is ready; * stands for anything, {PORT} for \
         the port of the instance.",
    ),
];

/// Keys that people bring from elsewhere, and what is said of them.
pub(crate) const REFUSED: &[(&str, &str)] = &[(
    "image",
    "images cannot be run here: expected a `command`, such as \"docker run --rm -p \
     127.0.0.1:{PORT}:8080 IMAGE\"",
)];
