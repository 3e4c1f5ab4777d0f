//! Known bugs and sync points as edits of the crate's source, and all of them written into one text.
//!
//! A function with known bugs becomes one with a body for each of them and its own:
//!
//! ```text
//! fn f(&self) -> bool {
//!     if crate::known_bugs::KnownBug::A.is_on() { … } else if crate::known_bugs::KnownBug::B.is_on() { … } else { … }
//! }
//! ```
//!
//! So all mutants of a program are compiled once, as one program: mutant schemata (Untch, Offutt and Harrold, *Mutation
//! analysis using mutant schemata*, 1993). Whole bodies are copied, since then an edit needs no regard to scopes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::Location;

use syn::{Block, ImplItem, Item, TraitItem, Type};

/// A defect of the crate that can be switched on.
#[derive(Debug)]
pub struct KnownBug {
    pub name: &'static str,
    /// What goes wrong, in a sentence.
    pub story: &'static str,
    /// Where it happened.
    pub source: Option<&'static str>,
    pub edits: &'static [Edit],
}

/// A place where a test may hold up a thread: always there, and nothing but a look if no test asks for it.
#[derive(Debug)]
pub struct SyncPoint {
    pub name: &'static str,
    /// Where it is.
    pub story: &'static str,
    pub edits: &'static [Edit],
}

/// A change of the body of one function.
#[derive(Debug)]
pub struct Edit {
    /// Below `src/`.
    pub file: &'static str,
    /// `function`, `Type::function` or, if a type has several of this name, `<Type as Trait>::function`. Those of an
    /// inline module begin with its name, `module::`.
    pub function: &'static str,
    pub change: Change,
    /// The line of the catalogue.
    pub line: u32,
}

#[derive(Debug)]
pub enum Change {
    /// Text that stands once in the body, and what takes its place.
    Replace(&'static str, &'static str),
    /// Text that stands once in the body, and what is put before it.
    Before(&'static str, &'static str),
    /// What the body begins with.
    Begin(&'static str),
}

/// Replaces a text that stands once in the body of this function.
#[track_caller]
pub const fn replace(file: &'static str, function: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, function, change: Change::Replace(from, to), line: Location::caller().line() }
}

/// Puts these statements before a text that stands once in the body of this function.
#[track_caller]
pub const fn before(file: &'static str, function: &'static str, text: &'static str, with: &'static str) -> Edit {
    Edit { file, function, change: Change::Before(text, with), line: Location::caller().line() }
}

/// Lets the body of this function begin with these statements.
#[track_caller]
pub const fn begin(file: &'static str, function: &'static str, with: &'static str) -> Edit {
    Edit { file, function, change: Change::Begin(with), line: Location::caller().line() }
}

/// An edit that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The line of the catalogue.
    pub line: u32,
    why: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Edit {
    pub fn misfit(&self, why: fmt::Arguments<'_>) -> Misfit {
        Misfit { line: self.line, why: format!("src/{}: {why}", self.file) }
    }

    fn apply(&self, body: &str) -> Result<String, Misfit> {
        let (from, to) = match self.change {
            Change::Replace(from, to) => (from, to.to_owned()),
            Change::Before(text, with) => (text, format!("{with} {text}")),
            Change::Begin(with) => return Ok(format!("{{ {with}{}", &body[1..])),
        };
        match body.matches(from).count() {
            1 => Ok(body.replacen(from, &to, 1)),
            0 => Err(self.misfit(format_args!("`{from}` does not stand in `{}`", self.function))),
            count => Err(self.misfit(format_args!("`{from}` stands {count} times in `{}`", self.function))),
        }
    }

    /// The function that this changes.
    fn find<'a>(&self, functions: &'a [Function]) -> Result<&'a Function, Misfit> {
        let mut found = functions.iter().filter(|function| function.names.iter().any(|name| name == self.function));
        match (found.next(), found.next()) {
            (Some(function), None) => Ok(function),
            (None, _) => Err(self.misfit(format_args!("there is no function `{}`", self.function))),
            (Some(one), Some(other)) => {
                let names = [one, other].map(|function| function.names.last().expect("it has a name"));
                Err(self.misfit(format_args!("`{}` may be `{}` or `{}`", self.function, names[0], names[1])))
            }
        }
    }
}

