//! Sizes, ages and numbers as people read them.

use jiff::SignedDuration;

const SIZES: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A size in bytes: `512 B`, `1.5 KiB`, `12.0 MiB`. Rounded down, so that nothing is promised.
#[must_use]
pub fn size(bytes: u64) -> String {
    match SIZES.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// An age: in days from two days on, since policies count in days, `20d`; below that `30h`, `90min`, `5s`.
#[must_use]
pub fn age(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}min", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of things: `1 tag`, `12 tags`.
#[must_use]
pub fn of(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// A number with its thousands apart: `48,211`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0 B")]
    #[case(1023, "1023 B")]
    #[case(1024, "1.0 KiB")]
    #[case(1_048_575, "1023.9 KiB")]
    #[case(12_582_912, "12.0 MiB")]
    #[case(1_288_490_188, "1.1 GiB")]
    #[case(u64::MAX, "16777215.9 TiB")]
    fn sizes_are_in_powers_of_1024_and_never_rounded_up(#[case] bytes: u64, #[case] expected: &str) {
        assert_eq!(size(bytes), expected);
    }

    #[rstest]
    #[case(-5, "0s")]
    #[case(119, "119s")]
    #[case(120, "2min")]
    #[case(7_200, "2h")]
    #[case(172_799, "47h")]
    #[case(172_800, "2d")]
    #[case(86_400 * 400 + 1, "400d")]
    fn ages_are_in_the_unit_of_policies_where_that_says_enough(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(age(SignedDuration::from_secs(seconds)), expected);
    }

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(1000, "1,000")]
    #[case(48_211, "48,211")]
    #[case(1_000_000, "1,000,000")]
    fn thousands_are_kept_apart(#[case] number: u64, #[case] expected: &str) {
        assert_eq!(grouped(number), expected);
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!((of(1, "tag", "tags").as_str(), of(0, "tag", "tags").as_str()), ("1 tag", "0 tags"));
    }
}
