//! One file that orders everybody's events, shared by processes.
//!
//! # Pushing
//!
//! One immediate transaction: no other writes between the look at the head and the commit. Whatever fails before the
//! commit has certainly not been applied; a commit that fails leaves the outcome unknown.
//!
//! # Live pulls
//!
//! SQLite tells no other process of a commit. So a client that has committed *rings*: it writes a byte into the file
//! `…-bell`, which every upstream watches through the operating system. The bell rings only after the commit: one that
//! hears it finds the events. It counts an [`Epoch`]; a pull reads that before it looks into the file, and parks only
//! past what it read.
//!
//! A process that dies between commit and bell has not rung, and not every file system tells of writes. Therefore a pull
//! that hears nothing looks again after [`LOOK_AGAIN`]. It then gives out an empty page, for a client that counts how long a
//! pull has been silent.
//!
//! # A file that is older than it was
//!
//! Restored from a backup, the file lacks events that clients have. So each push and each pull looks first: the file must be
//! the one that was opened, have the same identity, and reach as far as the client has been told. Otherwise it is fatal, with
//! a sentence that says which of these it is. It goes unnoticed if the older file has grown past that again meanwhile.
//!
//! # A disk that is full, or broken
//!
//! It is the commit that fails, and then it cannot be said whether it will be found in the file: the outcome is unknown. Once
//! a pull has shown it, the next push is not tried but says what was wrong, for the owner to decide.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Display, Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use latchwork::log::Log;
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, SharedError, Upstream};
use latchwork::{Epoch, Interrupt, Waited};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::event::Entry;
use crate::file::{self, FileError, Kind};
use crate::trail::{Activity, Point, Trail};

/// How long a pull that hears nothing waits before it looks all the same.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An upstream in a file.
#[derive(Debug)]
pub struct SqliteUpstream {
    path: PathBuf,
    id: String,
    /// Which file on the disk it is, where the system tells.
    on_disk: Option<OnDisk>,
    page: usize,
    look_again: Duration,
    pushing: Mutex<Pushing>,
    /// The last batch that was taken, as it was sent: a pull that comes to it need not read it again.
    sent: Mutex<Vec<Entry>>,
    /// Opened by the first pull.
    pulling: Mutex<Option<Connection>>,
    bell: Mutex<File>,
    /// Counts what the watcher heard.
    rung: Arc<Epoch>,
    /// Begun by the first pull that waits. `None` where the system does not tell of changes, or not any more: then only looking
    /// again is left.
    watcher: OnceLock<Option<Mutex<RecommendedWatcher>>>,
    trail: Arc<Trail>,
}

/// A device, and a file on it.
type OnDisk = (u64, u64);

/// Why there can be no push and no pull.
enum Unfit {
    /// Another attempt may find it better.
    Now(SharedError),
    ForGood(FatalKind, SharedError),
}

#[derive(Debug)]
struct Pushing {
    db: Connection,
    /// Why the last commit failed, until that has been told.
    failed: Option<FileError>,
}

impl SqliteUpstream {
    /// Opens the file, or makes one. A pull's pages have `page` events at most.
    ///
    /// # Errors
    ///
    /// If it is no upstream, or cannot be written.
    pub fn open(path: &Path, page: usize) -> Result<Self, FileError> {
        let db = file::open(path, Kind::Upstream)?;
        let on_disk = on_disk(path).map_err(|error| file::explain_io(path, &error))?;
        let id = identity(&db).map_err(|error| file::explain(path, &error))?;
        let bell_path = bell_path(path);
        let bell = OpenOptions::new().create(true).truncate(false).write(true).open(&bell_path);
        let bell = bell.map_err(|error| file::explain_io(&bell_path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            id,
            on_disk,
            page: page.max(1),
            look_again: LOOK_AGAIN,
            pushing: Mutex::new(Pushing { db, failed: None }),
            sent: Mutex::default(),
            pulling: Mutex::default(),
            bell: Mutex::new(bell),
            watcher: OnceLock::new(),
            rung: Arc::new(Epoch::new()),
            trail: Arc::default(),
        })
    }

    /// The same upstream, whose pulls look again after another time than [`LOOK_AGAIN`].
    #[must_use]
    pub fn with_look_again(self, look_again: Duration) -> Self {
        Self { look_again, ..self }
    }