/// The text of `src/<file>` with all edits of that file, those of bugs and those that are `always` there; or those that do
/// not fit.
pub fn switched(file: &str, text: &str, bugs: &[KnownBug], always: &[&Edit]) -> Result<String, Vec<Misfit>> {
    let of_bugs = bugs.iter().flat_map(|bug| bug.edits.iter().map(move |edit| (Some(bug.name), edit)));
    let always = always.iter().map(|edit| (None, *edit));
    let edits: Vec<_> = of_bugs.chain(always).filter(|(_, edit)| edit.file == file).collect();
    if edits.is_empty() {
        return Ok(text.to_owned());
    }
    let functions = functions(text).unwrap_or_else(|error| panic!("src/{file}: {error}"));
    let mut misfits = Vec::new();
    let mut touched = BTreeMap::new();
    for (bug, edit) in edits {
        match edit.find(&functions) {
            Ok(function) => touched.entry(function.body.start).or_insert_with(|| Touched::new(function)).add(bug, edit),
            Err(misfit) => misfits.push(misfit),
        }
    }
    let mut switched = text.to_owned();
    // From the end: what is replaced moves nothing that stands before it.
    for function in touched.into_values().rev() {
        match function.switched(text) {
            Ok(body) => switched.replace_range(function.body, &body),
            Err(misfit) => misfits.push(misfit),
        }
    }
    if misfits.is_empty() { Ok(switched) } else { Err(misfits) }
}

/// A function with edits.
struct Touched<'a> {
    body: Range<usize>,
    always: Vec<&'a Edit>,
    /// By bug, in the order of the catalogue.
    bugs: Vec<(&'a str, Vec<&'a Edit>)>,
}

impl<'a> Touched<'a> {
    fn new(function: &Function) -> Self {
        Self { body: function.body.clone(), always: Vec::new(), bugs: Vec::new() }
    }

    fn add(&mut self, bug: Option<&'a str>, edit: &'a Edit) {
        match (bug, self.bugs.last_mut()) {
            (None, _) => self.always.push(edit),
            (Some(bug), Some((last, edits))) if *last == bug => edits.push(edit),
            (Some(bug), _) => self.bugs.push((bug, vec![edit])),
        }
    }

    /// The body with a way through it for each bug.
    fn switched(&self, text: &str) -> Result<String, Misfit> {
        let edited =
            |body: &str, edits: &[&Edit]| edits.iter().try_fold(body.to_owned(), |body, edit| edit.apply(&body));
        let usual = edited(&text[self.body.clone()], &self.always)?;
        if self.bugs.is_empty() {
            return Ok(usual);
        }
        let mut switched = String::from("{ ");
        for (bug, edits) in &self.bugs {
            let body = edited(&usual, edits)?;
            switched += &format!("if crate::known_bugs::KnownBug::{bug}.is_on() {body} else ");
        }
        Ok(switched + &usual + " }")
    }
}

/// A function that has a body.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    /// What it may be called; the last name is its alone.
    names: Vec<String>,
    /// With its braces.
    body: Range<usize>,
}

/// The functions of a file, but for those inside others and inside the arguments of a macro.
fn functions(text: &str) -> syn::Result<Vec<Function>> {
    let mut functions = Vec::new();
    collect("", syn::parse_file(text)?.items, &mut functions);
    Ok(functions)
}

