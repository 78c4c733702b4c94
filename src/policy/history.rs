//! What a run removed, as a record that outlives the logs: a line of JSON for each tag, compressed, in parts that fit
//! into a ConfigMap each.
//!
//! A digest is 32 bytes that nothing can compress, so a tag takes some 50 bytes. A part is closed below what a
//! ConfigMap may hold, and there are a few parts at most: what does not fit is counted, and stands in the audit trail
//! alone.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::RunStatus;
use crate::model::Digest;

/// After so many compressed bytes a part is closed. Kubernetes behaviour: a ConfigMap holds 1 MiB, and etcd refuses
/// requests above 1.5 MiB.
const PART: usize = 768 * 1024;
/// Most parts of a run: some 50,000 tags.
pub const MAX_PARTS: usize = 3;
/// Longest part that is read, in bytes as it was before compression.
const MAX_READ: u64 = 256 * 1024 * 1024;
/// Longest name of an object.
const MAX_NAME: usize = 253;

/// What became of a tag that a run asked to remove.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Fate {
    /// It is gone.
    #[default]
    Removed,
    /// It may be gone: the answer to the request was lost.
    Unknown,
}

/// A tag that a run removed, or may have removed; without a name a whole repository.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// Path of the repository.
    pub repository: Box<str>,
    /// Name of the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Box<str>>,
    /// The digest it pointed at, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its size, if it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "is_removed")]
    pub fate: Fate,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_removed(fate: &Fate) -> bool {
    *fate == Fate::Removed
}

/// What a run is known to have removed so far.
#[derive(Default)]
pub struct Record {
    closed: Vec<Vec<u8>>,
    open: Option<GzEncoder<Vec<u8>>>,
    counts: Counts,
}

/// How much there is in a record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Tags and repositories that are gone.
    pub removed: u64,
    /// Those that may be gone.
    #[serde(default)]
    pub unknown: u64,
    /// The size of what is gone, as far as it is known.
    pub bytes: u64,
    /// How many of them found no room.
    #[serde(default)]
    pub omitted: u64,
}

/// A record that nothing is added to any more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Closed {
    /// The parts, each compressed.
    pub parts: Vec<Vec<u8>>,
    /// How much there is.
    pub counts: Counts,
}

/// What is told of a run without its tags.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The run.
    pub run: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub completion_time: Timestamp,
    /// What it came to.
    pub result: String,
    /// Address of the GitLab.
    pub gitlab: String,
    /// What was removed.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One object of the history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// The run that it is about.
    pub summary: Summary,
}

impl Kept {
    /// One that is kept under a name, with its summary as JSON; `None` where that is none.
    #[must_use]
    pub fn read(name: String, summary: &str) -> Option<Self> {
        Some(Self { name, summary: serde_json::from_str(summary).ok()? })
    }
}

impl Record {
    /// Takes note of a tag.
    pub fn note(&mut self, removed: &Removed) {
        match removed.fate {
            Fate::Removed => {
                self.counts.removed += 1;
                self.counts.bytes += removed.bytes.unwrap_or(0);
            }
            Fate::Unknown => self.counts.unknown += 1,
        }
        if self.write(removed).is_none() {
            self.counts.omitted += 1;
        }
    }

    /// The record as it is, and from now on an empty one.
    pub fn close(&mut self) -> Closed {
        let Self { mut closed, open, counts } = std::mem::take(self);
        closed.extend(open.and_then(|open| open.finish().ok()));
        Closed { parts: closed, counts }
    }

    /// `None` where there is no room.
    fn write(&mut self, removed: &Removed) -> Option<()> {
        if self.open.as_ref().is_some_and(|open| open.get_ref().len() >= PART) {
            self.closed.push(self.open.take()?.finish().ok()?);
        }
        if self.closed.len() >= MAX_PARTS {
            return None;
        }
        let mut line = serde_json::to_vec(removed).ok()?;
        line.push(b'\n');
        let open = self.open.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::default()));
        open.write_all(&line).ok()
    }
}

impl Closed {
    /// Whether the run removed nothing, as far as is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts == Counts::default()
    }

    /// What is told of the run, once it has ended.
    #[must_use]
    pub fn summary(&self, run: &RunStatus, ended: Timestamp) -> Summary {
        Summary {
            run: run.id.clone(),
            start_time: run.start_time.0,
            completion_time: run.completion_time.as_ref().map_or(ended, |time| time.0),
            result: run.result.as_str().to_owned(),
            gitlab: run.gitlab.clone(),
            counts: self.counts,
        }
    }
}

