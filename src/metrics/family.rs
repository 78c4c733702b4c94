//! Metrics as they are read: families of series.

/// What every name begins with.
pub const PREFIX: &str = "registry_cleanup_";

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name after [`PREFIX`], with its unit and without `_total`.
    pub name: &'static str,
    /// One sentence on what it tells, without a full stop.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its series.
    pub series: Vec<Series>,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grows; its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts what was observed by its size.
    Histogram,
}

/// The labels of a series: names and values, in the order in which they are written.
pub type Labels = Vec<(&'static str, String)>;

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What tells it from the others.
    pub labels: Labels,
    /// What it is at.
    pub value: Value,
}

/// What a series is at.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// What a histogram has observed.
    Observed {
        /// By their upper bounds, ascending.
        buckets: Vec<Bucket>,
        /// The last observation above all bounds of which it is known what it belongs to.
        beyond: Option<Exemplar>,
        /// All observations, those above all bounds as well.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// What a histogram has observed up to a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// The bound, which still belongs to it.
    pub bound: f64,
    /// How many observations were not above it.
    pub below: u64,
    /// The last observation above the bound before, and not above this one, of which it is known what it belongs to.
    pub exemplar: Option<Exemplar>,
}

/// One observation, and what to look for in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The id of the run.
    pub run: String,
    /// What was observed.
    pub value: f64,
}

impl Family {
    /// A metric that goes up and down.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, series: Vec::new() }
    }

    /// Adds a series with a number.
    pub fn add(&mut self, labels: Labels, value: f64) {
        self.series.push(Series { labels, value: Value::Number(value) });
    }
}

/// A count as a number of Prometheus, which has no others.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "exact up to 9 x 10^15")]
pub fn as_number(number: u64) -> f64 {
    number as f64
}
