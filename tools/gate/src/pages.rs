//! What pages show of the code, and what they say that a run shows.

use serde_json::Value;

use crate::gate::{Gate, Outcome};

/// An example in a page that says where it comes from must stand there, word for word. (Others are doctests.)
pub fn readme(gate: &Gate) -> Outcome {
    let chapter = "src/guide/model.rs";
    let count = examples(&text(&gate.read(chapter)?), |source| gate.read(source))
        .map_err(|error| format!("{chapter} {error}"))?;
    println!("{count} examples of {chapter} stand as they are in the files they come from");
    let page = gate.read("README.md")?;
    for command in ["cargo test", "RUSTFLAGS=\"--cfg loom\" cargo test"] {
        if !page.lines().any(|line| line == command) {
            return Err(format!("README.md no longer has the command that is run here: {command}").into());
        }
    }
    println!("both commands of README.md are run here");
    let (lines, code) = brief(&page).map_err(|error| format!("README.md {error}"))?;
    println!("README.md has {lines} lines, and its first code in line {code}");
    Ok(())
}

/// How many public types there are to look through, in what rustdoc lists of a crate.
pub fn face(gate: &Gate) -> Outcome {
    const MOST: usize = 59;
    for name in ["latchwork", "latchwork_core"] {
        let count = types(&gate.read(gate.target.join(format!("doc/{name}/all.html")))?);
        println!("{name} has {count} public types");
        if !(1..=MOST).contains(&count) {
            return Err(format!("expected at most {MOST} public types in rustdoc's list of {name}, got {count}").into());
        }
    }
    Ok(())
}

/// How many structs, enums and traits rustdoc's list of all items has.
fn types(list: &str) -> usize {
    let sections =
        ["structs", "enums", "traits"].iter().filter_map(|kind| list.split_once(&format!("<h3 id=\"{kind}\">")));
    sections.map(|(_, section)| section.split("</ul>").next().unwrap_or_default().matches("<li>").count()).sum()
}

