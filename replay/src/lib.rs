//! Requests sent at given times to any HTTP server, and what came of them.
//!
//! The loop is open: each request is sent when it is due, however the others fare, and its latency
//! counts from that moment. A server that stalls for a second is then seen as all the users see it
//! whose requests came within that second, and not as the one whose request happened to be out.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use tidegate_replay::{Bounds, Client, Due, Report, Request, Security, send};
//! use tokio::sync::mpsc;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(&Security::Nobody, Default::default())?;
//! let target = Request::get("http://127.0.0.1:8080/")?;
//! let (due, arrivals) = mpsc::channel(100);
//! tokio::spawn(async move {
//!     for ms in [0, 20, 500] {
//!         let _ = due.send(Due::new(Duration::from_millis(ms))).await;
//!     }
//! });
//! let mut report = Report::new(1);
//! let never = std::future::pending();
//! let bounds = Bounds::default();
//! send(&client, &[target], arrivals, bounds, never, |outcome| report.add(&outcome)).await;
//! println!("{report}");
//! # Ok(()) }
//! ```
//!
//! It must never: read a file or print; keep a response in memory; have more requests in flight
//! than [`Bounds::in_flight_max`]; wait for an answer before it sends what is due.
//!
//! # Map, in reading order
//!
//! * [`request`]: what is sent, checked once.
//! * [`client`]: connections to whoever it is sent to.
//! * [`open_loop`]: when it is sent, and what came of it.
//! * [`report`]: all outcomes as figures; [`percentiles`]: as a curve.

pub mod client;
pub mod open_loop;
pub mod percentiles;
pub mod report;
pub mod request;

pub use client::{Client, ClientError, Security, Version};
pub use open_loop::{Answer, Bounds, Due, Failure, Outcome, Sent, send};
pub use report::{Latencies, Report};
pub use request::{Request, RequestError};
