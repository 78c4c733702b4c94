//! What a text may mean that is no image reference: `registry.example.com/shop/api:${TAG}`, `${REGISTRY}/api`,
//! `https://registry.example.com/shop/api`. Somebody or something is to make an image of it, and until then every
//! repository that could come of it counts as in use, and no other.
//!
//! The text is taken apart into what stands there and holes, which may become anything: placeholders of every kind, and
//! characters that no reference has. Upper and lower case make no difference, a scheme in front and white space around
//! are left out. Whatever is put into the holes, if a reference comes of it, [`Template::may_name`] its repository.

use crate::policy::image::ALGORITHMS;

/// What a text may become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Piece {
    /// This character, in lower case.
    Is(char),
    /// Any text, or none.
    Hole,
}

/// What encloses a placeholder, slashes included: `${…}`, `$(…)`, `{{ … }}`, `<…>`, `((…))`, `[…]`.
const BRACKETS: [(char, char); 4] = [('{', '}'), ('(', ')'), ('<', '>'), ('[', ']')];

impl Template {
    pub(super) fn of(text: &str) -> Self {
        let text = without_scheme(text.trim()).to_lowercase();
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let (piece, length) = match placeholder(rest) {
                Some(length) => (Piece::Hole, length),
                None if rest.starts_with("://") => (Piece::Hole, 3),
                // The dot at the end of a host, which DNS knows and references do not.
                None if rest.starts_with("./") || rest.starts_with(".:") => (Piece::Hole, 1),
                None if stands_in_references(first) => (Piece::Is(first), first.len_utf8()),
                None => (Piece::Hole, first.len_utf8()),
            };
            if piece != Piece::Hole || pieces.last() != Some(&Piece::Hole) {
                pieces.push(piece);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Self { pieces }
    }

    /// Whether it may become a reference to an image of the repository with this name, `host/path` in lower case.
    pub(super) fn may_name(&self, name: &str) -> bool {
        let ends = |reached: &[usize]| reached.iter().any(|at| self.is_tag_and_digest(*at));
        self.reached(name).is_some_and(|reached| ends(&reached))
    }

    /// Whether it may become a text that begins like this, in lower case.
    pub(super) fn may_begin(&self, beginning: &str) -> bool {
        self.reached(beginning).is_some()
    }

    /// Whether a reference may come of it at all, to whichever repository: a path, after a host if there is one, before
    /// a tag and a digest if there are any.
    pub(super) fn is_plausible(&self) -> bool {
        let mut shapes = vec![Shape::Begin];
        for piece in &self.pieces {
            let mut next: Vec<Shape> = shapes.iter().flat_map(|shape| shape.after(*piece)).copied().collect();
            next.sort_unstable();
            next.dedup();
            shapes = next;
        }
        shapes.iter().any(|shape| !matches!(shape, Shape::Begin | Shape::Slash))
    }

    /// The pieces that may come next after this text, by number; `None`, if it cannot become a text that begins with
    /// it.
    fn reached(&self, text: &str) -> Option<Vec<usize>> {
        let mut reached = vec![0];
        self.pass_holes(&mut reached);
        for c in text.chars() {
            let mut next: Vec<usize> = reached
                .iter()
                .filter_map(|at| match self.pieces.get(*at)? {
                    Piece::Is(expected) => (*expected == c).then_some(at + 1),
                    Piece::Hole => Some(*at),
                })
                .collect();
            self.pass_holes(&mut next);
            if next.is_empty() {
                return None;
            }
            reached = next;
        }
        Some(reached)
    }

    /// A hole may be nothing: what comes after it may come next as well.
    fn pass_holes(&self, reached: &mut Vec<usize>) {
        let is_hole = |at: &&usize| self.pieces.get(**at) == Some(&Piece::Hole);
        let after: Vec<usize> = reached.iter().filter(is_hole).map(|at| at + 1).collect();
        reached.extend(after);
        reached.sort_unstable();
        reached.dedup();
    }

    /// Whether what comes from here on may be nothing, or a tag or a digest with what separates it from the path. Tags
    /// and digests have no slash; whatever else they may be is somebody's mistake.
    fn is_tag_and_digest(&self, from: usize) -> bool {
        let rest = self.pieces.get(from..).unwrap_or_default();
        if rest.contains(&Piece::Is('/')) {
            return false;
        }
        match rest.split_first() {
            None | Some((Piece::Is(':' | '@'), _)) => true,
            Some((Piece::Is(_), _)) => false,
            Some((Piece::Hole, rest)) => goes_on_in_a_hole(rest),
        }
    }
}

/// Whether the path may end in the hole before these pieces. If they do not separate a tag or a digest themselves, the
/// hole has to, and then a colon can only stand between the algorithm of a digest and its value.
fn goes_on_in_a_hole(pieces: &[Piece]) -> bool {
    let is = |piece: &Piece| match piece {
        Piece::Is(c) => Some(*c),
        Piece::Hole => None,
    };
    let text: String = pieces.iter().map_while(is).collect();
    match text.split_once([':', '@']) {
        None | Some(("", _)) => true,
        Some((before, _)) => {
            let is_digest = text.get(before.len()..).is_some_and(|rest| rest.starts_with('@'));
            is_digest || ALGORITHMS.iter().any(|(algorithm, _)| algorithm.ends_with(before))
        }
    }
}

/// How far a reference has got.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Shape {
    Begin,
    /// In what comes first, a host or the beginning of a path.
    First,
    /// In the port of a host, or in a tag.
    AfterColon,
    Slash,
    Path,
    TagOrDigest,
}

