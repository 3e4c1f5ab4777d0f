//! The upstream of a client: the server, over HTTP.
//!
//! # What became of a push
//!
//! A push that has been sent may have been taken, whatever happens afterwards. So every outcome is [`Uncertain`], unless the
//! log itself, which each of its answers names, or the meaning of the status says more:
//!
//! | what comes | outcome | why |
//! | --- | --- | --- |
//! | no connection: refused, no such host | [`Unavailable`] | nothing was sent |
//! | `204` of the log | taken | |
//! | `409` of the log, which is ahead | [`Behind`] | nothing was appended |
//! | `409` of the log, which ends before the batch's base | [`Fatal`], went back | events that it had given out are gone |
//! | `412`, or an answer of another log | [`Fatal`], another upstream | |
//! | `413` | [`TooLarge`] | it was not even read |
//! | `422` of the log | [`Rejected`], at the event | it was not appended |
//! | `401`, `403`, and `400`, `404`, `405`, `415` of the log | [`Fatal`] | trying again cannot help |
//! | `408`, `425`, `429` | [`Unavailable`] | by what they mean nothing was done |
//! | `503` of the log | [`Unavailable`] | it says so before it does anything |
//! | `500`, `502`, `504`, `503` of a proxy | [`Uncertain`] | it may have been passed on |
//! | `200` and anything else that is not of the log | [`Uncertain`] | a page to log in at, as hotels have them |
//! | the connection ends, the answer breaks off | [`Uncertain`] | |
//!
//! `Retry-After`, in seconds or as a date, is heeded with every one of them that is tried again. A pull changes nothing: what
//! is not fatal is unavailable. What comes of each answer, word for word, stands in the README, and is tested.
//!
//! [`Behind`]: PushError::Behind
//! [`Fatal`]: PushError::Fatal
//! [`Rejected`]: PushError::Rejected
//! [`TooLarge`]: PushError::TooLarge
//! [`Unavailable`]: PushError::Unavailable
//! [`Uncertain`]: PushError::Uncertain

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use latchwork::SharedError;
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, FatalKind, More, Page, PullError, PushError};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use crate::sse::Parser;
use crate::{Conflict, Entry, LOG, Notes, Pulled, Push, Refusal};

/// A server's log.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    url: String,
    /// Which log. A client keeps it beside its own, whose upstream it is.
    log: String,
}

impl Http {
    /// The log of this name, at this address.
    ///
    /// # Errors
    ///
    /// If there can be no client.
    pub fn new(server: &str, log: &str) -> reqwest::Result<Self> {
        let client = client()?;
        Ok(Self { client, url: format!("{server}/events"), log: log.to_owned() })
    }

    /// Asks the server what its log is called: for a client that has none yet.
    ///
    /// # Errors
    ///
    /// If it does not say.
    pub async fn ask(server: &str) -> Result<String, SharedError> {
        let url = format!("{server}/events");
        let answer = client()?.head(url).send().await?;
        header(answer.headers(), LOG).map(str::to_owned).ok_or_else(|| "the server does not name its log".into())
    }
}

/// Follows no redirect: it would lead to another log, or to none.
fn client() -> reqwest::Result<Client> {
    Client::builder().redirect(Policy::none()).connect_timeout(Duration::from_secs(10)).no_proxy().build()
}

impl AsyncUpstream<Notes> for Http {
    type Pull<'a> = Pull<'a>;

    async fn push(&self, batch: &Batch<Notes>) -> Result<(), PushError<u64>> {
        let notes = batch.entries.iter().map(|entry| entry.event.clone()).collect();
        let body = Push { base: batch.base, notes };
        let sent = self.client.post(&self.url).header(LOG, &self.log).json(&body).send().await;
        let answer = match sent {
            Ok(answer) => answer,
            // Also a name that is not found. A connection that was there and has ended is none of these.
            Err(error) if error.is_connect() => {
                return Err(PushError::Unavailable { retry_after: None, error: told(error) });
            }
            Err(error) => return Err(PushError::Uncertain { error: told(error) }),
        };
        self.outcome(batch.base, answer).await
    }

    fn pull(&self, cursor: u64) -> Pull<'_> {
        Pull { upstream: self, cursor, answer: None, parser: Parser::default() }
    }
}

