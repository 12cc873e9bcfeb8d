//! Peers that take turns, and what each turn cost them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};

use super::load;
use super::process::{Cpu, Peer};
use super::report::median;

/// Runs `work` against every peer in turn, `rounds` times, and gives back each one's processor time
/// per unit of work, round by round.
///
/// # Errors
/// When the work fails, or a peer is gone.
pub async fn costs<F>(
    peers: &[Peer],
    rounds: usize,
    mut work: impl FnMut(SocketAddr) -> F,
) -> anyhow::Result<Vec<Vec<Cpu>>>
where
    F: Future<Output = anyhow::Result<f64>>,
{
    let mut costs = vec![Vec::new(); peers.len()];
    for round in 0..=rounds {
        for (peer, costs) in peers.iter().zip(&mut costs) {
            let before = peer.cpu()?;
            let units = work(peer.address).await.with_context(|| peer.name.clone())?;
            // The first round only warms up.
            if round > 0 {
                costs.push(peer.cpu()?.since(before, units));
            }
        }
    }
    Ok(costs)
}

/// Sends requests for `time`, and gives back how many were answered.
///
/// # Errors
/// When one was not.
pub async fn requests(
    address: SocketAddr,
    connections: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let tally = load::closed_loop(address, connections, time).await;
    if tally.failures > 0 {
        bail!("{} requests failed", tally.failures);
    }
    Ok(tally.answers as f64)
}

/// The median of all rounds.
pub fn total(costs: &[Cpu]) -> f64 {
    median(&costs.iter().map(|cost| cost.total_us).collect::<Vec<_>>())
}

/// A row for each peer: its name, the parts of its cost, the whole, and the whole as a multiple of
/// nginx's.
pub fn cost_rows(peers: &[Peer], costs: &[Vec<Cpu>]) -> Vec<Vec<String>> {
    let nginx = peers
        .iter()
        .position(|peer| peer.name == "nginx")
        .and_then(|index| costs.get(index))
        .map(|costs| total(costs));
    let middle =
        |costs: &[Cpu], part: fn(&Cpu) -> f64| median(&costs.iter().map(part).collect::<Vec<_>>());
    peers
        .iter()
        .zip(costs)
        .map(|(peer, costs)| {
            let whole = total(costs);
            let ratio = nginx.map_or(String::new(), |nginx| format!("{:.2}", whole / nginx));
            vec![
                peer.name.clone(),
                format!("{:.2}", middle(costs, |cost| cost.user_us)),
                format!("{:.2}", middle(costs, |cost| cost.system_us)),
                format!("{whole:.2}"),
                ratio,
            ]
        })
        .collect()
}
