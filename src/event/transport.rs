//! By which of its APIs an org delivers.

use std::fmt;
use std::str::FromStr;

use super::InvalidName;

/// How the events of a source org are received. A replay id of one means nothing to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The Pub/Sub API (gRPC).
    Pubsub,
    /// The Streaming API (CometD).
    Cometd,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pubsub => "pubsub",
            Self::Cometd => "cometd",
        }
    }
}

impl FromStr for Transport {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        [Self::Pubsub, Self::Cometd].into_iter().find(|one| one.as_str() == text).ok_or_else(|| InvalidName {
            text: text.chars().take(40).collect(),
            what: "a transport",
            remedy: "write `pubsub` or `cometd`",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
