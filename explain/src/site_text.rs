//! Several sites as text and as JSON: their revisions, and those sites that do not answer.

use serde_json::{Value, json};
use tidegate_proto::scale::v1::{ListRevisionsResponse, RevisionStatus, SiteLink, SiteStatus};

use crate::text::{status_json, time, wanted};

/// What a view told, as lines: a row for each revision with its site, then a line for each site
/// whose rows are old, not there, or not all.
pub fn table(told: &ListRevisionsResponse) -> Vec<String> {
    let rows: Vec<[String; 7]> = told.revisions.iter().map(row).collect();
    let headings = ["SITE", "REVISION", "WANTED", "READY", "IN FLIGHT", "WAITING", "WHY"];
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(headings[column].len())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: [&str; 7]| {
        let padded =
            cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                6 => (*cell).to_owned(),
                _ => format!("{cell:>width$}"),
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = Vec::new();
    if !rows.is_empty() {
        lines.push(line(headings));
        lines.extend(rows.iter().map(|row| line(std::array::from_fn(|nth| row[nth].as_str()))));
    }
    lines.extend(told.sites.iter().filter_map(remark));
    if lines.is_empty() {
        lines.push("No site knows a revision yet.".to_owned());
    }
    lines
}

fn row(status: &RevisionStatus) -> [String; 7] {
    let RevisionStatus { site, namespace, name, ready, in_flight, waiting, .. } = status;
    [
        site.clone(),
        format!("{namespace}/{name}"),
        wanted(status.desired),
        ready.to_string(),
        in_flight.to_string(),
        waiting.to_string(),
        status.last_reason.clone(),
    ]
}

/// What there is to say of a site beside its rows; nothing of one that answers with all it has.
pub fn remark(site: &SiteStatus) -> Option<String> {
    let SiteStatus { name, why, left_out, .. } = site;
    match site.link() {
        SiteLink::Up if *left_out == 0 => None,
        SiteLink::Up => Some(format!("{name}: {left_out} more revisions are not shown")),
        SiteLink::Awaited | SiteLink::Unspecified => Some(format!("{name}: not heard of yet")),
        SiteLink::Cut => {
            let since = time(site.since_unix_ms);
            let old = match site.told_unix_ms {
                0 => String::new(),
                told => format!("; its rows are of {}", time(told)),
            };
            Some(format!("{name}: no answer since {since}{old}: {why}"))
        }
    }
}

/// What a view told, as JSON, an object a line: each revision with its site and when that was so,
/// and each site that does not answer.
pub fn json(told: &ListRevisionsResponse) -> Vec<String> {
    let revisions = told.revisions.iter().map(|status| {
        let site = told.sites.iter().find(|site| site.name == status.site);
        let mut json: Value = serde_json::from_str(&status_json(status)).unwrap_or_default();
        if let (Some(site), Some(object)) = (site, json.as_object_mut()) {
            object.insert("told_unix_ms".to_owned(), site.told_unix_ms.into());
            object.insert("is_old".to_owned(), (site.link() != SiteLink::Up).into());
        }
        json.to_string()
    });
    let silent = told.sites.iter().filter(|site| site.link() != SiteLink::Up).map(|site| {
        json!({
            "site": site.name,
            "link": if site.link() == SiteLink::Cut { "cut" } else { "awaited" },
            "since_unix_ms": site.since_unix_ms,
            "told_unix_ms": (site.told_unix_ms != 0).then_some(site.told_unix_ms),
            "why": site.why,
        })
        .to_string()
    });
    revisions.chain(silent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> ListRevisionsResponse {
        let revision = |site: &str, name: &str| RevisionStatus {
            site: site.into(),
            namespace: "prod".into(),
            name: name.into(),
            desired: 2,
            last_reason: "because".into(),
            ..Default::default()
        };
        let site = |name: &str, link: SiteLink| SiteStatus {
            name: name.into(),
            link: link.into(),
            since_unix_ms: 60_000,
            ..Default::default()
        };
        let (why, told_unix_ms) = ("it hung up".into(), 30_000);
        ListRevisionsResponse {
            revisions: vec![revision("oslo", "web"), revision("paris", "api")],
            sites: vec![
                SiteStatus { why, told_unix_ms, ..site("oslo", SiteLink::Cut) },
                SiteStatus { left_out: 3, ..site("paris", SiteLink::Up) },
                site("rome", SiteLink::Awaited),
                site("york", SiteLink::Up),
            ],
        }
    }

    #[test]
    fn rows_have_their_site_and_silent_sites_are_named() {
        assert_eq!(
            table(&told()),
            [
                "SITE   REVISION  WANTED  READY  IN FLIGHT  WAITING  WHY",
                "oslo   prod/web       2      0          0        0  because",
                "paris  prod/api       2      0          0        0  because",
                "oslo: no answer since 1970-01-01T00:01:00.000Z; its rows are of \
                 1970-01-01T00:00:30.000Z: it hung up",
                "paris: 3 more revisions are not shown",
                "rome: not heard of yet",
            ]
        );
        assert_eq!(table(&ListRevisionsResponse::default()), ["No site knows a revision yet."]);
    }

    #[test]
    fn programs_are_told_what_is_old_and_who_is_silent() {
        let lines: Vec<Value> = json(&told())
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_default())
            .collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((&lines[0]["site"], &lines[0]["is_old"]), (&"oslo".into(), &true.into()));
        assert_eq!((&lines[1]["site"], &lines[1]["is_old"]), (&"paris".into(), &false.into()));
        assert_eq!((&lines[2]["link"], &lines[2]["why"]), (&"cut".into(), &"it hung up".into()));
        assert_eq!((&lines[3]["site"], &lines[3]["told_unix_ms"]), (&"rome".into(), &Value::Null));
    }
}