/// A chapter of the documentation: a source file whose first lines are its text.
fn text(file: &str) -> String {
    let lines = file.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Whether a README is read to its end: how many lines it has, and in which its first code begins, after a picture.
fn brief(page: &str) -> Outcome<(usize, usize)> {
    const LINES: usize = 220;
    const CODE_BEFORE: usize = 45;
    const LINES_OF_CODE: usize = 20;
    let lines: Vec<_> = page.lines().collect();
    if lines.len() > LINES {
        return Err(format!("has {} lines, {LINES} at most: the rest belongs to the guide", lines.len()).into());
    }
    let place = |fence| lines.iter().position(|line| *line == fence).ok_or(format!("has no block {fence}"));
    let (picture, code) = (place("```text")?, place("```rust")?);
    let length = lines[code + 1..].iter().take_while(|line| **line != "```").count();
    if picture > code || length > LINES_OF_CODE || code + length + 1 >= CODE_BEFORE {
        return Err(format!(
            "begins with a picture (line {}) and then at most {LINES_OF_CODE} lines of code ({length} from line {}), \
             before line {CODE_BEFORE}",
            picture + 1,
            code + 1
        )
        .into());
    }
    Ok((lines.len(), code + 1))
}

/// Words that leave a sentence without a party that one could look for in the code: a thread, a
/// task, a caller, a waiter, an owner.
pub fn words(gate: &Gate, files: &[String]) -> Outcome {
    let mut found = Vec::new();
    for file in files {
        found.extend(vague(&gate.read(file)?).map(|(line, text)| format!("{file}:{line}: {text}")));
    }
    if !found.is_empty() {
        println!("{}", found.join("\n"));
        return Err(format!("{} lines have one of these words: {}", found.len(), VAGUE.join(", ")).into());
    }
    println!("no line in {} files has one of: {}", files.len(), VAGUE.join(", "));
    Ok(())
}

const VAGUE: [&str; 4] = ["whoever", "somebody", "nobody", "anybody"];

/// The lines that have one of them, in any case and in names too.
fn vague(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_vague = |line: &str| VAGUE.iter().any(|word| line.to_lowercase().contains(word));
    text.lines().enumerate().filter(move |(_, line)| is_vague(line)).map(|(at, line)| (at + 1, line.trim()))
}

/// How many blocks of a page are marked with their source, by `<!-- from FILE -->` above them.
fn examples(page: &str, read: impl Fn(&str) -> Outcome<String>) -> Outcome<usize> {
    let mut count = 0;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(source) = line.strip_prefix("<!-- from ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        if !lines.next().is_some_and(|line| line.starts_with("```")) {
            return Err(format!("has no example below the mark of {source}").into());
        }
        let block: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let text = read(source)?;
        if !text.lines().collect::<Vec<_>>().windows(block.len().max(1)).any(|window| window == block) {
            return Err(format!("shows this as part of {source}, which has it otherwise:\n{}", block.join("\n")).into());
        }
        count += 1;
    }
    if count == 0 { Err("has no example that is marked with its source".into()) } else { Ok(count) }
}

/// `node-sync h001` says how far the model of H001 searches, and when it finds the bugs. What it prints is compared with
/// this file by its own test; here, with what the model has just written down.
pub fn figures(gate: &Gate) -> Outcome {
    let written = gate.read(gate.scratch.join("models.jsonl")).map_err(|_| "the models have not run: name them too")?;
    let model = written.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?.get("model").cloned());
    let model = model.into_iter().find(|model| model["name"] == "replicator::advance_resumes_the_pusher");
    let said = gate.read("examples/node-sync/tests/h001.txt")?;
    let count = compare(&model.ok_or("the model of H001 has not run")?, &said)?;
    println!("node-sync h001 says what the model says: {count} executions");
    Ok(())
}

/// How many executions the model explored, if the text has its figures.
fn compare(model: &Value, said: &str) -> Outcome<u64> {
    // Numbers are grouped there, and lines broken.
    let plain = |text: &str| text.replace(',', "").split_whitespace().collect::<Vec<_>>().join(" ");
    let executions = model["executions"].as_u64().ok_or("a model has no number of executions")?;
    let after = |bug: &str| {
        let found = model["known_bugs"].as_array()?.iter().find(|found| found["name"] == bug)?;
        found["after"].as_u64()
    };
    let (first, second) = ("ResumeOnRebaseOnly", "ParkedFlag");
    let (Some(by_first), Some(by_second)) = (after(first), after(second)) else {
        return Err(format!("the model of H001 does not find {first} and {second}").into());
    };
    for words in [
        format!("after {executions} executions"),
        format!("{first} switched on the same model fails in execution {by_first},"),
        format!("{second} in execution {by_second}."),
    ] {
        if !plain(said).contains(&plain(&words)) {
            return Err(format!("node-sync h001 does not say what the model says: {words}").into());
        }
    }
    Ok(executions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "fn a() {\n    b();\n}\n\nfn c() {}\n";

    fn shown(block: &str) -> Result<usize, String> {
        let page = format!("Words.\n\n<!-- from a.rs -->\n```rust\n{block}```\n\n```\nanything\n```\n");
        examples(&page, |source| Ok(if source == "a.rs" { FILE.to_owned() } else { String::new() }))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn types_counts_structs_enums_and_traits() {
        let list = "<h3 id=\"structs\">Structs</h3><ul><li>A</li><li>B</li></ul><h3 id=\"functions\"></h3><ul><li>f</li></ul>\
                    <h3 id=\"traits\">Traits</h3><ul><li>T</li></ul>";
        assert_eq!(types(list), 3);
        assert_eq!(types(""), 0);
    }

    #[test]
    fn examples_counts_those_that_stand_in_their_file() {
        assert_eq!(shown("fn a() {\n    b();\n}\n"), Ok(1));
        assert_eq!(shown("    b();\n"), Ok(1));
    }

    #[test]
    fn examples_refuses_what_stands_there_otherwise() {
        for block in ["fn a() {\n    b(1);\n}\n", "fn a() {\n}\n", "b();\n", "fn c() {}\nfn d() {}\n"] {
            assert!(shown(block).is_err_and(|error| error.contains("which has it otherwise")), "{block}");
        }
    }

    #[test]
    fn examples_refuses_a_page_without_any_and_a_mark_without_one() {
        let read = |_: &str| Ok(FILE.to_owned());
        assert!(examples("```\nfn c() {}\n```\n", read).is_err());
        assert!(examples("<!-- from a.rs -->\n\nfn c() {}\n", read).is_err());
    }

    #[test]
    fn brief_refuses_what_is_long_and_what_shows_its_code_late() {
        let page = |before: usize, code: usize, after: usize| {
            let picture = "```text\na\n```\n";
            format!("{picture}{}```rust\n{}```\n{}", "b\n".repeat(before), "c\n".repeat(code), "d\n".repeat(after))
        };
        assert_eq!(brief(&page(20, 19, 176)).unwrap(), (220, 24));
        for (before, code, after) in [(20, 19, 177), (21, 20, 0), (0, 21, 0)] {
            assert!(brief(&page(before, code, after)).is_err(), "{before} {code} {after}");
        }
        assert!(brief("```rust\nc\n```\n```text\na\n```\n").is_err());
        assert!(brief("```text\na\n```\n").is_err());
    }

    #[test]
    fn vague_finds_its_words_in_any_case_and_in_names() {
        let lines = "No body.\n/// Nobody waits.\nfn a() {}\nfn wakes_whoever_waits() {}\n";
        let found: Vec<_> = vague(lines).collect();
        assert_eq!(found, [(2, "/// Nobody waits."), (4, "fn wakes_whoever_waits() {}")]);
    }

    #[test]
    fn compare_finds_the_figures_however_they_are_set() {
        let model = json!({
            "executions": 17023,
            "known_bugs": [{ "name": "ParkedFlag", "after": 48 }, { "name": "ResumeOnRebaseOnly", "after": 1058 }],
        });
        let said = "It ends after 17,023 executions, without a bound. With ResumeOnRebaseOnly switched on the same\n\
                    model fails in execution 1,058, with ParkedFlag in\nexecution 48.";
        assert_eq!(compare(&model, said).unwrap(), 17023);
        for (is, was) in [("17,023", "17,024"), ("1,058", "58"), ("48.", "480.")] {
            assert!(compare(&model, &said.replace(is, was)).is_err(), "{was}");
        }
    }
}
