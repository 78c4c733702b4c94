//! Escapes, character classes and Unicode groups, as RE2 reads them.

use std::fmt::Write as _;

use super::{Error, cursor::Cursor};

const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_RANGE: &str = "invalid character class range";
const MISSING_BRACKET: &str = "missing ]";

/// RE2's Perl classes are ASCII, and `\s` has no vertical tab.
const PERL: [(&str, &str); 6] = [
    ("\\d", "0-9"),
    ("\\D", "^0-9"),
    ("\\s", "\\t\\n\\x0C\\r\\x20"),
    ("\\S", "^\\t\\n\\x0C\\r\\x20"),
    ("\\w", "0-9A-Za-z_"),
    ("\\W", "^0-9A-Za-z_"),
];

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

const CATEGORIES: [&str; 38] = [
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl",
    "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Cn",
];

/// A character as the Rust engine reads it literally, inside and outside classes.
pub(super) fn literal(c: char) -> String {
    if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) }
}

/// `\d`, `\s`, `\w` and their negations, as a class of the Rust engine.
pub(super) fn perl_class(cursor: &mut Cursor<'_>) -> Option<String> {
    PERL.iter().find(|(name, _)| cursor.skip(name)).map(|(_, content)| format!("[{content}]"))
}

/// `\pL`, `\p{Han}`, `\P{^Lu}`: `None` when nothing of that kind comes next.
pub(super) fn unicode_group(cursor: &mut Cursor<'_>) -> Option<Result<String, Error>> {
    if !cursor.starts_with("\\p") && !cursor.starts_with("\\P") {
        return None;
    }
    let begin = *cursor;
    let mut negated = cursor.starts_with("\\P");
    cursor.next();
    cursor.next();
    let mut name = String::new();
    match cursor.next() {
        None => return Some(Err(Error::new(BAD_RANGE, begin.rest()))),
        Some('{') => loop {
            match cursor.next() {
                None => return Some(Err(Error::new(BAD_RANGE, begin.rest()))),
                Some('}') => break,
                Some(c) => name.push(c),
            }
        },
        Some(c) => name.push(c),
    }
    let name = match name.strip_prefix('^') {
        Some(rest) => {
            negated = !negated;
            rest
        }
        None => &name,
    };
    if !is_unicode_group(name) {
        return Some(Err(Error::new(BAD_RANGE, cursor.since(&begin))));
    }
    Some(Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' })))
}

/// RE2 knows the short categories and the scripts, in exactly one spelling; the Rust engine knows more.
fn is_unicode_group(name: &str) -> bool {
    let script = name.len() > 2
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    match name {
        "Cn" => false,
        _ if CATEGORIES.contains(&name) => true,
        _ => script && regex::Regex::new(&format!("\\p{{Script={name}}}")).is_ok(),
    }
}

/// A whole class, beginning at its `[`.
pub(super) fn class(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let whole = cursor.rest();
    let mut written = String::from("[");
    cursor.next();
    if cursor.skip("^") {
        written.push('^');
    }
    let mut first = true;
    while !cursor.is_empty() && (first || !cursor.starts_with("]")) {
        first = false;
        if let Some(posix) = posix_class(cursor)? {
            written.push_str(&posix);
        } else if let Some(group) = unicode_group(cursor) {
            written.push_str(&group?);
        } else if let Some(perl) = perl_class(cursor) {
            written.push_str(&perl);
        } else {
            let begin = *cursor;
            let low = class_character(cursor, whole)?;
            let mut high = low;
            // `[a-]` means `a` or `-`, so a minus before the end is no range.
            if cursor.rest().len() >= 2 && cursor.starts_with("-") && !cursor.starts_with("-]") {
                cursor.next();
                high = class_character(cursor, whole)?;
                if high < low {
                    return Err(Error::new(BAD_RANGE, cursor.since(&begin)));
                }
            }
            let _ = write!(written, "{}-{}", literal(low), literal(high));
        }
    }
    if !cursor.skip("]") {
        return Err(Error::new(MISSING_BRACKET, whole));
    }
    written.push(']');
    Ok(written)
}

/// `[:alpha:]` inside a class; without its end it is ordinary text.
fn posix_class(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    let Some((name, _)) = cursor.rest().strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
        return Ok(None);
    };
    let text = format!("[:{name}:]");
    if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(Error::new(BAD_RANGE, &text));
    }
    cursor.skip(&text);
    Ok(Some(text))
}

fn class_character(cursor: &mut Cursor<'_>, whole: &str) -> Result<char, Error> {
    if cursor.starts_with("\\") {
        return escape(cursor);
    }
    cursor.next().ok_or_else(|| Error::new(MISSING_BRACKET, whole))
}

/// An escaped character, beginning at its backslash.
pub(super) fn escape(cursor: &mut Cursor<'_>) -> Result<char, Error> {
    let begin = *cursor;
    cursor.next();
    let Some(c) = cursor.next() else { return Err(Error::new("trailing \\", "")) };
    let found = match c {
        // A single digit from 1 to 7 would be a back-reference, which RE2 has not.
        '1'..='7' if !cursor.peek().is_some_and(|next| next.is_digit(8)) => None,
        '0'..='7' => octal(c, cursor),
        'x' => hexadecimal(cursor),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'a' => Some('\x07'),
        'f' => Some('\x0C'),
        'v' => Some('\x0B'),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
        _ => None,
    };
    found.ok_or_else(|| Error::new(BAD_ESCAPE, cursor.since(&begin)))
}

fn octal(first: char, cursor: &mut Cursor<'_>) -> Option<char> {
    let mut code = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = cursor.peek().and_then(|next| next.to_digit(8)) else { break };
        code = code * 8 + digit;
        cursor.next();
    }
    char::from_u32(code)
}

fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<char> {
    let first = cursor.next()?;
    if first != '{' {
        let second = cursor.next()?;
        return char::from_u32(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut code = 0;
    let mut digits = 0;
    loop {
        match cursor.next()? {
            '}' if digits > 0 => return char::from_u32(code),
            c => {
                code = code * 16 + c.to_digit(16)?;
                digits += 1;
                if code > 0x0010_FFFF {
                    return None;
                }
            }
        }
    }
}
