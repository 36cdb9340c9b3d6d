//! A client of the Pub/Sub API, made from the protocol definition.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use super::super::World;
use pubsub_api::pub_sub_client::PubSubClient;
use pubsub_api::*;

/// Longer than anything takes that happens at all.
pub const LONG: Duration = Duration::from_secs(20);

/// A client that knows an org and has a token.
#[derive(Clone)]
pub struct Client {
    pub rpc: PubSubClient<Channel>,
    pub headers: MetadataMap,
}

impl Client {
    pub async fn new(world: &World) -> Self {
        Self::at(world, &format!("http://{}", world.emulator.pubsub)).await
    }

    /// At another address.
    pub async fn at(world: &World, url: &str) -> Self {
        let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        let rpc = PubSubClient::new(channel).max_encoding_message_size(100 << 20);
        let mut headers = MetadataMap::new();
        let org = world.org();
        headers.insert("accesstoken", world.token.parse().unwrap());
        headers.insert("instanceurl", org.base_url.parse().unwrap());
        headers.insert("tenantid", org.org_id.parse().unwrap());
        Self { rpc, headers }
    }

    pub fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    pub async fn topic(&self, name: &str) -> Result<TopicInfo, Status> {
        let request = self.with(TopicRequest { topic_name: name.into() });
        self.rpc.clone().get_topic(request).await.map(Response::into_inner)
    }

    pub async fn schema(&self, id: &str) -> Result<SchemaInfo, Status> {
        let request = self.with(SchemaRequest { schema_id: id.into() });
        self.rpc.clone().get_schema(request).await.map(Response::into_inner)
    }

    pub async fn publish(&self, topic: &str, events: Vec<ProducerEvent>) -> Result<PublishResponse, Status> {
        let request = PublishRequest { topic_name: topic.into(), events, ..PublishRequest::default() };
        self.rpc.clone().publish(self.with(request)).await.map(Response::into_inner)
    }

    pub fn subscribe(&self, first: FetchRequest) -> Call<FetchRequest, FetchResponse> {
        let call = Call::begin(self, |mut rpc, request| Box::pin(async move { rpc.subscribe(request).await }));
        call.send(first);
        call
    }

    pub fn managed(&self, first: ManagedFetchRequest) -> Call<ManagedFetchRequest, ManagedFetchResponse> {
        let call = Call::begin(self, |mut rpc, request| Box::pin(async move { rpc.managed_subscribe(request).await }));
        call.send(first);
        call
    }

    pub fn publisher(&self) -> Call<PublishRequest, PublishResponse> {
        Call::begin(self, |mut rpc, request| Box::pin(async move { rpc.publish_stream(request).await }))
    }
}

type Begun<R> = Pin<Box<dyn Future<Output = Result<Response<Streaming<R>>, Status>> + Send>>;

/// A call with a stream in both directions. It is cancelled when this is dropped.
pub struct Call<Q, R> {
    requests: mpsc::UnboundedSender<Q>,
    responses: mpsc::UnboundedReceiver<Result<R, Status>>,
    _task: JoinSet<()>,
}

impl<Q: Send + 'static, R: Send + 'static> Call<Q, R> {
    fn begin<F>(client: &Client, method: F) -> Self
    where
        F: FnOnce(PubSubClient<Channel>, Request<UnboundedReceiverStream<Q>>) -> Begun<R>,
    {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let (incoming, responses) = mpsc::unbounded_channel();
        let (rpc, request) = (client.rpc.clone(), client.with(UnboundedReceiverStream::new(outgoing)));
        let (mut task, begun) = (JoinSet::new(), method(rpc, request));
        task.spawn(async move {
            let mut stream = match begun.await {
                Ok(response) => response.into_inner(),
                Err(status) => return drop(incoming.send(Err(status))),
            };
            while let Some(item) = stream.message().await.transpose() {
                let over = item.is_err();
                if incoming.send(item).is_err() || over {
                    return;
                }
            }
        });
        Self { requests, responses, _task: task }
    }

    /// Nobody hears it if the call is over.
    pub fn send(&self, request: Q) {
        let _ = self.requests.send(request);
    }

    /// Says that nothing more comes from this side.
    pub fn half_close(&mut self) {
        self.requests = mpsc::unbounded_channel().0;
    }

    /// The next response; `None` when the call ended well.
    pub async fn end(&mut self) -> Option<Result<R, Status>> {
        tokio::time::timeout(LONG, self.responses.recv()).await.expect("nothing happened")
    }

    pub async fn next(&mut self) -> R {
        self.end().await.expect("the call has ended").unwrap()
    }

    /// How the call failed.
    pub async fn error(&mut self) -> Status {
        match self.end().await {
            Some(Err(status)) => status,
            Some(Ok(_)) => panic!("a response came"),
            None => panic!("the call ended well"),
        }
    }
}

impl Call<FetchRequest, FetchResponse> {
    /// So many events, in as many responses as it takes.
    pub async fn events(&mut self, count: usize) -> Vec<ConsumerEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }
}

/// The first request of a subscription.
pub fn first(topic: &str, preset: ReplayPreset, count: i32) -> FetchRequest {
    FetchRequest {
        topic_name: topic.into(),
        replay_preset: preset.into(),
        num_requested: count,
        ..FetchRequest::default()
    }
}

/// A later one.
pub fn more(count: i32) -> FetchRequest {
    FetchRequest { num_requested: count, ..FetchRequest::default() }
}

/// The suffix of the error code.
pub fn code(status: &Status) -> &str {
    let code = status.metadata().get("error-code").unwrap_or_else(|| panic!("{status:?}")).to_str().unwrap();
    code.strip_prefix("sfdc.platform.eventbus.grpc.").unwrap()
}

impl World {
    /// Creates so many accounts.
    pub async fn accounts(&self, count: usize) {
        for chunk in (0..count).collect::<Vec<_>>().chunks(200) {
            let records: Vec<Json> = chunk.iter().map(|n| json!({"Name": format!("Account {n}")})).collect();
            self.ok("POST", "composite/sobjects", super::super::collection("Account", json!(records))).await;
        }
    }

    pub async fn switch(&self, switches: Json) {
        self.ok("POST", "/emulator/switches", switches).await;
    }
}

/// An address that passes everything on to the Pub/Sub API, under TLS; it ends with the set.
pub async fn tunnel(world: &World) -> (String, JoinSet<()>) {
    let pem = std::fs::read(world.emulator.ca_file()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = world.emulator.pubsub.clone();
    let mut tunnels = JoinSet::new();
    tunnels.spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let stream = TcpStream::connect(target).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut server = connector.connect(name, stream).await.unwrap();
        assert_eq!(server.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await; // either side may just go
    });
    (url, tunnels)
}
