//! The autoscaler as a service: ingest reports, decide, actuate, explain.
