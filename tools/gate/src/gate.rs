//! Where the gate works, and how its steps run what they run.

use std::cell::Cell;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A checkout, and what this run knows of it.
pub struct Gate {
    pub root: PathBuf,
    /// The target directory of the normal build.
    pub target: PathBuf,
    /// What the steps leave for each other, below `target`.
    pub scratch: PathBuf,
    /// What is published, `latchwork` first.
    pub packages: Vec<Package>,
    /// Whether the steps were named: then one that cannot run here fails, which is skipped otherwise.
    pub named: bool,
    /// What `git status` said when the run began.
    pub status: String,
    /// How many tests have passed, and how many have failed.
    pub tests: Cell<(usize, usize)>,
}

/// A member of the workspace that is published.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub rust_version: String,
    /// Where its manifest is.
    pub folder: PathBuf,
}

impl Package {
    /// Those that may be published, as `cargo metadata` tells of them.
    fn published(metadata: &Value) -> Outcome<Vec<Self>> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("cargo metadata has another form");
        let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
        // An empty list of registries: `publish = false`.
        let published = packages.iter().filter(|package| package["publish"].as_array().is_none_or(|to| !to.is_empty()));
        let mut published = published
            .map(|package| {
                let name = text(&package["name"])?;
                let rust_version = text(&package["rust_version"]).map_err(|_| format!("{name} has no rust-version"))?;
                let folder = PathBuf::from(text(&package["manifest_path"])?);
                let folder = folder.parent().ok_or("a manifest is in a folder")?.to_owned();
                Ok(Self { name, version: text(&package["version"])?, rust_version, folder })
            })
            .collect::<Outcome<Vec<_>>>()?;
        published.sort_by_key(|package| (package.name != "latchwork", package.name.clone()));
        if published.first().is_none_or(|first| first.name != "latchwork") {
            return Err("this is not latchwork".into());
        }
        Ok(published)
    }
}

impl Gate {
    /// The one around the current directory.
    pub fn new(named: bool) -> Outcome<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit());
        let Output { status, stdout, .. } = cargo.output()?;
        if !status.success() {
            return Err("cargo says nothing of this workspace".into());
        }
        let metadata: Value = serde_json::from_slice(&stdout)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("cargo metadata has another form");
        let target = PathBuf::from(text(&metadata["target_directory"])?);
        let mut gate = Self {
            root: text(&metadata["workspace_root"])?.into(),
            scratch: target.join("ci"),
            target,
            packages: Package::published(&metadata)?,
            named,
            status: String::new(),
            tests: Cell::default(),
        };
        if !named && gate.scratch.exists() {
            fs::remove_dir_all(&gate.scratch)?;
        }
        fs::create_dir_all(&gate.scratch)?;
        gate.status = gate.git("status --porcelain").output()?;
        Ok(gate)
    }

    /// Of the model build. Neither build throws away what the other has built.
    pub fn model_target(&self) -> PathBuf {
        self.target.join("loom")
    }

    pub fn read(&self, file: impl AsRef<Path>) -> Outcome<String> {
        let file = file.as_ref();
        fs::read_to_string(self.root.join(file)).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// For a step that cannot run here, and without which the gate is still one.
    pub fn skip(&self, why: &str) -> Outcome {
        if self.named {
            return Err(why.into());
        }
        println!("skipped: {why}");
        Ok(())
    }

    /// A command of these words.
    pub fn program(&self, words: &str) -> Run<'_> {
        let words = words.split_whitespace().map(OsString::from).collect();
        Run { gate: self, words, variables: Vec::new(), target: self.target.clone() }
    }

    pub fn cargo(&self, words: &str) -> Run<'_> {
        self.program("cargo").args(words.split_whitespace())
    }

    pub fn git(&self, words: &str) -> Run<'_> {
        self.program("git").args(words.split_whitespace())
    }
}

/// A command, to be run in the checkout.
#[must_use]
pub struct Run<'a> {
    gate: &'a Gate,
    words: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    target: PathBuf,
}

