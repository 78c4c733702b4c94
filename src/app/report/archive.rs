//! Packs texts into a `tar.gz`.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What the header of a file, and the end of the archive, are made of.
const BLOCK: usize = 512;

/// A file of the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path, less than 100 bytes.
    pub(super) name: String,
    /// What it is, for people.
    pub(super) about: &'static str,
    /// What is in it.
    pub(super) content: String,
}

/// Packs files, all of this moment (seconds since 1970).
///
/// # Errors
/// When it cannot be written.
pub(super) fn pack(entries: &[Entry], moment: i64) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for entry in entries {
        let content = entry.content.as_bytes();
        packed.write_all(&header(&entry.name, content.len(), moment))?;
        packed.write_all(content)?;
        let rest = content.len() % BLOCK;
        if rest > 0 {
            packed.write_all(&vec![0; BLOCK - rest])?;
        }
    }
    packed.write_all(&[0; 2 * BLOCK])?;
    packed.finish()
}

/// The header of a file, in the format `ustar`:
/// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06>.
fn header(name: &str, size: usize, moment: i64) -> Vec<u8> {
    let mut header = Vec::with_capacity(BLOCK);
    let mut field = |value: &str, width: usize| {
        let value = value.as_bytes().iter().copied().take(width);
        header.extend(value.chain(std::iter::repeat(0)).take(width));
    };
    field(name, 100);
    field("0000600", 8);
    field("0000000", 8);
    field("0000000", 8);
    field(&format!("{size:011o}"), 12);
    field(&format!("{:011o}", moment.max(0)), 12);
    // The sum counts its own field as blanks.
    field("        ", 8);
    field("0", 1);
    field("", 100);
    field("ustar", 6);
    field("00", 2);
    field("", 247);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (byte, digit) in header.iter_mut().skip(148).zip(sum.bytes()) {
        *byte = digit;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_fills_a_block_and_ends_with_its_sum() {
        let header = header("report/a.json", 10, 1_795_348_800);
        assert_eq!(header.len(), BLOCK);
        assert!(header.starts_with(b"report/a.json\0") && &header[124..136] == b"00000000012\0");
        let mut blank = header.clone();
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(&header[148..156], format!("{sum:06o}\0 ").as_bytes());
    }
}
