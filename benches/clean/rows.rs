//! The rows of the table: which shape is cleaned in which way, and how much it may cost.

use gitlab_simulator::{Backend, Settings};
use serde_json::{Value, json};

use crate::shapes::{Content, OLDER_THAN_DAYS, Shape};

/// Places that the second rule keeps.
const KEEP_N: u64 = 50;
/// Memory that the operator may take for the largest shape.
const MOST_MEBIBYTES: f64 = 56.0;
/// Requests of a run that finds nothing to do.
const MOST_REQUESTS_OF_A_SECOND_RUN: f64 = 20.0;

/// How a registry is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By GitLab's bulk deletion.
    Bulk,
    /// The same where the registry has no metadata database.
    BulkPlain,
    /// By name, with GraphQL.
    GraphQl,
    /// The same with `keepN`, which needs a list of names.
    GraphQlKeepN,
    /// By name, without GraphQL.
    Rest,
}

/// One row; with `again`, a second one for another run right after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) shape: Shape,
    pub(crate) way: Way,
    pub(crate) again: bool,
    /// It takes many minutes, so it is left out unless its shape is asked for by name.
    pub(crate) slow: bool,
}

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let row = |shape, way| Row {
        shape,
        way,
        again: shape == Shape::L && way == Way::GraphQl,
        slow: way == Way::Rest && matches!(shape, Shape::M | Shape::Xl),
    };
    let ways = |shape| match shape {
        // Only small repositories can be listed without a metadata database: GitLab shows 10,000 tags there.
        Shape::M => vec![Way::Bulk, Way::BulkPlain, Way::GraphQl, Way::GraphQlKeepN, Way::Rest],
        _ => vec![Way::Bulk, Way::GraphQl, Way::GraphQlKeepN, Way::Rest],
    };
    Shape::ALL.into_iter().flat_map(|shape| ways(shape).into_iter().map(move |way| row(shape, way))).collect()
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bulk => "Bulk",
            Self::BulkPlain => "Bulk, no metadata database",
            Self::GraphQl => "Exact, GraphQL",
            Self::GraphQlKeepN => "Exact, GraphQL, `keepN`",
            Self::Rest => "Exact, REST only",
        }
    }

    /// The word that chooses it on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bulk | Self::BulkPlain => "bulk",
            Self::GraphQl | Self::GraphQlKeepN => "graphql",
            Self::Rest => "rest",
        }
    }

    fn keep_n(self) -> Option<u64> {
        (self == Self::GraphQlKeepN).then_some(KEEP_N)
    }

    pub(crate) fn to_remove(self, content: &Content) -> u64 {
        content.to_remove(self.keep_n().unwrap_or_default())
    }

    pub(crate) fn method(self) -> &'static str {
        if matches!(self, Self::Bulk | Self::BulkPlain) { "Bulk" } else { "Exact" }
    }

    /// The rule of the policy.
    pub(crate) fn rule(self) -> Value {
        let older_than = format!("{OLDER_THAN_DAYS}d");
        match self.keep_n() {
            None => json!({"name": "old", "nameRegexDelete": ".*", "olderThan": older_than}),
            Some(keep_n) => json!({"name": "old", "nameRegexDelete": ".*", "olderThan": older_than, "keepN": keep_n}),
        }
    }

    /// What GitLab is like.
    pub(crate) fn set_up(self, settings: &mut Settings) {
        match self {
            Self::BulkPlain => settings.backend = Backend::PlainRegistry,
            Self::Rest => settings.graphql = false,
            _ => {}
        }
    }
}

/// What a row may cost; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    pub(crate) requests: Option<f64>,
    pub(crate) mebibytes: Option<f64>,
}

impl Row {
    /// What a first run may cost. Numbers are small enough for a float to hold them.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn budget(self, content: &Content) -> Budget {
        let (tags, candidates) = (content.tags() as f64, content.candidates() as f64);
        let keep_n = self.way == Way::GraphQlKeepN;
        let requests = match self.way {
            Way::Bulk | Way::BulkPlain => None,
            Way::GraphQl | Way::GraphQlKeepN => Some(match self.shape {
                Shape::S => 15.0,
                // With a number to keep, each repository has a list of names and a count of its tags.
                Shape::M => {
                    if keep_n {
                        1300.0
                    } else {
                        800.0
                    }
                }
                Shape::L => {
                    if keep_n {
                        280.0
                    } else {
                        250.0
                    }
                }
                Shape::Xl => {
                    if keep_n {
                        1250.0
                    } else {
                        1150.0
                    }
                }
            }),
            Way::Rest => Some(tags / 1000.0 + 2.0 * candidates),
        };
        Budget { requests, ..self.budget_of_a_second_run() }
    }

    /// What a run may cost that finds nothing to do.
    pub(crate) fn budget_of_a_second_run(self) -> Budget {
        Budget {
            requests: Some(MOST_REQUESTS_OF_A_SECOND_RUN),
            mebibytes: (self.shape == Shape::Xl).then_some(MOST_MEBIBYTES),
        }
    }
}