impl Run<'_> {
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    pub fn args<T: AsRef<OsStr>>(self, words: impl IntoIterator<Item = T>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name, value.as_ref().to_owned()));
        self
    }

    /// With a target directory of its own.
    pub fn target(mut self, target: PathBuf) -> Self {
        self.target = target;
        self
    }

    /// In a model build.
    pub fn loom(self) -> Self {
        let target = self.gate.model_target();
        self.target(target).env("RUSTFLAGS", "--cfg loom")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(&self.gate.root).stdin(Stdio::null());
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TARGET_DIR", &self.target);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// As it would be typed.
    fn words(&self) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}=\"{}\" ", value.to_string_lossy()));
        let words = self.words.iter().map(|word| word.to_string_lossy());
        variables.collect::<String>() + &words.collect::<Vec<_>>().join(" ")
    }

    fn begin(&self) {
        println!("+ {}", self.words());
    }

    fn cannot_start(&self, error: &io::Error) -> Box<dyn Error> {
        format!("`{}` cannot be run here: {error}", self.words[0].to_string_lossy()).into()
    }

    /// Says what is run, runs it, and shows what it says.
    pub fn run(&self) -> Outcome {
        self.begin();
        let status = self.command().status().map_err(|error| self.cannot_start(&error))?;
        if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", self.words()).into()) }
    }

    /// The same, for tests: they are counted.
    pub fn counted(&self) -> Outcome {
        self.begin();
        let mut child = self.command().stdout(Stdio::piped()).spawn().map_err(|error| self.cannot_start(&error))?;
        let mut said = BufReader::new(child.stdout.take().ok_or("it is piped")?);
        let (mut line, mut out) = (Vec::new(), io::stdout());
        while said.read_until(b'\n', &mut line)? > 0 {
            out.write_all(&line)?;
            if let Some((passed, failed)) = result(&String::from_utf8_lossy(&line)) {
                let (all_passed, all_failed) = self.gate.tests.get();
                self.gate.tests.set((all_passed + passed, all_failed + failed));
            }
            line.clear();
        }
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", self.words()).into()) }
    }

    /// What it says, if it succeeds; nothing is shown.
    pub fn output(&self) -> Outcome<String> {
        let Output { status, stdout, .. } =
            self.command().stderr(Stdio::inherit()).output().map_err(|error| self.cannot_start(&error))?;
        if !status.success() {
            return Err(format!("`{}` failed: {status}", self.words()).into());
        }
        Ok(String::from_utf8(stdout)?)
    }

    /// Whether it succeeds; nothing is shown.
    pub fn succeeds(&self) -> bool {
        self.command().stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

/// How many tests have passed and failed, in a line of the test harness that says so.
fn result(line: &str) -> Option<(usize, usize)> {
    let mut parts = line.strip_prefix("test result: ")?.split_once(". ")?.1.split("; ");
    let mut number = |what| parts.next()?.strip_suffix(what)?.trim().parse().ok();
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::{Package, result};

    #[test]
    fn published_leaves_out_what_is_not_and_has_the_crate_itself_first() {
        let package = |name: &str, publish: serde_json::Value| {
            json!({
                "name": name, "version": "0.1.0", "rust_version": "1.85", "publish": publish,
                "manifest_path": format!("/here/{name}/Cargo.toml"),
            })
        };
        let packages =
            [package("a", json!(null)), package("tool", json!([])), package("latchwork", json!(["registry"]))];
        let published = Package::published(&json!({ "packages": packages })).unwrap();
        assert_eq!(published.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["latchwork", "a"]);
        assert_eq!(published[1].folder, Path::new("/here/a"));
        let others = json!({ "packages": &packages[..1] });
        assert!(Package::published(&others).is_err(), "it is another workspace");
        let mut old = package("latchwork", json!(null));
        old["rust_version"] = json!(null);
        let error = Package::published(&json!({ "packages": [old] })).unwrap_err();
        assert_eq!(error.to_string(), "latchwork has no rust-version");
    }

    #[test]
    fn result_reads_the_harness_own_count() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        assert_eq!(result(line), Some((12, 0)));
        assert_eq!(result("test result: FAILED. 5 passed; 7 failed; 0 ignored"), Some((5, 7)));
        assert_eq!(result("test tests::result: ok"), None);
    }
}
