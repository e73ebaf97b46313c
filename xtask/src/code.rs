//! The paths, module declarations and allowed lints in the tokens of a Rust source.

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

/// The content of a source file. Paths and modules of its unit tests (`#[cfg(test)]`) are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    /// Every path of two segments or more, those in macro calls and each leaf of a `use` included.
    pub(crate) paths: Vec<Path>,
    /// Modules in files of their own: `mod name;`.
    pub(crate) modules: Vec<String>,
    /// Lints that an `allow` or an `expect` names, in unit tests too.
    pub(crate) allowed: Vec<String>,
}

/// A path such as `crate::kernel::gemm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its names; the last one of a glob is `*`.
    pub(crate) segments: Vec<String>,
    /// Number of inline modules around it.
    pub(crate) depth: usize,
    /// Whether it is part of a `pub use`.
    pub(crate) is_reexport: bool,
}

/// The surroundings of a token.
#[derive(Clone, Copy, Default)]
struct Place {
    depth: usize,
    is_test: bool,
    is_reexport: bool,
}

impl Code {
    /// Reads a whole file.
    pub(crate) fn read(source: &str) -> Result<Code, LexError> {
        let mut code = Code::default();
        code.walk(source.parse()?, Place::default());
        Ok(code)
    }

    fn walk(&mut self, stream: TokenStream, outer: Place) {
        use TokenTree::{Group, Ident};
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut place = outer;
        let mut at = 0;
        while at < tokens.len() {
            let word = if let Ident(word) = &tokens[at] { word.to_string() } else { String::new() };
            match (&tokens[at], &tokens[at + 1..]) {
                (Group(group), _) => {
                    place.is_test |= is_cfg_test(group);
                    self.walk(group.stream(), place);
                    if group.delimiter() == Delimiter::Brace {
                        place = outer;
                    }
                }
                (_, [Ident(name), end, ..]) if word == "mod" && is(end, ';') => {
                    let name = (!place.is_test).then(|| name.to_string());
                    self.modules.extend(name);
                }
                (_, [Ident(_), Group(body), ..]) if word == "mod" => {
                    self.walk(body.stream(), Place { depth: place.depth + 1, ..place });
                    place = outer;
                    at += 2;
                }
                (_, [Group(lints), ..]) if word == "allow" || word == "expect" => {
                    let words = lints.stream().into_iter();
                    let words = words.filter(|token| matches!(token, Ident(_)));
                    self.allowed.extend(words.map(|word| word.to_string()));
                }
                // `pub(in path)` imports nothing.
                (_, [Group(scope), ..]) if word == "pub" && starts_with_in(scope) => at += 1,
                (Ident(_), _) if word == "use" => {
                    place.is_reexport = at > 0 && tokens[at - 1].to_string() == "pub";
                }
                // `$crate` is the crate as callers of a macro see it: a path of its own kind.
                (mark, [Ident(_), ..]) if is(mark, '$') => {
                    at = self.path(&tokens, at + 1, vec!["$".to_owned()], place);
                    continue;
                }
                (Ident(_), _) => {
                    at = self.path(&tokens, at, Vec::new(), place);
                    continue;
                }
                (token, _) if is(token, ';') => place = outer,
                _ => {}
            }
            at += 1;
        }
    }

    /// Records the path at `at`, or each leaf of a tree of imports; returns the index of the token after it.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        mut segments: Vec<String>,
        place: Place,
    ) -> usize {
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
                Some(star) if is(star, '*') => segments.push("*".to_owned()),
                Some(TokenTree::Group(tree)) => {
                    let leaves: Vec<TokenTree> = tree.stream().into_iter().collect();
                    for leaf in leaves.split(|token| is(token, ',')) {
                        self.path(leaf, 0, segments.clone(), place);
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            match &tokens[at..] {
                [first, second, ..] if is(first, ':') && is(second, ':') => at += 2,
                _ => break,
            }
        }
        if segments.len() > 1 && !place.is_test {
            let Place { depth, is_reexport, .. } = place;
            self.paths.push(Path { segments, depth, is_reexport });
        }
        at
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_cfg_test(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

fn starts_with_in(group: &proc_macro2::Group) -> bool {
    group.stream().into_iter().next().is_some_and(|word| word.to_string() == "in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_modules_and_lints_are_found_in_code_alone() {
        let code = Code::read(
            r##"//! a::b
            #![allow(unsafe_code, reason = "dead_code")]
            use c::{d::{self, E as F}, g::*}; pub use h::I;
            mod j; #[cfg(test)] mod k; #[cfg(test)] use l::m;
            fn n<'t>(x: o::P) -> Q<r::S> { assert!(t::u::<u8>() == '\'' && x.v(1 * 2).w::<X>()); }
            macro_rules! o { () => { $crate::p() } }
            pub(in y::z) const A: &str = r#"b::c"#; /* d::e */ mod inner { fn f() { super::g() } }"##,
        );
        let Code { paths, modules, allowed } = code.unwrap();
        let names: Vec<String> = paths.iter().map(|path| path.segments.join("::")).collect();
        let expected = [
            "c::d::self",
            "c::d::E",
            "c::g::*",
            "h::I",
            "o::P",
            "r::S",
            "t::u",
            "$::crate::p",
            "super::g",
        ];
        assert_eq!(names, expected);
        assert_eq!((paths[2].depth, paths[2].is_reexport), (0, false));
        assert_eq!((paths[3].is_reexport, paths[8].depth), (true, 1));
        assert_eq!(modules, ["j"]);
        assert_eq!(allowed, ["unsafe_code", "reason"]);
        assert!(Code::read("fn f() {").is_err());
    }
}
