//! RFC 8058: leaving a newsletter by one POST. The address comes from a stranger's mail: it may be no door into this
//! machine or its network, and it learns nothing but that somebody leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::Options;
use crate::limits::{UNSUBSCRIBE, UNSUBSCRIBE_OCTETS};

/// RFC 8058 §3.1: the one field, and its one value.
const BODY: &str = "List-Unsubscribe=One-Click";

/// Sends it. What the other side said, for people; an error says why it did not work.
pub(super) async fn one_click(uri: &str, options: &Options) -> Result<String, String> {
    let url = Url::parse(uri).map_err(|_| "The address to ask is not one.".to_owned())?;
    check(&url, options.danger_unsubscribe_private)?;
    let client = client(options)?;
    let sent = client
        .post(url.clone())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(BODY)
        .send()
        .await;
    let mut answer =
        sent.map_err(|error| format!("{} could not be asked: {}", host(&url), cause(error)))?;
    let status = answer.status();
    // To its end, so that the other side is done with it; but no further than is decent.
    let mut read = 0;
    while let Ok(Some(piece)) = answer.chunk().await {
        read += piece.len();
        if read > UNSUBSCRIBE_OCTETS {
            break;
        }
    }
    if status.is_success() {
        Ok(format!("{} answered {status}.", host(&url)))
    } else if status.is_redirection() {
        Err(format!(
            "{} answered {status}: it wants to lead elsewhere, which one-click does not do. Use its web page.",
            host(&url)
        ))
    } else {
        Err(format!("{} answered {status}.", host(&url)))
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// https, no name and password, and no address of a private network.
fn check(url: &Url, private: bool) -> Result<(), String> {
    if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
        return Err("The address to ask must begin with https:// and hold no password.".to_owned());
    }
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err("The address to ask has no host.".to_owned()),
    };
    if private || is_public(ip) {
        Ok(())
    } else {
        Err(format!(
            "{ip} is an address of a private network; it is not asked."
        ))
    }
}

fn client(options: &Options) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(UNSUBSCRIBE)
        .user_agent(concat!("restante/", env!("CARGO_PKG_VERSION")));
    if !options.danger_unsubscribe_private {
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    if let Some(path) = &options.unsubscribe_ca {
        let wrong = |why: String| format!("{}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| wrong(error.to_string()))?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(cause)
}

/// The innermost cause, without the address: it may hold a token that is the reader's own.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Finds a name's public addresses only: a name may point at a private network, and at another one each time it is asked
/// for, so that it is looked at where the connection is made.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                return Err("it has no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is somebody's on the Internet (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let reserved = a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !(reserved
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let parts = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match parts {
        // NAT64 and 6to4 lead to the IPv4 address that they hold.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, documentation, ORCHID.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        // Global unicast is 2000::/3; all else is this machine, its network, or nobody's.
        [first, ..] => first & 0xe000 == 0x2000 && first != 0x3fff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_not_asked() {
        for ip in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(ip.parse().expect("an address")), "{ip}");
        }
        for ip in [
            "9.9.9.9",
            "172.32.0.1",
            "2620:fe::fe",
            "::ffff:9.9.9.9",
            "64:ff9b::909:909",
            "2a00::1",
            "2001:4860::1",
        ] {
            assert!(is_public(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn only_https_to_somebody_is_asked() {
        for uri in [
            "http://news.example/u",
            "https://user:pass@news.example/u",
            "https://127.0.0.1/u",
            "https://[::1]/u",
            "https://0x7f.1/u",
            "https://2130706433/u",
            "https://192.168.0.1:8443/u",
        ] {
            let url = Url::parse(uri).expect(uri);
            assert!(check(&url, false).is_err(), "{uri}");
        }
        let url = Url::parse("https://news.example/u").expect("an address");
        assert!(check(&url, false).is_ok());
        assert!(
            check(
                &Url::parse("https://127.0.0.1/u").expect("an address"),
                true
            )
            .is_ok()
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_asked_either() {
        let said = one_click("https://localhost:1/u", &Options::default()).await;
        assert!(said.expect_err("refused").contains("no public address"));
    }
}
