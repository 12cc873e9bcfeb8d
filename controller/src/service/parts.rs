//! A list of revisions in parts of bounded length.

use tidegate_proto::LIST_PART_BYTES;
use tidegate_proto::scale::v1 as wire;

/// What a revision takes beside its texts, in bytes: its numbers, with room to spare.
const NUMBERS_BYTES: usize = 192;

/// The list in parts, in its order. An empty list is one part, as a stream without any says
/// nothing.
#[must_use = "nothing is sent yet"]
pub fn parts(
    revisions: Vec<wire::RevisionStatus>,
) -> impl Iterator<Item = wire::ListRevisionsResponse> + Send {
    let mut rest = revisions.into_iter().peekable();
    let mut is_first = true;
    std::iter::from_fn(move || {
        let mut part = Vec::new();
        let mut bytes = 0;
        while let Some(next) =
            rest.next_if(|next| part.is_empty() || bytes + size(next) <= LIST_PART_BYTES)
        {
            bytes += size(&next);
            part.push(next);
        }
        let is_something = is_first || !part.is_empty();
        is_first = false;
        let sites = Vec::new();
        is_something.then_some(wire::ListRevisionsResponse { revisions: part, sites })
    })
}

fn size(status: &wire::RevisionStatus) -> usize {
    NUMBERS_BYTES + status.namespace.len() + status.name.len() + status.last_reason.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_revision_is_in_one_part_and_parts_are_short() {
        let revision = |nth: usize| wire::RevisionStatus {
            name: format!("app-{nth}"),
            last_reason: "x".repeat(nth % 700),
            ..Default::default()
        };
        let all: Vec<_> = (0..1_000).map(revision).collect();
        let told: Vec<_> = parts(all.clone()).collect();
        assert!(told.len() > 10 && told.len() < 50, "{}", told.len());
        for part in &told {
            let bytes: usize = part.revisions.iter().map(size).sum();
            assert!(bytes <= LIST_PART_BYTES, "{bytes}");
        }
        let told: Vec<_> = told.into_iter().flat_map(|part| part.revisions).collect();
        assert_eq!(told, all);
    }

    #[test]
    fn what_is_long_is_a_part_of_its_own_and_nothing_is_one_part() {
        let long = wire::RevisionStatus {
            last_reason: "x".repeat(2 * LIST_PART_BYTES),
            ..Default::default()
        };
        assert_eq!(parts(vec![long.clone(), long]).count(), 2);
        assert_eq!(parts(Vec::new()).count(), 1);
    }
}
