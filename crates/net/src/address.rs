//! Where to listen, as it is typed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place to listen: `host:port`, `[::1]:110` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or an IP address (without brackets), and a port; port 0 lets the system choose.
    Tcp(String, u16),
    /// A Unix socket's absolute path.
    Unix(PathBuf),
}

/// What is wrong with an address, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| {
            Err(AddressError(format!(
                "{text:?}: {why}; write host:port, [ipv6]:port or unix:/path"
            )))
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                wrong("the path of a Unix socket must start with /")
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("the port is missing");
        };
        let Ok(port) = port.parse::<u16>() else {
            return wrong("the port must be a number from 0 to 65535");
        };
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inside)) if inside.parse::<std::net::Ipv6Addr>().is_ok() => inside,
            Some(_) => return wrong("what stands in brackets must be an IPv6 address"),
            None if host.contains(':') => return wrong("an IPv6 address needs brackets"),
            None if host.is_empty() => return wrong("the host is missing"),
            None => host,
        };
        if host.contains(|c: char| c.is_whitespace() || c == '/') {
            return wrong("the host has characters that no host name has");
        }
        Ok(Self::Tcp(host.to_owned(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_alike() {
        for text in ["localhost:1110", "127.0.0.1:0", "[::1]:995", "unix:/run/l"] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_told() {
        for text in [
            "",
            "localhost",
            ":110",
            "h:",
            "h:65536",
            "h:-1",
            "::1:110",
            "[::1]",
            "[::1:110",
            "[h]:110",
            "unix:relative",
            "unix:",
            "a b:1",
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains("host:port"), "{error}");
        }
    }
}
