//! Every sentence that an explanation can say, each beside a world in which it is said.
//!
//! The story: in the first two seconds of every life `explain` said that nothing had been reported
//! for longer than the stable window, which is a minute; of averages over three seconds it said
//! that they were over that window; and an activator that is always in the path was said to join
//! it. Reading on, more than half of the sentences said something that was not so somewhere.
//!
//! The table is a page of the book, `docs/explain.md`, and read from there.

#[path = "sentences/properties.rs"]
mod properties;
#[path = "sentences/rows.rs"]
mod rows;
#[path = "sentences/world.rs"]
mod world;

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../docs/explain.md");

/// The section that other tests hold, as it is of the controller.
const ELSEWHERE: &str = "## What is in the way";

/// The sentence of each world on the page.
fn page() -> BTreeMap<&'static str, &'static str> {
    let ours = PAGE.split(ELSEWHERE).next().unwrap_or_default();
    let cells = ours.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = cells.filter_map(|cells| cells.split_once(" | "));
    rows.filter(|(world, _)| *world != "world").collect()
}

#[test]
fn every_world_says_what_is_so_in_it() {
    let mut page = page();
    let mut wrong = Vec::new();
    for (world, tell) in rows::all() {
        let told = tell();
        let sentence = page.remove(world).unwrap_or("(the page has no such row)");
        if told != sentence {
            wrong.push(format!("{world}\n  says   {told}\n  should {sentence}"));
        }
    }
    wrong.extend(page.keys().map(|world| format!("{world}\n  is on the page only")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
