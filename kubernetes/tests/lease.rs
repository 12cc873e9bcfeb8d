//! Of many candidates two never decide at once, however late their requests are executed, and
//! whether or not the responses arrive.

use proptest::prelude::*;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes::lease::{Elector, LEASE_DURATION_MS, Lease, LeaseAction, RETRY_MS};
use tidegate_kubernetes::world::Version;

/// How long a request may take: see `REQUEST_TIMEOUT`.
const REQUEST_MS: u64 = 4_000;

/// The API server's part.
#[derive(Debug, Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    /// Writes a holder, if the Lease is still the one that was read.
    fn write(&mut self, read: Option<&Lease>, holder: &str) -> bool {
        if read.map(|lease| &lease.version) != self.lease.as_ref().map(|lease| &lease.version) {
            return false;
        }
        self.version += 1;
        self.lease = Some(Lease {
            holder: holder.to_owned(),
            version: Version(self.version.to_string()),
            transitions: 0,
            acquired: None,
        });
        true
    }
}

/// A write in flight.
struct Write {
    asked: Timestamp,
    read: Option<Lease>,
    arrives: Timestamp,
    /// When its response arrives; `None` when it is lost.
    heard: Option<Timestamp>,
    done: Option<bool>,
}

struct Candidate {
    elector: Elector,
    next_look: Timestamp,
    write: Option<Write>,
    /// It does nothing until then: its process was stopped.
    paused_until: Timestamp,
}

/// The random choices for one read of the Lease.
#[derive(Debug, Clone, Copy)]
struct Luck {
    to_server_ms: u64,
    back_ms: u64,
    response_is_lost: bool,
    pause_ms: u64,
}

/// What is asked is done and heard at once.
const GOOD: Luck = Luck { to_server_ms: 0, back_ms: 0, response_is_lost: false, pause_ms: 0 };

fn luck() -> impl Strategy<Value = Luck> {
    let pause = prop_oneof![8 => Just(0u64), 1 => 0..40_000u64];
    (0..REQUEST_MS, 0..REQUEST_MS, prop::bool::weighted(0.1), pause).prop_map(
        |(to_server_ms, back_ms, response_is_lost, pause_ms)| Luck {
            to_server_ms,
            back_ms: back_ms.min(REQUEST_MS - to_server_ms),
            response_is_lost,
            pause_ms,
        },
    )
}

fn name(number: usize) -> String {
    format!("controller-{number}")
}

impl Candidate {
    fn new(number: usize, now: Timestamp) -> Self {
        let elector = Elector::new(name(number));
        Self { elector, next_look: now, write: None, paused_until: now }
    }

    /// One hundredth of a second.
    fn step(
        &mut self,
        now: Timestamp,
        server: &mut Server,
        lucks: &mut impl Iterator<Item = Luck>,
    ) {
        if let Some(write) = &mut self.write
            && write.done.is_none()
            && now >= write.arrives
        {
            write.done = Some(server.write(write.read.as_ref(), &self.elector.me));
        }
        if now < self.paused_until {
            return;
        }
        if let Some(write) = &self.write {
            if write.heard.is_some_and(|heard| now >= heard) {
                match write.done {
                    Some(true) => self.elector.held(write.asked),
                    _ => self.elector.refused(),
                }
                self.write = None;
            } else if write.heard.is_none() && now.millis_since(write.asked) >= REQUEST_MS {
                self.write = None;
            }
            return;
        }
        let Some(luck) = (now >= self.next_look).then(|| lucks.next()).flatten() else { return };
        self.next_look = now.plus_millis(RETRY_MS);
        self.paused_until = now.plus_millis(luck.pause_ms);
        let read = server.lease.clone();
        if self.elector.evaluate(now, read.clone()) != LeaseAction::Wait {
            let arrives = now.plus_millis(luck.to_server_ms);
            let heard = arrives.plus_millis(luck.back_ms);
            let heard = (!luck.response_is_lost).then_some(heard);
            self.write = Some(Write { asked: now, read, arrives, heard, done: None });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn two_candidates_never_decide_at_once(lucks in prop::collection::vec(luck(), 40..120)) {
        let mut now = Timestamp::from_secs(1_800_000_000);
        let mut server = Server::default();
        let mut candidates: Vec<Candidate> = (0..3).map(|n| Candidate::new(n, now)).collect();
        // What has gone wrong for a while goes right from then on, and somebody decides.
        let mut lucks = lucks.into_iter().chain(std::iter::repeat(GOOD));
        let mut terms = 0;
        for _ in 0..12_000 {
            for (number, candidate) in candidates.iter_mut().enumerate() {
                candidate.step(now, &mut server, &mut lucks);
                if candidate.elector.has_lost(now) && now >= candidate.paused_until {
                    // Its process has ended, and another begins under another name.
                    *candidate = Candidate::new(number + 10, now);
                }
            }
            let deciding = candidates.iter().filter(|c| c.elector.decides(now)).count();
            prop_assert!(deciding <= 1, "{deciding} decide");
            terms += usize::from(deciding == 1);
            now = now.plus_millis(10);
        }
        prop_assert!(terms > 0, "nobody ever decides");
    }
}

#[test]
fn a_single_candidate_leads_at_once_and_keeps_the_lease() {
    let mut now = Timestamp::from_secs(1_800_000_000);
    let mut server = Server::default();
    let mut elector = Elector::new(name(1));
    assert_eq!(elector.evaluate(now, None), LeaseAction::Create);
    assert!(server.write(None, &name(1)));
    elector.held(now);
    for _ in 0..100 {
        assert!(elector.decides(now));
        now = now.plus_millis(RETRY_MS);
        let lease = server.lease.clone().expect("it was written");
        assert_eq!(elector.evaluate(now, Some(lease.clone())), LeaseAction::Renew(lease.clone()));
        assert!(server.write(Some(&lease), &name(1)));
        elector.held(now);
    }
}

#[test]
fn an_unrenewed_lease_is_taken_after_its_duration_on_the_own_clock() {
    let begin = Timestamp::from_secs(1_800_000_000);
    let mut server = Server::default();
    assert!(server.write(None, "gone"));
    let mut elector = Elector::new(name(2));
    let lease = server.lease.clone();
    assert_eq!(elector.evaluate(begin, lease.clone()), LeaseAction::Wait);
    let before = begin.plus_millis(LEASE_DURATION_MS - 1);
    assert_eq!(elector.evaluate(before, lease.clone()), LeaseAction::Wait);
    let after = begin.plus_millis(LEASE_DURATION_MS);
    assert!(matches!(elector.evaluate(after, lease), LeaseAction::Acquire(_)));
}
