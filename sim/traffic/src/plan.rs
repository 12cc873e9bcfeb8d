//! A description resolved against a file: which of its fields are there, and where.

use crate::description::{Description, Kept, Measure, Sign, Stamped, Term};
use crate::field::Unit;
use crate::options::{Declared, TokenTimes};
use crate::pattern::Pattern;
use crate::rows::StampedAt;
use crate::table::Missing;

/// How to find the fields of a record.
#[derive(Debug, Clone)]
pub(crate) enum Finder {
    /// Variables of a pattern.
    Text(Pattern),
    /// Columns, where a header says which is which after this many lines.
    Columns { separator: u8, header_lines: u64 },
    /// Columns of a file with `#Fields:` lines.
    Directives,
    /// Keys of an object.
    Json,
    /// Keys of `key=value`.
    Pairs,
}

/// One part of a span: which field, of what, and whether it is taken away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) field: usize,
    pub(crate) measure: Measure,
    pub(crate) sign: Sign,
}

/// A moment: its fields, joined by a blank.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) fields: Vec<usize>,
    pub(crate) unit: Option<Unit>,
    pub(crate) at: StampedAt,
}

/// Which rows are requests.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) field: usize,
    pub(crate) values: &'static [&'static str],
    pub(crate) kept: Kept,
}

/// What a row is called whose revision has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unnamed {
    /// `unknown`.
    Unknown,
    /// The same as the first one that had a name.
    First,
    /// Nothing, as the file has it.
    AsItIs,
}

/// What is read of each record, and what for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) finder: Finder,
    /// The fields that are looked for in a record; everything else here points into them.
    pub(crate) fields: Vec<String>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) moments: Vec<Moment>,
    pub(crate) services: Vec<Vec<Part>>,
    pub(crate) totals: Vec<Vec<Part>>,
    pub(crate) revisions: Vec<usize>,
    pub(crate) unnamed: Unnamed,
    pub(crate) missing: Missing,
    pub(crate) tokens: Option<TokenTimes>,
    /// Whether decimals have a comma, as they do where columns are separated by semicolons.
    pub(crate) decimal_comma: bool,
    /// The tick to spread rows in, when stamps are coarse.
    pub(crate) spread_ns: Option<u64>,
    /// The key at which a missing time is told, and what to do about it.
    pub(crate) no_time: (&'static str, &'static str),
    /// The tick that stamps were cut to.
    pub(crate) tick_ns: u64,
    /// What was taken for granted.
    pub(crate) assumed: Vec<String>,
    /// Whether the unit of the service time is an assumption.
    pub(crate) unit_assumed: bool,
}

impl Plan {
    /// A plan that reads nothing yet.
    pub(crate) fn new(finder: Finder) -> Self {
        Plan {
            finder,
            fields: Vec::new(),
            filters: Vec::new(),
            moments: Vec::new(),
            services: Vec::new(),
            totals: Vec::new(),
            revisions: Vec::new(),
            unnamed: Unnamed::Unknown,
            missing: Missing::Dash,
            tokens: None,
            decimal_comma: false,
            spread_ns: None,
            no_time: ("", ""),
            tick_ns: 1,
            assumed: Vec::new(),
            unit_assumed: false,
        }
    }

    /// `description` where the fields that `has` knows are there.
    pub(crate) fn of(
        description: &Description,
        finder: Finder,
        has: &dyn Fn(&str) -> bool,
    ) -> Self {
        let mut plan = Plan::new(finder);
        for only in description.only {
            let field = plan.field(only.field);
            plan.filters.push(Filter { field, values: only.values, kept: only.kept });
        }
        for stamped in description.stamps.iter().filter(|s| s.fields.iter().all(|f| has(f))) {
            plan.moment(stamped);
        }
        for terms in description.services {
            if terms.iter().all(|term| has(term.field)) {
                let parts = plan.parts(terms);
                plan.services.push(parts);
            }
        }
        for terms in description.totals {
            if terms.iter().all(|term| has(term.field)) {
                let parts = plan.parts(terms);
                plan.totals.push(parts);
            }
        }
        for name in description.revision.iter().filter(|name| has(name)) {
            let field = plan.field(name);
            plan.revisions.push(field);
        }
        plan.no_time = (description.signature.first().unwrap_or(&""), description.no_time);
        if !description.assumed.is_empty() {
            plan.assumed.push(description.assumed.to_owned());
        }
        plan
    }

    /// The place of the field called `name`, new when it is not looked for yet.
    pub(crate) fn field(&mut self, name: &str) -> usize {
        if let Some(at) = self.fields.iter().position(|known| known == name) {
            return at;
        }
        self.fields.push(name.to_owned());
        self.fields.len() - 1
    }

    fn moment(&mut self, stamped: &Stamped) {
        let fields = stamped.fields.iter().map(|name| self.field(name)).collect();
        self.moments.push(Moment { fields, unit: stamped.unit, at: stamped.at });
    }

    fn parts(&mut self, terms: &[Term]) -> Vec<Part> {
        let part = |term: &Term| Part {
            field: self.field(term.field),
            measure: term.measure,
            sign: term.sign,
        };
        terms.iter().map(part).collect()
    }

    /// The plan as a user's declarations change it.
    pub(crate) fn declared(mut self, declared: &Declared) -> Self {
        if let Some(at) = declared.stamps {
            self.moments.iter_mut().for_each(|moment| moment.at = at);
            self.assumed.retain(|assumed| !assumed.contains("--stamps"));
        }
        if let Some(unit) = declared.time_unit {
            self.moments.iter_mut().for_each(|moment| moment.unit = Some(unit));
        }
        if let Some(unit) = declared.service_unit {
            for part in self.services.iter_mut().flatten() {
                if let Measure::Time(measured) = &mut part.measure {
                    *measured = unit;
                }
            }
            self.assumed.retain(|assumed| !assumed.contains("--service-unit"));
            self.unit_assumed = false;
        }
        self
    }

    /// Whether stamps are ends, of any row.
    pub(crate) fn stamped_at(&self) -> StampedAt {
        if self.moments.iter().any(|moment| moment.at == StampedAt::End) {
            StampedAt::End
        } else {
            StampedAt::Start
        }
    }

    /// The fields by which rows are requests.
    pub(crate) fn filtered_by(&self) -> String {
        self.names(&self.filters.iter().map(|filter| filter.field).collect::<Vec<_>>())
    }

    /// Whether its records are lines of text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.finder, Finder::Text(_))
    }

    /// Names of `fields`, joined.
    pub(crate) fn names(&self, fields: &[usize]) -> String {
        let names: Vec<&str> = fields.iter().map(|field| self.fields[*field].as_str()).collect();
        names.join(" and ")
    }
}
