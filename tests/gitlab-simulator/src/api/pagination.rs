//! Offset and keyset pages with their headers (gitlab-api reference 4).

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Site, answer::Answer, call::Call, params::Params};
use crate::config::{Settings, Version};

/// Items on a page unless told otherwise.
const PER_PAGE: u16 = 20;

/// Larger offset pages are cut to this.
const MOST_PER_PAGE: usize = 100;

/// Larger keyset pages are cut to this.
const MOST_PER_KEYSET_PAGE: usize = 1000;

/// From about here on GitLab does not count.
const COUNT_LIMIT: usize = 10_000;

/// What Ruby's `CGI.escape` leaves alone, besides letters and digits.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// What kind of list is counted: GitLab's limits differ by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// A database relation: no totals above 10,000 rows.
    Rows,
    /// An array of tags: no totals from 10,000 on.
    Tags,
}

/// `page` and `per_page` as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageParams {
    page: i64,
    per_page: i64,
}

impl PageParams {
    /// Reads and validates both.
    pub(super) fn read(params: &mut Params<'_>, settings: &Settings) -> Self {
        // Behind a flag in recent releases; 18.0 stands for them.
        let strict = settings.reject_pages_below_one.unwrap_or(settings.version >= Version::new(18, 0));
        let page = params.integer("page").unwrap_or(1);
        if page < 1 && strict {
            params.problem("page does not have a valid value");
        }
        let per_page = params.integer("per_page").unwrap_or_else(|| i64::from(PER_PAGE));
        if per_page == 0 {
            params.problem("per_page has a value not allowed");
        } else if per_page < 0 && strict {
            params.problem("per_page does not have a valid value");
        }
        Self { page, per_page }
    }

    fn number(self) -> usize {
        usize::try_from(self.page).unwrap_or(1).max(1)
    }

    fn size(self) -> usize {
        usize::try_from(self.per_page).unwrap_or_else(|_| usize::from(PER_PAGE)).min(MOST_PER_PAGE)
    }

    /// The size of a keyset page; below 1 the registry refuses, which is an empty list.
    pub(super) fn keyset_size(self) -> usize {
        usize::try_from(self.per_page).unwrap_or_default().min(MOST_PER_KEYSET_PAGE)
    }
}

/// One offset page of a list as an answer with all headers.
pub(super) fn offset_page<T>(
    items: &[T],
    counted: Counted,
    page: PageParams,
    call: &Call,
    site: &Site,
    render: impl Fn(&T) -> Value,
) -> Answer {
    let (number, per_page, total) = (page.number(), page.size(), items.len());
    let pages = total.div_ceil(per_page).max(1);
    let shown: Vec<Value> =
        items.iter().skip((number - 1).saturating_mul(per_page)).take(per_page).map(render).collect();
    let totals = match counted {
        Counted::Rows => total <= COUNT_LIMIT,
        Counted::Tags => total < COUNT_LIMIT,
    };
    let next = (number < pages).then(|| number + 1);
    let previous = (number > 1 && number <= pages).then(|| number - 1);
    let mut links = Vec::new();
    let mut link = |page: usize, relation: &str| {
        let changes = [("page", page.to_string()), ("per_page", per_page.to_string())];
        links.push(format!("<{}>; rel=\"{relation}\"", url(call, site, &changes)));
    };
    if let Some(page) = previous {
        link(page, "prev");
    }
    if let Some(page) = next {
        link(page, "next");
    }
    link(1, "first");
    if totals {
        link(pages, "last");
    }
    let optional = |page: Option<usize>| page.map(|page| page.to_string()).unwrap_or_default();
    let mut answer = Answer::json(200, &Value::Array(shown))
        .header("x-per-page", per_page.to_string())
        .header("x-page", number.to_string())
        .header("x-next-page", optional(next))
        .header("x-prev-page", optional(previous))
        .header("link", links.join(", "));
    if totals {
        answer = answer.header("x-total", total.to_string()).header("x-total-pages", pages.to_string());
    }
    answer
}

/// The `Link` header of a keyset page that is not the last.
pub(super) fn keyset_link(call: &Call, site: &Site, last: &str) -> String {
    format!("<{}>; rel=\"next\"", url(call, site, &[("last", last.to_owned())]))
}

/// This request's address with some parameters changed: the configured host, every parameter sorted by name, those of
/// the path among them.
fn url(call: &Call, site: &Site, changes: &[(&str, String)]) -> String {
    let mut params: Vec<(String, String)> = call
        .params
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    params.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    params.push(("id".to_owned(), call.namespace.clone()));
    if !call.repository.is_empty() {
        params.push(("repository_id".to_owned(), call.repository.clone()));
    }
    params.sort();
    format!("{}?{}", site.address(&call.path), query(&params))
}

/// Parameters as a query string.
pub(super) fn query(params: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in params {
        let separator = if text.is_empty() { "" } else { "&" };
        let value = utf8_percent_encode(value, QUERY).to_string().replace("%20", "+");
        let _ = write!(text, "{separator}{}={value}", utf8_percent_encode(name, QUERY));
    }
    text
}
