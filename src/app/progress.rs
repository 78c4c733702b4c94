//! One line on standard error that tells how far something has got. Where standard error is no terminal, it says
//! nothing.

use std::io::{IsTerminal, Write, stderr};

use crate::terminal::plain;

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// A line that is not there yet.
    pub(super) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: false }
    }

    /// Whether anybody would see it.
    pub(super) fn is_visible(&self) -> bool {
        self.terminal
    }

    /// Writes the line anew.
    pub(super) fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            self.write(&format!("\r{text}\x1b[K"));
        }
    }

    /// Takes the line away, so that something else can be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("\r\x1b[K");
        }
    }

    /// Writes a line of its own that stays, also where there is no terminal.
    pub(super) fn say(&mut self, text: &str) {
        self.clear();
        self.write(&format!("{}\n", plain(text)));
    }

    #[expect(clippy::unused_self, reason = "whoever writes there must have the line, which would be torn otherwise")]
    fn write(&self, text: &str) {
        // Nothing depends on it, and there is no other place to complain.
        let _ = stderr().write_all(text.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