fn collect(module: &str, items: Vec<Item>, functions: &mut Vec<Function>) {
    let mut add = |names: &[String], block: &Block| {
        let braces = block.brace_token.span;
        let body = braces.open().byte_range().start..braces.close().byte_range().end;
        functions.push(Function { names: names.iter().map(|name| format!("{module}{name}")).collect(), body });
    };
    let mut modules = Vec::new();
    for item in items {
        match item {
            Item::Fn(function) => add(&[function.sig.ident.to_string()], &function.block),
            Item::Impl(of) => {
                let of_type = name(&of.self_ty);
                let of_trait = of.trait_.as_ref().and_then(|(path, _)| path.segments.last());
                for item in &of.items {
                    if let ImplItem::Fn(function) = item {
                        let function_name = &function.sig.ident;
                        let mut names = vec![format!("{of_type}::{function_name}")];
                        names.extend(of_trait.map(|of| format!("<{of_type} as {}>::{function_name}", of.ident)));
                        add(&names, &function.block);
                    }
                }
            }
            Item::Trait(of) => {
                for item in &of.items {
                    if let TraitItem::Fn(function) = item {
                        let block = function.default.as_ref();
                        block
                            .into_iter()
                            .for_each(|block| add(&[format!("{}::{}", of.ident, function.sig.ident)], block));
                    }
                }
            }
            Item::Mod(inner) => modules.extend(inner.content.map(|(_, items)| (inner.ident, items))),
            _ => {}
        }
    }
    for (inner, items) in modules {
        collect(&format!("{module}{inner}::"), items, functions);
    }
}

