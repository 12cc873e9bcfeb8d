//! A site that means harm: what it says becomes no markup, holds no more than its share, and keeps
//! nobody from the others. It is one that may call, so that nothing at the door stops it.

use std::pin::Pin;
use std::time::Duration;

use tidegate_call::{Caller, Calls, Expected, SiteName};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_server::ScaleService;
use tidegate_sites::board::REVISIONS_MAX;
use tidegate_sites::{Link, Office, Reach, Site, Sites};
use tidegate_trust::{Secret, SharedSecret};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// What a hostile site answers to a question for its revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// Names and reasons that are markup, or move a cursor.
    Markup,
    /// A list without an end.
    Endless,
    /// One part that is longer than any.
    LongPart,
    /// Nothing, for ever.
    Silence,
    /// Sites of its own.
    Nested,
    /// None.
    None,
}

struct Hostile(Harm);

type Parts = Pin<Box<dyn Stream<Item = Result<wire::ListRevisionsResponse, Status>> + Send>>;
type Decisions = Pin<Box<dyn Stream<Item = Result<wire::Decision, Status>> + Send>>;

fn named(namespace: &str, name: &str) -> wire::RevisionStatus {
    let last_reason = "</script>\u{1b}[2J\u{202e}".repeat(100);
    let (namespace, name) = (namespace.into(), name.into());
    wire::RevisionStatus {
        namespace,
        name,
        last_reason,
        site: "other".into(),
        ..Default::default()
    }
}

fn part(revisions: Vec<wire::RevisionStatus>) -> Result<wire::ListRevisionsResponse, Status> {
    Ok(wire::ListRevisionsResponse { revisions, sites: Vec::new() })
}

#[tonic::async_trait]
impl ScaleService for Hostile {
    type StreamRevisionsStream = Parts;
    type WatchDecisionsStream = Decisions;

    async fn list_revisions(
        &self,
        _: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        Err(Status::unimplemented("a view asks for parts"))
    }

    async fn stream_revisions(
        &self,
        _: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<Parts>, Status> {
        let good = named("prod", "web");
        Ok(Response::new(match self.0 {
            Harm::Markup => Box::pin(tokio_stream::once(part(vec![
                named("<img src=x>", "x"),
                named("a/b", "c"),
                named("a", "\u{1b}[31m"),
                named(&"n".repeat(10_000), "x"),
                good,
            ]))),
            Harm::Endless => {
                let numbers = tokio_stream::iter(0_u64..);
                Box::pin(numbers.map(|nth| part(vec![named("prod", &format!("app-{nth}"))])))
            }
            Harm::LongPart => Box::pin(tokio_stream::once(part(vec![good; 10_000]))),
            Harm::Silence => Box::pin(tokio_stream::pending()),
            Harm::Nested => Box::pin(tokio_stream::once(Ok(wire::ListRevisionsResponse {
                revisions: vec![good],
                sites: vec![wire::SiteStatus::default()],
            }))),
            Harm::None => Box::pin(tokio_stream::once(part(vec![good]))),
        }))
    }

    async fn watch_decisions(
        &self,
        _: Request<wire::WatchDecisionsRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let decision = wire::Decision {
            namespace: "<b>".into(),
            name: "x".into(),
            site: "other".into(),
            ..Default::default()
        };
        let good =
            wire::Decision { namespace: "prod".into(), name: "web".into(), ..decision.clone() };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(decision), Ok(good)]))))
    }

    async fn explain(
        &self,
        _: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let reason = "<script>\u{7}".to_owned();
        let decision = wire::Decision { reason, ..Default::default() };
        let decisions = match self.0 {
            Harm::Endless => vec![decision; 100_000],
            _ => vec![decision; 1_000],
        };
        Ok(Response::new(wire::ExplainResponse { decisions, ..Default::default() }))
    }
}

fn site(name: &str) -> SiteName {
    name.parse().expect("a good name")
}

/// A view of sites that call, each of which does this harm.
async fn view(harms: &[(&str, Harm)]) -> Sites {
    let secret = || SharedSecret::from(Secret::new("0123456789abcdef", "a test").expect("valid"));
    let expected = harms.iter().map(|(name, _)| Expected { site: site(name), secret: secret() });
    let (calls, arriving) = Calls::new(expected.collect()).expect("randomness");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(calls.serve(listener, None));
    let listed = harms
        .iter()
        .map(|(name, _)| Site { name: site(name), reach: Reach::Calls { secret: secret() } });
    let sites = Sites::start(listed.collect(), arriving, Duration::from_millis(50));
    for (name, harm) in harms.iter().copied() {
        let caller = Caller::new(&address, site(name), secret(), None).expect("a good address");
        tokio::spawn(caller.run(move |stream| async move {
            // It ends when it is hung up on.
            let _ = tidegate_controller::answer_by(Hostile(harm), stream).await;
        }));
    }
    sites
}

