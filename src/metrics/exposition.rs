//! The text that Prometheus reads: the classic format by default, and OpenMetrics 1.0 for who asks for it.
//!
//! Source: <https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>. They differ in where `_total` belongs (the name of a
//! counter in the classic format, of its series in OpenMetrics), in exemplars, which OpenMetrics alone has, and in the
//! end, which it marks.

use std::fmt::Write as _;

use super::family::{Bucket, Exemplar, Family, Kind, Labels, PREFIX, Series, Value, as_number};

/// A format of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Version 0.0.4 of Prometheus' own.
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// The format that an `Accept` header asks for: OpenMetrics if it names that with a weight that nothing else that
    /// we write exceeds.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let weight = |of: fn(&str) -> bool| {
            let parts = accept.split(',').map(str::trim);
            let named = parts.filter(|part| of(part.split(';').next().unwrap_or_default().trim()));
            named.map(quality).max_by(f64::total_cmp).unwrap_or(0.0)
        };
        let open = weight(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
        let classic = weight(|name| name.eq_ignore_ascii_case("text/plain"));
        if open > 0.0 && open >= classic { Self::OpenMetrics } else { Self::Classic }
    }

    /// The `Content-Type` of the text.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The weight of a part of an `Accept` header, 1 where it says none.
fn quality(part: &str) -> f64 {
    let weight = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0))
}

/// Writes metrics. Those without a series are left out.
#[must_use]
pub fn write(families: &[Family], format: Format) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.series.is_empty()) {
        write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) {
    let Family { name, help, kind, series } = family;
    let total = if *kind == Kind::Counter { "_total" } else { "" };
    let described = if format == Format::Classic { total } else { "" };
    let type_ = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // Writing into a string does not fail.
    let _ = writeln!(text, "# HELP {PREFIX}{name}{described} {help}.");
    let _ = writeln!(text, "# TYPE {PREFIX}{name}{described} {type_}");
    for Series { labels, value } in series {
        match value {
            Value::Number(number) => line(text, (name, total), labels, None, *number),
            Value::Observed { buckets, beyond, count, sum } => {
                let mut bucket = |bound: &str, below: u64, exemplar: Option<&Exemplar>| {
                    sample(text, (name, "_bucket"), labels, Some(bound), as_number(below));
                    if let Some(Exemplar { run, value }) = exemplar.filter(|_| format == Format::OpenMetrics) {
                        let _ = write!(text, " # {{run=\"{}\"}} {value}", escape(run));
                    }
                    text.push('\n');
                };
                for Bucket { bound, below, exemplar } in buckets {
                    bucket(&float(*bound, format), *below, exemplar.as_ref());
                }
                bucket("+Inf", *count, beyond.as_ref());
                line(text, (name, "_sum"), labels, None, *sum);
                line(text, (name, "_count"), labels, None, as_number(*count));
            }
        }
    }
}

fn line(text: &mut String, name: (&str, &str), labels: &Labels, bound: Option<&str>, value: f64) {
    sample(text, name, labels, bound, value);
    text.push('\n');
}

fn sample(text: &mut String, (name, suffix): (&str, &str), labels: &Labels, bound: Option<&str>, value: f64) {
    let _ = write!(text, "{PREFIX}{name}{suffix}");
    let all = labels.iter().map(|(label, value)| (*label, value.as_str())).chain(bound.map(|bound| ("le", bound)));
    let mut before = '{';
    for (label, value) in all {
        let _ = write!(text, "{before}{label}=\"{}\"", escape(value));
        before = ',';
    }
    let close = if before == ',' { "}" } else { "" };
    let _ = write!(text, "{close} {value}");
}

