//! Several sites of a file, asked as one view that this process has for itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidegate_explain::Query;
use tidegate_sites::file::read;
use tidegate_sites::{Link, Office, SiteName, Sites};
use tokio::time::{Instant, timeout_at};

use tidegate_flags::ending::mistyped;

/// How long the first answers are waited for: of a site that is there they take milliseconds, and
/// one that is dead must not keep anybody from the others.
const FIRST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);

/// What a question and its answer may hold on their way within this process, in bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// Follows the sites of a file, and asks about all of them. Returns once each has answered or
/// cannot, or after two seconds: of `only`, if that is given.
pub(crate) async fn ask(
    file: &Path,
    interval: Duration,
    only: Option<&SiteName>,
) -> anyhow::Result<Query> {
    let sites = Sites::start(read(file).map_err(mistyped)?, BTreeMap::new(), interval);
    let mut changes = sites.changes();
    let deadline = Instant::now() + FIRST_ANSWERS_TIMEOUT;
    let is_awaited = || {
        let snapshot = sites.snapshot();
        let mut asked = snapshot.sites.iter().filter(|it| only.is_none_or(|only| it.name == *only));
        asked.any(|site| site.link == Link::Awaited)
    };
    while is_awaited() {
        if timeout_at(deadline, changes.changed()).await.is_err() {
            break;
        }
    }
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    // It ends with the stream, which the query holds.
    tokio::spawn(tidegate_controller::answer_by(Office::new(sites), theirs));
    Ok(Query::over_call(ours, "sites").await?)
}
