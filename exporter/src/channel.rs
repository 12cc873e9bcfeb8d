//! One attempt to deliver a message: its headers, its certificates, its transport.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tidegate_otlp::{Answer, Encoding, Message, Transport, TransportError};
use tidegate_trust::ClientTls;

/// Sessions of TLS that are remembered: there is one receiver. A session that is resumed spares
/// the certificates, which weigh more than a usual message.
const SESSIONS: usize = 2;

/// The way to the receiver.
#[derive(Debug)]
pub(crate) struct Channel {
    transport: Transport,
    encoding: Encoding,
    tls: Option<Arc<ClientTls>>,
    /// The configuration of the certificates as they are, and what was made of it.
    made: Mutex<Option<(Arc<ClientConfig>, Arc<ClientConfig>)>>,
}

impl Channel {
    pub(crate) fn new(
        transport: Transport,
        encoding: Encoding,
        tls: Option<Arc<ClientTls>>,
    ) -> Self {
        Self { transport, encoding, tls, made: Mutex::new(None) }
    }

    /// Sends a body, within the transport's bounds. Cancel safe as that is.
    pub(crate) async fn push(
        &self,
        body: tidegate_otlp::transport::Bytes,
        headers: http::HeaderMap,
    ) -> Result<Answer, TransportError> {
        let tls = match (self.transport.alpn(), &self.tls) {
            (Some(alpn), Some(tls)) => Some(self.config(tls.renewed().await, alpn)),
            _ => None,
        };
        let message = Message { body, encoding: self.encoding, headers };
        self.transport.push(message, tls).await
    }

    /// The same configuration for as long as the certificates are the same, so that sessions are
    /// resumed.
    fn config(&self, current: Arc<ClientConfig>, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut made = self.made.lock();
        if let Some((from, config)) = &*made
            && Arc::ptr_eq(from, &current)
        {
            return Arc::clone(config);
        }
        let mut config = (*current).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let config = Arc::new(config);
        *made = Some((current, Arc::clone(&config)));
        config
    }
}