impl Shape {
    fn after(self, piece: Piece) -> &'static [Self] {
        use Shape::{AfterColon, Begin, First, Path, Slash, TagOrDigest};
        match (self, piece) {
            (Begin, Piece::Hole) => &[Begin, First, AfterColon, Slash, Path, TagOrDigest],
            (First, Piece::Hole) => &[First, AfterColon, Slash, Path, TagOrDigest],
            (AfterColon, Piece::Hole) => &[AfterColon, Slash, Path, TagOrDigest],
            (Slash | Path, Piece::Hole) => &[Slash, Path, TagOrDigest],
            (Begin | Slash, Piece::Is('/' | ':' | '@')) | (TagOrDigest, Piece::Is('/')) => &[],
            (First | AfterColon | Path, Piece::Is('/')) => &[Slash],
            (First, Piece::Is(':')) => &[AfterColon],
            // Addresses of IPv6 have several.
            (AfterColon, Piece::Is(':')) => &[AfterColon, TagOrDigest],
            (First | AfterColon | Path, Piece::Is('@')) | (Path, Piece::Is(':')) | (TagOrDigest, _) => &[TagOrDigest],
            (Begin | First, Piece::Is(_)) => &[First],
            (AfterColon, Piece::Is(_)) => &[AfterColon],
            (Slash | Path, Piece::Is(_)) => &[Path],
        }
    }
}

/// Without `https://`, `docker-pullable://` and the like in front.
fn without_scheme(text: &str) -> &str {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.chars().all(is_scheme) => without_scheme(rest),
        _ => text,
    }
}

/// Whether a reference may have the character in it.
fn stands_in_references(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@' | '+')
}

/// How many bytes of the text are a placeholder at its beginning, if there is one.
fn placeholder(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    let first = chars.next()?;
    let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if let Some((open, close)) = BRACKETS.into_iter().find(|(open, _)| *open == first) {
        let length = enclosed(text, open, close);
        let address = text.get(1..length.saturating_sub(1)).unwrap_or_default();
        // An address of IPv6 stands in brackets itself. They are holes, and it is not.
        let is_address = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
            && address.bytes().filter(|byte| *byte == b':').count() >= 2;
        return Some(if open == '[' && is_address { 1 } else { length });
    }
    match first {
        // $VAR; before a bracket it goes with what that encloses.
        '$' => Some(1 + word(chars.as_str())),
        // @VAR@, beside which there are digests.
        '@' => {
            let (name, rest) = chars.as_str().split_at(word(chars.as_str()));
            (!name.is_empty() && rest.starts_with('@')).then_some(name.len() + 2)
        }
        c if stands_in_references(c) => None,
        // %VAR%, !VAR! and whatever else somebody may have thought of: to the last such character before a slash.
        _ => {
            let part = text.split(['/', '{', '(', '<', '[', '$']).next().unwrap_or(text);
            let last = part.char_indices().rfind(|(_, c)| !stands_in_references(*c));
            last.map(|(at, c)| at + c.len_utf8())
        }
    }
}

