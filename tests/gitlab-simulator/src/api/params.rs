//! Coercion and validation of parameters as Grape does it (gitlab-api reference 1.1).

use serde_json::{Map, Value};

use super::answer::Answer;
use crate::re2::Pattern;

/// Reads parameters one by one and collects what is wrong with them; the problems are joined in one text.
pub(super) struct Params<'c> {
    given: &'c Map<String, Value>,
    problems: Vec<String>,
}

impl<'c> Params<'c> {
    pub(super) fn new(given: &'c Map<String, Value>) -> Self {
        Self { given, problems: Vec::new() }
    }

    /// The collected problems as a 400.
    pub(super) fn checked(self) -> Result<(), Answer> {
        if self.problems.is_empty() { Ok(()) } else { Err(Answer::error(400, &self.problems.join(", "))) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    pub(super) fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn invalid<T>(&mut self, name: &str) -> Option<T> {
        self.problem(format!("{name} is invalid"));
        None
    }

    /// A boolean in one of the spellings Grape knows; empty is no value.
    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.given.get(name)? {
            Value::Null => None,
            Value::Bool(value) => Some(*value),
            Value::String(text) => match text.as_str() {
                "" => None,
                "1" | "on" | "On" | "ON" | "t" | "true" | "y" | "yes" | "T" | "TRUE" | "True" | "Y" | "YES" | "Yes" => {
                    Some(true)
                }
                "0" | "off" | "Off" | "OFF" | "f" | "false" | "n" | "no" | "F" | "FALSE" | "False" | "N" | "NO"
                | "No" => Some(false),
                _ => self.invalid(name),
            },
            Value::Number(number) if number.as_u64() == Some(1) => Some(true),
            Value::Number(number) if number.as_u64() == Some(0) => Some(false),
            _ => self.invalid(name),
        }
    }

    /// An integer; empty is no value. Text is read as Ruby's `Integer(text, 10)`, a JSON float loses its fraction.
    pub(super) fn integer(&mut self, name: &str) -> Option<i64> {
        match self.given.get(name)? {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => match ruby_integer(text) {
                Some(number) => Some(number),
                None => self.invalid(name),
            },
            Value::Number(number) => {
                #[allow(clippy::cast_possible_truncation)] // saturates, which is as good as any huge number
                let number = number.as_i64().or_else(|| number.as_f64().map(|float| float.trunc() as i64));
                number.or_else(|| self.invalid(name))
            }
            _ => self.invalid(name),
        }
    }

    /// Text; an empty one stays a text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.given.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Array(_) | Value::Object(_) => self.invalid(name),
        }
    }

    /// A pattern that must compile as RE2, without the anchors that are added later.
    pub(super) fn pattern(&mut self, name: &str, validated: bool) -> Option<String> {
        let text = self.text(name)?;
        if validated && let Err(error) = Pattern::new(&text) {
            self.problem(format!("{name} is an invalid regexp: {error}"));
            return None;
        }
        Some(text)
    }
}

/// Ruby's `Integer(text, 10)`: a sign, digits with single underscores between them, and space around.
fn ruby_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| text.replace('_', "").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn integer(value: Value) -> (Option<i64>, usize) {
        let given = Map::from_iter([("n".to_owned(), value)]);
        let mut params = Params::new(&given);
        (params.integer("n"), params.problems.len())
    }

    #[test]
    fn integers_are_read_as_ruby_reads_them() {
        assert_eq!(integer(json!("-3")), (Some(-3), 0));
        assert_eq!(integer(json!(" 1_000 ")), (Some(1000), 0));
        assert_eq!(integer(json!("")), (None, 0));
        assert_eq!(integer(json!(null)), (None, 0));
        assert_eq!(integer(json!(5)), (Some(5), 0));
        for wrong in [json!("1.5"), json!("abc"), json!("1__0"), json!("0x1"), json!(true), json!(["1"])] {
            assert_eq!(integer(wrong.clone()), (None, 1), "{wrong}");
        }
    }

    #[test]
    fn problems_are_joined_in_one_text() {
        let given = json!({"tags": "maybe", "page": "abc", "x": "("});
        let mut params = Params::new(given.as_object().unwrap());
        params.boolean("tags");
        params.integer("page");
        params.pattern("x", true);
        let answer = params.checked().unwrap_err();
        assert_eq!(
            answer.body,
            r#"{"error":"tags is invalid, page is invalid, x is an invalid regexp: missing ): ("}"#
        );
    }
}
