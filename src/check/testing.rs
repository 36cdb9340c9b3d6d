//! Orgs that were asked, for tests of what is judged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value as Json;

use super::{KnownOrg, Place};
use crate::check::Finding;
use crate::org::describe::ObjectDescribe;
use crate::org::setup::{Asked, SystemPermissions};

/// An org that says nothing.
pub fn org() -> KnownOrg {
    KnownOrg {
        all: Arc::default(),
        objects: HashMap::new(),
        capture: None,
        system: Asked::Known(SystemPermissions::default()),
        permissions: Asked::Known(BTreeMap::new()),
        sharing: BTreeMap::new(),
        currency: None,
        automation: BTreeMap::new(),
        record_types: BTreeMap::new(),
        picklists: HashMap::new(),
        queues: None,
        users: None,
        called: HashMap::new(),
    }
}

/// An org with these describes.
pub fn org_with(describes: &[Json]) -> KnownOrg {
    let objects = describes.iter().map(|json| ObjectDescribe::read(json).unwrap());
    KnownOrg { objects: objects.map(|object| (object.name().clone(), Arc::new(object))).collect(), ..org() }
}

/// As `severity place: message`.
pub fn shown(findings: Vec<Finding>) -> Vec<String> {
    let show = |finding: Finding| {
        let Place::Pipeline(_, path) = finding.place else { unreachable!("of a pipeline") };
        assert!(!finding.remedy.is_empty());
        format!("{} {}: {}", finding.severity.as_str(), path.join("."), finding.message)
    };
    findings.into_iter().map(show).collect()
}
