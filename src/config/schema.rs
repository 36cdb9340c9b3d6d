//! The JSON Schema of the config, for editors. `schemas/bridge.schema.json` is this, written to a file.

/// Made from the types of `raw`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(super::raw::Document)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::super::check::{BLOCKS, DOCUMENT};
    use super::super::raw::Document;
    use super::super::walk::Keys;
    use super::*;

    fn in_repository(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    fn names<'j>(json: impl Iterator<Item = &'j str>) -> BTreeSet<&'j str> {
        json.collect()
    }

    #[test]
    fn the_schema_file_is_made_from_the_types() {
        let path = in_repository("schemas/bridge.schema.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == now,
            "schemas/bridge.schema.json is not what the types say; write it anew: UPDATE_SCHEMA=1 cargo test schema"
        );
    }

    #[test]
    fn schema_and_check_know_the_same_keys() {
        fn compare(name: &str, schema: &Value, keys: &Keys) {
            let known = names(schema["properties"].as_object().unwrap().keys().map(String::as_str));
            let required = names(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
            assert_eq!(known, names(keys.required.iter().chain(keys.optional).copied()), "keys of {name}");
            assert_eq!(required, names(keys.required.iter().copied()), "required keys of {name}");
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{name}");
        }
        let schema = schema().to_value();
        compare("the config", &schema, &DOCUMENT);
        let blocks = schema["$defs"].as_object().unwrap().iter().filter(|(_, block)| block.get("properties").is_some());
        let mut compared = BTreeSet::new();
        for (name, block) in blocks {
            let (_, keys) =
                BLOCKS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is unknown"));
            compare(name, block, keys);
            compared.insert(name.as_str());
        }
        assert_eq!(compared, names(BLOCKS.iter().map(|(name, _)| *name)));
    }

    #[test]
    fn the_configs_in_the_repository_match_the_schema() {
        let validator = jsonschema::validator_for(&schema().to_value()).unwrap();
        for path in super::super::tests::configs_in_the_repository() {
            let file = path.display();
            let text = std::fs::read_to_string(&path).unwrap();
            let options = serde_saphyr::options! { strict_booleans: true };
            let json: Value = serde_saphyr::from_str_with_options(&text, options.clone()).unwrap();
            let problems: Vec<_> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{file}: {problems:#?}");
            let read: Result<Document, _> = serde_saphyr::from_str_with_options(&text, options);
            assert!(read.is_ok(), "{file}: {}", read.unwrap_err());
        }
    }

    #[test]
    fn the_example_shows_every_key() {
        let text = std::fs::read_to_string(in_repository("config/bridge.example.yaml")).unwrap();
        let written: BTreeSet<&str> = text
            .split(['\n', '{', '}', ',', '[', ']'])
            .filter_map(|piece| piece.trim().trim_start_matches(['#', '-', ' ', '`']).split_once(':'))
            .map(|(key, _)| key)
            .collect();
        for (block, keys) in BLOCKS.iter().copied().chain([("the config", &DOCUMENT)]) {
            for key in keys.required.iter().chain(keys.optional) {
                assert!(written.contains(key), "{block}: `{key}:` is nowhere in config/bridge.example.yaml");
            }
        }
    }

    #[test]
    fn the_schema_refuses_what_the_check_refuses() {
        let validator = jsonschema::validator_for(&schema().to_value()).unwrap();
        let text = std::fs::read_to_string(in_repository("config/demo.yaml")).unwrap();
        for (good, bad) in [
            ("version: 1", "version: 2"),
            ("version: 1", "versions: 1"),
            ("on_delete: delete", "on_delete: remove"),
            ("channel: /data/", "channel: /event/"),
            ("{ value: EMEA }", "{ value: [EMEA] }"),
            ("{ value: EMEA }", "{ value: EMEA, parent: accounts }"),
            (", from: ParentId }", " }"),
        ] {
            assert!(text.contains(good));
            let json: Value = serde_saphyr::from_str(&text.replace(good, bad)).unwrap();
            assert!(!validator.is_valid(&json), "{bad}");
        }
    }
}
