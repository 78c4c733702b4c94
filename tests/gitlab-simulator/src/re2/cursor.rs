//! A position in a pattern, with the few moves the parser needs.

/// What is left of a pattern.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'p> {
    whole: &'p str,
    at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(whole: &'p str) -> Self {
        Self { whole, at: 0 }
    }

    pub(super) fn whole(&self) -> &'p str {
        self.whole
    }

    pub(super) fn rest(&self) -> &'p str {
        self.whole.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn starts_with(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Skips `text` if it comes next.
    pub(super) fn skip(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// The text between an earlier position and this one.
    pub(super) fn since(&self, earlier: &Cursor<'p>) -> &'p str {
        self.whole.get(earlier.at..self.at).unwrap_or_default()
    }

    /// A decimal integer without leading zeros, as RE2 reads it in a repetition.
    pub(super) fn integer(&mut self) -> Option<u32> {
        let digits = self.rest().len() - self.rest().trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let text = self.rest().get(..digits)?;
        if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        let value = text.parse().ok().filter(|value| *value < 1_000_000_000)?;
        self.at += digits;
        Some(value)
    }
}