/// The length of what stands between a bracket and the one that closes it, both included; all of the text, if none
/// does.
fn enclosed(text: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::policy::image::ImageRef;
    use crate::policy::in_use::registry::{key, spellings};

    const NAMES: [&str; 5] = [
        "registry.example.com/shop/app",
        "registry.example.com/shop/web",
        "registry.example.com/other/app",
        "registry.example.com/shop/app/cache",
        "registry.example.com/shop/my-app",
    ];

    #[rstest]
    // The tag or the digest.
    #[case("registry.example.com/shop/app:${TAG}", &[0])]
    #[case("registry.example.com/shop/app:v1-${A}.${B}", &[0])]
    #[case("registry.example.com/shop/app:$(TAG)", &[0])]
    #[case("registry.example.com/shop/app:$TAG", &[0])]
    #[case("registry.example.com/shop/app:{{ .Values.tag | default \"a/b\" }}", &[0])]
    #[case("registry.example.com/shop/app:{{.Tag}}", &[0])]
    #[case("registry.example.com/shop/app:%TAG%", &[0])]
    #[case("registry.example.com/shop/app:@TAG@", &[0])]
    #[case("registry.example.com/shop/app:<tag>", &[0])]
    #[case("registry.example.com/shop/app:((tag))", &[0])]
    #[case("registry.example.com/shop/app:!TAG!", &[0])]
    #[case("registry.example.com/shop/app:[tag]", &[0])]
    #[case("registry.example.com/shop/app:[abc]", &[0])]
    #[case("registry.example.com/shop/app@${DIGEST}", &[0])]
    #[case("registry.example.com/shop/app@sha256:${DIGEST}", &[0])]
    #[case("registry.example.com/shop/app@sha256:12", &[0])]
    #[case("registry.example.com/shop/app:v1@${DIGEST}", &[0])]
    #[case("registry.example.com/shop/app:v1:v2", &[0])]
    #[case("registry.example.com/shop/app:", &[0])]
    #[case("registry.example.com/shop/app:v1 ", &[0])]
    #[case("  registry.example.com/shop/app:v1\n", &[0])]
    #[case("registry.example.com/shop/app:v1 # pinned", &[0])]
    #[case("registry.example.com/shop/app :v1", &[0, 3])]
    #[case("registry.example.com/shop/app:-v1", &[0])]
    // Also the end of the path.
    #[case("registry.example.com/shop/app${SUFFIX}", &[0, 3])]
    #[case("registry.example.com/shop/${NAME}", &[0, 1, 3, 4])]
    #[case("registry.example.com/shop/${NAME}:v1", &[0, 1, 3, 4])]
    #[case("registry.example.com/shop/${NAME}-app:v1", &[4])]
    #[case("registry.example.com/${GROUP}/app:${TAG}", &[0, 2])]
    #[case("registry.example.com/${PATH}", &[0, 1, 2, 3, 4])]
    // The host.
    #[case("${REG}/app", &[0, 2])]
    #[case("${REG}/app:v1", &[0, 2])]
    #[case("${REG}/shop/app:${TAG}", &[0])]
    #[case("${REG}shop/app:${TAG}", &[0])]
    #[case("$(REG)/shop/web", &[1])]
    #[case("$REG/shop/web", &[1])]
    #[case("{{ .Values.registry }}/shop/web:{{ .Values.tag }}", &[1])]
    #[case("@REG@/shop/web:@TAG@", &[1])]
    #[case("%REG%/shop/web", &[1])]
    #[case("${REG:-quay.io/team}/app", &[0, 2])]
    #[case("registry.${DOMAIN}/shop/app:v1", &[0])]
    #[case("registry.example.com${PORT}/shop/app:v1", &[0])]
    #[case("registry.example.com./shop/app:v1", &[0])]
    #[case("registry.example.com:${PORT}/shop/app:v1", &[])]
    #[case("${HOST}.example.com/shop/app:v1", &[0])]
    // Schemes.
    #[case("https://registry.example.com/shop/app", &[0])]
    #[case("https://registry.example.com/shop/app:v1", &[0])]
    #[case("HTTPS://Registry.example.com/Shop/App:V1", &[0])]
    #[case("docker://https://registry.example.com/shop/web", &[1])]
    #[case("https://${REG}/shop/app", &[0])]
    #[case("${SCHEME}://registry.example.com/shop/app", &[0])]
    // Case.
    #[case("registry.example.com/Shop/app:v1", &[0])]
    #[case("registry.example.com/Shop/app:${Tag}", &[0])]
    // Anything.
    #[case("${IMAGE}", &[0, 1, 2, 3, 4])]
    #[case("{{ .Image }}", &[0, 1, 2, 3, 4])]
    #[case("${IMAGE}:v1", &[0, 1, 2, 3, 4])]
    #[case("${IMAGE}:${TAG}", &[0, 1, 2, 3, 4])]
    #[case("${A}${B}", &[0, 1, 2, 3, 4])]
    #[case("${IMAGE", &[0, 1, 2, 3, 4])]
    #[case("$(cat /image)", &[0, 1, 2, 3, 4])]
    // Something else.
    #[case("quay.io/shop/app:${TAG}", &[])]
    #[case("registry.example.community/shop/app:${TAG}", &[])]
    #[case("old-registry.example.com/shop/app:${TAG}", &[])]
    #[case("https://quay.io/shop/app", &[])]
    #[case("registry.example.com/shop/${X}/db:v1", &[])]
    #[case("Shop/app", &[])]
    #[case("", &[])]
    fn a_text_names_what_can_come_of_it(#[case] text: &str, #[case] named: &[usize]) {
        let template = Template::of(text);
        let found: Vec<usize> = (0..NAMES.len()).filter(|at| template.may_name(NAMES[*at])).collect();
        assert_eq!(found, named, "{template:?}");
    }

    #[rstest]
    #[case("[2001:db8::1]:5050/shop/app:${TAG}", true)]
    #[case("[2001:db8::2]:5050/shop/app:${TAG}", false)]
    #[case("[2001:DB8::1]:5050/Shop/app", true)]
    #[case("[${ADDRESS}]:5050/shop/app", true)]
    fn an_address_of_ipv6_is_no_placeholder(#[case] text: &str, #[case] named: bool) {
        let template = Template::of(text);
        assert_eq!(template.may_name("[2001:db8::1]:5050/shop/app"), named);
        assert!(template.is_plausible());
    }

    #[rstest]
    #[case("registry.example.com/shop/app:v1/x", false)]
    #[case("registry.example.com//shop/app", false)]
    #[case("registry.example.com/shop/app/", false)]
    #[case("/registry.example.com/shop/app", false)]
    #[case("registry.example.com/shop/app:v1 registry.example.com/shop/web:v1", false)]
    #[case("", false)]
    #[case("registry.example.com:5050/shop/app:v1", true)]
    #[case("registry.example.com/Shop/app:v1@sha256:12", true)]
    #[case("${A}/b:${C}", true)]
    #[case("${A}", true)]
    fn a_text_of_which_no_reference_can_come_is_recognised(#[case] text: &str, #[case] plausible: bool) {
        assert_eq!(Template::of(text).is_plausible(), plausible);
    }

    /// Something that stands around a variable or is put in its place, among it what separates the parts of references.
    fn part() -> impl Strategy<Value = String> {
        let digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
        let parts = [
            "",
            "a",
            "app",
            "shop",
            "registry.example.com",
            ":5050",
            ":443",
            ":",
            "/",
            "@",
            "v1",
            "V",
            "-",
            "latest",
            digest,
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..5).prop_map(|parts| parts.concat())
    }

    fn variable() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "${A}",
            "$(A)",
            "$A ",
            "{{ .A }}",
            "{{.a/b}}",
            "%A%",
            "<a>",
            "((a))",
            "@A@",
            "[A_B]",
            "${A:-x/${B}}",
            "!A!",
        ])
    }

    fn names(template: &Template, reference: &ImageRef) -> bool {
        spellings(&key(&reference.name)).iter().any(|name| template.may_name(name))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn whatever_variables_expand_to_the_repository_that_the_text_then_names_is_held(
            parts in prop::collection::vec((part(), variable(), part()), 1..4),
            end in part(),
        ) {
            let (mut written, mut expanded) = (String::new(), String::new());
            for (literal, variable, value) in &parts {
                written.extend([literal.as_str(), variable]);
                expanded.extend([literal.as_str(), value]);
            }
            written.push_str(&end);
            expanded.push_str(&end);
            if let Ok(reference) = ImageRef::parse(&expanded) {
                let template = Template::of(&written);
                prop_assert!(names(&template, &reference), "{} of {}", expanded, written);
                prop_assert!(template.is_plausible(), "{} of {}", expanded, written);
            }
        }

        #[test]
        fn every_text_is_taken_apart_and_a_reference_names_its_own_repository(text in "[ -~]{0,40}") {
            let template = Template::of(&text);
            if let Ok(reference) = ImageRef::parse(&text) {
                prop_assert!(names(&template, &reference));
            }
        }
    }
}
