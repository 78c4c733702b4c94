//! Counters and histograms, by their labels. Whoever counts holds a clone; reading takes a copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::family::{Bucket, Exemplar, Family, Kind, Labels, Series, Value};

/// Counts, by labels.
#[derive(Clone, Debug)]
pub struct Counter<const N: usize>(Metric<N, f64>);

/// Observes, by labels.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    metric: Metric<N, Observed>,
    bounds: &'static [f64],
}

#[derive(Clone, Debug)]
struct Metric<const N: usize, T> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    series: Arc<Mutex<BTreeMap<[String; N], T>>>,
}

/// What a histogram has observed: for each bound what was not above it but above the one before, all, and their sum.
#[derive(Clone, Debug)]
struct Observed {
    within: Vec<u64>,
    /// The last of each with its run, and in the end the last above all bounds.
    exemplars: Vec<Option<Exemplar>>,
    count: u64,
    sum: f64,
}

impl<const N: usize, T: Clone> Metric<N, T> {
    fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels, series: Arc::default() }
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<[String; N], T>> {
        // The map is valid between any two statements.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self, kind: Kind, value: impl Fn(T) -> Value) -> Family {
        let all = self.series().clone().into_iter();
        let labels = |values: [String; N]| -> Labels { self.labels.into_iter().zip(values).collect() };
        let series = all.map(|(values, of)| Series { labels: labels(values), value: value(of) }).collect();
        Family { name: self.name, help: self.help, kind, series }
    }
}

impl<const N: usize> Counter<N> {
    /// A counter; its name is without prefix and `_total`.
    #[must_use]
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self(Metric::new(name, help, labels))
    }

    /// Adds to a series, which begins at 0.
    pub fn add(&self, labels: [&str; N], number: f64) {
        *self.0.series().entry(labels.map(str::to_owned)).or_insert(0.0) += number;
    }

    /// Forgets series.
    pub fn retain(&self, keep: impl Fn(&[String; N]) -> bool) {
        self.0.series().retain(|labels, _| keep(labels));
    }

    /// All series as they are.
    #[must_use]
    pub fn family(&self) -> Family {
        self.0.family(Kind::Counter, Value::Number)
    }
}

impl<const N: usize> Histogram<N> {
    /// A histogram with these upper bounds, ascending; its name is without prefix.
    #[must_use]
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N], bounds: &'static [f64]) -> Self {
        Self { metric: Metric::new(name, help, labels), bounds }
    }

    /// Adds an observation.
    pub fn observe(&self, labels: [&str; N], value: f64) {
        self.add(labels, value, None);
    }

    /// Adds an observation of a run, which is then told as an example of those of its size.
    pub fn observe_run(&self, labels: [&str; N], value: f64, run: &str) {
        self.add(labels, value, Some(Exemplar { run: run.to_owned(), value }));
    }

    fn add(&self, labels: [&str; N], value: f64, exemplar: Option<Exemplar>) {
        let mut series = self.metric.series();
        let bounds = self.bounds.len();
        let none = || Observed { within: vec![0; bounds], exemplars: vec![None; bounds + 1], count: 0, sum: 0.0 };
        let observed = series.entry(labels.map(str::to_owned)).or_insert_with(none);
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(within) = observed.within.get_mut(place) {
            *within += 1;
        }
        if let (Some(last), Some(exemplar)) = (observed.exemplars.get_mut(place), exemplar) {
            *last = Some(exemplar);
        }
        observed.count += 1;
        observed.sum += value;
    }

    /// Forgets series.
    pub fn retain(&self, keep: impl Fn(&[String; N]) -> bool) {
        self.metric.series().retain(|labels, _| keep(labels));
    }

    /// All series as they are.
    #[must_use]
    pub fn family(&self) -> Family {
        self.metric.family(Kind::Histogram, |Observed { within, mut exemplars, count, sum }| {
            let beyond = exemplars.pop().flatten();
            let below = within.into_iter().scan(0, |below, number| {
                *below += number;
                Some(*below)
            });
            let buckets = self.bounds.iter().zip(below).zip(exemplars);
            let bucket = |((bound, below), exemplar): ((&f64, u64), _)| Bucket { bound: *bound, below, exemplar };
            Value::Observed { buckets: buckets.map(bucket).collect(), beyond, count, sum }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_counts_by_its_labels_and_forgets_what_is_gone() {
        let runs = Counter::new("runs", "Runs", ["policy", "result"]);
        let other = runs.clone();
        runs.add(["shop", "Succeeded"], 1.0);
        other.add(["shop", "Succeeded"], 2.0);
        runs.add(["team", "Failed"], 1.0);
        let labels = |policy: &str, result: &str| vec![("policy", policy.to_owned()), ("result", result.to_owned())];
        let series = |policy, result, number| Series { labels: labels(policy, result), value: Value::Number(number) };
        assert_eq!(runs.family().series, [series("shop", "Succeeded", 3.0), series("team", "Failed", 1.0)]);
        runs.retain(|[policy, _]| policy == "team");
        assert_eq!(other.family().series, [series("team", "Failed", 1.0)]);
    }

    #[test]
    fn the_last_run_of_each_size_is_told_and_what_is_of_no_run_hides_none() {
        let histogram = Histogram::new("took_seconds", "Time", ["policy"], &[1.0, 60.0]);
        for (value, run) in [(0.5, "one"), (30.0, "two"), (0.25, "three"), (100.0, "four")] {
            histogram.observe_run(["shop"], value, run);
        }
        histogram.observe(["shop"], 0.75);
        let Value::Observed { buckets, beyond, .. } = histogram.family().series[0].value.clone() else { panic!() };
        let of = |run: &str, value| Some(Exemplar { run: run.to_owned(), value });
        let told: Vec<_> = buckets.into_iter().map(|bucket| bucket.exemplar).collect();
        assert_eq!((told, beyond), (vec![of("three", 0.25), of("two", 30.0)], of("four", 100.0)));
    }

    proptest! {
        #[test]
        fn a_histogram_tells_how_many_were_not_above_each_bound(values in proptest::collection::vec(0.0_f64..100.0, 0..40)) {
            const BOUNDS: &[f64] = &[1.0, 5.0, 60.0];
            let histogram = Histogram::new("took_seconds", "Time", [], BOUNDS);
            for value in &values {
                histogram.observe([], *value);
            }
            let within = |bound: f64| values.iter().filter(|value| **value <= bound).count() as u64;
            let series = histogram.family().series;
            prop_assert_eq!(series.is_empty(), values.is_empty());
            for of in series {
                let Value::Observed { buckets, count, sum, .. } = of.value else { panic!("a histogram") };
                let told: Vec<_> = buckets.into_iter().map(|bucket| (bucket.bound, bucket.below)).collect();
                prop_assert_eq!(told, BOUNDS.iter().map(|bound| (*bound, within(*bound))).collect::<Vec<_>>());
                prop_assert_eq!(count, values.len() as u64);
                prop_assert!((sum - values.iter().sum::<f64>()).abs() < 1e-6);
            }
        }

        #[test]
        fn a_value_at_a_bound_counts_below_it(bound in 0_usize..3) {
            const BOUNDS: &[f64] = &[1.0, 5.0, 60.0];
            let histogram = Histogram::new("took_seconds", "Time", ["host"], BOUNDS);
            histogram.observe(["git.test"], BOUNDS[bound]);
            let Value::Observed { buckets, .. } = histogram.family().series[0].value.clone() else { panic!() };
            prop_assert_eq!(buckets[bound].below, 1);
            prop_assert_eq!(bound.checked_sub(1).map_or(0, |before| buckets[before].below), 0);
        }
    }
}