impl Http {
    /// What an answer says of a push.
    async fn outcome(&self, base: u64, answer: Response) -> Result<(), PushError<u64>> {
        let (status, from) = (answer.status(), self.sender(&answer));
        let retry_after = retry_after(answer.headers());
        let error: SharedError = format!("the server answers {status}").into();
        let uncertain = || PushError::Uncertain { error: error.clone() };
        let outcome = match (status, from) {
            (_, Sender::AnotherLog) | (StatusCode::PRECONDITION_FAILED, Sender::Log) => {
                PushError::Fatal { kind: FatalKind::IdentityMismatch, error: another(&self.log) }
            }
            (StatusCode::NO_CONTENT, Sender::Log) => return Ok(()),
            (StatusCode::CONFLICT, Sender::Log) => match answer.json().await {
                Ok(Conflict { head }) if head < base => {
                    PushError::Fatal { kind: FatalKind::WentBack, error: went_back(head, base) }
                }
                Ok(Conflict { head }) => PushError::Behind { head: Some(head) },
                // What the status says is enough.
                Err(_) => PushError::Behind { head: None },
            },
            (StatusCode::UNPROCESSABLE_ENTITY, Sender::Log) => match answer.json().await {
                Ok(Refusal { index, error }) => PushError::Rejected { index, error: error.into() },
                Err(_) => uncertain(),
            },
            (StatusCode::PAYLOAD_TOO_LARGE, _) => PushError::TooLarge { error },
            (status, from) if is_fatal(status, from) => PushError::Fatal { kind: FatalKind::Other, error },
            (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS, _)
            | (StatusCode::SERVICE_UNAVAILABLE, Sender::Log) => {
                return Err(PushError::Unavailable { retry_after, error });
            }
            _ => uncertain(),
        };
        Err(match retry_after {
            Some(time) => outcome.retry_after(time),
            None => outcome,
        })
    }

    fn sender(&self, answer: &Response) -> Sender {
        match header(answer.headers(), LOG) {
            Some(log) if log == self.log => Sender::Log,
            Some(_) => Sender::AnotherLog,
            None => Sender::Unknown,
        }
    }
}

/// Where an answer comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Log,
    AnotherLog,
    /// A proxy, or what has taken the server's place.
    Unknown,
}

/// Whether trying again cannot help. (`404` of a proxy may be a server that is being replaced.)
fn is_fatal(status: StatusCode, from: Sender) -> bool {
    matches!(status.as_u16(), 401 | 403) || (from == Sender::Log && matches!(status.as_u16(), 400 | 404 | 405 | 415))
}

fn another(log: &str) -> SharedError {
    format!("the server has another log than {log}").into()
}

fn went_back(head: u64, known: u64) -> SharedError {
    format!("the server's log ends at event {head}, and event {known} had been there").into()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds, or a date, which is counted from the server's own: the clock here may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = header(headers, DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok());
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

/// A live pull. It has no end: if the response has one, it is to be begun anew.
#[derive(Debug)]
pub struct Pull<'a> {
    upstream: &'a Http,
    cursor: u64,
    answer: Option<Response>,
    parser: Parser,
}

impl AsyncPull<Notes> for Pull<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<Entry>, PullError>> {
        Some(self.page().await)
    }
}

impl Pull<'_> {
    async fn page(&mut self) -> Result<Page<Entry>, PullError> {
        loop {
            if let Some(data) = self.parser.next_data() {
                return self.read(&data);
            }
            let answer = match &mut self.answer {
                Some(answer) => answer,
                none => none.insert(self.upstream.begin(self.cursor).await?),
            };
            match answer.chunk().await {
                Ok(Some(bytes)) => self.parser.feed(&bytes),
                Ok(None) => return Err(unavailable(None, "the server has ended the pull".into())),
                Err(error) => return Err(unavailable(None, told(error))),
            }
        }
    }

    fn read(&mut self, data: &str) -> Result<Page<Entry>, PullError> {
        let Pulled { from, notes, more } =
            serde_json::from_str(data).map_err(|error| unavailable(None, format!("no page: {error}").into()))?;
        let entries: Vec<_> = (from..).zip(notes).map(|(position, event)| Entry { position, event }).collect();
        let more = if more == 0 { More::None } else { More::Events(more) };
        Ok(Page { entries, more })
    }
}

impl Http {
    async fn begin(&self, cursor: u64) -> Result<Response, PullError> {
        let get = self.client.get(format!("{}?after={cursor}", self.url)).header(LOG, &self.log);
        let answer = get.send().await.map_err(|error| unavailable(None, told(error)))?;
        let (status, from, time) = (answer.status(), self.sender(&answer), retry_after(answer.headers()));
        let (kind, error) = match (status, from) {
            (StatusCode::OK, Sender::Log) => return Ok(answer),
            (_, Sender::AnotherLog) | (StatusCode::PRECONDITION_FAILED, Sender::Log) => {
                (FatalKind::IdentityMismatch, another(&self.log))
            }
            (StatusCode::CONFLICT, Sender::Log) => match answer.json().await {
                Ok(Conflict { head }) if head < cursor => (FatalKind::WentBack, went_back(head, cursor)),
                // No page can be refused for that.
                Ok(_) => return Err(unavailable(time, format!("the server answers {status}").into())),
                Err(error) => return Err(unavailable(time, told(error))),
            },
            _ if is_fatal(status, from) => (FatalKind::Other, format!("the server answers {status}").into()),
            _ => return Err(unavailable(time, format!("the server answers {status}").into())),
        };
        Err(PullError::Fatal { kind, error })
    }
}

/// An error and its first cause: its own words say that a request has failed, and not why.
fn told(error: reqwest::Error) -> SharedError {
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(before) = cause.and_then(|cause| cause.source()) {
        cause = Some(before);
    }
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")).into()
}

fn unavailable(retry_after: Option<Duration>, error: SharedError) -> PullError {
    PullError::Unavailable { retry_after, error }
}
