//! What one tenant's policies cost the others: memory of the operator, its probes, and how long an innocent policy
//! waits until it is Ready and until a dry run of it is over.
//!
//! Everything is as in production: the operator in release mode as a process of its own, with its own permissions,
//! against a real API server and a simulated GitLab. Each row has namespaces and an operator of its own. The neighbours
//! are there first; then the operator starts, and once it answers, or once the neighbours' runs have begun, an innocent
//! policy is made.
//!
//! ```console
//! $ cargo bench --bench neighbours                       # every row
//! $ cargo bench --bench neighbours -- patterns refused   # these rows
//! $ cargo bench --bench neighbours -- --write=docs/benchmarks.md
//! ```

mod probed;
mod rows;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use control_plane::{Cluster, Options};

use rows::Row;
use stage::{Measured, Stage};
use support::Failure;

/// Between these two lines the table stands in a document.
const MARKS: (&str, &str) = ("<!-- neighbours: begin -->\n", "<!-- neighbours: end -->\n");

fn main() -> ExitCode {
    support::main("this is a benchmark: cargo bench --bench neighbours", |arguments| {
        let wanted: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
        measure(&wanted, arguments.iter().find_map(|argument| argument.strip_prefix("--write=")))?;
        Ok(true)
    })
}

fn measure(wanted: &[&str], document: Option<&str>) -> Result<(), Failure> {
    let rows = Row::chosen(wanted)?;
    let cluster = Cluster::start(&Options { audit: false, ..Options::default() })?;
    support::until_interrupted(async {
        let mut table =
            "| Neighbours | RSS MiB | Longest `/livez` | Innocent policy Ready after | Its dry run over after | \
             All looked at after | A suspend takes effect after | Met |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
                .to_owned();
        for row in rows {
            eprintln!("{}", row.name());
            let stage = Stage::set(&cluster, row.word()).await?;
            row.fill(&stage).await?;
            let measured = stage.measure(row.course()).await?;
            let line = line(row, &measured);
            eprint!("{line}");
            table.push_str(&line);
            stage.strike().await?;
        }
        std::io::stdout().write_all(table.as_bytes())?;
        document.map_or(Ok(()), |document| support::write(document, MARKS, &table))
    })
}

fn line(row: Row, measured: &Measured) -> String {
    let met = measured.peak_mebibytes < 100.0
        && measured.longest_probe < 1.0
        && measured.innocent_ready < 5.0
        && measured.previewed < 10.0
        && measured.suspended.is_none_or(|seconds| seconds < 2.0);
    let looked_at = measured.all_looked_at.map_or("–".to_owned(), |seconds| format!("{seconds:.0} s"));
    let suspended = measured.suspended.map_or("–".to_owned(), |seconds| format!("{seconds:.1} s"));
    let mut line = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        line,
        "| {} | {:.1} | {:.2} s | {:.1} s | {:.1} s | {looked_at} | {suspended} | {} |",
        row.name(),
        measured.peak_mebibytes,
        measured.longest_probe,
        measured.innocent_ready,
        measured.previewed,
        if met { "yes" } else { "**no**" },
    );
    line
}
