//! Small helpers around files: private writes, and logs for errors.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{FileContext, Result};

/// Writes a file that only its owner may read, whole or not at all. Keys and kubeconfigs are secrets even in tests.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file has mode 0600, also when the file that it replaces was readable for all.
    let mut file = NamedTempFile::new_in(folder).file("create a file in", folder)?;
    file.write_all(content.as_bytes()).file("write", path)?;
    file.persist(path).map_err(|error| error.error).file("write", path)?;
    Ok(())
}

/// Creates a folder with its parents.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).file("create", path)
}

/// What was written to a log since it had `start` bytes; a log that cannot be read is empty.
pub(crate) fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    // The caller quotes the log in an error already; that it is missing as well would hide the cause.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a text, for an error.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_quote_only_the_end_of_a_long_output() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
