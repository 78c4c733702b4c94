//! The program `control-plane`: builds what a control plane needs, says where it is, and runs one until told to stop.

use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use control_plane::{Cluster, Options, Tool, Toolbox};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const HELP: &str = "\
A real Kubernetes control plane on loopback, without nodes.

Usage:
  control-plane install [--helm]   build what is missing (with helm if asked for), print the folder
  control-plane which PROGRAM      print the path of a program, build it if it is missing
  control-plane up [OPTION...]     start, print one line of JSON, run until SIGINT or SIGTERM

Options of up:
  --directory DIR        keep data and logs in DIR (default: a temporary folder, removed in the end)
  --kubeconfig PATH      also write the kubeconfig of an administrator to PATH
  --until-stdin-closes   stop when stdin closes, too

Environment: KUBERNETES (a version, the newest if not set), KUBEBUILDER_ASSETS, REGISTRY_CLEANUP_CACHE, XDG_CACHE_HOME";

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the exit code still tells.
            let _ = writeln!(io::stderr(), "control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Outcome {
    let command = arguments.next().unwrap_or_default();
    match command.as_str() {
        "install" => install(arguments),
        "which" => {
            let tool = Tool::from_program(&arguments.next().ok_or("which program? See --help")?)?;
            print(&Toolbox::from_env()?.find(tool)?.display().to_string())
        }
        "up" => up(&UpArguments::parse(arguments)?),
        "--help" | "-h" | "help" => print(HELP),
        other => Err(format!("unknown command {other:?}. See --help").into()),
    }
}

fn print(line: &str) -> Outcome {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn install(arguments: impl Iterator<Item = String>) -> Outcome {
    let mut tools = Tool::CONTROL_PLANE.to_vec();
    for argument in arguments {
        match argument.as_str() {
            "--helm" => tools.push(Tool::Helm),
            other => return Err(unknown(other)),
        }
    }
    let toolbox = Toolbox::from_env()?;
    for tool in tools {
        toolbox.find(tool)?;
    }
    print(&toolbox.folder(Tool::KubeApiserver).display().to_string())
}

fn unknown(argument: &str) -> Box<dyn Error> {
    format!("unknown argument {argument:?}. See --help").into()
}

#[derive(Debug, Default)]
struct UpArguments {
    directory: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
    until_stdin_closes: bool,
}

impl UpArguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            let mut path = || arguments.next().map(PathBuf::from).ok_or(format!("{argument} needs a path"));
            match argument.as_str() {
                "--directory" => parsed.directory = Some(path()?),
                "--kubeconfig" => parsed.kubeconfig = Some(path()?),
                "--until-stdin-closes" => parsed.until_stdin_closes = true,
                other => return Err(unknown(other)),
            }
        }
        Ok(parsed)
    }
}

fn up(arguments: &UpArguments) -> Outcome {
    // A signal during the start ends this process at once, and with it what has been started.
    let cluster = Cluster::start(&Options { directory: arguments.directory.clone(), ..Options::default() })?;
    let kubeconfig = match &arguments.kubeconfig {
        Some(path) => copy_private(cluster.kubeconfig(), path)?,
        None => cluster.kubeconfig().to_owned(),
    };
    let line = json!({
        "kubeconfig": kubeconfig,
        "url": cluster.url(),
        "kubectl": cluster.kubectl_path(),
        "directory": cluster.directory(),
        "pid": std::process::id(),
    });
    let stop = watch_for_stop(arguments.until_stdin_closes)?;
    print(&line.to_string())?;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(Duration::from_millis(500)) {
        cluster.check()?;
    }
    cluster.stop();
    Ok(())
}

/// Gets a message when this program should end.
fn watch_for_stop(stdin: bool) -> Outcome<Receiver<()>> {
    let (sender, receiver) = channel();
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let send = |sender: &Sender<()>| {
        // Nobody listens any more: the program is about to end anyway.
        let _ = sender.send(());
    };
    if stdin {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut ignored = [0; 256];
            while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
            send(&sender);
        });
    }
    thread::spawn(move || {
        for _ in signals.forever() {
            send(&sender);
        }
    });
    Ok(receiver)
}

/// Copies a kubeconfig, and gives the full path of the copy.
fn copy_private(from: &Path, to: &Path) -> Outcome<PathBuf> {
    // Removed first, because a copy takes over the mode of its source only for a new file.
    if to.exists() {
        fs::remove_file(to)?;
    }
    fs::copy(from, to).map_err(|error| format!("failed to write {}: {error}", to.display()))?;
    Ok(to.canonicalize()?)
}
