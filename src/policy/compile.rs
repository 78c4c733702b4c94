//! From the spec as it was typed to what a run needs: parsed addresses, compiled patterns, a schedule.
//!
//! The definition refuses most of what is wrong at `kubectl apply`. A policy may have been stored without it, so all of
//! it is asked again here ([`validation`]), before what no schema can know. What is wrong becomes a problem with a
//! documented reason. Nothing that fails here is ever sent anywhere.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::api::conditions::Reason;
use crate::api::validation::{self, Fault};
use crate::api::{
    self, InUse, InUseSource, Mode, PATTERN_SENTENCE, ProtectSpec, RegistryCleanupPolicySpec, RuleSpec, SortBy,
};
use crate::hosts;

use super::age::Age;
use super::empty_repository;
use super::in_use::Alias;
use super::limits::Limits;
use super::pattern::{Pattern, PatternError, Patterns, Refused};
use super::schedule::{Schedule, ScheduleError};
use super::target::Target;

/// Where a list of images in use is in a ConfigMap, and how old it may be, where the policy does not say.
const DEFAULT_LIST_KEY: &str = "images.json";
const DEFAULT_LIST_AGE: &str = "1d";

/// How often credentials and targets that work are checked.
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_hours(6);

/// How many of the things that are wrong a message tells.
const TOLD_FAULTS: usize = 3;

/// What the operator allows policies to do, from its flags.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Hosts that tokens may be sent to, each a name, an address or `*.` and a domain, with a port where only that one
    /// is meant; empty = any that is not local.
    pub allowed_hosts: Vec<String>,
    /// Whether a policy may use http://, if it says so itself.
    pub allow_insecure_http: bool,
    /// The namespaces whose workloads the operator sees, on the administrator's word that nothing else uses the
    /// registries; empty = all.
    pub seen_namespaces: Vec<String>,
    /// Whether objects of other namespaces may be named in what is said of a policy; otherwise they are counted.
    pub name_other_namespaces: bool,
    /// Whether every run only tells, whatever the policy's mode.
    pub force_dry_run: bool,
    /// How often credentials and targets that work are checked, if not as often as usual.
    pub check_interval: Option<SignedDuration>,
    /// How much later than its schedule says a policy may run at most.
    pub schedule_jitter: SignedDuration,
}

/// A spec that holds together.
#[derive(Clone, Debug)]
pub struct CompiledPolicy {
    /// Address of the GitLab instance, without a trailing slash.
    pub base_url: Url,
    /// How long one request may take.
    pub timeout: Duration,
    /// Which repositories.
    pub target: Target,
    /// What to remove, and how.
    pub method: Method,
    /// Which attachments go with their image.
    pub attachments: api::Attachments,
    /// Tags that no rule may remove.
    pub protect: Vec<Pattern>,
    /// Whose images are not removed.
    pub protection: Protection,
    /// Whether to remove.
    pub mode: Mode,
    /// The mode of the spec, where the operator makes a dry run of it.
    pub forced_from: Option<Mode>,
    /// How much may go before nothing does.
    pub limits: Limits,
    /// Which repositories without tags are deleted; `None` = none is.
    pub empty_repositories: Option<empty_repository::Rule>,
    /// When.
    pub schedule: Schedule,
    /// How often credentials and targets that work are checked.
    pub check_interval: SignedDuration,
    /// How late a run may start.
    pub starting_deadline: SignedDuration,
    /// How long a run may take.
    pub active_deadline: SignedDuration,
    /// Whether nothing is to be done for now.
    pub suspended: bool,
    /// How much its patterns take, in bytes.
    pub pattern_bytes: usize,
}

/// Whose images are not removed.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Whether images in use are looked for; nothing is removed while it is not known which they are.
    pub in_use: bool,
    /// Other names under which this registry is pulled from.
    pub aliases: Vec<Alias>,
    /// Lists of what other clusters use.
    pub lists: Vec<ListSource>,
    /// The namespaces whose workloads are seen, on the administrator's word that nothing else uses the registry; empty
    /// = all.
    pub seen_namespaces: Vec<String>,
}

/// Where another cluster's images in use are listed.
#[derive(Clone, Debug)]
pub struct ListSource {
    /// The ConfigMap, in the policy's namespace.
    pub name: String,
    /// Its key.
    pub key: String,
    /// How old the list may be.
    pub max_age: SignedDuration,
    /// Whether it is the list of this cluster, with all its namespaces.
    pub this_cluster: bool,
}

