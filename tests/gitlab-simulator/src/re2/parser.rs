//! RE2's parser: the same order of checks, so the same first error, and a translation for the Rust engine.

use super::{
    Error,
    class::{class, escape, literal, perl_class, unicode_group},
    cursor::Cursor,
};

/// RE2 repeats at most this often, nested repetitions multiplied.
const MOST_REPETITIONS: u64 = 1000;

const BAD_PERL: &str = "invalid perl operator";
const BAD_NAME: &str = "invalid named capture group";
const NO_ARGUMENT: &str = "no argument for repetition operator";
const BAD_SIZE: &str = "invalid repetition size";
const BAD_REPETITION: &str = "bad repetition operator";

#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    ungreedy: bool,
}

/// One item of a concatenation: its translation and how often its innermost part may repeat.
struct Node {
    text: String,
    repeats: u64,
}

/// An open group, or the whole pattern.
struct Frame {
    /// The flags to return to at the end of the group.
    outer: Flags,
    branches: Vec<String>,
    items: Vec<Node>,
    repeats: u64,
}

impl Frame {
    fn new(outer: Flags) -> Self {
        Self { outer, branches: Vec::new(), items: Vec::new(), repeats: 1 }
    }

    fn end_branch(&mut self) {
        self.repeats = self.items.iter().map(|item| item.repeats).fold(self.repeats, u64::max);
        self.branches.push(self.items.drain(..).map(|item| item.text).collect());
    }

    fn close(mut self) -> Node {
        self.end_branch();
        Node { text: format!("(?:{})", self.branches.join("|")), repeats: self.repeats }
    }
}

struct Parser<'p> {
    cursor: Cursor<'p>,
    flags: Flags,
    /// Groups that contain the current one, outermost first.
    outer: Vec<Frame>,
    current: Frame,
    names: Vec<&'p str>,
}

/// Writes an RE2 pattern in the Rust engine's syntax, or says why RE2 refuses it.
pub(super) fn translate(pattern: &str) -> Result<String, Error> {
    let mut parser = Parser {
        cursor: Cursor::new(pattern),
        flags: Flags::default(),
        outer: Vec::new(),
        current: Frame::new(Flags::default()),
        names: Vec::new(),
    };
    parser.run()?;
    if parser.outer.is_empty() { Ok(parser.current.close().text) } else { Err(Error::new("missing )", pattern)) }
}

