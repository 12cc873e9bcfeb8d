//! What has changed between two files.

use std::fmt;

use crate::service::Services;

/// What has changed between two files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Services that are new.
    pub added: Vec<String>,
    /// Services that are gone.
    pub removed: Vec<String>,
    /// Services that are to be otherwise, and in what.
    pub changed: Vec<(String, Vec<Part>)>,
    /// What concerns all: the routes besides those of services, and how long the end may take.
    pub common: Vec<Common>,
}

/// A part of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What its instances are.
    Template,
    /// How many of them there are.
    Scale,
    /// Whose turn it is while several requests wait.
    Queue,
    /// How requests come to it.
    Entrance,
    /// How requests go from one revision to the next.
    Rollout,
    /// Who has to be ready before it.
    After,
}

/// What concerns all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// Where clients connect, which stays as it was until the end.
    Listen,
    /// How long the end may take.
    Drain,
    /// Routes besides those of services.
    Routes,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Template => "a new revision",
            Self::Scale => "its scale",
            Self::Queue => "its queue",
            Self::Entrance => "its routes",
            Self::Rollout => "its rollout",
            Self::After => "whom it is started after",
        })
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen => "`listen` is followed at the next start",
            Self::Drain => "how long the end may take",
            Self::Routes => "the routes",
        })
    }
}

impl Difference {
    /// What has changed from one file to the other.
    #[must_use]
    pub fn between(before: &Services, now: &Services) -> Self {
        let (old, new) = (&before.services, &now.services);
        let parts = |name: &String| {
            let (old, new) = (old.get(name)?, new.get(name)?);
            let all = [
                (Part::Template, old.template != new.template),
                (Part::Scale, old.scale != new.scale),
                (Part::Queue, old.queue != new.queue),
                (Part::Entrance, old.entrance != new.entrance),
                (Part::Rollout, old.rollout != new.rollout),
                (Part::After, old.after != new.after),
            ];
            let parts: Vec<Part> =
                all.into_iter().filter(|(_, is)| *is).map(|(of, _)| of).collect();
            (!parts.is_empty()).then(|| (name.clone(), parts))
        };
        let common = [
            (Common::Listen, before.listen != now.listen),
            (Common::Drain, before.drain != now.drain),
            (Common::Routes, before.routes != now.routes),
        ];
        Self {
            added: new.keys().filter(|name| !old.contains_key(*name)).cloned().collect(),
            removed: old.keys().filter(|name| !new.contains_key(*name)).cloned().collect(),
            changed: new.keys().filter_map(parts).collect(),
            common: common.into_iter().filter(|(_, is)| *is).map(|(of, _)| of).collect(),
        }
    }

    /// Whether nothing has changed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
