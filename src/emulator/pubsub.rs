//! The Pub/Sub API: gRPC, one port for all orgs (streaming-pubsub.md).
//!
//! Each call says in its metadata which org it means ([`caller`]). The methods are thin: what a client is owed is
//! decided in [`demand`], what it sees in the org.

mod caller;
mod demand;
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
use crate::pubsub_api::pub_sub_server::{PubSub, PubSubServer};
use crate::pubsub_api::{
    FetchRequest, FetchResponse, ManagedFetchRequest, ManagedFetchResponse, PublishRequest, PublishResponse,
    SchemaInfo, SchemaRequest, TopicInfo, TopicRequest,
};
use caller::Caller;

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
        Caller::admit(&self.hosts, request.metadata(), rpc)
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
        let host = caller.host.clone();
        begin(&host, subscribe::responses(caller, request.into_inner())).await
    }

    async fn get_schema(&self, request: Request<SchemaRequest>) -> Result<Response<SchemaInfo>, Status> {
        let caller = self.admit(&request, "GetSchema")?;
        answer(&caller, topic::schema(&caller, &request.into_inner()))
    }

    async fn get_topic(&self, request: Request<TopicRequest>) -> Result<Response<TopicInfo>, Status> {
        let caller = self.admit(&request, "GetTopic")?;
        answer(&caller, topic::topic(&caller, &request.into_inner()))
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let caller = self.admit(&request, "Publish")?;
        publish::once(&caller, &request.into_inner()).map(Response::new)
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let caller = self.admit(&request, "PublishStream")?;
        let host = caller.host.clone();
        begin(&host, publish::responses(caller, request.into_inner())).await
    }

    async fn managed_subscribe(
        &self,
        request: Request<Streaming<ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        let caller = self.admit(&request, "ManagedSubscribe")?;
        let host = caller.host.clone();
        begin(&host, managed::responses(caller, request.into_inner())).await
    }
}

fn answer<T>(caller: &Caller, answer: Result<T, refusal::Refusal>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|refusal| caller.refuse(refusal))
}

/// Begins a stream. The response's headers go out with the first message, as many a server does it, so that a client
/// which waits for them before it sends anything waits for ever; there is a switch.
async fn begin<T: Send + 'static>(
    host: &Host,
    responses: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Result<Response<Responses<T>>, Status> {
    let mut responses: Responses<T> = Box::pin(responses);
    if host.switches().pubsub_headers_at_once {
        return Ok(Response::new(responses));
    }
    match responses.next().await {
        None => Ok(Response::new(Box::pin(stream::empty()))),
        Some(Err(status)) => Err(status),
        Some(first) => Ok(Response::new(Box::pin(stream::iter([first]).chain(responses)))),
    }
}