/// Reads a part.
///
/// # Errors
/// When it is not one.
pub fn read(part: &[u8]) -> io::Result<Vec<Removed>> {
    let mut text = String::new();
    GzDecoder::new(part).take(MAX_READ).read_to_string(&mut text)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

/// The name of an object with a part of a run's record. A long name of a policy is cut, and then its uid tells it from
/// others.
#[must_use]
pub fn name(policy: &str, uid: &str, run: &str, part: usize) -> String {
    let end = if part == 0 { format!(".{run}") } else { format!(".{run}.{part}") };
    if policy.len() + end.len() <= MAX_NAME {
        return format!("{policy}{end}");
    }
    let end = format!(".{uid}{end}");
    let room = MAX_NAME.saturating_sub(end.len());
    // Names of objects are ASCII, and a part of one may not end with anything but a letter or a digit.
    let cut: String = policy.chars().take(room).collect();
    format!("{}{end}", cut.trim_end_matches(['.', '-']))
}

/// The objects that are too many where so many runs are kept: those of the oldest.
#[must_use]
pub fn surplus(kept: &[Kept], limit: usize) -> Vec<&str> {
    let mut runs: Vec<(Timestamp, &str)> =
        kept.iter().map(|kept| (kept.summary.start_time, kept.summary.run.as_str())).collect();
    runs.sort_unstable();
    runs.dedup();
    let old: Vec<&str> = runs.iter().rev().skip(limit).map(|(_, run)| *run).collect();
    kept.iter().filter(|kept| old.contains(&kept.summary.run.as_str())).map(|kept| kept.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn removed(number: u64) -> Removed {
        // Nothing that could be compressed.
        let digest: Vec<String> =
            Sha256::digest(number.to_be_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Removed {
            repository: format!("shop/r{}", number / 1000).into(),
            tag: Some(format!("v1.{number}").into()),
            digest: Some(format!("sha256:{}", digest.concat()).into()),
            bytes: Some(number),
            fate: Fate::Removed,
        }
    }

    fn kept(run: &str, start: i64, part: usize) -> Kept {
        let at = |second| Timestamp::from_second(second).unwrap();
        let summary = Summary {
            run: run.to_owned(),
            start_time: at(start),
            completion_time: at(start + 60),
            result: "Succeeded".to_owned(),
            gitlab: "https://gitlab.test/".to_owned(),
            counts: Counts::default(),
        };
        Kept { name: name("shop", "uid", run, part), summary }
    }

    #[test]
    fn a_record_tells_what_was_noted() {
        let mut record = Record::default();
        let whole = Removed { tag: None, digest: None, bytes: None, ..removed(1) };
        let unknown = Removed { fate: Fate::Unknown, ..removed(2) };
        let all = [removed(3), whole, unknown];
        for removed in &all {
            record.note(removed);
        }
        let closed = record.close();
        assert_eq!(closed.counts, Counts { removed: 2, unknown: 1, bytes: 3, omitted: 0 });
        assert_eq!(closed.parts.len(), 1);
        assert_eq!(read(&closed.parts[0]).unwrap(), all);
        assert!(record.close().is_empty(), "it is empty once it was closed");
    }

    #[test]
    fn a_record_is_split_into_parts_that_fit_and_the_rest_is_counted() {
        let mut record = Record::default();
        let all = 80_000;
        for number in 0..all {
            record.note(&removed(number));
        }
        let closed = record.close();
        assert_eq!(closed.parts.len(), MAX_PARTS);
        // Less than a ConfigMap holds, with room for what is around it.
        assert!(closed.parts.iter().all(|part| part.len() < 960 * 1024));
        let read: Vec<Removed> = closed.parts.iter().flat_map(|part| read(part).unwrap()).collect();
        assert!(read.len() > 45_000, "{}", read.len());
        assert_eq!(read, (0..read.len() as u64).map(removed).collect::<Vec<_>>());
        assert_eq!((closed.counts.removed, closed.counts.omitted), (all, all - read.len() as u64));
    }

    #[test]
    fn what_is_no_part_is_an_error() {
        assert!(read(b"not compressed").is_err());
        let mut other = GzEncoder::new(Vec::new(), Compression::default());
        other.write_all(b"{}\n").unwrap();
        assert!(read(&other.finish().unwrap()).is_err());
    }

    #[rstest]
    #[case::short("shop", 0, "shop.20261122-120000-scheduled")]
    #[case::another_part("shop", 2, "shop.20261122-120000-scheduled.2")]
    fn a_name_is_that_of_the_policy_and_the_run(#[case] policy: &str, #[case] part: usize, #[case] expected: &str) {
        assert_eq!(name(policy, "uid", "20261122-120000-scheduled", part), expected);
    }

    #[test]
    fn a_long_name_is_cut_and_stays_one() {
        let (one, other) = (format!("{}-a", "x".repeat(240)), format!("{}-b", "x".repeat(240)));
        let uid = "2d5b9d3c-8a2e-4b0e-9f52-1c7d8f1f0a11";
        let cut = name(&one, uid, "20261122-120000-scheduled", 2);
        assert_eq!(cut.len(), MAX_NAME);
        assert_ne!(cut, name(&other, &uid.replace('2', "3"), "20261122-120000-scheduled", 2));
    }

    #[rstest]
    #[case::fewer(3, &[])]
    #[case::one_too_many(2, &["shop.a", "shop.a.1"])]
    #[case::none_is_kept(0, &["shop.c", "shop.a", "shop.a.1", "shop.b"])]
    fn the_oldest_runs_go_with_all_their_parts(#[case] limit: usize, #[case] expected: &[&str]) {
        let all = [kept("c", 300, 0), kept("a", 100, 0), kept("a", 100, 1), kept("b", 200, 0)];
        assert_eq!(surplus(&all, limit), expected);
    }
}
