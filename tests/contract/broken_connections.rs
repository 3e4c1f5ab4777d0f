//! Clients of a small server over TCP that each break a law when a connection is cut, slow or dead; it is named.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{iter, thread};

use latchwork::contract::{Contract, Proxy, Way};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, Upstream};
use latchwork::{Epoch, Interrupt, SharedError};

type Log = MemoryLog<u64>;
type Entry = MemoryEntry<u64>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    SaysUnavailable,
    SendsAgain,
    /// Of the server: it does not wait for the end of a batch.
    AppendsOneByOne,
    EndsWhenCut,
    ReadsPartOfPage,
    WaitsWhenCut,
    IsDeadForGood,
    IsImpatient,
    /// Of a push alone: a pull that does not end keeps the next one waiting, sooner or later, and breaks other laws too.
    IgnoresInterrupt,
}

#[derive(Default)]
struct Server {
    events: Mutex<Vec<u64>>,
    news: Epoch,
}

impl Server {
    /// Answers `push BASE EVENT…` and `pull CURSOR`, a line each.
    fn start(bug: Bug) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (address, server) = (listener.local_addr().unwrap(), Arc::new(Self::default()));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(stream.unwrap(), bug));
            }
        });
        address
    }

    fn serve(&self, stream: TcpStream, bug: Bug) -> Option<()> {
        let mut answers = stream.try_clone().ok()?;
        let mut words = BufReader::new(stream).split(b' ').map_while(|word| String::from_utf8(word.ok()?).ok());
        let (kind, number) = (words.next()?, words.next()?.parse().ok()?);
        if kind == "pull" {
            return self.pull(number, answers);
        }
        let words = words.map_while(|word| word.parse::<u64>().ok());
        // `0` is the end.
        let mut batch = Vec::new();
        for event in words {
            if event == 0 {
                let answer = if bug == Bug::AppendsOneByOne { "ok\n" } else { self.append(number, &batch) };
                return answers.write_all(answer.as_bytes()).ok();
            }
            batch.push(event);
            if bug == Bug::AppendsOneByOne && self.append(number + batch.len() - 1, &[event]) == "behind\n" {
                return answers.write_all(b"behind\n").ok();
            }
        }
        None
    }

    fn append(&self, base: usize, batch: &[u64]) -> &'static str {
        let mut events = self.events.lock().unwrap();
        if events.len() != base {
            return "behind\n";
        }
        events.extend_from_slice(batch);
        drop(events);
        self.news.bump();
        "ok\n"
    }

    fn pull(&self, mut cursor: usize, mut answers: TcpStream) -> Option<()> {
        loop {
            let seen = self.news.current();
            let page = self.events.lock().unwrap()[cursor..].to_vec();
            cursor += page.len();
            let words: Vec<_> = page.iter().map(|event| format!("{event} ")).collect();
            answers.write_all(format!("{}\n", words.concat()).as_bytes()).ok()?;
            self.news.past(seen).wait();
        }
    }
}

struct Client {
    server: SocketAddr,
    bug: Bug,
    is_dead: AtomicBool,
}

/// What comes instead of a line.
struct Ended {
    error: SharedError,
    rest: String,
}

impl Client {
    fn call(&self, request: &str) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        if self.bug != Bug::IgnoresInterrupt || !request.starts_with("push") {
            stream.set_read_timeout(Some(Duration::from_millis(2)))?;
        }
        (&stream).write_all(request.as_bytes()).map(|()| stream)
    }

    fn line(&self, mut stream: &TcpStream, interrupt: &Interrupt) -> Result<String, Ended> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        let begun = Instant::now();
        let error = loop {
            match stream.read(&mut byte) {
                Ok(0) => break "the connection has ended".into(),
                Ok(_) if byte == *b"\n" => return Ok(String::from_utf8(line).unwrap()),
                Ok(_) => line.push(byte[0]),
                // A read that has a time limit is not gone on with after a stop.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if interrupt.is_set() {
                        self.is_dead.store(true, Ordering::Relaxed);
                        break "interrupted".into();
                    }
                    if self.bug == Bug::IsImpatient && begun.elapsed() > Duration::from_millis(150) {
                        break "it takes too long".into();
                    }
                }
                Err(error) => break error.into(),
            }
        };
        Err(Ended { error, rest: String::from_utf8(line).unwrap() })
    }

    fn send(&self, batch: &Batch<Log>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        let events: Vec<_> = batch.entries.iter().map(|entry| format!("{} ", entry.event)).collect();
        let stream = match self.call(&format!("push {} {}0 ", batch.base, events.concat())) {
            Ok(stream) => stream,
            Err(error) => return Err(PushError::Unavailable { retry_after: None, error: error.into() }),
        };
        match self.line(&stream, interrupt) {
            Ok(line) if line == "ok" => Ok(()),
            Ok(_) => Err(PushError::Behind { head: None }),
            Err(Ended { error, .. }) if self.bug == Bug::SaysUnavailable => {
                Err(PushError::Unavailable { retry_after: None, error })
            }
            Err(Ended { error, .. }) => Err(PushError::Uncertain { error }),
        }
    }
}

