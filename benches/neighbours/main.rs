//! What one tenant's policies cost the others: memory of the operator, its probes, and how long an innocent policy waits.
//!
//! Everything is as in production: the operator in release mode as a process of its own, with its own permissions,
//! against a real API server and a simulated GitLab. Each row has namespaces and an operator of its own. The neighbours
//! are there first; then the operator starts, and once it answers, an innocent policy is made.
//!
//! ```console
//! $ cargo bench --bench neighbours                       # every row
//! $ cargo bench --bench neighbours -- patterns refused   # these rows
//! $ cargo bench --bench neighbours -- --write=docs/benchmarks.md
//! ```

mod operator;
mod rows;
mod stage;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::ExitCode;

use control_plane::{Cluster, Options};

use rows::{PATIENCE, Row};
use stage::{Measured, Stage};

type Failure = Box<dyn Error + Send + Sync>;

/// Between these two lines the table stands in a document.
const MARKS: (&str, &str) = ("<!-- neighbours: begin -->\n", "<!-- neighbours: end -->\n");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts this as well, without the word.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("this is a benchmark: cargo bench --bench neighbours");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    let document = arguments.iter().find_map(|argument| argument.strip_prefix("--write="));
    match measure(&wanted, document) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wanted: &[&str], document: Option<&str>) -> Result<(), Failure> {
    let rows = Row::chosen(wanted)?;
    let cluster = Cluster::start(&Options { audit: false, ..Options::default() })?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut table =
            "| Neighbours | RSS MiB | Longest `/livez` | Innocent policy Ready after | All looked at after | Met |\n\
                         | --- | ---: | ---: | ---: | ---: | ---: |\n"
                .to_owned();
        for row in rows {
            eprintln!("{}", row.name());
            let stage = Stage::set(&cluster, row.word()).await?;
            row.fill(&stage).await?;
            let measured = stage.measure(PATIENCE).await?;
            let line = line(row, &measured);
            eprint!("{line}");
            table.push_str(&line);
            stage.strike().await?;
        }
        std::io::stdout().write_all(table.as_bytes())?;
        document.map_or(Ok(()), |document| write(document, &table))
    })
}

fn line(row: Row, measured: &Measured) -> String {
    let met = measured.peak_mebibytes < 100.0 && measured.longest_probe < 1.0 && measured.innocent_ready < 5.0;
    let looked_at = measured.all_looked_at.map_or("–".to_owned(), |seconds| format!("{seconds:.0} s"));
    let mut line = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(
        line,
        "| {} | {:.1} | {:.2} s | {:.1} s | {looked_at} | {} |",
        row.name(),
        measured.peak_mebibytes,
        measured.longest_probe,
        measured.innocent_ready,
        if met { "yes" } else { "**no**" },
    );
    line
}

/// Puts the table into a document, in the place of the one before.
fn write(document: &str, table: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(document)?;
    let split = text.split_once(MARKS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
    let (before, after) = split.ok_or_else(|| format!("{document} has no marks for the table"))?;
    fs::write(document, format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1))?;
    Ok(())
}
