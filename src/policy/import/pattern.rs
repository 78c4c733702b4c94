//! What a pattern of GitLab's own cleanup policies means, as a pattern over whole names.
//!
//! GitLab behaviour: `\A` is put in front of the pattern and `\z` behind it, without a group, and the result is
//! searched for. So in `dev|test` the first anchor belongs to `dev` and the second to `test`, and what is between two
//! bars has none: `dev.*|.*test`.
//! <https://gitlab.com/gitlab-org/gitlab/-/blob/master/app/services/projects/container_repository/cleanup_tags_base_service.rb>

use regex_syntax::ast::{self, Ast};

/// Why a pattern has no such meaning.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the pattern cannot be read: {0}")]
pub struct Unreadable(String);

/// A pattern that matches exactly the names, as a whole, in which GitLab finds its own with the anchors.
///
/// The text of each alternative stays as it is, so that flags such as `(?i)` go on to hold for those behind them.
///
/// # Errors
/// When it is no pattern.
pub fn whole_name(pattern: &str) -> Result<String, Unreadable> {
    let ast = ast::parse::Parser::new().parse(pattern).map_err(|error| Unreadable(error.kind().to_string()))?;
    let Ast::Alternation(alternation) = &ast else { return Ok(pattern.to_owned()) };
    let last = alternation.asts.len().saturating_sub(1);
    let parts = alternation.asts.iter().enumerate().map(|(number, part)| {
        let span = part.span();
        let text = pattern.get(span.start.offset..span.end.offset).unwrap_or_default();
        let before = if number == 0 { "" } else { ".*" };
        let after = if number == last { "" } else { ".*" };
        format!("{before}{text}{after}")
    });
    Ok(parts.collect::<Vec<_>>().join("|"))
}

/// Whether GitLab finds a pattern in every name, because one of its alternatives is empty.
#[must_use]
pub fn is_in_every_name(pattern: &str) -> bool {
    let empty = |part: &Ast| matches!(part, Ast::Empty(_));
    let parsed = ast::parse::Parser::new().parse(pattern);
    matches!(&parsed, Ok(Ast::Alternation(alternation)) if alternation.asts.iter().any(empty))
}
