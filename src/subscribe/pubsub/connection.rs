//! The one gRPC connection of an org, over which all its streams and calls go (facts: streaming-pubsub.md section 1).

use std::time::Duration;

use pubsub_api::pub_sub_client::PubSubClient;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::error::Failed;
use crate::org::Session;

/// A dead line is noticed within twice this time, also while nothing flows.
const PING_EVERY: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A response has about 3 MB at most.
const MESSAGE_MAX: usize = 16 << 20;

pub type Client = PubSubClient<Channel>;

/// Connects when it is needed, to the first address that answers.
#[derive(Debug)]
pub struct Connection {
    endpoints: Vec<Endpoint>,
    /// The channel, and which connection it is.
    current: Mutex<(Option<Channel>, u64)>,
}

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of the Pub/Sub API cannot be used")]
pub struct BadAddress;

impl Connection {
    /// `addresses` are tried in their order. `trusted` is a further authority to trust, as PEM.
    pub fn new(addresses: &[String], trusted: Option<&str>) -> Result<Self, BadAddress> {
        let endpoint = |address: &String| {
            let endpoint = Endpoint::from_shared(address.clone()).map_err(|_| BadAddress)?;
            let endpoint = endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_EVERY)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
                .user_agent(concat!("orgbridge/", env!("CARGO_PKG_VERSION")))
                .map_err(|_| BadAddress)?;
            if endpoint.uri().scheme_str() != Some("https") {
                return Ok(endpoint);
            }
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(pem) = trusted {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint.tls_config(tls).map_err(|_| BadAddress)
        };
        let endpoints = addresses.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { endpoints, current: Mutex::default() })
    }

    /// On one line that a test makes, as patient as any; there is no other when it is lost.
    #[cfg(test)]
    pub fn over(line: impl FnOnce(&Endpoint) -> Channel) -> Self {
        let address = "http://org.test".to_owned();
        let endpoints = Self::new(&[address], None).unwrap().endpoints;
        Self { endpoints: Vec::new(), current: Mutex::new((Some(line(&endpoints[0])), 1)) }
    }

    /// A client on the connection, and the connection's number for [`Connection::lost`].
    pub async fn client(&self) -> Result<(Client, u64), Failed> {
        let mut current = self.current.lock().await;
        if current.0.is_none() {
            for endpoint in &self.endpoints {
                match endpoint.connect().await {
                    Ok(channel) => {
                        tracing::debug!(address = %endpoint.uri(), "connected");
                        *current = (Some(channel), current.1 + 1);
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(address = %endpoint.uri(), %error, "the Pub/Sub API cannot be reached")
                    }
                }
            }
        }
        let channel = current.0.clone().ok_or_else(Failed::connection)?;
        Ok((PubSubClient::new(channel).max_decoding_message_size(MESSAGE_MAX), current.1))
    }

    /// This connection failed: the next client gets another, unless somebody else has said so already.
    pub async fn lost(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.1 == number {
            current.0 = None;
        }
    }
}

/// A message with what every call must say of the login.
pub fn with_login<T>(session: &Session, message: T) -> Result<Request<T>, Status> {
    let invalid = |_| Status::new(Code::Unauthenticated, "the login holds what no header may");
    let url = session.instance_url.origin().ascii_serialization();
    let mut token: MetadataValue<Ascii> = session.token.expose_secret().parse().map_err(invalid)?;
    token.set_sensitive(true);
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("accesstoken", token);
    metadata.insert("instanceurl", url.parse().map_err(invalid)?);
    metadata.insert("tenantid", session.org_id.parse().map_err(invalid)?);
    Ok(request)
}
