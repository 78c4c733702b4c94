//! Reading a list page by page and noticing when a part is missing.
//!
//! Pure: looks at headers and lengths, the client sends. GitLab hides errors of the registry behind short or empty
//! lists with status 200, so every promise a page makes (a next page, a total, a full page) is held against what comes.

use std::collections::HashSet;

use reqwest::header::{HeaderMap, HeaderName, LINK};
use url::Url;

/// Entries per page in offset mode. GitLab behaviour: larger values are clamped to 100.
pub(super) const OFFSET_PAGE: usize = 100;

/// Entries per page in keyset mode. GitLab behaviour: 1000 is the registry's maximum.
pub(super) const KEYSET_PAGE: usize = 1000;

/// Pages and entries of one list after which reading ends, so that a server can neither keep a run busy for ever nor
/// fill the memory. GitLab behaviour: the server's own cleanup gives up after two million tags.
const MOST_PAGES: usize = 20_000;
const MOST_ENTRIES: usize = 2_000_000;

/// GitLab behaviour: a registry without metadata database is asked for 10,000 tags once, and never for more; from there
/// on offset answers have no total, and the count ends there, too.
const REGISTRY_LIMIT: usize = 10_000;

const PAGE: HeaderName = HeaderName::from_static("x-page");
const PER_PAGE: HeaderName = HeaderName::from_static("x-per-page");
const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");
const TOTAL: HeaderName = HeaderName::from_static("x-total");
const TOTAL_PAGES: HeaderName = HeaderName::from_static("x-total-pages");

/// What shows that a list is not complete, or cannot be known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Gap {
    /// A page that promised another one after it was not full.
    #[error("a page was shorter than it said")]
    ShortPage,
    /// The promised next page was empty.
    #[error("a page that was promised is empty")]
    EmptyPage,
    /// The headers belong to another page than the one asked for.
    #[error("GitLab sent another page than the one asked for")]
    OtherPage,
    /// There are more pages than GitLab announced, or more entries than can be (two million).
    #[error("it does not end where it should")]
    Endless,
    /// The total changed from page to page: the list was changed while it was read, or an error was swallowed.
    #[error("its length changed while it was read")]
    TotalChanged,
    /// The entries do not add up to the total.
    #[error("its entries do not add up to the announced total")]
    TotalDisagrees,
    /// No paging headers, so nothing says whether there is more.
    #[error("the answer does not say whether there is more")]
    NoPagingHeaders,
    /// The link to the next page has no usable cursor, or one that was used before.
    #[error("the link to the next page leads nowhere")]
    BadCursor,
    /// The server fell out of keyset paging between two pages.
    #[error("the way of paging changed while it was read")]
    ModeChanged,
    /// An entry came twice.
    #[error("an entry came twice")]
    Duplicate,
    /// The registry counts more tags than were listed.
    #[error("{listed} tags were listed but the registry counts {counted}")]
    FewerThanCounted {
        /// Tags in the list.
        listed: usize,
        /// Tags by the registry's own count, which ends at 10,000.
        counted: u64,
    },
    /// The registry counts no tags although some were listed: the count failed and cannot vouch for the list.
    #[error("the registry could not count its tags")]
    CountFailed,
    /// Ten thousand tags or more, read by offset: a registry without metadata database is never asked for more, and no
    /// total and no count vouches for longer lists.
    #[error("it has 10000 tags or more, which this server cannot list reliably")]
    Saturated,
}

/// Whether an answer was made by offset paging. GitLab behaviour: servers that do not know `pagination=keyset` ignore
/// it, and only offset answers have these headers.
pub(super) fn is_offset_answer(headers: &HeaderMap) -> bool {
    headers.contains_key(PAGE) || headers.contains_key(PER_PAGE)
}

/// The course of one reading by offset.
#[derive(Debug)]
pub(super) struct Offset {
    /// The page to ask for next; `None` after the last.
    next: Option<usize>,
    read: usize,
    total: Option<usize>,
}

impl Offset {
    pub(super) const fn new() -> Self {
        Self { next: Some(1), read: 0, total: None }
    }

    /// The number of the page to ask for; `None` when the list is complete.
    pub(super) const fn next_page(&self) -> Option<usize> {
        self.next
    }

