//! What cannot begin, or cannot go on, says so in one sentence, ends with exit code 2, and harms nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

fn node_sync() -> Command {
    Command::new(env!("CARGO_BIN_EXE_node-sync"))
}

/// Ends with exit code 2 and one sentence, which says this.
fn is_refused(command: &mut Command, expected: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    let sentences = said.lines().filter(|line| !line.contains("committed ")).count();
    println!("{}", said.trim_end());
    assert_eq!(status.code(), Some(2), "{said} {stdout:?}");
    assert!(said.contains(expected) && sentences == 1, "expected “{expected}”, got: {said}");
    assert!(stdout.is_empty());
}

/// What is in a directory. Not to be called while this process has one of the files open.
fn contents(dir: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).ok())).collect()
}

/// A run in this directory is refused, and the directory is as it was.
fn is_refused_in(dir: &Path, expected: &str) {
    let before = contents(dir);
    is_refused(node_sync().args(["--todos", "3,3", "--dir"]).arg(dir), expected);
    assert_eq!(contents(dir), before, "something has changed");
}

/// A directory in which a job has been done.
fn done() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    goes_on(dir.path(), "3,3");
    dir
}

/// The job in this directory can be finished.
fn goes_on(dir: &Path, todos: &str) {
    let steps = ["--commit-batch", "100", "--push-batch", "1000", "--page", "1000"];
    let output = node_sync().args(steps).args(["--todos", todos, "--dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn impossible_options() {
    for (options, expected) in [
        ("--upstream memory", "an upstream in memory cannot be shared by processes: say --processes one"),
        ("--upstream memory --processes one --dir .", "an upstream in memory cannot be continued"),
        ("--time-limit 0", "the time limit must be from 1 to 1000000 seconds"),
        ("--todos 100000001", "more than 100000000 todos are too many"),
        ("--todos many", "invalid value 'many' for '--todos"),
        ("--todos -1", "unexpected argument '-1' found"),
        ("--push-batch 0", "invalid value '0' for '--push-batch"),
        ("--faults reject=2", "a probability must be from 0 to 0.9, not 2"),
        ("--faults reject=NaN", "a probability must be from 0 to 0.9, not NaN"),
        ("--faults reject", "\"reject\" is not NAME=PROBABILITY"),
        ("--max-pending 9 --commit-batch 10", "--max-pending must be --commit-batch or more"),
        ("--patience 0", "invalid value '0' for '--patience"),
        ("--faults rain=0.1", "\"rain\" is no fault: those are reject, disconnect, lose-answer, lose-echo, delay"),
        ("--processes some", "invalid value 'some' for '--processes"),
        ("--frobnicate", "unexpected argument '--frobnicate' found"),
        ("todo", "unrecognized subcommand 'todo'"),
    ] {
        is_refused(node_sync().args(options.split(' ')), expected);
    }
    let many = vec!["1"; 65].join(",");
    is_refused(node_sync().args(["--todos", &many]), "more than 64 clients are too many");
}

#[test]
fn a_directory_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    is_refused(node_sync().arg("--dir").arg(&file), "file is not a directory");
    is_refused(node_sync().arg("--dir").arg(file.join("below")), "cannot be made: ");
    assert_eq!(contents(dir.path()).len(), 1);
}

#[test]
fn a_file_that_is_no_database() {
    for name in ["upstream.db", "client1.db"] {
        for text in ["short", &"this is no database at all. ".repeat(100)] {
            let dir = done();
            fs::write(dir.path().join(name), text).unwrap();
            is_refused_in(dir.path(), &format!("{name} is not a database"));
        }
        let dir = done();
        fs::remove_file(dir.path().join(name)).unwrap();
        fs::create_dir(dir.path().join(name)).unwrap();
        is_refused_in(dir.path(), &format!("{name} cannot be used: it is not a file"));
    }
}

#[test]
fn a_database_that_is_damaged() {
    let dir = done();
    let path = dir.path().join("upstream.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    is_refused_in(dir.path(), "upstream.db cannot be used: database disk image is malformed");
}

#[test]
fn a_database_of_another_kind() {
    let dir = done();
    fs::copy(dir.path().join("client1.db"), dir.path().join("upstream.db")).unwrap();
    is_refused_in(dir.path(), "upstream.db is a database of another kind: expected an upstream of node-sync");

    // Alone, so that a run could make all others.
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join("client2.db")).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    is_refused_in(dir.path(), "client2.db is a database of another kind: expected a client of node-sync");

    // As it was left by a process that was killed: to open and close it would finish that process's work.
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = Connection::open(live.path().join("upstream.db")).unwrap();
    theirs.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    for name in ["upstream.db", "upstream.db-wal"] {
        fs::copy(live.path().join(name), dir.path().join(name)).unwrap();
    }
    is_refused_in(dir.path(), "upstream.db is a database of another kind");
}

#[test]
fn a_file_of_another_client() {
    let (dir, other) = (done(), done());
    fs::copy(dir.path().join("client1.db"), dir.path().join("client2.db")).unwrap();
    is_refused_in(dir.path(), "client2.db belongs to client client1: expected client client2");
    fs::copy(other.path().join("client2.db"), dir.path().join("client2.db")).unwrap();
    is_refused_in(dir.path(), "client2.db belongs to upstream ");
    fs::remove_file(dir.path().join("upstream.db")).unwrap();
    is_refused_in(dir.path(), "client1.db is there, but its upstream is not: ");
}

#[test]
fn a_job_that_is_smaller_than_what_is_there() {
    let dir = done();
    goes_on(dir.path(), "30,20");
    is_refused_in(dir.path(), "client1.db has more events than this job");
}

#[test]
fn a_file_that_is_locked() {
    let dir = done();
    let before = contents(dir.path());
    for name in ["upstream.db", "client2.db"] {
        let other = Connection::open(dir.path().join(name)).unwrap();
        for lock in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
            other.execute_batch(lock).unwrap();
            let command = &mut node_sync();
            is_refused(command.arg("--dir").arg(dir.path()), &format!("{name} is locked by another process"));
            other.execute_batch("ROLLBACK").unwrap();
        }
    }
    assert_eq!(contents(dir.path()), before);
    goes_on(dir.path(), "30,20");
}

