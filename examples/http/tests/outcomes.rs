//! What a client makes of each answer: the table of the README, against a server that says what it is told to.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use http_sync::client::Http;
use http_sync::{Entry, Note, Notes};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, PullError, PushError};

/// What happens to a request.
#[derive(Clone)]
enum Answer {
    /// These bytes, and the end of the connection.
    Bytes(String),
    /// There is no server.
    NoServer,
}

/// An answer of the log itself.
fn of_log(status: &str, headers: &str, body: &str) -> Answer {
    whole(status, &format!("sync-log: mine\r\n{headers}"), body)
}

/// One of something in between, which knows no logs.
fn of_proxy(status: &str, headers: &str) -> Answer {
    whole(status, headers, "<html>")
}

fn whole(status: &str, headers: &str, body: &str) -> Answer {
    let length = if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    Answer::Bytes(format!("HTTP/1.1 {status}\r\n{headers}{length}Connection: close\r\n\r\n{body}"))
}

/// An answer of the log whose body ends early.
fn breaks_off(status: &str, body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {status}\r\nsync-log: mine\r\nContent-Length: 1000\r\n\r\n{body}"))
}

/// A page of a pull, with event 6.
const PAGE: &str = "data: {\"from\":6,\"notes\":[{\"author\":\"bob\",\"number\":0,\"text\":\"hello\"}],\"more\":0}\n\n";

/// Each line's first column, and what it stands for. The client has events up to 5, and pushes one that is to be 6.
fn lines() -> Vec<(&'static str, Answer)> {
    let date = |time| format!("Date: Thu, 26 Nov 2026 10:00:00 GMT\r\nRetry-After: Thu, 26 Nov 2026 10:{time} GMT\r\n");
    vec![
        ("no connection", Answer::NoServer),
        ("a connection that is cut before an answer", Answer::Bytes(String::new())),
        ("a connection that is cut within the headers", Answer::Bytes("HTTP/1.1 204 No Content\r\nsync".to_owned())),
        ("`200` of the log, with a page", of_log("200 OK", "", PAGE)),
        ("`200` of the log, that breaks off behind a page", breaks_off("200 OK", PAGE)),
        ("`200` of the log, that breaks off within a page", breaks_off("200 OK", &PAGE[..40])),
        ("`200` of the log, that is no JSON", of_log("200 OK", "", "data: <html>\n\n")),
        ("`200` of a proxy", of_proxy("200 OK", "")),
        ("`204` of the log", of_log("204 No Content", "", "")),
        ("`204` of another log", whole("204 No Content", "sync-log: other\r\n", "")),
        ("`302` of a proxy", of_proxy("302 Found", "Location: /login\r\n")),
        ("`400` of the log", of_log("400 Bad Request", "", "")),
        ("`401` of the log", of_log("401 Unauthorized", "", "")),
        ("`401` of a proxy", of_proxy("401 Unauthorized", "")),
        ("`403` of the log", of_log("403 Forbidden", "", "")),
        ("`403` of a proxy", of_proxy("403 Forbidden", "")),
        ("`404` of the log", of_log("404 Not Found", "", "")),
        ("`404` of a proxy", of_proxy("404 Not Found", "")),
        ("`405` of the log", of_log("405 Method Not Allowed", "", "")),
        ("`408` of a proxy", of_proxy("408 Request Timeout", "")),
        ("`409` of the log, at 7", of_log("409 Conflict", "", "{\"head\":7}")),
        ("`409` of the log, at 3", of_log("409 Conflict", "", "{\"head\":3}")),
        ("`409` of the log, that breaks off", breaks_off("409 Conflict", "{\"he")),
        ("`409` of the log, that is no JSON", of_log("409 Conflict", "", "conflict")),
        ("`409` of a proxy", of_proxy("409 Conflict", "")),
        ("`412` of the log", of_log("412 Precondition Failed", "", "")),
        ("`412` of another log", whole("412 Precondition Failed", "sync-log: other\r\n", "")),
        ("`412` of a proxy", of_proxy("412 Precondition Failed", "")),
        ("`413` of the log", of_log("413 Payload Too Large", "", "")),
        ("`413` of a proxy", of_proxy("413 Payload Too Large", "")),
        ("`415` of the log", of_log("415 Unsupported Media Type", "", "")),
        (
            "`422` of the log, for event 0",
            of_log("422 Unprocessable Entity", "", "{\"index\":0,\"error\":\"a note says something\"}"),
        ),
        (
            "`422` of the log, for an event that was not sent",
            of_log("422 Unprocessable Entity", "", "{\"index\":1,\"error\":\"a note says something\"}"),
        ),
        ("`422` of the log, that breaks off", breaks_off("422 Unprocessable Entity", "{\"index\":0")),
        ("`422` of the log, that is no JSON", of_log("422 Unprocessable Entity", "", "no")),
        ("`422` of a proxy", of_proxy("422 Unprocessable Entity", "")),
        ("`425` of a proxy", of_proxy("425 Too Early", "")),
        ("`429`", of_proxy("429 Too Many Requests", "")),
        ("`429`, `Retry-After: 2`", of_proxy("429 Too Many Requests", "Retry-After: 2\r\n")),
        ("`429`, `Retry-After:` a date", of_proxy("429 Too Many Requests", &date("01:30"))),
        ("`429`, `Retry-After:` a date that has passed", of_proxy("429 Too Many Requests", &date("00:00"))),
        ("`429`, `Retry-After: soon`", of_proxy("429 Too Many Requests", "Retry-After: soon\r\n")),
        ("`500` of the log", of_log("500 Internal Server Error", "", "the disk is full")),
        ("`502` of a proxy", of_proxy("502 Bad Gateway", "")),
        ("`503` of the log", of_log("503 Service Unavailable", "", "")),
        ("`503` of the log, `Retry-After: 3`", of_log("503 Service Unavailable", "Retry-After: 3\r\n", "")),
        ("`503` of a proxy", of_proxy("503 Service Unavailable", "")),
        ("`503` of a proxy, `Retry-After: 3`", of_proxy("503 Service Unavailable", "Retry-After: 3\r\n")),
        ("`504` of a proxy, `Retry-After: 3`", of_proxy("504 Gateway Timeout", "Retry-After: 3\r\n")),
    ]
}

