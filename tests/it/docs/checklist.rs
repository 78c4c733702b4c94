//! `docs/checklist.md` is what `make checklist` writes: it has every row of the lists, and its sums are those of its
//! rows.

use std::fs;

use crate::world::path;

/// One row: number, weight and what it asks for.
type Row = (String, u32, String);

/// The rows of a list. Its fields stand on lines of their own, these three before all others.
fn listed(file: &str) -> Vec<Row> {
    let text = fs::read_to_string(path(file)).unwrap();
    let field = |row: &str, name: &str| {
        let value = row.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap_or_default();
        value.trim_matches('"').to_owned()
    };
    let rows = text.split("\n[[row]]\n").skip(1);
    rows.map(|row| (field(row, "number"), field(row, "weight").parse().unwrap(), field(row, "what"))).collect()
}

/// The rows of a section of the page, and whether each holds.
fn told(section: &str) -> Vec<(Row, bool)> {
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let ([number, weight, what, holds], true) = (cells.as_slice(), cells[0].parse::<u32>().is_ok()) {
            let row = ((*number).to_owned(), weight.parse().unwrap(), (*what).to_owned());
            assert!(*holds == "yes" || holds.starts_with("no: "), "{line}");
            rows.push((row, *holds == "yes"));
        }
    }
    rows
}

#[test]
fn the_checklist_page_has_every_row_and_adds_up() {
    let page = fs::read_to_string(path("docs/checklist.md")).unwrap();
    let (first, second) = page.split_once("\n## Second list\n").unwrap();
    for (file, section, name) in [
        ("hack/checklist/v1.toml", first, "First list"),
        ("hack/checklist/v2.toml", second, "Second list, groups A to G and J"),
    ] {
        let (listed, told) = (listed(file), told(section));
        assert!(listed.len() > 60, "{file} has {} rows", listed.len());
        assert_eq!(told.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>(), listed, "run `make checklist`");
        let sum = |rows: &[(Row, bool)], held: bool, must: Option<bool>| -> u32 {
            let counts = |row: &&(Row, bool)| (!held || row.1) && must.is_none_or(|must| (row.0.1 == 3) == must);
            rows.iter().filter(counts).map(|row| row.0.1).sum()
        };
        let score = format!(
            "- {name}: {} of {} points; {} of {} rows of weight 3, {} of {} points of the others.",
            sum(&told, true, None),
            sum(&told, false, None),
            sum(&told, true, Some(true)) / 3,
            sum(&told, false, Some(true)) / 3,
            sum(&told, true, Some(false)),
            sum(&told, false, Some(false)),
        );
        assert!(page.contains(&score), "the page does not say: {score}");
    }
}