/// Modes do not bind root: then the command runs as another user.
#[cfg(unix)]
#[test]
fn a_file_without_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    const UNPRIVILEGED: u32 = 65534;
    let dir = done();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let is_root = fs::metadata(dir.path()).unwrap().uid() == 0;
    // Where any user can reach it.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("node-sync");
    fs::copy(env!("CARGO_BIN_EXE_node-sync"), &program).unwrap();
    mode(place.path(), 0o755);
    mode(&program, 0o755);
    let bound = |dir: &Path| {
        let mut command = Command::new(&program);
        if is_root {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        command.args(["--todos", "3,3", "--dir"]).arg(dir);
        command
    };
    if let Err(error) = bound(dir.path()).output() {
        println!("skipped: root may not be another user here: {error}");
        return;
    }
    let before = contents(dir.path());
    let all = |files, of_dir| {
        for name in before.keys() {
            mode(&dir.path().join(name), files);
        }
        mode(dir.path(), of_dir);
    };
    let refused = |expected: &str| is_refused(&mut bound(dir.path()), expected);
    all(0o444, 0o755);
    refused("upstream.db cannot be read and written: no permission");
    all(0o000, 0o755);
    refused("upstream.db cannot be read and written: no permission");
    // The files could be written, but nothing can be made beside them.
    all(0o666, 0o555);
    refused("upstream.db cannot be read and written: no permission");
    all(0o666, 0o000);
    refused("upstream.db cannot be read and written: no permission");
    all(0o644, 0o755);
    assert_eq!(contents(dir.path()), before);
    goes_on(dir.path(), "30,20");

    let empty = tempfile::tempdir().unwrap();
    mode(empty.path(), 0o555);
    is_refused(&mut bound(empty.path()), "upstream.db cannot be read and written: no permission");
    is_refused(&mut bound(&empty.path().join("new")), "new cannot be made: Permission denied");
    assert_eq!(contents(empty.path()).len(), 0);
}

/// Runs what must end soon, although the others still have much to do.
#[cfg(target_os = "linux")]
fn is_refused_soon(command: &mut Command, expected: &str) {
    let begun = Instant::now();
    is_refused(command, expected);
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}

/// A file that may not grow any more, for any user.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_grow() {
    for todos in ["200000,3", "3,200000"] {
        let dir = done();
        // In units of 512 bytes or of 1 KiB, as the shell likes. Who ignores the signal gets an error.
        let script = "trap '' XFSZ; ulimit -f 200; exec \"$@\"";
        let mut limited = Command::new("sh");
        limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_node-sync"), "--todos", todos, "--dir"]).arg(dir.path());
        is_refused_soon(&mut limited, ".db cannot be used: disk I/O error");
        goes_on(dir.path(), "20000,20000");
    }
}

/// A disk that is full: one of 600 KiB, which only root of a user namespace may make.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        let script = "small=$1/small; command=$2; mkdir -p $small;
            mount -t tmpfs -o size=600k tmpfs $small || exit 77;
            run() { $command --commit-batch 10 --todos $1,$1 --dir $2; };
            "
        .to_owned()
            + script;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
        command.arg(dir.path()).arg(env!("CARGO_BIN_EXE_node-sync"));
        command
    };
    match in_namespace("exit 0").output() {
        Ok(output) if output.status.success() => {}
        none => return println!("skipped: no file system of our own here: {none:?}"),
    }
    let full = ".db cannot be written: the disk is full";
    // Whose file is the first to find it full is left to chance.
    is_refused_soon(&mut in_namespace("run 200000 $small/all"), full);
    // Upstream's alone: a push that has failed is uncertain first.
    let alone = "d=$1/alone; run 3 $d >$1/said && mv $d/upstream.db $small && ln -s $small/upstream.db $d || exit 78; ";
    is_refused_soon(&mut in_namespace(&(alone.to_owned() + "run 200000 $d")), &("alone/upstream".to_owned() + full));
    fs::remove_dir_all(dir.path().join("alone")).unwrap();
    // With more room, both go on: what is there is less than this.
    for begin in ["d=$small/all; ", alone] {
        let end = "run 4000 $d 2>$1/full; grep -q 'disk is full' $1/full || exit 79;
            mount -o remount,size=60m $small && run 4000 $d >$1/said 2>$1/errors || exit 80;
            grep -q equal: $1/said && echo it went on >&2; exit 2";
        is_refused(&mut in_namespace(&(begin.to_owned() + end)), "it went on");
    }
}
