//! What the README shows is what the command says, but for the numbers that differ from run to run.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

/// What stands between fences of this kind, one after the other.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The same with 0 for each number, and one space for many. In lines about what is to be done, and about what was found,
/// no number may differ.
fn shape(text: &str) -> Vec<String> {
    let line = |line: &str| {
        if line.contains(" clients (") || line.starts_with("todos: ") || line.starts_with("equal: ") {
            return line.to_owned();
        }
        let mut shape = String::new();
        for character in line.trim_start().chars() {
            let character = if character.is_ascii_digit() { '0' } else { character };
            if !(matches!(character, ' ' | '0') && shape.ends_with(character)) {
                shape.push(character);
            }
        }
        shape
    };
    text.trim().lines().map(line).collect()
}

#[test]
fn the_readme_shows_what_the_command_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_node-sync")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let readme = fs::read_to_string("README.md").unwrap();
    let first = blocks(&readme, "sh")[0];
    assert!(first.starts_with("cargo run --release -p node-sync\n"), "the first command is {first}");
    let shown = blocks(&readme, "text").into_iter().find(|block| block.contains("2 clients (")).unwrap();
    assert_eq!(shape(shown), shape(&said), "the README shows what is not said any more:\n{said}");
}

#[test]
fn the_readme_shows_what_is_said_of_a_todo_that_is_refused() {
    let readme = fs::read_to_string("README.md").unwrap();
    let command = blocks(&readme, "sh").into_iter().find(|block| block.contains("-- --faults refuse=")).unwrap();
    let options = command.trim().rsplit_once("-- ").unwrap().1.split(' ');
    let output = Command::new(env!("CARGO_BIN_EXE_node-sync")).args(options).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let shown = blocks(&readme, "text").into_iter().find(|block| block.contains(" gives up ")).unwrap();
    assert!(said.contains(shown), "the README shows what is not said any more:\n{said}");
}
