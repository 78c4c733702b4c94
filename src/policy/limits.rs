//! Limits: how much a run may remove before it must not remove anything. Nothing is shortened to fit.

use std::fmt;

use crate::api::LimitsSpec;

/// The limits of a policy; without any, everything may go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    per_repository: Option<u64>,
    per_run: Option<u64>,
    percent_per_repository: Option<u64>,
}

/// A limit that was exceeded, with the numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exceeded {
    /// `maxTagsPerRepository`.
    PerRepository {
        /// Tags that would go.
        tags: u64,
        /// Most that may.
        limit: u64,
    },
    /// `maxPercentPerRepository`.
    Percent {
        /// Tags that would go.
        tags: u64,
        /// Tags there are.
        of: u64,
        /// Largest share that may go, in percent.
        limit: u64,
    },
    /// `maxTagsPerRun`.
    PerRun {
        /// Tags that would go.
        tags: u64,
        /// Most that may.
        limit: u64,
    },
}

impl Limits {
    /// The limits as the spec has them.
    #[must_use]
    pub fn new(spec: Option<&LimitsSpec>) -> Self {
        let of = |field: fn(&LimitsSpec) -> Option<u32>| spec.and_then(field).map(u64::from);
        Self {
            per_repository: of(|spec| spec.max_tags_per_repository),
            per_run: of(|spec| spec.max_tags_per_run),
            percent_per_repository: of(|spec| spec.max_percent_per_repository),
        }
    }

    /// Whether there is any limit, so that a plan is needed before something is removed.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Whether everything has to be planned before anything is removed.
    #[must_use]
    pub fn over_run(&self) -> bool {
        self.per_run.is_some()
    }

    /// Whether it has to be known how many tags a repository has, beyond those that can go.
    #[must_use]
    pub fn of_all(&self) -> bool {
        self.percent_per_repository.is_some()
    }

    /// Judges the plan of one repository: `tags` of its `of` tags would go.
    ///
    /// # Errors
    /// The limit that it exceeds.
    pub fn repository(&self, tags: u64, of: u64) -> Result<(), Exceeded> {
        if let Some(limit) = self.per_repository.filter(|limit| tags > *limit) {
            return Err(Exceeded::PerRepository { tags, limit });
        }
        match self.percent_per_repository {
            Some(limit) if tags.saturating_mul(100) > of.saturating_mul(limit) => {
                Err(Exceeded::Percent { tags, of, limit })
            }
            _ => Ok(()),
        }
    }

    /// Judges a whole run that would remove so many tags.
    ///
    /// # Errors
    /// The limit that it exceeds.
    pub fn run(&self, tags: u64) -> Result<(), Exceeded> {
        match self.per_run {
            Some(limit) if tags > limit => Err(Exceeded::PerRun { tags, limit }),
            _ => Ok(()),
        }
    }
}

impl Exceeded {
    /// The numbers, without what became of it: "4 tags would go, limits.maxTagsPerRun allows 3".
    #[must_use]
    pub fn numbers(&self) -> String {
        match self {
            Self::PerRepository { tags, limit } => {
                format!("{tags} tags would go, limits.maxTagsPerRepository allows {limit}")
            }
            Self::Percent { tags, of, limit } => {
                format!("{tags} of {of} tags would go, limits.maxPercentPerRepository allows {limit} %")
            }
            Self::PerRun { tags, limit } => format!("{tags} tags would go, limits.maxTagsPerRun allows {limit}"),
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self {
            Self::PerRepository { .. } | Self::Percent { .. } => "none was removed here",
            Self::PerRun { .. } => "nothing was removed",
        };
        write!(f, "{}; {end}", self.numbers())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn limits(spec: Value) -> Limits {
        Limits::new(Some(&serde_json::from_value(spec).unwrap()))
    }

    #[test]
    fn without_fuses_everything_may_go() {
        let none = Limits::new(None);
        assert!(!none.any());
        assert_eq!((none.repository(u64::MAX, 1), none.run(u64::MAX)), (Ok(()), Ok(())));
        assert_eq!(limits(json!({})), none);
    }

    #[rstest]
    #[case::at_the_limit(10, 100, true)]
    #[case::above_it(11, 100, false)]
    fn a_repository_may_lose_as_many_tags_as_the_fuse_says(#[case] tags: u64, #[case] of: u64, #[case] fits: bool) {
        let limits = limits(json!({"maxTagsPerRepository": 10}));
        assert!(limits.any() && !limits.over_run());
        let exceeded = Exceeded::PerRepository { tags, limit: 10 };
        assert_eq!(limits.repository(tags, of), if fits { Ok(()) } else { Err(exceeded) });
    }

    #[rstest]
    #[case::exactly_half(5, 10, true)]
    #[case::a_little_more(6, 11, false)]
    #[case::nothing_of_nothing(0, 0, true)]
    #[case::nearly_all(9, 10, false)]
    fn a_share_is_not_rounded_in_favour_of_removing(#[case] tags: u64, #[case] of: u64, #[case] fits: bool) {
        let limits = limits(json!({"maxPercentPerRepository": 50}));
        assert_eq!(limits.repository(tags, of).is_ok(), fits);
    }

    #[test]
    fn a_run_counts_over_all_repositories_and_says_the_numbers() {
        let limits = limits(json!({"maxTagsPerRun": 3}));
        assert!(limits.over_run());
        assert_eq!(limits.run(3), Ok(()));
        let text = limits.run(4).unwrap_err().to_string();
        assert_eq!(text, "4 tags would go, limits.maxTagsPerRun allows 3; nothing was removed");
    }
}
