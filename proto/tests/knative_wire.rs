//! Knative's messages are read by Go code, so their bytes are fixed, not only their meaning.

use tidegate_proto::Message;
use tidegate_proto::knative::{Stat, WireStatMessage, WireStatMessages};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn fields_are_in_number_order_and_defaults_are_not_written() {
    let stat = Stat { pod_name: "p".into(), request_count: 5.0, timestamp: 1, ..Stat::default() };
    // Field 1 is a string, field 4 a double, field 7 a varint.
    assert_eq!(hex(&stat.encode_to_vec()), "0a017021000000000000144038 01".replace(' ', ""));
    assert!(Stat::default().encode_to_vec().is_empty());
}

#[test]
fn every_field_has_knatives_number() {
    let stat = Stat {
        pod_name: "a-b".into(),
        average_concurrent_requests: 1.0,
        average_proxied_concurrent_requests: 2.0,
        request_count: 3.0,
        proxied_request_count: 4.0,
        process_uptime: 0.5,
        timestamp: -1,
    };
    let expected = concat!(
        "0a03612d62",
        "11000000000000f03f",
        "190000000000000040",
        "210000000000000840",
        "290000000000001040",
        "31000000000000e03f",
        "38ffffffffffffffffff01",
    );
    assert_eq!(hex(&stat.encode_to_vec()), expected);
    assert_eq!(Stat::decode(stat.encode_to_vec().as_slice()), Ok(stat));
}

#[test]
fn messages_wrap_their_stats_with_a_length() {
    let message = WireStatMessage {
        namespace: "n".into(),
        name: "r".into(),
        stat: Some(Stat { pod_name: "p".into(), ..Stat::default() }),
    };
    let messages = WireStatMessages { messages: vec![message, WireStatMessage::default()] };
    assert_eq!(hex(&messages.encode_to_vec()), "0a0b0a016e1201721a030a01700a00");
}

#[test]
fn garbage_is_an_error() {
    assert!(Stat::decode([0xff; 16].as_slice()).is_err());
    assert!(WireStatMessages::decode([0x0a, 0x7f].as_slice()).is_err());
}
