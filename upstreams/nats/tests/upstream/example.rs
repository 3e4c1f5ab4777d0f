//! The example that is published.

use servers::nats::Nats;
use servers::or_skip;

#[path = "../../examples/todos.rs"]
#[allow(dead_code, reason = "it has a `main`")]
mod todos;

#[tokio::test]
async fn example_has_all_todos_and_those_of_before() {
    let Some(server) = or_skip(Nats::start(1)) else { return };
    for events in [2, 4] {
        assert_eq!(todos::todos(&server.url()).await.unwrap(), events);
    }
}
