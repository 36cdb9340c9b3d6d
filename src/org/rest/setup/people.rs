//! Users by what a config may know of them, and queues.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::super::super::error::CallError;
use super::super::super::{Org, soql};
use super::{Asked, Row, flag, parsed, text};
use crate::event::{ObjectName, RecordId};

/// What a user is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserKey {
    Id,
    Username,
    /// `FederationIdentifier`; Setup calls it Federation ID.
    FederationId,
    /// Several users can have the same.
    Email,
}

impl UserKey {
    /// The column of User.
    pub fn field(self) -> &'static str {
        match self {
            Self::Id => "Id",
            Self::Username => "Username",
            Self::FederationId => "FederationIdentifier",
            Self::Email => "Email",
        }
    }

    /// The form in which values are compared: an org does not tell cases, but for ids.
    fn form(self, value: &str) -> String {
        match self {
            Self::Id => value.parse::<RecordId>().map_or_else(|_| value.to_owned(), String::from),
            Self::Username | Self::FederationId | Self::Email => value.to_lowercase(),
        }
    }
}

/// A user who can, or could, own records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundUser {
    pub id: RecordId,
    /// An org refuses inactive users as owners, unless the permission to update with them is given.
    pub active: bool,
}

/// Users that were asked for. Prints none of what they are known by: that is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Users {
    by: UserKey,
    found: HashMap<String, Vec<FoundUser>>,
}

impl Users {
    /// None, one, or by e-mail several.
    pub fn get(&self, value: &str) -> &[FoundUser] {
        self.found.get(&self.by.form(value)).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({} by {:?})", self.found.len(), self.by)
    }
}

/// A queue, which owns records of some objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub id: RecordId,
    pub developer_name: String,
    pub name: String,
    pub objects: Vec<ObjectName>,
}

impl Queue {
    pub fn may_own(&self, object: &ObjectName) -> bool {
        self.objects.iter().any(|known| known.as_str().eq_ignore_ascii_case(object.as_str()))
    }
}

const READ_USERS: &str = "read access to users (View All Users, where users are private)";
const READ_QUEUES: &str = "read access to groups and queues";

impl Org {
    /// Which users have these values; the empty value finds nobody.
    pub async fn users<'a>(
        &self,
        by: UserKey,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Asked<Users>, CallError> {
        let wanted: HashSet<String> = values.into_iter().map(|value| by.form(value)).collect();
        let mut wanted: Vec<String> = wanted.into_iter().filter(|value| !value.trim().is_empty()).collect();
        // What is no id makes an org refuse the whole query.
        wanted.retain(|value| by != UserKey::Id || value.parse::<RecordId>().is_ok());
        wanted.sort();
        Asked::of(self.ask_users(by, &wanted).await, READ_USERS)
    }

    async fn ask_users(&self, by: UserKey, wanted: &[String]) -> Result<Users, CallError> {
        let field = by.field();
        let columns = if by == UserKey::Id { "Id, IsActive".to_owned() } else { format!("Id, IsActive, {field}") };
        let mut found: HashMap<String, Vec<FoundUser>> = HashMap::new();
        for values in soql::in_urls(wanted) {
            let list = soql::list(values.iter().map(String::as_str));
            for row in self.query(&format!("SELECT {columns} FROM User WHERE {field} IN {list}")).await? {
                let user = parsed(&row, "Id").map(|id| FoundUser { id, active: flag(&row, "IsActive") });
                if let (Some(user), Some(value)) = (user, text(&row, field)) {
                    found.entry(by.form(&value)).or_default().push(user);
                }
            }
        }
        Ok(Users { by, found })
    }

    /// All queues, with the objects whose records they may own.
    pub async fn queues(&self) -> Result<Asked<Vec<Queue>>, CallError> {
        let answer = async {
            let rows = self.query("SELECT Id, DeveloperName, Name FROM Group WHERE Type = 'Queue'").await?;
            let owned = self.query("SELECT QueueId, SobjectType FROM QueueSobject").await?;
            let mut objects: HashMap<RecordId, Vec<ObjectName>> = HashMap::new();
            for row in &owned {
                if let (Some(queue), Some(object)) = (parsed(row, "QueueId"), parsed(row, "SobjectType")) {
                    objects.entry(queue).or_default().push(object);
                }
            }
            let queue = |row: &Row| {
                let id = parsed(row, "Id")?;
                let mut objects = objects.get(&id).cloned().unwrap_or_default();
                objects.sort();
                Some(Queue {
                    id,
                    developer_name: text(row, "DeveloperName")?,
                    name: text(row, "Name").unwrap_or_default(),
                    objects,
                })
            };
            Ok(rows.iter().filter_map(queue).collect())
        };
        Asked::of(answer.await, READ_QUEUES)
    }
}
