//! RE2's refusals as E8 answers them (gitlab-api reference 1.4).

use serde_json::json;

use crate::shop::Shop;

#[tokio::test]
async fn every_refusal_has_the_words_of_re2() {
    let shop = Shop::open().await;
    for (pattern, text) in [
        ("(", "missing ): ("),
        ("[", "missing ]: ["),
        ("*", "no argument for repetition operator: *"),
        ("a**", "bad repetition operator: **"),
        ("(?=a)", "invalid perl operator: (?="),
        ("a\\Z", "invalid escape sequence: \\Z"),
        ("a{1001}", "invalid repetition size: {1001}"),
        (")", "unexpected ): )"),
        ("a\\", "trailing \\"),
        ("(?P<a)", "invalid named capture group: (?P<a)"),
    ] {
        for name in ["name_regex_delete", "name_regex", "name_regex_keep"] {
            let reply = shop.bulk(&json!({ name: pattern, "name_regex_delete": if name == "name_regex_delete" { pattern } else { "x" } })).await;
            reply.is_error(400, &format!("{name} is an invalid regexp: {text}"));
        }
    }
}

#[tokio::test]
async fn the_raw_pattern_is_checked_without_its_anchors() {
    let shop = Shop::open().await;
    // Anchored it would read `\A\Qa\z`, which is valid; raw it is valid, too.
    assert_eq!(shop.bulk(&json!({ "name_regex_delete": "\\Qa" })).await.status, 202);
}

#[tokio::test]
async fn a_keep_pattern_with_open_alternatives_keeps_too_much() {
    let shop = Shop::open().await;
    shop.push(&[("v1", 9), ("main", 9), ("domain", 9), ("xmainx", 9), ("xrelease", 9), ("other", 9)]);
    shop.bulk(&json!({ "name_regex_delete": ".*", "name_regex_keep": "v.+|main|release.*" })).await;
    shop.advance(60);
    assert_eq!(shop.tags(), ["domain", "main", "v1", "xmainx", "xrelease"]);
}
