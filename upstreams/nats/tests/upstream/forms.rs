//! Both forms, without faults.

use latchwork::upstream::PushError;
use latchwork_nats::{Connection, Form};
use servers::nats::Nats;
use servers::or_skip;

use crate::common::{create, events, first_page, name, push};

#[tokio::test]
async fn a_push_follows_the_last_event_and_a_pull_gives_all_after_its_cursor() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in [Form::Batches, Form::Envelopes] {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        let other = create(&connection, &name, form).await;
        assert_eq!((other.identity(), other.form()), (upstream.identity(), form));
        assert!(first_page(&upstream, 0).await.unwrap().entries.is_empty());
        push(&upstream, 0, [1]).await.unwrap();
        push(&upstream, 1, 2..=10).await.unwrap();
        push(&other, 10, 11..=12).await.unwrap();
        let behind = push(&upstream, 10, 11..=13).await;
        assert!(matches!(behind, Err(PushError::Behind { .. })), "{behind:?}");
        let behind = push(&other, 1, [0]).await;
        assert!(matches!(behind, Err(PushError::Behind { head: Some(12) | None })), "{behind:?}");
        for cursor in 0..=12 {
            assert_eq!(events(&other, cursor).await, (cursor + 1..=12).collect::<Vec<_>>(), "{form:?}");
        }
    }
}
