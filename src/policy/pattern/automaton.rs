//! A pattern as automata that read bytes, and what matching by them takes.
//!
//! Names of tags are ASCII by the [OCI distribution specification][oci], paths by [GitLab's rules][paths], and RE2's
//! `\w \d \s \b` mean ASCII. So a pattern is compiled for bytes, without Unicode, which is smaller by some hundred
//! times: `\w` is 63 characters instead of 140,000. Only the parts that name other characters (`\p{L}`, `ü`) are read
//! as Unicode.
//!
//! Whether a name matches is asked of a lazy DFA, which makes its states while it reads and forgets them when they grow
//! too many. Those states are kept beside the pattern, in a [`Scratch`] that is not cloned with it: compiled policies
//! are remembered as long as they exist, states as long as the run that made them.
//!
//! [oci]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
//! [paths]: https://docs.gitlab.com/user/reserved_names/#rules-for-usernames-project-and-group-names-and-slugs

use std::mem::size_of;
use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::ast::{self, Ast, ClassSet, ClassSetItem, Flag, FlagsItem, FlagsItemKind, GroupKind};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, Look};

use super::error::{MAX_PATTERN_BYTES, PatternError};
use super::names::{self, MOST_PLACES, Names};

/// What the lazy DFA may take beyond the least that it works with, in bytes. More makes no pattern of the benchmarks
/// faster.
const LAZY_STATES: usize = 32 << 10;
/// What remembering the visited places may take while a capture group is looked for, in bytes: enough for the largest
/// pattern and the longest name.
const VISITED: usize = 64 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Automaton {
    dfa: DFA,
    /// Where capture groups are asked for: the lazy DFA knows none.
    capturing: Option<BoundedBacktracker>,
    groups: usize,
}

/// What matching by one clone of a pattern has made so far.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    dfa: Mutex<Option<Box<Cache>>>,
    capturing: Mutex<Option<Box<backtrack::Cache>>>,
}

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
impl Scratch {
    pub(super) fn is_used(&self) -> bool {
        self.dfa.lock().unwrap().is_some() || self.capturing.lock().unwrap().is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        self.dfa.lock().unwrap().as_ref().map_or(0, |cache| cache.memory_usage())
    }
}

impl Automaton {
    pub(super) fn compile(source: &str, ast: Ast, captures: bool) -> Result<Self, PatternError> {
        let (whole, groups) = whole(source, ast)?;
        let dfa = lazy_dfa(nfa(&whole, WhichCaptures::None)?)?;
        let capturing = if captures { Some(backtracker(nfa(&whole, WhichCaptures::All)?)?) } else { None };
        let automaton = Self { dfa, capturing, groups };
        if automaton.bytes() > MAX_PATTERN_BYTES { Err(PatternError::TooLarge) } else { Ok(automaton) }
    }

    pub(super) fn matches(&self, name: &str, scratch: &Scratch) -> bool {
        let kept = scratch.dfa.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut cache = kept.unwrap_or_else(|| Box::new(self.dfa.create_cache()));
        let input = Input::new(name).anchored(Anchored::Yes).earliest(true);
        let found = self.dfa.try_search_fwd(&mut cache, &input);
        *scratch.dfa.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache);
        match found {
            Ok(end) => end.is_some(),
            // It gives up only where it is told to, which it is not. Should it all the same: slowly, then.
            Err(_) => self.slowly(name),
        }
    }

    fn slowly(&self, name: &str) -> bool {
        PikeVM::new_from_nfa(self.dfa.get_nfa().clone()).is_ok_and(|vm| vm.is_match(&mut vm.create_cache(), name))
    }

    pub(super) fn captured<'n>(&self, name: &'n str, scratch: &Scratch) -> Option<&'n str> {
        let capturing = self.capturing.as_ref()?;
        let mut captures = capturing.create_captures();
        let kept = scratch.capturing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut cache = kept.unwrap_or_else(|| Box::new(capturing.create_cache()));
        let found = capturing.try_captures(&mut cache, name, &mut captures);
        *scratch.capturing.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache);
        if found.is_err() {
            // The name is longer than any tag's.
            let vm = PikeVM::new_from_nfa(capturing.get_nfa().clone()).ok()?;
            vm.captures(&mut vm.create_cache(), name, &mut captures);
        }
        let group = captures.get_group(1)?;
        name.get(group.start..group.end)
    }

    /// Whether the pattern matches any of these names.
    pub(super) fn can_match(&self, names: Names<'_>) -> bool {
        names::meets(self.dfa.get_nfa(), names, &mut { MOST_PLACES })
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn bytes(&self) -> usize {
        let heap = |nfa: &NFA| nfa.memory_usage();
        let capturing = self.capturing.as_ref().map_or(0, |engine| heap(engine.get_nfa()));
        size_of::<Self>() + heap(self.dfa.get_nfa()) + capturing
    }
}

