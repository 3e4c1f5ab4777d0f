//! ```text
//! cargo run -p http-sync                       a server, two clients, and a server that is killed meanwhile
//! cargo run -p http-sync -- serve FILE ADDRESS the server alone
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use http_sync::run::{Job, run};
use http_sync::server::Server;
use latchwork::SharedError;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => tell().await,
        ["serve", file, address] => serve(Path::new(file), address).await,
        _ => Err("expected no arguments, or: serve FILE ADDRESS".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn tell() -> Result<(), SharedError> {
    let dir = tempfile::tempdir()?;
    let job = Job { notes: 300, kills: 2, time_limit: Duration::from_secs(60) };
    let summary = run(&std::env::current_exe()?, dir.path(), job, |line| println!("{line}")).await?;
    print!("{summary}");
    Ok(())
}

/// Its first line of output is its address.
async fn serve(file: &Path, address: &str) -> Result<(), SharedError> {
    let (server, listener) = (Server::open(file)?, TcpListener::bind(address).await?);
    println!("{}", listener.local_addr()?);
    server.serve(listener).await?;
    Ok(())
}
