//! Files import each other without circles, except for those that are listed here.

use std::collections::BTreeSet;

use rstest::rstest;

use super::imports::Crate;
use super::{all_sources, is_test};

/// The circles that are left. This list only ever gets shorter: nothing may be added to it, and what has been opened or
/// has become smaller must be changed here as well.
const KNOWN: &[&[&str]] = &[];

#[test]
fn files_import_each_other_without_circles() {
    let sources = all_sources();
    let sources = sources.iter().filter(|(name, _)| name != "main.rs" && !is_test(name));
    let files = Crate::parse(sources.map(|(name, text)| (name.as_str(), text.as_str())));
    let imports = files.imports();
    let known: BTreeSet<BTreeSet<&str>> = KNOWN.iter().map(|circle| circle.iter().copied().collect()).collect();
    let found = files.circles();

    let mut differences = Vec::new();
    for circle in found.difference(&known) {
        differences.push(format!("a circle that is not on the list: {circle:?}"));
        for file in circle {
            let others: Vec<_> = imports[file].intersection(circle).collect();
            differences.push(format!("  {file} imports {others:?}"));
        }
    }
    for circle in known.difference(&found) {
        differences.push(format!("a circle on the list that is no longer there: {circle:?}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// `b.rs` imports `a.rs`; whether the code in `a.rs` imports `b.rs`.
#[rstest]
#[case::a_use("use crate::b::B;", true)]
#[case::a_use_of_the_module("use crate::b;", true)]
#[case::a_tree("use crate::{c::C, b::{self, B as Other}};", true)]
#[case::everything("use crate::b::*;", true)]
#[case::a_sibling("use super::b::B;", true)]
#[case::a_path_in_code("fn f() { crate::b::f(); }", true)]
#[case::a_path_in_a_type("fn f(_: &[super::b::B]) {}", true)]
#[case::a_path_in_a_macro("fn f() { println!(\"{}\", crate::b::N); }", true)]
#[case::a_path_in_a_pattern("fn f(x: u8) { if let crate::b::N = x {} }", true)]
#[case::an_attribute("#[derive(crate::b::Derived)] struct A;", true)]
#[case::a_use_in_a_function("fn f() { use crate::b::B; }", true)]
#[case::a_use_in_an_inner_module("mod inner { use crate::b::B; }", true)]
#[case::a_path_from_a_module_that_was_imported("use crate::folder; fn f() { folder::b(); }", true)]
#[case::a_re_export("use crate::folder::Renamed;", true)]
#[case::a_re_export_of_a_re_export("use crate::folder::Twice;", true)]
#[case::a_re_export_of_its_own("pub use crate::b::B;", true)]
#[case::another_name_of_the_same_folder("use crate::folder::C;", false)]
#[case::another_file("use crate::c::C;", false)]
#[case::another_crate("use b::B;", false)]
#[case::a_comment("// crate::b\n/// [`crate::b::B`]\nfn f() {}", false)]
#[case::a_text("const N: &str = \"crate::b\";", false)]
#[case::a_captured_lifetime("fn f<'a>(b: &'a u8) -> impl Sized + use<'a> { b }", false)]
#[case::tests("#[cfg(test)]\nmod tests { use crate::b::B; }", false)]
fn an_import_is_found_however_it_is_written(#[case] code: &str, #[case] circle: bool) {
    let files = Crate::parse([
        ("lib.rs", "mod a; mod b; mod c; mod folder;"),
        ("a.rs", code),
        ("b.rs", "use crate::a::A;"),
        ("c.rs", "pub struct C;"),
        ("folder/mod.rs", "pub use crate::b::{B as Renamed, f as b}; pub use crate::c::C; pub use inner::Twice;"),
        ("folder/inner.rs", "pub use super::Renamed as Twice;"),
    ]);
    let with_both = files.circles().into_iter().find(|found| found.contains("a.rs") && found.contains("b.rs"));
    assert_eq!(with_both.is_some(), circle, "{:?}", files.imports());
}

#[test]
fn a_module_that_uses_what_it_re_exports_imports_it() {
    let circles = |code: &str| {
        let text = format!("mod inner;\npub use inner::Thing;\n{code}");
        let inner = "use super::Other;\npub struct Thing;";
        Crate::parse([("folder/mod.rs", text.as_str()), ("folder/inner.rs", inner)]).circles().len()
    };
    assert_eq!(circles("pub struct Other;"), 0);
    assert_eq!(circles("pub struct Other(Thing);"), 1);
}
