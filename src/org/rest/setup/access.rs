//! What the user may do: in the org, with objects, with fields; and what everybody may do with the records of others.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::error::CallError;
use super::super::super::{Code, Org, soql};
use super::{Asked, Row, VIEW_SETUP, flag, parsed, text};
use crate::event::{FieldName, ObjectName};

/// What the user may do in the org as a whole. Absent: this org does not have the permission, or does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemPermissions {
    pub api_enabled: Option<bool>,
    pub view_all_data: Option<bool>,
    pub modify_all_data: Option<bool>,
    pub view_all_users: Option<bool>,
    pub view_setup: Option<bool>,
    pub customize_application: Option<bool>,
}

/// What the user may do with an object, by all permission sets and the profile together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectPermissions {
    pub read: bool,
    pub create: bool,
    pub edit: bool,
    pub delete: bool,
    /// Records of others, whatever sharing says.
    pub view_all: bool,
    pub modify_all: bool,
}

/// What the user may do with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldPermissions {
    pub read: bool,
    pub edit: bool,
}

/// An object as Setup knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    pub name: ObjectName,
    /// By which Setup's other tables know it: its name, or the id of a custom object.
    pub durable_id: String,
    pub sharing: Option<Sharing>,
}

/// What people of the org may do with the records of others without being given more: the org-wide default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    Private,
    Read,
    ReadWrite,
    /// As the record that is its master.
    ControlledByParent,
    Other(String),
}

impl Sharing {
    fn of(text: String) -> Self {
        match text.as_str() {
            "Private" => Self::Private,
            "Read" => Self::Read,
            "ReadWrite" | "ReadWriteTransfer" | "FullAccess" => Self::ReadWrite,
            "ControlledByParent" => Self::ControlledByParent,
            _ => Self::Other(text),
        }
    }
}

impl ObjectPermissions {
    fn add(&mut self, row: &Row) {
        self.read |= flag(row, "PermissionsRead");
        self.create |= flag(row, "PermissionsCreate");
        self.edit |= flag(row, "PermissionsEdit");
        self.delete |= flag(row, "PermissionsDelete");
        self.view_all |= flag(row, "PermissionsViewAllRecords");
        self.modify_all |= flag(row, "PermissionsModifyAllRecords");
    }

    /// With what the permissions for all data add.
    pub fn within(self, system: SystemPermissions) -> Self {
        let modify_all = self.modify_all || system.modify_all_data == Some(true);
        Self { modify_all, view_all: self.view_all || modify_all || system.view_all_data == Some(true), ..self }
    }
}

impl SystemPermissions {
    const ALL: &[&str] =
        &["ApiEnabled", "ViewAllData", "ModifyAllData", "ViewAllUsers", "ViewSetup", "CustomizeApplication"];
    /// Those that no org is without.
    const OF_DATA: &[&str] = &["ViewAllData", "ModifyAllData"];

    fn read(row: &Row) -> Self {
        let has = |name: &str| row.get(&format!("Permissions{name}")).and_then(serde_json::Value::as_bool);
        Self {
            api_enabled: has("ApiEnabled"),
            view_all_data: has("ViewAllData"),
            modify_all_data: has("ModifyAllData"),
            view_all_users: has("ViewAllUsers"),
            view_setup: has("ViewSetup"),
            customize_application: has("CustomizeApplication"),
        }
    }
}

impl Org {
    /// What the user may do in the org, whatever gives it: `UserPermissionAccess`, which everybody may ask of himself.
    pub async fn system_permissions(&self) -> Result<Asked<SystemPermissions>, CallError> {
        let ask = async |names: &[&str]| {
            let columns: Vec<String> = names.iter().map(|name| format!("Permissions{name}")).collect();
            let rows = self.query(&format!("SELECT {} FROM UserPermissionAccess", columns.join(", "))).await?;
            Ok(rows.first().map(SystemPermissions::read).unwrap_or_default())
        };
        let mut answer = ask(SystemPermissions::ALL).await;
        // A permission whose feature an org does not have is no column there.
        if answer.as_ref().is_err_and(|error: &CallError| error.code() == Some(&Code::InvalidField)) {
            answer = ask(SystemPermissions::OF_DATA).await;
        }
        Asked::of(answer, VIEW_SETUP)
    }

    /// What the user may do with each of these objects; nothing, where no permission set and no profile says so.
    pub async fn object_permissions(
        &self,
        objects: &[ObjectName],
    ) -> Result<Asked<BTreeMap<ObjectName, ObjectPermissions>>, CallError> {
        Asked::of(self.ask_object_permissions(objects).await, VIEW_SETUP)
    }

