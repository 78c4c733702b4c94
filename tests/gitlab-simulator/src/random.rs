//! A small deterministic generator: the same seed gives the same samples, tokens and digests everywhere.

use std::fmt::Write as _;

/// `SplitMix64`. Not for secrets: everything it makes lives inside one simulator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one text, so that a value depends on its name and not on what was made before.
    pub(crate) fn for_text(seed: u64, text: &str) -> Self {
        // FNV-1a.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// `count` lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, count: usize) -> String {
        let mut text = String::with_capacity(count + 16);
        while text.len() < count {
            let _ = write!(text, "{:016x}", self.next());
        }
        text.truncate(count);
        text
    }

    /// `count` letters and digits.
    pub(crate) fn alphanumeric(&mut self, count: usize) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..count)
            .filter_map(|_| {
                let index = usize::try_from(self.below(alphabet.len() as u64)).ok()?;
                alphabet.get(index).map(|byte| char::from(*byte))
            })
            .collect()
    }

    /// A uniformly random sample of `size` items, in random order, as Ruby's `Array#sample`.
    pub(crate) fn sample<T>(&mut self, mut items: Vec<T>, size: usize) -> Vec<T> {
        let mut taken = Vec::with_capacity(size.min(items.len()));
        while taken.len() < size && !items.is_empty() {
            let index = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
            taken.push(items.swap_remove(index));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        assert_eq!(Random::new(3).hex(40), Random::new(3).hex(40));
        assert_ne!(Random::for_text(3, "a").next(), Random::for_text(3, "b").next());
    }

    #[test]
    fn a_sample_has_the_asked_size_and_no_duplicates() {
        let mut sample = Random::new(1).sample((0..100).collect(), 40);
        sample.sort_unstable();
        sample.dedup();
        assert_eq!(sample.len(), 40);
        assert_eq!(Random::new(1).sample(vec![1, 2], 9).len(), 2);
    }
}
