//! Something that may have hidden a change: what is kept of it, and how it is told to people.

use std::fmt;

use super::SubscriptionId;
use crate::event::{EventKey, ObjectName, ReplayId, Seq, Timestamp};

/// Something that may have hidden a change. It names records, which the entry at `seq` holds and which are read whole;
/// or a window of an object (or of the whole channel), which stands open until something clears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub id: i64,
    pub subscription: SubscriptionId,
    pub kind: GapKind,
    /// None: any of the channel.
    pub object: Option<ObjectName>,
    /// The window in the org's time; open at an end that is not known.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Its place in the journal's order: that of its entry, else the head when it was noticed.
    pub seq: Seq,
    /// How many records its entry names; 0 for a window.
    pub records: u64,
    /// By our clock.
    pub opened: Timestamp,
    /// For people, beside the words of its kind; may be empty.
    pub why: String,
    /// The event that, when it comes again, proves that nothing is missing. None where nothing can.
    pub proof: Option<EventKey>,
    /// What is left of an event that could not be read.
    pub evidence: Option<Evidence>,
    pub closed: Option<Closed>,
}

/// Enough of an event that could not be read to know which it was, and nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub replay_id: Option<ReplayId>,
    pub schema_id: Option<String>,
    /// Of the payload, in bytes.
    pub length: u64,
    /// SHA-256 of the payload, in hex.
    pub digest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// By our clock.
    pub at: Timestamp,
    pub by: Mended,
}

/// Why a gap may have hidden something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapKind {
    /// The org refused the saved position.
    Position,
    /// The bridge was away for longer than the org keeps events.
    Outage,
    /// The subscription went on with the newest event, although older ones were owed.
    Skipped,
    /// The org could not say what changed, but of which records (GAP_CREATE and its like).
    Records,
    /// Too many changes to list (GAP_OVERFLOW).
    Overflow,
    /// An event that speaks of records which it does not name (`001*`).
    Wildcard,
    /// An event that this release could not read.
    Undecodable,
    /// A pipeline was removed and added again.
    Removed,
    /// The truth probe found changed rows that no event told of.
    Missed,
    /// The object was not captured, or not as before.
    Capture,
    /// The bridge's user could not see all the fields that it reads.
    Access,
    /// Another org is behind the login, and was accepted.
    OtherOrg,
}

impl GapKind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Position,
        Self::Outage,
        Self::Skipped,
        Self::Records,
        Self::Overflow,
        Self::Wildcard,
        Self::Undecodable,
        Self::Removed,
        Self::Missed,
        Self::Capture,
        Self::Access,
        Self::OtherOrg,
    ];

    /// As it is stored, and as programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Position => "position",
            Self::Outage => "outage",
            Self::Skipped => "skipped",
            Self::Records => "records",
            Self::Overflow => "overflow",
            Self::Wildcard => "wildcard",
            Self::Undecodable => "undecodable",
            Self::Removed => "removed",
            Self::Missed => "missed",
            Self::Capture => "capture",
            Self::Access => "access",
            Self::OtherOrg => "other_org",
        }
    }
}

impl std::str::FromStr for GapKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// In users' words.
impl fmt::Display for GapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Position => "the org no longer knew the saved position",
            Self::Outage => "the bridge was away for longer than the org keeps events",
            Self::Skipped => "older events were left out, because the org's event allocation did not allow for them",
            Self::Records => "the org could not tell what changed",
            Self::Overflow => "too many changes at once for the org to list",
            Self::Wildcard => "an event that does not name all its records",
            Self::Undecodable => "an event that this release can not read",
            Self::Removed => "the pipeline was forgotten for a while",
            Self::Missed => "records changed, and no event said so",
            Self::Capture => "the object was not captured as it should be",
            Self::Access => "the bridge's user could not see every field",
            Self::OtherOrg => "another org is behind the login than before",
        })
    }
}

/// What closed a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// The newest event that was known came again, and so did all behind it.
    CameAgain,
    /// Every pipeline that reads the object has read the records whole, or shows them as parked.
    Read,
    /// No pipeline reads the object. One that is added later and wants what is older finds the entry, and reads.
    Unread,
    /// The truth probe compared the window of every object that a pipeline reads.
    Probe,
    /// What changed and what went since it began was read and written again; or all was.
    Repair,
    /// Another org took the place of the one that it speaks of.
    OtherOrg,
    /// A person looked after what it may have hidden.
    Person,
}

