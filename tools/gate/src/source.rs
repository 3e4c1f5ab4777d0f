//! A source file as a list of the paths that it names.
//!
//! The rules on the text of `src` ask who names what. So a file is read into tokens, in which comments, documentation and
//! strings are no code, and the paths are put together from them: `use std::{sync::Arc, thread}` names `std::sync::Arc` and
//! `std::thread`. What a macro expands to is not seen; what stands in its definition is.

use std::iter::once;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path that a file names, as it stands there.
#[derive(Debug, PartialEq)]
pub struct Named {
    pub line: usize,
    /// A feature that is asked for is one: `feature = "loom"`.
    pub segments: Vec<String>,
    /// The name that a `use` gives it in its module; `*` for all that is in it.
    pub import: Option<String>,
    /// The modules written out in the file that it stands in, outermost first.
    pub within: Vec<String>,
    /// Whether it stands in what is compiled for tests alone.
    pub test: bool,
}

/// A file.
#[derive(Debug, Default)]
pub struct Source {
    pub named: Vec<Named>,
    /// The modules with a file of their own that are for tests alone.
    pub test_modules: Vec<String>,
}

impl Source {
    pub fn parse(text: &str) -> Result<Self, String> {
        let stream: TokenStream = text.parse().map_err(|error| format!("this is not Rust: {error}"))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let mut reader = Reader { tokens: &tokens, at: 0, within: Vec::new(), tests: 0, source: Self::default() };
        reader.items(false);
        Ok(reader.source)
    }
}

#[derive(Debug, PartialEq)]
enum Kind {
    Word(String),
    Text(String),
    Sign(char),
}

struct Token {
    kind: Kind,
    line: usize,
}

/// One after the other, with the brackets as signs.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |kind| tokens.push(Token { kind, line });
        match tree {
            TokenTree::Ident(word) => push(Kind::Word(word.to_string())),
            TokenTree::Punct(sign) => push(Kind::Sign(sign.as_char())),
            TokenTree::Literal(literal) => push(Kind::Text(literal.to_string())),
            TokenTree::Group(group) => {
                let (opens, closes) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                push(Kind::Sign(opens));
                flatten(group.stream(), tokens);
                let line = group.span_close().start().line;
                tokens.push(Token { kind: Kind::Sign(closes), line });
            }
        }
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    within: Vec<String>,
    /// How many modules around here are for tests alone.
    tests: usize,
    source: Source,
}

