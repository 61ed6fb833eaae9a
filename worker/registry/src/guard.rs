//! Where a registry may lead: to public addresses, over TLS. A redirection, a token's address or a name that
//! resolves to the owner's router, the cloud's metadata service or a service on this machine is refused, before
//! a byte is sent there; so is a name that resolves elsewhere the second time, since what was looked at is what is
//! connected to. Only what the list itself writes down as an address may be such a one.

use crate::RegistryError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use url::{Host, Url};

/// The name of this machine, which no resolver is needed for.
const LOCALHOST: &str = "localhost";
/// Where TLS is.
const TLS_PORT: u16 = 443;

/// A registry that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As orders name it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) base: Url,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    pub(crate) entries: Vec<Entry>,
}

impl Guard {
    /// Whether `url` may be asked, on behalf of `place`.
    pub(crate) fn check(&self, place: &str, url: &Url) -> Result<(), RegistryError> {
        let is_listed = self.entries.iter().any(|entry| entry.base.origin() == url.origin());
        let forbidden = |why| {
            let target = url.origin().ascii_serialization();
            Err(RegistryError::Forbidden { place: place.to_owned(), target, why })
        };
        if !url.username().is_empty() || url.password().is_some() {
            return forbidden("it carries a name or password");
        }
        if is_listed {
            return Ok(());
        }
        if url.scheme() != "https" || url.port_or_known_default() != Some(TLS_PORT) {
            return forbidden("it is not https on port 443");
        }
        let is_public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(ip.into()),
            Some(Host::Ipv6(ip)) => is_public(ip.into()),
            // What a name resolves to is looked at when it is.
            Some(Host::Domain(name)) => name != LOCALHOST,
            None => false,
        };
        if is_public { Ok(()) } else { forbidden("it is no public address") }
    }

    fn lists_localhost(&self) -> bool {
        self.entries.iter().any(|entry| entry.base.host_str() == Some(LOCALHOST))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let is_allowed = name.as_str() == LOCALHOST && self.lists_localhost();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> =
                found.filter(|address| is_allowed || is_public(address.ip())).collect();
            if public.is_empty() {
                let text = format!("{} has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is everybody's: not this machine's, its network's, or reserved for something else.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_ours = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocols = a == 0 || (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    let is_nobodys = ip.is_documentation() || ip.is_multicast() || a >= 240;
    !(is_ours || is_shared || is_protocols || is_nobodys)
}

/// Global unicast, and of that nothing that stands for an address of version 4: it would be a way around.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let is_global = a & 0xe000 == 0x2000;
    // Teredo and other protocols, documentation, 6to4.
    let is_other = (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002;
    is_global && !is_other && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(bases: &[&str]) -> Guard {
        let entry = |base: &&str| Entry { name: String::new(), base: base.parse().expect("a URL") };
        Guard { entries: bases.iter().map(entry).collect() }
    }

    #[test]
    fn only_everybodys_addresses_are_public() {
        for ip in ["8.8.8.8", "104.18.0.1", "2606:4700::1", "100.63.0.1", "172.32.0.1"] {
            assert!(is_public(ip.parse().expect(ip)), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!is_public(ip.parse().expect(ip)), "{ip}");
        }
    }

    #[test]
    fn what_is_listed_is_no_way_to_what_is_not() {
        let guard =
            guard(&["https://registry.example", "http://10.0.0.9:5000", "http://localhost:5001"]);
        let check = |url: &str| guard.check("a blob", &url.parse().expect(url));
        for url in [
            "https://registry.example/v2/",
            "https://cdn.example/x",
            "https://8.8.8.8/x",
            "http://10.0.0.9:5000/v2/",
            "http://localhost:5001/v2/",
        ] {
            check(url).expect(url);
        }
        for url in [
            "http://registry.example/v2/",
            "http://cdn.example/x",
            "https://cdn.example:22/x",
            "ftp://cdn.example/x",
            "http://169.254.169.254/latest/meta-data",
            "https://169.254.169.254/",
            "https://[fd00:ec2::254]/",
            "http://10.0.0.9:6000/",
            "https://10.0.0.9:5000/",
            "http://localhost:22/",
            "https://localhost/",
            // All of these are 127.0.0.1.
            "https://2130706433/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://[::ffff:127.0.0.1]/",
            "https://user:secret@cdn.example/",
        ] {
            let error = check(url).expect_err(url).to_string();
            assert!(error.starts_with("a blob leads to ") && !error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_resolved_only_where_it_is_listed() {
        let resolve = async |guard: Guard, name: &str| {
            guard.resolve(name.parse().expect("a name")).await.map(Iterator::count)
        };
        let error = resolve(guard(&["https://registry.example"]), LOCALHOST).await;
        let error = error.expect_err("refused").to_string();
        assert_eq!(error, "localhost has no public address");
        let count = resolve(guard(&["http://localhost:5000"]), LOCALHOST).await;
        assert!(count.expect("resolved") > 0);
    }
}
