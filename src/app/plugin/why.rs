//! Why one tag stays or goes: the plan of its repository, of which one line is told in full.

use std::fmt::Write;
use std::sync::Arc;

use futures::stream::StreamExt;

use super::Error;
use crate::app::plan::{self, PlanOptions};
use crate::app::progress::Progress;
use crate::clock::{Clock, SystemClock};
use crate::controller::Forecast;
use crate::plan_output::{PlanHeader, Repository, State, sentences, units};
use crate::policy::tag::Moment;
use crate::terminal::plain;

/// A tag of a repository, as people write it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagName {
    /// The repository: its path, with or without the registry's host.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl std::str::FromStr for TagName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.rsplit_once(':').filter(|(repository, tag)| {
            !repository.is_empty() && !tag.is_empty() && !tag.contains('/') && !repository.contains('@')
        });
        let (repository, tag) = named.ok_or("give a repository and a tag: shop/web:mr-12")?;
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }
}

/// Plans the repository of a tag with this policy, and tells what becomes of the tag.
///
/// # Errors
/// When there is no plan, and when there is no such tag.
pub async fn why(options: PlanOptions, name: &TagName) -> Result<String, Error> {
    // Two libraries below use rustls; they are to agree on its provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (about, question) =
        plan::question(&options, &*clock, &mut Progress::new(), Some(name.repository.clone())).await?;
    let gitlab = crate::app::gitlab(options.limits, &options.allowed_hosts, Arc::clone(&clock));
    let forecast = Forecast::begin(&gitlab, clock, question).await.map_err(plan::Error::from)?;
    let mut plans = forecast.plans();
    let Some(repository) = plans.next().await else {
        let missed = forecast.unlisted().next().map(|one| format!("{}: {}", one.path, trouble(&one)));
        let why = missed.unwrap_or_else(|| "it is not among its repositories".to_owned());
        return Err(Error::No(format!("policy {} does not look after {}: {why}", about.policy, name.repository)));
    };
    told(&about, &repository.map_err(plan::Error::from)?, &name.tag).map_err(Error::No)
}

fn trouble(repository: &Repository) -> String {
    repository.trouble().unwrap_or_default()
}

/// What becomes of a tag, and why.
fn told(about: &PlanHeader, repository: &Repository, name: &str) -> Result<String, String> {
    let path = &repository.path;
    let planned = match &repository.state {
        State::Failed(message) => return Err(format!("{path} cannot be planned: {message}")),
        State::Skipped(message) => return Ok(plain(&format!("{path} is left alone: {message}")) + "\n"),
        State::Planned(planned) => planned,
    };
    let tags = planned.tags();
    let tag = tags.iter().find(|tag| tag.name == name).ok_or_else(|| format!("{path} has no tag {name}"))?;
    let verdict = tag.decision.verdict;
    let fate = if tag.goes() { "would be removed" } else { "stays" };
    let mut text = format!("{path}:{name} {fate}: {} ({})\n", sentences::why(verdict), verdict.reason());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<8}{value}");
    };
    tag.users.iter().for_each(|users| line("Used by", users.to_string()));
    about.rule(tag.decision).iter().for_each(|rule| line("Rule", (*rule).to_owned()));
    if let Moment::At(date) = tag.pushed {
        let age = units::age(about.at.duration_since(date));
        line("Age", format!("{age}, counted from {}", date.strftime("%Y-%m-%d %H:%M:%S UTC")));
    }
    tag.bytes.iter().for_each(|bytes| line("Size", units::size(*bytes)));
    tag.digest.iter().for_each(|digest| line("Digest", digest.to_string()));
    if let Some(exceeded) = planned.exceeded.as_ref().filter(|_| tag.goes()) {
        line("But", format!("a run would remove nothing here: {}", exceeded.numbers()));
    }
    Ok(crate::terminal::lines(&text))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("shop/web:mr-12", Some(("shop/web", "mr-12")))]
    #[case("registry.test:5050/shop/web:v1", Some(("registry.test:5050/shop/web", "v1")))]
    #[case("registry.test:5050/shop/web", None)]
    #[case("shop/web", None)]
    #[case("shop/web:", None)]
    #[case(":v1", None)]
    #[case("shop/web@sha256:0a", None)]
    fn a_tag_is_named_as_images_are(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        let read: Option<TagName> = text.parse().ok();
        let of = |(repository, tag): (&str, &str)| TagName { repository: repository.to_owned(), tag: tag.to_owned() };
        assert_eq!(read, expected.map(of));
    }
}
