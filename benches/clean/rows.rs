//! The rows of the table: which shape is cleaned in which way, and how much it may cost.

use std::time::Duration;

use gitlab_simulator::{Action, Backend, Settings};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::shapes::{Content, OLDER_THAN_DAYS, Shape};

/// Places that the second rule keeps.
const KEEP_N: u64 = 50;
/// Memory that the operator may take for 135,000 tags.
const MOST_MEBIBYTES: f64 = 56.0;
/// And for a million.
const MOST_MEBIBYTES_OF_A_MILLION: f64 = 100.0;
/// What each request takes if nothing else is said, and each removal inside GitLab's own job.
const LATENCY_MILLISECONDS: u16 = 20;
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

/// How quickly everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// Each answer takes 20 ms, and nothing holds the operator up.
    Usual,
    /// Each answer takes so many milliseconds.
    Latency(u16),
    /// At the default of 10 requests a second.
    Paced,
    /// A page takes 200 ms and the removal of a tag 50 ms.
    Busy {
        /// Requests that may be under way at the same time.
        in_flight: u16,
        /// One page, or one removal of 20 tags, a request.
        single: bool,
    },
}

impl Speed {
    /// What is said of it in the table.
    pub(crate) fn remark(self) -> Option<String> {
        match self {
            Self::Usual => None,
            Self::Latency(milliseconds) => Some(format!("{milliseconds} ms a request")),
            Self::Paced => Some("10 requests/s".to_owned()),
            Self::Busy { in_flight, single } => {
                let single = if single { ", `graphqlBatch: 1`" } else { "" };
                Some(format!("200 ms a page, 50 ms a tag, {in_flight} in flight{single}"))
            }
        }
    }

    /// The word that chooses it on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Latency(_) => "latency",
            Self::Paced => "paced",
            Self::Busy { .. } => "busy",
        }
    }

    /// Milliseconds that each request takes.
    pub(crate) fn latency(self) -> u16 {
        if let Self::Latency(milliseconds) = self { milliseconds } else { LATENCY_MILLISECONDS }
    }

    pub(crate) fn requests_per_second(self) -> u32 {
        if self == Self::Paced { 10 } else { 1000 }
    }

    /// Further arguments of the operator.
    pub(crate) fn arguments(self) -> Vec<String> {
        let Self::Busy { in_flight, single } = self else { return Vec::new() };
        let mut arguments = vec!["--max-requests-in-flight-per-host".to_owned(), in_flight.to_string()];
        if single {
            arguments.extend(["--graphql-batch".to_owned(), "1".to_owned()]);
        }
        arguments
    }

    /// What GitLab is like.
    pub(crate) fn set_up(self, settings: &mut Settings) {
        settings.tag_delete_duration = SignedDuration::from_millis(self.latency().into());
    }

    /// What happens to every request.
    pub(crate) fn fault(self) -> Action {
        match self {
            Self::Busy { .. } => {
                Action::DelayEach { field: Duration::from_millis(200), tag: Duration::from_millis(50) }
            }
            _ => Action::Delay(Duration::from_millis(self.latency().into())),
        }
    }
}

/// One row, and further ones for runs right after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) shape: Shape,
    pub(crate) way: Way,
    pub(crate) speed: Speed,
    /// Runs by the same operator, one after the other.
    pub(crate) runs: usize,
    /// It takes many minutes, so it is left out unless its shape is asked for by name.
    pub(crate) slow: bool,
}

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    Shape::ALL.into_iter().flat_map(of_shape).collect()
}

fn of_shape(shape: Shape) -> Vec<Row> {
    let row = |way, speed| Row {
        shape,
        way,
        speed,
        runs: match shape {
            Shape::L if way == Way::GraphQl => 2,
            Shape::W => 3,
            _ => 1,
        },
        slow: (way == Way::Rest && matches!(shape, Shape::M | Shape::Xl))
            || matches!(speed, Speed::Busy { .. })
            || matches!(shape, Shape::W | Shape::D | Shape::Xxl),
    };
    let busy = |in_flight, single| Speed::Busy { in_flight, single };
    let ways: &[Way] = match shape {
        // Only small repositories can be listed without a metadata database: GitLab shows 10,000 tags there.
        Shape::M => &[Way::Bulk, Way::BulkPlain, Way::GraphQl, Way::GraphQlKeepN, Way::Rest],
        Shape::W | Shape::D => &[Way::GraphQl],
        Shape::Xxl => &[Way::GraphQl, Way::GraphQlKeepN],
        Shape::S | Shape::L | Shape::Xl => &[Way::Bulk, Way::GraphQl, Way::GraphQlKeepN, Way::Rest],
    };
    let speeds = match shape {
        Shape::Xl => vec![Speed::Paced, busy(4, true), busy(4, false), busy(16, false)],
        Shape::D => vec![Speed::Latency(100), Speed::Latency(300), Speed::Paced],
        _ => Vec::new(),
    };
    let usual = ways.iter().map(|way| row(*way, Speed::Usual));
    usual.chain(speeds.into_iter().map(|speed| row(Way::GraphQl, speed))).collect()
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
    pub(crate) seconds: Option<f64>,
    pub(crate) mebibytes: Option<f64>,
}

impl Row {
    /// How the run of this number is called.
    pub(crate) fn name(self, run: usize) -> String {
        let mut name = self.way.name().to_owned();
        if let Some(remark) = self.speed.remark() {
            name = format!("{name}, {remark}");
        }
        match run {
            0 => name,
            1 => format!("{name}, second run"),
            _ => format!("{name}, third run"),
        }
    }

    /// What the run of this number may cost. Numbers are small enough for a float to hold them.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn budget(self, content: &Content, run: usize) -> Budget {
        let (tags, candidates) = (content.tags() as f64, content.candidates() as f64);
        let requests = match (self.way, self.shape, run) {
            (Way::Bulk | Way::BulkPlain, ..) => None,
            (Way::Rest, ..) => Some(tags / 1000.0 + 2.0 * candidates),
            (_, Shape::W, 0) => Some(3500.0),
            (_, Shape::W, 1) => Some(650.0),
            (_, Shape::W, _) => Some(250.0),
            (_, _, 1..) => Some(MOST_REQUESTS_OF_A_SECOND_RUN),
            (_, Shape::S, _) => Some(15.0),
            // With a number to keep, each repository has a list of names and a count of its tags.
            (Way::GraphQlKeepN, Shape::M, _) => Some(1300.0),
            (_, Shape::M, _) => Some(800.0),
            (Way::GraphQlKeepN, Shape::L, _) => Some(280.0),
            (_, Shape::L, _) => Some(250.0),
            (Way::GraphQlKeepN, Shape::Xl, _) => Some(1250.0),
            (_, Shape::Xl, _) => Some(1150.0),
            (_, Shape::D | Shape::Xxl, _) => None,
        };
        let seconds = match (self.shape, self.speed) {
            (Shape::Xl, Speed::Paced) => Some(150.0),
            (Shape::D, Speed::Usual) => Some(8.0),
            (Shape::D, Speed::Latency(100)) => Some(30.0),
            (Shape::D, _) => Some(60.0),
            _ => None,
        };
        let mebibytes = match self.shape {
            Shape::Xl => Some(MOST_MEBIBYTES),
            Shape::Xxl => Some(MOST_MEBIBYTES_OF_A_MILLION),
            _ => None,
        };
        let requests = requests.filter(|_| !matches!(self.speed, Speed::Busy { .. }));
        Budget { requests, seconds, mebibytes }
    }
}
