//! Other programs: started, bounded in time, and ended by the id that starting them gave.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Fallible, fail};

/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(5);

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Said {
    /// The last lines of both streams: enough to see why a program failed.
    pub(crate) fn tail(&self) -> String {
        let out = String::from_utf8_lossy(&self.out);
        let lines: Vec<&str> = out.lines().chain(self.err.lines()).collect();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }

    /// An error unless the program succeeded.
    pub(crate) fn ok(self, what: &str) -> Fallible<Self> {
        if self.status.success() {
            return Ok(self);
        }
        fail(format!("{what}: {}: {}", self.status, self.tail()))
    }
}

/// Runs a program to its end, feeding it `input`; after `limit` its whole process group is killed.
pub(crate) fn run(command: &mut Command, input: &[u8], limit: Duration) -> Fallible<Said> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    // A program that ends without reading its input is judged by its status.
    let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let ended = wait(&mut child, limit)?;
    let Some(status) = ended else {
        kill_group(&mut child)?;
        let err = err.join().unwrap_or_default();
        let err = String::from_utf8_lossy(&err).into_owned();
        return fail(format!("{name} did not end within {limit:?}: {err}"));
    };
    drop(writer.join());
    let err = err.join().unwrap_or_default();
    Ok(Said {
        status,
        out: out.join().unwrap_or_default(),
        err: String::from_utf8_lossy(&err).into_owned(),
    })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ended = pipe.read_to_end(&mut all);
        }
        all
    })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(TICK);
    }
}

/// Ends a process group that a child leads which nobody has waited for: so the id cannot be another's.
pub(crate) fn kill_group(child: &mut Child) -> Fallible<()> {
    let _gone = kill_process_group(pid_of(child)?, Signal::KILL);
    child.wait()?;
    Ok(())
}

fn pid_of(child: &Child) -> Fallible<Pid> {
    let raw = i32::try_from(child.id())?;
    Pid::from_raw(raw).ok_or_else(|| "a child without an id".into())
}

/// A daemon that we started; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts a program with both output streams appended to the file `log`.
    pub(crate) fn start(command: &mut Command, name: &str, log: &Path) -> Fallible<Self> {
        let file = File::options().append(true).create(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All that the program wrote so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until something listens on a loopback port.
    pub(crate) fn wait_port(&mut self, port: u16, limit: Duration) -> Fallible<()> {
        let end = Instant::now() + limit;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if !self.alive() || Instant::now() > end {
                let log = self.log();
                let tail: Vec<&str> = log.lines().rev().take(8).collect();
                return fail(format!(
                    "{} does not listen on port {port}: {}",
                    self.name,
                    tail.join(" | ")
                ));
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// SIGTERM, then the status; SIGKILL when it takes longer than `limit`, which is an error.
    pub(crate) fn stop(mut self, limit: Duration) -> Fallible<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        if let Some(status) = wait(&mut self.child, limit)? {
            return Ok(status);
        }
        fail(format!(
            "{} did not end within {limit:?} of SIGTERM",
            self.name
        ))
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(mut self) -> Fallible<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal to this one process.
    pub(crate) fn signal(&self, signal: Signal) -> Fallible<()> {
        Ok(kill_process(pid_of(&self.child)?, signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only what has not been waited for yet can be killed, so the id cannot be another's.
        if let Ok(None) = self.child.try_wait() {
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// As many open files as the machine allows; returns how many.
pub(crate) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Where it cannot be raised, the checks that need more say so.
    let _raised = setrlimit(Resource::Nofile, most);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What a process and its descendants use.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    /// Proportional set size, in octets: shared pages are counted once.
    pub(crate) pss: u64,
    /// Processor time, children that ended included, in seconds.
    pub(crate) cpu: f64,
    /// How many processes.
    pub(crate) processes: usize,
}

/// Adds up a process and its descendants.
pub(crate) fn usage(root: u32) -> Usage {
    let mut all = Usage::default();
    for pid in family(root) {
        all.processes += 1;
        all.pss += smaps(pid, "Pss:");
        all.cpu += cpu_seconds(pid);
    }
    all
}

/// Resident set size of one process, in octets.
pub(crate) fn resident(pid: u32) -> u64 {
    smaps(pid, "Rss:")
}

/// The most that was resident of a process so far, in octets; 0 once it has ended.
pub(crate) fn most_resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    kib.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn smaps(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    kib.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// `proc_pid_stat(5)`: the fields after the name in parentheses, which may hold blanks itself.
fn stat_fields(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

fn cpu_seconds(pid: u32) -> f64 {
    // utime, stime, cutime, cstime: fields 14 to 17, counted from the process id as 1.
    let fields = stat_fields(pid);
    let ticks: u64 = fields
        .iter()
        .skip(11)
        .take(4)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// A process and all below it.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        {
            let parent = stat_fields(pid).get(1).and_then(|f| f.parse::<u32>().ok());
            parents.push((pid, parent.unwrap_or(0)));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let of = found[next];
        found.extend(
            parents
                .iter()
                .filter(|&&(_, parent)| parent == of)
                .map(|&(pid, _)| pid),
        );
        next += 1;
    }
    found
}
