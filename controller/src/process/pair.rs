//! The two processes of an instance: how they are started, and how those of a run before are taken
//! over.

use std::fs::File;
use std::io;

use rustix::process::Signal;
use tokio::io::AsyncRead;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use super::commands::{Whose, app_command, app_order, parent, sidecar_command};
use super::handle::Process;
use super::keep_folder::{KeepFolder, PipeName};
use super::launch_order::LaunchOrder;
use super::output::Output;
use super::output_stream::OutputStream;
use super::ports::Lease;
use super::proof::Proving;
use crate::declaration::Launch;
use crate::event::Event;
use crate::kept::{KeptInstance, KeptProcess};

/// The two processes.
pub(super) struct Pair {
    pub(super) app: Process,
    pub(super) sidecar: Process,
    pub(super) collectors: Vec<JoinHandle<()>>,
    pub(super) app_port: u16,
    pub(super) proving: Proving,
    /// The app's input stays open for as long as it is wanted, and ends with the controller:
    /// servers that are made for a terminal exit at the end of their input. One that may outlive
    /// us holds both ends itself.
    _input: Option<ChildStdin>,
    /// Held until both processes have ended.
    _ports: [Lease; 2],
}

/// The pipes of an app: its input, output and errors.
const APP_PIPES: [PipeName; 3] = [PipeName::Input, PipeName::Output, PipeName::Errors];

/// What a process writes, and where that is read.
type Source = (OutputStream, Box<dyn AsyncRead + Send + Unpin>);

/// Starts both processes.
pub(super) async fn start(of: Whose<'_>, launch: &Launch, output: &Output) -> Result<Pair, String> {
    let Whose { shared, name, .. } = of;
    let app_port = match launch.port {
        Some(port) => shared.ports.lease_fixed(port),
        None => shared.ports.lease(),
    };
    let app_port = app_port.map_err(|error| error.to_string())?;
    let sidecar_port = shared.ports.lease().map_err(|error| error.to_string())?;
    let ports = [app_port.port(), sidecar_port.port()];
    let proving = Proving::new(&launch.readiness, ports[0]);
    let output = output.clone().awaiting(proving.line());
    // Sent before a sidecar could claim it: no other address is accepted for this instance.
    let address = format!("127.0.0.1:{}", ports[1]).into();
    let launched = Event::InstanceLaunched { instance: name.clone(), address };
    shared.handle.happened(launched).await.map_err(|error| error.to_string())?;
    let app = start_app(of, app_order(of, parent(shared), launch, ports[0])?).await;
    let (mut app, mut sources) =
        app.map_err(|error| format!("{} cannot be started: {error}", launch.program()))?;
    let started = Event::InstanceStarted { instance: name.clone() };
    shared.handle.happened(started).await.map_err(|error| error.to_string())?;
    let sidecar = start_sidecar(of, sidecar_command(of, launch, ports)?).await;
    let (sidecar, of_sidecar) =
        sidecar.map_err(|error| format!("the queue-proxy cannot be started: {error}"))?;
    sources.extend(of_sidecar);
    if shared.config.keep.is_some()
        && let Some(kept) = to_keep(of, launch, [&app, &sidecar], ports)
    {
        shared.note(name, KeptInstance { is_proved: proving.why_not().is_none(), ..kept });
    }
    Ok(Pair {
        collectors: collect(&output, sources),
        _input: app.stdin.take(),
        app: Process::Ours(app),
        sidecar: Process::Ours(sidecar),
        app_port: ports[0],
        proving,
        _ports: [app_port, sidecar_port],
    })
}

/// Takes over both processes of an instance of a run before.
pub(super) fn adopt(
    of: Whose<'_>,
    launch: &Launch,
    kept: KeptInstance,
    output: &Output,
) -> Result<Pair, String> {
    let Whose { shared, name, .. } = of;
    let gone = |what: &str| format!("{what} of a run before has ended meanwhile");
    let app = Process::adopt(kept.app).ok_or_else(|| gone("the app"))?;
    let sidecar = Process::adopt(kept.sidecar).ok_or_else(|| gone("the queue-proxy"))?;
    // One that the run before has let stand still goes on.
    app.signal_group(Signal::CONT);
    let proving = Proving::resumed(&launch.readiness, kept.app_port, kept.proof());
    let output = output.clone().awaiting(proving.line());
    let pipes = [PipeName::Output, PipeName::Errors, PipeName::Sidecar];
    let read = |keep: &KeepFolder| {
        // What cannot be read any more is not shown, and the instance serves all the same.
        let source = |pipe| Some((stream(pipe)?, Box::new(keep.read_pipe(name, pipe).ok()?) as _));
        pipes.into_iter().filter_map(source).collect::<Vec<Source>>()
    };
    let sources = shared.config.keep.as_ref().map(read).unwrap_or_default();
    let (app_port, sidecar_port) = (kept.app_port, kept.sidecar_port);
    shared.note(name, kept);
    Ok(Pair {
        collectors: collect(&output, sources),
        _input: None,
        app,
        sidecar,
        app_port,
        proving,
        _ports: [shared.ports.take_over(app_port), shared.ports.take_over(sidecar_port)],
    })
}

