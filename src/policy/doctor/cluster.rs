//! Verdicts on what concerns the whole installation: definition, operator, rights, clock, images in use.

use jiff::SignedDuration;

use super::rights::Right;
use super::{Check, CheckName};
use crate::policy::definition;

/// From this difference on clocks are worth a word. A `Date` is told to the second and takes its way.
pub const CLOCKS_AGREE: SignedDuration = SignedDuration::from_secs(5);

/// Most things of one sort that a sentence names.
const MAX_NAMED: usize = 5;

/// What was seen of the schema of policies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Schema {
    /// The fields that it lacks.
    Lacks(Vec<String>),
    /// There is none.
    Absent,
    /// It could not be read, and why.
    Unknown(String),
}

/// Versions of the definition, where they may be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versions {
    /// Those that the API server serves.
    pub served: Vec<String>,
    /// Those in which objects may be stored.
    pub stored: Vec<String>,
}

/// The definition: is it there, in the version that this program knows, and with all of its fields?
#[must_use]
pub fn definition(schema: &Schema, versions: Option<&Versions>, ours: &str) -> Check {
    const INSTALL: &str = "install the CustomResourceDefinition: crds.install of the chart, or kubectl apply \
                           --server-side -f deploy/crds.yaml";
    const UPGRADE: &str = "upgrade the CRD: docs/upgrades.md#the-definition";
    let name = CheckName::Definition;
    let missing = match schema {
        Schema::Absent => return Check::failed(name, "the API server does not know RegistryCleanupPolicy", INSTALL),
        Schema::Unknown(why) => return Check::unknown(name, why.clone()),
        Schema::Lacks(missing) => missing,
    };
    if let Some(versions) = versions {
        if !versions.served.iter().any(|version| version == ours) {
            let served = versions.served.join(", ");
            return Check::failed(name, format!("the API server serves {served}, and not {ours}"), UPGRADE);
        }
        let others: Vec<&str> = versions.stored.iter().map(String::as_str).filter(|stored| *stored != ours).collect();
        if !others.is_empty() {
            let message = format!("objects may be stored as {}, which this program does not know", others.join(", "));
            return Check::warning(name, message, "use a program of the version that the operator has");
        }
    }
    match definition::remark(missing) {
        None => Check::ok(name, format!("{ours} is served, with every field that this program knows")),
        Some(remark) if definition::any_guards(missing) => {
            Check::failed(name, format!("{remark}; nothing is removed meanwhile"), UPGRADE)
        }
        Some(remark) => Check::warning(name, remark, UPGRADE),
    }
}

/// A Deployment of the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Installed {
    /// As `namespace/name`.
    pub name: String,
    /// Its version, as its label says.
    pub version: Option<String>,
    /// How many Pods it is to have.
    pub wanted: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// Whether its flags are understood.
    pub understood: bool,
}

/// What was seen of Deployments of the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operators {
    /// This one.
    One(Installed),
    /// These, as `namespace/name`: none or several.
    Others(Vec<String>),
    /// They could not be listed, and why.
    Unknown(String),
}

/// The operator: is it there, does it run, and is it of the same version?
#[must_use]
pub fn operator(seen: &Operators, ours: &str) -> Check {
    const NAME_IT: &str = "name it with --operator NAMESPACE/NAME";
    let name = CheckName::Operator;
    let Installed { name: deployment, version, wanted, ready, understood } = match seen {
        Operators::One(installed) => installed,
        Operators::Unknown(why) => return Check::unknown(name, why.clone()).and(NAME_IT),
        Operators::Others(none) if none.is_empty() => {
            let action = "install the operator; if it runs elsewhere, give its flags to doctor";
            return Check::warning(name, "no Deployment of the operator is found, so its flags are not known", action);
        }
        Operators::Others(several) => {
            let message = format!("there are several, and none is named: {}", first(several));
            return Check::unknown(name, message).and(NAME_IT);
        }
    };
    let others = version.as_deref().filter(|version| *version != ours);
    if *ready == 0 {
        let message = format!("none of the {wanted} Pods of Deployment {deployment} is ready");
        return Check::failed(name, message, "docs/troubleshooting.md#the-operator-itself");
    }
    if let Some(other) = others {
        let message = format!("Deployment {deployment} is of version {other}, and this program of {ours}");
        return Check::warning(name, message, "use the program of the operator's version");
    }
    if !understood {
        let message = format!("the flags of Deployment {deployment} are not understood, so the usual ones are assumed");
        return Check::warning(name, message, "use the program of the operator's version");
    }
    let message = format!("{ready} of {wanted} Pods of Deployment {deployment} are ready");
    if ready < wanted {
        return Check::warning(name, message, "docs/troubleshooting.md#the-operator-itself");
    }
    Check::ok(name, message)
}

