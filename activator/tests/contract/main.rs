//! A whole activator over real sockets: apps that count requests, a controller that can be killed,
//! and clients that break the protocol.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

mod abandoned;
mod app;
mod app_refused;
mod client;
mod cold_start;
mod controller;
mod faults;
mod garbage;
mod grpc;
mod hedging;
mod holding;
mod knative_autoscaler;
mod left;
mod overflow;
mod own_tcp_ports;
mod protocols;
mod queue_order;
mod released;
mod repeats;
mod revision_ports;
mod routes;
mod routing;
mod silence;
mod smuggling;
mod stage;
mod tcp_ports;
mod tls;
mod websocket;
