//! Cleans registries of four sizes in every way there is, and prints what it took: requests by kind, time, memory.
//!
//! Everything is as in production: the operator in release mode as a process of its own, with its own permissions,
//! against a real API server and a GitLab that behaves like one and takes 20 ms for each answer. A policy is applied,
//! becomes ready, and a run is asked for by an annotation. Each line has a fresh registry and a fresh operator.
//!
//! ```console
//! $ make bench                      # what takes no more than a few minutes
//! $ make bench SHAPES="S L"         # all of these shapes, also what takes long
//! $ make bench SHAPES="XL graphql paced"   # bulk, graphql, rest and usual, latency, paced, busy choose further
//! $ make bench WRITE=docs/benchmarks.md
//! $ cargo bench --bench clean -- D paced --workloads=450   # beside so many Pods and ReplicaSets, which are looked at
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

use control_plane::{Cluster, Options};

use rows::Row;
use shapes::Shape;
use support::Failure;
use support::cluster::Platform;
use support::workloads;
use table::Table;
use world::World;

/// Between these two lines the table stands in a document.
const MARKS: (&str, &str) = ("<!-- clean: begin -->\n", "<!-- clean: end -->\n");

fn main() -> ExitCode {
    support::main("this is a benchmark: make bench", |arguments| {
        let choice = Choice::read(arguments)?;
        if choice.workloads.is_some() {
            // What is filled is for nobody else.
            let cluster = Cluster::start(&Options { audit: false, ..Options::default() })?;
            support::until_interrupted(measure(&cluster, &choice))?;
        } else {
            support::until_interrupted(measure(control_plane::shared()?, &choice))?;
        }
        Ok(true)
    })
}

/// What to measure, and the document to write it into.
#[derive(Debug, Default)]
struct Choice {
    shapes: Vec<Shape>,
    ways: Vec<String>,
    speeds: Vec<String>,
    document: Option<String>,
    /// Pods, and as many `ReplicaSet`s, that are in the cluster, all of which the operator looks at.
    workloads: Option<usize>,
}

impl Choice {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut choice = Self::default();
        for argument in arguments {
            if let Some(document) = argument.strip_prefix("--write=") {
                choice.document = Some(document.to_owned());
            } else if let Some(number) = argument.strip_prefix("--workloads=") {
                choice.workloads = Some(number.parse()?);
            } else if let Some(shape) = Shape::ALL.into_iter().find(|shape| shape.name() == argument) {
                choice.shapes.push(shape);
            } else if rows::all().iter().any(|row| row.way.word() == argument) {
                choice.ways.push(argument.clone());
            } else if rows::all().iter().any(|row| row.speed.word() == argument) {
                choice.speeds.push(argument.clone());
            } else {
                let shapes = Shape::ALL.map(Shape::name).join(", ");
                let others = "bulk, graphql, rest, usual, latency, paced, busy, --workloads=NUMBER and --write=FILE";
                return Err(format!("{argument:?} is none of {shapes}, {others}").into());
            }
        }
        Ok(choice)
    }

    fn wants(&self, row: Row) -> bool {
        let shape = if self.shapes.is_empty() { !row.slow } else { self.shapes.contains(&row.shape) };
        let among = |words: &[String], word| words.is_empty() || words.iter().any(|chosen| chosen == word);
        shape && among(&self.ways, row.way.word()) && among(&self.speeds, row.speed.word())
    }
}

async fn measure(cluster: &Cluster, choice: &Choice) -> Result<(), Failure> {
    let platform = Platform::install(cluster).await?;
    if let Some(number) = choice.workloads {
        workloads::fill(&platform.kube, number, 2_000.min(number), number / workloads::REPLICA_SETS_EACH).await;
    }
    let mut table = Table::default();
    let began = Instant::now();
    for row in rows::all() {
        if choice.wants(row) {
            eprintln!("{:6.0} s  {}, {}", began.elapsed().as_secs_f64(), row.shape.name(), row.name(0));
            clean(&platform, row, choice.workloads.is_some(), &mut table).await?;
        } else if row.slow && choice.shapes.is_empty() {
            let (shape, way) = (row.shape.name(), row.name(0));
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

/// Measures one row. With `all_workloads` the operator looks at those of the whole cluster, and it is told what the
/// API server was asked for.
async fn clean(platform: &Platform, row: Row, all_workloads: bool, table: &mut Table) -> Result<(), Failure> {
    let world = World::set_up(platform, row).await?;
    let mut operator = world.operator(all_workloads).await?;
    for number in 0..row.runs {
        let before = platform.asked().await?;
        let measured = world.run(&mut operator, &format!("run-{number}")).await?;
        if all_workloads {
            let asked = platform.asked().await?.since(before);
            table.note(format!("{}, {}: the API server was asked for {asked}", row.shape.name(), row.name(number)));
        }
        table.add(row, &world.content, &measured, number);
    }
    world.tear_down().await
}