/// Waits until something is so of a site.
async fn until(sites: &Sites, name: &str, is_so: impl Fn(&tidegate_sites::SiteState) -> bool) {
    let mut changes = sites.changes();
    loop {
        let snapshot = sites.snapshot();
        if is_so(snapshot.site(&site(name)).expect("it is listed")) {
            return;
        }
        changes.changed().await.expect("it goes on");
    }
}

#[tokio::test]
async fn what_is_no_name_is_left_out_and_texts_are_lines() {
    let sites = view(&[("evil", Harm::Markup)]).await;
    until(&sites, "evil", |state| state.link == Link::Up).await;
    let snapshot = sites.snapshot();
    let state = &snapshot.sites[0];
    assert_eq!((state.revisions.len(), state.left_out), (1, 4));
    let told = snapshot.to_wire();
    assert_eq!(told.revisions[0].site, "evil", "it speaks for itself alone");
    assert!(told.revisions[0].last_reason.chars().count() <= 500);
    assert!(!told.revisions[0].last_reason.contains(['\u{1b}', '\u{202e}']));
}

#[tokio::test]
async fn a_list_without_an_end_is_read_to_a_bound_and_takes_nothing_from_others() {
    let sites = view(&[("evil", Harm::Endless), ("good", Harm::None)]).await;
    until(&sites, "evil", |state| state.left_out > 0).await;
    until(&sites, "good", |state| state.link == Link::Up && state.revisions.len() == 1).await;
    let snapshot = sites.snapshot();
    let known: usize = snapshot.sites.iter().map(|state| state.revisions.len()).sum();
    assert!(known <= REVISIONS_MAX, "{known}");
}

#[tokio::test]
async fn what_is_too_long_or_nested_cuts_the_site_and_says_why() {
    let sites = view(&[("long", Harm::LongPart), ("nested", Harm::Nested)]).await;
    for (name, part) in [("long", "out of range"), ("nested", "a view of several sites")] {
        until(&sites, name, |state| {
            let Link::Cut(why) = &state.link else { return false };
            assert!(name != "nested" || why.contains(part), "{why}");
            true
        })
        .await;
    }
    assert!(sites.snapshot().sites.iter().all(|state| state.revisions.is_empty()));
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_from_the_others() {
    let sites = view(&[("good", Harm::None), ("silent", Harm::Silence)]).await;
    until(&sites, "good", |state| state.link == Link::Up).await;
    until(&sites, "silent", |state| matches!(state.link, Link::Cut(_))).await;
    assert_eq!(sites.snapshot().sites[0].link, Link::Up);
}

#[tokio::test]
async fn answers_about_one_revision_are_bounded_as_well() {
    let sites = view(&[("endless", Harm::Endless), ("evil", Harm::Markup)]).await;
    until(&sites, "evil", |state| state.link == Link::Up).await;
    until(&sites, "endless", |state| state.link == Link::Up).await;
    let office = Office::new(sites);
    let request = |site: &str| wire::ExplainRequest {
        namespace: "prod".into(),
        name: "web".into(),
        last: 1_000_000,
        site: site.into(),
        instances_max: 1_000_000,
    };
    let told = office.explained(request("evil")).await.expect("it answers");
    assert_eq!(told.decisions.len(), tidegate_sites::office::DECISIONS_MAX);
    let first = &told.decisions[0];
    assert_eq!((first.site.as_str(), first.name.as_str()), ("evil", "web"));
    assert_eq!(first.reason, "<script>?");
    assert!(office.explained(request("endless")).await.is_err(), "that is too long to read");
    let unknown = office.explained(request("rome")).await.expect_err("there is none");
    assert!(unknown.message().contains("known are: endless, evil"), "{unknown}");
    let none = office.explained(request("")).await.expect_err("no site");
    assert!(none.message().contains("SITE:NAMESPACE/NAME"), "{none}");
}

#[tokio::test]
async fn decisions_are_of_the_site_whose_they_are() {
    let sites = view(&[("evil", Harm::Markup)]).await;
    until(&sites, "evil", |state| state.link == Link::Up).await;
    let office = Office::new(sites);
    let watched = office.watch_decisions(Request::new(wire::WatchDecisionsRequest::default()));
    let mut decisions = watched.await.expect("it is watched").into_inner();
    let first = decisions.next().await.expect("one").expect("good");
    assert_eq!((first.site.as_str(), first.name.as_str()), ("evil", "web"));
}
