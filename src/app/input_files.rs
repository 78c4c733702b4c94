//! The files that commands are given: policies, tokens and certificates. What is wrong with one is said without its
//! contents.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// How long a file may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    bytes: u64,
    /// What is said of a file that is longer.
    problem: &'static str,
}

/// No policy, token or certificate is as long.
const USUAL: Limit = Limit { bytes: 4 * 1024 * 1024, problem: "it is longer than 4 MiB" };

/// Manifests of a whole cluster may be long. What has no end is not read until the memory is full.
pub(super) const OF_MANIFESTS: Limit = Limit { bytes: 64 * 1024 * 1024, problem: "it is longer than 64 MiB" };

/// The token for GitLab. There is no way to give it as the value of a flag, which everybody on the machine could see.
#[derive(Debug)]
pub enum Token {
    /// In this file.
    File(PathBuf),
    /// This one.
    Given(SecretString),
}

/// Why a file does not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("failed to read {0}")]
    File(String, #[source] io::Error),
    /// It is not what it should be.
    #[error("{file}: {problem}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

pub(super) fn read_token(token: &Token) -> Result<SecretString, Error> {
    let path = match token {
        Token::Given(token) => return Ok(token.clone()),
        Token::File(path) => path,
    };
    let text = read_text(path)?;
    match text.trim() {
        "" => Err(Error::Content { file: shown(path), problem: "there is no token in it" }),
        token => Ok(SecretString::from(token)),
    }
}

pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    text_within(path, USUAL)
}

/// Reads a file that may be as long as this; `-` is standard input.
pub(super) fn text_within(path: &Path, limit: Limit) -> Result<String, Error> {
    String::from_utf8(read_within(path, limit)?)
        .map_err(|_| Error::Content { file: shown(path), problem: "it is not text" })
}

/// Reads a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_within(path, USUAL)
}

fn read_within(path: &Path, limit: Limit) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::File(shown(path), error);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    source.take(limit.bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit.bytes {
        return Err(Error::Content { file: shown(path), problem: limit.problem });
    }
    Ok(bytes)
}

/// A path as messages name it.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_longer_one_is_refused_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        for (limit, most) in [(USUAL, "4 MiB"), (OF_MANIFESTS, "64 MiB")] {
            let path = folder.path().join("file");
            let file = File::create(&path).unwrap();
            file.set_len(limit.bytes).unwrap();
            assert_eq!(text_within(&path, limit).unwrap().len() as u64, limit.bytes);
            file.set_len(limit.bytes + 1).unwrap();
            let error = text_within(&path, limit).unwrap_err().to_string();
            assert_eq!(error, format!("{}: it is longer than {most}", path.display()));
        }
    }
}
