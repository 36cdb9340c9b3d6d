//! The Pub/Sub API: gRPC, one port for all orgs (streaming-pubsub.md).
//!
//! Each call says in its metadata which org it means ([`caller`]). The methods are thin: what a client is owed is
//! decided in [`demand`], what it sees in the org.

mod caller;
mod demand;
mod fault;
mod managed;
mod publish;
mod refusal;
mod replay;
mod socket;
mod subscribe;
mod subscription;
mod topic;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::host::Host;
use caller::Caller;
use pubsub_api::pub_sub_server::{PubSub, PubSubServer};
use pubsub_api::{
    FetchRequest, FetchResponse, ManagedFetchRequest, ManagedFetchResponse, PublishRequest, PublishResponse,
    SchemaInfo, SchemaRequest, TopicInfo, TopicRequest,
};

/// Calls at the same time on one connection; more have to wait (streaming-pubsub.md section 13).
const STREAMS: u32 = 1_000;
/// Larger messages break the call off; below it, each method has a limit of its own.
const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Serves until stopped and until the open calls have ended.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, hosts: Arc<[Arc<Host>]>, stopped: CancellationToken) {
    let service = PubSubServer::new(Service { hosts }).max_decoding_message_size(MESSAGE_LIMIT);
    let server = Server::builder().max_concurrent_streams(STREAMS).add_service(service);
    // It fails only if accepting does, which `connections` never lets through.
    let connections = Box::pin(socket::connections(listener, tls));
    let _ = server.serve_with_incoming_shutdown(connections, async move { stopped.cancelled().await }).await;
}

struct Service {
    hosts: Arc<[Arc<Host>]>,
}

impl Service {
    fn admit<T>(&self, request: &Request<T>, rpc: &'static str) -> Result<Caller, Status> {
        Caller::admit(&self.hosts, request, rpc)
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PubSub for Service {
    type SubscribeStream = Responses<FetchResponse>;
    type PublishStreamStream = Responses<PublishResponse>;
    type ManagedSubscribeStream = Responses<ManagedFetchResponse>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FetchRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = self.admit(&request, "Subscribe")?;
        let input = request.into_inner();
        begin(caller, |caller| subscribe::responses(caller, input)).await
    }

    async fn get_schema(&self, request: Request<SchemaRequest>) -> Result<Response<SchemaInfo>, Status> {
        let caller = self.admit(&request, "GetSchema")?;
        let work =
            |caller: &Caller, request: &_| topic::schema(caller, request).map_err(|refusal| caller.refuse(refusal));
        fault::unary(caller, request.into_inner(), work).await
    }

    async fn get_topic(&self, request: Request<TopicRequest>) -> Result<Response<TopicInfo>, Status> {
        let caller = self.admit(&request, "GetTopic")?;
        let work =
            |caller: &Caller, request: &_| topic::topic(caller, request).map_err(|refusal| caller.refuse(refusal));
        fault::unary(caller, request.into_inner(), work).await
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let caller = self.admit(&request, "Publish")?;
        fault::unary(caller, request.into_inner(), publish::once).await
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = self.admit(&request, "PublishStream")?;
        let input = request.into_inner();
        begin(caller, |caller| publish::responses(caller, input)).await
    }

    async fn managed_subscribe(
        &self,
        request: Request<Streaming<ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        let caller = self.admit(&request, "ManagedSubscribe")?;
        let input = request.into_inner();
        begin(caller, |caller| managed::responses(caller, input)).await
    }
}

/// Begins a stream. The response's headers go out with the first message, as many a server does it, so that a client
/// which waits for them before it sends anything waits for ever; there is a switch.
async fn begin<T, S>(caller: Caller, responses: impl FnOnce(Caller) -> S) -> Result<Response<Responses<T>>, Status>
where
    T: Send + 'static,
    S: Stream<Item = Result<T, Status>> + Send + 'static,
{
    let host = caller.host.clone();
    let boxed = |caller| -> Responses<T> { Box::pin(responses(caller)) };
    let mut responses = fault::streaming(caller, boxed).await?;
    if host.switches().pubsub_headers_at_once {
        return Ok(Response::new(responses));
    }
    match responses.next().await {
        None => Ok(Response::new(Box::pin(stream::empty()))),
        Some(Err(status)) => Err(status),
        Some(first) => Ok(Response::new(Box::pin(stream::iter([first]).chain(responses)))),
    }
}
