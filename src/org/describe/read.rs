//! The org's JSON becomes a describe. A key that is missing or of another kind than usual costs nothing but itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::{
    ChildRelationship, Computed, FieldDescribe, FieldKind, GlobalDescribe, ObjectDescribe, ObjectSummary, Picklist,
    PicklistValue, RecordTypeInfo, Reference,
};

impl ObjectDescribe {
    /// Reads the answer of `GET /sobjects/{object}/describe`. `None` where it is no such answer.
    pub(crate) fn read(json: &Json) -> Option<Self> {
        let fields = json.get("fields")?.as_array()?.iter().filter_map(field);
        Some(Self {
            object: ObjectSummary::read(json)?,
            fields: fields.map(|field| (field.name.as_str().to_ascii_lowercase(), field)).collect(),
            record_types: list(json, "recordTypeInfos").iter().filter_map(record_type).collect(),
            children: list(json, "childRelationships").iter().filter_map(child).collect(),
        })
    }
}

impl GlobalDescribe {
    /// Reads the answer of `GET /sobjects`.
    pub(in crate::org) fn read(json: &Json) -> Option<Self> {
        let objects = json.get("sobjects")?.as_array()?.iter().filter_map(ObjectSummary::read);
        Some(Self { objects: objects.map(|object| (object.name.as_str().to_ascii_lowercase(), object)).collect() })
    }
}

impl ObjectSummary {
    fn read(json: &Json) -> Option<Self> {
        Some(Self {
            name: parsed(json, "name")?,
            label: text(json, "label").unwrap_or_default(),
            key_prefix: text(json, "keyPrefix"),
            custom: flag(json, "custom"),
            custom_setting: flag(json, "customSetting"),
            createable: flag(json, "createable"),
            updateable: flag(json, "updateable"),
            deletable: flag(json, "deletable"),
            undeletable: flag(json, "undeletable"),
            // What is not said is no reason to give up.
            queryable: json.get("queryable").and_then(Json::as_bool).unwrap_or(true),
            retrieveable: json.get("retrieveable").and_then(Json::as_bool).unwrap_or(true),
            replicateable: flag(json, "replicateable"),
            mergeable: flag(json, "mergeable"),
        })
    }
}

fn field(json: &Json) -> Option<FieldDescribe> {
    let calculated = flag(json, "calculated");
    let formula = text(json, "calculatedFormula").is_some();
    Some(FieldDescribe {
        name: parsed(json, "name")?,
        label: text(json, "label").unwrap_or_default(),
        kind: kind(json),
        length: Some(number(json, "length")).filter(|length| *length > 0),
        custom: flag(json, "custom"),
        createable: flag(json, "createable"),
        updateable: flag(json, "updateable"),
        nillable: flag(json, "nillable"),
        default_on_create: flag(json, "defaultedOnCreate"),
        computed: calculated.then_some(if formula { Computed::Formula } else { Computed::RollUp }),
        external_id: flag(json, "externalId"),
        unique: flag(json, "unique"),
        case_sensitive: flag(json, "caseSensitive"),
        id_lookup: flag(json, "idLookup"),
        filterable: flag(json, "filterable"),
        compound: parsed(json, "compoundFieldName"),
        controller: parsed(json, "controllerName"),
        encrypted: flag(json, "encrypted"),
        name_field: flag(json, "nameField"),
        permissionable: flag(json, "permissionable"),
        restricted_delete: flag(json, "restrictedDelete"),
        deprecated: flag(json, "deprecatedAndHidden"),
    })
}

