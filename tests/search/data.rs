//! What was explored, for `cargo models`: lines of JSON in the file that `LATCHWORK_DATA` names.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;

/// Appends a line, if one is wanted. Many processes may do so at once.
pub fn note(line: &Value) {
    let Some(path) = std::env::var_os("LATCHWORK_DATA") else { return };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    // One write: lines of different processes do not mix.
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.expect("LATCHWORK_DATA names a file that can be written");
}
