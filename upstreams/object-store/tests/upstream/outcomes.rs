//! Each line of the table of outcomes.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use latchwork::upstream::{AsyncPull, AsyncUpstream, FatalKind, PullError, PushError};
use latchwork_object_store::object_store::memory::InMemory;
use latchwork_object_store::object_store::path::Path;
use latchwork_object_store::object_store::{self, *};
use latchwork_object_store::{Error, MAX_BYTES, MAX_EVENTS};
use tokio::time::{Instant, sleep};

use crate::common::{Client, batch, client, pull, push};

/// What goes wrong, once, with the next request of its kind.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A put fails like this and does nothing.
    Put(fn() -> object_store::Error),
    /// A put is done, and fails like this.
    PutAfter(fn() -> object_store::Error),
    /// A read fails like this.
    Get(fn() -> object_store::Error),
    /// A read does not.
    GetWell,
}

#[derive(Clone, Debug, Default)]
pub struct Faulty(Arc<InMemory>, Arc<Mutex<VecDeque<Fault>>>);

impl Faulty {
    fn fails(&self, fault: Fault) {
        self.1.lock().unwrap().push_back(fault);
    }

    /// The next fault, if it is of a request of this kind.
    fn take(&self, is: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.1.lock().unwrap();
        if is(faults.front()?) { faults.pop_front() } else { None }
    }