fn kind(json: &Json) -> FieldKind {
    let (precision, scale) = (number(json, "precision"), number(json, "scale"));
    let extra = json.get("extraTypeInfo").and_then(Json::as_str);
    let name = json.get("type").and_then(Json::as_str).unwrap_or_default();
    match name {
        _ if flag(json, "autoNumber") => FieldKind::AutoNumber,
        "string" if extra == Some("personname") => FieldKind::PersonName,
        "id" => FieldKind::Id,
        "string" => FieldKind::Text,
        "textarea" if extra == Some("richtextarea") || flag(json, "htmlFormatted") => FieldKind::RichText,
        "textarea" => FieldKind::TextArea,
        "double" => FieldKind::Number { precision, scale },
        "currency" => FieldKind::Currency { precision, scale },
        "percent" => FieldKind::Percent { precision, scale },
        "int" | "long" => FieldKind::Integer { digits: number(json, "digits") },
        "boolean" => FieldKind::Boolean,
        "date" => FieldKind::Date,
        "datetime" => FieldKind::DateTime,
        "time" => FieldKind::Time,
        "picklist" => FieldKind::Picklist(picklist(json)),
        "multipicklist" => FieldKind::MultiPicklist(picklist(json)),
        "combobox" => FieldKind::ComboBox(picklist(json)),
        "reference" => FieldKind::Reference(reference(json)),
        "email" => FieldKind::Email,
        "phone" => FieldKind::Phone,
        "url" => FieldKind::Url,
        "address" => FieldKind::Address,
        "location" => FieldKind::Location,
        "encryptedstring" => FieldKind::Encrypted,
        "base64" => FieldKind::Base64,
        "anyType" => FieldKind::Any,
        other => FieldKind::Other(other.to_owned()),
    }
}

fn picklist(json: &Json) -> Picklist {
    let value = |json: &Json| {
        let value = text(json, "value")?;
        let label = text(json, "label").unwrap_or_else(|| value.clone());
        Some(PicklistValue {
            value,
            label,
            active: flag(json, "active"),
            default: flag(json, "defaultValue"),
            valid_for: text(json, "validFor").and_then(|bits| STANDARD.decode(bits).ok()),
        })
    };
    let values = list(json, "picklistValues").iter().filter_map(value).collect();
    Picklist { values, restricted: flag(json, "restrictedPicklist") }
}

fn reference(json: &Json) -> Reference {
    let targets: Vec<_> = list(json, "referenceTo").iter().filter_map(|target| target.as_str()?.parse().ok()).collect();
    Reference {
        polymorphic: flag(json, "polymorphicForeignKey") || targets.len() > 1,
        targets,
        relationship_name: text(json, "relationshipName"),
        master: json.get("relationshipOrder").and_then(Json::as_u64).and_then(|order| u32::try_from(order).ok()),
        write_requires_master_read: flag(json, "writeRequiresMasterRead"),
    }
}

fn record_type(json: &Json) -> Option<RecordTypeInfo> {
    Some(RecordTypeInfo {
        id: parsed(json, "recordTypeId")?,
        name: text(json, "name").unwrap_or_default(),
        developer_name: text(json, "developerName"),
        active: json.get("active").and_then(Json::as_bool).unwrap_or(true),
        available: flag(json, "available"),
        default: flag(json, "defaultRecordTypeMapping"),
        master: flag(json, "master"),
    })
}

fn child(json: &Json) -> Option<ChildRelationship> {
    Some(ChildRelationship {
        object: parsed(json, "childSObject")?,
        field: parsed(json, "field")?,
        name: text(json, "relationshipName"),
        cascade_delete: flag(json, "cascadeDelete"),
        restricted_delete: flag(json, "restrictedDelete"),
    })
}

fn list<'j>(json: &'j Json, key: &str) -> &'j [Json] {
    json.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text(json: &Json, key: &str) -> Option<String> {
    json.get(key).and_then(Json::as_str).map(str::to_owned)
}

fn parsed<T: std::str::FromStr>(json: &Json, key: &str) -> Option<T> {
    json.get(key)?.as_str()?.parse().ok()
}

fn flag(json: &Json, key: &str) -> bool {
    json.get(key).and_then(Json::as_bool).unwrap_or(false)
}

fn number(json: &Json, key: &str) -> u32 {
    json.get(key).and_then(Json::as_u64).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}