    async fn ask_object_permissions(
        &self,
        objects: &[ObjectName],
    ) -> Result<BTreeMap<ObjectName, ObjectPermissions>, CallError> {
        let mut found: BTreeMap<String, ObjectPermissions> = BTreeMap::new();
        let mine = self.of_my_permission_sets().await?;
        for names in objects.chunks(soql::IN_MAX) {
            let list = soql::list(names.iter().map(ObjectName::as_str));
            let soql = format!(
                "SELECT SobjectType, PermissionsRead, PermissionsCreate, PermissionsEdit, PermissionsDelete, \
                 PermissionsViewAllRecords, PermissionsModifyAllRecords FROM ObjectPermissions \
                 WHERE {mine} AND SobjectType IN {list}"
            );
            for row in self.query(&soql).await? {
                if let Some(object) = text(&row, "SobjectType") {
                    found.entry(object.to_ascii_lowercase()).or_default().add(&row);
                }
            }
        }
        let of = |object: &ObjectName| found.get(&object.as_str().to_ascii_lowercase()).copied().unwrap_or_default();
        Ok(objects.iter().map(|object| (object.clone(), of(object))).collect())
    }

    /// What the user may do with the fields of an object that have field-level security. Others, such as required ones,
    /// are not in it; a field that is hidden is not either.
    pub async fn field_permissions(
        &self,
        object: &ObjectName,
    ) -> Result<Asked<BTreeMap<FieldName, FieldPermissions>>, CallError> {
        let answer = async {
            let mine = self.of_my_permission_sets().await?;
            let soql = format!(
                "SELECT Field, PermissionsRead, PermissionsEdit FROM FieldPermissions WHERE {mine} AND SobjectType = {}",
                soql::literal(object.as_str())
            );
            let mut found: BTreeMap<FieldName, FieldPermissions> = BTreeMap::new();
            for row in self.query(&soql).await? {
                // `Account.Industry`
                let field = text(&row, "Field").and_then(|path| path.split_once('.')?.1.parse().ok());
                let Some(field) = field else { continue };
                let permissions = found.entry(field).or_default();
                permissions.read |= flag(&row, "PermissionsRead");
                permissions.edit |= flag(&row, "PermissionsEdit");
            }
            Ok(found)
        };
        Asked::of(answer.await, VIEW_SETUP)
    }

    /// The profile's permission set is assigned like the others; that of a group holds what its sets hold, less what is
    /// muted.
    async fn of_my_permission_sets(&self) -> Result<String, CallError> {
        let user = self.session().await.map_err(CallError::LoginFailed)?.user_id;
        Ok(format!(
            "ParentId IN (SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = {})",
            soql::literal(&user)
        ))
    }

    /// How Setup knows these objects; those that do not exist are left out.
    pub async fn entities(&self, objects: &[ObjectName]) -> Result<Asked<Vec<Entity>>, CallError> {
        Asked::of(self.ask_entities(objects).await, VIEW_SETUP)
    }

    pub(super) async fn ask_entities(&self, objects: &[ObjectName]) -> Result<Vec<Entity>, CallError> {
        let mut found = Vec::new();
        for names in objects.chunks(soql::IN_MAX) {
            let list = soql::list(names.iter().map(ObjectName::as_str));
            let soql = format!(
                "SELECT QualifiedApiName, DurableId, InternalSharingModel FROM EntityDefinition \
                 WHERE QualifiedApiName IN {list}"
            );
            let rows = self.pages("tooling/query", &soql).await?;
            let entity = |row: &Row| {
                Some(Entity {
                    name: parsed(row, "QualifiedApiName")?,
                    durable_id: text(row, "DurableId")?,
                    sharing: text(row, "InternalSharingModel").map(Sharing::of),
                })
            };
            found.extend(rows.iter().filter_map(entity));
        }
        Ok(found)
    }

    /// The custom fields that an object has, hidden or not: what a describe lacks and this has needs field-level
    /// security.
    pub async fn custom_fields(&self, object: &ObjectName) -> Result<Asked<BTreeSet<FieldName>>, CallError> {
        let answer = async {
            let entities = self.ask_entities(std::slice::from_ref(object)).await?;
            let ids = entities.iter().map(|entity| entity.durable_id.as_str()).chain([object.as_str()]);
            let soql = format!(
                "SELECT DeveloperName, NamespacePrefix FROM CustomField WHERE TableEnumOrId IN {}",
                soql::list(ids)
            );
            let rows = self.pages("tooling/query", &soql).await?;
            Ok(rows.iter().filter_map(custom_field_name).collect())
        };
        Asked::of(answer.await, VIEW_SETUP)
    }
}

/// `Bridge_Id` is `Bridge_Id__c`, or `ns__Bridge_Id__c` when it came with a package.
pub(in crate::org::rest) fn custom_field_name(row: &Row) -> Option<FieldName> {
    let name = text(row, "DeveloperName")?;
    let name = match text(row, "NamespacePrefix") {
        Some(namespace) => format!("{namespace}__{name}__c"),
        None => format!("{name}__c"),
    };
    name.parse().ok()
}
