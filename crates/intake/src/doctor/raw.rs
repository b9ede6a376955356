//! What only the bytes themselves show, before login: line ends, and whether commands sent together
//! are all answered.

use std::io;
use std::time::Duration;

use restante_client::{Server, dial};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::Report;
use super::reach::any_certificate;
use super::tap::{Lines, Tap};

/// How many commands are sent in one write.
const COMMANDS: usize = 4;
/// The longest answer that is read: lists of capabilities are far shorter.
const ANSWER_OCTETS: u64 = 64 * 1024;
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(20);

pub(super) async fn examine(report: &mut Report, server: &Server) {
    let server = any_certificate(server);
    let Ok(stream) = dial(&server).await else {
        return;
    };
    let lines = Lines::default();
    let tap = BufReader::new(Tap::new(stream, lines.clone()).take(ANSWER_OCTETS));
    let time = server.timeout.min(WHOLE);
    let answered = tokio::time::timeout(time, together(tap)).await;
    // A silent server has lost commands, a closing one too.
    report.pipelining.before_login = Some(matches!(answered, Ok(Ok(COMMANDS))));
    lines.note(report);
}

/// How many of the commands are answered.
async fn together<S>(mut stream: BufReader<tokio::io::Take<Tap<S>>>) -> io::Result<usize>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let socket = stream.get_mut().get_mut();
    socket
        .write_all("CAPA\r\n".repeat(COMMANDS).as_bytes())
        .await?;
    socket.flush().await?;
    let mut answered = 0;
    while answered < COMMANDS {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(answered);
        }
        if line.starts_with(b"+OK") {
            while line.trim_ascii_end() != b"." {
                line.clear();
                if stream.read_until(b'\n', &mut line).await? == 0 {
                    return Ok(answered);
                }
            }
        } else if !line.starts_with(b"-ERR") {
            return Ok(answered);
        }
        answered += 1;
    }
    let socket = stream.get_mut().get_mut();
    socket.write_all(b"QUIT\r\n").await?;
    socket.flush().await?;
    Ok(answered)
}
