//! Logs: one JSON object a line, or plain text for people. The audit trail (target `audit`) is part of them.

mod line;

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{JsonFields, Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt;

use crate::terminal::plain;
use line::JsonLine;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one of tracing's.
    #[error("failed to read the log level {0:?}: give error, warn, info, debug or trace, or target=level pairs")]
    Level(String),
    /// Something else in this process logs already.
    #[error("failed to set up logs")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins to log to standard error. `level` is a level or a list of `target=level`; the audit trail stays on unless it
/// is named in it. A panic is a line as well.
///
/// # Errors
/// When the level cannot be read, or logs were set up before.
pub fn init(level: &str, format: LogFormat) -> Result<(), Error> {
    let bad_level = |_| Error::Level(level.to_owned());
    let audited = if level.contains("audit=") { level.to_owned() } else { format!("{level},audit=info") };
    let filter = EnvFilter::builder().parse(audited).map_err(bad_level)?;
    match format {
        LogFormat::Json => json(filter, std::io::stderr).try_init()?,
        // Escape sequences are for terminals; whoever collects logs would have to take them out.
        LogFormat::Text => text(filter, std::io::stderr, std::io::stderr().is_terminal()).try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied().or_else(|| Some(payload.downcast_ref::<String>()?.as_str()));
        tracing::error!(location, error = text, "the program has a bug");
    }));
    Ok(())
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // The fields of spans are kept as JSON, so that the line can take them over.
    lines.fmt_fields(JsonFields::new()).event_format(JsonLine).finish()
}

fn text<W>(filter: EnvFilter, writer: W, colours: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Only what is in the fields comes from outside.
    let fields = debug_fn(|line: &mut Writer<'_>, field, value| match field.name() {
        "message" => line.write_str(&plain(&format!("{value:?}"))),
        name => write!(line, "{name}={}", plain(&format!("{value:?}"))),
    });
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    lines.with_ansi(colours).fmt_fields(fields.delimited(" ")).finish()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::terminal;

    const ODD: &str = "shop/\u{1b}[2J\u{7}api\r\n\u{202e}\u{200b}\u{9b}";

    /// What is logged by a subscriber.
    fn logged<S: Subscriber + Send + Sync + 'static>(subscriber: impl FnOnce(Sink) -> S, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        tracing::subscriber::with_default(subscriber(sink.clone()), log);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// A line with something odd in its message and in fields of every kind.
    fn odd() {
        let error = io::Error::other(ODD);
        tracing::info!(repository = ODD, shown = %ODD, debug = ?ODD, error = &error as &dyn std::error::Error, "{ODD}");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_for_people_has_nothing_that_a_terminal_would_obey() {
        let line = logged(|sink| text(EnvFilter::new("info"), sink, false), odd);
        assert!(!terminal::is_odd(&line) && line.matches('\n').count() == 1, "{line:?}");
        assert!(line.contains("shown=shop/ [2J api"), "{line:?}");
        let coloured = logged(|sink| text(EnvFilter::new("info"), sink, true), odd);
        let (colour, rest) = coloured.split_once(" INFO").unwrap();
        assert!(colour.contains('\u{1b}') && !rest.contains("[2J api\r"), "{coloured:?}");
        let dimmed = ["\u{1b}[2m", "\u{1b}[0m"].iter().fold(rest.to_owned(), |rest, code| rest.replace(code, ""));
        assert!(!terminal::is_odd(&dimmed), "{coloured:?}");
    }

    #[test]
    fn a_line_as_json_has_it_in_escapes() {
        let line = logged(|sink| super::json(EnvFilter::new("info"), sink), odd);
        assert!(!terminal::is_odd(&line) && line.matches('\n').count() == 1, "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["message"], &read["repository"], &read["shown"]), (&ODD.into(), &ODD.into(), &ODD.into()));
    }

    #[test]
    fn a_line_of_a_run_says_which_whoever_writes_it() {
        let lines = logged(
            |sink| super::json(EnvFilter::new("info"), sink),
            || {
                let policy = tracing::error_span!("policy", namespace = "team", policy = "shop");
                let _policy = policy.enter();
                let _run = tracing::error_span!("run", run = "r1").entered();
                let _others = tracing::error_span!(target: "kube_client", "request", http.method = "GET").entered();
                tracing::warn!(policy = "another", count = 2, ratio = 0.5, yes = true, "it happens");
            },
        );
        let mut line: Value = serde_json::from_str(&lines).unwrap();
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert_eq!(
            line,
            json!({
                "level": "WARN", "namespace": "team", "policy": "another", "run": "r1", "count": 2, "ratio": 0.5,
                "yes": true, "message": "it happens", "target": "registry_cleanup_operator::telemetry::tests",
            })
        );
        assert!(lines.starts_with("{\"timestamp\":\""), "{lines}");
    }
}
