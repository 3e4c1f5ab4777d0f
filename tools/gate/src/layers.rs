//! Which way the arrows between the files of a crate point.
//!
//! An arrow goes from a file to the file that has what it names: through what is imported on the way, so that
//! `super::Page`, which the parent has from `crate::message`, is an arrow to `message.rs`. What a parent names in its
//! own parts is no arrow, for they are one thing; nor is what tests name, and `lib.rs`, which names everything.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use crate::names::PLATFORM;
use crate::source::{Named, Source};

/// A module at the top of a crate, and those that it may name.
pub struct Folder {
    name: &'static str,
    stands_on: &'static [&'static str],
}

/// The pure half, from the ground up.
pub const CORE: &[Folder] = &[
    Folder { name: "backoff", stands_on: &[] },
    Folder { name: "shared_error", stands_on: &[] },
    Folder { name: "log", stands_on: &[] },
    Folder { name: "sync_state", stands_on: &["log"] },
    Folder { name: "protocol", stands_on: &["backoff", "log", "shared_error"] },
];

/// What stands on it, from the ground up. What it names of the pure half leads to another crate.
pub const LATCHWORK: &[Folder] = &[
    Folder { name: PLATFORM, stands_on: &[] },
    Folder { name: "primitives", stands_on: &[PLATFORM] },
    Folder { name: "replicator", stands_on: &[PLATFORM, "primitives"] },
    Folder { name: "contract", stands_on: &[PLATFORM, "primitives", "replicator"] },
    // Text.
    Folder { name: "guide", stands_on: &[] },
];

/// The files, and their arrows.
pub struct Graph {
    /// Where they are, named from the repository.
    root: &'static str,
    /// Named from there.
    files: Vec<String>,
    /// From, to, and the line that names it first.
    arrows: BTreeMap<(usize, usize), usize>,
}