/// How tags are removed, with the rules that the way can follow.
#[derive(Clone, Debug)]
pub enum Method {
    /// By GitLab's bulk deletion, which knows one rule.
    Bulk(Box<Rule>),
    /// Tag by tag, by as many rules as are wanted.
    Exact(Vec<Rule>),
}

impl Method {
    /// Its name in the resource.
    #[must_use]
    pub fn name(&self) -> api::Method {
        match self {
            Self::Bulk(_) => api::Method::Bulk,
            Self::Exact(_) => api::Method::Exact,
        }
    }

    /// Its rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        match self {
            Self::Bulk(rule) => std::slice::from_ref(rule),
            Self::Exact(rules) => rules,
        }
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Which tags may go.
    pub delete: Pattern,
    /// Which of them stay all the same.
    pub keep: Option<Pattern>,
    /// How many of the newest stay.
    pub keep_n: Option<u32>,
    /// From which age on they go.
    pub older_than: Option<Age>,
    /// What keepN counts by; one capture group.
    pub group_by: Option<Pattern>,
    /// What makes a tag one of the newest.
    pub sort_by: SortBy,
}

/// Something that only an edit of the policy, or of the operator's flags, can fix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// One of the documented reasons of the condition Stalled.
    pub reason: Reason,
    /// What is wrong and what to do.
    pub message: String,
}

/// Compiles a spec. `now` decides whether the schedule ever comes again.
///
/// # Errors
/// The first problem that is found.
pub fn compile(
    spec: &RegistryCleanupPolicySpec,
    settings: &CompileOptions,
    now: Timestamp,
) -> Result<CompiledPolicy, Problem> {
    // First of all: what is within the bounds of the definition costs little to compile.
    refuse(&validation::faults_of_spec(spec))?;
    let base_url = base_url(&spec.gitlab.url, settings)?;
    let timeout = humantime::parse_duration(&spec.gitlab.timeout)
        .map_err(|_| invalid(format!("gitlab.timeout {:?} is no duration such as 30s", spec.gitlab.timeout)))?;
    let mut patterns = Patterns::default();
    let target = Target::compile(&spec.target, &mut patterns).map_err(|refused| pattern_problem(&refused))?;
    let protect_spec = spec.protect.clone().unwrap_or_default();
    let protect = |source: &String| patterns.compile_keeping("protect.nameRegex", source);
    let protect = protect_spec.name_regex.iter().map(protect).collect::<Result<_, _>>();
    let protect = protect.map_err(|refused| pattern_problem(&refused))?;
    let protection = protection(&protect_spec, settings)?;
    let rules =
        spec.rules.iter().map(|rule| compile_rule(rule, &mut patterns)).collect::<Result<Vec<Rule>, Problem>>()?;
    let method = method(spec.method.unwrap_or_default(), rules)?;
    let empty_repositories = spec.empty_repositories.as_ref().map(empty_repository::Rule::compile).transpose();
    let forced_from = Some(spec.mode).filter(|mode| settings.force_dry_run && *mode != Mode::DryRun);
    Ok(CompiledPolicy {
        base_url,
        timeout,
        target,
        method,
        attachments: spec.attachments.unwrap_or_default(),
        protect,
        protection,
        mode: if forced_from.is_some() { Mode::DryRun } else { spec.mode },
        forced_from,
        limits: Limits::new(spec.limits.as_ref()),
        empty_repositories: empty_repositories
            .map_err(|error| invalid(format!("emptyRepositories.deleteOlderThan {error}")))?,
        schedule: Schedule::parse(&spec.schedule, &spec.time_zone, now).map_err(|error| schedule_problem(&error))?,
        check_interval: settings.check_interval.unwrap_or(CHECK_INTERVAL),
        starting_deadline: SignedDuration::from_secs(spec.starting_deadline_seconds.into()),
        active_deadline: SignedDuration::from_secs(spec.active_deadline_seconds.into()),
        suspended: spec.suspend,
        pattern_bytes: patterns.bytes(),
    })
}

