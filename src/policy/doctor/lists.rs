//! The verdict on the lists of images in use that a policy names: those that other clusters write.

use jiff::{SignedDuration, Timestamp};

use super::{Check, CheckName, Verdict};
use crate::policy::compile::ListSource;
use crate::policy::in_use::list::{List, ListError};

const WRITE_IT: &str = "let the cluster that it is of write it: docs/in-use.md#several-clusters";
const WRITE_IT_AGAIN: &str = "look at what writes it in the cluster that it is of, and see to it that it is written again; maxAge says how long \
     it counts";

/// What stands where a policy looks for a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListSeen {
    /// This text.
    Text(String),
    /// No such ConfigMap, or none with the key: this is said of it.
    Missing(String),
    /// It could not be read, and why.
    Unread(String),
}

/// The lists of a policy, each with what was seen of it. `registry` is the host of the policy's registry, where it is
/// known.
#[must_use]
pub fn lists(seen: &[(ListSource, ListSeen)], registry: Option<&str>, now: Timestamp) -> Check {
    let all: Vec<Check> = seen.iter().map(|(source, seen)| one(source, seen, registry, now)).collect();
    let worst = all.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    let told: Vec<&Check> = all.iter().filter(|check| check.verdict == worst).collect();
    let Some(first) = told.first() else { return Check::ok(CheckName::InUseLists, "the policy names no lists") };
    let messages: Vec<&str> = told.iter().map(|check| check.message.as_str()).collect();
    Check { message: messages.join("; "), ..(*first).clone() }
}

fn one(source: &ListSource, seen: &ListSeen, registry: Option<&str>, now: Timestamp) -> Check {
    let (name, check) = (&source.name, CheckName::InUseLists);
    let text = match seen {
        ListSeen::Text(text) => text,
        ListSeen::Missing(what) => {
            return Check::failed(check, format!("{what}, so that nothing is removed"), WRITE_IT);
        }
        ListSeen::Unread(why) => return Check::unknown(check, format!("ConfigMap {name} cannot be read: {why}")),
    };
    let list = match List::read(text, now, source.max_age) {
        Ok(list) => list,
        Err(error) => {
            let action = match error {
                ListError::TooOld { .. } => WRITE_IT_AGAIN,
                ListError::FromTheFuture { .. } => "set the clock of the cluster that it is of",
                ListError::NotJson { .. } | ListError::WrongShape(_) | ListError::Incomplete => WRITE_IT,
            };
            return Check::failed(check, format!("ConfigMap {name}: {error}; nothing is removed meanwhile"), action);
        }
    };
    if let Some(host) = registry.filter(|host| !list.is_about(host)) {
        let message = format!("ConfigMap {name}: the list is about {}, and not about {host}", list.registry);
        return Check::failed(check, message, "write it with --registry and the host of the policy's registry");
    }
    let (until, soon) = list.expiry(now, source.max_age);
    let age = in_words(now.duration_since(list.generated_at));
    let message =
        format!("the list in ConfigMap {name} is {age} old, and counts for {}", in_words(until.duration_since(now)));
    if soon { Check::warning(check, message, WRITE_IT_AGAIN) } else { Check::ok(check, message) }
}

/// A span of time without what is of no interest: "1h 5m". A clock that is a little behind is at nothing.
fn in_words(span: SignedDuration) -> String {
    let span = span.max(SignedDuration::ZERO);
    let of_interest = if span.as_mins() > 0 { 60 } else { 1 };
    format!("{:#}", SignedDuration::from_secs(span.as_secs() / of_interest * of_interest))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    /// A list that was made so many minutes ago, in a ConfigMap that counts for 100.
    fn made(name: &str, minutes: i64, complete: bool) -> (ListSource, ListSeen) {
        let at = now() - SignedDuration::from_mins(minutes);
        let list = json!({"generatedAt": at, "registry": "registry.test", "complete": complete, "images": []});
        seen(name, ListSeen::Text(list.to_string()))
    }

    fn seen(name: &str, seen: ListSeen) -> (ListSource, ListSeen) {
        let max_age = SignedDuration::from_mins(100);
        (ListSource { name: name.to_owned(), key: "list".to_owned(), max_age, this_cluster: false }, seen)
    }

    fn text(text: &str) -> (ListSource, ListSeen) {
        seen("west", ListSeen::Text(text.to_owned()))
    }

    #[rstest]
    #[case::young(made("west", 65, true), Verdict::Ok, "ConfigMap west is 1h 5m old, and counts for 35m", "")]
    #[case::of_a_clock_that_is_a_little_ahead(made("west", -4, true), Verdict::Ok, "is 0s old", "")]
    #[case::at_three_quarters(made("west", 75, true), Verdict::Ok, "counts for 25m", "")]
    #[case::soon_too_old(made("west", 76, true), Verdict::Warning, "counts for 24m", "written again")]
    #[case::at_its_end(made("west", 100, true), Verdict::Warning, "counts for 0s", "written again")]
    #[case::too_old(made("west", 101, true), Verdict::Failed, "too old", "written again")]
    #[case::from_the_future(made("west", -6, true), Verdict::Failed, "in the future", "clock")]
    #[case::not_complete(made("west", 1, false), Verdict::Failed, "complete", "write it")]
    #[case::not_json(text("{"), Verdict::Failed, "ConfigMap west: the list is not JSON", "write it")]
    #[case::something_else(text("{}"), Verdict::Failed, "the form of one", "write it")]
    #[case::missing(
        seen("west", ListSeen::Missing("ConfigMap west does not exist".to_owned())),
        Verdict::Failed,
        "ConfigMap west does not exist, so that nothing is removed",
        "write it",
    )]
    #[case::hidden(
        seen("west", ListSeen::Unread("you may not".to_owned())),
        Verdict::Unknown,
        "ConfigMap west cannot be read: you may not",
        "",
    )]
    fn a_list_is_judged_by_its_age_and_form(
        #[case] list: (ListSource, ListSeen),
        #[case] expected: Verdict,
        #[case] words: &str,
        #[case] action: &str,
    ) {
        let check = lists(&[list], Some("registry.test"), now());
        assert_eq!(check.verdict, expected, "{check:?}");
        assert!(check.message.contains(words), "{check:?}");
        assert!(check.action.as_deref().unwrap_or_default().contains(action), "{check:?}");
        assert_eq!(check.action.is_none(), action.is_empty(), "{check:?}");
    }

    #[test]
    fn a_list_about_another_registry_says_nothing_of_this_one() {
        let check = lists(&[made("west", 1, true)], Some("registry.other"), now());
        assert_eq!(check.verdict, Verdict::Failed);
        assert_eq!(check.message, "ConfigMap west: the list is about registry.test, and not about registry.other");
        assert_eq!(lists(&[made("west", 1, true)], None, now()).verdict, Verdict::Ok, "which one is not known");
    }

    #[test]
    fn of_several_lists_the_worst_are_told() {
        let of = |all: &[(ListSource, ListSeen)]| lists(all, None, now());
        assert_eq!(of(&[]), Check::ok(CheckName::InUseLists, "the policy names no lists"));
        let told = of(&[made("a", 1, true), made("b", 200, true), made("c", 80, true), text("{")]);
        assert_eq!((told.verdict, told.action.as_deref()), (Verdict::Failed, Some(WRITE_IT_AGAIN)));
        assert!(told.message.starts_with("ConfigMap b: ") && told.message.contains("; ConfigMap west: "), "{told:?}");
        let two = of(&[made("a", 1, true), made("b", 2, true)]).message;
        assert_eq!(two.matches(" old, and counts for ").count(), 2, "{two}");
    }
}
