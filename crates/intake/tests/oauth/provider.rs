//! A provider in the test: it answers as it was told to, and writes down what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// A request: its path, its parameters from the body, its Authorization header.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) form: HashMap<String, String>,
    pub(crate) authorization: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// JSON, as RFC 6749 §5 has it.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    /// RFC 6749 §5.2.
    pub(crate) fn error(code: &str) -> Self {
        Self::json(400, &format!("{{\"error\":\"{code}\"}}"))
    }

    /// RFC 6749 §5.1.
    pub(crate) fn tokens(access: &str, refresh: Option<&str>, seconds: u64) -> Self {
        let refresh = refresh.map_or(String::new(), |token| {
            format!(",\"refresh_token\":\"{token}\"")
        });
        let body = format!(
            "{{\"access_token\":\"{access}\",\"token_type\":\"Bearer\",\"expires_in\":{seconds}{refresh}}}"
        );
        Self::json(200, &body)
    }
}

type Answering = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A provider on loopback; it ends with the test's runtime.
pub(crate) struct Provider {
    pub(crate) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    /// Starts one that answers by `answer`.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log): (Answering, _) = (Arc::new(answer), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, Arc::clone(&answer), Arc::clone(&log)));
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            asked,
        }
    }

    /// An endpoint of it.
    pub(crate) fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, answer: Answering, log: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read(&mut socket).await else {
        return;
    };
    log.lock().unwrap().push(asked.clone());
    let answer = answer(&asked);
    let mut head = format!(
        "HTTP/1.1 {} Said\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // A client that has had enough may close first.
    let _sent = socket.write_all(head.as_bytes()).await;
    let _sent = socket.write_all(&answer.body).await;
    let _closed = socket.shutdown().await;
}

async fn read(socket: &mut TcpStream) -> Option<Asked> {
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        let read = socket.read(&mut piece).await.ok()?;
        if read == 0 {
            return None;
        }
        got.extend_from_slice(&piece[..read]);
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8(got[..end].to_vec()).ok()?;
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted)
                .then(|| value.trim().to_owned())
        })
    };
    let length: usize = header("content-length").map_or(0, |text| text.parse().unwrap());
    while got.len() < end + length {
        let read = socket.read(&mut piece).await.ok()?;
        got.extend_from_slice(&piece[..read]);
    }
    let form = url::form_urlencoded::parse(&got[end..]).into_owned();
    Some(Asked {
        path: head.split(' ').nth(1)?.to_owned(),
        form: form.collect(),
        authorization: header("authorization"),
    })
}
