//! Names of tags as pipelines make them: the same number gives the same name.

use std::fmt::Write as _;

/// Of ten tags five are commits, three are builds of merge requests and two are versions.
pub(crate) fn tag_name(number: u64) -> String {
    match number % 10 {
        0..=4 => hex(number, 40),
        5..=7 => format!("mr-{}-{}", 100 + number / 30, hex(number, 8)),
        8 => format!("v{}.{}.{}", 1 + number / 10_000, number / 100 % 100, number / 10 % 10),
        _ => format!("v{}.{}.{}-rc.{}", 1 + number / 10_000, number / 100 % 100, number / 10 % 10, number % 3),
    }
}

/// A number that looks like chance (`SplitMix64`).
pub(crate) fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hex(number: u64, digits: usize) -> String {
    let mut text = String::with_capacity(digits + 16);
    let mut part = number;
    while text.len() < digits {
        part = scrambled(part);
        // Writing to a string does not fail.
        let _ = write!(text, "{part:016x}");
    }
    text.truncate(digits);
    text
}
