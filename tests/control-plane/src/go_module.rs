//! The Go modules next to this package, and how a program is built from them.

use std::env::consts::{ARCH, OS};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{Context, SHA256};

use crate::error::{Error, FileContext, Result};
use crate::files::last_lines;
use crate::tools::{Tool, variable};

const FLAGS: [&str; 3] = ["build", "-trimpath", "-buildvcs=false"];

const ENVIRONMENT: [(&str, &str); 3] = [("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];

/// A Go module whose only content is what it requires. Its two files are part of this program, so that what is built
/// and the name of the folder it is kept in cannot differ.
#[derive(Debug)]
pub(crate) struct GoModule {
    go_mod: &'static str,
    go_sum: &'static str,
    tools: &'static [Tool],
}

impl GoModule {
    pub(crate) const CONTROL_PLANE: Self = Self {
        go_mod: include_str!("../go/go.mod"),
        go_sum: include_str!("../go/go.sum"),
        tools: &Tool::CONTROL_PLANE,
    };

    pub(crate) const OLDEST: Self = Self {
        go_mod: include_str!("../oldest/go.mod"),
        go_sum: include_str!("../oldest/go.sum"),
        tools: &[Tool::KubeApiserver, Tool::KubeControllerManager],
    };

    pub(crate) const HELM: Self =
        Self { go_mod: include_str!("../helm/go.mod"), go_sum: include_str!("../helm/go.sum"), tools: &[Tool::Helm] };

    /// The version of a required module.
    pub(crate) fn version_of(&self, module: &str) -> &'static str {
        let mut versions = self.go_mod.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != module).skip(1);
            words.next().filter(|word| word.starts_with('v'))
        });
        versions.next_back().unwrap_or_default()
    }

    /// The version of a program that is built from it.
    pub(crate) fn version(&self, tool: Tool) -> &'static str {
        self.version_of(tool.module_path())
    }

    /// Names the folder of the programs: another version, another checksum or another flag gives another name.
    pub(crate) fn key(&self) -> String {
        let mut parts = vec![self.go_mod.to_owned(), self.go_sum.to_owned(), OS.to_owned(), ARCH.to_owned()];
        parts.extend(FLAGS.map(str::to_owned));
        parts.extend(ENVIRONMENT.map(|(name, value)| format!("{name}={value}")));
        parts.extend(
            self.tools.iter().map(|tool| format!("{} {}", tool.package(), tool.linker_flags(self.version(*tool)))),
        );
        digest(&parts)
    }

    /// Builds one program into `folder`, unless another process did it meanwhile.
    pub(crate) fn build(&self, tool: Tool, folder: &Path) -> Result<PathBuf> {
        let source = folder.join("source");
        fs::create_dir_all(&source).file("create", &source)?;
        let _lock = lock(&folder.join("lock"))?;
        let program = folder.join(tool.program());
        if program.is_file() {
            return Ok(program);
        }
        for (name, text) in [("go.mod", self.go_mod), ("go.sum", self.go_sum)] {
            let path = source.join(name);
            fs::write(&path, text).file("write", &path)?;
        }
        say(&format!("building {} {} (about {}, once)", tool.program(), self.version(tool), tool.build_time()));
        // Written under another name first: an interrupted build must not leave half a program behind.
        let partial = folder.join(format!("{}.partial", tool.program()));
        let objects = folder.join("objects");
        self.go_build(tool, &source, &partial, &objects)?;
        fs::rename(&partial, &program).file("create", &program)?;
        if self.tools.iter().all(|tool| folder.join(tool.program()).is_file()) && objects.exists() {
            fs::remove_dir_all(&objects).file("remove", &objects)?;
        }
        Ok(program)
    }

    /// What Go compiles goes to `objects`: gigabytes, which nothing needs once the programs are there. A cache that the
    /// environment names is somebody's wish, and stays.
    fn go_build(&self, tool: Tool, source: &Path, target: &Path, objects: &Path) -> Result<()> {
        let mut go = Command::new("go");
        go.args(FLAGS)
            .arg("-ldflags")
            .arg(tool.linker_flags(self.version(tool)))
            .arg("-o")
            .arg(target)
            .arg(tool.package());
        go.current_dir(source).envs(ENVIRONMENT).env_remove("GOOS").env_remove("GOARCH");
        if variable("GOCACHE").is_none() {
            go.env("GOCACHE", objects);
        }
        let output = go.output().map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::GoMissing { program: tool.program(), go: self.go_version() },
            _ => Error::Spawn { program: "go".to_owned(), source },
        })?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(Error::Build { program: tool.program(), output: last_lines(&text, 20) })
    }

    fn go_version(&self) -> String {
        let line = self.go_mod.lines().find_map(|line| line.strip_prefix("go "));
        line.unwrap_or_default().trim().to_owned()
    }
}

/// Sixteen hexadecimal digits over texts, each with its length so that text cannot move from one to the next unseen.
fn digest(parts: &[String]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_le_bytes());
        context.update(part.as_bytes());
    }
    let start = context.finish().as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(start))
}

/// Waits until no other process builds here.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).file("create", path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say("waiting for another process that builds the programs");
            file.lock().file("lock", path)?;
        }
        Err(TryLockError::Error(source)) => return Err(source).file("lock", path),
    }
    Ok(file)
}

/// Writes past the capture of the test runner: whoever waits for minutes should see why, at once.
fn say(text: &str) {
    // Nothing depends on the line, so a closed stderr is no reason to fail.
    let _ = writeln!(io::stderr(), "control-plane: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: GoModule = GoModule {
        go_mod: "module x\n\ngo 1.26.0\n\nrequire example.test/y v1.2.3\n\nreplace example.test/z => example.test/z v9.0.0\n",
        go_sum: "example.test/y v1.2.3 h1:abc\n",
        tools: &[Tool::Etcd],
    };

    #[test]
    fn the_key_is_the_same_for_the_same_input() {
        assert_eq!(MODULE.key(), MODULE.key());
        assert_eq!(MODULE.key().len(), 16);
    }

    #[test]
    fn the_key_changes_with_versions_checksums_and_programs() {
        let others = [
            GoModule { go_mod: "module x\n", ..MODULE },
            GoModule { go_sum: "", ..MODULE },
            GoModule { tools: &[Tool::Etcd, Tool::Kubectl], ..MODULE },
        ];
        for other in &others {
            assert_ne!(other.key(), MODULE.key());
        }
        assert_ne!(GoModule::CONTROL_PLANE.key(), GoModule::HELM.key());
    }

    #[test]
    fn text_that_moves_between_two_inputs_changes_the_key() {
        let digest = |parts: [&str; 2]| digest(&parts.map(str::to_owned));
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
    }

    #[test]
    fn versions_are_read_from_the_require_lines() {
        assert_eq!(MODULE.version_of("example.test/y"), "v1.2.3");
        assert_eq!(MODULE.version_of("example.test/none"), "");
        assert_eq!(MODULE.go_version(), "1.26.0");
    }
}
