//! What the readers of text from outside must hold to, whatever the text is. Fuzzing looks for one that breaks it, and
//! a test replays what is kept in `fuzz/corpus`.
//!
//! Each function panics where its reader does not hold. None of them is in the program.

use jiff::{SignedDuration, Timestamp};

use super::age::Age;
use super::image::{ImageId, ImageRef};
use super::in_use::list::List;
use super::pattern::Pattern;
use super::schedule::Schedule;

/// Longest name of a tag.
const NAME: &str = "v1.2.3-rc.1_build";

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// References of images: what was read is written so that it is read as the same.
///
/// # Panics
/// Where it is not.
pub fn image(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = ImageId::parse(text);
    if let Ok(image) = ImageRef::parse(text) {
        assert_eq!(ImageRef::parse(&image.to_string()).as_ref(), Ok(&image));
        assert!(!image.host().is_empty() && !image.path().is_empty());
    }
}

/// Ages: what was read is longer than nothing, and sent as it was written.
///
/// # Panics
/// Where it is not.
pub fn age(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(age) = Age::parse(text) {
        assert!(age.duration() > SignedDuration::ZERO && age.as_str() == text);
        // GitLab reads minutes where people mean months.
        assert!(!text.ends_with('m'));
    }
}

/// Schedules, with their zone behind a line break: slots come one after the other, and never more than once an hour.
///
/// # Panics
/// Where they do not.
pub fn schedule(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (fields, zone) = text.split_once('\n').unwrap_or((text, "Europe/Berlin"));
    let mut at = Timestamp::UNIX_EPOCH;
    let Ok(schedule) = Schedule::parse(fields, zone, at) else { return };
    for _ in 0..5 {
        let Some(next) = schedule.next_after(at) else { return };
        assert!(next > at, "{next} does not come after {at}");
        at = next;
    }
}

/// Patterns, matched against the rest behind a line break: compiled within their bound, and the same as grouped.
///
/// # Panics
/// Where they are not.
pub fn pattern(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (source, name) = text.split_once('\n').unwrap_or((text, NAME));
    let Ok(pattern) = Pattern::compile(source) else { return };
    assert!(pattern.bytes() <= 64 * 1024, "it takes {} bytes", pattern.bytes());
    let _ = (pattern.keeps(), pattern.excludes());
    let matches = pattern.matches(name);
    // What GitLab is sent means the same.
    if let Ok(grouped) = Pattern::compile(&pattern.grouped()) {
        assert_eq!(grouped.matches(name), matches, "{source:?} and its group differ in {name:?}");
    }
}

/// Lists of other clusters: what counts is written so that it counts as the same.
///
/// # Panics
/// Where it does not.
pub fn list(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let now = Timestamp::UNIX_EPOCH;
    let Ok(list) = List::read(text, now, SignedDuration::from_hours(24)) else { return };
    let written = list.write().unwrap_or_default();
    let again = List::read(&written, now, SignedDuration::from_hours(25));
    assert_eq!(again.map(|again| again.images().count()), Ok(list.images().count()));
    assert_eq!(list.is_empty(), list.images().count() == 0);
    let _ = list.into_used("other").count();
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("image", image)]
    #[case("age", age)]
    #[case("schedule", schedule)]
    #[case("pattern", pattern)]
    #[case("list", list)]
    fn what_fuzzing_kept_is_held_to(#[case] target: &str, #[case] hold: fn(&[u8])) {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{folder} has too little in it");
        for file in files {
            hold(&std::fs::read(file).unwrap());
        }
    }
}
