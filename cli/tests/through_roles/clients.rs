//! Clients of one protocol each.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tidegate_relay::http;

use crate::apps::map;
use crate::processes::PATIENCE;

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Names in lower case with their values, sorted.
pub(crate) type Fields = Vec<(String, String)>;

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A whole response: its status, and what came behind the body.
    Whole(u16, Fields),
    /// A response that was cut off, or none.
    Broken,
}

/// Everything that comes back for some bytes, until the connection ends.
pub(crate) fn talk(port: u16, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A role that has heard enough closes while the rest is being sent.
    let _ = stream.write_all(bytes.as_bytes());
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// An upload in chunks with trailers over HTTP/1.1.
pub(crate) fn http1(port: u16, trailers: &[(String, String)]) -> Got {
    let lines: String =
        trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let response = talk(
        port,
        &format!(
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTE: trailers\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{lines}\r\n"
        ),
    );
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    match (status, body.split_once("\r\n0\r\n")) {
        (Some(status), Some((_, trailers))) if trailers.ends_with("\r\n") => {
            Got::Whole(status, lines_of(trailers))
        }
        (Some(status), None) if !is_chunked => Got::Whole(status, Vec::new()),
        _ => Got::Broken,
    }
}

/// The same over HTTP/2.
pub(crate) fn http2(port: u16, trailers: &[(String, String)]) -> Got {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::post("http://h/").header("te", "trailers").body(()).unwrap();
        let (response, mut sending) = sender.send_request(request, false)?;
        sending.send_data(Bytes::from_static(b"hi"), false)?;
        sending.send_trailers(map(trailers))?;
        let response = response.await?;
        let (status, mut body) = (response.status().as_u16(), response.into_body());
        while let Some(piece) = body.data().await {
            let length = piece?.len();
            body.flow_control().release_capacity(length)?;
        }
        Ok::<_, h2::Error>(Got::Whole(status, fields_of(body.trailers().await?)))
    };
    let exchange = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
    exchange.expect("an end comes").unwrap_or(Got::Broken)
}

/// The fields in lines of text.
pub(crate) fn lines_of(text: &str) -> Fields {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    sorted(pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
}

/// The fields of a map.
pub(crate) fn fields_of(map: Option<HeaderMap>) -> Fields {
    let map = map.unwrap_or_default();
    let pairs = map
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()));
    sorted(pairs)
}

fn sorted(fields: impl Iterator<Item = (String, String)>) -> Fields {
    let mut fields: Fields = fields.collect();
    fields.sort();
    fields
}