    /// The same upstream, saying what it does.
    #[must_use]
    pub fn with_trail(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// What tells this upstream from all others.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Begins to listen. Returns whether it did so just now: then it has not heard what had rung before.
    fn listens_anew(&self) -> bool {
        let mut anew = false;
        self.watcher.get_or_init(|| {
            anew = true;
            watch(&bell_path(&self.path), Arc::clone(&self.rung)).map(Mutex::new).ok()
        });
        anew
    }

    fn ring(&self) {
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        // The events are in the file; a client that does not hear of them looks again by itself.
        let _unheard = bell.seek(SeekFrom::Start(0)).and_then(|_| bell.write_all(b"!"));
    }

    /// Takes the batch in if it follows the head. Nothing has been applied if this fails; the caller commits.
    fn take<L>(&self, db: &Connection, batch: &Batch<L>) -> Result<(), PushError<u64>>
    where
        L: Log<Entry = Entry, Position = u64>,
    {
        let head = self.look(db, batch.base)?;
        if batch.base != head {
            return Err(PushError::Behind { head: Some(head) });
        }
        let mut previous = head;
        for entry in &batch.entries {
            if entry.position != previous + 1 {
                let error = format!("event {} does not follow event {previous}", entry.position).into();
                return Err(PushError::Fatal { kind: FatalKind::Other, error });
            }
            previous = entry.position;
        }
        file::append(db, &batch.entries).map_err(|error| self.unfit(&error).into())
    }

    /// Where the file ends, if it still is what it was when a client was told of the event `known`.
    fn look(&self, db: &Connection, known: u64) -> Result<u64, Unfit> {
        let path = self.path.display();
        if on_disk(&self.path).map_err(|error| Unfit::Now(file::explain_io(&self.path, &error).into()))? != self.on_disk
        {
            return Err(match file::glance(&self.path) {
                Ok((id, head)) if id == self.id && head < known => went_back(&path, head, known),
                Ok((id, _)) if id != self.id => another(&path),
                Ok(_) | Err(_) => Unfit::ForGood(
                    FatalKind::Other,
                    format!("{path} was swapped for another file while it was open").into(),
                ),
            });
        }
        if identity(db).map_err(|error| self.unfit(&error))? != self.id {
            return Err(another(&path));
        }
        let head = head(db).map_err(|error| self.unfit(&error))?;
        if head < known { Err(went_back(&path, head, known)) } else { Ok(head) }
    }

    /// What SQLite's error comes to, unless a commit failed.
    fn unfit(&self, error: &rusqlite::Error) -> Unfit {
        let (passes, error) = (may_pass(error), file::explain(&self.path, error).into());
        if passes { Unfit::Now(error) } else { Unfit::ForGood(FatalKind::Other, error) }
    }

    /// What follows `cursor`, if this client has just sent that.
    fn sent_after(&self, cursor: u64) -> Option<Vec<Entry>> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = (cursor + 1).checked_sub(sent.first()?.position)?;
        let rest = sent.get(usize::try_from(skipped).ok()?..)?;
        (!rest.is_empty()).then(|| rest.iter().take(self.page).cloned().collect())
    }

    /// What follows `cursor`, and how much is beyond.
    fn read(&self, cursor: u64) -> Result<Page<Entry>, Unfit> {
        let unfit = |error| self.unfit(&error);
        let mut pulling = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
        let db = match &mut *pulling {
            Some(db) => db,
            none => none.insert(file::open_made(&self.path, Kind::Upstream)?),
        };
        // One transaction, so that all queries see the same events.
        let snapshot = db.unchecked_transaction().map_err(unfit)?;
        let head = self.look(&snapshot, cursor)?;
        let entries = match self.sent_after(cursor) {
            Some(sent) => sent,
            None => follow(&snapshot, cursor, self.page).map_err(unfit)?,
        };
        let last = entries.last().map_or(cursor, |entry| entry.position);
        let more = match head.saturating_sub(last) {
            0 => More::None,
            rest => More::Events(rest),
        };
        Ok(Page { entries, more })
    }
}

impl From<FileError> for Unfit {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Locked(_) | FileError::Away(_) => Self::Now(error.into()),
            _ => Self::ForGood(FatalKind::Other, error.into()),
        }
    }
}

impl From<Unfit> for PushError<u64> {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Now(error) => Self::Unavailable { retry_after: None, error },
            Unfit::ForGood(kind, error) => Self::Fatal { kind, error },
        }
    }
}

impl From<Unfit> for PullError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Now(error) => Self::Unavailable { retry_after: None, error },
            Unfit::ForGood(kind, error) => Self::Fatal { kind, error },
        }
    }
}

