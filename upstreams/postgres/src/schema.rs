//! The tables, and how a log gets into them.
//!
//! A database says in `latchwork_schema` of which version its tables are. Who makes them, or takes them from one version to the
//! next, holds a lock until all of it is committed: of two that begin at once, the second finds it done.

use tokio_postgres::{Client, GenericClient};

use crate::Error;

/// What takes the tables from one version to the next, the first from nothing.
pub const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE latchwork_schema (version integer NOT NULL);
    INSERT INTO latchwork_schema VALUES (0);
    CREATE TABLE latchwork_logs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        identity uuid NOT NULL,
        head bigint NOT NULL
    );
    CREATE TABLE latchwork_events (
        log bigint NOT NULL, number bigint NOT NULL, event bytea NOT NULL,
        PRIMARY KEY (log, number)
    );
"];

/// What the lock is of: `LwPg`.
const LOCK: i64 = i32::from_be_bytes(*b"LwPg") as i64;

/// The version that these lead to.
fn last(migrations: &[&str]) -> i32 {
    i32::try_from(migrations.len()).unwrap_or(i32::MAX)
}

/// Of which version the tables are; 0 if there are none.
async fn version(client: &impl GenericClient) -> Result<i32, Error> {
    let is_there = "SELECT to_regclass('latchwork_schema') IS NOT NULL";
    if !client.query_one(is_there, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    Ok(client.query_one("SELECT version FROM latchwork_schema", &[]).await?.try_get(0)?)
}

/// Checks that the tables are of the version that is known here.
pub async fn check(client: &Client) -> Result<(), Error> {
    // Not by `version`: that there are no tables is an error, and the server's words for it are good.
    let got = client.query_typed_one("SELECT version FROM latchwork_schema", &[]).await?.try_get(0)?;
    let expected = last(&MIGRATIONS);
    match got {
        _ if got > expected => Err(Error::Newer { expected, got }),
        _ if got < expected => Err(Error::Older { expected, got }),
        _ => Ok(()),
    }
}

/// Makes the tables, or takes them to the last version.
pub async fn migrate(client: &mut Client, migrations: &[&str]) -> Result<(), Error> {
    let expected = last(migrations);
    // Most often there is nothing to do, and then no right to make tables is needed.
    if version(client).await? == expected {
        return Ok(());
    }
    // Not by the transaction itself: a session learns of tables that others have made as a transaction begins. The lock ends
    // with the session at the latest.
    client.query_one("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let transaction = client.transaction().await?;
    let got = version(&transaction).await?;
    let steps = usize::try_from(got).ok().and_then(|got| migrations.get(got..));
    let steps = steps.ok_or(Error::Newer { expected, got })?;
    if !steps.is_empty() {
        for step in steps {
            transaction.batch_execute(step).await?;
        }
        transaction.execute("UPDATE latchwork_schema SET version = $1", &[&expected]).await?;
    }
    transaction.commit().await?;
    client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}

/// The identity of the log of this name, which is made if there is none.
pub async fn log(client: &Client, name: &str) -> Result<String, Error> {
    let select = "SELECT identity::text FROM latchwork_logs WHERE name = $1";
    if let Some(row) = client.query_opt(select, &[&name]).await? {
        return Ok(row.try_get(0)?);
    }
    let insert = "INSERT INTO latchwork_logs (name, identity, head) VALUES ($1, gen_random_uuid(), 0)
        ON CONFLICT (name) DO NOTHING";
    client.execute(insert, &[&name]).await?;
    Ok(client.query_one(select, &[&name]).await?.try_get(0)?)
}

#[cfg(all(test, unix))]
mod tests {
    use servers::or_skip;
    use servers::postgres::Postgres;
    use tokio_postgres::NoTls;

    use super::*;

    async fn connect(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    #[tokio::test]
    async fn migrate_takes_older_tables_through_the_steps_that_they_lack() {
        let Some(server) = or_skip(Postgres::start()) else { return };
        let mut client = connect(&server.url()).await;
        let newer = [
            MIGRATIONS[0],
            "ALTER TABLE latchwork_logs ADD one text",
            "ALTER TABLE latchwork_logs ADD two text; CREATE TABLE made (x text)",
        ];
        let broken = [MIGRATIONS[0], "CREATE TABLE half (x text)", "this is no SQL"];
        migrate(&mut client, &MIGRATIONS).await.unwrap();
        assert!(matches!(migrate(&mut client, &broken).await.unwrap_err(), Error::Postgres { .. }));
        assert!(client.query("SELECT * FROM half", &[]).await.is_err());
        assert_eq!(version(&client).await.unwrap(), 1);

        // Many at once, each from a session that has seen the old ones.
        drop(client);
        let many = (0..8).map(|_| {
            let url = server.url();
            tokio::spawn(async move { migrate(&mut connect(&url).await, &newer).await.unwrap() })
        });
        for one in many.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        let mut client = connect(&server.url()).await;
        client.query("SELECT one, two FROM latchwork_logs", &[]).await.unwrap();
        let older = migrate(&mut client, &MIGRATIONS).await.unwrap_err();
        assert!(matches!(older, Error::Newer { expected: 1, got: 3 }), "{older}");
        let older = check(&client).await.unwrap_err();
        assert!(matches!(older, Error::Newer { expected: 1, got: 3 }), "{older}");
    }
}
