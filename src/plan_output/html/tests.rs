//! What the report says and what it does not let in: its numbers are those of the JSON, and nothing from outside is
//! HTML.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine};
use regex::Regex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::tests::{GOES, LATEST, YOUNG, about, listing, newer, planned, repository, tag};
use super::super::{PlanHeader, Planned, Retain, State};
use super::*;
use crate::policy::in_use::tests::of_shop_web;
use crate::policy::limits::Exceeded;
use crate::policy::plan::{Decision, KeepReason, PlannedTag};
use crate::policy::tag::Moment;
use crate::policy::tag_protection::Claims;

fn with(repositories: Vec<Repository>) -> Listing {
    let mut all = Listing::new(about(&json!({})));
    for repository in repositories {
        all.add(repository, Retain::Everything);
    }
    all
}

fn of_tags(tags: Vec<PlannedTag>) -> Listing {
    with(vec![repository(7, "shop/api", State::Planned(planned(tags)))])
}

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).unwrap_or_else(|| panic!("{begin} in {text}")).1.split_once(end).unwrap().0
}

/// Text as a browser shows it.
fn shown(html: &str) -> String {
    let pairs = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
    ];
    let text = pairs.iter().fold(html.to_owned(), |text, (escaped, letter)| text.replace(escaped, letter));
    text.replace("&#38;", "&").replace("&amp;", "&")
}

/// What the page says of each tag: path, name, verdict, reason, in no order.
fn tags_of(page: &str) -> Vec<[String; 4]> {
    let mut found = Vec::new();
    for part in page.split("<details class=\"repository\"").skip(1) {
        let path = shown(between(part, "<h3 data-path>", "</h3>"));
        for table in part.split("<table data-verdict=\"").skip(1) {
            let (verdict, reason) = (table.split_once('"').unwrap().0, between(table, "data-reason=\"", "\""));
            for row in between(table, "<tbody>", "</tbody>").split("<tr><td>").skip(1) {
                let name = shown(row.split_once("<td>").unwrap().0);
                found.push([path.clone(), name, verdict.to_owned(), reason.to_owned()]);
            }
        }
    }
    found.sort();
    found
}

fn tags_of_json(shape: &Value) -> Vec<[String; 4]> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let repositories = shape["repositories"].as_array().unwrap().iter();
    let mut all: Vec<_> = repositories
        .flat_map(|one| one["tags"].as_array().unwrap().iter().map(move |tag| (one, tag)))
        .map(|(one, tag)| [&one["path"], &tag["name"], &tag["verdict"], &tag["reason"]].map(text))
        .collect();
    all.sort();
    all
}

#[test]
fn the_report_says_of_all_tags_what_the_json_says() {
    let mut read = vec![tag("t2", 20, GOES), tag("latest", 90, LATEST), tag("t10", 10, GOES), tag("t11", 3, YOUNG)];
    read[2].tag.bytes = None;
    let mut plan = planned(read);
    plan.tags.newer = vec![newer("t12", YOUNG)];
    let mut all = listing(about(&json!({})), Retain::Everything);
    all.add(repository(11, "shop/more", State::Planned(plan)), Retain::Everything);
    let (page, shape) = (page(&all).unwrap(), serde_json::to_value(&all).unwrap());
    assert_eq!(tags_of(&page), tags_of_json(&shape));
    assert_eq!(tags_of(&page).len(), 9);
    for total in ["remove", "keep", "bytes"] {
        let value = between(&page, &format!("<data id=\"{total}\" value=\""), "\"");
        assert_eq!(value, shape["totals"][total].to_string(), "{total}");
    }
    let paths: Vec<&str> = page.split("<h3 data-path>").skip(1).map(|rest| rest.split_once('<').unwrap().0).collect();
    assert_eq!(paths, ["shop/api", "shop/web", "shop/old", "shop/odd", "shop/more"]);
    assert!(page.contains(shape["planHash"].as_str().unwrap()));
    for note in shape["notes"].as_array().unwrap() {
        assert!(page.contains(note["message"].as_str().unwrap()), "{note}");
    }
}

