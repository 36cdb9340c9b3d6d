//! What objects and fields there are, as far as the caller may see them (rest.md section 3).

mod field;
mod picklists;

pub(super) use field::permissionable;
pub(super) use picklists::of_record_type;

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, conditions, not_allowed};
use crate::org::schema::Child;
use crate::org::{Object, ObjectIndex, ObjectKind};
use crate::wire::Answer;

/// The record type that every object has.
const MASTER: &str = "012000000000000AAA";

/// `GET /sobjects/`.
pub(super) fn global(context: &Context, request: &Request) -> Result<Answer, Answer> {
    only_get(request)?;
    if let Some(unchanged) = conditions::unmodified(&request.call, context.org.setup_changed()) {
        return Ok(unchanged);
    }
    let seen = context.org.schema.objects().filter(|(index, _)| context.org.can_see_object(&request.user, *index));
    let list: Vec<Json> = seen.map(|(index, _)| Json::Object(summary(context, request, index))).collect();
    let body = json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": list});
    Ok(conditions::dated(Answer::json(200, &body), context.org.setup_changed()))
}

/// `GET /sobjects/X/`.
pub(super) fn basic(context: &Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    if let Some(unchanged) = conditions::unmodified(&request.call, context.org.setup_changed()) {
        return Ok(unchanged);
    }
    let body = json!({"objectDescribe": summary(context, request, object), "recentItems": []});
    Ok(conditions::dated(Answer::json(200, &body), context.org.setup_changed()))
}

/// `GET /sobjects/X/describe/`.
pub(super) fn full(context: &Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    only_get(request)?;
    if let Some(unchanged) = conditions::unmodified(&request.call, context.org.setup_changed()) {
        return Ok(unchanged);
    }
    let access = context.org.object_access(&request.user, object);
    let definition = context.org.schema.object(object);
    let fields = context.all_fields(request, object);
    let fields: Vec<Json> = fields
        .into_iter()
        .map(|index| {
            let level = context.org.field_level(&request.user, object, index);
            field::describe(definition, index, access, level)
        })
        .collect();
    let children = definition.children.iter().filter(|child| {
        context.org.can_see_object(&request.user, child.object)
            && context.org.can_see_field(&request.user, child.object, child.field)
    });
    let children: Vec<Json> = children.map(|child| relationship(context, child)).collect();
    let mut body = summary(context, request, object);
    body.insert("fields".into(), fields.into());
    body.insert("childRelationships".into(), children.into());
    body.insert("recordTypeInfos".into(), record_types(context, request, object).into());
    appearance(request, definition, &mut body);
    Ok(conditions::dated(Answer::json(200, &Json::Object(body)), context.org.setup_changed()))
}

/// What only the user interface has a use for; clients that read a describe into types insist on the keys.
fn appearance(request: &Request, object: &Object, body: &mut Map<String, Json>) {
    let record = object.kind == ObjectKind::Record;
    for (name, value) in [
        ("actionOverrides", json!([])),
        ("compactLayoutable", record.into()),
        ("listviewable", Json::Null),
        ("lookupLayoutable", Json::Null),
        ("namedLayoutInfos", json!([])),
        ("networkScopeFieldName", Json::Null),
        ("searchLayoutable", record.into()),
        ("supportedScopes", json!([])),
    ] {
        body.insert(name.into(), value);
    }
    let site = request.call.base();
    if let (true, Some(Json::Object(urls))) = (record, body.get_mut("urls")) {
        urls.insert("uiDetailTemplate".into(), format!("{site}/{{ID}}").into());
        urls.insert("uiEditTemplate".into(), format!("{site}/{{ID}}/e").into());
        urls.insert("uiNewRecord".into(), format!("{site}/{}/e", object.prefix).into());
    }
}

fn only_get(request: &Request) -> Result<(), Answer> {
    match request.call.method.as_str() {
        "GET" | "HEAD" => Ok(()),
        _ => Err(not_allowed(&request.call, "HEAD,GET")),
    }
}

