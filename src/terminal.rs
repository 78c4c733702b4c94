//! Text on its way to a terminal: without characters that would do something there, turn the direction of what follows,
//! or be there without being seen. Everything that the program prints goes through here.
//!
//! Text for people loses such a character to a space. What programs read keeps it, as an escape of its format.

use std::fmt::Write;

/// Text on one line.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if acts_or_hides(c) { ' ' } else { c }).collect()
}

/// Text of several lines.
#[must_use]
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if acts_or_hides(c) && c != '\n' { ' ' } else { c }).collect()
}

/// JSON, in which such a character can only stand in a string.
#[must_use]
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if acts_or_hides(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// YAML in which every string is quoted, the single quotes around nothing that would need an escape in them.
#[must_use]
pub fn quoted_yaml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"']) {
        let (before, quoted) = rest.split_at(at);
        safe.push_str(before);
        let (scalar, after) = scalar(quoted);
        rest = after;
        if !scalar.chars().any(acts_or_hides) {
            safe.push_str(scalar);
        } else if let Some(inner) = scalar.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            let _ = write!(safe, "\"{}\"", yaml_escapes(&inner.replace('\\', "\\\\").replace('"', "\\\"")));
        } else {
            safe.push_str(&yaml_escapes(scalar));
        }
    }
    safe.push_str(rest);
    safe
}

/// Whether a text has a character that must not reach a terminal, other than the ends of lines.
#[must_use]
pub fn is_odd(text: &str) -> bool {
    text.chars().any(|c| acts_or_hides(c) && c != '\n')
}

/// The scalar that a text begins with, quotes included, and what follows it.
fn scalar(text: &str) -> (&str, &str) {
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    let mut escaped = false;
    for (at, c) in chars {
        if Some(c) == quote && !escaped {
            return text.split_at(at + c.len_utf8());
        }
        escaped = c == '\\' && quote == Some('"') && !escaped;
    }
    (text, "")
}

fn yaml_escapes(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let _ = match (acts_or_hides(c), u32::from(c)) {
            (false, _) => safe.write_char(c),
            (true, code @ ..=0xffff) => write!(safe, "\\u{code:04X}"),
            (true, code) => write!(safe, "\\U{code:08X}"),
        };
    }
    safe
}

fn acts_or_hides(c: char) -> bool {
    c.is_control() || is_unseen(c)
}

/// The characters of Unicode's category Cf, and others that take no place.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const ODD: [&str; 11] = [
        "\u{1b}",
        "\r",
        "\u{7f}",
        "\u{9b}",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{feff}",
        "\u{ad}",
        "\u{e0041}",
        "\t",
    ];

    #[test]
    fn nothing_that_acts_or_hides_reaches_a_terminal() {
        for odd in ODD {
            assert_eq!(plain(&format!("a{odd}b\n")), "a b ", "{odd:?}");
            assert_eq!(lines(&format!("a{odd}b\n")), "a b\n", "{odd:?}");
            assert!(is_odd(odd), "{odd:?}");
        }
        assert_eq!(plain("größe – v1.0 日本"), "größe – v1.0 日本");
        assert!(!is_odd("größe – v1.0 日本\n"));
    }

    #[test]
    fn json_says_the_same_in_escapes() {
        let value = json!({"a": ODD, "b": "größe \\ \" ' 日本"});
        let safe = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!is_odd(&safe), "{safe}");
        assert!(safe.contains("\\u202e") && safe.contains("\\udb40\\udc41"), "{safe}");
        assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
    }

    #[rstest]
    #[case("a: 'x'\n", "a: 'x'\n")]
    #[case("a: 'x\u{202e}\"y'\n", "a: \"x\\u202E\\\"y\"\n")]
    #[case("a: \"it's\\n\u{e0041}\"\nb: 'c'\n", "a: \"it's\\n\\U000E0041\"\nb: 'c'\n")]
    #[case("a: \"\\\\\"\nb: '\u{200b}'\n", "a: \"\\\\\"\nb: \"\\u200B\"\n")]
    fn yaml_says_the_same_in_escapes(#[case] text: &str, #[case] expected: &str) {
        let safe = quoted_yaml(text);
        assert_eq!(safe, expected);
        let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        assert_eq!(read(&safe), read(text));
    }
}
