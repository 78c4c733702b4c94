//! Finds which files import which, and the circles among them.
//!
//! A file imports another when it names something that is defined there: in a `use`, or by a path in its code, macros
//! and attributes. A name is followed through re-exports (`pub use`) to the file that defines it, so importing through
//! a `mod.rs` is importing from the file behind it. What a `mod.rs` re-exports without using it counts for nothing, nor
//! do comments, strings, and items behind `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// A path of modules and names from the root of the crate, or as it is written.
type Names = Vec<String>;

/// The files of a crate, by their modules.
pub(super) struct Crate {
    files: BTreeMap<Names, File>,
}

#[derive(Default)]
struct File {
    /// As it is shown: `policy/plan/mod.rs`.
    name: String,
    /// What each name of a `use` stands for, from the root of the crate.
    imported: BTreeMap<String, Names>,
    /// Those of them that others may import from here.
    exported: BTreeSet<String>,
    /// Paths in the code, as they are written.
    paths: Vec<Names>,
}

impl Crate {
    /// Reads files, each a path below `src` and its text.
    pub(super) fn parse<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let sources: Vec<_> = sources.into_iter().map(|(name, text)| (module(name), name, text)).collect();
        let modules: BTreeSet<Names> = sources.iter().map(|(module, ..)| module.clone()).collect();
        let files = sources.into_iter().map(|(module, name, text)| {
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut file = File { name: name.to_owned(), ..File::default() };
            for item in parsed.items.iter().filter(|item| !only_for_tests(item)) {
                file.read(item.to_token_stream(), &module, &modules);
            }
            (module, file)
        });
        Self { files: files.collect() }
    }

    /// The files that each file imports.
    pub(super) fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let of_file = |(module, file): (&Names, &'_ File)| -> BTreeSet<&str> {
            // A `mod.rs` may be the facade of its folder; any other file knows what it re-exports.
            let facade = file.name.ends_with("mod.rs") || file.name.ends_with("lib.rs");
            let used = file.imported.iter().filter(|(name, _)| !facade || !file.exported.contains(*name));
            let used = used.map(|(_, path)| path.clone());
            let named = file.paths.iter().filter_map(|path| self.rooted(path, module, file));
            used.chain(named).filter_map(|path| self.definer(&path, 0)).filter(|other| *other != file.name).collect()
        };
        self.files.iter().map(|entry| (entry.1.name.as_str(), of_file(entry))).collect()
    }

    /// Groups of files each of which reaches all others of its group by imports.
    pub(super) fn circles(&self) -> BTreeSet<BTreeSet<&str>> {
        let imports = self.imports();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            imports.keys().map(|file| (*file, reachable(file, &imports))).collect();
        let circle = |(file, far): (&&str, &BTreeSet<&'_ str>)| -> BTreeSet<String> {
            far.iter().filter(|other| reached[**other].contains(*file)).map(|other| (*other).to_owned()).collect()
        };
        let names: BTreeSet<BTreeSet<String>> = reached.iter().map(circle).filter(|group| group.len() > 1).collect();
        let known = |name: &String| *imports.get_key_value(name.as_str()).unwrap().0;
        names.iter().map(|group| group.iter().map(known).collect()).collect()
    }

    /// The path from the root of the crate, if its first name is one of this crate's.
    fn rooted(&self, path: &[String], module: &Names, file: &File) -> Option<Names> {
        let first = path.first()?;
        if let Some(imported) = file.imported.get(first) {
            return Some([imported.as_slice(), &path[1..]].concat());
        }
        absolute(path, module, |module| self.files.contains_key(module))
    }

    /// The file that defines what a path leads to.
    fn definer(&self, path: &[String], followed: usize) -> Option<&str> {
        let (length, file) =
            (0..=path.len()).rev().find_map(|length| Some((length, self.files.get(&path[..length])?)))?;
        let re_export = path.get(length).filter(|name| file.exported.contains(*name));
        match re_export.and_then(|name| file.imported.get(name)) {
            Some(target) if followed < 9 => self.definer(&[target, &path[length + 1..]].concat(), followed + 1),
            _ => Some(&file.name),
        }
    }
}

