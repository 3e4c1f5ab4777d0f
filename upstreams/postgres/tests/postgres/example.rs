//! The example that is published.

use servers::or_skip;
use servers::postgres::Postgres;

#[path = "../../examples/todos.rs"]
#[allow(dead_code, reason = "it has a `main`")]
mod todos;

#[tokio::test]
async fn example_has_all_todos_and_those_of_before() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    for events in [2, 4] {
        assert_eq!(todos::todos(&server.url()).await.unwrap(), events);
    }
}
