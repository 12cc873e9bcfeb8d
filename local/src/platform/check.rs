//! What of a file can be known to go wrong before anything is started.

use tidegate_autoscaler::settings::ANNOTATION_PREFIX;
use tidegate_services::{FileError, Ready, Service, Services};

use super::declare::{Surroundings, program_in, settings};
use super::users;
use crate::settings::{SettingsError, check_command};

/// The program of Cloud Native Buildpacks.
const PACK: &str = "pack";

/// Settings that have a key of their own.
const KEYS: [(&str, &str); 4] = [
    ("min-scale", "min"),
    ("max-scale", "max"),
    ("initial-scale", "initial"),
    ("stable-window", "window"),
];

/// What is wrong with services on this machine: programs and folders that are not there, users that
/// cannot be had, settings that mean nothing.
#[must_use]
pub fn check(services: &Services, surroundings: &Surroundings) -> Vec<FileError> {
    let each = services.services.iter();
    each.flat_map(|(name, service)| {
        let told = check_service(service, surroundings).into_iter();
        told.map(|(key, what)| services.wrong(name, key, what)).collect::<Vec<_>>()
    })
    .collect()
}

fn check_service(service: &Service, surroundings: &Surroundings) -> Vec<(&'static str, String)> {
    let template = &service.template;
    let directory = surroundings.directory(template);
    let mut wrong = Vec::new();
    let is_there = directory.is_dir();
    if !is_there {
        wrong.push(("directory", format!("there is no folder {}", directory.display())));
    }
    // A build may make the program, and variables may say where programs are.
    let is_made = template.build.is_some() || template.variables.contains_key("PATH");
    if is_there
        && !is_made
        && let Err(error) = check_command(&program_in(&directory, &template.command))
    {
        wrong.push(("command", error.to_string()));
    }
    if let Some(build) = &template.build
        && is_there
        && let Err(error) = check_command(&program_in(&directory, &build.command))
    {
        wrong.push(("build", with_advice(&build.command, error.to_string())));
    }
    if let Ready::Exec(command) = &template.ready
        && is_there
        && !is_made
        && let Err(error) = check_command(&program_in(&directory, command))
    {
        wrong.push(("ready", error.to_string()));
    }
    if let Some(Err(error)) = template.user.as_deref().map(users::account) {
        wrong.push(("user", error.to_string()));
    }
    let settings = settings("checked", template, &service.scale, service.scale.initial);
    if let Err(error) = settings.declare() {
        wrong.extend(of_settings(error, service));
    }
    wrong
}

/// Where to get a program that builds.
fn with_advice(command: &[String], why: String) -> String {
    match command.first().map(String::as_str) {
        Some(PACK) => format!(
            "{why}\n  `pack` is the program of Cloud Native Buildpacks, and needs Docker or \
             Podman: https://buildpacks.io/docs/install-pack"
        ),
        _ => why,
    }
}

/// What is wrong with settings, by the keys of the file.
fn of_settings(error: SettingsError, service: &Service) -> Vec<(&'static str, String)> {
    let SettingsError::Values(violations) = error else {
        return vec![("set", error.to_string())];
    };
    let each = violations.as_slice().iter().map(|violation| {
        let bare = violation.key.strip_prefix(ANNOTATION_PREFIX).unwrap_or(&violation.key);
        let is_set = |name: &str| name.strip_prefix(ANNOTATION_PREFIX).unwrap_or(name) == bare;
        let own = KEYS.iter().find(|(setting, _)| *setting == bare).map(|(_, key)| *key);
        let own = own.filter(|_| !service.scale.set.iter().any(|(name, _)| is_set(name)));
        let what = format!("{bare} is \"{}\", expected {}", violation.value, violation.expected);
        (own.unwrap_or("set"), what)
    });
    each.collect()
}
