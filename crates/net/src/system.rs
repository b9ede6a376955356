//! What the operating system is asked besides sockets.

use std::io;

/// Raises the soft limit of open files towards `wanted`, as far as the hard limit allows; never
/// lowers it. Returns the limit that now holds.
///
/// # Errors
/// The system's, when it refuses; the old limit holds then.
#[cfg(unix)]
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let Some(soft) = now.current else {
        return Ok(u64::MAX);
    };
    let wanted = wanted.min(now.maximum.unwrap_or(u64::MAX));
    if wanted <= soft {
        return Ok(soft);
    }
    let limit = Rlimit {
        current: Some(wanted),
        maximum: now.maximum,
    };
    setrlimit(Resource::Nofile, limit)?;
    Ok(wanted)
}

/// There is no such limit here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn raise_open_files(_wanted: u64) -> io::Result<u64> {
    Ok(u64::MAX)
}

/// The machine's name, when it could stand in a certificate or a greeting.
pub fn host_name() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok()?;
    let is_host = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.len() <= 253 && name.split('.').all(is_host)).then_some(name)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered() {
        let first = raise_open_files(1).expect("the limit is known");
        let second = raise_open_files(first).expect("the limit is known");
        assert!(second >= first && first > 1);
    }
}