/// A right, and whether somebody has it; `None` is not known.
pub type Answer = (Right, Option<bool>);

/// What whoever asks may do.
#[must_use]
pub fn own_rights(answers: &[Answer]) -> Check {
    let name = CheckName::OwnRights;
    let (refused, unknown) = sorted(answers);
    if !refused.is_empty() {
        let message = format!("you may not {}, so that something may stay unknown", first(&refused));
        return Check::warning(name, message, "docs/doctor.md#rights");
    }
    if unknown {
        return Check::unknown(name, "the API server does not say what you may do");
    }
    Check::ok(name, format!("you may do all {} things that this takes", answers.len()))
}

/// What the operator's `ServiceAccount` may do: `namespace/name`, if it is known, and the answers, or why there are
/// none.
#[must_use]
pub fn operator_rights(account: Option<&str>, answers: &Result<Vec<Answer>, String>) -> Check {
    let name = CheckName::OperatorRights;
    let Some(account) = account else {
        return Check::unknown(name, "it is not known as which ServiceAccount the operator runs");
    };
    let answers = match answers {
        Ok(answers) => answers,
        Err(why) => return Check::unknown(name, why.clone()),
    };
    let (refused, unknown) = sorted(answers);
    if !refused.is_empty() {
        let message = format!("ServiceAccount {account} may not {}", first(&refused));
        return Check::failed(
            name,
            message,
            "grant what the chart grants: rbac.create, or the rules of deploy/operator.yaml",
        );
    }
    if unknown {
        return Check::unknown(name, format!("the API server does not say what ServiceAccount {account} may do"));
    }
    Check::ok(name, format!("ServiceAccount {account} has all {} rights that it needs", answers.len()))
}

/// What is refused, and whether something is not known.
fn sorted(answers: &[Answer]) -> (Vec<String>, bool) {
    let refused = answers.iter().filter(|(_, allowed)| *allowed == Some(false));
    let refused = refused.map(|(right, _)| right.to_string()).collect();
    (refused, answers.iter().any(|(_, allowed)| allowed.is_none()))
}

/// The clock of this machine, which other checks go by: how far the API server's is ahead.
#[must_use]
pub fn clock(ahead: Option<SignedDuration>) -> Check {
    let name = CheckName::ClusterClock;
    let Some(ahead) = ahead else { return Check::unknown(name, "the API server does not tell the time") };
    if ahead.abs() < CLOCKS_AGREE {
        return Check::ok(name, "the API server's clock and that of this machine agree");
    }
    let message = format!("the API server's clock is {} that of this machine", apart(ahead));
    Check::warning(
        name,
        message,
        "set the clock that is wrong; if it is one of the cluster, ages and schedules are wrong too",
    )
}

/// How far one clock is from another: "7s behind".
#[must_use]
pub(super) fn apart(ahead: SignedDuration) -> String {
    let by = SignedDuration::from_secs(ahead.abs().as_secs());
    format!("{by:#} {}", if ahead.is_negative() { "behind" } else { "ahead of" })
}

/// Something that could not be read of the workloads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unseen {
    /// What and why.
    pub text: String,
    /// Whether it is so for whoever asks only: it may not be read, or not just now.
    pub here: bool,
}

/// What was seen of images in use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UseSeen {
    /// What could not be read of what the operator watches; `None` = it watches nothing.
    pub watched: Option<Vec<Unseen>>,
    /// How many policies keep images in use.
    pub wanted_by: usize,
    /// Kinds that the operator was told to watch and the cluster does not have.
    pub absent: Vec<String>,
    /// Kinds that are not watched and name images of a policy's registry.
    pub unwatched: Vec<String>,
    /// Kinds that are not watched and could not be read.
    pub unread: Vec<String>,
    /// Whether the registry of any policy is known.
    pub registry_known: bool,
}

/// Whether it is known which images are in use.
#[must_use]
pub fn in_use(seen: &UseSeen) -> Check {
    let name = CheckName::InUse;
    let Some(unseen) = &seen.watched else {
        if seen.wanted_by == 0 {
            return Check::ok(name, "workloads are not watched, and no policy wants to know which images are in use");
        }
        let message =
            format!("workloads are not watched (--in-use=false), so {} policies remove nothing", seen.wanted_by);
        return Check::failed(name, message, "set inUse.enabled of the chart");
    };
    let of = |here: bool| unseen.iter().filter(move |unseen| unseen.here == here).map(|unseen| unseen.text.clone());
    let (broken, hidden): (Vec<String>, Vec<String>) = (of(false).collect(), of(true).collect());
    if !broken.is_empty() {
        let message = format!("it cannot be told which images are in use: {}", first(&broken));
        return Check::failed(name, message, "docs/in-use.md says what can be read; nothing is removed meanwhile");
    }
    if !hidden.is_empty() {
        return Check::unknown(
            name,
            format!("you cannot see everything that the operator watches: {}", first(&hidden)),
        );
    }
    Check::ok(name, "everything that is watched can be read")
}