    /// Takes note of the page that was asked for: its headers and the number of its entries.
    pub(super) fn read(&mut self, headers: &HeaderMap, entries: usize) -> Result<(), Gap> {
        let page = self.next.take().ok_or(Gap::Endless)?;
        if number(headers, &PAGE).is_some_and(|sent| sent != page) {
            return Err(Gap::OtherPage);
        }
        if page > 1 && entries == 0 {
            return Err(Gap::EmptyPage);
        }
        self.read = self.read.saturating_add(entries);

        // Totals are left out of long lists, so a missing one says nothing; one that differs does.
        let total = number(headers, &TOTAL);
        if page > 1 && total != self.total {
            return Err(Gap::TotalChanged);
        }
        self.total = total;

        match next_page(headers)? {
            None => match total {
                Some(total) if total != self.read => Err(Gap::TotalDisagrees),
                _ => Ok(()),
            },
            Some(next) if next != page.saturating_add(1) => Err(Gap::OtherPage),
            Some(_) if entries < number(headers, &PER_PAGE).unwrap_or(OFFSET_PAGE) => Err(Gap::ShortPage),
            Some(next) if number(headers, &TOTAL_PAGES).is_some_and(|pages| next > pages) => Err(Gap::Endless),
            Some(next) if next > MOST_PAGES || self.read > MOST_ENTRIES => Err(Gap::Endless),
            Some(next) => {
                self.next = Some(next);
                Ok(())
            }
        }
    }
}

/// The page after this one. GitLab behaviour: `X-Next-Page` is there on every page and empty on the last.
fn next_page(headers: &HeaderMap) -> Result<Option<usize>, Gap> {
    let value = headers.get(NEXT_PAGE).ok_or(Gap::NoPagingHeaders)?;
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| Gap::NoPagingHeaders),
        Err(_) => Err(Gap::NoPagingHeaders),
    }
}

/// The course of one reading by keyset.
#[derive(Debug, Default)]
pub(super) struct Keyset {
    cursors: HashSet<String>,
    read: usize,
}

impl Keyset {
    /// Takes note of a page and returns the cursor of the next; `None` when the list is complete.
    ///
    /// Cursors are not compared by size: the registry's database sorts by its own collation, so a later name may be
    /// smaller byte by byte. One that comes back would go round for ever and is refused.
    pub(super) fn read(&mut self, headers: &HeaderMap, entries: usize) -> Result<Option<String>, Gap> {
        if is_offset_answer(headers) {
            return Err(Gap::ModeChanged);
        }
        if entries == 0 && !self.cursors.is_empty() {
            return Err(Gap::EmptyPage);
        }
        let Some(link) = next_link(headers) else {
            return Ok(None);
        };
        if entries == 0 {
            return Err(Gap::EmptyPage);
        }
        let cursor = cursor(link).ok_or(Gap::BadCursor)?;
        self.read = self.read.saturating_add(entries);
        if self.cursors.len() >= MOST_PAGES || self.read > MOST_ENTRIES {
            return Err(Gap::Endless);
        }
        if !self.cursors.insert(cursor.clone()) {
            return Err(Gap::BadCursor);
        }
        Ok(Some(cursor))
    }
}

/// The target of `rel="next"` among the `Link` headers.
fn next_link(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split('<').skip(1))
        .filter_map(|link| link.split_once('>'))
        .find(|(_, parameters)| parameters.split([';', ',']).any(is_rel_next))
        .map(|(target, _)| target)
}

fn is_rel_next(parameter: &str) -> bool {
    parameter
        .split_once('=')
        .is_some_and(|(name, value)| name.trim() == "rel" && value.trim().trim_matches('"') == "next")
}

/// The `last` parameter of a link. Nothing else of the link is used: GitLab builds links with the address from its own
/// configuration, which need not be the address it is reached at, and the token goes to no other.
fn cursor(link: &str) -> Option<String> {
    // The base only lets relative links be read; it is not used for anything.
    let base = Url::parse("http://relative.invalid").ok()?;
    let link = base.join(link).ok()?;
    let last = link.query_pairs().find(|(name, _)| name == "last")?.1.into_owned();
    (!last.is_empty()).then_some(last)
}

/// Sorts the names of a list byte by byte, so that the same tags are always the same list.
pub(super) fn sorted(mut names: Vec<Box<str>>) -> Result<Vec<Box<str>>, Gap> {
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [one, two] if one == two)) {
        return Err(Gap::Duplicate);
    }
    Ok(names)
}

/// Holds the length of a list against the registry's own count, where the server tells it.
///
/// GitLab behaviour: the count ends at 10,000, and one that failed reads as zero. More names than counted is no gap:
/// somebody pushed in between, or the count has reached its end.
pub(super) fn agree(listed: usize, counted: Option<u64>) -> Result<(), Gap> {
    match counted {
        Some(0) if listed > 0 => Err(Gap::CountFailed),
        Some(counted) if u64::try_from(listed).unwrap_or(u64::MAX) < counted => {
            Err(Gap::FewerThanCounted { listed, counted })
        }
        _ => Ok(()),
    }
}