impl File {
    /// Collects the imports and paths of some code.
    fn read(&mut self, code: TokenStream, module: &Names, modules: &BTreeSet<Names>) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..tokens.len()).find(|end| is(&tokens[*end], ';')).unwrap_or(at);
                    let start = at - visibility(&tokens[..at]);
                    match syn::parse2::<ItemUse>(tokens[start..=end].iter().cloned().collect()) {
                        Ok(import) => self.import(&import, module, modules),
                        // `impl Trait + use<'a>` is no import.
                        Err(_) => assert!(is(&tokens[at + 1], '<'), "{}: a use that is no import", self.name),
                    }
                    at = end.max(at);
                }
                TokenTree::Ident(_) => {
                    let member = at > 0 && (is(&tokens[at - 1], '.') || tokens[at - 1].to_string() == "fn");
                    let (path, next) = path_at(&tokens, at);
                    let called = tokens.get(next).is_some_and(|after| {
                        is(after, '!')
                            || matches!(after, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
                    });
                    let names_item = path.len() > 1 || called || path[0].starts_with(char::is_uppercase);
                    if names_item && !member {
                        self.paths.push(path);
                    }
                    at = next - 1;
                }
                TokenTree::Group(group) => self.read(group.stream(), module, modules),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    fn import(&mut self, import: &ItemUse, module: &Names, modules: &BTreeSet<Names>) {
        let mut leaves = Vec::new();
        expand(&import.tree, &mut Vec::new(), &mut leaves);
        for (name, path) in leaves {
            if let Some(path) = absolute(&path, module, |module| modules.contains(module)) {
                // All that is imported by `*` shares a name with nothing else.
                let name = if name == "*" { path.join("::") + "::*" } else { name };
                if !matches!(import.vis, Visibility::Inherited) {
                    self.exported.insert(name.clone());
                }
                self.imported.insert(name, path);
            }
        }
    }
}

/// The module of a file.
fn module(file: &str) -> Names {
    let mut names: Names = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
        names.pop();
    }
    names
}

/// A path from the root of the crate, unless it leads out of the crate.
fn absolute(path: &[String], module: &Names, exists: impl Fn(&Names) -> bool) -> Option<Names> {
    let (mut base, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module.clone(), path),
        first => {
            let child = [module.as_slice(), &[first.to_owned()]].concat();
            return exists(&child).then(|| [module.as_slice(), path].concat());
        }
    };
    while rest.first().is_some_and(|name| name == "super") {
        base.pop();
        rest = &rest[1..];
    }
    Some([base.as_slice(), rest].concat())
}

/// The imports of one tree: the name in this file, and the path as it is written.
fn expand(tree: &UseTree, before: &mut Names, leaves: &mut Vec<(String, Names)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            expand(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.last().cloned().unwrap_or_default(), before.clone()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push((name.clone(), [before.as_slice(), &[name]].concat()));
        }
        UseTree::Rename(rename) => {
            let path = [before.as_slice(), &[rename.ident.to_string()]].concat();
            leaves.push((rename.rename.to_string(), path));
        }
        UseTree::Glob(_) => leaves.push(("*".to_owned(), before.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| expand(tree, before, leaves)),
    }
}

/// The path that begins at a token, and the index of the token after it.
fn path_at(tokens: &[TokenTree], start: usize) -> (Names, usize) {
    let mut names = vec![tokens[start].to_string()];
    let mut at = start + 1;
    while let [colon, second, TokenTree::Ident(name), ..] = &tokens[at..] {
        if !is(colon, ':') || !is(second, ':') {
            break;
        }
        names.push(name.to_string());
        at += 3;
    }
    (names, at)
}

/// How many tokens at the end are a visibility: `pub`, or `pub(super)`.
fn visibility(tokens: &[TokenTree]) -> usize {
    match tokens {
        [.., TokenTree::Ident(word)] if word == "pub" => 1,
        [.., TokenTree::Ident(word), TokenTree::Group(_)] if word == "pub" => 2,
        _ => 0,
    }
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn only_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().replace(' ', "") == "#[cfg(test)]")
}

fn reachable<'a>(from: &'a str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(imports[file].iter().filter(|next| found.insert(**next)));
    }
    found
}
