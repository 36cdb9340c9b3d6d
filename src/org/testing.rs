//! An org of a few lines on loopback, whose answers a test decides. It speaks just enough HTTP/1.1, and can cut the
//! line, which servers of libraries cannot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Org, Timeouts, lock};
use crate::config::{Login, OrgConfig, PubsubEndpoint};

pub const ORG_ID: &str = "00D5e000000ABCDEA4";
pub const USER_ID: &str = "0055e000001AbCdAAK";
pub const SECRET: &str = "very-secret-consumer-secret";

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(seen, _)| seen == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn is_login(&self) -> bool {
        self.target.starts_with("/services/oauth2/token")
    }
}

/// What the org does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Reads the request and closes the connection.
    Cut,
    /// Announces a longer body than it sends.
    CutWithin {
        status: u16,
    },
    /// Reads the request and never answers.
    Silence,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    pub fn expired() -> Self {
        let message = "Session expired or invalid";
        Self::json(401, &serde_json::json!([{"message": message, "errorCode": "INVALID_SESSION_ID"}]))
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// An org that answers as its script says. Its tasks end when it is dropped.
pub struct ScriptedOrg {
    pub url: String,
    pub logins: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl ScriptedOrg {
    /// Logs everybody in with the tokens `token-1`, `token-2`, ...; all else is up to `script`.
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let logins = Arc::new(AtomicUsize::new(0));
        let count = logins.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let own_url = url.clone();
        let script = move |seen: &Seen| {
            if !seen.is_login() {
                return script(seen);
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::json(200, &token_response(&own_url, number))
        };
        Self::serve(listener, url, logins, Arc::new(script))
    }

    /// All requests are up to `script`, logins too.
    pub async fn raw(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, url, Arc::default(), Arc::new(script))
    }

    fn serve(listener: TcpListener, url: String, logins: Arc<AtomicUsize>, script: Arc<Script>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, script.clone(), log.clone()));
            }
        });
        Self { url, logins, seen, _tasks: tasks }
    }

    pub fn org(&self) -> Org {
        self.org_with(Timeouts::default())
    }

    pub fn org_with(&self, timeouts: Timeouts) -> Org {
        Org::with_timeouts(config(&self.url), timeouts).unwrap()
    }

    pub fn login_count(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }

    /// What came so far, without logins.
    pub fn calls(&self) -> Vec<Seen> {
        lock(&self.seen).iter().filter(|seen| !seen.is_login()).cloned().collect()
    }

    pub fn all(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }
}

pub fn config(login_url: &str) -> OrgConfig {
    OrgConfig {
        name: "hq".parse().unwrap(),
        login_url: login_url.parse().unwrap(),
        login: Login::ClientCredentials { key: "3MVG9.key".into(), secret: SecretString::from(SECRET) },
        client_name: "orgbridge".into(),
        api_version: "66.0".into(),
        transport: None,
        pubsub: PubsubEndpoint::Global,
        journal: Vec::new(),
        privacy: crate::privacy::Privacy::default(),
        api_budget: crate::config::ApiBudget::default(),
    }
}

pub fn token_response(url: &str, number: usize) -> Value {
    serde_json::json!({
        "access_token": format!("token-{number}"), "signature": "x", "scope": "api", "instance_url": url,
        "id": format!("https://login.salesforce.com/id/{ORG_ID}/{USER_ID}"), "token_type": "Bearer",
        "issued_at": "1278448384422",
    })
}

async fn connection(stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream).await {
        let reply = script(&seen);
        lock(&log).push(seen);
        let (status, headers, body, missing) = match reply {
            Reply::Answer { status, headers, body } => (status, headers, body, 0),
            Reply::CutWithin { status } => (status, Vec::new(), b"[".to_vec(), 10),
            Reply::Cut => return,
            Reply::Silence => return std::future::pending().await,
        };
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len() + missing);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let _ = stream.write_all(format!("{head}\r\n").as_bytes()).await;
        let _ = stream.write_all(&body).await;
        let _ = stream.flush().await;
        if missing > 0 {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, target, headers, body: Vec::new() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body).await.ok()?;
    Some(seen)
}
