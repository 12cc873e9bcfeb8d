use super::*;

const LIMITS: Limits = Limits { bytes_max: 8 << 20, age_max: Duration::from_secs(24 * 3600) };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn put(outbox: &mut Outbox, number: u64) {
    outbox.put(vec![0; 1000], 10, number * 60_000);
}

/// An hour without a link, a message a minute, every second of it looked at.
#[test]
fn an_hour_without_a_link_loses_nothing_and_keeps_the_order() {
    let mut outbox = Outbox::new(LIMITS, Vec::new());
    let mut got = Vec::new();
    let mut attempts = 0;
    for second in 0..2 * 3600 {
        if second % 60 == 0 {
            put(&mut outbox, second / 60);
            assert!(outbox.make_room(second * 1000).is_empty());
        }
        while let Some(parcel) = outbox.take(at(second)) {
            let is_cut = (1800..5400).contains(&second);
            attempts += u32::from(is_cut);
            let outcome = if is_cut { Outcome::Retry { after: None } } else { Outcome::Taken };
            let chance = second * 7919;
            assert_eq!(outbox.ended(outcome, at(second), chance).is_some(), !is_cut);
            if !is_cut {
                got.push((parcel.sequence, second));
            }
        }
    }
    let sequences: Vec<u64> = got.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (0..120).collect::<Vec<_>>());
    // Between half a minute and a minute apart once the pause has grown.
    assert!((60..=140).contains(&attempts), "{attempts}");
    let first_after = got.iter().find(|(_, second)| *second >= 5400).expect("it is back").1;
    assert!(first_after <= 5400 + RETRY_MAX.as_secs(), "{first_after}");
    assert_eq!((outbox.bytes(), outbox.unsent().count()), (0, 0));
}

#[test]
fn without_room_the_past_becomes_coarser_and_not_shorter() {
    let bytes_max = 100 * (1000 + OVERHEAD_BYTES);
    let mut outbox = Outbox::new(Limits { bytes_max, ..LIMITS }, Vec::new());
    let mut gone = 0;
    for number in 0..150 {
        put(&mut outbox, number);
        gone += outbox.make_room(0).len();
        assert!(outbox.bytes() <= bytes_max);
    }
    let left: Vec<u64> = outbox.unsent().map(|parcel| parcel.sequence).collect();
    assert_eq!((left.len(), gone), (100, 50));
    assert!(left.is_sorted());
    let widest = left.windows(2).map(|pair| pair[1] - pair[0]).max().expect("a gap");
    assert!(widest <= 3 && left[0] <= 3, "{left:?}");
    assert_eq!(left[99], 149);
}

#[test]
fn what_is_too_old_goes_and_what_is_on_its_way_stays() {
    let mut outbox = Outbox::new(Limits { age_max: at(3600), ..LIMITS }, Vec::new());
    (0..3).for_each(|number| put(&mut outbox, number));
    let first = outbox.take(at(0)).expect("due");
    let later_ms = 3_600_000 + 90_000;
    let gone: Vec<u64> = outbox.make_room(later_ms).iter().map(|one| one.sequence).collect();
    assert_eq!((first.sequence, gone), (0, vec![1]));
    assert_eq!(outbox.ended(Outcome::Taken, at(1), 0).map(|one| one.sequence), Some(0));
    // A message that alone is more than there is room for goes as well.
    let mut small = Outbox::new(Limits { bytes_max: 10, ..LIMITS }, Vec::new());
    put(&mut small, 0);
    assert_eq!(small.make_room(0).len(), 1);
    assert_eq!((small.bytes(), small.due()), (0, None));
}

#[test]
fn a_receiver_may_ask_for_time_but_not_for_ever() {
    let mut outbox = Outbox::new(LIMITS, Vec::new());
    put(&mut outbox, 0);
    for (asked, due) in [(Some(at(42)), at(42)), (Some(at(1 << 40)), RETRY_AFTER_MAX)] {
        outbox.hurry();
        outbox.take(at(0)).expect("due");
        outbox.ended(Outcome::Retry { after: asked }, at(0), 0);
        assert_eq!(outbox.due(), Some(due));
        assert!(outbox.take(due - Duration::from_millis(1)).is_none());
    }
    outbox.take(at(601)).expect("due");
    assert_eq!(outbox.ended(Outcome::Refused, at(601), 0).map(|one| one.points), Some(10));
    assert_eq!(outbox.failures(), 0);
}

#[test]
fn what_was_left_comes_first() {
    let left: Vec<Parcel> = [7, 9]
        .map(|sequence| Parcel { sequence, body: Bytes::new(), points: 1, last_ms: 0 })
        .into();
    let mut outbox = Outbox::new(LIMITS, left);
    put(&mut outbox, 0);
    let order: Vec<u64> = outbox.unsent().map(|parcel| parcel.sequence).collect();
    assert_eq!(order, [7, 9, 10]);
}

/// Whatever happens, every point is taken, refused, gone or waiting.
#[test]
fn points_are_conserved() {
    let mut outbox = Outbox::new(Limits { bytes_max: 20_000, age_max: at(900) }, Vec::new());
    let (mut made, mut left) = (0, 0);
    let mut state = 1_u64;
    for second in 0..100_000 {
        // Knuth's constants: any sequence without a pattern will do.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = state >> 33;
        if chance.is_multiple_of(10) {
            made += chance % 7;
            outbox.put(vec![0; (chance % 3000) as usize], chance % 7, second * 1000);
            left += outbox.make_room(second * 1000).iter().map(|one| one.points).sum::<u64>();
        }
        outbox.take(at(second));
        if chance.is_multiple_of(3) {
            let outcome = match chance % 5 {
                0 => Outcome::Taken,
                1 => Outcome::Refused,
                _ => Outcome::Retry { after: None },
            };
            let ended = outbox.ended(outcome, at(second), chance);
            left += ended.map_or(0, |one| one.points);
        }
        let waiting: u64 = outbox.unsent().map(|one| one.points).sum();
        assert_eq!(made, left + waiting);
        assert!(outbox.bytes() <= 20_000 + 4_000);
    }
}
