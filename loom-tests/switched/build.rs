//! Copies the crate's source and writes its known bugs and sync points into the copy, each behind a switch, and the
//! signals that a log may choose in the protocol's place.
//!
//! The crate itself knows nothing of them: a function that ships says what it does and nothing else. What is a known bug
//! stands in the catalogue, `loom-tests/known_bugs.rs`. An edit that does not fit any more ends the build; so does a known bug
//! without one.

mod edits;
#[path = "../known_bugs.rs"]
mod known_bugs;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use edits::Edit;
use known_bugs::{CHOSEN_SIGNALS, KNOWN_BUGS, SYNC_POINTS};

const CATALOGUE: &str = "loom-tests/known_bugs.rs";

/// Where the repository is that the source is from, if it is not this one: a mutation, made to see whether the checks
/// notice, need not fit the known bugs.
const SOURCE: &str = "LATCHWORK_SWITCHED_SOURCE";

/// Where a crate's source stands in the repository, and in the copy. There the pure half is a module of the other one, which
/// has its modules under the paths that they have in their own crate.
const CRATES: &[(&str, &str)] = &[("src", ""), ("core/src", "latchwork_core")];

fn main() -> ExitCode {
    let source = env::var_os(SOURCE).map_or_else(|| PathBuf::from("../.."), PathBuf::from);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-env-changed={SOURCE}");
    for ours in ["build.rs", "edits.rs", "../known_bugs.rs"] {
        println!("cargo::rerun-if-changed={ours}");
    }

    let mut files = Vec::new();
    for (crate_, place) in CRATES {
        let root = source.join(crate_);
        println!("cargo::rerun-if-changed={}", root.display());
        let mut found = Vec::new();
        find(&root, Path::new(""), &mut found);
        files.extend(found.into_iter().map(|file| (root.join(&file), Path::new(place).join(&file), file)));
    }
    let mut misfits = Vec::new();
    for edit in edits() {
        if !files.iter().any(|(_, _, file)| file == edit.file) {
            misfits.push(edit.misfit(format_args!("there is no such file")));
        }
    }
    let always: Vec<_> = always().collect();
    for (from, to, file) in &files {
        let text = fs::read_to_string(from).expect("a text that can be read");
        match edits::switched(file, &text, KNOWN_BUGS, &always) {
            Ok(text) => {
                let copy = out.join("src").join(to);
                fs::create_dir_all(copy.parent().expect("it is in a folder")).expect("a folder below OUT_DIR");
                fs::write(copy, if file == "lib.rs" { included(&text) } else { text }).expect("a file below OUT_DIR");
            }
            Err(these) => misfits.extend(these),
        }
    }
    fs::write(out.join("known_bugs.rs"), known_bugs()).expect("a file below OUT_DIR");
    fs::write(out.join("sync_points.rs"), sync_points()).expect("a file below OUT_DIR");

    misfits.sort_by_key(|misfit| misfit.line);
    let misfits = misfits.iter().map(|misfit| format!(":{}: {misfit}", misfit.line));
    let errors: Vec<_> = misfits.chain(empty().map(|name| format!(": `{name}` edits nothing"))).collect();
    errors.iter().for_each(|error| eprintln!("error: {CATALOGUE}{error}"));
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Known bugs and sync points that would change nothing.
fn empty() -> impl Iterator<Item = &'static str> {
    let bugs = KNOWN_BUGS.iter().filter(|bug| bug.edits.is_empty()).map(|bug| bug.name);
    bugs.chain(SYNC_POINTS.iter().filter(|point| point.edits.is_empty()).map(|point| point.name))
}

fn edits() -> impl Iterator<Item = &'static Edit> {
    let of_bugs = KNOWN_BUGS.iter().flat_map(|bug| bug.edits);
    of_bugs.chain(always())
}

/// Those that no switch takes away.
fn always() -> impl Iterator<Item = &'static Edit> {
    SYNC_POINTS.iter().flat_map(|point| point.edits).chain(CHOSEN_SIGNALS)
}

/// The files below `root`, by the names that edits have for them.
fn find(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder that can be read") {
        let path = folder.join(entry.expect("an entry that can be read").file_name());
        if root.join(&path).is_dir() {
            find(root, &path, files);
        } else {
            files.push(path.to_str().expect("a name in UTF-8").replace('\\', "/"));
        }
    }
}

/// The root of the crate without what may stand only at the beginning of a file that is not included.
fn included(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("//!") && !line.starts_with("#!["));
    lines.collect::<Vec<_>>().join("\n")
}

/// The known bugs as an enum.
fn known_bugs() -> String {
    let (mut variants, mut names, mut stories) = (String::new(), String::new(), String::new());
    for edits::KnownBug { name, story, source, .. } in KNOWN_BUGS {
        let source = source.map(|source| format!("\n\nSource: {source}.")).unwrap_or_default();
        write!(variants, "#[doc = {:?}] {name},", format!("{story}{source}")).expect("a string");
        write!(names, "Self::{name},").expect("a string");
        write!(stories, "Self::{name} => {story:?},").expect("a string");
    }
    format!(
        "/// A defect that can be switched on.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq)]\n\
         #[repr(u8)]\n\
         pub enum KnownBug {{ /// No bug: the code as it ships.\n None, {variants} }}\n\
         impl KnownBug {{\n\
         /// Every one of them.\n\
         pub const ALL: &'static [Self] = &[{names}];\n\
         /// What goes wrong, in words.\n\
         pub fn story(self) -> &'static str {{ match self {{ Self::None => \"\", {stories} }} }}\n\
         }}\n"
    )
}

/// The sync points as an enum.
fn sync_points() -> String {
    let variants = SYNC_POINTS.iter().map(|point| format!("#[doc = {:?}] {},", point.story, point.name));
    let names = SYNC_POINTS.iter().map(|point| format!("Self::{},", point.name));
    format!(
        "/// A place where a thread may be held up, without any lock.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq)]\n\
         pub enum SyncPoint {{ {} }}\n\
         impl SyncPoint {{\n\
         /// Every one of them.\n\
         pub const ALL: &'static [Self] = &[{}];\n\
         }}\n",
        variants.collect::<String>(),
        names.collect::<String>()
    )
}
