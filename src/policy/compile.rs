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
use super::exclude_windows::{Open, WindowError, Windows};
use super::in_use::Alias;
use super::limits::Limits;
use super::pattern::{Pattern, PatternError, Patterns, Refused};
use super::schedule::{Due, Schedule, ScheduleError};
use super::target::Target;

/// Where a list of images in use is in a ConfigMap, where the policy does not say.
pub const DEFAULT_LIST_KEY: &str = "images.json";
/// How old such a list may be, where the policy does not say.
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
    /// When nothing is removed.
    pub windows: Windows,
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
    let schedule = Schedule::parse(&spec.schedule, &spec.time_zone, now).map_err(|error| schedule_problem(&error))?;
    let windows =
        Windows::parse(&spec.exclude_windows, &spec.time_zone, now).map_err(|error| window_problem(&error))?;
    if windows.next_slot(&schedule, now).is_none() {
        return Err(invalid("excludeWindows leave the schedule no time at which a run could begin".to_owned()));
    }
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
        schedule,
        windows,
        check_interval: settings.check_interval.unwrap_or(CHECK_INTERVAL),
        starting_deadline: SignedDuration::from_secs(spec.starting_deadline_seconds.into()),
        active_deadline: SignedDuration::from_secs(spec.active_deadline_seconds.into()),
        suspended: spec.suspend,
        pattern_bytes: patterns.bytes(),
    })
}

impl CompiledPolicy {
    /// The time of the next run after a moment: for a policy that removes, none within an exclude window.
    #[must_use]
    pub fn next_slot(&self, after: Timestamp) -> Option<Timestamp> {
        let outside = if self.mode == Mode::Delete { self.windows.next_slot(&self.schedule, after) } else { None };
        // Where windows leave no time in sight, they also keep a run from beginning.
        outside.or_else(|| self.schedule.next_after(after))
    }

    /// What the armed slot calls for.
    #[must_use]
    pub fn due(&self, armed: Timestamp, now: Timestamp) -> Due {
        match self.mode {
            Mode::Delete => self.windows.due(&self.schedule, armed, self.starting_deadline, now),
            Mode::DryRun | Mode::RequireApproval => self.schedule.due(armed, self.starting_deadline, now),
        }
    }

    /// The exclude window that keeps the policy from removing anything at a moment.
    #[must_use]
    pub fn excluded(&self, now: Timestamp) -> Option<Open<'_>> {
        let concerns = !self.suspended && self.mode != Mode::DryRun;
        concerns.then(|| self.windows.open_at(now))?
    }
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

fn window_problem(error: &WindowError) -> Problem {
    match error {
        WindowError::Schedule(_, schedule) => Problem { message: error.to_string(), ..schedule_problem(schedule) },
        WindowError::Times(..) => invalid(error.to_string()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
