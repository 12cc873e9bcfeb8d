//! How a person's command reaches the cluster, and in it the controller that decides.
//!
//! The controller answers questions at the port where reports come in, to whoever shows the
//! secret. In a pod its Service's name leads to it; from elsewhere kubectl forwards the port of the
//! pod that holds the Lease.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use tidegate_explain::Query;
use tidegate_flags::CredentialArgs;
use tidegate_knative::environment::TIDEGATE_CONTROLLER;
use tidegate_kubernetes_objects::names::{CONTROLLER_SERVICE, LEASE};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::installation::SystemNamespaceArgs;

/// Where reports come in and questions are answered, in the manifests.
const CONTROLLER_PORT: u16 = 9_400;

/// Longest wait until kubectl forwards: it asks the API server, and that the kubelet.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// Most of kubectl's errors that is read.
const SAID_BYTES_MAX: u64 = 4_096;

/// What a pod that the cluster runs has in its environment.
const IN_CLUSTER_VARIABLE: &str = "KUBERNETES_SERVICE_HOST";

/// Which cluster, and which namespace of it.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace [default: that of the context].
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// A cluster, and the namespace that is meant; all when `None`.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: Option<String>,
    default_namespace: String,
    context: Option<String>,
}

impl ClusterArgs {
    pub(crate) async fn connect(&self) -> anyhow::Result<Cluster> {
        let config = match &self.context {
            Some(context) => {
                let options =
                    KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
                let found = Config::from_kubeconfig(&options).await;
                found.with_context(|| format!("--context {context}: it cannot be used"))?
            }
            None => Config::infer().await.context(
                "there is no cluster to speak to: set KUBECONFIG, or run in a pod with a service \
                 account",
            )?,
        };
        let default_namespace = config.default_namespace.clone();
        let namespace = match (&self.namespace, self.all_namespaces) {
            (_, true) => None,
            (Some(namespace), false) => Some(namespace.clone()),
            (None, false) => Some(default_namespace.clone()),
        };
        let client = Client::try_from(config).context("the cluster's address cannot be used")?;
        Ok(Cluster { client, namespace, default_namespace, context: self.context.clone() })
    }
}

impl Cluster {
    /// The one namespace in which an object is looked for by its name.
    pub(crate) fn one_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.default_namespace)
    }
}

/// Where the controller is, and what it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct ControllerArgs {
    /// Where the controller listens [default: in a pod its Service; elsewhere a port that kubectl
    /// forwards to the pod that holds the Lease].
    #[arg(long, value_name = "HOST:PORT", env = TIDEGATE_CONTROLLER)]
    controller: Option<String>,
    #[command(flatten)]
    installation: SystemNamespaceArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
}

impl ControllerArgs {
    /// A connection to the controller that decides. The secret is never read from the cluster:
    /// whoever may ask has it in a file.
    pub(crate) async fn query(&self, cluster: &Cluster) -> anyhow::Result<Reached> {
        let Cluster { client, context, .. } = cluster;
        let credentials = self.credentials.credentials()?;
        if credentials.secret.is_none() && credentials.certificates.is_none() {
            bail!("{}", who_may_ask(&self.installation.system_namespace));
        }
        let service = format!(
            "{CONTROLLER_SERVICE}.{}:{CONTROLLER_PORT}",
            self.installation.system_namespace
        );
        if let Some(controller) = &self.controller {
            return Ok(Query::connect(controller, &credentials).await?.into());
        }
        if is_in_cluster() {
            return Ok(Query::connect(&service, &credentials).await?.into());
        }
        let pod = self.deciding_pod(client).await?;
        let forward =
            Forward { pod: &pod, namespace: &self.installation.system_namespace, context };
        let (forwarding, stream) = forward.begin().await?;
        let query = Query::over(stream, &service, &credentials).await?;
        Ok(Reached { query, _forwarding: Some(forwarding) })
    }

    /// The pod that holds the Lease.
    async fn deciding_pod(&self, client: &Client) -> anyhow::Result<String> {
        let namespace = &self.installation.system_namespace;
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = leases.get_opt(LEASE).await.with_context(|| {
            format!("cannot read the Lease {LEASE} in {namespace}, which says who decides")
        })?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        match holder.filter(|holder| !holder.is_empty()) {
            Some(pod) => Ok(pod),
            None => bail!(
                "no controller decides in {namespace}: look at its pods with\n  kubectl get pods \
                 --namespace {namespace} --selector app.kubernetes.io/name=tidegate-controller\n\
                 If it is installed elsewhere, say so with --system-namespace"
            ),
        }
    }
}

