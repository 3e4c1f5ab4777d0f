//! Who in what ships may name what.

use crate::source::{Source, joined};

/// A rule. A file that breaks it is told what the rule says, and the line.
pub struct Rule {
    says: &'static str,
    /// What is not to be named, each with what may follow it all the same.
    not: &'static [(&'static str, &'static [&'static str])],
    /// The files and folders that it holds for, named from the repository; all of them, if none is listed.
    within: &'static [&'static str],
    /// Those that it does not hold for.
    except: &'static [&'static str],
    /// A line that breaks it, and one that does not.
    #[cfg(test)]
    example: (&'static str, &'static str),
}

/// The folder of the facade.
pub const PLATFORM: &str = "platform";

/// The same, named from the repository.
const FACADE: &str = "src/platform";

pub const RULES: &[Rule] = &[
    Rule {
        says: "only the facade may name loom, parking_lot or crossbeam_channel, or ask for cfg(loom)",
        not: &[("loom", &[]), ("feature = \"loom\"", &[]), ("parking_lot", &[]), ("crossbeam_channel", &[])],
        within: &[],
        except: &[FACADE],
        #[cfg(test)]
        example: ("#[cfg(all(loom, feature = \"loom\"))] mod trace;", "use crate::platform::Mutex; // loom's"),
    },
    Rule {
        says: "locks, atomics, threads and the time come from the facade, or no model sees them",
        // An `OnceLock` that is set and read is no lock: neither waits.
        not: &[("std::sync", &["Arc", "OnceLock", "Weak"]), ("std::thread", &[]), ("std::time", &["Duration"])],
        within: &[],
        // No model runs what tests an implementation.
        except: &[FACADE, "src/contract"],
        #[cfg(test)]
        example: ("use std::{\n    sync::{Arc, Mutex},\n};", "use std::{sync::Arc, time::Duration};"),
    },
    Rule {
        says: "the pure half knows no lock, no thread, no clock and no I/O",
        not: &[
            ("std::sync", &["Arc"]),
            ("std::thread", &[]),
            ("std::time", &["Duration"]),
            ("std::env", &[]),
            ("std::fs", &[]),
            ("std::io", &[]),
            ("std::net", &[]),
            ("std::process", &[]),
        ],
        within: &["core/src"],
        except: &[],
        #[cfg(test)]
        example: ("let late = std::time::Instant::now();", "let late = std::time::Duration::ZERO;"),
    },
    Rule {
        says: "known bugs and sync points are edits in loom-tests/known_bugs.rs",
        not: &[("KnownBug", &[]), ("SyncPoint", &[])],
        within: &[],
        except: &[],
        #[cfg(test)]
        example: (
            "let on = KnownBug::WakeWithoutLock.is_on();",
            "/// See the known bug `WakeWithoutLock`: `KnownBug`.",
        ),
    },
    Rule {
        says: "only src/replicator/trace.rs may name tracing",
        not: &[("tracing", &[])],
        within: &[],
        except: &["src/replicator/trace.rs"],
        #[cfg(test)]
        example: ("tracing::trace!(epoch);", "super::trace::trace!(epoch); // for tracing"),
    },
];

/// Whether `file` is `place`, or in it.
pub fn is_in(file: &str, place: &str) -> bool {
    file.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Rule {
    /// Where a file, named from the repository, breaks it: the line, and the path that it names there.
    fn broken(&self, file: &str, source: &Source) -> Vec<(usize, String)> {
        let applies = self.within.is_empty() || self.within.iter().any(|place| is_in(file, place));
        if !applies || self.except.iter().any(|place| is_in(file, place)) {
            return Vec::new();
        }
        let names = source.named.iter().filter(|named| self.not.iter().any(|not| names(&named.segments, *not)));
        names.map(|named| (named.line, joined(&named.segments))).collect()
    }
}

/// Whether a path has this in it, and then none of what may follow.
fn names(segments: &[String], (path, but): (&str, &[&str])) -> bool {
    let path: Vec<_> = path.split("::").collect();
    let at = segments.windows(path.len()).position(|window| window == path);
    at.is_some_and(|at| segments.get(at + path.len()).is_none_or(|next| !but.contains(&next.as_str())))
}

/// What breaks the rules, a line each.
pub fn check<'a>(files: impl IntoIterator<Item = (&'a String, &'a Source)>) -> Vec<String> {
    let mut problems = Vec::new();
    for (file, source) in files {
        for rule in RULES {
            let broken = rule.broken(file, source);
            problems.extend(broken.iter().map(|(line, path)| format!("{file}:{line}: `{path}`, but {}", rule.says)));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(rule: &Rule, file: &str, text: &str) -> usize {
        rule.broken(file, &Source::parse(text).unwrap()).len()
    }

    #[test]
    fn check_finds_the_line_that_breaks_each_rule_and_not_the_one_beside_it() {
        for rule in RULES {
            let file = rule.within.first().copied().unwrap_or("src/primitives/epoch.rs");
            let (bad, good) = rule.example;
            assert!(broken(rule, file, bad) > 0, "{}: {bad}", rule.says);
            assert_eq!(broken(rule, file, good), 0, "{}: {good}", rule.says);
            for place in rule.except {
                assert_eq!(broken(rule, place, bad), 0, "{}: {place}", rule.says);
            }
        }
    }

    #[test]
    fn check_says_the_file_the_line_and_the_path() {
        let file = ("core/src/log/mod.rs".to_owned(), Source::parse("\nuse std::thread::spawn;").unwrap());
        let problems = check([(&file.0, &file.1)]);
        assert_eq!(problems.len(), 2);
        assert_eq!(
            problems[0],
            "core/src/log/mod.rs:2: `std::thread::spawn`, but locks, atomics, threads and the time come from the facade, or no \
             model sees them"
        );
    }

    #[test]
    fn a_rule_holds_within_a_folder_and_not_beside_it() {
        assert!(is_in("log/mod.rs", "log") && is_in("backoff.rs", "backoff.rs"));
        assert!(!is_in("logs/mod.rs", "log") && !is_in("log.rs", "log"));
        let pure = RULES.iter().find(|rule| rule.within.contains(&"core/src")).unwrap();
        assert!(broken(pure, "core/src/protocol/push.rs", "std::sync::OnceLock") > 0);
        assert_eq!(broken(pure, "src/primitives/worker/shared.rs", "std::sync::OnceLock"), 0);
    }

    #[test]
    fn a_rule_is_not_got_round_by_the_form_of_an_import() {
        let rule = RULES.iter().find(|rule| rule.says.starts_with("locks")).unwrap();
        for bad in ["use std::sync;", "use std::sync::*;", "use std::time as t;", "use std::{thread, mem};"] {
            assert_eq!(broken(rule, "src/primitives/epoch.rs", bad), 1, "{bad}");
        }
    }
}
