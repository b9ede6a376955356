//! The null server: POP3 and LMTP that answer from memory, with no store, no users and no checks. What
//! it reaches is the ceiling of the harness on this machine.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::data::{BIG, Data, EACH, HUGE, trace};
use crate::Fallible;
use crate::lmtp::stuffed;

/// Replies are gathered up to this many octets before they are written.
const WRITE_OCTETS: usize = 64 * 1024;

/// Everything that is ever said.
struct Canned {
    data: Data,
    /// RETR's replies for the different messages of the session rows.
    small: Vec<Vec<u8>>,
    big: Vec<Vec<u8>>,
    /// STAT, UIDL and LIST for 20, 10,000 and 100,000 messages.
    drops: [Drop; 3],
}

struct Drop {
    stat: Vec<u8>,
    uidl: Vec<u8>,
    list: Vec<u8>,
}

fn drop_of(count: usize, octets: usize) -> Drop {
    let listing = |entry: &dyn Fn(usize) -> String| {
        let mut all = b"+OK\r\n".to_vec();
        for number in 1..=count {
            all.extend_from_slice(format!("{number} {}\r\n", entry(number)).as_bytes());
        }
        all.extend_from_slice(b".\r\n");
        all
    };
    Drop {
        stat: format!("+OK {count} {}\r\n", count * octets).into_bytes(),
        // As long as ours: 26 characters.
        uidl: listing(&|number| format!("0123456789abcdefghij{number:06}")),
        list: listing(&|_| octets.to_string()),
    }
}

fn retr(message: &[u8]) -> Vec<u8> {
    let trace = trace("u1000");
    let mut reply = format!("+OK {} octets\r\n{trace}", message.len() + trace.len()).into_bytes();
    reply.extend_from_slice(&stuffed(message));
    reply.extend_from_slice(b".\r\n");
    reply
}

impl Canned {
    fn new(with_big: bool) -> Self {
        let data = Data::new();
        let small = (0..data.different())
            .map(|which| retr(data.real(which)))
            .collect();
        let many = if with_big { BIG } else { 0 };
        let big = (0..many).map(|index| retr(&data.big(index))).collect();
        Self {
            data,
            small,
            big,
            drops: [
                drop_of(EACH, 7_000),
                drop_of(BIG, 23_900),
                drop_of(HUGE, 520),
            ],
        }
    }
}

/// Serves until it is killed.
pub(crate) fn serve(folder: &Path, ports: [u16; 3], with_big: bool) -> Fallible<()> {
    crate::process::raise_open_files();
    let canned = Arc::new(Canned::new(with_big));
    let certificates =
        CertificateDer::pem_file_iter(folder.join("certificate.pem"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    let tls = TlsAcceptor::from(Arc::new(tls));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let [pop3, pop3s, lmtp] = ports.map(|port| TcpListener::bind(("127.0.0.1", port)));
        let (pop3, pop3s, lmtp) = (pop3.await?, pop3s.await?, lmtp.await?);
        loop {
            tokio::select! {
                Ok((socket, _)) = pop3.accept() => {
                    socket.set_nodelay(true)?;
                    tokio::spawn(session(socket, Arc::clone(&canned)));
                }
                Ok((socket, _)) = pop3s.accept() => {
                    socket.set_nodelay(true)?;
                    let (tls, canned) = (tls.clone(), Arc::clone(&canned));
                    tokio::spawn(async move { session(tls.accept(socket).await?, canned).await });
                }
                Ok((socket, _)) = lmtp.accept() => {
                    socket.set_nodelay(true)?;
                    tokio::spawn(deliveries(socket));
                }
            }
        }
    })
}

async fn session(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    canned: Arc<Canned>,
) -> io::Result<()> {
    let (mut input, mut output) = (Vec::with_capacity(1024), Vec::with_capacity(4096));
    let mut user = String::new();
    stream.write_all(b"+OK ready\r\n").await?;
    stream.flush().await?;
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &input[at..]) {
            let line = String::from_utf8_lossy(&input[at..at + end]).into_owned();
            at += end + 1;
            let (verb, argument) = line
                .trim_end()
                .split_once(' ')
                .unwrap_or((line.trim_end(), ""));
            if verb == "USER" {
                argument.clone_into(&mut user);
            }
            output.extend_from_slice(answer(&canned, &user, verb, argument));
            if output.len() > WRITE_OCTETS {
                stream.write_all(&output).await?;
                output.clear();
            }
            if verb == "QUIT" {
                stream.write_all(&output).await?;
                return stream.shutdown().await;
            }
        }
        input.drain(..at);
        stream.write_all(&output).await?;
        stream.flush().await?;
        output.clear();
    }
}

fn answer<'c>(canned: &'c Canned, user: &str, verb: &str, argument: &str) -> &'c [u8] {
    let index = argument.parse::<usize>().unwrap_or(1).saturating_sub(1);
    let maildrop = match user {
        "big" => &canned.drops[1],
        "huge" => &canned.drops[2],
        _ => &canned.drops[0],
    };
    match verb {
        "STAT" => &maildrop.stat,
        "UIDL" => &maildrop.uidl,
        "LIST" => &maildrop.list,
        "RETR" if user == "big" => &canned.big[index % BIG],
        "RETR" => {
            let number = user
                .get(1..)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            &canned.small[canned.data.which(number, index)]
        }
        _ => b"+OK\r\n",
    }
}

async fn deliveries(socket: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(WRITE_OCTETS, socket);
    stream.write_all(b"220 ready\r\n").await?;
    let (mut line, mut in_data) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match (in_data, line.as_slice()) {
            (true, b".\r\n") => b"250 2.0.0 kept nowhere\r\n",
            (true, _) => continue,
            (false, b"DATA\r\n") => b"354 go on\r\n",
            (false, b"QUIT\r\n") => return stream.write_all(b"221 bye\r\n").await,
            (false, _) => b"250 ok\r\n",
        };
        in_data = reply.starts_with(b"354");
        stream.write_all(reply).await?;
    }
}
