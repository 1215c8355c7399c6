use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use jetwash::{Dictionary, Jetstream};
use jetwash_serve::{ServeOptions, Server as JetwashServer};
use tokio::net::TcpListener;

/// The options of the server under load, some of those of `jetwash-server`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArguments {
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

/// The server under load, as this program runs it in a process of its own.
pub(crate) fn serve(arguments: ServeArguments) -> Result<(), Box<dyn Error>> {
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (jetstream, ingest) = builder.build()?;
        let server = JetwashServer::new(jetstream.clone(), options);
        let listener = TcpListener::bind(arguments.listen).await?;
        eprintln!("subscribe at ws://{}/subscribe", listener.local_addr()?);
        tokio::spawn(server.serve(listener, std::future::pending()));
        Ok(ingest.run(std::future::pending()).await?)
    })
}

/// A server in a process of its own. It is ended when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `program`, or this program itself, with arguments, and waits until it listens.
    pub(crate) fn start(
        program: Option<&PathBuf>,
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
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("the server has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = loop {
            let line = lines
                .next()
                .ok_or("the server ended before it listened")??;
            let place = line.split_once("subscribe at ws://");
            if let Some((address, _)) = place.and_then(|(_, rest)| rest.split_once('/')) {
                break address.parse()?;
            }
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

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that a process has used, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64, Box<dyn Error>> {
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
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no resident size")?.parse::<u64>()? * 1024)
}