fn protection(spec: &ProtectSpec, settings: &CompileOptions) -> Result<Protection, Problem> {
    let alias = |text: &String| {
        Alias::parse(text).map_err(|error| invalid(format!("protect.registryAliases {text:?} cannot be used: {error}")))
    };
    let list = |source: &InUseSource| {
        let max_age = Age::parse(source.max_age.as_deref().unwrap_or(DEFAULT_LIST_AGE))
            .map_err(|error| invalid(format!("protect.inUseFrom maxAge {error}")))?;
        let reference = &source.config_map_ref;
        let key = reference.key.as_deref().unwrap_or(DEFAULT_LIST_KEY).to_owned();
        let this_cluster = source.this_cluster;
        Ok(ListSource { name: reference.name.clone(), key, max_age: max_age.duration(), this_cluster })
    };
    Ok(Protection {
        in_use: spec.in_use.unwrap_or_default() == InUse::Required,
        aliases: spec.registry_aliases.iter().map(alias).collect::<Result<_, _>>()?,
        lists: spec.in_use_from.iter().map(list).collect::<Result<_, _>>()?,
        seen_namespaces: settings.seen_namespaces.clone(),
    })
}

fn method(method: api::Method, mut rules: Vec<Rule>) -> Result<Method, Problem> {
    if rules.is_empty() {
        return Err(invalid("rules has no entry".to_owned()));
    }
    match (method, rules.pop()) {
        (api::Method::Bulk, Some(rule)) if rules.is_empty() => Ok(Method::Bulk(Box::new(rule))),
        (api::Method::Bulk, _) => Err(invalid("method Bulk takes exactly one rule; set method: Exact".to_owned())),
        (api::Method::Exact, last) => {
            rules.extend(last);
            Ok(Method::Exact(rules))
        }
    }
}

fn compile_rule(spec: &RuleSpec, patterns: &mut Patterns) -> Result<Rule, Problem> {
    let field = |name: &str| format!("rules[{}].{name}", spec.name);
    let delete = patterns.compile(&field("nameRegexDelete"), &spec.name_regex_delete);
    let delete = delete.map_err(|refused| pattern_problem(&refused))?;
    let keep = spec.name_regex_keep.as_deref();
    let keep = keep.map(|source| patterns.compile_keeping(&field("nameRegexKeep"), source)).transpose();
    let keep = keep.map_err(|refused| pattern_problem(&refused))?;
    let older_than = spec
        .older_than
        .as_deref()
        .map(Age::parse)
        .transpose()
        .map_err(|error| invalid(format!("rules[{}].olderThan {error}", spec.name)))?;
    let group_by = spec.group_by.as_deref().map(|source| patterns.compile_capturing(&field("groupBy"), source));
    let group_by = group_by.transpose().map_err(|refused| pattern_problem(&refused))?;
    if let Some(group_by) = group_by.as_ref().filter(|pattern| pattern.groups() != 1) {
        let (name, groups) = (&spec.name, group_by.groups());
        return Err(invalid(format!(
            "rules[{name}].groupBy has {groups} capture groups instead of one; write (?:…) for a group that is none"
        )));
    }
    Ok(Rule {
        name: spec.name.clone(),
        delete,
        keep,
        keep_n: spec.keep_n,
        older_than,
        group_by,
        sort_by: spec.sort_by.unwrap_or_default(),
    })
}