/// Where a file's module stands: `log/memory.rs` is `[log, memory]`.
fn module(file: &str) -> Vec<&str> {
    let mut parts: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// The modules that have a file, and what each has in it.
struct Modules<'a>(BTreeMap<Vec<&'a str>, (usize, &'a Source)>);

impl<'a> Modules<'a> {
    /// The files that have what `rest` names, seen from `module`.
    fn find(
        &self,
        module: &[&'a str],
        rest: &[&'a str],
        seen: &mut HashSet<(Vec<&'a str>, &'a str)>,
    ) -> BTreeSet<usize> {
        let Some((file, source)) = self.0.get(module) else { return BTreeSet::new() };
        let Some((first, others)) = rest.split_first() else { return BTreeSet::from([*file]) };
        let child = [module, &[*first]].concat();
        if self.0.contains_key(&child) {
            return self.find(&child, others, seen);
        }
        if !seen.insert((module.to_vec(), first)) {
            return BTreeSet::from([*file]);
        }
        let imports =
            source.named.iter().filter(|named| named.within.is_empty() && named.import.as_deref() == Some(first));
        let mut found = BTreeSet::new();
        for import in imports {
            if let Some((module, mut path)) = self.start(module, import) {
                path.extend(others);
                found.extend(self.find(&module, &path, seen));
            }
        }
        if found.is_empty() { BTreeSet::from([*file]) } else { found }
    }

    /// The module that a path starts from, and the rest of it; `None` if it leads out of the crate, or stays in the file.
    fn start(&self, module: &[&'a str], named: &'a Named) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
        let mut here: Vec<&str> = module.iter().copied().chain(named.within.iter().map(String::as_str)).collect();
        let mut path: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        match path.first().copied()? {
            "crate" => {
                here.clear();
                path.remove(0);
            }
            "self" => drop(path.remove(0)),
            "super" => {
                while path.first() == Some(&"super") {
                    path.remove(0);
                    here.pop();
                }
            }
            // From a module beside it, or by the name that an import has given to something.
            first => {
                let (_, source) = self.0.get(module)?;
                let given = |other: &Named| other != named && other.import.as_deref() == Some(first);
                let is_import = named.import.is_some() && source.named.iter().any(given);
                if !is_import && !self.0.contains_key(&[here.as_slice(), &[first]].concat()) {
                    return None;
                }
            }
        }
        self.0.contains_key(&here).then_some((here, path))
    }
}

impl Graph {
    /// Of the files in a crate's `root`, named from the repository.
    pub fn new(root: &'static str, sources: &BTreeMap<String, Source>) -> Self {
        let own = |file: &'_ str| file.trim_start_matches(root).trim_start_matches('/').to_owned();
        let sources: BTreeMap<_, _> = sources.iter().map(|(file, source)| (own(file), source)).collect();
        let tests: Vec<_> = sources
            .iter()
            .flat_map(|(file, source)| {
                source.test_modules.iter().map(move |name| [module(file), vec![name.as_str()]].concat())
            })
            .collect();
        let shipped: Vec<_> = sources
            .iter()
            .map(|(file, source)| (file, module(file), *source))
            .filter(|(_, module, _)| !tests.iter().any(|test| module.starts_with(test)))
            .collect();
        let files = shipped.iter().map(|(file, ..)| (*file).clone()).collect();
        let modules = Modules(
            shipped.iter().enumerate().map(|(at, (_, module, source))| (module.clone(), (at, *source))).collect(),
        );
        let mut arrows = BTreeMap::new();
        for (module, (from, source)) in modules.0.iter().filter(|(module, _)| !module.is_empty()) {
            for named in source.named.iter().filter(|named| !named.test) {
                let Some((start, path)) = modules.start(module, named) else { continue };
                for to in modules.find(&start, &path, &mut HashSet::new()) {
                    if !shipped[to].1.starts_with(module) {
                        arrows.entry((*from, to)).or_insert(named.line);
                    }
                }
            }
        }
        Self { root, files, arrows }
    }

    /// A shortest way along the arrows.
    fn way(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut came = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(here) = queue.pop_front() {
            for (_, next) in self.arrows.range((here, 0)..(here + 1, 0)).map(|(arrow, _)| *arrow) {
                if came.contains_key(&next) {
                    continue;
                }
                came.insert(next, here);
                queue.push_back(next);
                if next == to {
                    let mut way = vec![to];
                    while way.len() == 1 || *way.last()? != from {
                        way.push(came[way.last()?]);
                    }
                    way.reverse();
                    return Some(way);
                }
            }
        }
        None
    }

    /// The circles of files.
    fn circles(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut shown: BTreeSet<usize> = BTreeSet::new();
        for file in 0..self.files.len() {
            let Some(way) = self.way(file, file).filter(|_| !shown.contains(&file)) else { continue };
            shown.extend(&way);
            let names: Vec<_> = way.iter().map(|file| self.files[*file].as_str()).collect();
            problems.push(format!(
                "{}/{}:{}: a circle: {}",
                self.root,
                names[0],
                self.arrows[&(way[0], way[1])],
                names.join(" → ")
            ));
        }
        problems
    }

    /// The arrows to a folder that the own one does not stand on.
    fn upward(&self, folders: &[Folder]) -> Vec<String> {
        let top = |file: usize| module(&self.files[file]).first().copied();
        let folder = |file: usize| folders.iter().find(|folder| top(file) == Some(folder.name));
        let (root, mut problems) = (self.root, Vec::new());
        for (file, name) in self.files.iter().enumerate() {
            if folder(file).is_none() && top(file).is_some() {
                problems.push(format!("{root}/{name} is in no folder of layers.rs: say there what it stands on"));
            }
        }
        for ((from, to), line) in &self.arrows {
            let (Some(own), Some(other)) = (folder(*from), folder(*to)) else { continue };
            if own.name != other.name && !own.stands_on.contains(&other.name) {
                let (from, to) = (&self.files[*from], &self.files[*to]);
                let (own, other) = (own.name, other.name);
                problems
                    .push(format!("{root}/{from}:{line}: names {root}/{to}, but `{own}` does not stand on `{other}`"));
            }
        }
        problems
    }
}

/// What is wrong with the arrows, a line each.
pub fn check(root: &'static str, sources: &BTreeMap<String, Source>, folders: &[Folder]) -> Vec<String> {
    let graph = Graph::new(root, sources);
    let mut problems = graph.upward(folders);
    problems.extend(graph.circles());
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let files = files.iter().chain(&[("lib.rs", "")]);
        Graph::new("src", &files.map(|(file, text)| (format!("src/{file}"), Source::parse(text).unwrap())).collect())
    }

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let graph = graph(files);
        let name = |file: usize| graph.files[file].trim_end_matches(".rs");
        graph.arrows.keys().map(|(from, to)| format!("{} {}", name(*from), name(*to))).collect()
    }

    #[test]
    fn an_arrow_goes_to_the_file_that_has_what_is_named() {
        let two = |text| arrows(&[("a.rs", text), ("b/mod.rs", ""), ("b/c.rs", "")]);
        assert_eq!(two("use crate::b::C;"), ["a b/mod"]);
        assert_eq!(two("use crate::b::{c::D, E};"), ["a b/c", "a b/mod"]);
        assert_eq!(two("fn f() { super::b::c::d() }"), ["a b/c"]);
        assert_eq!(two("mod on { use super::super::b; }"), ["a b/mod"]);
        assert_eq!(two("use std::b; use b_c::d; mod on { use super::e; }"), [""; 0]);
    }

    #[test]
    fn an_arrow_goes_through_what_is_imported_on_the_way() {
        let facade = "#[cfg(loom)] use explored as imp; #[cfg(not(loom))] use real as imp; pub use imp::Mutex; pub const N: u8 = 1;";
        let files = |text| [("a.rs", text), ("sync/mod.rs", facade), ("sync/explored.rs", ""), ("sync/real.rs", "")];
        assert_eq!(arrows(&files("use crate::sync::Mutex;")), ["a sync/explored", "a sync/real"]);
        assert_eq!(arrows(&files("use crate::sync::N;")), ["a sync/mod"]);
        assert_eq!(arrows(&[("a.rs", "use crate::b::Ring;"), ("b.rs", "use self::Ring;")]), ["a b"], "it ends");
    }

    #[test]
    fn a_parent_and_its_parts_are_no_circle() {
        assert_eq!(
            arrows(&[("a/mod.rs", "mod b; use b::C; use self::b::D;"), ("a/b.rs", "use super::E;")]),
            ["a/b a/mod"]
        );
    }

    #[test]
    fn what_tests_name_is_no_arrow() {
        let text = "#[cfg(test)] mod tests;\n#[cfg(test)] mod more { use crate::b::C; }";
        assert_eq!(arrows(&[("a/mod.rs", text), ("a/tests.rs", "use crate::b;"), ("b.rs", "")]), [""; 0]);
    }

    const CIRCLE: &[(&str, &str)] =
        &[("a.rs", "use crate::b;"), ("b.rs", "\nuse crate::c;"), ("c.rs", "use crate::{a, d};"), ("d.rs", "")];

    #[test]
    fn circles_are_shown_once_each() {
        assert_eq!(graph(CIRCLE).circles(), ["src/a.rs:1: a circle: a.rs → b.rs → c.rs → a.rs"]);
        assert_eq!(graph(&CIRCLE[..2]).circles(), [""; 0]);
    }

    const HOUSE: &[Folder] =
        &[Folder { name: "ground", stands_on: &[] }, Folder { name: "above", stands_on: &["ground"] }];

    #[test]
    fn upward_finds_an_arrow_that_points_up() {
        let files = [
            ("ground/mod.rs", "use crate::ground::a;\nuse crate::above::b::C;"),
            ("ground/a.rs", ""),
            ("above/mod.rs", "use crate::ground;"),
            ("above/b.rs", ""),
        ];
        let problem = "src/ground/mod.rs:2: names src/above/b.rs, but `ground` does not stand on `above`";
        assert_eq!(graph(&files).upward(HOUSE), [problem]);
    }

    #[test]
    fn upward_asks_where_a_new_file_stands() {
        let problem = "src/new.rs is in no folder of layers.rs: say there what it stands on";
        assert_eq!(graph(&[("new.rs", ""), ("ground.rs", "")]).upward(HOUSE), [problem]);
    }
}
