//! Queueing theory: exact results for simple models.

use crate::{Allowed, Case, Check, batches, mean_and_error};
use tidegate_sim::distribution::Distribution;
use tidegate_sim::scenario::{Contention, PolicyChoice, RevisionModel};
use tidegate_sim::time::SimSpan;

const GROUP: &str = "closed forms";
/// Mean service time of all cases, seconds.
const SERVICE_S: f64 = 0.1;
/// What a closed form allows: one per cent, or three standard errors.
const ONE_PER_CENT: Allowed = Allowed::Share(0.01);

/// Instances, requests per second: loads of 70 to 95 %.
const M_M_C: [(u32, f64); 9] = [
    (1, 7.0),
    (2, 14.0),
    (5, 35.0),
    (5, 45.0),
    (10, 70.0),
    (10, 90.0),
    (20, 180.0),
    (50, 450.0),
    (100, 950.0),
];

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    let mut cases: Vec<(&'static str, Case)> = Vec::new();
    for (instances, rate) in M_M_C {
        cases.push((GROUP, m_m_c(instances, rate)));
        cases.push((GROUP, erlang_b(instances, rate)));
    }
    for load in [0.5, 0.7, 0.9] {
        cases.push((GROUP, m_d_1(load)));
        for law in ["const:100ms", "exp:100ms", "lognormal:100ms,150ms"] {
            cases.push((GROUP, processor_sharing(load, law)));
        }
    }
    cases.push((GROUP, unlimited()));
    for (idle_s, gap_s) in [(60.0, 60.0), (60.0, 120.0), (60.0, 300.0), (600.0, 300.0)] {
        cases.push((GROUP, keep_alive(idle_s, gap_s)));
    }
    cases
}

/// The chance that an arrival finds all of `instances` busy and is lost, at `load` Erlang.
pub(crate) fn erlang_b_formula(instances: u32, load: f64) -> f64 {
    (1..=instances).fold(1.0, |lost, n| load * lost / (f64::from(n) + load * lost))
}

/// The chance that an arrival finds all of `instances` busy and waits, at `load` Erlang.
pub(crate) fn erlang_c_formula(instances: u32, load: f64) -> f64 {
    let lost = erlang_b_formula(instances, load);
    let busy = load / f64::from(instances);
    lost / (1.0 - busy * (1.0 - lost))
}

/// Long enough for the queue's empty start to lose its influence: some relaxation times of M/M/c.
fn warm_up_s(instances: u32, rate: f64) -> f64 {
    let busy = rate * SERVICE_S / f64::from(instances);
    let relaxation = SERVICE_S / f64::from(instances) / (1.0 - libm::sqrt(busy)).powi(2);
    10.0 * relaxation.max(SERVICE_S)
}

fn m_m_c(instances: u32, rate: f64) -> Case {
    Box::new(move |options| {
        let load = rate * SERVICE_S;
        let waits = erlang_c_formula(instances, load);
        let spare = f64::from(instances) / SERVICE_S - rate;
        let mean_ms = waits / spare * 1e3;
        let p99_ms = libm::log(waits / 0.01) / spare * 1e3;
        let model = RevisionModel::service_station(instances, Distribution::exponential(SERVICE_S));
        let case = format!("M/M/{instances} at {rate} rps, exponential service of 100 ms");
        let results = batches(options, &case, &model, rate, warm_up_s(instances, rate))?;
        let source = "Erlang C";
        let (mean, mean_error) = mean_and_error(&results, |r| r.wait_ms.mean);
        let (p99, p99_error) = mean_and_error(&results, |r| r.wait_ms.p99);
        Ok(vec![
            Check::new(GROUP, &case, "mean wait, ms", mean_ms, mean)
                .with_error(mean_error)
                .from(source)
                .within(ONE_PER_CENT),
            Check::new(GROUP, &case, "p99 wait, ms", p99_ms, p99)
                .with_error(p99_error)
                .from(source)
                .within(ONE_PER_CENT),
        ])
    })
}

fn erlang_b(instances: u32, rate: f64) -> Case {
    Box::new(move |options| {
        let mut model =
            RevisionModel::service_station(instances, Distribution::exponential(SERVICE_S));
        model.front_door_capacity = 0;
        let case = format!("M/M/{instances}/{instances} at {rate} rps, no line");
        let results = batches(options, &case, &model, rate, warm_up_s(instances, rate))?;
        let (lost, error) =
            mean_and_error(&results, |r| r.rejected as f64 / r.requests.max(1) as f64);
        let expected = erlang_b_formula(instances, rate * SERVICE_S);
        Ok(vec![
            Check::new(GROUP, &case, "share lost", expected, lost)
                .with_error(error)
                .from("Erlang B")
                .within(ONE_PER_CENT),
        ])
    })
}

