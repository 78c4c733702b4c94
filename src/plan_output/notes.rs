//! What there is to say of a plan besides its tags: of the whole of it, a kind and a sentence each, the same in every
//! format.

use super::{Listing, units};
use crate::api::Mode;
use crate::api::conditions::ConditionStatus;
use crate::policy::definition;
use crate::policy::effect::Assessment;
use crate::policy::forced_dry_run;
use crate::policy::in_use::unused_sentence;
use crate::policy::protection_rules::Known;
use crate::words::words;

words! {
    /// What a note is about. Programs may go by it; the sentence is for people and may change.
    pub enum NoteKind {
        /// A limit over the whole run would be exceeded.
        RunLimitExceeded,
        /// Some repositories fail.
        RepositoriesFailed,
        /// The policy does not do what it seems to say.
        NotEffective,
        /// A run keeps images in use, and nobody looked which they are.
        InUseNotLookedAt,
        /// Ages are those of the builds, not of the pushes.
        AgesByBuild,
        /// Not all protection rules of GitLab's are known.
        ProtectionRulesNotKnown,
        /// The CRD is older than the program.
        DefinitionOutdated,
        /// Other policies look after the same repositories.
        Overlapping,
        /// The cluster uses no image of a registry.
        RegistryNotUsed,
        /// A run takes more requests than GitLab's limits let through at once.
        RequestLimits,
        /// An exclude window of the policy is open.
        ExcludeWindow,
        /// An administrator paused the operator.
        Paused,
        /// A run only tells.
        DryRun,
    }
}

/// One thing that there is to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// The sentence, without its full stop.
    pub text: String,
}

impl Listing {
    /// What the policy, the limits and GitLab make of the plan.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        use NoteKind as Kind;
        let about = &self.about;
        let exceeded = self.exceeded().map(|limit| format!("a run would remove nothing at all: {}", limit.numbers()));
        let in_use = "a run keeps images that are in use; nobody looked here which they are";
        let ages = self.repositories.iter().find_map(|repository| repository.planned()?.ages?.remark());
        let rules = self.repositories.iter().filter_map(|repository| repository.planned()?.rules).max();
        let only_tells = about.mode == Mode::DryRun && self.totals.remove > 0;
        let dry_run = if about.forced_dry_run {
            Some(forced_dry_run::remark(about.mode))
        } else {
            only_tells.then(|| "in the mode DryRun a run only tells".to_owned())
        };
        let all = [
            (Kind::RunLimitExceeded, exceeded),
            (Kind::RepositoriesFailed, self.failed()),
            (Kind::NotEffective, self.not_effective()),
            (Kind::InUseNotLookedAt, about.in_use_unknown.then(|| in_use.to_owned())),
            (Kind::AgesByBuild, ages.map(str::to_owned)),
            (Kind::ProtectionRulesNotKnown, rules.and_then(Known::remark).map(str::to_owned)),
            (Kind::DefinitionOutdated, definition::remark(&about.dropped_fields)),
            (Kind::Overlapping, about.overlap.sentence(about.reader())),
            (Kind::RegistryNotUsed, unused_sentence(&about.unused_registries)),
            (Kind::RequestLimits, about.pace.clone()),
            (Kind::ExcludeWindow, about.exclude_window.clone()),
            (Kind::Paused, about.paused.clone()),
            (Kind::DryRun, dry_run),
        ];
        all.into_iter().filter_map(|(kind, text)| Some(Note { kind, text: text? })).collect()
    }

    fn failed(&self) -> Option<String> {
        let places = units::of(self.totals.repositories as u64, "repository", "repositories");
        (self.totals.failed > 0).then(|| format!("{} of {places} failed", self.totals.failed))
    }

    fn not_effective(&self) -> Option<String> {
        let Assessment { status, reason, message } = self.assessment.as_ref()?;
        (*status == ConditionStatus::False).then(|| format!("not effective ({reason}): {message}"))
    }
}
