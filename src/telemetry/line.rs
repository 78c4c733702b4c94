//! A log line as one JSON object: time, level, what it is about, its own fields, and where it comes from.
//!
//! What it is about are the fields of the operator's own spans around it: the run, the policy and its namespace are on
//! every line of a run, also on those of parts that know nothing of runs. A field of the line itself wins.

use std::error::Error;
use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::terminal;

/// Writes lines.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, around: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let of_event = event.metadata();
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line =
            vec![("timestamp".to_owned(), time.into()), ("level".to_owned(), of_event.level().as_str().into())];
        for span in around.event_scope().into_iter().flat_map(Scope::from_root) {
            if !span.metadata().target().starts_with(env!("CARGO_CRATE_NAME")) {
                continue;
            }
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<N>>() else { continue };
            let fields: Map<String, Value> = serde_json::from_str(fields).unwrap_or_default();
            line.extend(fields.into_iter().filter(|(name, _)| !own.has(name)));
        }
        line.extend(own.0);
        line.push(("target".to_owned(), of_event.target().into()));
        writeln!(out, "{}", terminal::json(&object(&line)))
    }
}

/// Fields in their order. Of a name that is there twice the last counts.
fn object(fields: &[(String, Value)]) -> String {
    let last = |at: usize, name: &str| !fields.iter().skip(at + 1).any(|(other, _)| other == name);
    let kept = fields.iter().enumerate().filter(|(at, (name, _))| last(*at, name));
    let parts: Vec<String> = kept.map(|(_, (name, value))| format!("{}:{value}", Value::from(name.as_str()))).collect();
    format!("{{{}}}", parts.join(","))
}

/// The fields of a line.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push((field.name().trim_start_matches("r#").to_owned(), value.into()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}
