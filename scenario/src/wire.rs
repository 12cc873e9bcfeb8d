//! Kind `wire`: Knative's protobuf messages, byte for byte.

use serde::{Deserialize, Serialize};
use tidegate_proto::Message;
use tidegate_proto::knative::{Stat, WireStatMessage, WireStatMessages};

use crate::context::Context;
use crate::error::ScenarioError;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireInput {
    stats: Vec<StatInput>,
    messages: Vec<Vec<MessageInput>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatInput {
    pod_name: String,
    average_concurrent_requests: f64,
    average_proxied_concurrent_requests: f64,
    request_count: f64,
    proxied_request_count: f64,
    process_uptime: f64,
    timestamp: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageInput {
    namespace: String,
    name: String,
    stat: Option<StatInput>,
}

#[derive(Debug, Serialize)]
pub(super) struct WireOutput {
    stats_hex: Vec<String>,
    messages_hex: Vec<String>,
}

pub(super) fn wire(input: WireInput, context: &mut Context) -> Result<WireOutput, ScenarioError> {
    let encode = |what: &str, bytes: Vec<u8>, context: &mut Context| {
        context.explanations.say(|| format!("{what} takes {} bytes", bytes.len()));
        hex(&bytes)
    };
    let mut output = WireOutput { stats_hex: Vec::new(), messages_hex: Vec::new() };
    for stat in input.stats {
        let bytes = Stat::from(stat).encode_to_vec();
        output.stats_hex.push(encode("a statistic", bytes, context));
    }
    for messages in input.messages {
        let messages = messages.into_iter().map(WireStatMessage::from).collect();
        let bytes = WireStatMessages { messages }.encode_to_vec();
        output.messages_hex.push(encode("a batch of messages", bytes, context));
    }
    Ok(output)
}

impl From<StatInput> for Stat {
    fn from(input: StatInput) -> Self {
        Self {
            pod_name: input.pod_name,
            average_concurrent_requests: input.average_concurrent_requests,
            average_proxied_concurrent_requests: input.average_proxied_concurrent_requests,
            request_count: input.request_count,
            proxied_request_count: input.proxied_request_count,
            process_uptime: input.process_uptime,
            timestamp: input.timestamp,
        }
    }
}

impl From<MessageInput> for WireStatMessage {
    fn from(input: MessageInput) -> Self {
        Self { namespace: input.namespace, name: input.name, stat: input.stat.map(Stat::from) }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
