//! Ten thousand instances of one revision. Each report once read all instances four times, so that
//! 8,000 of them cost 47 s of processor time for 3 s of reports, and from 3,000 on the controller
//! never caught up and stopped responding. Operations are counted here, not time.

use super::fixture::{Fixture, declaration, revision, stat};
use crate::event::{Effect, ServerMessage};
use crate::identity::ReporterId;

const INSTANCES: u64 = 10_000;
const SECONDS: u64 = 3;

fn lists(effects: &[Effect]) -> usize {
    let is_list = |effect: &&Effect| {
        matches!(effect, Effect::Send { message: ServerMessage::Endpoints { .. }, .. })
    };
    effects.iter().filter(is_list).count()
}

#[test]
fn a_report_costs_the_same_whatever_the_number_of_instances() {
    let mut world = Fixture::remote(declaration(10, "0"));
    world.activator();
    let mut told = 0;
    let mut streams: Vec<ReporterId> = Vec::new();
    for number in 0..INSTANCES {
        let stream = world.sidecar(&format!("w-{number}"));
        told += lists(&world.instance_reports(stream, stat(1, 1.0).ready()));
        streams.push(stream);
        if number % 100 == 0 {
            told += lists(&world.pass(5));
        }
    }
    for second in 0..SECONDS {
        for (number, stream) in (0_u64..).zip(&streams) {
            told += lists(&world.instance_reports(*stream, stat(2 + second, 1.0).ready()));
            if number % 100 == 99 {
                told += lists(&world.pass(10));
            }
        }
    }
    let instances = usize::try_from(INSTANCES).expect("small");
    let known = world.state.revisions.get(&revision()).expect("it is declared");
    let full_scans = known.instances.full_scans();
    // All are read to update activators, ten times a second at most, and never for a report.
    assert!(full_scans <= instances * 10, "{full_scans} for {instances} instances");
    // The last of them is whole, once all that there is to know is known.
    assert!(told <= 11, "{told} lists were told while they came");
    assert_eq!(world.state.statuses()[0].ready, u32::try_from(INSTANCES).expect("small"));
    world.recount();
}
