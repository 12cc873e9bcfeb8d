//! Finds the services that run on this machine, and speaks to the processes that run them.

use anyhow::{Context, anyhow};
use tidegate_explain::query::RESPONSE_TIMEOUT;
use tidegate_local::presence::{self, Presence};
use tidegate_proto::operate::v1 as wire;
use tidegate_proto::operate::v1::operate_service_client::OperateServiceClient;
use tidegate_reporter::transport::{self, Connection};
use tidegate_words::{did_you_mean, excerpt, shorten, with_causes};
use tokio::net::UnixStream;

use tidegate_flags::ending::Absent;

/// Longest answer that is read: ten thousand instances, and the reasons of a thousand services.
const RESPONSE_BYTES_MAX: usize = 16 << 20;

/// What requests over a socket name as their host; it leads nowhere.
const ORIGIN: &str = "http://localhost";

/// A process that runs services.
pub(super) struct Run {
    /// Its id.
    pub(super) pid: i32,
    /// A connection to it.
    pub(super) client: OperateServiceClient<Connection>,
}

/// A service, and the process that runs it.
pub(super) struct Found {
    /// Who runs it.
    pub(super) run: Run,
    /// How it does.
    pub(super) service: wire::ServiceStatus,
    /// When that was so, by the clock of the run.
    pub(super) unix_ms: i64,
}

/// What all verbs say when there is nothing to ask.
fn nothing_runs() -> anyhow::Error {
    let problem = "no service runs here: nothing of this user was started on this machine with \
                   `tidegate run`";
    Absent(problem.to_owned()).into()
}

impl Run {
    /// Connects to a process that announced itself.
    pub(super) async fn reach(presence: &Presence) -> anyhow::Result<Self> {
        let pid = presence.pid;
        let connecting = async {
            let stream = UnixStream::connect(presence.socket()).await?;
            anyhow::Ok(transport::speak_over(stream).await?)
        };
        let connection = in_time(connecting).await.with_context(|| {
            format!("{} (process {pid}) runs and cannot be asked", presence.revision)
        })?;
        let client = OperateServiceClient::with_origin(connection, hyper::Uri::from_static(ORIGIN))
            .max_decoding_message_size(RESPONSE_BYTES_MAX);
        Ok(Self { pid, client })
    }

    /// Its services.
    pub(super) async fn list(&mut self) -> anyhow::Result<wire::ListServicesResponse> {
        let asking = self.client.list_services(wire::ListServicesRequest {});
        answered(asking).await
    }
}

/// The answer to a question, in time; or why there is none.
pub(super) async fn answered<T>(
    asking: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> anyhow::Result<T> {
    let answer = in_time(async { asking.await.map_err(refused) }).await?;
    Ok(answer.into_inner())
}

/// Why a run refuses.
pub(super) fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow!("{}", shorten(status.message()))
}

async fn in_time<T>(asking: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(anyhow!("no answer within {RESPONSE_TIMEOUT:?}")),
    }
}

/// Every service of every run of this user, by their names. A run that cannot be asked is named on
/// standard error.
pub(super) async fn services() -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut silent = 0;
    for presence in presence::running() {
        let listed = async {
            let mut run = Run::reach(&presence).await?;
            let listed = run.list().await?;
            anyhow::Ok((run, listed))
        };
        match listed.await {
            Ok((run, wire::ListServicesResponse { services, unix_ms })) => {
                found.extend(services.into_iter().map(|service| {
                    let run = Run { pid: run.pid, client: run.client.clone() };
                    Found { run, service, unix_ms }
                }));
            }
            Err(error) => {
                silent += 1;
                eprintln!("tidegate: {}", shorten(&with_causes(error.as_ref())));
            }
        }
    }
    match (found.is_empty(), silent) {
        (true, 0) => Err(nothing_runs()),
        (true, _) => Err(anyhow!("nothing that runs could be asked")),
        _ => {
            let key = |found: &Found| (found.service.name.clone(), found.run.pid);
            found.sort_by_key(key);
            Ok(found)
        }
    }
}

/// The runs of these services, each once.
pub(super) fn runs(services: Vec<Found>) -> Vec<Run> {
    let mut runs: Vec<Run> = services.into_iter().map(|found| found.run).collect();
    runs.sort_by_key(|run| run.pid);
    runs.dedup_by_key(|run| run.pid);
    runs
}

/// The service that is meant: the only one where none is named.
pub(super) async fn service(asked: Option<&str>) -> anyhow::Result<Found> {
    choose(services().await?, asked)
}

/// `NAME`, or `NAME@PID` where several processes run one of that name.
fn choose(mut services: Vec<Found>, asked: Option<&str>) -> anyhow::Result<Found> {
    let is_meant = |found: &Found| {
        asked.is_none_or(|asked| asked == found.service.name || asked == full_name(found))
    };
    let meant: Vec<usize> =
        (0..services.len()).filter(|index| is_meant(&services[*index])).collect();
    match (meant.as_slice(), asked) {
        ([only], _) => Ok(services.swap_remove(*only)),
        ([], asked) => {
            let asked = asked.unwrap_or_default();
            let names: Vec<&str> = services.iter().map(|it| it.service.name.as_str()).collect();
            let (running, hint) = (names.join(", "), did_you_mean(asked, names.iter().copied()));
            let problem = format!(
                "no service \"{}\" runs here; running are: {running}{hint}",
                excerpt(asked)
            );
            Err(Absent(problem).into())
        }
        (several, None) => {
            let names = several.iter().map(|index| distinct_name(&services, *index));
            let names = names.collect::<Vec<_>>().join(", ");
            Err(tidegate_flags::ending::mistyped(anyhow!(
                "several services run here, say which: {names}"
            )))
        }
        (several, Some(asked)) => {
            let names = several.iter().map(|index| full_name(&services[*index]));
            let names = names.collect::<Vec<_>>().join(", ");
            let problem =
                anyhow!("several processes run a service \"{asked}\", say which: {names}");
            Err(tidegate_flags::ending::mistyped(problem))
        }
    }
}

/// The name, with the process where it alone could be another one.
fn distinct_name(services: &[Found], index: usize) -> String {
    let name = &services[index].service.name;
    let of_that_name = services.iter().filter(|found| found.service.name == *name).count();
    if of_that_name == 1 { name.clone() } else { full_name(&services[index]) }
}

fn full_name(found: &Found) -> String {
    format!("{}@{}", found.service.name, found.run.pid)
}