/// Whether a list of tags read by offset is so long that nothing could tell if its end is missing.
pub(super) const fn is_saturated(listed: usize) -> bool {
    listed >= REGISTRY_LIMIT
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<usize> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn page(page: &str, next: &str, total: Option<&str>) -> HeaderMap {
        let mut pairs = vec![("x-page", page), ("x-next-page", next), ("x-per-page", "100")];
        pairs.extend(total.map(|total| ("x-total", total)));
        headers(&pairs)
    }

    fn link(value: &str) -> HeaderMap {
        headers(&[("link", value)])
    }

    #[test]
    fn pages_that_keep_their_promises_make_a_complete_list() {
        let mut offset = Offset::new();
        offset.read(&page("1", "2", Some("150")), 100).unwrap();
        assert_eq!(offset.next_page(), Some(2));
        offset.read(&page("2", "", Some("150")), 50).unwrap();
        assert_eq!(offset.next_page(), None);
    }

    #[test]
    fn long_lists_have_no_totals() {
        let mut offset = Offset::new();
        offset.read(&page("1", "2", None), 100).unwrap();
        offset.read(&page("2", "", None), 100).unwrap();
        assert_eq!(offset.next_page(), None);
    }

    #[test]
    fn an_empty_list_is_one_empty_page() {
        let mut offset = Offset::new();
        offset.read(&page("1", "", Some("0")), 0).unwrap();
        assert_eq!(offset.next_page(), None);
    }

    #[rstest]
    #[case::a_short_page_with_a_next(page("1", "2", Some("200")), 99, Gap::ShortPage)]
    #[case::an_empty_page_with_a_next(page("1", "2", Some("200")), 0, Gap::ShortPage)]
    #[case::fewer_than_the_total(page("1", "", Some("60")), 50, Gap::TotalDisagrees)]
    #[case::more_than_the_total(page("1", "", Some("40")), 50, Gap::TotalDisagrees)]
    #[case::another_page(page("2", "3", Some("300")), 100, Gap::OtherPage)]
    #[case::a_page_left_out(page("1", "3", Some("300")), 100, Gap::OtherPage)]
    #[case::the_same_page_again(page("1", "1", Some("300")), 100, Gap::OtherPage)]
    #[case::no_headers_at_all(HeaderMap::new(), 100, Gap::NoPagingHeaders)]
    #[case::a_next_page_that_is_no_number(page("1", "two", None), 100, Gap::NoPagingHeaders)]
    fn a_page_that_breaks_a_promise_is_noticed(#[case] headers: HeaderMap, #[case] entries: usize, #[case] gap: Gap) {
        assert_eq!(Offset::new().read(&headers, entries), Err(gap));
    }

    #[rstest]
    #[case::the_total_shrank(page("2", "", Some("149")), 49, Gap::TotalChanged)]
    #[case::the_total_grew(page("2", "", Some("151")), 51, Gap::TotalChanged)]
    #[case::the_total_went_away(page("2", "", None), 50, Gap::TotalChanged)]
    #[case::nothing_came(page("2", "", Some("150")), 0, Gap::EmptyPage)]
    fn a_list_that_changes_while_it_is_read_is_noticed(
        #[case] headers: HeaderMap,
        #[case] entries: usize,
        #[case] gap: Gap,
    ) {
        let mut offset = Offset::new();
        offset.read(&page("1", "2", Some("150")), 100).unwrap();
        assert_eq!(offset.read(&headers, entries), Err(gap));
    }

    #[test]
    fn more_pages_than_announced_are_refused() {
        let mut announced = page("1", "2", Some("100"));
        announced.insert(TOTAL_PAGES, "1".parse().unwrap());
        assert_eq!(Offset::new().read(&announced, 100), Err(Gap::Endless));
    }

    #[test]
    fn a_server_that_always_has_one_more_page_is_left_alone_in_the_end() {
        let mut offset = Offset::new();
        let gap = loop {
            let next = offset.next_page().unwrap();
            let headers = page(&next.to_string(), &(next + 1).to_string(), None);
            if let Err(gap) = offset.read(&headers, 100) {
                break gap;
            }
        };
        assert_eq!(gap, Gap::Endless);
    }

    #[rstest]
    #[case::as_gitlab_writes_it(
        r#"<https://elsewhere.example/api/v4/projects/1/registry/repositories/2/tags?id=1&last=v1.9&pagination=keyset>; rel="next""#,
        Some("v1.9")
    )]
    #[case::without_quotes("<https://h.example/x?last=a>; rel=next", Some("a"))]
    #[case::among_others(
        r#"<https://h.example/x?last=b&sort=asc>; rel="first", <https://h.example/x?last=c>; rel="next""#,
        Some("c")
    )]
    #[case::with_other_parameters(r#"<https://h.example/x?last=a>; title="page"; rel="next""#, Some("a"))]
    #[case::relative(r#"</x?last=a>; rel="next""#, Some("a"))]
    #[case::encoded(r#"<https://h.example/x?last=a%2Bb>; rel="next""#, Some("a+b"))]
    #[case::only_backwards(r#"<https://h.example/x?last=a>; rel="prev""#, None)]
    fn the_next_cursor_is_read_from_the_link(#[case] value: &str, #[case] expected: Option<&str>) {
        let cursor = Keyset::default().read(&link(value), 10).unwrap();
        assert_eq!(cursor.as_deref(), expected);
    }

    #[test]
    fn links_may_come_as_several_headers() {
        let mut headers = link(r#"<https://h.example/x>; rel="first""#);
        headers.append(LINK, r#"<https://h.example/x?last=a>; rel="next""#.parse().unwrap());
        assert_eq!(Keyset::default().read(&headers, 10), Ok(Some("a".to_owned())));
    }

    #[rstest]
    #[case::no_cursor(link(r#"<https://h.example/x?page=2>; rel="next""#), 10, Gap::BadCursor)]
    #[case::an_empty_cursor(link(r#"<https://h.example/x?last=>; rel="next""#), 10, Gap::BadCursor)]
    #[case::no_url(link(r#"<http://[>; rel="next""#), 10, Gap::BadCursor)]
    #[case::a_next_after_nothing(link(r#"<https://h.example/x?last=a>; rel="next""#), 0, Gap::EmptyPage)]
    #[case::offset_headers(page("1", "", Some("1")), 1, Gap::ModeChanged)]
    fn a_keyset_page_that_cannot_be_is_refused(#[case] headers: HeaderMap, #[case] entries: usize, #[case] gap: Gap) {
        assert_eq!(Keyset::default().read(&headers, entries), Err(gap));
    }

    #[test]
    fn a_promised_page_that_is_empty_is_a_swallowed_error() {
        let mut keyset = Keyset::default();
        keyset.read(&link(r#"<https://h.example/x?last=a>; rel="next""#), 1000).unwrap();
        assert_eq!(keyset.read(&HeaderMap::new(), 0), Err(Gap::EmptyPage));
    }

    #[test]
    fn a_cursor_that_comes_back_is_refused_even_after_others() {
        let mut keyset = Keyset::default();
        for last in ["a", "b"] {
            keyset.read(&link(&format!(r#"<https://h.example/x?last={last}>; rel="next""#)), 10).unwrap();
        }
        let again = link(r#"<https://h.example/x?last=a>; rel="next""#);
        assert_eq!(keyset.read(&again, 10), Err(Gap::BadCursor));
    }

    fn names(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_list_is_sorted_byte_by_byte() {
        assert_eq!(sorted(names(&["b", "a", "B"])), Ok(names(&["B", "a", "b"])));
    }

    #[test]
    fn a_name_that_comes_twice_is_noticed() {
        assert_eq!(sorted(names(&["b", "a", "b"])), Err(Gap::Duplicate));
    }

    #[rstest]
    #[case::as_many_as_counted(2, Some(2), None)]
    #[case::one_more_was_pushed(3, Some(2), None)]
    #[case::no_count_to_compare_with(1, None, None)]
    #[case::nothing_there(0, Some(0), None)]
    #[case::more_than_the_count_goes(12_000, Some(10_000), None)]
    #[case::one_is_missing(2, Some(3), Some(Gap::FewerThanCounted { listed: 2, counted: 3 }))]
    #[case::all_are_missing(0, Some(3), Some(Gap::FewerThanCounted { listed: 0, counted: 3 }))]
    #[case::the_count_failed(1, Some(0), Some(Gap::CountFailed))]
    fn the_registrys_count_vouches_for_a_list(
        #[case] listed: usize,
        #[case] counted: Option<u64>,
        #[case] gap: Option<Gap>,
    ) {
        assert_eq!(agree(listed, counted).err(), gap);
    }
}
