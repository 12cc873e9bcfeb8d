//! A revision that speaks HTTP/2 only answered every HTTP/1.1 upload with 502: that an app speaks
//! the other protocol was remembered only when the request could be sent again, and an upload
//! cannot. Now the first one teaches it, and the next one succeeds.

use crate::apps;
use crate::clients::{self, Got};
use crate::processes::Process;

#[test]
fn an_upload_teaches_which_protocol_an_app_speaks() {
    let app = apps::http2(Vec::new());
    let behind = Process::sidecar(app.port, &[]);
    for process in [Process::sidecar(app.port, &[]), Process::activator(app.port, &[])] {
        assert_eq!(clients::http1(process.port, &[]), Got::Whole(502, Vec::new()));
        for _ in 0..2 {
            assert_eq!(clients::http1(process.port, &[]), Got::Whole(200, Vec::new()));
        }
    }
    // An activator speaks HTTP/1.1 to a sidecar, whatever the app behind it speaks.
    let activator = Process::activator(behind.port, &[]);
    assert_eq!(clients::http1(activator.port, &[]), Got::Whole(502, Vec::new()));
    assert_eq!(clients::http1(activator.port, &[]), Got::Whole(200, Vec::new()));
}