impl<'p> Parser<'p> {
    fn run(&mut self) -> Result<(), Error> {
        // Where the previous step's repetition operator began, if it was one: Perl forbids stacking them.
        let mut stacked: Option<Cursor<'p>> = None;
        while let Some(c) = self.cursor.peek() {
            let begin = self.cursor;
            let previous = stacked.take();
            match c {
                '(' if self.cursor.starts_with("(?") => self.perl_group()?,
                '(' => {
                    self.cursor.next();
                    self.open();
                }
                '|' => {
                    self.cursor.next();
                    self.current.end_branch();
                }
                ')' => self.close()?,
                '*' | '+' | '?' => {
                    self.cursor.next();
                    let lazy = self.finish_operator(previous)?;
                    let operator = self.cursor.since(&begin);
                    self.repeat(operator, &c.to_string(), lazy, 1)?;
                    stacked = Some(begin);
                }
                '{' => stacked = self.counted(previous)?.then_some(begin),
                _ => self.atom(c)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, text: String) {
        self.current.items.push(Node { text, repeats: 1 });
    }

    /// A class, literal or assertion under the current case flag.
    fn push_folded(&mut self, text: String) {
        self.push(if self.flags.fold_case { format!("(?i:{text})") } else { text });
    }

    fn atom(&mut self, c: char) -> Result<(), Error> {
        match c {
            '^' | '$' => {
                self.cursor.next();
                let text = match (c, self.flags.multi_line) {
                    ('^', true) => "(?m:^)",
                    ('^', false) => "\\A",
                    (_, true) => "(?m:$)",
                    (_, false) => "\\z",
                };
                self.push(text.to_owned());
            }
            '.' => {
                self.cursor.next();
                self.push(if self.flags.dot_newline { "(?s:.)" } else { "[^\\n]" }.to_owned());
            }
            '[' => {
                let text = class(&mut self.cursor)?;
                self.push_folded(text);
            }
            '\\' => self.backslash()?,
            _ => {
                self.cursor.next();
                self.push_folded(literal(c));
            }
        }
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), Error> {
        for (name, text) in
            [("\\b", "(?-u:\\b)"), ("\\B", "(?-u:\\B)"), ("\\A", "\\A"), ("\\z", "\\z"), ("\\C", "(?s-u:.)")]
        {
            if self.cursor.skip(name) {
                self.push(text.to_owned());
                return Ok(());
            }
        }
        if self.cursor.skip("\\Q") {
            while !self.cursor.skip("\\E") {
                let Some(c) = self.cursor.next() else { break };
                self.push_folded(literal(c));
            }
            return Ok(());
        }
        let text = if let Some(group) = unicode_group(&mut self.cursor) {
            group?
        } else if let Some(perl) = perl_class(&mut self.cursor) {
            perl
        } else {
            literal(escape(&mut self.cursor)?)
        };
        self.push_folded(text);
        Ok(())
    }

    fn open(&mut self) {
        let frame = Frame::new(self.flags);
        self.outer.push(std::mem::replace(&mut self.current, frame));
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(outer) = self.outer.pop() else { return Err(Error::new("unexpected )", self.cursor.whole())) };
        self.cursor.next();
        let group = std::mem::replace(&mut self.current, outer);
        self.flags = group.outer;
        self.current.items.push(group.close());
        Ok(())
    }

    /// Reads a lazy `?` and refuses an operator that follows another.
    fn finish_operator(&mut self, previous: Option<Cursor<'p>>) -> Result<bool, Error> {
        let lazy = self.cursor.skip("?");
        match previous {
            Some(previous) => Err(Error::new(BAD_REPETITION, self.cursor.since(&previous))),
            None => Ok(lazy),
        }
    }

    /// `{2}`, `{2,}`, `{2,4}`; anything else in braces is literal. Tells whether it was an operator.
    fn counted(&mut self, previous: Option<Cursor<'p>>) -> Result<bool, Error> {
        let begin = self.cursor;
        let Some((low, high)) = self.counts() else {
            self.cursor = begin;
            self.cursor.next();
            self.push_folded(literal('{'));
            return Ok(false);
        };
        let lazy = self.finish_operator(previous)?;
        let operator = self.cursor.since(&begin);
        let most = u64::from(high.unwrap_or(low));
        if high.is_some_and(|high| high < low) || u64::from(low) > MOST_REPETITIONS || most > MOST_REPETITIONS {
            return Err(Error::new(BAD_SIZE, operator));
        }
        let count = match high {
            None => format!("{{{low},}}"),
            Some(high) => format!("{{{low},{high}}}"),
        };
        self.repeat(operator, &count, lazy, most.max(1))?;
        Ok(true)
    }

    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        self.cursor.next();
        let low = self.cursor.integer()?;
        let high = match self.cursor.next()? {
            '}' => return Some((low, Some(low))),
            ',' if self.cursor.skip("}") => return Some((low, None)),
            ',' => self.cursor.integer()?,
            _ => return None,
        };
        self.cursor.skip("}").then_some((low, Some(high)))
    }

    fn repeat(&mut self, operator: &str, count: &str, lazy: bool, times: u64) -> Result<(), Error> {
        let Some(node) = self.current.items.last_mut() else { return Err(Error::new(NO_ARGUMENT, operator)) };
        node.repeats = node.repeats.saturating_mul(times);
        if times > 1 && node.repeats > MOST_REPETITIONS {
            return Err(Error::new(BAD_SIZE, operator));
        }
        let lazy = if lazy == self.flags.ungreedy { "" } else { "?" };
        node.text = format!("(?:{}){count}{lazy}", node.text);
        Ok(())
    }

    /// `(?…`: a flag change, a group without capture or a named one.
    fn perl_group(&mut self) -> Result<(), Error> {
        let begin = self.cursor;
        for look_around in ["(?=", "(?!", "(?<=", "(?<!"] {
            if self.cursor.starts_with(look_around) {
                return Err(Error::new(BAD_PERL, look_around));
            }
        }
        if self.cursor.skip("(?P<") || self.cursor.skip("(?<") {
            return self.named_group(begin);
        }
        self.cursor.skip("(?");
        let mut flags = self.flags;
        let (mut negated, mut saw_flag) = (false, false);
        loop {
            match self.cursor.next() {
                Some('-') if !negated => (negated, saw_flag) = (true, false),
                Some(end @ (':' | ')')) if !negated || saw_flag => {
                    if end == ':' {
                        self.open();
                    }
                    self.flags = flags;
                    return Ok(());
                }
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    saw_flag = true;
                    *match flag {
                        'i' => &mut flags.fold_case,
                        'm' => &mut flags.multi_line,
                        's' => &mut flags.dot_newline,
                        _ => &mut flags.ungreedy,
                    } = !negated;
                }
                _ => return Err(Error::new(BAD_PERL, self.cursor.since(&begin))),
            }
        }
    }

    fn named_group(&mut self, begin: Cursor<'p>) -> Result<(), Error> {
        let Some((name, _)) = self.cursor.rest().split_once('>') else {
            return Err(Error::new(BAD_NAME, begin.rest()));
        };
        self.cursor.skip(name);
        self.cursor.skip(">");
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Error::new(BAD_NAME, self.cursor.since(&begin)));
        }
        if self.names.contains(&name) {
            return Err(Error::new(BAD_NAME, name));
        }
        self.names.push(name);
        self.open();
        Ok(())
    }
}