/// Starts the app: in the launcher that stands ready, if there is one, or in a new process.
async fn start_app(of: Whose<'_>, mut order: LaunchOrder) -> io::Result<(Child, Vec<Source>)> {
    let Whose { shared, name, .. } = of;
    let pipes = NamedPipes::make(of, &APP_PIPES)?;
    if let Some(keep) = &shared.config.keep {
        order.pipes = Some(APP_PIPES.map(|pipe| keep.pipe(name, pipe).into()));
    }
    if order.can_be_told()
        && let Some(ready) = shared.spare.take().await
    {
        match ready.become_app(name, &order).await {
            Ok(child) => return Ok(pipes.of_started(child, &APP_PIPES)),
            Err(error) => tracing::debug!(%error, instance = %name, "a launcher cannot be used"),
        }
    }
    start_new(of, app_command(of, &order), (pipes, &APP_PIPES)).await
}

async fn start_sidecar(of: Whose<'_>, command: Command) -> io::Result<(Child, Vec<Source>)> {
    const PIPES: [PipeName; 1] = [PipeName::Sidecar];
    start_new(of, command, (NamedPipes::make(of, &PIPES)?, &PIPES)).await
}

/// Starts a new process, and gives what it writes.
async fn start_new(
    of: Whose<'_>,
    mut command: Command,
    (mut named, pipes): (NamedPipes, &[PipeName]),
) -> io::Result<(Child, Vec<Source>)> {
    for (pipe, end) in pipes.iter().zip(named.ends.drain(..)) {
        match pipe {
            PipeName::Input => command.stdin(end),
            PipeName::Output => command.stdout(end),
            PipeName::Errors | PipeName::Sidecar => command.stderr(end),
        };
    }
    let child = of.shared.starter.start(command).await?;
    Ok(named.of_started(child, pipes))
}

/// The pipes of a process that have names, as they have where instances are kept: its ends, and
/// what is read from them.
#[derive(Default)]
struct NamedPipes {
    ends: Vec<File>,
    sources: Vec<Source>,
}

impl NamedPipes {
    fn make(of: Whose<'_>, pipes: &[PipeName]) -> io::Result<Self> {
        let mut made = Self::default();
        let Some(keep) = &of.shared.config.keep else { return Ok(made) };
        for pipe in pipes {
            made.ends.push(keep.make_pipe(of.name, *pipe)?);
            if let Some(stream) = stream(*pipe) {
                made.sources.push((stream, Box::new(keep.read_pipe(of.name, *pipe)?)));
            }
        }
        Ok(made)
    }

    /// A process that has been started with them, and all that is read of it.
    fn of_started(self, mut child: Child, pipes: &[PipeName]) -> (Child, Vec<Source>) {
        let unnamed = unnamed(&mut child, pipes);
        (child, self.sources.into_iter().chain(unnamed).collect())
    }
}

/// What is read from the pipes of a process that have no names.
fn unnamed(child: &mut Child, pipes: &[PipeName]) -> Vec<Source> {
    let end = |pipe: &PipeName| -> Option<Source> {
        let from: Box<dyn AsyncRead + Send + Unpin> = match pipe {
            PipeName::Input => return None,
            PipeName::Output => Box::new(child.stdout.take()?),
            PipeName::Errors | PipeName::Sidecar => Box::new(child.stderr.take()?),
        };
        Some((stream(*pipe)?, from))
    };
    pipes.iter().filter_map(end).collect()
}

/// What is read from a pipe.
fn stream(pipe: PipeName) -> Option<OutputStream> {
    match pipe {
        PipeName::Input => None,
        PipeName::Output => Some(OutputStream::Stdout),
        PipeName::Errors => Some(OutputStream::Stderr),
        PipeName::Sidecar => Some(OutputStream::Sidecar),
    }
}

fn collect(output: &Output, sources: Vec<Source>) -> Vec<JoinHandle<()>> {
    let sources = sources.into_iter();
    sources.map(|(stream, from)| tokio::spawn(output.clone().collect(stream, from))).collect()
}

/// What has to be known to take these processes over.
fn to_keep(
    of: Whose<'_>,
    launch: &Launch,
    [app, sidecar]: [&Child; 2],
    [app_port, sidecar_port]: [u16; 2],
) -> Option<KeptInstance> {
    let known = |child: &Child| KeptProcess::of(i32::try_from(child.id()?).ok()?);
    Some(KeptInstance {
        revision: of.revision.to_string(),
        instance: of.name.to_string(),
        launch: launch.digest(),
        app: known(app)?,
        sidecar: known(sidecar)?,
        app_port,
        sidecar_port,
        is_proved: false,
    })
}
