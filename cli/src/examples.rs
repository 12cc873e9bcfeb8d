//! Examples at the end of a verb's help. A test runs every one of them.

use std::fmt::Write as _;

/// What short help ends with.
pub(crate) const MORE: &str = "Examples and everything else: --help";

/// A verb's path, and its examples: what it does, and the command.
type Examples = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const ALL: [Examples; 34] = [
    (
        &[],
        &[
            ("Watch it for a minute, with a bundled app", "tidegate demo"),
            ("Serve your own app", "tidegate run -- python3 -m http.server '{PORT}'"),
            (
                "What would other settings have done?",
                "tidegate sim run --trace access.log --service exp:50ms",
            ),
        ],
    ),
    (
        &["run"],
        &[
            (
                "Any command that listens on $PORT, ten requests at a time in each instance",
                "tidegate run -c 10 -- python3 -m http.server '{PORT}'",
            ),
            (
                "Ready once a path answers, gone ten seconds after the last request",
                "tidegate run --ready / --idle 10s -- python3 -m http.server '{PORT}'",
            ),
            (
                "Record the requests for `tidegate sim`",
                "tidegate run --record requests.jsonl -- python3 -m http.server '{PORT}'",
            ),
        ],
    ),
    (
        &["up"],
        &[
            ("The services of tidegate.toml, followed when it changes", "tidegate up"),
            (
                "A Service of Knative, as far as this machine can serve it",
                "tidegate up -f ksvc.yaml",
            ),
        ],
    ),
    (
        &["check"],
        &[
            ("Is something wrong with tidegate.toml?", "tidegate check"),
            (
                "What editors are told of such files",
                "tidegate check --schema > tidegate.schema.json",
            ),
        ],
    ),
    (&["init"], &[("A first file, from what is found here", "tidegate init first.toml")]),
    (
        &["demo"],
        &[
            ("A minute of traffic", "tidegate demo"),
            ("A quarter of it, with other arrivals", "tidegate demo --quick --seed 7"),
            ("The summary for a program", "tidegate demo --quick --json"),
        ],
    ),
    (
        &["ps"],
        &[
            ("Everything that runs here", "tidegate ps"),
            ("One service with its instances", "tidegate ps web"),
            ("For a program", "tidegate ps --json"),
        ],
    ),
    (
        &["top"],
        &[
            ("Live; q leaves", "tidegate top"),
            ("Ten rows, one a second", "tidegate top web --rounds 10 > rows.txt"),
            ("The sites of a file, each with its revisions", "tidegate top --sites sites.toml"),
        ],
    ),
    (
        &["logs"],
        &[
            ("What is written from now on, after what is kept", "tidegate logs -f web"),
            ("The last five minutes of one instance", "tidegate logs --since 5m --instance web-3"),
        ],
    ),
    (
        &["events"],
        &[
            ("What happened in the last hour", "tidegate events --since 1h"),
            ("And what happens", "tidegate events -f web"),
        ],
    ),
    (
        &["restart"],
        &[("A new instance for every one that is there, one by one", "tidegate restart web")],
    ),
    (
        &["scale"],
        &[
            (
                "Five instances for the next hour, whatever the load",
                "tidegate scale web 5 --for 1h",
            ),
            ("Between two and eight", "tidegate scale web 2..8"),
            ("As it was declared", "tidegate scale web auto"),
        ],
    ),
    (&["stop"], &[("Let requests finish, and end with the summary", "tidegate stop web")]),
    (
        &["decide"],
        &[
            ("Fill in what would be decided, and why", "tidegate decide --explain scenario.json"),
            ("Are these settings good?", "tidegate decide --tidegate config-autoscaler.yaml"),
        ],
    ),
    (
        &["explain"],
        &[
            (
                "All revisions that a controller knows",
                "tidegate explain --controller 127.0.0.1:9400",
            ),
            ("The same of the sites of a file", "tidegate explain --sites sites.toml"),
            (
                "The last three decisions about one of them",
                "tidegate explain web --last 3 --controller 127.0.0.1:9400",
            ),
            (
                "What had been decided five minutes ago",
                "tidegate explain web --at 5m --controller 127.0.0.1:9400",
            ),
            (
                "Why a HorizontalPodAutoscaler did or did not scale",
                "tidegate explain --hpa hpa.yaml",
            ),
        ],
    ),
    (
        &["route"],
        &[
            (
                "Where the routes of a controller lead, and how their rollouts do",
                "tidegate route --controller 127.0.0.1:9400",
            ),
            (
                "Everything back to the stable revision, at once",
                "tidegate route abort shop --controller 127.0.0.1:9400",
            ),
            (
                "Divide the requests of a route that no rollout leads",
                "tidegate route set shop v1=70 v2=30 --controller 127.0.0.1:9400",
            ),
        ],
    ),
    (
        &["sim"],
        &[
            (
                "What happens with these settings?",
                "tidegate sim run --arrivals poisson:70 --service exp:100ms -c 10 --duration 10m",
            ),
            ("What is in this file?", "tidegate sim traffic --trace access.log"),
        ],
    ),
    (
        &["sim", "run"],
        &[
            (
                "A step from 5 to 40 requests a second",
                "tidegate sim run --arrivals step:5,40,1m --service exp:200ms -c 1 --duration 5m",
            ),
            (
                "Your access log, with another stable window, as one page",
                "tidegate sim run --trace access.log --service exp:50ms --set stable-window=30s \
                 --html report.html",
            ),
        ],
    ),
    (
        &["sim", "compare"],
        &[
            (
                "Two other settings beside those as they are",
                "tidegate sim compare --arrivals poisson:20 --service exp:200ms -c 1 \
                 --duration 5m --variant 'kept: scale-down-delay=30s' --variant 'lean: target=1'",
            ),
            (
                "Spot nodes, half of which go every two minutes; is the difference chance?",
                "tidegate sim compare --arrivals poisson:20 --service exp:200ms -c 1 \
                 --duration 5m --nodes '4,1,20,const:30s price=0.2 spot' --seeds 5 \
                 --variant 'fail=2m:nodes=50%:every=2m:notice=30s'",
            ),
        ],
    ),
    (
        &["sim", "sweep"],
        &[(
            "Every combination of two settings",
            "tidegate sim sweep --arrivals poisson:20 --service exp:200ms -c 1 --duration 5m \
             --vary min-scale=0,5 --vary stable-window=30s..90s/30s",
        )],
    ),
    (
        &["sim", "recommend"],
        &[
            (
                "The cheapest settings that keep the 99th percentile below three seconds",
                "tidegate sim recommend --arrivals poisson:20 --service exp:200ms -c 1 \
                 --duration 5m --keep 'p99<3s' --vary min-scale=0,5,10",
            ),
            (
                "Which of two revisions is to be kept warm?",
                "tidegate sim recommend --arrivals a=poisson:1 --arrivals b=timer:2m \
                 --service exp:200ms --duration 30m --keep 'cold<0.5%' --per-revision \
                 --vary min-scale=0,1",
            ),
        ],
    ),
    (
        &["sim", "fit"],
        &[("Which laws do arrivals and services follow?", "tidegate sim fit --trace access.log")],
    ),
    (
        &["sim", "validate"],
        &[("Against what was measured on AWS Lambda", "tidegate sim validate --only Lambda")],
    ),
    (
        &["sim", "traffic"],
        &[
            ("What is in this file?", "tidegate sim traffic --trace access.log"),
            (
                "Make some up and keep it",
                "tidegate sim traffic --arrivals web=diurnal:5,0.8,1h --duration 1h --csv web.csv",
            ),
        ],
    ),
    (
        &["replay"],
        &[
            (
                "Your access log against a service, ten times as fast",
                "tidegate replay access.log --to http://127.0.0.1:8080/ --speed 10x",
            ),
            (
                "Made-up traffic, and its figures as JSON",
                "tidegate replay --arrivals poisson:70 --duration 10s --to http://127.0.0.1:8080/ \
                 --json figures.json",
            ),
        ],
    ),
    (
        &["inject"],
        &[
            (
                "Into every workload of a file; pipe what comes out into `kubectl apply -f -`",
                "tidegate inject -f web.yaml --image registry.example/queue-proxy:0.1.0",
            ),
            (
                "Ten requests at a time, and the Service sent through the sidecar",
                "tidegate inject -f web.yaml --image registry.example/queue-proxy:0.1.0 -c 10 \
                 --service web > injected.yaml",
            ),
            ("And out again", "tidegate inject -f web.yaml --remove"),
        ],
    ),
    (
        &["activator"],
        &[(
            "An activator for two instances with fixed addresses",
            "tidegate activator --listen 127.0.0.1:8012 --default-revision default/web \
             --endpoint default/web=127.0.0.1:9001,10 --endpoint default/web=127.0.0.1:9002,10",
        )],
    ),
    (
        &["controller"],
        &[
            (
                "Decide for one revision, with a cluster's settings",
                "tidegate controller --listen 127.0.0.1:9400 --settings config-autoscaler.yaml \
                 --revision default/web,10",
            ),
            (
                "Be seen from a view, where nobody can reach this site",
                "tidegate controller --call 127.0.0.1:9501 --call-as edge-17 \
                 --call-secret-file edge-17.secret",
            ),
        ],
    ),
    (
        &["view"],
        &[(
            "The sites of a file, those that call included, with a page in a browser",
            "tidegate view --sites sites.toml --calls 127.0.0.1:9501 --admin 127.0.0.1:9502",
        )],
    ),
    (
        &["webhook"],
        &[(
            "On this machine, with certificates in a folder that is there",
            "tidegate webhook --listen 127.0.0.1:8443 --certificates . --dns-name localhost \
             --image registry.example/queue-proxy:0.1.0",
        )],
    ),
    (
        &["token"],
        &[
            (
                "For the instances of one revision; put it where its sidecars read their secret",
                "tidegate token revision:prod/web --secret-file controller.secret > web.token",
            ),
            (
                "For somebody who may look this week, and change nothing",
                "tidegate token questions --secret-file controller.secret --expires-in 7d",
            ),
        ],
    ),
    (
        &["crd"],
        &[("A file for `kubectl apply --server-side -f`", "tidegate crd > trafficscaler-crd.yaml")],
    ),
    (
        &["completions"],
        &[
            (
                "For bash: source it, or put it where completions are",
                "tidegate completions bash > tidegate.bash",
            ),
            ("For zsh, in a folder of fpath", "tidegate completions zsh > _tidegate"),
        ],
    ),
    (
        &["man"],
        &[
            ("Read it", "tidegate man | man -l -"),
            ("A page for every verb, for `man tidegate-run`", "tidegate man --dir man1"),
        ],
    ),
];

/// The examples of the verb at `path`.
pub(crate) fn of(path: &[String]) -> Option<String> {
    let (_, examples) = ALL.iter().find(|(verb, _)| *verb == path)?;
    let mut text = String::from("Examples:");
    for (what, command) in *examples {
        let _ = write!(text, "\n  # {what}\n  {command}");
    }
    Some(text)
}
