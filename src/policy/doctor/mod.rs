//! What `doctor` says of an installation: one verdict for each thing that it looked at, from what was observed.
//!
//! `cluster` judges what concerns the whole installation, `gitlab` what concerns one policy and its GitLab, `lists` the
//! lists of images in use that it names, `rights` knows which rights are needed. Messages never hold a token, and of
//! what a server wrote only the names of objects and what the client lets through of a refusal, cleaned.

pub mod cluster;
pub mod gitlab;
pub mod lists;
pub mod rights;

use serde::{Serialize, Serializer};

use crate::words::words;

words! {
    /// What is looked at, in the order in which it is told. `docs/doctor.md` explains each.
    pub enum CheckName {
        /// The definition of policies, as the API server goes by it.
        Definition,
        /// The operator's Deployment.
        Operator,
        /// What whoever asks may do, as far as the other checks need it.
        OwnRights,
        /// What the operator may do.
        OperatorRights,
        /// This machine's clock and that of the API server.
        ClusterClock,
        /// Whether everything that is watched for images in use can be read.
        InUse,
        /// Whether the cluster has the kinds that the operator was told to watch.
        ConfiguredKinds,
        /// Kinds that name images of the policies' registries, and are not watched.
        UnwatchedKinds,
        /// Whether the policies can be listed.
        Policies,
        /// Whether a policy can be carried out as it is written.
        Policy,
        /// A policy's Secrets.
        Secret,
        /// The lists of images in use that a policy names.
        InUseLists,
        /// Whether GitLab answers.
        GitLab,
        /// Whether GitLab takes the token, for what, and until when.
        Token,
        /// Whether the projects and groups of a policy can be listed.
        Targets,
        /// The role of the token.
        Role,
        /// GitLab's version.
        GitLabVersion,
        /// What GitLab's GraphQL can be asked for.
        GraphQL,
        /// GitLab's clock.
        GitLabClock,
    }
}

words! {
    /// What came of a look, the best first.
    pub enum Verdict {
        /// All is well.
        Ok,
        /// It works, and somebody should look at it.
        Warning,
        /// It could not be found out.
        Unknown,
        /// It does not work.
        Failed,
    }
}

impl Serialize for CheckName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What it was.
    pub check: CheckName,
    /// The policy that it is about, as `namespace/name`; `None` is the whole installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// What was seen, in a sentence.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

impl Check {
    fn new(check: CheckName, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { check, policy: None, verdict, message: message.into(), action: None }
    }

    /// All is well.
    #[must_use]
    pub fn ok(check: CheckName, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    /// It works, and something is to be done.
    #[must_use]
    pub fn warning(check: CheckName, message: impl Into<String>, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..Self::new(check, Verdict::Warning, message) }
    }

    /// It does not work.
    #[must_use]
    pub fn failed(check: CheckName, message: impl Into<String>, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..Self::new(check, Verdict::Failed, message) }
    }

    /// It could not be found out.
    #[must_use]
    pub fn unknown(check: CheckName, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, message)
    }

    fn and(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }

    /// The same about a policy.
    #[must_use]
    pub fn of(self, policy: &str) -> Self {
        Self { policy: Some(policy.to_owned()), ..self }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The version of this program.
    pub version: &'static str,
    /// The worst verdict.
    pub result: Verdict,
    /// What was looked at: first the installation, then one policy after the other.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Puts together what was looked at.
    #[must_use]
    pub fn new(version: &'static str, checks: Vec<Check>) -> Self {
        let result = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
        Self { version, result, checks }
    }

    /// How many looks came to a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict as V;

    #[test]
    fn the_result_is_the_worst_verdict_and_nothing_seen_is_nothing_known() {
        let of = |verdicts: &[Verdict]| {
            let checks = verdicts.iter().map(|verdict| Check::new(CheckName::Policy, *verdict, "")).collect();
            Diagnosis::new("1", checks).result
        };
        assert_eq!(of(&[]), V::Unknown);
        assert_eq!(of(&[V::Ok, V::Warning]), V::Warning);
        assert_eq!(of(&[V::Unknown, V::Warning, V::Ok]), V::Unknown);
        assert_eq!(of(&[V::Unknown, V::Failed, V::Ok]), V::Failed);
    }

    #[test]
    fn as_json_a_check_has_a_name_a_verdict_a_sentence_and_what_there_is_besides() {
        let checks = vec![
            Check::ok(CheckName::GraphQL, "fine"),
            Check::failed(CheckName::Secret, "Secret token does not exist", "create it").of("team/shop"),
        ];
        let json = serde_json::to_value(Diagnosis::new("0.1.0", checks)).unwrap();
        let expected = serde_json::json!({
            "version": "0.1.0",
            "result": "Failed",
            "checks": [
                {"check": "GraphQL", "verdict": "Ok", "message": "fine"},
                {
                    "check": "Secret", "policy": "team/shop", "verdict": "Failed",
                    "message": "Secret token does not exist", "action": "create it",
                },
            ],
        });
        assert_eq!(json, expected);
    }
}
