//! The laws that any upstream is to keep.

use std::sync::Arc;

use latchwork::contract::Contract;
use latchwork_object_store::object_store::ObjectStore;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::memory::InMemory;
use tokio::time::sleep;

use crate::common::{Log, client};

fn contract() -> Contract<Log> {
    Contract::new(Log::new, |number: u64| number.to_string())
}

#[tokio::test]
async fn an_upstream_in_memory_keeps_all_laws() {
    let make = async || {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        async move || client(Arc::clone(&store), "todos")
    };
    Box::pin(contract().async_upstream(sleep, make)).await.unwrap();
}

#[tokio::test]
async fn an_upstream_on_a_local_disk_keeps_all_laws() {
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        async move || client(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()), "todos")
    };
    Box::pin(contract().async_upstream(sleep, make)).await.unwrap();
}

#[tokio::test]
async fn an_upstream_in_memory_tells_its_own_clients_from_anothers() {
    let make = async || {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let own = client(Arc::clone(&store), "todos");
        crate::common::pull(&own, 0).await.unwrap();
        (own, client(store, "notes"))
    };
    Box::pin(contract().async_upstream_of_another(sleep, make)).await.unwrap();
}
