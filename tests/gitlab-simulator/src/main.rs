//! The simulator as a process: starts, prints one line of JSON and serves until it is told to end.

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};
use gitlab_simulator::{Backend, Clock, Config, Registry, Scope, Settings, Simulator, TokenKind, Version, seed};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// A GitLab that only knows its container registry API, as the real server behaves.
#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve https, and write the certificate authority to `ca.crt` in this directory.
    #[arg(long, value_name = "DIR")]
    tls_directory: Option<PathBuf>,
    /// A further host name of the certificate, besides localhost and loopback.
    #[arg(long, value_name = "NAME")]
    tls_name: Vec<String>,
    /// Address that clients use, if it is another one; it stands in Link headers.
    #[arg(long, value_name = "URL")]
    external_url: Option<String>,
    /// Data to begin with.
    #[arg(long, value_enum, default_value = "demo")]
    seed: Seed,
    /// GitLab release to imitate, from 11.8 to 18.5.
    #[arg(long, default_value_t = Version::default())]
    version: Version,
    /// The registry behind it.
    #[arg(long, value_enum, default_value = "metadata-database")]
    backend: BackendArg,
    /// The clock: the system's, or one that stands still until advanced through the admin API.
    #[arg(long, value_enum, default_value = "system")]
    clock: ClockArg,
    /// How long a background job waits before it runs.
    #[arg(long, default_value = "2s")]
    job_delay: SignedDuration,
    /// File with the maintainer's token: used if it exists, written otherwise.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Seed {
    Demo,
    Cases,
    Empty,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BackendArg {
    MetadataDatabase,
    PlainRegistry,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClockArg {
    System,
    Manual,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    // Before anything is served: a signal in between must not be lost.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sim = Simulator::start(config(&args)).await?;
    let token = sim.edit(|registry| fill(registry, &args))?;
    let ca = args.tls_directory.as_deref().map(|directory| write_ca(directory, &sim)).transpose()?;
    let ready = json!({ "url": sim.url(), "ca": ca, "tokenFile": args.token_file, "token": token });
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    drop(stdout);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn config(args: &Args) -> Config {
    let backend = match args.backend {
        BackendArg::MetadataDatabase => Backend::MetadataDatabase,
        BackendArg::PlainRegistry => Backend::PlainRegistry,
    };
    Config {
        listen: args.listen,
        tls: args.tls_directory.is_some(),
        tls_names: args.tls_name.clone(),
        external_url: args.external_url.clone(),
        clock: match args.clock {
            ClockArg::System => Clock::system(),
            ClockArg::Manual => Clock::manual(Timestamp::now()),
        },
        settings: Settings { version: args.version, backend, job_delay: args.job_delay, ..Settings::default() },
        ..Config::default()
    }
}

/// Fills the registry and gives the maintainer a token. Returns the token only if no file carries it.
fn fill(registry: &mut Registry, args: &Args) -> Result<Option<String>, Box<dyn Error>> {
    match args.seed {
        Seed::Demo => seed::demo(registry),
        Seed::Cases => seed::cases(registry)?,
        Seed::Empty => {}
    }
    let user = seed::maintainer(registry);
    let Some(path) = &args.token_file else {
        return Ok(Some(registry.personal_token(user, &[Scope::Api])));
    };
    let known = match fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("failed to read {}: {error}", path.display()).into()),
    };
    if known.is_empty() {
        let token = registry.personal_token(user, &[Scope::Api]);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        writeln!(file, "{token}")?;
    } else {
        registry.set_token(&known, TokenKind::Personal, user, "maintainer", &[Scope::Api]);
    }
    Ok(None)
}

fn write_ca(directory: &Path, sim: &Simulator) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join("ca.crt");
    fs::write(&path, sim.ca_pem().unwrap_or_default())?;
    Ok(path)
}