fn m_d_1(load: f64) -> Case {
    Box::new(move |options| {
        let service = Distribution::constant(SimSpan::from_secs_f64(SERVICE_S));
        let rate = load / SERVICE_S;
        let case = format!("M/D/1 at {:.0} % load", load * 100.0);
        let results = batches(
            options,
            &case,
            &RevisionModel::service_station(1, service),
            rate,
            warm_up_s(1, rate),
        )?;
        let expected = load / (2.0 * (1.0 - load));
        let (wait, error) = mean_and_error(&results, |r| r.wait_ms.mean / 1e3 / SERVICE_S);
        Ok(vec![
            Check::new(GROUP, &case, "wait over service", expected, wait)
                .with_error(error)
                .from("Pollaczek-Khinchine")
                .within(ONE_PER_CENT),
        ])
    })
}

fn processor_sharing(load: f64, law: &'static str) -> Case {
    Box::new(move |options| {
        let service = Distribution::parse(law, &|_| Err(std::io::ErrorKind::NotFound.into()))
            .map_err(|error| tidegate_sim::engine::RunError::Model(error.to_string()))?;
        let model = RevisionModel {
            concurrency: 0,
            contention: Contention::ProcessorSharing { cores: 1.0 },
            ..RevisionModel::service_station(1, service)
        };
        let rate = load / SERVICE_S;
        let case = format!("M/G/1 processor sharing at {:.0} % load, {law}", load * 100.0);
        let results = batches(options, &case, &model, rate, warm_up_s(1, rate))?;
        let (stretch, error) = mean_and_error(&results, |r| r.latency_ms.mean / 1e3 / SERVICE_S);
        Ok(vec![
            Check::new(GROUP, &case, "time over service", 1.0 / (1.0 - load), stretch)
                .with_error(error)
                .from("T/S = 1/(1 - load) for any law")
                .within(ONE_PER_CENT),
        ])
    })
}

fn unlimited() -> Case {
    Box::new(move |options| {
        let service = Distribution::log_normal(SERVICE_S, 0.15);
        let model = RevisionModel { concurrency: 0, ..RevisionModel::service_station(1, service) };
        let case = "M/G/infinity at 50 rps, log-normal service of 100 ms";
        let results = batches(options, case, &model, 50.0, 0.0)?;
        let (concurrency, error) = mean_and_error(&results, |r| r.extra.concurrency_mean);
        // Little's law holds on every run, to the rounding of doubles.
        let worst = results.iter().map(little_error).fold(0.0, f64::max);
        Ok(vec![
            Check::new(GROUP, case, "mean concurrency", 50.0 * SERVICE_S, concurrency)
                .with_error(error)
                .from("Poisson of rate times service")
                .within(ONE_PER_CENT),
            Check::new(GROUP, case, "Little's law, share off", 0.0, worst)
                .from("area under concurrency = time in system")
                .within(Allowed::Absolute(1e-12)),
        ])
    })
}

/// By how much concurrency times time differs from the time that requests were in the system.
fn little_error(result: &tidegate_sim::result::SimResult) -> f64 {
    let area = result.extra.concurrency_mean * result.simulated_seconds;
    (area / result.extra.time_in_system_seconds - 1.0).abs()
}

fn keep_alive(idle_s: f64, gap_s: f64) -> Case {
    Box::new(move |options| {
        let model = RevisionModel {
            policy: PolicyChoice::KeepAlive(SimSpan::from_secs_f64(idle_s)),
            service: Distribution::constant(SimSpan::from_micros(1)),
            ..RevisionModel::service_station(1, Distribution::exponential(SERVICE_S))
        };
        // Simulated time is idle for the most part, so a million requests take little.
        let fewer =
            super::ValidateOptions { requests: options.requests.min(4_000_000), ..options.clone() };
        let rate = 1.0 / gap_s;
        let case = format!("keep-alive of {idle_s} s, one request in {gap_s} s");
        let results = batches(&fewer, &case, &model, rate, 0.0)?;
        let share =
            |r: &tidegate_sim::result::SimResult| r.cold_starts as f64 / r.requests.max(1) as f64;
        let (cold, cold_error) = mean_and_error(&results, share);
        let alive =
            |r: &tidegate_sim::result::SimResult| r.instance_seconds / r.requests.max(1) as f64;
        let (seconds, seconds_error) = mean_and_error(&results, alive);
        let expected = libm::exp(-rate * idle_s);
        Ok(vec![
            Check::new(GROUP, &case, "share of cold starts", expected, cold)
                .with_error(cold_error)
                .from("exp(-lambda T)")
                .within(ONE_PER_CENT),
            Check::new(
                GROUP,
                &case,
                "instance seconds per request",
                (1.0 - expected) / rate,
                seconds,
            )
            .with_error(seconds_error)
            .from("(1 - exp(-lambda T)) / lambda")
            .within(ONE_PER_CENT),
        ])
    })
}