/// What a type with methods is called, without what it is generic in.
fn name(of: &Type) -> String {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(to) => Some(name(&to.elem)),
        _ => None,
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        //! Braces in a comment: {{{
        impl<'a> Gate<'a> {
            /// Opens it: `fn open() {`.
            pub fn open<const N: usize>(&self) -> [u8; { 1 + 1 }] where Self: Sized {
                let _braces = ("}", '}', r"}", b'{', 'a: loop { break 'a });
                self.state.swap(OPEN, Ordering::Release);
                [0; 2]
            }
            fn name(&self) -> &str { "gate" }
        }
        impl fmt::Display for Gate<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("a gate") }
        }
        impl fmt::Debug for &Gate<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("Gate") }
        }
        trait Way {
            fn begins(&self);
            fn ends(&self) -> bool { false }
        }
        mod tests {
            fn name() -> u8 { 7 }
        }
        fn name() -> u8 { 6 }
    "#;

    /// The body of the function of this name.
    fn body(function: &'static str) -> Result<&'static str, String> {
        let edit = begin("gate.rs", function, "");
        let functions = functions(TEXT).expect("it is Rust");
        edit.find(&functions).map(|function| &TEXT[function.body.clone()]).map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn find_knows_functions_methods_and_those_of_modules_and_traits() {
        assert_eq!(body("name"), Ok("{ 6 }"));
        assert_eq!(body("Gate::name"), Ok(r#"{ "gate" }"#));
        assert_eq!(body("tests::name"), Ok("{ 7 }"));
        assert_eq!(body("Way::ends"), Ok("{ false }"));
        assert_eq!(body("<Gate as Debug>::fmt"), Ok(r#"{ f.write_str("Gate") }"#));
        let open = body("Gate::open").expect("it is there");
        assert!(open.starts_with("{\n") && open.ends_with("[0; 2]\n            }"), "{open}");
    }

    #[test]
    fn find_refuses_a_name_of_none_and_a_name_of_two() {
        assert_eq!(body("Way::begins"), Err("src/gate.rs: there is no function `Way::begins`".into()));
        assert_eq!(body("open"), Err("src/gate.rs: there is no function `open`".into()));
        let two = "src/gate.rs: `Gate::fmt` may be `<Gate as Display>::fmt` or `<Gate as Debug>::fmt`";
        assert_eq!(body("Gate::fmt"), Err(two.into()));
    }

    const fn bug(name: &'static str, edits: &'static [Edit]) -> KnownBug {
        KnownBug { name, story: "", source: None, edits }
    }

    /// Without the spaces, of which there are some more.
    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    const ADD: &str = "impl Sum {\n    fn add(&mut self) -> u8 {\n        self.sum += 1;\n        self.sum\n    }\n}\n";

    #[test]
    fn switched_gives_each_bug_a_body_and_leaves_the_rest_as_it_is() {
        const BUGS: &[KnownBug] = &[
            bug("Twice", &[replace("sum.rs", "Sum::add", "+= 1", "+= 2")]),
            bug("Elsewhere", &[replace("product.rs", "Product::of", "1", "0")]),
            bug(
                "Never",
                &[begin("sum.rs", "Sum::add", "return 0;"), replace("sum.rs", "Sum::add", "self.sum\n", "0\n")],
            ),
        ];
        let expected = "impl Sum { fn add(&mut self) -> u8 { \
            if crate::known_bugs::KnownBug::Twice.is_on() { self.sum += 2; self.sum } else \
            if crate::known_bugs::KnownBug::Never.is_on() { return 0; self.sum += 1; 0 } else \
            { self.sum += 1; self.sum } } }";
        assert_eq!(squeezed(&switched("sum.rs", ADD, BUGS, &[]).expect("they fit")), expected);
        assert_eq!(
            switched("other.rs", "not even Rust {", BUGS, &[]).expect("nothing is to be done"),
            "not even Rust {"
        );
    }

    #[test]
    fn switched_has_what_is_always_there_with_each_bug_and_without() {
        const BUGS: &[KnownBug] = &[bug("Twice", &[replace("sum.rs", "Sum::add", "+= 1", "+= 2")])];
        const ALWAYS: &[&Edit] = &[&before("sum.rs", "Sum::add", "self.sum\n", "reach();")];
        let expected = "impl Sum { fn add(&mut self) -> u8 { \
            if crate::known_bugs::KnownBug::Twice.is_on() { self.sum += 2; reach(); self.sum } else \
            { self.sum += 1; reach(); self.sum } } }";
        assert_eq!(squeezed(&switched("sum.rs", ADD, BUGS, ALWAYS).expect("they fit")), expected);
        assert_eq!(
            switched("sum.rs", ADD, &[], ALWAYS).expect("it fits"),
            ADD.replace("self.sum\n", "reach(); self.sum\n")
        );
    }

    #[test]
    fn switched_names_every_edit_that_does_not_fit() {
        const FIRST: u32 = line!() + 2;
        const BUGS: &[KnownBug] = &[
            bug("Stale", &[replace("sum.rs", "Sum::add", "-= 1", "-= 2")]),
            bug("Ambiguous", &[replace("sum.rs", "Sum::add", "self.sum", "0")]),
            bug("Gone", &[begin("sum.rs", "Sum::subtract", "")]),
            bug("Fits", &[replace("sum.rs", "Sum::add", "+= 1", "+= 2")]),
        ];
        let misfit = |bug: &KnownBug| {
            let mut misfits = switched("sum.rs", ADD, std::slice::from_ref(bug), &[]).expect_err("it does not fit");
            assert_eq!(misfits.len(), 1);
            misfits.remove(0)
        };
        let [stale, ambiguous, gone] = [&BUGS[0], &BUGS[1], &BUGS[2]].map(misfit);
        assert_eq!(stale.to_string(), "src/sum.rs: `-= 1` does not stand in `Sum::add`");
        assert_eq!(ambiguous.to_string(), "src/sum.rs: `self.sum` stands 2 times in `Sum::add`");
        assert_eq!(gone.to_string(), "src/sum.rs: there is no function `Sum::subtract`");
        assert_eq!([stale.line, ambiguous.line, gone.line], [FIRST, FIRST + 1, FIRST + 2]);
        let all = switched("sum.rs", ADD, BUGS, &[]).expect_err("they do not fit");
        assert!(all.contains(&gone) && all.contains(&stale), "{all:?}");
    }
}
