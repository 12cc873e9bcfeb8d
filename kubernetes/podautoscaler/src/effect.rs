//! What is to be carried out, by others and without a choice.

use core::net::IpAddr;

use tidegate_kubernetes_objects::store::ObjectKey;

use crate::request::Patch;

/// Something to carry out.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a request.
    Send(Action),
    /// Ask pods for their statistics.
    Scrape(ScrapeOrder),
    /// Listen to these pods of a revision, and to no others of it.
    Listen(ListenOrder),
    /// Ask through a Service whether an activator answers.
    Probe(ProbeOrder),
    /// Tell a person.
    Note(ObjectKey, String),
}

/// A request, and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// The revision.
    pub revision: ObjectKey,
    /// What it does.
    pub step: ActionStep,
    /// The request.
    pub patch: Patch,
    /// Why, in words.
    pub reason: String,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionStep {
    /// Sets the replicas of a Deployment.
    Scale {
        /// The Deployment.
        deployment: ObjectKey,
        /// What they were seen as.
        from: i32,
        /// What they are to be.
        to: i32,
    },
    /// Makes the ServerlessService what it is to be.
    Service,
    /// Makes the Metric what it is to be.
    Metric,
    /// Writes what is said about the PodAutoscaler.
    Status,
}

/// Which pods are asked for their statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeOrder {
    /// The revision.
    pub revision: ObjectKey,
    /// Pods that are as old as the stable window, to be asked first and in no order.
    pub settled: Vec<IpAddr>,
    /// The others.
    pub young: Vec<IpAddr>,
    /// How many responses are wanted.
    pub wanted: u32,
}

/// Which pods are listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOrder {
    /// The revision.
    pub revision: ObjectKey,
    /// Where its pods are reached.
    pub pods: Vec<IpAddr>,
}

/// Which Service is asked whether an activator answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOrder {
    /// The revision.
    pub revision: ObjectKey,
    /// The Service.
    pub service: ObjectKey,
    /// The port of the Service.
    pub port: u16,
}