impl Upstream<Log> for Client {
    fn push(&self, batch: &Batch<Log>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        if self.bug == Bug::IsDeadForGood && self.is_dead.load(Ordering::Relaxed) {
            return Err(PushError::Fatal { kind: FatalKind::Other, error: "the connection is dead".into() });
        }
        let outcome = self.send(batch, interrupt);
        match outcome {
            Err(PushError::Uncertain { .. }) if self.bug == Bug::SendsAgain => self.send(batch, interrupt),
            outcome => outcome,
        }
    }

    fn pull<'a>(
        &'a self,
        mut cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let unavailable = |error| Some(Err(PullError::Unavailable { retry_after: None, error }));
        let (mut stream, mut ended) = (None, false);
        iter::from_fn(move || {
            if ended {
                return None;
            }
            ended = true;
            let stream = match &stream {
                Some(stream) => stream,
                None => match self.call(&format!("pull {cursor} ")) {
                    Ok(begun) => &*stream.insert(begun),
                    Err(error) => return unavailable(error.into()),
                },
            };
            let line = match self.line(stream, interrupt) {
                Ok(line) => line,
                Err(_) if self.bug == Bug::EndsWhenCut => return None,
                Err(ended) if self.bug == Bug::ReadsPartOfPage && !ended.rest.is_empty() => ended.rest,
                Err(_) if self.bug == Bug::WaitsWhenCut && cursor > 0 => {
                    interrupt.triggered().wait();
                    return None;
                }
                Err(ended) => return unavailable(ended.error),
            };
            ended = false;
            let events = line.split_whitespace().map(|word| word.parse().unwrap());
            let entries: Vec<_> =
                (cursor + 1..).zip(events).map(|(position, event)| Entry { position, event }).collect();
            cursor += entries.len() as u64;
            Some(Ok(Page { entries, more: More::None }))
        })
    }
}

const PUSH: &str = "a push whose connection is cut says what is known";
const PULL: &str = "a pull whose connection is cut does not end whole";
const OPEN: &str = "an open pull whose connection is cut fails, or goes on";
const SILENT: &str = "a client recovers from a server that was silent";
const SLOW: &str = "a slow connection is none that is cut";
const INTERRUPTED: &str = "a call to a silent server ends when it is interrupted";

/// Each with the laws that it breaks.
const BROKEN: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::SaysUnavailable, &[PUSH]),
    (Bug::SendsAgain, &[PUSH]),
    (Bug::AppendsOneByOne, &[PUSH]),
    (Bug::EndsWhenCut, &[PULL]),
    (Bug::ReadsPartOfPage, &[PULL]),
    (Bug::WaitsWhenCut, &[OPEN]),
    (Bug::IsDeadForGood, &[SILENT]),
    (Bug::IsImpatient, &[SLOW]),
    (Bug::IgnoresInterrupt, &[INTERRUPTED]),
];

fn broken(bug: Bug) -> Vec<&'static str> {
    let contract = Contract::new(Log::new, |number| number + 1000).within(Duration::from_secs(2));
    let laws = contract.upstream_cut(|| {
        let open = move |server| Client { server, bug, is_dead: AtomicBool::new(false) };
        (Server::start(bug), open)
    });
    let Err(broken) = laws else { return Vec::new() };
    println!("{bug:?}: {broken}\n");
    broken.laws().collect()
}

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().flat_map(|(_, laws)| *laws).copied().collect()
}

#[test]
fn upstream_cut_names_the_law_that_is_broken() {
    let found: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = BROKEN.iter().map(|(bug, _)| scope.spawn(|| broken(*bug))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((bug, laws), mut found) in BROKEN.iter().zip(found) {
        // One that waits for too short a time may do so where the machine is slow.
        found.retain(|law| *bug != Bug::IsImpatient || laws.contains(law));
        assert_eq!(found, *laws, "{bug:?}");
    }
}

/// Sends `sent` to a server that answers each byte with itself, through the proxy; returns what comes back until the connection
/// is cut, or for so long.
fn echo(proxy: &Proxy, sent: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut back = vec![0; sent.len()];
    _ = stream.write_all(sent);
    let mut got = 0;
    loop {
        match stream.read(&mut back[got..]) {
            Ok(read @ 1..) => got += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    back.truncate(got);
    back
}

#[test]
fn proxy_passes_on_what_it_is_told() {
    const LONG: Duration = Duration::from_secs(20);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = Proxy::new(listener.local_addr().unwrap()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    assert_eq!(echo(&proxy, b"whole", LONG), b"whole");
    assert_eq!((proxy.passed(Way::Requests), proxy.passed(Way::Answers)), (5, 5));
    for bytes in 0..5 {
        proxy.cut_after(Way::Answers, bytes);
        assert_eq!(echo(&proxy, b"parts", LONG).len() as u64, bytes);
    }
    let before = proxy.passed(Way::Requests);
    proxy.cut_after(Way::Requests, 3);
    assert!(echo(&proxy, b"parts", LONG).len() <= 3);
    assert_eq!(proxy.passed(Way::Requests), before + 3);
    proxy.swallow();
    assert_eq!(echo(&proxy, b"none", Duration::from_millis(100)), b"");
    proxy.heal();
    proxy.delay(Duration::from_millis(20));
    let begun = Instant::now();
    assert_eq!(echo(&proxy, b"slow", LONG), b"slow");
    assert!(begun.elapsed() >= Duration::from_millis(40));
}