impl Mended {
    const ALL: [Self; 7] =
        [Self::CameAgain, Self::Read, Self::Unread, Self::Probe, Self::Repair, Self::OtherOrg, Self::Person];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CameAgain => "the event came again",
            Self::Read => "read",
            Self::Unread => "no pipeline reads it",
            Self::Probe => "probe",
            Self::Repair => "repair",
            Self::OtherOrg => "another org",
            Self::Person => "a person",
        }
    }
}

impl std::str::FromStr for Mended {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or(())
    }
}

impl Gap {
    /// What closes it, in users' words.
    pub fn remedy(&self) -> &'static str {
        match (self.records, self.kind) {
            (1.., _) => "it closes by itself: its records are read from the source",
            (0, GapKind::Position | GapKind::Outage) => {
                "it closes by itself: when the subscription is live again, what changed and what was deleted since then is read"
            }
            (0, GapKind::Capture) => {
                "mend the cause; when the truth probe sees that it is gone, what changed and what was deleted since then is read"
            }
            (0, GapKind::Access) => {
                "give the bridge's user read access to the fields; when the truth probe sees that it has it, what changed and what \
                 was deleted since then is read"
            }
            (0, GapKind::OtherOrg) => {
                "it closes when a backfill of the pipeline is done: `orgbridge backfill PIPELINE`"
            }
            (
                0,
                GapKind::Skipped
                | GapKind::Records
                | GapKind::Overflow
                | GapKind::Wildcard
                | GapKind::Undecodable
                | GapKind::Removed
                | GapKind::Missed,
            ) => "it closes by itself: what changed and what was deleted since then is read",
        }
    }
}

/// One line in users' words.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object.as_ref().map(ObjectName::as_str);
        write!(f, "{}: ", self.kind)?;
        match (self.records, object) {
            (0, None) => f.write_str("all records of the channel")?,
            (0, Some(object)) => f.write_str(object)?,
            (1, object) => write!(f, "1 record of {}", object.unwrap_or("the channel"))?,
            (records, object) => write!(f, "{records} records of {}", object.unwrap_or("the channel"))?,
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => write!(f, ", at {from}")?,
            (from, to) => {
                let time = |time: Option<Timestamp>, open: &str| time.map_or(open.to_owned(), |time| time.to_string());
                write!(f, ", from {} to {}", time(from, "the start"), time(to, "now"))?;
            }
        }
        if self.records > 0 && self.closed.is_none() {
            f.write_str("; to be read")?;
        }
        if !self.why.is_empty() {
            write!(f, " ({})", self.why)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(kind: GapKind) -> Gap {
        Gap {
            id: 1,
            subscription: SubscriptionId(1),
            kind,
            object: None,
            from: None,
            to: None,
            seq: Seq(3),
            records: 0,
            opened: Timestamp(0),
            why: String::new(),
            proof: None,
            evidence: None,
            closed: None,
        }
    }

    #[test]
    fn a_gap_is_one_line_that_a_person_understands() {
        let at = |seconds: i64| Some(Timestamp(seconds * 1_000));
        let account = Some("Account".parse().unwrap());
        let window = Gap { from: at(0), to: at(60), ..gap(GapKind::Outage) };
        assert_eq!(
            window.to_string(),
            "the bridge was away for longer than the org keeps events: all records of the channel, from \
             1970-01-01T00:00:00.000Z to 1970-01-01T00:01:00.000Z"
        );
        let records = Gap { object: account.clone(), records: 2, from: at(1), to: at(1), ..gap(GapKind::Records) };
        assert_eq!(
            records.to_string(),
            "the org could not tell what changed: 2 records of Account, at 1970-01-01T00:00:01.000Z; to be read"
        );
        let unread = Gap { object: account, why: "the body ends early".to_owned(), ..gap(GapKind::Undecodable) };
        assert_eq!(
            unread.to_string(),
            "an event that this release can not read: Account, from the start to now (the body ends early)"
        );
    }

    #[test]
    fn what_is_stored_of_a_kind_is_read_again() {
        for kind in GapKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for by in Mended::ALL {
            assert_eq!(by.as_str().parse(), Ok(by));
        }
        assert_eq!("".parse::<GapKind>(), Err(()));
    }
}
