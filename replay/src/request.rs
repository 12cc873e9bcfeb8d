//! A request as it is sent again and again.

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// The name under which requests are sent, unless a header says another.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tidegate-replay/", env!("CARGO_PKG_VERSION")));

/// A request that can be sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The header that tells the server how long the trace says that it worked, in milliseconds.
    pub(crate) service_time_header: Option<HeaderName>,
}

/// Why something cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No URL of HTTP.
    #[error("expected a URL such as http://127.0.0.1:8080/path, found `{0}`")]
    Url(String),
    /// No method.
    #[error("expected a method such as GET or POST, found `{0}`")]
    Method(String),
    /// No header.
    #[error("expected a header such as `Accept: text/html`, found `{0}`")]
    Header(String),
    /// A header that the connection itself sets.
    #[error("the header `{0}` is set by what the request is; leave it out")]
    OwnHeader(HeaderName),
}

impl Request {
    /// GET of a URL with scheme and authority.
    ///
    /// # Errors
    ///
    /// [`RequestError::Url`].
    pub fn get(url: &str) -> Result<Self, RequestError> {
        let wrong = || RequestError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let known = [Scheme::HTTP, Scheme::HTTPS];
        let is_http = uri.scheme().is_some_and(|scheme| known.contains(scheme));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if !is_http || !has_host {
            return Err(wrong());
        }
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, USER_AGENT);
        Ok(Self {
            method: Method::GET,
            uri,
            headers,
            body: Bytes::new(),
            service_time_header: None,
        })
    }

    /// The same with another method.
    ///
    /// # Errors
    ///
    /// [`RequestError::Method`]. CONNECT is none: there is nobody to tunnel to.
    pub fn method(mut self, name: &str) -> Result<Self, RequestError> {
        let method = Method::from_bytes(name.as_bytes()).ok().filter(|m| *m != Method::CONNECT);
        self.method = method.ok_or_else(|| RequestError::Method(name.to_owned()))?;
        Ok(self)
    }

    /// The same with one more header, `Name: value`. `Host` replaces the URL's own.
    ///
    /// # Errors
    ///
    /// [`RequestError::Header`], and [`RequestError::OwnHeader`] for those that frame a message.
    pub fn header(mut self, line: &str) -> Result<Self, RequestError> {
        let wrong = || RequestError::Header(line.to_owned());
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        let own = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING];
        if own.contains(&name) || name == http::header::CONNECTION {
            return Err(RequestError::OwnHeader(name));
        }
        match name == HOST || name == http::header::USER_AGENT {
            true => drop(self.headers.insert(name, value)),
            false => drop(self.headers.append(name, value)),
        }
        Ok(self)
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same, with each request's service time in a header, in milliseconds, where its arrival
    /// has one: for an app that works for as long as it is told.
    ///
    /// # Errors
    ///
    /// [`RequestError::Header`].
    pub fn service_time_header(mut self, name: &str) -> Result<Self, RequestError> {
        let parsed = name.parse().map_err(|_| RequestError::Header(name.to_owned()))?;
        self.service_time_header = Some(parsed);
        Ok(self)
    }

    /// Where it is sent.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_http_with_a_host_are_sent_to() {
        assert!(Request::get("http://[::1]:8080/a?b=c").is_ok());
        for wrong in ["", "/path", "127.0.0.1:80", "ftp://host/", "http:///path", "http://"] {
            assert_eq!(Request::get(wrong).unwrap_err(), RequestError::Url(wrong.to_owned()));
        }
    }

    #[test]
    fn headers_are_checked_when_they_are_said() {
        let request = Request::get("http://host/").expect("a URL");
        let named = request.clone().header("Host: other").expect("a header");
        assert_eq!(named.headers[HOST], "other");
        for wrong in ["Accept", ": a", "a b: c", "a: b\nc: d"] {
            let refused = request.clone().header(wrong).unwrap_err();
            assert_eq!(refused, RequestError::Header(wrong.to_owned()));
        }
        for own in ["Content-Length: 3", "transfer-encoding: chunked", "connection: close"] {
            let refused = request.clone().header(own).unwrap_err();
            assert!(matches!(refused, RequestError::OwnHeader(_)), "{own}");
        }
        assert!(request.method("CONNECT").is_err());
    }
}
