//! Somebody's webhook: keeps what it got, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use orgbridge::config::Webhook;
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a webhook does with a request.
#[derive(Clone)]
pub enum Reply {
    Answer(&'static str),
    Cut,
    Silence,
    /// What it does with a request of this body.
    Each(Arc<dyn Fn(&str) -> Reply + Send + Sync>),
}

/// A request as it came: headers with names in lower case, and the body.
#[derive(Clone)]
pub struct Seen {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A webhook of a few lines. It ends when it is dropped.
pub struct Hook {
    pub port: u16,
    reply: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Hook {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reply, seen) = (Arc::new(Mutex::new(Reply::Cut)), Arc::new(Mutex::new(Vec::new())));
        let (script, log, mut tasks) = (reply.clone(), seen.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                lines.spawn(Self::serve(stream, script.clone(), log.clone()));
            }
        });
        Self { port, reply, seen, _tasks: tasks }
    }

    async fn serve(stream: TcpStream, script: Arc<Mutex<Reply>>, log: Arc<Mutex<Vec<Seen>>>) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut headers) = (String::new(), BTreeMap::new());
        stream.read_line(&mut line).await.ok()?;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).unwrap();
        log.lock().unwrap().push(Seen { line, headers, body: body.clone() });
        let mut reply = script.lock().unwrap().clone();
        if let Reply::Each(each) = &reply {
            reply = each(&body);
        }
        match reply {
            Reply::Answer(answer) => stream.write_all(answer.as_bytes()).await.ok(),
            Reply::Cut => None,
            Reply::Silence | Reply::Each(_) => std::future::pending().await,
        }
    }

    /// As a config names it.
    pub fn webhook(&self) -> Webhook {
        let url = format!("http://127.0.0.1:{}/hooks/path-secret?token=query-secret", self.port).parse().unwrap();
        Webhook { url, secret: SecretString::from("signing-secret") }
    }

    pub fn replies(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
