//! Cleans registries of four sizes in every way there is, and prints what it took: requests by kind, time, memory.
//!
//! Everything is as in production: the operator in release mode as a process of its own, with its own permissions,
//! against a real API server and a GitLab that behaves like one and takes 20 ms for each answer. A policy is applied,
//! becomes ready, and a run is asked for by an annotation. Each line has a fresh registry and a fresh operator.
//!
//! ```console
//! $ make bench                      # what takes no more than a few minutes
//! $ make bench SHAPES="S L"         # all of these shapes, also what takes long; bulk, graphql and rest choose further
//! $ make bench WRITE=docs/benchmarks.md
//! ```

mod names;
mod rows;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod world;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use rows::Row;
use shapes::Shape;
use support::Failure;
use support::cluster::Platform;
use table::Table;
use world::World;

/// Between these two lines the table stands in a document.
const MARKS: (&str, &str) = ("<!-- clean: begin -->\n", "<!-- clean: end -->\n");

fn main() -> ExitCode {
    support::main("this is a benchmark: make bench", |arguments| {
        let choice = Choice::read(arguments)?;
        let cluster = control_plane::shared()?;
        support::until_interrupted(measure(cluster, &choice))?;
        Ok(true)
    })
}

/// What to measure, and the document to write it into.
#[derive(Debug, Default)]
struct Choice {
    shapes: Vec<Shape>,
    ways: Vec<String>,
    document: Option<String>,
}

impl Choice {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut choice = Self::default();
        for argument in arguments {
            if let Some(document) = argument.strip_prefix("--write=") {
                choice.document = Some(document.to_owned());
            } else if let Some(shape) = Shape::ALL.into_iter().find(|shape| shape.name() == argument) {
                choice.shapes.push(shape);
            } else if rows::all().iter().any(|row| row.way.word() == argument) {
                choice.ways.push(argument.clone());
            } else {
                return Err(format!("{argument:?} is none of S, M, L, XL, bulk, graphql, rest and --write=FILE").into());
            }
        }
        Ok(choice)
    }

    fn wants(&self, row: Row) -> bool {
        let shape = if self.shapes.is_empty() { !row.slow } else { self.shapes.contains(&row.shape) };
        shape && (self.ways.is_empty() || self.ways.iter().any(|way| way == row.way.word()))
    }
}

async fn measure(cluster: &control_plane::Cluster, choice: &Choice) -> Result<(), Failure> {
    let platform = Platform::install(cluster).await?;
    let mut table = Table::default();
    let began = Instant::now();
    for row in rows::all() {
        if choice.wants(row) {
            eprintln!("{:6.0} s  {}, {}", began.elapsed().as_secs_f64(), row.shape.name(), row.way.name());
            clean(&platform, row, &mut table).await?;
        } else if row.slow && choice.shapes.is_empty() {
            let (shape, way) = (row.shape.name(), row.way.name());
            table.note(format!(
                "{shape}, {way}, takes many minutes and was left out; `make bench SHAPES={shape}` has it"
            ));
        }
    }
    eprintln!("{:6.0} s  done", began.elapsed().as_secs_f64());
    let text = table.text();
    std::io::stdout().write_all(text.as_bytes())?;
    match &choice.document {
        Some(document) => support::write(document, MARKS, &text),
        None => Ok(()),
    }
}

/// Measures one row.
async fn clean(platform: &Platform, row: Row, table: &mut Table) -> Result<(), Failure> {
    let world = World::set_up(platform, row).await?;
    let first = world.run("first").await?;
    table.add(row, &world.content, &first, false);
    if row.again {
        let second = world.run("second").await?;
        table.add(row, &world.content, &second, true);
    }
    world.tear_down().await
}