    async fn delete(&self, numbers: Range<u64>) {
        for number in numbers {
            _ = ObjectStoreExt::delete(&*self.0, &Path::from(format!("log/{number:020}"))).await;
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if let Some(Fault::Put(error)) = self.take(|fault| matches!(fault, Fault::Put(_))) {
            return Err(error());
        }
        let put = self.0.put_opts(path, payload, options).await?;
        match self.take(|fault| matches!(fault, Fault::PutAfter(_))) {
            Some(Fault::PutAfter(error)) => Err(error()),
            _ => Ok(put),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.take(|fault| matches!(fault, Fault::Get(_) | Fault::GetWell)) {
            Some(Fault::Get(error)) => Err(error()),
            _ => self.0.get_opts(path, options).await,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    /// In no order.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.0.list(prefix);
        let reversed = async move {
            let mut all: Vec<_> = all.collect().await;
            all.reverse();
            futures_util::stream::iter(all)
        };
        futures_util::stream::once(reversed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

fn timed_out() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the time is over".into() }
}

fn no_bucket() -> object_store::Error {
    object_store::Error::NotFound { path: "bucket".into(), source: "no such bucket".into() }
}

fn denied() -> object_store::Error {
    object_store::Error::PermissionDenied { path: "log".into(), source: "403".into() }
}

fn unauthenticated() -> object_store::Error {
    object_store::Error::Unauthenticated { path: "log".into(), source: "401".into() }
}

fn not_supported() -> object_store::Error {
    object_store::Error::NotSupported { source: "no conditions".into() }
}

fn not_implemented() -> object_store::Error {
    object_store::Error::NotImplemented { operation: "put with a condition".into(), implementer: "faulty".into() }
}

fn invalid_path() -> object_store::Error {
    object_store::Error::InvalidPath { source: path::Error::EmptySegment { path: "log//1".into() } }
}

fn exists() -> object_store::Error {
    object_store::Error::AlreadyExists { path: "log".into(), source: "409".into() }
}

fn precondition() -> object_store::Error {
    object_store::Error::Precondition { path: "log".into(), source: "412".into() }
}

/// A store with two batches, of events 1 and 2, and of 3; and a client that has pulled them.
async fn two() -> (Faulty, Client) {
    let store = Faulty::default();
    let one = client(Arc::new(store.clone()), "todos");
    push(&one, 0, &["a", "b"]).await.unwrap();
    push(&one, 2, &["c"]).await.unwrap();
    (store, one)
}

fn new(store: &Faulty) -> Client {
    client(Arc::new(store.clone()), "todos")
}

#[tokio::test]
async fn push_is_taken_if_it_follows_and_behind_if_others_were_faster() {
    let (store, one) = two().await;
    let other = new(&store);
    assert_eq!(pull(&other, 0).await.unwrap(), ["a", "b", "c"]);
    push(&one, 3, &["d", "e"]).await.unwrap();
    let outcome = push(&other, 3, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
    // Of a client that has not pulled.
    for base in [0, 1, 2, 4] {
        let outcome = push(&new(&store), base, &["x"]).await;
        assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{base}: {outcome:?}");
    }
    push(&new(&store), 5, &["f"]).await.unwrap();
    assert_eq!(pull(&other, 0).await.unwrap().concat(), "abcdef");
}

#[tokio::test]
async fn push_that_finds_what_it_has_put_itself_is_taken() {
    for error in [exists, precondition] as [fn() -> object_store::Error; 2] {
        let (store, one) = two().await;
        store.fails(Fault::PutAfter(error));
        push(&one, 3, &["d"]).await.unwrap();
        store.fails(Fault::Put(error));
        let outcome = push(&one, 4, &["x"]).await;
        assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
        assert_eq!(pull(&one, 0).await.unwrap().concat(), "abcd");
    }
}

#[tokio::test]
async fn push_of_which_the_store_does_not_tell_is_uncertain() {
    for fault in [Fault::Put(timed_out), Fault::PutAfter(timed_out)] {
        let (store, one) = two().await;
        store.fails(fault);
        let outcome = push(&one, 3, &["d"]).await;
        assert!(matches!(outcome, Err(PushError::Uncertain { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn push_that_cannot_read_what_stands_in_its_place_is_uncertain() {
    let (store, one) = two().await;
    store.fails(Fault::PutAfter(exists));
    store.fails(Fault::Get(timed_out));
    let outcome = push(&one, 3, &["d"]).await;
    assert!(matches!(outcome, Err(PushError::Uncertain { .. })), "{outcome:?}");
}

#[tokio::test]
async fn push_knows_its_own_objects_from_those_of_its_client_and_of_others() {
    let (store, one) = two().await;
    store.fails(Fault::PutAfter(timed_out));
    let outcome = push(&one, 3, &["d"]).await;
    assert!(matches!(outcome, Err(PushError::Uncertain { .. })), "{outcome:?}");
    let outcome = push(&one, 3, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
    assert_eq!(pull(&one, 0).await.unwrap().concat(), "abcd");

    // The first push of each.
    let store = Faulty::default();
    let [one, other] = [new(&store), new(&store)];
    for client in [&one, &other] {
        assert!(pull(client, 0).await.unwrap().is_empty());
    }
    push(&one, 0, &["a"]).await.unwrap();
    let outcome = push(&other, 0, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
}

#[tokio::test]
async fn push_after_an_event_that_its_client_knows_for_the_last_reads_nothing() {
    let (store, one) = two().await;
    store.fails(Fault::Get(timed_out));
    push(&one, 3, &["d"]).await.unwrap();
    for (cursor, base) in [(0, 4), (5, 5)] {
        let other = new(&store);
        store.1.lock().unwrap().clear();
        pull(&other, cursor).await.unwrap();
        store.fails(Fault::Get(timed_out));
        push(&other, base, &["e"]).await.unwrap();
    }
}

#[tokio::test]
async fn push_of_events_that_are_not_numbered_on_is_fatal() {
    let (_, one) = two().await;
    let mut gap = batch(3, &["d", "e"]);
    gap.entries[1].position = 6;
    let outcome = AsyncUpstream::push(&one, &gap).await;
    let Err(PushError::Fatal { kind: FatalKind::Other, error }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.to_string(), "expected a batch with event 5 next, got 6");
    // No event can follow that one.
    let mut last = batch(3, &["d"]);
    (last.base, last.entries[0].position) = (u64::MAX - 1, u64::MAX);
    let outcome = AsyncUpstream::push(&one, &last).await;
    assert!(matches!(outcome, Err(PushError::Fatal { kind: FatalKind::Other, .. })), "{outcome:?}");
    assert_eq!(pull(&one, 0).await.unwrap().concat(), "abc");
}

#[tokio::test]
async fn push_sees_what_comes_and_goes_as_it_looks() {
    let (store, one) = two().await;
    // The batch that follows comes after the look for it.
    store.fails(Fault::Get(no_bucket));
    let outcome = push(&one, 2, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
    // The one that was listed is gone, and another is put in its place.
    store.fails(Fault::GetWell);
    store.fails(Fault::Get(no_bucket));
    let outcome = push(&one, 1, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
}

#[tokio::test]
async fn the_first_clients_of_a_store_agree_on_whose_it_is() {
    let (store, _) = two().await;
    store.fails(Fault::Get(no_bucket));
    store.fails(Fault::Put(exists));
    assert_eq!(pull(&new(&store), 0).await.unwrap().concat(), "abc");
}

#[tokio::test]
async fn push_that_fails_before_the_put_is_unavailable() {
    let (store, _) = two().await;
    store.fails(Fault::Get(timed_out));
    let outcome = push(&new(&store), 3, &["d"]).await;
    assert!(matches!(outcome, Err(PushError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn push_that_the_store_refuses_is_fatal() {
    let cases = [no_bucket, denied, unauthenticated, not_supported, not_implemented, invalid_path]
        as [fn() -> object_store::Error; 6];
    for error in cases {
        let (store, one) = two().await;
        store.fails(Fault::Put(error));
        let outcome = push(&one, 3, &["d"]).await;
        let Err(PushError::Fatal { kind: FatalKind::Other, error: said }) = outcome else { panic!("{outcome:?}") };
        let no_put_if_absent = matches!(said.get().downcast_ref(), Some(Error::NoPutIfAbsent(_)));
        let expected =
            matches!(error(), object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. });
        assert_eq!(no_put_if_absent, expected, "{said}");
    }
}

#[tokio::test]
async fn push_to_a_store_without_put_if_absent_says_so_from_the_start() {
    let store = Faulty::default();
    store.fails(Fault::Put(not_implemented));
    let outcome = push(&new(&store), 0, &["a"]).await;
    let Err(PushError::Fatal { error, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.to_string().starts_with("the object store has no put-if-absent"), "{error}");
}

#[tokio::test]
async fn push_of_more_events_than_a_batch_may_have_is_too_large() {
    let (_, one) = two().await;
    let outcome = push(&one, 3, &["x"; MAX_EVENTS + 1]).await;
    assert!(matches!(outcome, Err(PushError::TooLarge { .. })), "{outcome:?}");
    push(&one, 3, &["x"; MAX_EVENTS]).await.unwrap();
    let (last, fresh) = (3 + MAX_EVENTS as u64, pull(&one, 3 + MAX_EVENTS as u64 - 1).await.unwrap());
    assert_eq!(fresh, ["x"], "a cursor in the middle of the largest batch");
    let outcome = push(&one, last - 1, &["y"]).await;
    assert!(matches!(outcome, Err(PushError::Behind { head: None })), "{outcome:?}");
}

#[tokio::test]
async fn push_of_more_bytes_than_a_batch_may_have_is_too_large() {
    let (store, one) = two().await;
    let half = "x".repeat(MAX_BYTES / 2);
    let outcome = push(&one, 3, &[&half, &half, "x"]).await;
    let Err(PushError::TooLarge { error }) = outcome else { panic!("it is not too large") };
    assert_eq!(error.to_string(), "expected at most 134217728 bytes in a batch, got 134217729");
    push(&one, 3, &[&half, &half]).await.unwrap();
    assert_eq!(pull(&new(&store), 4).await.unwrap()[0].len(), half.len());
}

#[tokio::test]
async fn push_of_the_client_that_has_marked_the_store_does_not_ask_whose_it_is() {
    let store = Faulty::default();
    let one = new(&store);
    push(&one, 0, &["a"]).await.unwrap();
    store.fails(Fault::Get(timed_out));
    push(&one, 1, &["b"]).await.unwrap();
}

/// Nothing can be made there, not even by root.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn push_and_pull_on_a_disk_that_may_not_be_written_are_fatal() {
    let one = client(Arc::new(local::LocalFileSystem::new_with_prefix("/sys").unwrap()), "todos");
    let outcome = push(&one, 0, &["a"]).await;
    assert!(matches!(outcome, Err(PushError::Fatal { kind: FatalKind::Other, .. })), "{outcome:?}");
    let pulled = pull(&one, 0).await;
    assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::Other, .. })), "{pulled:?}");
}

#[tokio::test]
async fn an_identity_may_be_any_text() {
    for identity in ["", "it's \"todos\"/../%00", "\u{e4}\0"] {
        let store = Faulty::default();
        push(&client(Arc::new(store.clone()), identity), 0, &["a"]).await.unwrap();
        assert_eq!(pull(&client(Arc::new(store.clone()), identity), 0).await.unwrap(), ["a"]);
        let pulled = pull(&new(&store), 0).await;
        let Err(PullError::Fatal { kind: FatalKind::IdentityMismatch, error }) = pulled else { panic!("{pulled:?}") };
        assert_eq!(error.to_string(), format!("expected the upstream \"todos\", got {identity:?}"));
    }
}

#[tokio::test]
async fn push_and_pull_find_that_the_store_is_another_upstream() {
    let (store, _) = two().await;
    let other = client(Arc::new(store.clone()), "notes");
    let outcome = push(&other, 3, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Fatal { kind: FatalKind::IdentityMismatch, .. })), "{outcome:?}");
    let pulled = pull(&other, 0).await;
    assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::IdentityMismatch, .. })), "{pulled:?}");
}

#[tokio::test]
async fn pull_finds_its_place_from_each_cursor() {
    let (store, one) = two().await;
    push(&one, 3, &["d", "e", "f"]).await.unwrap();
    for cursor in 0..=6 {
        assert_eq!(pull(&new(&store), cursor as u64).await.unwrap().concat(), &"abcdef"[cursor..], "from {cursor}");
    }
}

#[tokio::test]
async fn push_and_pull_find_that_the_log_has_gone_back() {
    let (store, one) = two().await;
    for cursor in [4, 5, 2000] {
        let pulled = pull(&new(&store), cursor).await;
        assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::WentBack, .. })), "{pulled:?}");
        let outcome = push(&new(&store), cursor, &["x"]).await;
        assert!(matches!(outcome, Err(PushError::Fatal { kind: FatalKind::WentBack, .. })), "{outcome:?}");
    }
    // While a pull waits for more.
    let mut pages = AsyncUpstream::pull(&one, 3);
    store.delete(3..4).await;
    let error = loop {
        match latchwork::upstream::AsyncPull::next_page(&mut pages).await {
            Some(Ok(page)) => assert!(page.entries.is_empty()),
            Some(Err(error)) => break error,
            None => panic!("it has ended"),
        }
    };
    assert!(matches!(error, PullError::Fatal { kind: FatalKind::WentBack, .. }), "{error:?}");
}

#[tokio::test]
async fn a_pull_that_waits_finds_that_the_log_goes_back() {
    let (store, one) = two().await;
    let mut pages = AsyncUpstream::pull(&one, 0);
    let mut next = async || latchwork::upstream::AsyncPull::next_page(&mut pages).await;
    for events in [2, 1, 0] {
        assert_eq!(next().await.unwrap().unwrap().entries.len(), events);
    }
    store.delete(1..4).await;
    let error = loop {
        match next().await {
            Some(Ok(page)) => assert!(page.entries.is_empty()),
            Some(Err(error)) => break error,
            None => panic!("it has ended"),
        }
    };
    assert!(matches!(error, PullError::Fatal { kind: FatalKind::WentBack, .. }), "{error:?}");
    assert!(next().await.is_none(), "an error is the last item");
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_looks_at_once_if_a_push_of_its_client_comes_too_late() {
    let (store, one) = two().await;
    let one = one.poll_interval(Duration::from_secs(600));
    let mut pages = AsyncUpstream::pull(&one, 3);
    assert!(pages.next_page().await.unwrap().unwrap().entries.is_empty());
    push(&new(&store), 3, &["d"]).await.unwrap();
    let begun = Instant::now();
    let late = async {
        sleep(Duration::from_secs(1)).await;
        push(&one, 3, &["x"]).await
    };
    let (page, late) = tokio::join!(pages.next_page(), late);
    assert!(matches!(late, Err(PushError::Behind { .. })), "{late:?}");
    assert_eq!(page.unwrap().unwrap().entries.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn pull_finds_that_what_it_needs_has_been_deleted() {
    let (store, one) = two().await;
    push(&one, 3, &["d"]).await.unwrap();
    store.delete(1..2).await;
    let pulled = pull(&new(&store), 0).await;
    let Err(PullError::Fatal { kind: FatalKind::CursorTooOld, error }) = pulled else { panic!("{pulled:?}") };
    assert_eq!(error.to_string(), "expected event 1 next, got event 3 first: objects have been deleted");
    assert_eq!(pull(&new(&store), 2).await.unwrap().concat(), "cd");
    // It is not put behind a gap either.
    let outcome = push(&new(&store), 0, &["x"]).await;
    assert!(matches!(outcome, Err(PushError::Fatal { kind: FatalKind::CursorTooOld, .. })), "{outcome:?}");
}

#[tokio::test]
async fn pull_of_an_object_that_is_no_batch_is_fatal_and_names_it() {
    let (store, _) = two().await;
    store.0.put(&Path::from("log/00000000000000000004"), "x".into()).await.unwrap();
    store.0.put(&Path::from("log/notes"), "x".into()).await.unwrap();
    let pulled = pull(&new(&store), 3).await;
    let Err(PullError::Fatal { kind: FatalKind::Other, error }) = pulled else { panic!("{pulled:?}") };
    assert!(error.to_string().contains("log/00000000000000000004"), "{error}");
}

#[tokio::test]
async fn pull_that_fails_is_unavailable_or_fatal() {
    let cases: [(fn() -> object_store::Error, bool); 4] =
        [(timed_out, false), (denied, true), (unauthenticated, true), (not_supported, true)];
    for (error, is_fatal) in cases {
        let (store, one) = two().await;
        store.fails(Fault::Get(error));
        match pull(&one, 0).await {
            Err(PullError::Unavailable { .. }) => assert!(!is_fatal),
            Err(PullError::Fatal { kind: FatalKind::Other, .. }) => assert!(is_fatal),
            pulled => panic!("{pulled:?}"),
        }
    }
}
