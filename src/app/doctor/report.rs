//! How a diagnosis looks: for a terminal, and for programs.

use std::fmt::Write;

use crate::policy::doctor::{Check, Diagnosis, Verdict};
use crate::terminal::{self, plain};

/// For a terminal: the installation, then each policy, and the sum.
#[must_use]
pub fn text(diagnosis: &Diagnosis) -> String {
    let checks = &diagnosis.checks;
    let width = checks.iter().map(|check| check.check.as_str().len()).max().unwrap_or_default();
    let (mut text, mut about) = (String::new(), None);
    for (number, check) in checks.iter().enumerate() {
        if number == 0 || check.policy != about {
            about.clone_from(&check.policy);
            let gap = if number == 0 { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", about.as_deref().map_or_else(|| "Installation".to_owned(), plain));
        }
        line(&mut text, check, width);
    }
    let count = |verdict| diagnosis.count(verdict);
    let (ok, warnings) = (count(Verdict::Ok), count(Verdict::Warning));
    let (failed, unknown) = (count(Verdict::Failed), count(Verdict::Unknown));
    let _ = writeln!(text, "\n{ok} ok, {warnings} with a warning, {failed} failed, {unknown} not known");
    text
}

fn line(text: &mut String, check: &Check, width: usize) {
    let (verdict, name) = (check.verdict.as_str(), check.check.as_str());
    let _ = writeln!(text, "  {verdict:<7}  {name:<width$}  {}", plain(&check.message));
    if let Some(action) = &check.action {
        let _ = writeln!(text, "  {:<7}  {:<width$}  > {}", "", "", plain(action));
    }
}

/// What a diagnosis comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conclusion {
    /// Nothing failed, and everything could be looked at.
    Well,
    /// Something failed.
    Failed,
    /// Nothing failed, but something could not be looked at.
    Unknown,
}

/// What a diagnosis comes to.
#[must_use]
pub const fn conclusion(diagnosis: &Diagnosis) -> Conclusion {
    match diagnosis.result {
        Verdict::Ok | Verdict::Warning => Conclusion::Well,
        Verdict::Unknown => Conclusion::Unknown,
        Verdict::Failed => Conclusion::Failed,
    }
}

/// For programs: see `docs/doctor.md`.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn json(diagnosis: &Diagnosis) -> Result<String, serde_json::Error> {
    Ok(terminal::json(&serde_json::to_string_pretty(diagnosis)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::doctor::CheckName;

    #[test]
    fn a_diagnosis_is_told_by_installation_and_policy_without_anything_that_a_terminal_would_obey() {
        let checks = vec![
            Check::ok(CheckName::Definition, "v1alpha1 is served"),
            Check::failed(CheckName::Secret, "Secret s\u{1b}[2J has no token", "write one").of("team/shop"),
            Check::unknown(CheckName::GitLab, "nobody asked").of("team/shop"),
        ];
        let diagnosis = Diagnosis::new("1", checks);
        let expected = "\
Installation
  Ok       Definition  v1alpha1 is served

team/shop
  Failed   Secret      Secret s [2J has no token
                       > write one
  Unknown  GitLab      nobody asked

1 ok, 0 with a warning, 1 failed, 1 not known
";
        assert_eq!(text(&diagnosis), expected);
        assert!(!terminal::is_odd(&json(&diagnosis).unwrap()));
    }
}