/// What somebody who shows nothing is told.
fn who_may_ask(system_namespace: &str) -> String {
    format!(
        "the controller answers only to those who may ask: give --secret-file FILE with a token, \
         and --controller-ca FILE\n  kubectl create token tidegate-activator --namespace \
         {system_namespace} --audience tidegate > token\n  kubectl get configmap \
         tidegate-authority --namespace {system_namespace} \
         --output 'go-template={{{{index .data \"ca.crt\"}}}}' > ca.crt\nWhere there are no \
         tokens, --secret-file FILE with the secret that reporters show"
    )
}

/// A connection to the controller, and what carries it.
pub(crate) struct Reached {
    pub(crate) query: Query,
    /// Forwards for as long as it is not dropped.
    _forwarding: Option<Child>,
}

impl From<Query> for Reached {
    fn from(query: Query) -> Self {
        Self { query, _forwarding: None }
    }
}

/// A port of a pod that kubectl forwards: it does so by every way that the cluster's API server
/// knows, and has the person's credentials for it.
struct Forward<'a> {
    pod: &'a str,
    namespace: &'a str,
    context: &'a Option<String>,
}

impl Forward<'_> {
    /// Begins, and connects to the port on this machine that leads to the pod's.
    async fn begin(&self) -> anyhow::Result<(Child, TcpStream)> {
        let Self { pod, namespace, .. } = self;
        let elsewhere = "say where the controller listens with --controller HOST:PORT";
        let mut command = Command::new("kubectl");
        command.args(["port-forward", "--address", "127.0.0.1", "--namespace", namespace]);
        if let Some(context) = self.context {
            command.args(["--context", context]);
        }
        command.args([&format!("pod/{pod}"), &format!(":{CONTROLLER_PORT}")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.kill_on_drop(true).spawn();
        let mut child = spawned.with_context(|| {
            format!("kubectl, which forwards a port of pod {pod}, cannot be run; {elsewhere}")
        })?;
        let port = match child.stdout.take() {
            Some(said) => {
                let lines = BufReader::new(said).lines();
                tokio::time::timeout(FORWARD_TIMEOUT, port_of(lines)).await.ok().flatten()
            }
            None => None,
        };
        let Some(port) = port else {
            let why = told(&mut child).await;
            bail!(
                "kubectl forwards no port of pod {pod} in {namespace}, which decides ({why}): you \
                 need the right to create pods/portforward there, and the kubelet has to support \
                 it; else {elsewhere}"
            );
        };
        Ok((child, TcpStream::connect(("127.0.0.1", port)).await?))
    }
}

/// The port that kubectl says it forwards; `None` when it ends before.
async fn port_of(mut lines: Lines<BufReader<ChildStdout>>) -> Option<u16> {
    loop {
        let line = lines.next_line().await.ok()??;
        if let Some(port) = forwarded_port(&line) {
            // What it says of each connection must be read, or it would wait for that.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(port);
        }
    }
}

/// The port in `Forwarding from 127.0.0.1:PORT -> 9400`.
fn forwarded_port(line: &str) -> Option<u16> {
    let address = line.strip_prefix("Forwarding from ")?.split(" -> ").next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// What kubectl said before it ended, or that it has not said anything.
async fn told(child: &mut Child) -> String {
    // One that still runs has no more to say.
    let _ = child.start_kill();
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
    }
    match String::from_utf8_lossy(&said).trim() {
        "" => format!("it said nothing within {FORWARD_TIMEOUT:?}"),
        said => tidegate_words::shorten(said).into_owned(),
    }
}

/// Whether this runs in a pod, and nobody says otherwise.
fn is_in_cluster() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let home = std::env::var_os("HOME").unwrap_or_default();
    let has_config = Path::new(&home).join(".kube/config").exists();
    is_set(IN_CLUSTER_VARIABLE) && !is_set("KUBECONFIG") && !has_config
}

/// What to do about the API server's refusals that everybody meets.
pub(crate) fn explained(error: kube::Error) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) if status.code == 404 && status.message.contains("page not") => {
            anyhow::anyhow!(
                "the cluster has no kind TrafficScaler: install it with\n  tidegate crd | kubectl \
                 apply --server-side -f -"
            )
        }
        kube::Error::Api(status) if status.code == 403 => anyhow::anyhow!(
            "{}; whoever may edit or view TrafficScalers can be given that right with a Role",
            status.message
        ),
        _ => error.into(),
    }
}
