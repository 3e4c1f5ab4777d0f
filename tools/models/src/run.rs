//! Runs what is explored.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use crate::data::Data;
use crate::mutate::SOURCES;

/// Where things are.
pub struct Place {
    /// The repository.
    pub root: PathBuf,
    /// Of the normal build.
    target: PathBuf,
    /// What the build with the known bugs is made from, if not from this place.
    switched: Option<PathBuf>,
}

impl Place {
    pub fn new() -> Self {
        // Asked when it runs: two clones may share what was built of one of them.
        let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = here.ancestors().nth(2).expect("tools/models is two levels deep").to_owned();
        let target = root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        Self { root, target, switched: None }
    }

    pub fn report(&self) -> PathBuf {
        self.root.join("loom-tests/REPORT.md")
    }

    /// The model build has a target directory of its own: neither build throws away what the other has built.
    pub fn models(&self) -> PathBuf {
        self.target.join("loom")
    }

    /// Of the normal build.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where `cargo mutants -o target` writes to.
    pub fn mutants(&self) -> PathBuf {
        self.target.join("mutants.out")
    }

    /// A copy of everything that git knows or would know, under the target directory. It has a
    /// target directory of its own: cargo tells two copies of a workspace apart by nothing but the age of their files, and
    /// would take what it has built of one for the other.
    ///
    /// Its source may be changed at will. The known bugs are edits of the source as it was, and remain those of that.
    pub fn copy(&self, name: &str) -> io::Result<Self> {
        let [root, unchanged] = ["tree", "unchanged"].map(|folder| self.target.join(name).join(folder));
        for folder in [&root, &unchanged] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = git.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !listed.status.success() {
            return Err(io::Error::other("git does not say what there is to copy"));
        }
        for file in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let from = self.root.join(file);
            // Deleted, and not committed yet.
            if !from.exists() {
                continue;
            }
            let copies = [&root, &unchanged].map(|folder| folder.join(file));
            let ships = SOURCES.iter().any(|source| Path::new(file).starts_with(source));
            for to in copies.iter().take(if ships { 2 } else { 1 }) {
                fs::create_dir_all(to.parent().expect("it is in the copy"))?;
                fs::copy(&from, to)?;
            }
        }
        Ok(Self { root, target: self.target.join(name), switched: Some(unchanged) })
    }

    /// cargo, for the normal build.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
            cargo.env_remove(name);
        }
        cargo.envs(self.switched.as_ref().map(|source| ("LATCHWORK_SWITCHED_SOURCE", source)));
        cargo
    }

    /// cargo, for the model build.
    pub fn cargo_loom(&self) -> Command {
        let mut cargo = self.cargo();
        cargo.env("CARGO_TARGET_DIR", self.models()).env("RUSTFLAGS", "--cfg loom");
        cargo
    }

    /// Runs the models whose names contain `filter`, so many at a time, and, if there is no filter, the state search.
    /// Gives what they wrote down, and whether everything passed.
    pub fn explore(&self, filter: Option<&str>, jobs: Option<usize>) -> io::Result<(Data, bool)> {
        let file = self.models().join("explored.jsonl");
        fs::create_dir_all(self.models())?;
        fs::write(&file, "")?;
        let mut models = self.cargo_loom();
        models.args(["test", "--quiet", "--test", "models"]);
        models.env("LATCHWORK_DATA", &file).env("LATCHWORK_LINES", "long");
        models.arg("--").args(filter);
        if filter.is_some() {
            models.arg("the_index_is_written_down");
        }
        if let Some(jobs) = jobs {
            models.arg(format!("--test-threads={jobs}"));
        }
        let mut passed = run(&mut models)?;
        if filter.is_none() {
            let mut search = self.cargo();
            search.args(["test", "--quiet", "--test", "search"]).env("LATCHWORK_DATA", &file);
            passed &= run(search.env_remove("LATCHWORK_SEARCH"))?;
            let mut induction = self.cargo();
            induction.args(["test", "--quiet", "--test", "induction"]).env("LATCHWORK_DATA", &file);
            passed &= run(induction.env_remove("LATCHWORK_INDUCTION"))?;
        }
        Ok((self.data(&file)?, passed))
    }

    pub fn data(&self, file: &Path) -> io::Result<Data> {
        let text = fs::read_to_string(file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        Data::read(&text).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
    }
}

/// Runs it, with the harness's own words out of the way: what is told stands on stderr.
fn run(command: &mut Command) -> io::Result<bool> {
    Ok(command.stdin(Stdio::null()).stdout(io::stderr()).status()?.success())
}
