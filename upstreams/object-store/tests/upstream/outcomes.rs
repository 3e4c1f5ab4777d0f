//! Each line of the table of outcomes.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use latchwork::upstream::{FatalKind, PullError, PushError};
use latchwork_object_store::object_store::memory::InMemory;
use latchwork_object_store::object_store::path::Path;
use latchwork_object_store::object_store::{self, *};
use latchwork_object_store::{Error, MAX_EVENTS};

use crate::common::{Client, client, pull, push};

/// What goes wrong, once.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A put fails like this and does nothing.
    Put(fn() -> object_store::Error),
    /// A put is done, and fails like this.
    PutAfter(fn() -> object_store::Error),
    /// A read fails like this.
    Get(fn() -> object_store::Error),
}

#[derive(Clone, Debug, Default)]
struct Faulty(Arc<InMemory>, Arc<Mutex<Option<Fault>>>);

impl Faulty {
    fn fails(&self, fault: Fault) {
        *self.1.lock().unwrap() = Some(fault);
    }

    /// The fault of a request, if it is one of these.
    fn take(&self, is: impl Fn(&Fault) -> Option<fn() -> object_store::Error>) -> Option<object_store::Error> {
        let mut fault = self.1.lock().unwrap();
        let error = fault.as_ref().and_then(is)?;
        *fault = None;
        Some(error())
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
        if let Some(error) = self.take(|fault| if let Fault::Put(error) = fault { Some(*error) } else { None }) {
            return Err(error);
        }
        let put = self.0.put_opts(path, payload, options).await?;
        match self.take(|fault| if let Fault::PutAfter(error) = fault { Some(*error) } else { None }) {
            Some(error) => Err(error),
            None => Ok(put),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        match self.take(|fault| if let Fault::Get(error) = fault { Some(*error) } else { None }) {
            Some(error) => Err(error),
            None => self.0.get_opts(path, options).await,
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
async fn push_that_fails_before_the_put_is_unavailable() {
    let (store, _) = two().await;
    store.fails(Fault::Get(timed_out));
    let outcome = push(&new(&store), 3, &["d"]).await;
    assert!(matches!(outcome, Err(PushError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn push_that_the_store_refuses_is_fatal() {
    let cases =
        [no_bucket, denied, unauthenticated, not_supported, not_implemented] as [fn() -> object_store::Error; 5];
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
    let mut pages = latchwork::upstream::AsyncUpstream::pull(&one, 3);
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
    let mut pages = latchwork::upstream::AsyncUpstream::pull(&one, 0);
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

#[tokio::test]
async fn pull_finds_that_what_it_needs_has_been_deleted() {
    let (store, one) = two().await;
    push(&one, 3, &["d"]).await.unwrap();
    store.delete(1..2).await;
    let pulled = pull(&new(&store), 0).await;
    assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::CursorTooOld, .. })), "{pulled:?}");
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