/// The keys that the list of all objects has of each.
fn summary(context: &Context, request: &Request, index: ObjectIndex) -> Map<String, Json> {
    let object = context.org.schema.object(index);
    let access = context.org.object_access(&request.user, index);
    let kept = object.kind != ObjectKind::Event;
    let record = object.kind == ObjectKind::Record;
    let mut keys = Map::new();
    for (name, value) in [
        ("createable", access.create),
        ("updateable", kept && access.edit),
        ("deletable", kept && access.delete),
        ("undeletable", record && access.delete),
        ("queryable", kept && access.read),
        ("retrieveable", kept && access.read),
        ("replicateable", kept),
        ("triggerable", object.kind != ObjectKind::Setup),
        ("searchable", record),
        ("layoutable", record),
        ("mergeable", object.mergeable && access.delete),
        ("mruEnabled", record),
        ("activateable", false),
        ("custom", object.custom()),
        ("customSetting", false),
        ("deprecatedAndHidden", false),
        ("feedEnabled", false),
        ("hasSubtypes", false),
        ("isSubtype", false),
    ] {
        keys.insert(name.into(), value.into());
    }
    for (name, text) in [
        ("name", &object.name),
        ("label", &object.label),
        ("labelPlural", &object.label_plural),
        ("keyPrefix", &object.prefix),
    ] {
        keys.insert(name.into(), text.as_str().into());
    }
    keys.insert("urls".into(), urls(request, object));
    keys
}

fn urls(request: &Request, object: &Object) -> Json {
    let base = format!("/services/data/v{}.0/sobjects/{}", request.version, object.name);
    let mut urls =
        json!({"sobject": base, "describe": format!("{base}/describe"), "rowTemplate": format!("{base}/{{ID}}")});
    let more: &[(&str, &str)] = match object.kind {
        ObjectKind::Record => &[
            ("approvalLayouts", "describe/approvalLayouts"),
            ("compactLayouts", "describe/compactLayouts"),
            ("defaultValues", "defaultValues?recordTypeId&fields"),
            ("layouts", "describe/layouts"),
            ("listviews", "listviews"),
            ("quickActions", "quickActions"),
        ],
        ObjectKind::Event => &[("eventSchema", "eventSchema")],
        _ => &[],
    };
    if let Some(urls) = urls.as_object_mut() {
        urls.extend(more.iter().map(|(name, path)| ((*name).to_owned(), format!("{base}/{path}").into())));
    }
    urls
}

fn relationship(context: &Context, child: &Child) -> Json {
    let object = context.org.schema.object(child.object);
    let field = object.field(child.field);
    json!({"cascadeDelete": child.cascades, "childSObject": object.name, "deprecatedAndHidden": false,
        "field": field.name, "junctionIdListNames": [], "junctionReferenceTo": [],
        "relationshipName": child.relationship,
        "restrictedDelete": field.reference().is_some_and(|to| to.restricts)})
}

/// The object's record types, and the one that stands for having none.
fn record_types(context: &Context, request: &Request, object: ObjectIndex) -> Vec<Json> {
    let name = &context.org.schema.object(object).name;
    let base = format!("/services/data/v{}.0/sobjects/{name}/describe/layouts", request.version);
    let info = |id: &str, name: &str, developer_name: &str, active: bool, default: bool| {
        json!({"active": active, "available": active, "defaultRecordTypeMapping": default, "name": name,
            "developerName": developer_name, "master": id == MASTER, "recordTypeId": id,
            "urls": {"layout": format!("{base}/{id}")}})
    };
    let default = context.org.default_record_type(object);
    let mut infos = Vec::new();
    if let Some((index, types)) = context.org.schema.find("RecordType") {
        for row in context.org.table(index).rows().filter(|row| row.deleted_in.is_none()) {
            let value = |name: &str| types.find(name).map_or(Json::Null, |(field, _)| row.read(types, field));
            if value("SobjectType").as_str() != Some(name) {
                continue;
            }
            let (label, developer_name) = (value("Name"), value("DeveloperName"));
            infos.push(info(
                row.id.as_str(),
                label.as_str().unwrap_or_default(),
                developer_name.as_str().unwrap_or_default(),
                value("IsActive") == true,
                default == Some(&row.id),
            ));
        }
    }
    infos.push(info(MASTER, "Master", "Master", true, default.is_none()));
    infos
}