fn base_url(text: &str, settings: &CompileOptions) -> Result<Url, Problem> {
    let unusable = |why: &str| invalid(format!("gitlab.url cannot be used: {why}"));
    let mut url = Url::parse(text).map_err(|error| unusable(&error.to_string()))?;
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(unusable("it has a user name, a query or a fragment"));
    }
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_insecure_http => {}
        "http" => {
            return Err(Problem {
                reason: Reason::InsecureConnectionsDisallowed,
                message: "gitlab.url begins with http:// and the operator runs without --allow-insecure-http"
                    .to_owned(),
            });
        }
        _ => return Err(unusable("it begins neither with https:// nor with http://")),
    }
    let host = url.host_str().ok_or_else(|| unusable("it names no host"))?;
    if !hosts::may_be_asked(&url, &settings.allowed_hosts) {
        return Err(Problem {
            reason: Reason::HostNotAllowed,
            message: format!(
                "the operator may not send tokens to {host}; see its flag --allowed-gitlab-hosts (chart: \
                 gitlab.allowedHosts)"
            ),
        });
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Turns what the definition does not allow into a problem, which has room for a few sentences.
fn refuse(faults: &[Fault]) -> Result<(), Problem> {
    let Some(first) = faults.first() else { return Ok(()) };
    let told: Vec<String> = faults.iter().take(TOLD_FAULTS).map(ToString::to_string).collect();
    let more = match faults.len().saturating_sub(TOLD_FAULTS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(Problem { reason: first.reason, message: format!("{}{more}", told.join("; ")) })
}

fn invalid(message: String) -> Problem {
    Problem { reason: Reason::InvalidSpec, message }
}

fn pattern_problem(refused: &Refused) -> Problem {
    let Refused { field, pattern, error } = refused;
    let advice = match error {
        PatternError::Invalid(_) => format!(": {PATTERN_SENTENCE}"),
        _ => String::new(),
    };
    Problem { reason: Reason::InvalidPattern, message: format!("{field} {pattern:?} {error}{advice}") }
}

fn schedule_problem(error: &ScheduleError) -> Problem {
    let reason = match error {
        ScheduleError::UnknownZone(_) => Reason::InvalidTimeZone,
        _ => Reason::InvalidSchedule,
    };
    Problem { reason, message: error.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    /// A spec that compiles, with parts of it replaced.
    pub(crate) fn spec(changes: &Value) -> RegistryCleanupPolicySpec {
        let mut spec = json!({
            "gitlab": {"url": "https://gitlab.example.com", "secretRef": {"name": "token"}, "timeout": "30s"},
            "target": {"projects": ["shop/backend"]},
            "rules": [{"name": "all", "nameRegexDelete": ".*", "keepN": 5, "olderThan": "2d"}],
            "schedule": "17 3 * * *",
        });
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn problem(changes: &Value, settings: &CompileOptions) -> (Reason, String) {
        let problem = compile(&spec(changes), settings, now()).unwrap_err();
        (problem.reason, problem.message)
    }

    fn gitlab(url: &str) -> Value {
        json!({"gitlab": {"url": url, "secretRef": {"name": "token"}}})
    }

    #[test]
    fn a_sound_spec_compiles_and_defaults_are_those_of_the_schema() {
        let policy = compile(&spec(&json!({})), &CompileOptions::default(), now()).unwrap();
        assert_eq!(policy.mode, Mode::DryRun);
        assert_eq!(policy.timeout, Duration::from_secs(30));
        assert_eq!(policy.starting_deadline, SignedDuration::from_secs(3600));
        assert!(!policy.suspended);
    }

    #[rstest]
    #[case("https://gitlab.example.com/", "https://gitlab.example.com/")]
    #[case("https://gitlab.example.com/git/", "https://gitlab.example.com/git")]
    fn a_sub_path_is_kept_and_a_trailing_slash_is_not(#[case] url: &str, #[case] expected: &str) {
        let policy = compile(&spec(&gitlab(url)), &CompileOptions::default(), now()).unwrap();
        assert_eq!(policy.base_url.as_str(), expected);
    }

    #[rstest]
    #[case("https://127.0.0.1")]
    #[case("https://localhost:8443")]
    #[case("https://gitlab.localhost")]
    #[case("https://169.254.169.254")]
    #[case("https://[::1]")]
    #[case("https://[::ffff:127.0.0.1]")]
    #[case("https://0.0.0.0")]
    fn local_addresses_are_allowed_only_by_name(#[case] url: &str) {
        assert_eq!(problem(&gitlab(url), &CompileOptions::default()).0, Reason::HostNotAllowed);
        let host = Url::parse(url).unwrap().host_str().unwrap().trim_matches(['[', ']']).to_owned();
        let settings = CompileOptions { allowed_hosts: vec![host], ..CompileOptions::default() };
        assert!(compile(&spec(&gitlab(url)), &settings, now()).is_ok());
    }

    #[rstest]
    #[case("gitlab.example.com", "https://gitlab.example.com", true)]
    #[case("gitlab.example.com", "https://GitLab.Example.com", true)]
    #[case("gitlab.example.com", "https://gitlab.example.com.evil.test", false)]
    #[case("*.example.com", "https://gitlab.example.com", true)]
    #[case("*.example.com", "https://example.com", false)]
    #[case("*.example.com", "https://evilexample.com", false)]
    #[case("*.Example.com", "https://gitlab.example.com:8443", true)]
    #[case("gitlab.example.com:8443", "https://gitlab.example.com:8443", true)]
    #[case("gitlab.example.com:8443", "https://gitlab.example.com", false)]
    #[case("gitlab.example.com:443", "https://gitlab.example.com", true)]
    #[case("[::1]:8443", "https://[::1]:8443", true)]
    #[case("::1", "https://[::1]:8443", true)]
    #[case("::1", "https://[::2]", false)]
    fn a_list_of_hosts_allows_those_and_no_other(#[case] entry: &str, #[case] url: &str, #[case] allowed: bool) {
        let settings = CompileOptions { allowed_hosts: vec![entry.to_owned()], ..CompileOptions::default() };
        assert_eq!(compile(&spec(&gitlab(url)), &settings, now()).is_ok(), allowed);
    }

    #[rstest]
    #[case(false, false, false)]
    #[case(true, false, false)]
    #[case(false, true, false)]
    #[case(true, true, true)]
    fn http_must_be_allowed_by_the_policy_and_by_the_operator(
        #[case] policy: bool,
        #[case] operator: bool,
        #[case] works: bool,
    ) {
        let changes = json!({
            "gitlab": {"url": "http://gitlab.example.com", "insecure": policy, "secretRef": {"name": "token"}}
        });
        let settings = CompileOptions { allow_insecure_http: operator, ..CompileOptions::default() };
        let result = compile(&spec(&changes), &settings, now());
        assert_eq!(result.is_ok(), works);
        if let Err(problem) = result {
            assert_eq!(problem.reason, Reason::InsecureConnectionsDisallowed);
        }
    }

    #[rstest]
    #[case(gitlab("https://user:marker@gitlab.example.com"), Reason::InvalidSpec)]
    #[case(gitlab("ftp://gitlab.example.com"), Reason::InvalidSpec)]
    #[case(gitlab("gitlab.example.com"), Reason::InvalidSpec)]
    #[case(json!({"schedule": "*/5 * * * *"}), Reason::InvalidSchedule)]
    #[case(json!({"schedule": "0 0 30 2 *"}), Reason::InvalidSchedule)]
    #[case(json!({"timeZone": "Europe/Atlantis"}), Reason::InvalidTimeZone)]
    #[case(json!({"target": {}}), Reason::InvalidSpec)]
    #[case(json!({"target": {"projects": ["a/b"], "repositories": {"include": ["("]}}}), Reason::InvalidPattern)]
    #[case(json!({"protect": {"nameRegex": ["[a[b]]"]}}), Reason::InvalidPattern)]
    #[case(json!({"rules": [{"name": "r", "nameRegexDelete": "(?=a)", "keepN": 1}]}), Reason::InvalidPattern)]
    #[case(json!({"rules": [{"name": "r", "nameRegexDelete": "a", "olderThan": "1m"}]}), Reason::InvalidSpec)]
    #[case(json!({"rules": [{"name": "r", "nameRegexDelete": "a"}]}), Reason::InvalidSpec)]
    #[case(json!({"rules": []}), Reason::InvalidSpec)]
    #[case(json!({"mode": "RequireApproval"}), Reason::InvalidSpec)]
    #[case(json!({"emptyRepositories": {"deleteOlderThan": "101y"}}), Reason::InvalidSpec)]
    #[case(json!({"rules": [{"name": "r", "nameRegexDelete": ".*", "keepN": 0}]}), Reason::InvalidSpec)]
    fn what_the_schema_did_not_catch_becomes_a_documented_reason(#[case] changes: Value, #[case] expected: Reason) {
        let (reason, message) = problem(&changes, &CompileOptions::default());
        assert_eq!(reason, expected, "{message}");
        assert!(!message.contains("marker"), "{message}");
    }

    #[test]
    fn of_much_that_is_wrong_a_few_things_are_told() {
        let rules: Vec<Value> =
            (0..5).map(|n| json!({"name": format!("r{n}"), "nameRegexDelete": ".*", "keepN": 0})).collect();
        let (_, message) = problem(&json!({"rules": rules, "method": "Exact"}), &CompileOptions::default());
        assert!(message.starts_with("spec.rules[0]: this rule would remove every tag: "), "{message}");
        assert!(message.ends_with("; and 2 more"), "{message}");
        assert!(message.len() < api::limits::MAX_MESSAGE, "{message}");
    }
}