/// A pattern that matches whole names, and how many groups it has.
fn whole(source: &str, mut ast: Ast) -> Result<(Hir, usize), PatternError> {
    read_as_unicode_where_needed(&mut ast);
    let read = TranslatorBuilder::new().unicode(false).utf8(false).build().translate(source, &ast);
    let pattern = read.map_err(|error| PatternError::Invalid(error.kind().to_string()))?;
    let groups = pattern.properties().explicit_captures_len();
    Ok((Hir::concat(vec![Hir::look(Look::Start), pattern, Hir::look(Look::End)]), groups))
}

/// The first alternative of a pattern that matches none of these names, whatever the others do.
pub(super) fn dead_part<'s>(source: &'s str, ast: &Ast, names: Names<'_>) -> Option<&'s str> {
    let mut left = MOST_PLACES;
    // What cannot be compiled by itself may match.
    let mut dead = |alone| {
        whole(source, alone)
            .and_then(|(whole, _)| nfa(&whole, WhichCaptures::None))
            .is_ok_and(|nfa| !names::meets(&nfa, names, &mut left))
    };
    let (span, _) = names::alternatives(ast).into_iter().find(|(_, alone)| dead(alone.clone()))?;
    source.get(span.start.offset..span.end.offset)
}

fn nfa(pattern: &Hir, captures: WhichCaptures) -> Result<NFA, PatternError> {
    let config = thompson::Config::new()
        .utf8(false)
        .shrink(false)
        .nfa_size_limit(Some(MAX_PATTERN_BYTES))
        .which_captures(captures);
    // Nothing but its size is wrong with what was parsed and translated.
    thompson::Compiler::new().configure(config).build_from_hir(pattern).map_err(|_| PatternError::TooLarge)
}

fn lazy_dfa(nfa: NFA) -> Result<DFA, PatternError> {
    let least = DFA::config().get_minimum_cache_capacity(&nfa).map_err(|_| PatternError::TooLarge)?;
    let config = DFA::config().cache_capacity(least + LAZY_STATES);
    DFA::builder().configure(config).build_from_nfa(nfa).map_err(|_| PatternError::TooLarge)
}

fn backtracker(nfa: NFA) -> Result<BoundedBacktracker, PatternError> {
    let config = BoundedBacktracker::config().visited_capacity(VISITED);
    BoundedBacktracker::builder().configure(config).build_from_nfa(nfa).map_err(|_| PatternError::TooLarge)
}

/// Puts whatever names characters beyond ASCII into a group `(?u:…)`.
fn read_as_unicode_where_needed(ast: &mut Ast) {
    match ast {
        Ast::Literal(literal) if !literal.c.is_ascii() => wrap(ast),
        Ast::ClassUnicode(_) => wrap(ast),
        Ast::ClassBracketed(class) if names_unicode(&class.kind) => wrap(ast),
        Ast::Repetition(repetition) => read_as_unicode_where_needed(&mut repetition.ast),
        Ast::Group(group) => read_as_unicode_where_needed(&mut group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter_mut().for_each(read_as_unicode_where_needed),
        Ast::Concat(concat) => concat.asts.iter_mut().for_each(read_as_unicode_where_needed),
        _ => {}
    }
}

fn names_unicode(class: &ClassSet) -> bool {
    fn item(it: &ClassSetItem) -> bool {
        match it {
            ClassSetItem::Unicode(_) => true,
            ClassSetItem::Literal(literal) => !literal.c.is_ascii(),
            ClassSetItem::Range(range) => !range.start.c.is_ascii() || !range.end.c.is_ascii(),
            ClassSetItem::Bracketed(class) => names_unicode(&class.kind),
            ClassSetItem::Union(union) => union.items.iter().any(item),
            ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => false,
        }
    }
    match class {
        ClassSet::Item(it) => item(it),
        ClassSet::BinaryOp(both) => names_unicode(&both.lhs) || names_unicode(&both.rhs),
    }
}

fn wrap(ast: &mut Ast) {
    let span = *ast.span();
    let unicode = FlagsItem { span, kind: FlagsItemKind::Flag(Flag::Unicode) };
    let kind = GroupKind::NonCapturing(ast::Flags { span, items: vec![unicode] });
    let inner = std::mem::replace(ast, Ast::empty(span));
    *ast = Ast::group(ast::Group { span, kind, ast: Box::new(inner) });
}
