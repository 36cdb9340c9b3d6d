//! A reader of the bus that shares nothing with the bridge but the protocol's definition.

use std::collections::BTreeMap;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use orgbridge::event::OrgName;
use orgbridge::org::Org;
use pubsub_api::pub_sub_client::PubSubClient;
use pubsub_api::{FetchRequest, ReplayPreset, SchemaRequest};
use secrecy::ExposeSecret;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};

use crate::support::{PATIENCE, World};

/// The events of one kind that were published in the target.
pub struct Bus {
    client: PubSubClient<Channel>,
    org: Org,
    event: &'static str,
}

impl Bus {
    pub async fn of(world: &World, event: &'static str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", world.emulator.pubsub)).unwrap();
        let org = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
        Self { client: PubSubClient::new(endpoint.connect().await.unwrap()), org, event }
    }

    async fn request<T>(&self, message: T) -> tonic::Request<T> {
        let session = self.org.session().await.unwrap();
        let mut request = tonic::Request::new(message);
        let url = session.instance_url.origin().ascii_serialization();
        for (name, value) in [
            ("accesstoken", session.token.expose_secret()),
            ("instanceurl", url.as_str()),
            ("tenantid", session.org_id.as_str()),
        ] {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    /// So many of the oldest events: the UUID and the fields of each.
    pub async fn events(&mut self, count: usize) -> Vec<(String, BTreeMap<String, Avro>)> {
        let wanted = FetchRequest {
            topic_name: format!("/event/{}", self.event),
            replay_preset: ReplayPreset::Earliest.into(),
            num_requested: 100,
            ..FetchRequest::default()
        };
        // It stays open, for a stream that ends is answered no more.
        let request = self.request(tokio_stream::iter([wanted]).chain(tokio_stream::pending())).await;
        let mut stream = self.client.subscribe(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while events.len() < count {
            let response = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
            for event in response.events {
                let event = event.event.unwrap();
                let request = self.request(SchemaRequest { schema_id: event.schema_id.clone() }).await;
                let schema = self.client.get_schema(request).await.unwrap().into_inner().schema_json;
                let schema = apache_avro::Schema::parse_str(&schema).unwrap();
                let mut payload = event.payload.as_ref();
                let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut payload).unwrap();
                let Avro::Record(fields) = read else { panic!("{read:?}") };
                let plain = |value| match value {
                    Avro::Union(_, inner) => *inner,
                    other => other,
                };
                events.push((event.id, fields.into_iter().map(|(name, value)| (name, plain(value))).collect()));
            }
        }
        events
    }
}
