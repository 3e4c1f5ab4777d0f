//! The example that is published.

use std::sync::Arc;

use latchwork_object_store::object_store::ObjectStore;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::memory::InMemory;

#[path = "../../examples/todos.rs"]
#[allow(dead_code, reason = "it has a `main`")]
mod todos;

#[tokio::test]
async fn example_has_all_todos_and_those_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    for store in [on_disk as Arc<dyn ObjectStore>, Arc::new(InMemory::new())] {
        for events in [2, 4] {
            assert_eq!(todos::todos(&store).await.unwrap(), events);
        }
    }
}
