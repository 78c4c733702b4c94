//! Programs that cannot outlive this process, however it ends.
//!
//! Each is started by a small shell script that holds the reading end of a pipe. The kernel closes the other end when
//! this process ends, also by SIGKILL; then the script ends its program.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::{Error, FileContext, Result};
use crate::files::{last_lines, read_from};

const SHELL: &str = "/bin/sh";
const SUPERVISE: &str = include_str!("supervise.sh");
const REMOVE: &str = include_str!("remove.sh");

/// What to run, and what to call it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The program that needs this one, and so has to end before it.
    pub(crate) user: Option<&'static str>,
}

/// A running program; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Supervised {
    name: &'static str,
    script: Script,
    log: PathBuf,
    log_start: u64,
}

impl Supervised {
    /// Starts a program that appends to a log in `logs`, and has a file in `running` while it runs.
    pub(crate) fn start(program: &Program, logs: &Path, running: &Path) -> Result<Self> {
        let log = logs.join(format!("{}.log", program.name));
        let output = File::options().create(true).append(true).open(&log).file("open", &log)?;
        let log_start = output.metadata().file("read", &log)?.len();
        let errors = output.try_clone().file("open", &log)?;

        let mut script = Script::command(SUPERVISE, program.name);
        script.arg(program.name).arg(running).arg(program.user.unwrap_or_default());
        script.arg(&program.path).args(&program.arguments).stdout(output).stderr(errors);
        // By this process and not by the script, so that there is no moment at which a program runs without its file.
        let file = running.join(program.name);
        File::create(&file).file("create", &file)?;
        let script = Script::start(script).inspect_err(|_| drop(fs::remove_file(&file)))?;
        Ok(Self { name: program.name, script, log, log_start })
    }

    /// An error with the end of the log if the program has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.script.is_running() {
            return Ok(());
        }
        Err(Error::Ended { program: self.name, log: self.log_tail() })
    }

    /// What the program has written so far.
    pub(crate) fn log(&self) -> String {
        read_from(&self.log, self.log_start)
    }

    pub(crate) fn log_tail(&self) -> String {
        last_lines(&self.log(), 15)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the program and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        self.script.end(true);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Removes a temporary folder when this process is gone and the programs in the folder are, too.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    script: Script,
}

impl TemporaryFolder {
    /// Creates the folder. `running` is the name of the folder in it that says which programs run.
    pub(crate) fn create(running: &str) -> Result<Self> {
        let parent = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("control-plane-").tempdir().file("create a folder in", &parent)?;
        let running = folder.path().join(running);
        fs::create_dir(&running).file("create", &running)?;

        let mut script = Script::command(REMOVE, "remove");
        script.arg(running).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let script = Script::start(script)?;
        Ok(Self { path: folder.keep(), script })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        self.script.end(false);
    }
}

/// A shell with the reading end of a pipe. Nothing else has the writing end: the standard library marks it so that
/// no child inherits it.
#[derive(Debug)]
struct Script {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Script {
    fn command(text: &str, name: &str) -> Command {
        let mut shell = Command::new(SHELL);
        // A group of its own: Ctrl-C in a terminal goes to this process, which then ends the programs in order.
        shell.arg("-c").arg(text).arg(name).stdin(Stdio::piped()).process_group(0);
        shell
    }

    fn start(mut command: Command) -> Result<Self> {
        let spawned = command.spawn();
        let mut shell = spawned.map_err(|source| Error::Spawn { program: SHELL.to_owned(), source })?;
        Ok(Self { pipe: shell.stdin.take(), shell })
    }

    fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Closes the pipe, with or without the word that makes it urgent, and waits for the script. It ends by itself,
    /// because it kills what does not end.
    fn end(&mut self, now: bool) {
        if let Some(mut pipe) = self.pipe.take() {
            // A script that has ended already does not read any more, and that is all right.
            let _ = if now { pipe.write_all(b"stop\n") } else { Ok(()) };
        }
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// A shell that runs `text` as if it were a server.
    fn server(name: &'static str, text: &str, user: Option<&'static str>) -> Program {
        Program { name, path: "/bin/sh".into(), arguments: vec!["-c".into(), text.into()], user }
    }

    fn start(program: &Program, folder: &Path) -> Supervised {
        Supervised::start(program, folder, folder).unwrap()
    }

    /// The id of the program itself, once it runs.
    fn id_of(name: &str, folder: &Path) -> String {
        loop {
            let ids = fs::read_to_string(folder.join(name)).unwrap_or_default();
            if let Some((_, program)) = ids.trim_end().split_once(' ') {
                return program.to_owned();
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn exists(id: &str) -> bool {
        Command::new("/bin/sh").args(["-c", "kill -0 \"$1\" 2>/dev/null", "sh", id]).status().unwrap().success()
    }

    #[test]
    fn a_program_ends_when_the_pipe_closes() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleeper = start(&server("sleeper", "exec sleep 1000", None), folder.path());
        let id = id_of("sleeper", folder.path());
        assert!(exists(&id));
        assert!(sleeper.check().is_ok());

        // What the kernel does when this process is killed.
        drop(sleeper.script.pipe.take());
        sleeper.script.shell.wait().unwrap();
        assert!(!exists(&id));
        assert!(!folder.path().join("sleeper").exists());
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let sleeper = start(&server("sleeper", "exec sleep 1000", None), folder.path());
        let id = id_of("sleeper", folder.path());
        drop(sleeper);
        assert!(!exists(&id));
    }

    #[test]
    fn a_program_outlives_the_one_that_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, user) = (folder.path().join("store.log"), folder.path().join("user"));
        let text = format!(
            "trap '[ -e {} ] && echo too early; exit' TERM; echo up; while :; do sleep 0.1; done",
            user.display()
        );
        let mut needed = start(&server("store", &text, Some("user")), folder.path());
        let mut user = start(&server("user", "exec sleep 1000", None), folder.path());
        id_of("user", folder.path());
        while needed.log().is_empty() {
            sleep(Duration::from_millis(10));
        }

        drop(needed.script.pipe.take());
        drop(user.script.pipe.take());
        needed.script.shell.wait().unwrap();
        user.script.shell.wait().unwrap();
        assert_eq!(fs::read_to_string(store).unwrap(), "up\n");
    }

    #[test]
    fn a_program_that_ended_is_reported_with_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("broken.log"), "from an earlier start\n").unwrap();
        let text = "echo 'bind: address already in use' >&2; exit 1";
        let mut broken = start(&server("broken", text, None), folder.path());
        broken.script.shell.wait().unwrap();
        let error = broken.check().unwrap_err();
        assert!(error.is_port_taken());
        assert!(!error.to_string().contains("earlier"), "{error}");
    }

    #[test]
    fn a_temporary_folder_goes_after_the_last_program() {
        let folder = TemporaryFolder::create("running").unwrap();
        let path = folder.path().to_owned();
        let ended = path.with_extension("ended");
        let text = format!("trap 'touch {}; exit' TERM; echo up; while :; do sleep 0.1; done", ended.display());
        let running = path.join("running");
        let mut program = Supervised::start(&server("server", &text, None), &path, &running).unwrap();
        while program.log().is_empty() {
            sleep(Duration::from_millis(10));
        }

        drop(program.script.pipe.take());
        drop(folder);
        assert!(!path.exists());
        assert!(ended.exists(), "the folder was removed under a running program");
        fs::remove_file(ended).unwrap();
    }
}
