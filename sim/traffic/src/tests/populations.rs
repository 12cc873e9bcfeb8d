//! Populations of functions: what is asked for comes out, the same each time.

use std::sync::Arc;

use tidegate_sim::arrival::{Arrival, Traffic};
use tidegate_sim::time::SimSpan;

use crate::population::{Choice, Population};
use crate::{Ahead, Generated, Merged, Portrait};

fn traffic(spec: &str, hours: u64) -> Arc<dyn Traffic> {
    Generated::shared(spec, 0, SimSpan::from_secs(hours * 3_600), 7).expect(spec)
}

fn played(traffic: &dyn Traffic) -> (Vec<Arrival>, Vec<String>) {
    let mut source = traffic.open().expect("it opens");
    let mut arrivals = Vec::new();
    while let Some(arrival) = source.next() {
        arrivals.push(arrival.expect("an arrival"));
        let known = source.names().len();
        assert!(known > arrivals.last().map_or(0, |it: &Arrival| it.revision.0 as usize));
    }
    (arrivals, source.names().iter().map(str::to_owned).collect())
}

#[test]
fn a_population_is_the_same_each_time_and_in_order() {
    let population = traffic("shop=population:300", 4);
    let (arrivals, names) = played(population.as_ref());
    assert!(arrivals.len() > 1_000, "{}", arrivals.len());
    assert!(arrivals.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!(names.iter().all(|name| name.starts_with("shop-")), "{names:?}");
    assert_eq!(played(population.as_ref()), (arrivals.clone(), names.clone()));
    assert_ne!(played(traffic("shop=population:301", 4).as_ref()).0, arrivals);
    // On a thread of its own too; with the names of each moment, as `played` sees to.
    assert_eq!(played(&Ahead::new(population)), (arrivals, names));
}

#[test]
fn merged_and_other_traffic_may_be_read_ahead() {
    let merged = || {
        let parts = vec![traffic("a=poisson:5", 1), traffic("b=population:50", 1)];
        Arc::new(Merged::new(parts)) as Arc<dyn Traffic>
    };
    assert_eq!(played(&Ahead::new(merged())), played(merged().as_ref()));
    // A reader that stops early leaves no thread waiting.
    let ahead = Ahead::new(traffic("poisson:1000", 100));
    let mut source = ahead.open().expect("it opens");
    assert!(source.next().is_some());
}

#[test]
fn rates_are_those_asked_for() {
    let choice = |mean_rate, most_rate| Choice { mean_rate, most_rate, ..Choice::default() };
    let chosen = |choice: &Choice| Population::measured().choose(choice, 1_000);
    let per_day = 86_400.0;
    let mean = chosen(&choice(Some(50.0 / per_day), None)).expect("it is possible").mean_rate();
    assert!((mean * per_day - 50.0).abs() < 1e-6, "{mean}");
    let seldom = chosen(&choice(None, Some(1.0 / 300.0))).expect("it is possible");
    assert!(seldom.mean_rate() < Population::measured().mean_rate() / 10.0);
    let portrait = Portrait::of(traffic("population:2000,most=12/h", 24).as_ref());
    let portrait = portrait.expect("it is read");
    let calls: u64 = portrait.functions.iter().map(|function| function.calls).sum();
    let expected = seldom.mean_rate() * per_day * 2_000.0;
    assert!((calls as f64 / expected - 1.0).abs() < 0.15, "{calls} of {expected}");
}

#[test]
fn functions_of_an_app_are_called_together_as_far_as_asked_for() {
    for (together, expected) in [(1.0, 0.75..1.01), (0.0, -0.1..0.2)] {
        let spec = format!("population:400,most=1/m,apps=4,together={together}");
        let portrait = Portrait::of(traffic(&spec, 8).as_ref()).expect("it is read");
        assert!((60..200).contains(&portrait.apps), "{}", portrait.apps);
        let found = portrait.together.expect("apps have several functions");
        assert!(expected.contains(&found), "{together}: {found}");
    }
}

#[test]
fn what_is_learnt_of_a_population_makes_one_like_it() {
    let portrait = Portrait::of(traffic("population:1500", 8).as_ref()).expect("it is read");
    let learnt = Population::from_portrait(&portrait).expect("there is enough");
    let share = learnt.periodic_share - Population::measured().periodic_share;
    assert!(share.abs() < 0.1, "{share}");
    let streams = tidegate_sim::random::Streams::new(11);
    let source = crate::population::PopulationSource::new(&learnt, 1_500, "x", 28_800.0, streams);
    let again = Portrait::of(&Once(std::sync::Mutex::new(Some(source)))).expect("it is read");
    let distance = portrait.distance(&again);
    let mut all = vec![distance.calls, distance.gap_variation, distance.clocks];
    all.extend(distance.dispersions);
    assert!(all.iter().all(|distance| *distance < 0.15), "{distance:?}");
}

/// Traffic that can be played once.
struct Once(std::sync::Mutex<Option<crate::population::PopulationSource>>);

impl Traffic for Once {
    fn open(
        &self,
    ) -> Result<Box<dyn tidegate_sim::ArrivalSource + Send>, tidegate_sim::SourceError> {
        let source = self.0.lock().expect("no test panicked").take();
        Ok(Box::new(source.ok_or("played before")?))
    }

    fn sha256(&self) -> String {
        String::new()
    }

    fn describe(&self) -> String {
        "once".to_owned()
    }
}

#[test]
fn mistakes_say_what_would_do() {
    let problem = |spec: &str| match Generated::new(spec, 0, SimSpan::from_secs(60), 1) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{spec} was accepted"),
    };
    for (spec, part) in [
        ("population:", "1 to 10000000 functions"),
        ("population:0", "1 to 10000000 functions"),
        ("population:many", "found 'many'"),
        ("population:10,mean=-1", "expected mean=RATE"),
        ("population:10,mean=5000", "at most 1000"),
        ("population:10,men=1", "`mean`"),
        ("population:10,most=1e-9", "as seldom"),
        ("population:10,apps=0", "apps= from 1 to 1000"),
        ("population:10,together=2", "together= from 0 to 1"),
        ("population:10,from=/nowhere/at.all", "cannot read"),
    ] {
        let found = problem(spec);
        assert!(found.contains(part), "{spec}: {found}");
    }
}
