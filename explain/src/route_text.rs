//! Routes and their rollouts as text and as JSON.

use serde_json::json;
use tidegate_proto::routes::v1::{RevisionShare, RolloutPhase, RolloutStatus, RouteStatus};
use tidegate_routes::Share;

use crate::text::time;

/// Every route, with its hosts and path, and where its requests go.
pub fn table(routes: &[RouteStatus]) -> Vec<String> {
    if routes.is_empty() {
        return vec!["The controller has no routes: it is given a file with --routes.".to_owned()];
    }
    routes.iter().flat_map(route).collect()
}

/// One route, a line for each thing that can be said of it.
pub fn route(status: &RouteStatus) -> Vec<String> {
    let RouteStatus { name, hosts, path, answer, shares, rollout, led_by_shard } = status;
    let hosts = if hosts.is_empty() { "*".to_owned() } else { hosts.join(", ") };
    let mut lines = vec![format!("{name}  {hosts}  {path}")];
    if !answer.is_empty() {
        lines.push(format!("  {answer}"));
    }
    let width = shares.iter().map(|share| revision(share).chars().count()).max().unwrap_or(0);
    lines.extend(shares.iter().map(|share| {
        let percent = percent(share);
        format!("  {:width$}  {percent:>8}", revision(share))
    }));
    if *led_by_shard > 0 {
        let told = "does not answer: this is what the others' files say";
        lines.push(format!("  shard {led_by_shard}, which leads it, {told}"));
    }
    if let Some(rollout) = rollout {
        lines.push(format!("  {}: {}", phase(rollout), rollout.progress));
        if !rollout.last_change.is_empty() {
            let at = time(rollout.last_change_unix_ms);
            lines.push(format!("  {at}  {}", rollout.last_change));
        }
    }
    lines
}

/// One route, as JSON.
pub fn route_json(status: &RouteStatus) -> String {
    let share = |share: &RevisionShare| {
        let (revision, millionths) = (revision(share), share.millionths);
        json!({ "revision": revision, "millionths": millionths })
    };
    let rollout = status.rollout.as_ref().map(|rollout| {
        json!({
            "phase": phase(rollout).to_lowercase(),
            "new_permille": rollout.new_permille,
            "progress": rollout.progress,
            "last_change": rollout.last_change,
            "last_change_unix_ms": rollout.last_change_unix_ms,
        })
    });
    json!({
        "name": status.name,
        "hosts": status.hosts,
        "path": status.path,
        "answer": status.answer,
        "shares": status.shares.iter().map(share).collect::<Vec<_>>(),
        "rollout": rollout,
        "led_by_shard": status.led_by_shard,
    })
    .to_string()
}

fn revision(share: &RevisionShare) -> String {
    format!("{}/{}", share.namespace, share.name)
}

/// A share as people read it; what is none is shown as nothing.
fn percent(share: &RevisionShare) -> String {
    Share::from_millionths(share.millionths.into()).unwrap_or_default().to_string()
}

fn phase(rollout: &RolloutStatus) -> &'static str {
    match rollout.phase() {
        RolloutPhase::Unspecified => "Unknown",
        RolloutPhase::Waiting => "Waiting",
        RolloutPhase::Progressing => "Progressing",
        RolloutPhase::Paused => "Paused",
        RolloutPhase::Promoted => "Promoted",
        RolloutPhase::Returned => "Returned",
        RolloutPhase::Aborted => "Aborted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_told_with_its_shares_and_its_rollout() {
        let share = |name: &str, millionths| RevisionShare {
            namespace: "shop".into(),
            name: name.into(),
            millionths,
        };
        let rollout = RolloutStatus {
            phase: RolloutPhase::Paused.into(),
            new_permille: 3,
            progress: "Paused at 0.3 %.".into(),
            last_change: "It was ordered.".into(),
            last_change_unix_ms: 0,
        };
        let web = RouteStatus {
            name: "web".into(),
            path: "/*".into(),
            shares: vec![share("v1", 997_000), share("v12", 3_000)],
            rollout: Some(rollout),
            ..RouteStatus::default()
        };
        let told = table(std::slice::from_ref(&web));
        assert_eq!(
            told,
            [
                "web  *  /*",
                "  shop/v1     99.7 %",
                "  shop/v12     0.3 %",
                "  Paused: Paused at 0.3 %.",
                "  1970-01-01T00:00:00.000Z  It was ordered.",
            ]
        );
        assert!(route_json(&web).contains(r#""millionths":997000"#));
        assert!(table(&[])[0].contains("--routes"));
    }
}
