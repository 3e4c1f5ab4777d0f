//! What pages show of the code, and what they say that a run shows.

use serde_json::Value;

use crate::gate::{Gate, Outcome};

/// An example in a page that says where it comes from must stand there, word for word. (Others are doctests.)
pub fn readme(gate: &Gate) -> Outcome {
    for page in ["README.md", "loom-tests/README.md"] {
        let count =
            examples(&gate.read(page)?, |source| gate.read(source)).map_err(|error| format!("{page} {error}"))?;
        println!("{count} examples of {page} stand as they are in the files they come from");
    }
    let page = gate.read("README.md")?;
    for command in ["cargo test", "RUSTFLAGS=\"--cfg loom\" cargo test"] {
        if !page.lines().any(|line| line == command) {
            return Err(format!("README.md no longer has the command that is run here: {command}").into());
        }
    }
    println!("both commands of README.md are run here");
    Ok(())
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
