//! The door of pages that this machine serves: which hosts a request may name and which origins a form may come
//! from, exactly; and the headers of every answer. A page elsewhere can neither read ours by renaming its own host
//! (DNS rebinding), nor send a form in the owner's name, nor show ours in a frame.
//!
//! Text alone: which HTTP library brings the headers is the caller's business.

use crate::exit::{Code, Failure};
use std::net::SocketAddr;

/// The policy of every page: files of ours, nothing inline, no frame, no form to elsewhere.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
/// Headers of every answer, unless its own say otherwise.
pub const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
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
    /// The doors of pages that listen here and are known by this machine's own names.
    pub fn here(listen: SocketAddr) -> Self {
        let port = listen.port();
        let mut hosts = vec![listen.to_string()];
        if listen.ip().is_loopback() || listen.ip().is_unspecified() {
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        hosts.dedup();
        let origins = hosts.iter().map(|host| format!("http://{host}")).collect();
        Self { hosts, origins, secure: false }
    }

    /// The doors of pages that are known by one URL, which `key` of the configuration names.
    ///
    /// # Errors
    /// It is no URL of a host.
    pub fn public(key: &str, url: &str) -> Result<Self, Failure> {
        let wrong =
            || Failure::new(Code::Usage, format!("`{key}` is {url}: expected https://HOST[:PORT]"));
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

    /// Whether a request may come in that names these hosts: one, and one of ours.
    pub fn lets_host_in<'a>(&self, named: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut named = named.into_iter();
        let (host, second) = (named.next(), named.next());
        let host = host.and_then(|host| str::from_utf8(host).ok()).map(str::to_ascii_lowercase);
        second.is_none() && host.is_some_and(|host| self.hosts.contains(&host))
    }

    /// Browsers say with every form where it comes from (`Origin`, `Sec-Fetch-Site`); who does not say is no
    /// browser with a page of ours.
    pub fn lets_form_in(&self, origin: Option<&str>, site: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.origins.iter().any(|own| own == origin))
            && site.is_none_or(|site| site == "same-origin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Doors {
        Doors::here("127.0.0.1:7422".parse().expect("an address"))
    }

    #[test]
    fn only_its_own_names_are_let_in() {
        let doors = here();
        let lets = |host: &str| doors.lets_host_in([host.as_bytes()]);
        assert!(lets("127.0.0.1:7422") && lets("localhost:7422") && lets("LOCALHOST:7422"));
        for host in
            ["evil.example", "127.0.0.1", "127.0.0.1:7423", "localhost:7422.evil.example", ""]
        {
            assert!(!lets(host), "{host}");
        }
        assert!(!doors.lets_host_in([]));
        assert!(!doors.lets_host_in([&b"localhost:7422"[..], b"evil.example"]));
    }

    #[test]
    fn only_its_own_forms_are_let_in() {
        let doors = Doors::public("ui.public", "https://Pool.example/").expect("a URL");
        assert!(doors.secure && !here().secure);
        let lets = |origin: &str, site: Option<&str>| doors.lets_form_in(Some(origin), site);
        assert!(lets("https://pool.example", None));
        assert!(lets("https://pool.example", Some("same-origin")));
        assert!(!lets("https://pool.example", Some("cross-site")));
        for origin in ["http://pool.example", "https://pool.example.evil", "null", ""] {
            assert!(!lets(origin, None), "{origin}");
        }
        assert!(!doors.lets_form_in(None, None));
        for url in ["pool.example", "ftp://pool.example", "https://", "https://a/b", "https://u@h"]
        {
            assert!(Doors::public("ui.public", url).is_err(), "{url}");
        }
    }
}