#[test]
fn the_reasons_of_the_first_screen_and_of_the_rules_add_up_to_all_tags() {
    let mut all = listing(about(&json!({})), Retain::Everything);
    let mut plan = planned(vec![tag("t4", 2, YOUNG)]);
    plan.tags.newer = vec![newer("t12", YOUNG)];
    all.add(repository(11, "shop/more", State::Planned(plan)), Retain::Everything);
    let page = Page::new(&all);
    let reasons = page.reasons.iter().flat_map(|column| &column.reasons);
    assert_eq!(reasons.map(|reason| reason.count.value).sum::<u64>(), all.totals.scanned);
    let stays: Vec<(&str, u64)> = page.reasons[1].reasons.iter().map(|one| (one.name, one.count.value)).collect();
    assert_eq!(stays, [("TooYoung", 3), ("Latest", 1)], "the most first");
    assert_eq!((page.rules[0].remove.as_str(), page.rules[0].kept.as_str()), ("2", "3 TooYoung"));
    let sentence = page.rules[0].parts.iter().map(|part| format!("{}[{}]{}", part.words, part.code, part.end));
    assert_eq!(sentence.collect::<Vec<_>>().concat(), "Selects[t.*], once older than 7d[]; 1 stays[]: the newest[].");
}

#[test]
fn nothing_that_comes_from_outside_is_html() {
    let hostile = "</title></h3></style><script>alert(1)</script><img src=x onerror=\"a\">&amp;'`{{ 7 }}\u{202e}";
    let about = PlanHeader { policy: hostile.to_owned(), gitlab: hostile.to_owned(), ..about(&json!({})) };
    let mut all = Listing::new(about);
    all.about.rules[0].name = hostile.to_owned();
    all.about.rules[0].delete = hostile.to_owned();
    all.about.rules[0].keep = Some(hostile.to_owned());
    all.about.protect = vec![hostile.to_owned()];
    all.about.paused = Some(hostile.to_owned());
    let mut plan = planned(vec![tag("v1", 90, Verdict::Keep(KeepReason::InUse)), tag(hostile, 20, GOES)]);
    plan.remarks = vec![hostile.to_owned()];
    plan.claims = Claims::new(of_shop_web(&[("registry.example.com/shop/web:v1", hostile)]), [("v1", None)], false);
    all.add(repository(1, hostile, State::Planned(plan)), Retain::Everything);
    all.add(repository(2, "shop/a", State::Failed(hostile.to_owned())), Retain::Everything);
    all.add(repository(3, "shop/b", State::Skipped(hostile.to_owned())), Retain::Everything);
    let page = page(&all).unwrap();
    // The page's own script and style sheet, and no other; no attribute or entity but those of the template.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (1, 1));
    assert_eq!((page.matches("<style").count(), page.matches("</style").count()), (1, 1));
    assert_eq!(page.matches("<title>").count(), page.matches("</title>").count());
    assert!(!page.contains("<img") && !page.contains("onerror=\"") && !page.contains('\u{202e}'));
    assert!(!page.contains("&amp;'"), "an ampersand is escaped, too");
    let told = shown(&page).matches("<script>alert(1)</script>").count();
    assert!(told >= 12, "each of them is told, as text: {told}");
}

#[test]
fn the_style_sheet_and_the_script_are_those_that_the_policy_of_the_page_allows() {
    let page = crate::terminal::lines(&page(&of_tags(vec![tag("t1", 20, GOES)])).unwrap());
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let content = between(&page, &format!("<{element}>"), &format!("</{element}>"));
        let hash = BASE64_STANDARD.encode(Sha256::digest(content));
        assert_eq!(between(&page, &format!("{directive} '"), "'"), format!("sha256-{hash}"), "{element}");
    }
}

