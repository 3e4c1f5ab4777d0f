//! The server: one order of events, in a SQLite file.
//!
//! A push is one transaction that looks at the last event and appends. Its answer leaves once the transaction is on the disk.
//! A pull is a response that does not end: it reads a page, and waits where there is none. The [`Epoch`] is read before the
//! file is, so that a push in between is not missed.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use futures_util::stream;
use latchwork::Epoch;
use rusqlite::{Connection, TransactionBehavior};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use crate::{Conflict, LOG, Note, Pulled, Push, Refusal};

/// A pull that has nothing to say gives out an empty page after this time. A client that hears nothing for much longer has
/// lost its connection.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// The most events in a page, and the most bytes in a push.
const PAGE: u64 = 100;
const BODY: usize = 64 * 1024;

/// A log in a file.
#[derive(Debug, Clone)]
pub struct Server {
    db: Arc<Mutex<Connection>>,
    news: Arc<Epoch>,
    id: HeaderValue,
}

impl Server {
    /// Opens the file, or makes one.
    ///
    /// # Errors
    ///
    /// If it is no such file, or cannot be written.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.execute_batch(
            "PRAGMA journal_mode = wal;
             PRAGMA synchronous = full;
             BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL) STRICT;
             INSERT INTO identity SELECT lower(hex(randomblob(8))) WHERE NOT EXISTS (SELECT * FROM identity);
             COMMIT",
        )?;
        let id: String = db.query_row("SELECT id FROM identity", [], |row| row.get(0))?;
        let id = HeaderValue::try_from(id).map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Self { db: Arc::new(Mutex::new(db)), news: Arc::default(), id })
    }

    /// Serves it.
    ///
    /// # Errors
    ///
    /// If no connection can be had any more.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let events = routing::post(push).get(pull).head(identity);
        let router = Router::new().route("/events", events).layer(DefaultBodyLimit::max(BODY));
        axum::serve(listener, router.layer(from_fn_with_state(self.clone(), names_log)).with_state(self)).await
    }

    /// Does this with the database, where it may block.
    async fn with_db<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Response> {
        let db = Arc::clone(&self.db);
        let work = move || work(&mut db.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(output)) => Ok(output),
            // It may be the commit that failed: the client does not know what became of its push, and neither does this.
            Ok(Err(error)) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()),
            Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()),
        }
    }
}

/// Says in each answer which log this is, and lets no client in that belongs to another.
async fn names_log(State(server): State<Server>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let mut response = match headers.get(LOG) {
        Some(id) if id != server.id => StatusCode::PRECONDITION_FAILED.into_response(),
        _ => next.run(request).await,
    };
    response.headers_mut().insert(LOG, server.id);
    response
}

/// What a client asks that does not know yet which log this is.
async fn identity() {}

async fn push(State(server): State<Server>, Json(push): Json<Push>) -> Result<StatusCode, Response> {
    if let Some(index) = push.notes.iter().position(|note| note.text.is_empty()) {
        let refusal = Refusal { index, error: "a note says something".to_owned() };
        return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response());
    }
    let head = server.with_db(move |db| append(db, &push)).await?;
    if let Err(head) = head {
        return Err((StatusCode::CONFLICT, Json(Conflict { head })).into_response());
    }
    server.news.bump();
    Ok(StatusCode::NO_CONTENT)
}

/// Appends the events, if they follow the last one. Otherwise gives that one's number.
fn append(db: &mut Connection, push: &Push) -> rusqlite::Result<Result<(), u64>> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let head = head(&transaction)?;
    if head != push.base {
        return Ok(Err(head));
    }
    for (number, note) in (head + 1..).zip(&push.notes) {
        let note =
            serde_json::to_string(note).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        transaction.execute("INSERT INTO log VALUES (?1, ?2)", (number, note))?;
    }
    transaction.commit()?;
    Ok(Ok(()))
}

fn head(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT ifnull(max(number), 0) FROM log", [], |row| row.get(0))
}

/// The events after `after`, `most` of them at most, and how many follow; or the last event's number, if that is before.
fn page(db: &mut Connection, after: u64, most: u64) -> rusqlite::Result<Result<Pulled, u64>> {
    let snapshot = db.transaction()?;
    let head = head(&snapshot)?;
    if head < after {
        return Ok(Err(head));
    }
    let mut select = snapshot.prepare_cached("SELECT note FROM log WHERE number > ?1 ORDER BY number LIMIT ?2")?;
    let note = |row: &rusqlite::Row<'_>| {
        let text: String = row.get(0)?;
        serde_json::from_str(&text).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    };
    let notes = select.query_map((after, most), note)?.collect::<rusqlite::Result<Vec<Note>>>()?;
    Ok(Ok(Pulled { from: after + 1, more: head - after - notes.len() as u64, notes }))
}

#[derive(Deserialize)]
struct Cursor {
    after: u64,
}

async fn pull(State(server): State<Server>, Query(cursor): Query<Cursor>) -> Result<impl IntoResponse, Response> {
    if let Err(head) = server.with_db(move |db| page(db, cursor.after, 0)).await? {
        return Err((StatusCode::CONFLICT, Json(Conflict { head })).into_response());
    }
    // The first page comes at once, also if there is nothing: it says that the client has all.
    let pages = stream::try_unfold((server, cursor.after, true), async |(server, after, at_once)| {
        let until = Instant::now() + if at_once { Duration::ZERO } else { HEARTBEAT };
        loop {
            let seen = server.news.current(); // before the look
            let Ok(Ok(page)) = server.with_db(move |db| page(db, after, PAGE)).await else { return Ok(None) };
            if page.notes.is_empty() && timeout_at(until, server.news.past(seen)).await.is_ok() {
                continue;
            }
            let after = after + page.notes.len() as u64;
            let event = Event::default().json_data(page).unwrap_or_default();
            return Ok::<_, Infallible>(Some((event, (server, after, false))));
        }
    });
    Ok(Sse::new(pages))
}

/// All events of a file.
///
/// # Errors
///
/// If it cannot be read.
pub fn read_all(path: &Path) -> rusqlite::Result<Vec<Note>> {
    let all = page(&mut Connection::open(path)?, 0, i64::MAX as u64)?;
    Ok(all.map(|page| page.notes).unwrap_or_default())
}