impl<L> Upstream<L> for SqliteUpstream
where
    L: Log<Entry = Entry, Position = u64>,
{
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        if let Err(interrupted) = interrupt.check() {
            return Err(Unfit::Now(interrupted.into()).into());
        }
        let Pushing { db, failed } = &mut *self.pushing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed.take() {
            return Err(PushError::Fatal { kind: FatalKind::Other, error: error.into() });
        }
        let immediate = TransactionBehavior::Immediate;
        let transaction = self.trail.time(Activity::AwaitingLock, || db.transaction_with_behavior(immediate));
        let transaction = transaction.map_err(|error| self.unfit(&error))?;
        self.trail.time(Activity::Pushing, || {
            self.take(&transaction, batch)?;
            self.trail.at(Point::PushWritten);
            transaction.commit().map_err(|error| match error.sqlite_error_code() {
                // Of these SQLite promises that the transaction is still open; dropping it has rolled it back.
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => self.unfit(&error).into(),
                _ => {
                    let error = failed.insert(file::explain(&self.path, &error)).clone();
                    PushError::Uncertain { error: error.into() }
                }
            })
        })?;
        self.trail.at(Point::PushDurable);
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&batch.entries);
        self.ring();
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        Pages { upstream: self, interrupt, cursor, caught_up: false, ended: false }
    }
}

/// A live pull.
struct Pages<'a> {
    upstream: &'a SqliteUpstream,
    interrupt: &'a Interrupt,
    cursor: u64,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    ended: bool,
}

impl Iterator for Pages<'_> {
    type Item = Result<Page<Entry>, PullError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            // Before the look: a bell that rings after it is past this.
            let seen = self.upstream.rung.current();
            if let Err(interrupted) = self.interrupt.check() {
                self.ended = true;
                return Some(Err(PullError::Unavailable { retry_after: None, error: interrupted.into() }));
            }
            let SqliteUpstream { rung, trail, look_again, .. } = self.upstream;
            let page = match trail.time(Activity::Reading, || self.upstream.read(self.cursor)) {
                Ok(page) => page,
                Err(unfit) => {
                    self.ended = true;
                    return Some(Err(unfit.into()));
                }
            };
            if page.entries.is_empty() && self.caught_up {
                if self.upstream.listens_anew() {
                    continue;
                }
                let until = Instant::now() + *look_again;
                let listen = || rung.past(seen).wait_or(self.interrupt, Some(until));
                match trail.time(Activity::Listening, listen) {
                    // The file answers, and has nothing.
                    Waited::TimedOut => return Some(Ok(page)),
                    Waited::Ready(_) | Waited::Interrupted(_) => continue,
                }
            }
            if !page.entries.is_empty() {
                trail.at(Point::PageRead);
            }
            if let Some(last) = page.entries.last() {
                self.cursor = last.position;
            }
            self.caught_up |= page.more == More::None;
            return Some(Ok(page));
        }
        None
    }
}

/// The bell of the upstream in this file.
#[must_use]
pub fn bell_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-bell");
    name.into()
}

/// Counts what happens to the bell for as long as the watcher lives.
fn watch(bell: &Path, rung: Arc<Epoch>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Opening the file is no ring. An error may have swallowed one.
        if event.is_err() || event.is_ok_and(|event| !event.kind.is_access()) {
            rung.bump();
        }
    })?;
    watcher.watch(bell, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn identity(db: &Connection) -> rusqlite::Result<String> {
    db.prepare_cached("SELECT id FROM identity")?.query_row([], |row| row.get(0))
}

fn head(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM log")?.query_row([], |row| row.get(0))
}

fn follow(db: &Connection, cursor: u64, most: usize) -> rusqlite::Result<Vec<Entry>> {
    let mut select = db.prepare_cached("SELECT * FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    select.query_map((cursor, most), file::entry)?.collect()
}

/// Which file on the disk this is, where the system tells. It is not opened.
fn on_disk(path: &Path) -> std::io::Result<Option<OnDisk>> {
    let metadata = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Some((metadata.dev(), metadata.ino())))
    }
    #[cfg(not(unix))]
    Ok(None.filter(|_| metadata.is_file()))
}

fn went_back(path: &Display<'_>, head: u64, known: u64) -> Unfit {
    let error = format!("{path} ends at event {head}, and event {known} had been there");
    Unfit::ForGood(FatalKind::WentBack, error.into())
}

fn another(path: &Display<'_>) -> Unfit {
    Unfit::ForGood(FatalKind::IdentityMismatch, format!("{path} is not the one that the clients belong to").into())
}

/// Whether another attempt may find it better.
fn may_pass(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseBusy, DatabaseLocked, FileLockingProtocolFailed};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | FileLockingProtocolFailed))
}
