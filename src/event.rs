//! What flows through the bridge: changes and their parts, records, values, ids and positions.
//!
//! Every type here exists only checked, and knows neither the transport it came by nor the store it goes to.

mod arrival;
mod change;
mod channel;
mod diff;
mod id;
mod name;
mod position;
mod record;
mod transport;
mod value;

pub use arrival::{Arrival, Undecodable, Window, WindowCause};
pub use change::{Change, ChangeKind, EventKey, Field, Fields, Happening, Header, Part, RecordChange};
pub use channel::ChannelKind;
pub use diff::{DiffError, TextDiff};
pub use id::{InvalidId, RecordId};
pub(crate) use name::without_suffix;
pub use name::{Channel, FieldName, FieldPath, InvalidName, ObjectName, OrgName, PipelineName};
pub use position::{ReplayFrom, ReplayId, Seq, Timestamp};
pub use record::{Found, Record};
pub use transport::Transport;
pub use value::{Decimal, InvalidDecimal, Value};
