//! The first lines of commits: `module: imperative`.

use crate::gate::{Gate, Outcome};

const LONGEST: usize = 72;

/// Of the commits that are not in the main branch yet, if that is known here; a shallow clone may not have it.
pub fn check(gate: &Gate) -> Outcome {
    let base = ["origin/main", "main"].into_iter().find(|main| gate.git("merge-base HEAD").arg(main).succeeds());
    let Some(base) = base else { return gate.skip("the main branch is not known here") };
    let log = gate.git("log --no-merges --format=%h%x09%s").arg(format!("{base}..HEAD")).output()?;
    let mut wrong = 0;
    for (commit, subject) in log.lines().filter_map(|line| line.split_once('\t')) {
        for problem in problems(subject) {
            println!("{commit} {subject}: {problem}");
            wrong += 1;
        }
    }
    if wrong > 0 {
        return Err(format!("a commit's first line is `module: do this`, in at most {LONGEST} characters").into());
    }
    println!(
        "{} since {base}",
        match log.lines().count() {
            0 => "no commits".to_owned(),
            1 => "1 commit is well-formed".to_owned(),
            count => format!("{count} commits are well-formed"),
        }
    );
    Ok(())
}

fn problems(subject: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let length = subject.chars().count();
    if length > LONGEST {
        problems.push(format!("{length} characters"));
    }
    if subject.starts_with("Revert \"") {
        return problems;
    }
    let is_of_a_name = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_/., ".contains(char);
    match subject.split_once(": ").filter(|(module, _)| module.chars().all(is_of_a_name)) {
        Some((_, words)) => {
            let first = words.split(' ').next().unwrap_or_default();
            if !is_imperative(first) {
                problems.push(format!("`{first}` is no imperative"));
            }
            if words.ends_with('.') {
                problems.push("it ends with a full stop".to_owned());
            }
        }
        None => problems.push("it does not begin with a module".to_owned()),
    }
    problems
}

/// As far as a word's form tells.
fn is_imperative(word: &str) -> bool {
    const ALL_THE_SAME: &[&str] = &[
        "bring", "embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed", "spring", "string", "succeed",
    ];
    let is = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    let is_another_form = is(&["ed", "ing"]) || is(&["s"]) && !is(&["ss", "us", "as", "is"]);
    let is_no_verb = ["a", "an", "the", "no", "more", "one"].contains(&word);
    word.starts_with(|char: char| char.is_lowercase())
        && !is_no_verb
        && (!is_another_form || ALL_THE_SAME.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_has_none_with_a_module_and_an_imperative() {
        for subject in [
            "interrupt: set descendants without recursion",
            "loom-tests: pass over what is known",
            ".ci: bring the gate into one language",
            "epoch, latch: say what a wake-up is",
            "Revert \"interrupt: set descendants without recursion\"",
        ] {
            assert_eq!(problems(subject), [""; 0], "{subject}");
        }
    }

    #[test]
    fn problems_names_each() {
        for (subject, problem) in [
            ("A paragraph's width", "it does not begin with a module"),
            ("Sync: say more", "it does not begin with a module"),
            ("sync: says more", "`says` is no imperative"),
            ("sync: Say more", "`Say` is no imperative"),
            ("sync: the words", "`the` is no imperative"),
            ("sync: say more.", "it ends with a full stop"),
            ("sync: say more than seventy-two characters could hold, in a single long line", "76 characters"),
        ] {
            assert_eq!(problems(subject), [problem], "{subject}");
        }
    }
}