/// A bound as a label. OpenMetrics wants a fraction in each, so that `1` and `1.0` are no two series.
fn float(bound: f64, format: Format) -> String {
    match format {
        Format::OpenMetrics if bound.fract() == 0.0 => format!("{bound:.1}"),
        _ => bound.to_string(),
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn families() -> Vec<Family> {
        let policy = vec![("namespace", "team".to_owned()), ("policy", "shop".to_owned())];
        let mut gauge = Family::gauge("policy_ready", "Whether the policy is Ready");
        gauge.add(policy.clone(), 1.0);
        let mut counter = Family { kind: Kind::Counter, ..Family::gauge("runs", "Runs that ended") };
        counter.add([policy, vec![("result", "Succeeded".to_owned())]].concat(), 3.0);
        let exemplar = |run: &str, value| Some(Exemplar { run: run.to_owned(), value });
        let half = Bucket { bound: 0.5, below: 1, exemplar: None };
        let minute = Bucket { bound: 60.0, below: 2, exemplar: exemplar("20261122-120000-abcde", 31.5) };
        let beyond = exemplar("20261122-130000-fghij", 100.0);
        let observed = Value::Observed { buckets: vec![half, minute], beyond, count: 4, sum: 300.25 };
        let series = vec![Series { labels: vec![], value: observed }];
        let name = "reconcile_duration_seconds";
        let histogram = Family { name, help: "How long a look took", kind: Kind::Histogram, series };
        vec![gauge, counter, histogram, Family::gauge("leader", "Never written without a series")]
    }

    #[test]
    fn the_classic_format_names_a_counter_with_its_suffix() {
        assert_eq!(
            write(&families(), Format::Classic),
            "# HELP registry_cleanup_policy_ready Whether the policy is Ready.\n\
             # TYPE registry_cleanup_policy_ready gauge\n\
             registry_cleanup_policy_ready{namespace=\"team\",policy=\"shop\"} 1\n\
             # HELP registry_cleanup_runs_total Runs that ended.\n\
             # TYPE registry_cleanup_runs_total counter\n\
             registry_cleanup_runs_total{namespace=\"team\",policy=\"shop\",result=\"Succeeded\"} 3\n\
             # HELP registry_cleanup_reconcile_duration_seconds How long a look took.\n\
             # TYPE registry_cleanup_reconcile_duration_seconds histogram\n\
             registry_cleanup_reconcile_duration_seconds_bucket{le=\"0.5\"} 1\n\
             registry_cleanup_reconcile_duration_seconds_bucket{le=\"60\"} 2\n\
             registry_cleanup_reconcile_duration_seconds_bucket{le=\"+Inf\"} 4\n\
             registry_cleanup_reconcile_duration_seconds_sum 300.25\n\
             registry_cleanup_reconcile_duration_seconds_count 4\n"
        );
    }

    #[test]
    fn open_metrics_names_it_without_and_marks_the_end() {
        let text = write(&families(), Format::OpenMetrics);
        assert!(text.contains("# TYPE registry_cleanup_runs counter\nregistry_cleanup_runs_total{"), "{text}");
        assert!(text.contains("_bucket{le=\"0.5\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"60.0\"} 2 # {run=\"20261122-120000-abcde\"} 31.5\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 4 # {run=\"20261122-130000-fghij\"} 100\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }

    #[rstest]
    #[case::nothing("", Format::Classic)]
    #[case::a_browser("text/html,*/*;q=0.8", Format::Classic)]
    #[case::open_metrics("application/openmetrics-text; version=1.0.0", Format::OpenMetrics)]
    #[case::prometheus(
        "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        Format::OpenMetrics
    )]
    #[case::rather_classic("application/openmetrics-text;q=0.3, text/plain;q=0.9", Format::Classic)]
    #[case::refused("application/openmetrics-text;q=0", Format::Classic)]
    #[case::no_weight("application/openmetrics-text;q=much", Format::Classic)]
    fn open_metrics_is_for_who_prefers_it(#[case] accept: &str, #[case] expected: Format) {
        assert_eq!(Format::accepted(accept), expected);
    }

    /// Reads a label's value back.
    fn read(text: &str) -> String {
        let quoted = text.split_once("{host=\"").unwrap().1.rsplit_once("\"}").unwrap().0;
        let (mut value, mut characters) = (String::new(), quoted.chars());
        while let Some(character) = characters.next() {
            value.push(match (character, character == '\\') {
                (_, true) => match characters.next().unwrap() {
                    'n' => '\n',
                    other => other,
                },
                (other, false) => other,
            });
        }
        value
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_label_is_one_line_and_can_be_read_back(value in "\\PC*|[\\n\"\\\\]{0,9}") {
            let mut gauge = Family::gauge("x", "x");
            gauge.add(vec![("host", value.clone())], 1.0);
            let text = write(&[gauge], Format::Classic);
            prop_assert_eq!(text.matches('\n').count(), 3, "{}", text);
            prop_assert_eq!(read(&text), value);
        }
    }
}
