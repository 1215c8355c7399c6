use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jetwash::{Dictionary, Jetstream};
use jetwash_serve::{ServeOptions, Server as JetwashServer};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The options of a server under load, some of those of `jetwash-server`.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    #[arg(long)]
    relay: String,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    dictionary: PathBuf,
    /// In memory if it is not given
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[arg(long, value_parser = humantime::parse_duration)]
    write_timeout: Option<Duration>,
    #[arg(long, value_parser = humantime::parse_duration)]
    max_delay: Option<Duration>,
    #[arg(long)]
    max_streams: Option<usize>,
}

/// Runs the server under load, as a program does in a process of its own, until it is terminated.
///
/// # Errors
///
/// When the server cannot be built, or the log fails.
pub fn serve(arguments: ServeArguments) -> Result<(), Box<dyn Error>> {
    let mut builder = Jetstream::builder()
        .relay(arguments.relay)
        .dictionary(Dictionary::from_bytes(fs::read(arguments.dictionary)?)?);
    if let Some(folder) = arguments.data_dir {
        builder = builder.folder(folder);
    }
    let mut options = ServeOptions::default();
    if let Some(timeout) = arguments.write_timeout {
        options = options.write_timeout(timeout);
    }
    if let Some(delay) = arguments.max_delay {
        options = options.max_delay(delay);
    }
    if let Some(count) = arguments.max_streams {
        options = options.max_streams(count);
    }
    // As many threads as `jetwash-server` has: its memory is to be compared.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .max_blocking_threads((2 * cores).clamp(4, 16))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let (jetstream, ingest) = builder.build()?;
        let server = JetwashServer::new(jetstream.clone(), options);
        let listener = TcpListener::bind(arguments.listen).await?;
        eprintln!("subscribe at ws://{}/subscribe", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(listener, async { drop(stopped.await) }));
        // The log ends first: subscribers who are closed then have had a chance to see all of it.
        let outcome = ingest.run(async { _ = terminated.recv().await }).await;
        drop(stop);
        serving.await??;
        Ok(outcome?)
    })
}

/// A server in a process of its own. It is ended when this is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `program`, or this program itself, with arguments, and waits until it listens on a
    /// port of loopback; on any free one for port 0.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends before it listens.
    pub fn start(
        program: Option<&PathBuf>,
        port: u16,
        arguments: &[String],
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = match program {
            Some(program) => Command::new(program),
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("serve");
                command
            }
        };
        if program.is_some() {
            // All subscribers come from one address.
            command.args(["--max-connections-per-address", "0"]);
            command.args(["--metrics-listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("the server has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        let address = loop {
            let Some(line) = lines.next().transpose()? else {
                return Err(format!("the server ended before it listened: {said}").into());
            };
            let place = line.split_once("subscribe at ws://");
            if let Some((address, _)) = place.and_then(|(_, rest)| rest.split_once('/')) {
                break address.parse()?;
            }
            said = line;
        };
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("WARN") || line.contains("ERROR") || line.contains("panicked") {
                    eprintln!("server: {line}");
                }
            }
        });
        Ok(Self { child, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    ///
    /// When the system does not say it.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it at once.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in `limit`, or with a failure.
    pub fn stop(mut self, limit: Duration) -> Result<(), Box<dyn Error>> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(process.ok_or("no process")?, Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() {
                    true => Ok(()),
                    false => Err(format!("the server was asked to end, and: {status}").into()),
                };
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the server did not end in {limit:?}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that a process has used, in seconds.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_seconds(process: u32) -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process state")?;
    let mut ticks = 0;
    // User and system time are fields 14 and 15; the name is 2.
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The memory of a process that is resident, in bytes.
///
/// # Errors
///
/// When there is no such process.
pub fn resident_bytes(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no resident size")?.parse::<u64>()? * 1024)
}

/// Takes as many open files as the system allows; a server that is started then inherits it.
///
/// # Errors
///
/// When the system refuses.
pub fn raise_file_limit() -> Result<(), Box<dyn Error>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}