impl Reader<'_> {
    fn word(&self, ahead: usize) -> Option<&str> {
        match &self.tokens.get(self.at + ahead)?.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn sign(&self, ahead: usize) -> Option<char> {
        match self.tokens.get(self.at + ahead)?.kind {
            Kind::Sign(sign) => Some(sign),
            _ => None,
        }
    }

    fn colons(&self, ahead: usize) -> bool {
        self.sign(ahead) == Some(':') && self.sign(ahead + 1) == Some(':')
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn named(&mut self, line: usize, segments: Vec<String>, import: Option<String>) {
        let (within, test) = (self.within.clone(), self.tests > 0);
        self.source.named.push(Named { line, segments, import, within, test });
    }

    /// Reads to the end of the brackets that are open, or of the file. `test` says that `#[cfg(test)]` stands before.
    fn items(&mut self, mut test: bool) {
        while self.at < self.tokens.len() {
            match (self.word(0), self.sign(0)) {
                (_, Some('}')) => return,
                (_, Some('#')) => {
                    self.at += 1;
                    test |= self.attribute();
                    continue;
                }
                (_, Some('\'')) => self.at += 2,
                (_, Some('{')) => {
                    self.at += 1;
                    self.items(false);
                    self.at += 1;
                }
                (Some("mod"), _) if self.word(1).is_some() => self.module(test),
                (Some("use"), _) if self.sign(1) != Some('<') => {
                    self.at += 1;
                    self.tests += usize::from(test);
                    self.imports(Vec::new());
                    self.tests -= usize::from(test);
                }
                // A visibility is no use of what it names, and belongs to what follows it.
                (Some("pub"), _) => {
                    self.at += 1;
                    if self.sign(0) == Some('(') && matches!(self.word(1), Some("crate" | "super" | "self" | "in")) {
                        while self.sign(0) != Some(')') {
                            self.at += 1;
                        }
                        self.at += 1;
                    }
                    continue;
                }
                (Some(_), _) => self.path(),
                _ => self.at += 1,
            }
            test = false;
        }
    }

    /// After its `#`. Whether it says that what follows is for tests alone.
    fn attribute(&mut self) -> bool {
        if self.sign(0) == Some('!') {
            self.at += 1;
        }
        let (mut depth, mut cfg, mut test, mut not) = (0, false, false, false);
        while self.at < self.tokens.len() {
            match (self.word(0), self.sign(0)) {
                (Some(word), _) => {
                    cfg |= word == "cfg";
                    test |= word == "test";
                    not |= word == "not";
                    let feature = (word == "feature").then(|| self.tokens.get(self.at + 2)).flatten();
                    if let Some(Token { kind: Kind::Text(feature), line }) = feature {
                        self.named(*line, vec![format!("feature = {feature}")], None);
                    }
                    self.path();
                    continue;
                }
                (_, Some('[')) => depth += 1,
                (_, Some(']')) => depth -= 1,
                _ => {}
            }
            // A macro's `#` may have no brackets.
            if depth == 0 {
                self.at += usize::from(self.sign(0) == Some(']'));
                break;
            }
            self.at += 1;
        }
        cfg && test && !not
    }

    /// At its `mod`.
    fn module(&mut self, test: bool) {
        let name = self.word(1).unwrap_or_default().to_owned();
        let opens = self.sign(2) == Some('{');
        self.at += 3;
        if opens {
            self.within.push(name);
            self.tests += usize::from(test);
            self.items(false);
            self.tests -= usize::from(test);
            self.within.pop();
            self.at += 1;
        } else if test {
            self.source.test_modules.push(name);
        }
    }

    /// A path outside of `use`.
    fn path(&mut self) {
        let line = self.line();
        let mut segments = Vec::new();
        while let Some(word) = self.word(0) {
            segments.push(word.to_owned());
            self.at += 1;
            if !(self.colons(0) && self.tokens.get(self.at + 2).is_some_and(|next| matches!(next.kind, Kind::Word(_))))
            {
                break;
            }
            self.at += 2;
        }
        self.named(line, segments, None);
    }

    /// A tree of imports below `before`; stops at what ends it.
    fn imports(&mut self, before: Vec<String>) {
        let line = self.line();
        let mut segments = before;
        if self.colons(0) {
            self.at += 2;
        }
        loop {
            if self.sign(0) == Some('{') {
                self.at += 1;
                while self.sign(0) != Some('}') && self.at < self.tokens.len() {
                    self.imports(segments.clone());
                    if self.sign(0) == Some(',') {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            }
            let segment = match (self.word(0), self.sign(0)) {
                (Some(word), _) => word.to_owned(),
                (_, Some('*')) => "*".to_owned(),
                // A macro's own word for it, like `$name`.
                _ => {
                    self.at += 1;
                    return;
                }
            };
            self.at += 1;
            segments.push(segment);
            if !self.colons(0) {
                break;
            }
            self.at += 2;
        }
        // `use a::{self}` is `use a`.
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let mut name = segments.last().cloned();
        if self.word(0) == Some("as") {
            name = self.word(1).map(str::to_owned);
            self.at += 2;
        }
        self.named(line, segments, name);
    }
}

/// The path in one piece.
pub fn joined(segments: &[String]) -> String {
    segments.iter().flat_map(|segment| once("::").chain(once(segment.as_str()))).skip(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::parse(text).unwrap().named.iter().map(|named| joined(&named.segments)).collect()
    }

    #[test]
    fn source_finds_the_paths_of_a_use() {
        assert_eq!(paths("use a;"), ["a"]);
        assert_eq!(paths("use a::b as c;"), ["a::b"]);
        assert_eq!(paths("pub(crate) use a::{b, c::{self, d},\n e::*};"), ["a::b", "a::c", "a::c::d", "a::e::*"]);
        assert_eq!(paths("use {::a::b, c};"), ["a::b", "c"]);
    }

    #[test]
    fn source_finds_the_paths_of_code() {
        assert_eq!(paths("fn f() { a::b::<c::D>() }"), ["fn", "f", "a::b", "c::D"]);
        assert_eq!(
            paths("#[cfg(all(x, feature = \"y\"))] struct S;"),
            ["cfg", "all", "x", "feature = \"y\"", "feature", "struct", "S"]
        );
        assert_eq!(paths("macro_rules! m { () => { $crate::a::b!() }; }"), ["macro_rules", "m", "crate::a::b"]);
    }

    #[test]
    fn source_finds_no_path_in_words_lifetimes_or_visibilities() {
        assert_eq!(paths("/* a::b */ // c::d\n//! e::f\n"), ["doc"]);
        assert_eq!(paths("\"a::b\" r#\"c::d\"# 'e' &'f g"), ["g"]);
        assert_eq!(paths("pub(in crate::a) fn f() {}"), ["fn", "f"]);
    }

    #[test]
    fn source_knows_the_name_the_line_and_the_module_of_an_import() {
        let source = Source::parse("use a::b;\nmod on {\n    use super::c as d;\n}\nuse e::f;\n").unwrap();
        let [b, d, f] = source.named.as_slice() else { panic!("{source:?}") };
        assert_eq!((b.line, b.import.as_deref(), b.within.len()), (1, Some("b"), 0));
        assert_eq!((d.line, d.import.as_deref(), d.within.as_slice()), (3, Some("d"), ["on".to_owned()].as_slice()));
        assert_eq!((f.line, f.import.as_deref(), f.within.len()), (5, Some("f"), 0));
    }

    #[test]
    fn source_knows_what_is_for_tests_alone() {
        let text = "use a;\n#[cfg(test)]\nmod tests { fn f() { if x { b::c } } }\n#[cfg(test)]\npub(crate) use d;\n\
                    #[cfg(not(test))]\nuse e;\n#[cfg(test)]\nmod more;\nmod others;\nuse g;\n";
        let source = Source::parse(text).unwrap();
        let is_test = |path: &str| source.named.iter().find(|named| joined(&named.segments) == path).unwrap().test;
        let tests: Vec<_> = ["a", "b::c", "d", "e", "g"].into_iter().filter(|path| is_test(path)).collect();
        assert_eq!(
            (tests.as_slice(), source.test_modules.as_slice()),
            (["b::c", "d"].as_slice(), ["more".to_owned()].as_slice())
        );
    }
}
