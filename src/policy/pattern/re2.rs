//! Where RE2 and the syntax that is parsed here part: what only one of them takes, or both take and read differently.

use regex_syntax::ast::{self, Ast, ClassSetItem, Flag, FlagsItemKind, HexLiteralKind, LiteralKind, RepetitionRange};

use super::error::PatternError;

/// RE2 refuses to repeat more often than this, nested repetitions multiplied.
const MAX_REPETITION: u32 = 1000;

/// Refuses what RE2 does not accept, or reads in another way.
pub(super) fn check(ast: &Ast) -> Result<(), PatternError> {
    ast::visit(ast, Re2Check { left: vec![MAX_REPETITION] })
}

/// How often may still be repeated, for each repetition around the place that is visited.
struct Re2Check {
    left: Vec<u32>,
}

impl ast::Visitor for Re2Check {
    type Output = ();
    type Err = PatternError;

    fn finish(self) -> Result<(), PatternError> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        match ast {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => match &group.kind {
                ast::GroupKind::NonCapturing(set) => flags(set),
                _ => Ok(()),
            },
            Ast::Assertion(assertion) => assertion_kind(&assertion.kind),
            Ast::Literal(literal) => escape(&literal.kind),
            Ast::Repetition(repetition) => self.repeat(repetition),
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), PatternError> {
        if matches!(ast, Ast::Repetition(_)) {
            self.left.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), PatternError> {
        match item {
            ClassSetItem::Bracketed(_) => {
                Err(PatternError::DiffersFromRe2("write \\[ for a bracket inside a character class"))
            }
            ClassSetItem::Literal(literal) => escape(&literal.kind),
            ClassSetItem::Range(range) => escape(&range.start.kind).and_then(|()| escape(&range.end.kind)),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), PatternError> {
        Err(PatternError::DiffersFromRe2("&&, -- and ~~ inside a character class mean something else to RE2"))
    }
}

fn flags(set: &ast::Flags) -> Result<(), PatternError> {
    let known = set.items.iter().all(|item| match &item.kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => {
            matches!(flag, Flag::CaseInsensitive | Flag::MultiLine | Flag::DotMatchesNewLine | Flag::SwapGreed)
        }
    });
    if known { Ok(()) } else { Err(PatternError::DiffersFromRe2("RE2 knows the flags i, m, s and U only")) }
}

fn assertion_kind(kind: &ast::AssertionKind) -> Result<(), PatternError> {
    use ast::AssertionKind as K;
    match kind {
        K::StartLine | K::EndLine | K::StartText | K::EndText | K::WordBoundary | K::NotWordBoundary => Ok(()),
        _ => Err(PatternError::DiffersFromRe2("RE2 knows the word boundaries \\b and \\B only")),
    }
}

fn escape(kind: &LiteralKind) -> Result<(), PatternError> {
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => Ok(()),
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => {
            Err(PatternError::DiffersFromRe2("write \\x{…} for a character by its number"))
        }
        _ => Ok(()),
    }
}

impl Re2Check {
    fn repeat(&mut self, repetition: &ast::Repetition) -> Result<(), PatternError> {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err(PatternError::DiffersFromRe2("RE2 refuses two repetitions in a row, such as a** or a++"));
        }
        let most = match &repetition.op.kind {
            ast::RepetitionKind::Range(
                RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n) | RepetitionRange::Bounded(_, n),
            ) => *n,
            _ => 1,
        };
        // As RE2 counts (RepetitionWalker in parse.cc): https://github.com/google/re2/blob/main/re2/parse.cc
        let around = self.left.last().copied().unwrap_or(MAX_REPETITION);
        let left = around / most.max(1);
        if left == 0 {
            return Err(PatternError::DiffersFromRe2(
                "RE2 repeats at most 1000 times, repetitions inside of each other multiplied",
            ));
        }
        self.left.push(left);
        Ok(())
    }
}
