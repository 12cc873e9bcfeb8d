//! Any bytes as a snapshot: refused, or an autoscaler that works. The checksum is made right, so
//! that what is behind it is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_autoscaler::{Observed, Origin, RevisionAutoscaler, Sample, Timestamp};

fuzz_target!(|payload: &[u8]| {
    let _ = RevisionAutoscaler::restore(payload);
    let mut bytes = b"TGAS\x01\x00".to_vec();
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let Ok(mut autoscaler) = RevisionAutoscaler::restore(&bytes) else { return };
    for second in [946_684_800, 946_684_801, 0, i64::MAX, i64::MIN, 946_684_890] {
        let now = Timestamp::from_secs(second);
        autoscaler.record(now, Origin::Instances, &Sample::of_concurrency(7.0).expect("finite"));
        let _ = autoscaler.tick(now, Some(Observed::ready(3)), &[]).explanation.to_string();
    }
    let _ = autoscaler.snapshot();
});