/// Whether the cluster has the kinds that the operator was told to watch.
#[must_use]
pub fn configured_kinds(seen: &UseSeen) -> Check {
    let name = CheckName::ConfiguredKinds;
    if seen.absent.is_empty() {
        return Check::ok(name, "the cluster has every kind that the operator was told to watch");
    }
    let message = format!("the cluster does not have {}", first(&seen.absent));
    Check::warning(name, message, "correct inUse.workloads of the chart, unless the kind is installed later")
}

/// Whether kinds name images of a policy's registry that nobody watches.
#[must_use]
pub fn unwatched_kinds(seen: &UseSeen) -> Check {
    let name = CheckName::UnwatchedKinds;
    if !seen.unwatched.is_empty() {
        let message = format!("images of the registry are named by {}, which are not watched", first(&seen.unwatched));
        return Check::warning(name, message, "set inUse.catalogue of the chart, or name the kinds in inUse.workloads");
    }
    if !seen.registry_known {
        return Check::unknown(name, "no registry is known, since no repository of a policy could be listed");
    }
    if !seen.unread.is_empty() {
        return Check::unknown(name, format!("not every kind could be read: {}", first(&seen.unread)));
    }
    Check::ok(name, "no kind of the catalogue names images of the registry without being watched")
}

/// The first of several things, and how many more there are.
fn first<T: AsRef<str>>(all: &[T]) -> String {
    let named: Vec<&str> = all.iter().take(MAX_NAMED).map(AsRef::as_ref).collect();
    let more = match all.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join("; "))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::Verdict;
    use super::*;

    fn lacks(fields: &[&str]) -> Schema {
        Schema::Lacks(fields.iter().map(ToString::to_string).collect())
    }

    fn versions(served: &[&str], stored: &[&str]) -> Versions {
        let of = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        Versions { served: of(served), stored: of(stored) }
    }

    #[rstest]
    #[case::whole(&lacks(&[]), None, Verdict::Ok)]
    #[case::a_field_that_guards(&lacks(&["spec.limits"]), None, Verdict::Failed)]
    #[case::a_field_that_does_not(&lacks(&["spec.historyLimit"]), None, Verdict::Warning)]
    #[case::none(&Schema::Absent, None, Verdict::Failed)]
    #[case::not_readable(&Schema::Unknown("no".to_owned()), None, Verdict::Unknown)]
    #[case::another_version_alone(&lacks(&[]), Some(versions(&["v1"], &["v1"])), Verdict::Failed)]
    #[case::stored_as_another(&lacks(&[]), Some(versions(&["a", "v1"], &["a", "v1"])), Verdict::Warning)]
    #[case::one_version(&lacks(&[]), Some(versions(&["a"], &["a"])), Verdict::Ok)]
    fn a_definition_is_judged_by_its_fields_and_versions(
        #[case] schema: &Schema,
        #[case] versions: Option<Versions>,
        #[case] expected: Verdict,
    ) {
        let check = definition(schema, versions.as_ref(), "a");
        assert_eq!(check.verdict, expected, "{check:?}");
    }

    fn installed(version: Option<&str>, wanted: i32, ready: i32, understood: bool) -> Operators {
        let version = version.map(str::to_owned);
        Operators::One(Installed { name: "ops/operator".to_owned(), version, wanted, ready, understood })
    }

    #[rstest]
    #[case::all_ready(installed(Some("1"), 2, 2, true), Verdict::Ok)]
    #[case::without_a_version(installed(None, 1, 1, true), Verdict::Ok)]
    #[case::one_is_not_ready(installed(Some("1"), 2, 1, true), Verdict::Warning)]
    #[case::none_is_ready(installed(Some("1"), 2, 0, true), Verdict::Failed)]
    #[case::scaled_to_nothing(installed(Some("1"), 0, 0, true), Verdict::Failed)]
    #[case::of_another_version(installed(Some("2"), 1, 1, true), Verdict::Warning)]
    #[case::with_strange_flags(installed(Some("1"), 1, 1, false), Verdict::Warning)]
    #[case::nowhere(Operators::Others(Vec::new()), Verdict::Warning)]
    #[case::several(Operators::Others(vec!["a/x".to_owned(), "b/x".to_owned()]), Verdict::Unknown)]
    #[case::hidden(Operators::Unknown("no".to_owned()), Verdict::Unknown)]
    fn an_operator_is_judged_by_its_pods_and_version(#[case] seen: Operators, #[case] expected: Verdict) {
        let check = operator(&seen, "1");
        assert_eq!(check.verdict, expected, "{check:?}");
    }

    fn answers(allowed: &[Option<bool>]) -> Vec<Answer> {
        let right = Right { verb: "list", resource: "pods".to_owned(), ..Right::default() };
        allowed.iter().map(|allowed| (right.clone(), *allowed)).collect()
    }

    #[rstest]
    #[case::all(&[Some(true), Some(true)], Verdict::Ok, Verdict::Ok)]
    #[case::not_all(&[Some(true), Some(false), None], Verdict::Warning, Verdict::Failed)]
    #[case::not_known(&[Some(true), None], Verdict::Unknown, Verdict::Unknown)]
    fn a_right_that_lacks_is_named(#[case] allowed: &[Option<bool>], #[case] own: Verdict, #[case] operators: Verdict) {
        let (mine, its) = (own_rights(&answers(allowed)), operator_rights(Some("ops/sa"), &Ok(answers(allowed))));
        assert_eq!((mine.verdict, its.verdict), (own, operators));
        let named = its.message.contains("list pods in all namespaces");
        assert_eq!(named, operators == Verdict::Failed, "{its:?}");
        assert_eq!(operator_rights(None, &Ok(answers(allowed))).verdict, Verdict::Unknown);
        assert_eq!(operator_rights(Some("ops/sa"), &Err("no".to_owned())).verdict, Verdict::Unknown);
    }

    #[rstest]
    #[case(Some(0), Verdict::Ok, "agree")]
    #[case(Some(4), Verdict::Ok, "agree")]
    #[case(Some(5), Verdict::Warning, "5s ahead of that of this machine")]
    #[case(Some(-90), Verdict::Warning, "1m 30s behind that of this machine")]
    #[case(None, Verdict::Unknown, "does not tell")]
    fn clocks_agree_within_a_few_seconds(#[case] ahead: Option<i64>, #[case] expected: Verdict, #[case] words: &str) {
        let check = clock(ahead.map(SignedDuration::from_secs));
        assert_eq!(check.verdict, expected);
        assert!(check.message.contains(words), "{check:?}");
    }

    fn unseen(text: &str, here: bool) -> Unseen {
        Unseen { text: text.to_owned(), here }
    }

    #[rstest]
    #[case::everything_is_seen(Some(vec![]), 1, Verdict::Ok)]
    #[case::something_is_broken(Some(vec![unseen("a", true), unseen("b", false)]), 1, Verdict::Failed)]
    #[case::something_is_hidden(Some(vec![unseen("a", true)]), 1, Verdict::Unknown)]
    #[case::nothing_is_watched_and_somebody_counts_on_it(None, 2, Verdict::Failed)]
    #[case::nothing_is_watched_and_nobody_minds(None, 0, Verdict::Ok)]
    fn what_is_in_use_is_known_if_everything_can_be_read(
        #[case] watched: Option<Vec<Unseen>>,
        #[case] wanted_by: usize,
        #[case] expected: Verdict,
    ) {
        let check = in_use(&UseSeen { watched, wanted_by, ..UseSeen::default() });
        assert_eq!(check.verdict, expected, "{check:?}");
    }

    #[test]
    fn kinds_that_are_absent_or_not_watched_are_named() {
        let kind = |kind: &str| vec![kind.to_owned()];
        let known = UseSeen { registry_known: true, ..UseSeen::default() };
        assert_eq!((configured_kinds(&known).verdict, unwatched_kinds(&known).verdict), (Verdict::Ok, Verdict::Ok));
        let absent = UseSeen { absent: kind("Rollout.argoproj.io"), ..known.clone() };
        assert_eq!(configured_kinds(&absent).message, "the cluster does not have Rollout.argoproj.io");
        assert_eq!(unwatched_kinds(&absent).verdict, Verdict::Ok);
        let unwatched = UseSeen { unwatched: kind("Task.tekton.dev"), unread: kind("x"), ..known.clone() };
        let check = unwatched_kinds(&unwatched);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.message.contains("Task.tekton.dev"), "{check:?}");
        let unread = UseSeen { unread: kind("Task.tekton.dev: list is forbidden"), ..known };
        assert_eq!(unwatched_kinds(&unread).verdict, Verdict::Unknown);
        assert_eq!(unwatched_kinds(&UseSeen::default()).verdict, Verdict::Unknown);
    }

    #[test]
    fn of_many_things_the_first_are_named() {
        let all: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(first(&all), "0; 1; 2; 3; 4 and 2 more");
        assert_eq!(first(&all[..2]), "0; 1");
    }
}
