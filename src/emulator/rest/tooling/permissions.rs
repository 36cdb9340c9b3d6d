//! Who may do what, as rows: each user has a permission set of his own, that of his profile (setup-metadata.md section
//! 5).

use serde_json::json;

use super::rows::Made;
use crate::org::{FieldLevel, Id, ObjectAccess, ObjectKind, Org, User};
use crate::rest::describe::permissionable;

pub const ASSIGNMENT: &[&str] = &["Id", "AssigneeId", "PermissionSetId", "IsActive"];
pub const OBJECT: &[&str] = &[
    "Id",
    "ParentId",
    "SobjectType",
    "PermissionsCreate",
    "PermissionsRead",
    "PermissionsEdit",
    "PermissionsDelete",
    "PermissionsViewAllRecords",
    "PermissionsModifyAllRecords",
];
pub const FIELD: &[&str] = &["Id", "ParentId", "SobjectType", "Field", "PermissionsRead", "PermissionsEdit"];
pub const USER: &[&str] = &[
    "Id",
    "PermissionsApiEnabled",
    "PermissionsViewAllData",
    "PermissionsModifyAllData",
    "PermissionsViewAllUsers",
    "PermissionsViewSetup",
    "PermissionsCustomizeApplication",
    "PermissionsBulkApiHardDelete",
];

/// Users with the ids of their permission sets.
fn sets(org: &Org) -> impl Iterator<Item = (Id, &User)> {
    org.users().iter().enumerate().map(|(place, user)| (org.setup_id("0PS", place), user))
}

pub fn assignments(org: &Org) -> Made<'_> {
    Box::new(sets(org).enumerate().map(|(place, (set, user))| {
        json!({"Id": org.setup_id("0Pa", place).as_str(), "AssigneeId": user.id.as_str(),
            "PermissionSetId": set.as_str(), "IsActive": true})
    }))
}

pub fn objects(org: &Org) -> Made<'_> {
    let all = sets(org).flat_map(move |(set, user)| {
        let given = org.schema.objects().filter(|(_, object)| object.kind != ObjectKind::Setup);
        given.map(move |(index, object)| (set.clone(), object, org.object_access(&user.id, index)))
    });
    let some = all.filter(|(_, _, access)| *access != ObjectAccess::default());
    Box::new(some.enumerate().map(|(place, (set, object, access))| {
        // An event is published and subscribed to; more cannot be done with it.
        let record = object.kind == ObjectKind::Record;
        json!({"Id": org.setup_id("110", place).as_str(), "ParentId": set.as_str(), "SobjectType": object.name,
            "PermissionsCreate": access.create, "PermissionsRead": access.read,
            "PermissionsEdit": record && access.edit, "PermissionsDelete": record && access.delete,
            "PermissionsViewAllRecords": record && access.view_all,
            "PermissionsModifyAllRecords": record && access.modify_all})
    }))
}

pub fn fields(org: &Org) -> Made<'_> {
    let all = sets(org).flat_map(move |(set, user)| {
        let objects = org.schema.objects().filter(|(_, object)| object.kind == ObjectKind::Record);
        objects.flat_map(move |(index, object)| {
            let set = set.clone();
            let secured = object.fields().filter(|(field, _)| permissionable(object, *field));
            secured.map(move |(place, field)| (set.clone(), object, field, org.field_level(&user.id, index, place)))
        })
    });
    let seen = all.filter(|(.., level)| *level > FieldLevel::Hidden);
    Box::new(seen.enumerate().map(|(place, (set, object, field, level))| {
        json!({"Id": org.setup_id("01k", place).as_str(), "ParentId": set.as_str(), "SobjectType": object.name,
            "Field": format!("{}.{}", object.name, field.name), "PermissionsRead": true,
            "PermissionsEdit": level == FieldLevel::Editable && field.writable()})
    }))
}

/// What the caller may do, whatever gives it to him.
pub fn of_user<'a>(org: &'a Org, user: &Id) -> Made<'a> {
    Box::new(org.user(user).into_iter().map(|user| {
        let access = &user.access;
        json!({"Id": "000000000000000AAA", "PermissionsApiEnabled": user.api_enabled,
            "PermissionsViewAllData": access.view_all_data || access.modify_all_data,
            "PermissionsModifyAllData": access.modify_all_data,
            "PermissionsViewAllUsers": access.view_all_data || access.modify_all_data, "PermissionsViewSetup": access.view_setup,
            "PermissionsCustomizeApplication": access.modify_all_data,
            "PermissionsBulkApiHardDelete": access.bulk_hard_delete})
    }))
}
