//! Several sites in one view, as processes: one that is dialled, one that can only call out, one
//! that is dead; links that are cut and heal; strangers.

#[path = "../run_controller/certificates.rs"]
#[expect(dead_code, reason = "not every kind of certificate is of use here")]
mod certificates;
mod cut;
mod file;
mod page;
#[path = "../run_controller/process.rs"]
mod process;
mod seen;
mod stage;
mod strangers;
mod tls;
