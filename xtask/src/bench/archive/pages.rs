//! How long the reader takes for a page: asked over loopback, one connection each, from the first octet of
//! the request to the last of the answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::PASSWORD;
use crate::{Fallible, fail};

/// Pages of each kind that are asked for.
const PAGES: usize = 50;

/// In milliseconds.
pub(super) struct Times {
    pub(super) median: f64,
    pub(super) p95: f64,
}

struct Browser {
    port: u16,
    cookie: String,
}

/// The list, what a search finds, and messages, each a different one.
pub(super) fn measure(port: u16, user: &str) -> Fallible<[Times; 3]> {
    let mut browser = Browser {
        port,
        cookie: String::new(),
    };
    let form = format!("user={user}&password={PASSWORD}");
    let answer = browser.ask("POST /login", &form)?;
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .and_then(|cookie| cookie.split(';').next());
    browser.cookie = cookie
        .ok_or(format!("the reader let nobody in: {answer}"))?
        .to_owned();
    let first = browser.ask("GET /mail", "")?;
    let messages: Vec<String> = first
        .split("class=\"open\" href=\"")
        .skip(1)
        .filter_map(|after| after.split_once('"'))
        .map(|(path, _)| format!("GET {path}"))
        .collect();
    if messages.len() < PAGES {
        return fail(format!(
            "a list of {} messages is too short",
            messages.len()
        ));
    }
    let always = |line: &str| vec![line.to_owned(); PAGES];
    Ok([
        browser.times(&always("GET /mail"))?,
        browser.times(&always("GET /mail?q=linux"))?,
        browser.times(&messages[..PAGES])?,
    ])
}

impl Browser {
    fn times(&self, lines: &[String]) -> Fallible<Times> {
        let mut all = Vec::with_capacity(lines.len());
        for line in lines {
            let begun = Instant::now();
            let answer = self.ask(line, "")?;
            all.push(begun.elapsed().as_secs_f64() * 1000.0);
            if !answer.starts_with("HTTP/1.1 200 ") {
                return fail(format!("{line}: {}", answer.lines().next().unwrap_or("")));
            }
        }
        all.sort_by(f64::total_cmp);
        Ok(Times {
            median: super::median(&all),
            p95: all[all.len() * 95 / 100],
        })
    }

    fn ask(&self, line: &str, form: &str) -> Fallible<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let Self { port, cookie } = self;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
