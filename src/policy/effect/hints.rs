//! What somebody may have meant by a pattern that matches nothing: the first of a few likely ones that does.

use crate::policy::pattern::Pattern;

/// What would match one of these tags.
pub(super) fn tag_hint<'n>(source: &str, names: &(impl Iterator<Item = &'n str> + Clone)) -> Option<String> {
    let trimmed = source.trim();
    let group = grouped(trimmed);
    let guesses = [
        trimmed.to_owned(),
        from_glob(trimmed),
        trimmed.replace(r"\\", r"\"),
        trimmed.replace(", ", "|").replace(',', "|"),
        format!("{group}.*"),
        format!(".*{group}.*"),
        format!("(?i){trimmed}"),
    ];
    first(source, guesses, names)
}

/// What would match one of these paths.
#[must_use]
pub fn path_hint<'n>(source: &str, paths: &(impl Iterator<Item = &'n str> + Clone)) -> Option<String> {
    let plain = source.trim().trim_start_matches('/');
    // Escapes in upper case mean the contrary.
    let lower = if plain.contains('\\') { plain.to_owned() } else { plain.to_lowercase() };
    let below_host = lower.split_once('/').map_or("", |(_, path)| path).to_owned();
    let (trimmed, group) = (lower.trim_end_matches('/').to_owned(), grouped(lower.trim_end_matches('/')));
    let guesses = [
        trimmed,
        format!("{group}/.*"),
        from_glob(&lower),
        below_host.clone(),
        format!(".*/{group}"),
        format!(".*/{group}/.*"),
        format!(".*/{}", grouped(&below_host)),
        format!(".*{group}.*"),
    ];
    first(source, guesses, paths)
}

fn first<'n>(
    source: &str,
    guesses: impl IntoIterator<Item = String>,
    names: &(impl Iterator<Item = &'n str> + Clone),
) -> Option<String> {
    guesses
        .into_iter()
        .filter(|guess| guess != source && !matches!(guess.as_str(), "" | ".*" | ".*/"))
        .find(|guess| Pattern::compile(guess).is_ok_and(|pattern| names.clone().any(|name| pattern.matches(name))))
}

fn grouped(source: &str) -> String {
    if source.contains('|') { format!("(?:{source})") } else { source.to_owned() }
}

/// `mr-*` as `mr-.*`.
fn from_glob(source: &str) -> String {
    let mut text = String::new();
    for character in source.chars() {
        if character == '*' && text.chars().last().is_none_or(|last| last.is_alphanumeric() || "-_/".contains(last)) {
            text.push('.');
        }
        text.push(character);
    }
    text
}
