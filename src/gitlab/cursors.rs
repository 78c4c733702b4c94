//! Cursors of pages in the order of pushes: read to know how the server writes them, and written for a moment.
//!
//! Pure. To GitLab a cursor is its own affair, so one is written only where the server has just told one of exactly
//! this form, for a tag that is known; and what comes of it is believed only as far as other pages show it
//! (`policy::stretches`).
//!
//! GitLab behaviour: with a metadata database it hands on the registry's cursor, which is
//! `base64(TIMESTAMP|TAG_NAME)`, the date with up to microseconds
//! ([documented](https://gitlab.com/gitlab-org/container-registry/-/blob/master/docs/spec/gitlab/api.md)). The name has
//! to be one that a tag can have; that there is such a tag is not asked for.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jiff::Timestamp;

use super::types::Tag;

/// How a server writes cursors of pages in the order of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushCursor {
    /// Digits of a second's fraction.
    digits: usize,
}

impl PushCursor {
    /// Learns from the cursor after a page, by the last tag of the page. `None` where it is anything else than the date
    /// and the name of that tag.
    #[must_use]
    pub fn read(cursor: &str, last: &Tag) -> Option<Self> {
        let alphabets = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        let text = alphabets.iter().find_map(|alphabet| alphabet.decode(cursor).ok())?;
        let text = String::from_utf8(text).ok()?;
        let (date, name) = text.split_once('|')?;
        let pushed: Timestamp = date.parse().ok()?;
        let fraction = date.strip_suffix('Z')?.split_once('.').map_or("", |(_, fraction)| fraction);
        let own = name == &*last.name && Some(pushed.as_second()) == last.published_at.map(Timestamp::as_second);
        let read = Self { digits: fraction.len() };
        (own && read.date(pushed) == date).then_some(read)
    }

    /// The cursor after a moment, in whole seconds, and a name, of which the last letter may come several times.
    ///
    /// So its base64 has no padding, and of digits, letters and what stands in dates it has no characters that differ
    /// from alphabet to alphabet.
    #[must_use]
    pub fn write(self, moment: Timestamp, name: &str) -> String {
        let mut text = format!("{}|{name}", self.date(to_the_second(moment)));
        while let Some(last) = text.chars().last().filter(|_| !text.len().is_multiple_of(3)) {
            text.push(last);
        }
        STANDARD.encode(text)
    }

    fn date(self, moment: Timestamp) -> String {
        let (whole, digits) = (moment.strftime("%Y-%m-%dT%H:%M:%S"), self.digits);
        if digits == 0 {
            return format!("{whole}Z");
        }
        let fraction: String = format!("{:09}", moment.subsec_nanosecond()).chars().take(digits).collect();
        format!("{whole}.{fraction:0<digits$}Z")
    }
}

fn to_the_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn tag(name: &str, pushed: &str) -> Tag {
        Tag {
            name: name.into(),
            digest: None,
            published_at: Some(pushed.parse().unwrap()),
            created_at: None,
            total_size: None,
            single_image: false,
            is_index: false,
            referrers: Vec::new(),
            protected: false,
        }
    }

    #[rstest]
    #[case::microseconds("2023-02-01T00:00:01.000000Z|latest", Some("2026-01-02T03:04:05.000000Z|"))]
    #[case::milliseconds("2023-02-01T00:00:01.250Z|latest", Some("2026-01-02T03:04:05.000Z|"))]
    #[case::seconds("2023-02-01T00:00:01Z|latest", Some("2026-01-02T03:04:05Z|"))]
    #[case::another_second("2023-02-01T00:00:02.000Z|latest", None)]
    #[case::another_tag("2023-02-01T00:00:01.000Z|later", None)]
    #[case::another_zone("2023-02-01T01:00:01.000+01:00|latest", None)]
    #[case::a_position("20", None)]
    #[case::no_date("|latest", None)]
    fn only_a_form_that_is_known_is_written(#[case] text: &str, #[case] written: Option<&str>) {
        let last = tag("latest", "2023-02-01T00:00:01Z");
        for alphabet in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            let form = PushCursor::read(&alphabet.encode(text), &last);
            let cursor = form.map(|form| form.write("2026-01-02T03:04:05.678Z".parse().unwrap(), "zzzz"));
            let decoded = cursor.map(|cursor| String::from_utf8(alphabet.decode(cursor).unwrap()).unwrap());
            assert_eq!(decoded.is_some(), written.is_some(), "{decoded:?}");
            if let Some((decoded, written)) = decoded.zip(written) {
                let name = decoded.strip_prefix(written).unwrap();
                assert!(name.len() >= 4 && name.chars().all(|c| c == 'z'), "{decoded}");
            }
        }
        assert_eq!(PushCursor::read(text, &last), None);
    }

    #[test]
    fn what_is_written_reads_the_same_in_every_alphabet() {
        for digits in [0, 3, 6] {
            let form = PushCursor { digits };
            for second in 0..5000 {
                let cursor = form.write(Timestamp::from_second(1_700_000_000 + 7919 * second).unwrap(), "zzzzzzzz");
                assert!(cursor.chars().all(|c| c.is_ascii_alphanumeric()), "{cursor}");
            }
        }
    }
}
