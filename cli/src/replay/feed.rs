//! Reads the traffic a little ahead of its time, on a thread of its own: a slow disk or a packed
//! trace delays no request.

use std::time::Duration;

use anyhow::bail;
use tidegate_replay::Due;
use tidegate_sim::arrival::ArrivalSource;
use tokio::sync::mpsc;

use super::target::Table;

/// Arrivals that are read ahead.
pub(crate) const READ_AHEAD: usize = 4_096;

/// Hands every arrival to `due` until there are no more, or nobody takes them.
pub(super) fn feed(
    mut source: Box<dyn ArrivalSource + Send>,
    table: &Table,
    due: &mpsc::Sender<Due>,
) -> anyhow::Result<()> {
    while let Some(arrival) = source.next() {
        let arrival = arrival.map_err(anyhow::Error::from_boxed)?;
        let name = source.names().name(arrival.revision);
        let Some(target) = table.of(name) else {
            bail!(
                "the traffic has requests of {name:?}, and no --to says where they go; \
                 add --to '{name}=URL', or --to URL for all others"
            );
        };
        let at = Duration::from_nanos(arrival.at.as_nanos());
        let service = arrival.service.map(|span| Duration::from_nanos(span.as_nanos()));
        if due.blocking_send(Due { at, target, service }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
