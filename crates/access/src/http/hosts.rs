//! Which names a request may be for. A web page can make its own name point at 127.0.0.1 and then ask
//! us as if it were ours; the name in `Host` gives it away (RFC 9110 §7.2).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{Request, header, uri::Authority};

/// The names and addresses that requests may be for: this machine's own (`localhost`, 127.0.0.0/8, `::1`)
/// and those that were named.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<BTreeSet<String>>);

impl Hosts {
    /// This machine's own, and these: names without a port, addresses without brackets.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let folded = |name: S| plain(name.as_ref()).to_ascii_lowercase();
        Self(Arc::new(names.into_iter().map(folded).collect()))
    }

    /// Whether a name, without a port, is one of them.
    pub fn contains(&self, host: &str) -> bool {
        let host = plain(host).to_ascii_lowercase();
        let loopback = match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host == "localhost",
        };
        loopback || self.0.contains(&host)
    }

    /// Whether a request is for one of them: exactly one `Host`, and the same for what stands before
    /// the path, if anything does.
    pub(super) fn permit<B>(&self, request: &Request<B>) -> bool {
        let mut fields = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (fields.next(), fields.next()) else {
            return false;
        };
        let Ok(authority) = Authority::try_from(host.as_bytes()) else {
            return false;
        };
        let known = |a: &Authority| !a.as_str().contains('@') && self.contains(a.host());
        known(&authority) && request.uri().authority().is_none_or(known)
    }
}

/// Without the brackets of an IPv6 address and the last dot of a name.
fn plain(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(hosts: &Hosts, fields: &[&str], target: &str) -> bool {
        let mut request = Request::builder().uri(target);
        for field in fields {
            request = request.header(header::HOST, *field);
        }
        hosts.permit(&request.body(()).expect("a request"))
    }

    #[test]
    fn this_machine_and_what_was_named() {
        let hosts = Hosts::new(["Mail.Example.org", "[2001:db8::1]", "192.0.2.7"]);
        for host in [
            "localhost",
            "LOCALHOST:8110",
            "127.0.0.1:8110",
            "127.9.9.9",
            "[::1]:8110",
            "mail.example.org",
            "mail.example.org.:443",
            "[2001:db8::1]:8110",
            "192.0.2.7:80",
        ] {
            assert!(permitted(&hosts, &[host], "/"), "{host}");
        }
    }

    #[test]
    fn rebound_doubled_and_disguised_names_are_refused() {
        let hosts = Hosts::new(["mail.example.org"]);
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "0.0.0.0:8110",
            "localhost@evil.example",
            "evil@localhost",
            "mail.example.org.evil.example",
            "",
            "local host",
        ] {
            assert!(!permitted(&hosts, &[host], "/"), "{host}");
        }
        assert!(!permitted(&hosts, &[], "/"));
        assert!(!permitted(&hosts, &["localhost", "localhost"], "/"));
        assert!(!permitted(&hosts, &["localhost"], "http://evil.example/"));
        assert!(permitted(&hosts, &["localhost"], "http://localhost:8110/"));
    }
}
