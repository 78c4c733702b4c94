//! What the operator measures of itself: counters and histograms that whoever works adds to, and the two formats in
//! which Prometheus reads them. Nothing here knows what is counted.

mod exposition;
mod family;
mod recorder;

pub use exposition::{Format, write};
pub use family::{Bucket, Exemplar, Family, Kind, Labels, PREFIX, Series, Value, as_number};
pub use recorder::{Counter, Histogram};
