//! Puts a plan onto the output and into files: the table as it comes, everything else at the end.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use super::progress::Progress;
use crate::plan_output::{self, Listing, Repository, Retain, html, markdown, table, terraform};
use crate::terminal;

/// What the plan is printed as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For a terminal, repository by repository.
    #[default]
    Table,
    /// For programs.
    Json,
    /// The same as YAML.
    Yaml,
    /// For a comment on a merge request.
    Markdown,
    /// For people, as one file for a browser.
    Html,
    /// The number of tags that would go, for GitLab's artifacts:reports:terraform.
    TerraformReport,
}

/// A file that the plan is written into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedAs {
    /// As what.
    pub output: Output,
    /// The file.
    pub path: PathBuf,
}

impl FromStr for SavedAs {
    type Err = String;

    /// Reads `html=plan.html`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = text.split_once('=').ok_or("give FORMAT=FILE")?;
        let output = Output::from_str(format, false)?;
        if path.is_empty() {
            return Err("there is no file behind the =".to_owned());
        }
        Ok(Self { output, path: PathBuf::from(path) })
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conclusion {
    /// A run would remove nothing.
    Nothing,
    /// A run would remove something.
    Something,
    /// A run would fail, at least in part: the plan says where and why.
    Failure,
}

/// Why the plan is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The plan cannot be written in a format, which nothing in it should bring about.
    #[error("failed to write the plan: {0}")]
    Shape(String),
    /// The plan cannot be printed.
    #[error("failed to print the plan")]
    Output(#[source] io::Error),
    /// A file cannot be written.
    #[error("failed to write {0}")]
    File(String, #[source] io::Error),
}

impl PrintError {
    /// Whether it only means that nobody reads any further, such as `head`.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Takes in what was planned, and tells it.
pub(super) struct Printer<'a> {
    output: Output,
    saved: Vec<SavedAs>,
    /// What was planned so far.
    pub(super) listing: Listing,
    /// How far the reading has got.
    pub(super) progress: Progress,
    out: &'a mut dyn Write,
}

impl<'a> Printer<'a> {
    pub(super) fn new(
        output: Output,
        saved: Vec<SavedAs>,
        listing: Listing,
        progress: Progress,
        out: &'a mut dyn Write,
    ) -> Self {
        Self { output, saved, listing, progress, out }
    }

    pub(super) fn begin(&mut self) -> Result<(), PrintError> {
        if self.output == Output::Table { self.print(&table::head(&self.listing.about)) } else { Ok(()) }
    }

    pub(super) fn take(&mut self, repository: Repository) -> Result<(), PrintError> {
        let comes = self.output == Output::Table;
        if comes {
            self.print(&table::repository(&self.listing.about, &repository))?;
        }
        let keep = if comes && self.saved.is_empty() { Retain::Removals } else { Retain::Everything };
        self.listing.add(repository, keep);
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<Conclusion, PrintError> {
        for SavedAs { output, path } in std::mem::take(&mut self.saved) {
            let text = terminal::lines(&whole(output, &self.listing)?);
            fs::write(&path, text).map_err(|error| PrintError::File(path.display().to_string(), error))?;
        }
        let text = match self.output {
            Output::Table => table::foot(&self.listing),
            output => whole(output, &self.listing)?,
        };
        self.print(&text)?;
        Ok(if self.listing.fails() {
            Conclusion::Failure
        } else if self.listing.totals.remove > 0 {
            Conclusion::Something
        } else {
            Conclusion::Nothing
        })
    }

    fn print(&mut self, text: &str) -> Result<(), PrintError> {
        self.progress.clear();
        let text = terminal::lines(text);
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(PrintError::Output)
    }
}

/// All of a plan in a format.
fn whole(output: Output, listing: &Listing) -> Result<String, PrintError> {
    let shape = |error: &dyn Error| PrintError::Shape(error.to_string());
    match output {
        Output::Table => {
            let repositories = listing.repositories.iter().map(|one| table::repository(&listing.about, one));
            Ok(table::head(&listing.about) + &repositories.collect::<String>() + &table::foot(listing))
        }
        Output::Json => plan_output::json(listing).map_err(|error| shape(&error)),
        Output::Yaml => plan_output::yaml(listing).map_err(|error| shape(&error)),
        Output::Markdown => Ok(markdown::comment(listing, markdown::MAX_CHARACTERS)),
        Output::Html => html::page(listing).map_err(|error| shape(&error)),
        Output::TerraformReport => terraform::report(listing).map_err(|error| shape(&error)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_file_is_named_with_its_format() {
        let expected = SavedAs { output: Output::TerraformReport, path: PathBuf::from("a=b.json") };
        assert_eq!("terraform-report=a=b.json".parse(), Ok(expected));
    }

    #[rstest]
    #[case("plan.html")]
    #[case("html=")]
    #[case("pdf=plan.pdf")]
    #[case("")]
    fn what_names_no_format_or_no_file_is_refused(#[case] text: &str) {
        assert!(text.parse::<SavedAs>().is_err(), "{text}");
    }
}