/// A server that answers so many requests, each on a connection of its own.
fn serve(answer: Answer, requests: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    if let Answer::Bytes(bytes) = answer {
        drop(thread::spawn(move || {
            for connection in listener.incoming().take(requests) {
                let mut connection = connection.unwrap();
                read_request(&connection);
                connection.write_all(bytes.as_bytes()).unwrap();
            }
        }));
    }
    address
}

/// Reads all of it: a connection that is closed with something unread is reset, and may lose the answer.
fn read_request(connection: &TcpStream) {
    let (mut request, mut length) = (BufReader::new(connection), 0);
    for line in request.by_ref().lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(bytes) = line.strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    request.read_exact(&mut vec![0; length]).unwrap();
}

fn after(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!(" after {} s", time.as_secs()))
}

fn of_push(outcome: Result<(), PushError<u64>>, time: Option<Duration>) -> String {
    match outcome {
        Ok(()) => "taken".to_owned(),
        Err(PushError::RetryAfter { retry_after, outcome }) => of_push(Err(*outcome), Some(retry_after)),
        Err(PushError::Behind { head }) => {
            let head = head.map_or_else(|| "unknown".to_owned(), |head| head.to_string());
            format!("`Behind`{}: head {head}", after(time))
        }
        Err(PushError::Unavailable { retry_after, error }) => {
            format!("`Unavailable`{}: {error}", after(retry_after.or(time)))
        }
        Err(PushError::Uncertain { error }) => format!("`Uncertain`{}: {error}", after(time)),
        Err(PushError::Rejected { index, error }) => format!("`Rejected`{}, event {index}: {error}", after(time)),
        Err(PushError::TooLarge { error }) => format!("`TooLarge`{}: {error}", after(time)),
        Err(PushError::Fatal { kind, error }) => format!("`Fatal`{}, `{kind:?}`: {error}", after(time)),
        Err(other) => panic!("an outcome that is not in the table: {other}"),
    }
}

fn of_pull(error: PullError) -> String {
    match error {
        PullError::Unavailable { retry_after, error } => format!("`Unavailable`{}: {error}", after(retry_after)),
        PullError::Fatal { kind, error } => format!("`Fatal`, `{kind:?}`: {error}"),
        other => panic!("an error that is not in the table: {other}"),
    }
}

/// What comes of a push and of a pull, as it stands in the README.
async fn outcomes(answer: Answer) -> [String; 2] {
    let address = serve(answer, 2);
    let upstream = Http::new(&format!("http://{address}"), "mine").unwrap();
    let note = Note { author: "alice".to_owned(), number: 0, text: "hello".to_owned() };
    let batch = Batch::<Notes>::new(5, vec![Entry { position: 6, event: note }]);
    let pushed = of_push(upstream.push(&batch).await, None);

    let (mut pull, mut pulled) = (upstream.pull(5), String::new());
    while let Some(item) = pull.next_page().await {
        match item {
            Ok(page) => write!(pulled, "a page of {}, then ", page.entries.len()).unwrap(),
            Err(error) => {
                pulled += &of_pull(error);
                break;
            }
        }
    }
    // Each system has a number for it.
    [pushed, pulled].map(|text| text.split(" (os error").next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn push_and_pull_make_of_each_answer_what_the_readme_says() {
    let readme = include_str!("../README.md");
    let said: Vec<_> = readme.lines().filter(|line| line.matches(" | ").count() == 2).collect();
    let mut table = Vec::new();
    for (what, answer) in lines() {
        let [pushed, pulled] = outcomes(answer).await;
        table.push(format!("| {what} | {pushed} | {pulled} |"));
    }
    // After the two lines of its head.
    assert_eq!(said.get(2..).unwrap_or_default(), table, "the table is:\n{}", table.join("\n"));
}
