//! The files that commands are given: policies, tokens and certificates. What is wrong with one is said without its
//! contents.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Longest file that is read, in bytes: no policy, token or certificate is as long.
const MAX_FILE: u64 = 4 * 1024 * 1024;

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
    String::from_utf8(read(path)?).map_err(|_| Error::Content { file: shown(path), problem: "it is not text" })
}

/// Reads a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::File(shown(path), error);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    source.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::Content { file: shown(path), problem: "it is longer than 4 MiB" });
    }
    Ok(bytes)
}

/// A path as messages name it.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