#[test]
fn the_page_asks_for_nothing_and_has_no_style_or_handler_that_its_policy_would_refuse() {
    let page = page(&listing(about(&json!({})), Retain::Everything)).unwrap();
    let asks =
        Regex::new(r"(?i)<link|\b(src|href|action|style|on[a-z]+)=|url\(|@import|fetch\(|XMLHttp|import\(").unwrap();
    assert_eq!(asks.find(&page).map(|found| found.as_str()), None);
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn ten_thousand_tags_with_names_of_commits_are_less_than_a_megabyte() {
    let verdicts = [GOES, YOUNG, Verdict::Keep(KeepReason::Protected)];
    let tags = (0_usize..10_000).map(|number| {
        let digest = Sha256::digest(number.to_be_bytes());
        let name = digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let mut tag = tag(&name, i64::try_from(number).unwrap() % 700, verdicts[number % 3]);
        tag.tag.bytes = Some(400 << 20);
        tag
    });
    let page = page(&of_tags(tags.collect())).unwrap();
    assert_eq!(tags_of(&page).len(), 10_000);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn a_limit_that_is_exceeded_is_told_first() {
    let mut all = listing(about(&json!({"limits": {"maxTagsPerRun": 1}})), Retain::Everything);
    let blown = Planned {
        exceeded: Some(Exceeded::PerRepository { tags: 1, limit: 0 }),
        ..*planned(vec![tag("t3", 20, GOES)])
    };
    all.add(repository(11, "shop/blown", State::Planned(Box::new(blown))), Retain::Everything);
    let page = Page::new(&all);
    assert_eq!(page.headline, "3 of 5 tags would go, more than a limit allows");
    assert_eq!((page.notes[0].class, page.notes[0].label), ("stop", "Problem"));
    let problems: Vec<&str> = page.repositories.iter().flat_map(|one| &one.problems).map(String::as_str).collect();
    assert_eq!(
        problems,
        [
            "A run would remove nothing here: 2 tags would go, limits.maxTagsPerRun allows 1.",
            "A run would remove nothing here: GitLab answered 502.",
            "A run would remove nothing here: 1 tags would go, limits.maxTagsPerRepository allows 0."
        ]
    );
}

#[test]
fn where_nothing_goes_the_report_says_so() {
    let page = Page::new(&of_tags(vec![tag("t1", 1, YOUNG)]));
    assert_eq!(page.headline, "Nothing would go");
    assert!(page.lead.contains("would remove none of the 1 tag in 1 repository."), "{}", page.lead);
    assert_eq!(page.reasons.len(), 1);
    let empty = Page::new(&Listing::new(about(&json!({}))));
    assert!(empty.shares.is_empty() && empty.reasons.is_empty() && empty.render().is_ok());
}

#[test]
fn a_size_that_was_not_read_is_not_told_as_nothing() {
    let mut goes = tag("t1", 20, GOES);
    goes.tag.bytes = None;
    assert_eq!(Page::new(&of_tags(vec![goes])).bytes.shown, "not known");
    assert_eq!(Page::new(&of_tags(vec![tag("t1", 20, GOES)])).bytes.shown, "1.0 MiB");
}

#[test]
fn who_uses_an_image_stands_beside_its_tag() {
    let mut plan = planned(vec![tag("v1", 90, Verdict::Keep(KeepReason::InUse)), tag("t1", 90, GOES)]);
    let used = of_shop_web(&[("registry.example.com/shop/web:v1", "prod/Deployment/web")]);
    plan.claims = Claims::new(used, [("v1", None), ("t1", None)], false);
    let page = page(&with(vec![repository(7, "shop/web", State::Planned(plan))])).unwrap();
    assert!(page.contains("<tr><td>v1<td>90d<td>1.0 MiB<td>prod/Deployment/web"), "{page}");
    assert_eq!(page.matches("Used by").count(), 1, "only where somebody does");
}

/// The numbers that the titles of a chart's columns begin with, those above its line and those below.
fn drawn(view: &RepositoryView) -> (u32, u32) {
    let chart = view.chart.as_ref().unwrap();
    let axis: f64 = chart.axis.parse().unwrap();
    chart.columns.iter().fold((0, 0), |(above, below), column| {
        let count: u32 = column.title.split_once(' ').unwrap().0.parse().unwrap();
        let (y, height): (f64, f64) = (column.y.parse().unwrap(), column.height.parse().unwrap());
        assert!(y >= 0.0 && y + height <= chart.height.parse().unwrap(), "it is drawn outside: {}", column.title);
        if y < axis { (above + count, below) } else { (above, below + count) }
    })
}

#[test]
fn a_chart_draws_every_tag_with_a_date_once_and_says_how_many_have_none() {
    let mut tags: Vec<PlannedTag> =
        (0..200).map(|day| tag(&format!("t{day}"), day, if day < 50 { YOUNG } else { GOES })).collect();
    tags[199].tag.pushed = Moment::Unknown;
    let mut plan = planned(tags);
    plan.tags.newer = vec![newer("t900", YOUNG), newer("t901", YOUNG)];
    let page = Page::new(&with(vec![repository(7, "shop/api", State::Planned(plan))]));
    let view = &page.repositories[0];
    assert_eq!(drawn(view), (50, 149));
    let chart = view.chart.as_ref().unwrap();
    assert_eq!(chart.label, "Tags by age: 149 would go, 50d to 198d old. 50 would stay, 0s to 49d old.");
    for said in [" Not drawn: 2 younger,", " Not drawn: 1 without a date"] {
        assert!(chart.caption.contains(said), "{}", chart.caption);
    }
    let ticks: Vec<&str> = chart.ticks.iter().map(|tick| tick.text).collect();
    assert_eq!(ticks, ["1 day", "1 week", "1 month", "3 months", "now"]);
    let columns: BTreeSet<&str> = chart.columns.iter().map(|column| column.x.as_str()).collect();
    assert!(columns.len() > 20, "{columns:?}");
}

#[test]
fn without_dates_there_is_no_chart() {
    let mut undated = tag("t1", 1, YOUNG);
    undated.tag.pushed = Moment::Unknown;
    let page = Page::new(&of_tags(vec![undated]));
    assert!(page.repositories[0].chart.is_none());
    assert_eq!(drawn(&Page::new(&of_tags(vec![tag("t1", 0, YOUNG)])).repositories[0]), (1, 0));
}

#[test]
fn the_parts_of_a_bar_come_to_the_whole() {
    let verdicts = [GOES, GOES, YOUNG, LATEST, YOUNG, YOUNG, Verdict::Keep(KeepReason::InUse)];
    let parts = shares(verdicts);
    let titles: Vec<&str> = parts.iter().map(|part| part.title.as_str()).collect();
    assert_eq!(titles, ["2 would go", "1 in use", "1 protected", "3 recent"]);
    let sum: f64 = parts.iter().map(|part| part.width.parse::<f64>().unwrap()).sum();
    assert!((99.9..=100.0).contains(&sum), "{sum}");
    assert_eq!((parts[0].x.as_str(), parts[1].x.as_str(), parts[0].width.as_str()), ("0.00", "28.57", "28.57"));
    assert!(shares([]).is_empty());
}

#[test]
fn rules_and_protections_are_told_as_they_are_written_each_with_what_it_decided() {
    let rules = json!([
        {"name": "old", "nameRegexDelete": "t.*", "nameRegexKeep": "t-keep", "olderThan": "7d", "keepN": 0},
        {"name": "rest", "nameRegexDelete": "r.*", "olderThan": "1d"},
    ]);
    let mut all = Listing::new(about(&json!({"rules": rules, "protect": {"nameRegex": ["main", "v.*"]}})));
    let mut by_the_rest = tag("r1", 20, GOES);
    by_the_rest.decision = Decision::new(GOES, Some(1));
    let tags = vec![tag("t1", 20, GOES), tag("t2", 20, GOES), by_the_rest];
    all.add(repository(7, "shop/api", State::Planned(planned(tags))), Retain::Everything);
    let page = Page::new(&all);
    let removed: Vec<(&str, &str)> = page.rules.iter().map(|rule| (&*rule.name, &*rule.remove)).collect();
    assert_eq!(removed, [("old", "2"), ("rest", "1")]);
    let sentence = page.rules[0].parts.iter().map(|part| format!("{}[{}]{}", part.words, part.code, part.end));
    assert_eq!(sentence.collect::<String>(), "Selects[t.*], but not[t-keep], once older than 7d[].");
    let [protection] = &page.protections[..] else { panic!("one sentence") };
    assert!(protection.words.ends_with("nor what protect.nameRegex matches:"), "{}", protection.words);
    assert_eq!(protection.codes, ["main", "v.*"]);
    assert!(page.lead.ends_with("Its mode is Delete: what a run removes does not come back."), "{}", page.lead);
}

#[test]
fn what_is_long_is_folded_and_the_oldest_tags_stand_first() {
    let goes = |number: i64| (0..number).map(|day| tag(&format!("t{day}"), 20 + day, GOES)).collect::<Vec<_>>();
    let view = |number: i64| RepositoryView::new(&of_tags(goes(number)), &of_tags(goes(number)).repositories[0], true);
    assert_eq!((view(25).groups[0].open, view(26).groups[0].open), (true, false));
    let rows: Vec<String> = view(3).groups.remove(0).rows.into_iter().map(|row| row.name).collect();
    assert_eq!(rows, ["t2", "t1", "t0"]);

    let opened = |repositories: u64| -> Vec<bool> {
        let verdict = |id: u64| if id == 2 { GOES } else { YOUNG };
        let one = |id| repository(id, &format!("shop/{id}"), State::Planned(planned(vec![tag("t1", 20, verdict(id))])));
        Page::new(&with((1..=repositories).map(one).collect())).repositories.iter().map(|one| one.open).collect()
    };
    assert_eq!(opened(3), [true, true, true]);
    assert_eq!(opened(4), [false, true, false, false]);
}

#[test]
fn the_columns_of_a_chart_reach_from_now_to_the_oldest_tag() {
    let page = Page::new(&of_tags(vec![tag("t1", 100, GOES), tag("t2", 0, YOUNG)]));
    let titles: Vec<&str> =
        page.repositories[0].chart.as_ref().unwrap().columns.iter().map(|column| column.title.as_str()).collect();
    assert!(titles[0].starts_with("1 recent, 0s to ") && titles[1].ends_with(" to 102d old"), "{titles:?}");
}
