//! The pages' door: which hosts a request may name and which origins a form may come from, exactly; and the
//! headers of every answer. A page elsewhere can neither read ours by renaming its own host (DNS rebinding),
//! nor send a form in the operator's name, nor show ours in a frame.

use super::{Ui, error::plain};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use quorate_common::exit::{Code, Failure};
use std::net::SocketAddr;

/// The policy of every page: files of ours, nothing inline, no frame, no form to elsewhere.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// Headers of every answer, unless its own say otherwise.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Where the pages are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Hosts, with their port where it is not the scheme's own.
    hosts: Vec<String>,
    /// The same as origins.
    origins: Vec<String>,
    /// Whether all of it is https: cookies then go nowhere else.
    pub secure: bool,
}

impl Doors {
    /// The doors of pages that listen here and are known as `public` outside, if that is set.
    ///
    /// # Errors
    /// `public` is no URL of a host.
    pub fn new(listen: SocketAddr, public: Option<&str>) -> Result<Self, Failure> {
        if let Some(public) = public {
            return Self::public(public);
        }
        let port = listen.port();
        let mut hosts = vec![listen.to_string()];
        if listen.ip().is_loopback() || listen.ip().is_unspecified() {
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        hosts.dedup();
        let origins = hosts.iter().map(|host| format!("http://{host}")).collect();
        Ok(Self { hosts, origins, secure: false })
    }

    fn public(url: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(Code::Usage, format!("`ui.public` is {url}: expected https://HOST[:PORT]"))
        };
        let origin = url.trim_end_matches('/');
        let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
        let named = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        if !named || !matches!(scheme, "http" | "https") {
            return Err(wrong());
        }
        let host = host.to_ascii_lowercase();
        let origins = vec![format!("{scheme}://{host}")];
        Ok(Self { hosts: vec![host], origins, secure: scheme == "https" })
    }

    fn lets_host_in(&self, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::HOST);
        let (host, second) = (named.next(), named.next());
        let host = host.and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
        second.is_none() && host.is_some_and(|host| self.hosts.contains(&host))
    }

    /// Browsers say with every form where it comes from; who does not say is no browser with a page of ours.
    fn lets_form_in(&self, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let site = text(HeaderName::from_static("sec-fetch-site"));
        let origin = text(header::ORIGIN);
        origin.is_some_and(|origin| self.origins.iter().any(|own| own == origin))
            && site.is_none_or(|site| site == "same-origin")
    }
}

/// Lets in what may come in, and puts the headers on everything that goes out.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let ui = request.app_data::<Data<Ui>>().expect("set at start");
    let refusal = refused(&ui.doors, &request);
    let mut response = match refusal {
        Some((status, why)) => request.into_response(plain(status, why)).map_into_boxed_body(),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    for (name, value) in HEADERS {
        if !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

fn refused(doors: &Doors, request: &ServiceRequest) -> Option<(StatusCode, &'static str)> {
    if !doors.lets_host_in(request.headers()) {
        let why = "this is not a name of these pages; set ui.public to the URL they are known by";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !doors.lets_form_in(request.headers()) {
        return Some((StatusCode::FORBIDDEN, "this form was sent from another site"));
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use actix_web::http::header::{HOST, ORIGIN};

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_its_own_names_are_let_in() {
        let doors = Doors::new("127.0.0.1:7422".parse().unwrap(), None).unwrap();
        let lets = |host: &str| doors.lets_host_in(&headers(&[(HOST, host)]));
        assert!(lets("127.0.0.1:7422") && lets("localhost:7422") && lets("LOCALHOST:7422"));
        for host in
            ["evil.example", "127.0.0.1", "127.0.0.1:7423", "localhost:7422.evil.example", ""]
        {
            assert!(!lets(host), "{host}");
        }
        assert!(!doors.lets_host_in(&headers(&[])));
        let twice = headers(&[(HOST, "localhost:7422"), (HOST, "evil.example")]);
        assert!(!doors.lets_host_in(&twice));
    }

    #[test]
    fn only_its_own_forms_are_let_in() {
        let doors =
            Doors::new("127.0.0.1:7422".parse().unwrap(), Some("https://Pool.example/")).unwrap();
        assert!(doors.secure);
        let site = || HeaderName::from_static("sec-fetch-site");
        let lets = |pairs: &[(HeaderName, &str)]| doors.lets_form_in(&headers(pairs));
        assert!(lets(&[(ORIGIN, "https://pool.example")]));
        assert!(lets(&[(ORIGIN, "https://pool.example"), (site(), "same-origin")]));
        assert!(!lets(&[(ORIGIN, "https://pool.example"), (site(), "cross-site")]));
        for origin in ["http://pool.example", "https://pool.example.evil", "null", ""] {
            assert!(!lets(&[(ORIGIN, origin)]), "{origin}");
        }
        assert!(!lets(&[]));
        for url in ["pool.example", "ftp://pool.example", "https://", "https://a/b", "https://u@h"]
        {
            assert!(Doors::new("127.0.0.1:1".parse().unwrap(), Some(url)).is_err(), "{url}");
        }
    }
}
