//! One thing wrong at a time: where the problem is shown, and what it says.

use super::*;

fn found(text: &str) -> Vec<(usize, usize, String)> {
    let problems = match read(text) {
        Ok(_) => return Vec::new(),
        Err(problems) => problems,
    };
    problems.problems().iter().map(|problem| (problem.line, problem.column, problem.message.clone())).collect()
}

#[test]
fn aliases_of_aliases_are_counted_and_not_walked_through() {
    let ten = |item: &str| [item; 10].join(", ");
    let mut text = format!("version: 1\nx0: &x0 [{}]\n", ten("a"));
    for level in 1..12 {
        text.push_str(&format!("x{level}: &x{level} [{}]\n", ten(&format!("*x{}", level - 1))));
    }
    let found = found(&with("version: 1\n", &text));
    let of_aliases = found.iter().filter(|(.., message)| message.contains("aliases stand for more than"));
    assert_eq!(of_aliases.map(|(line, ..)| *line).collect::<Vec<_>>(), [6], "once, where it becomes too much");
}

#[test]
fn a_nest_without_end_is_no_end_of_the_program() {
    for (open, close) in [("[", ""), ("[", "]"), ("{a: ", ""), ("{a: ", "}"), ("- ", "")] {
        let nest = format!("version: 1\nx: {}{}\n", open.repeat(20_000), close.repeat(20_000));
        assert!(!found(&with("version: 1\n", &nest)).is_empty(), "{open}{close}");
    }
}

/// (what is replaced, by what, line, column, message)
const TABLE: &[(&str, &str, usize, usize, &str)] = &[
    // The config itself.
    ("version: 1\n", "\n", 2, 1, "the config needs the key `version`"),
    ("version: 1", "version: 2", 1, 10, "this program reads configs of version 1"),
    ("version: 1", "version: [1]", 1, 10, "`version` must be a single value, not a list"),
    ("version: 1", "version: 1\nversion: 1", 2, 1, "this key is here twice"),
    ("version: 1", "version: 1\nwhen: now", 2, 1, "the config has no key `when`"),
    ("version: 1", "version: 1\nstat: x.db", 2, 1, "the config has no key `stat`"),
    ("pipelines:\n", "pipeline:\n", 11, 1, "the config has no key `pipeline`"),
    ("version: 1", "version: 1\npublish: { late_landing: 10 }", 2, 26, "`late_landing` must be a length of time"),
    ("version: 1", "version: 1\npublish: { late_landing: 1M }", 2, 26, "`late_landing` is longer than 1day"),
    (
        "version: 1",
        "version: 1\npublish: { bulk_from: 1999 }",
        2,
        23,
        "`bulk_from` is less than 2000: a job would cost more than it saves",
    ),
    (
        "version: 1",
        "version: 1\npublish: { bulk_from: 1000001 }",
        2,
        23,
        "`bulk_from` is more than 1000000: so many never wait in memory",
    ),
    ("version: 1", "version: 1\npublish: { bulk_from: many }", 2, 23, "`bulk_from` must be a number of records"),
    ("version: 1", "version: 1\npublish: { linger: 61s }", 2, 20, "`linger` is longer than 1m"),
    ("version: 1", "version: 1\nsubscribe: { probe_every: 1ms }", 2, 27, "`probe_every` is shorter than 500ms"),
    (
        "version: 1",
        "version: 1\njournal: { retain: 30d }",
        2,
        20,
        "`retain` must be a block of keys, not a single value",
    ),
    ("version: 1", "version: 1\njournal: { retain: { age: 3d } }", 2, 27, "`age` is shorter than 4days"),
    ("version: 1", "version: 1\njournal: { retain: { age: ever } }", 2, 27, "`age` must be a length of time"),
    ("version: 1", "version: 1\njournal: { retain: { size: 2 } }", 2, 28, "`size` must be an amount of data"),
    ("version: 1", "version: 1\njournal: { retain: { size: 0GB } }", 2, 28, "`size` is 0"),
    ("version: 1", "version: 1\nhistory: { retain: { age: 10m } }", 2, 27, "`age` is shorter than 1h"),
    ("version: 1", "version: 1\nhistory: { age: 10d }", 2, 12, "`history` has no key `age`"),
    ("version: 1", "version: 1\ndigest: { every: 1h }", 2, 1, "`digest` needs the key `webhook`"),
    (
        "version: 1",
        "version: 1\ndigest: { webhook: { url: \"http://a.example/x\", secret: 0123456789abcdef } }",
        2,
        27,
        "`url` is not encrypted",
    ),
    (
        "version: 1",
        "version: 1\ndigest: { every: 8d, webhook: { url: \"https://a.example/x\", secret: 0123456789abcdef } }",
        2,
        18,
        "`every` is longer than 7days",
    ),
    ("on_delete: ignore", "feedback: {}", 20, 5, "nothing is told"),
    ("on_delete: ignore", "feedback: { errors: A__c }", 20, 17, "`feedback` has no key `errors`"),
    ("on_delete: ignore", "feedback: { error: A__c, last_synced: A__c }", 20, 43, "one field cannot hold both"),
    (
        "on_delete: ignore",
        "feedback: { error: name }",
        20,
        5,
        "`Name` would be a change that this pipeline brings over",
    ),
    ("version: 1", "version: 1\npublish:", 2, 1, "`publish` must be a block of keys, not nothing"),
    ("version: 1", "version: 1\nstate:", 2, 1, "`state` has no value"),
    ("version: 1", "version: !v 1", 1, 13, "a tag (`!name`) means nothing here"),
    ("version: 1", "? [a]\n: b\nversion: 1", 1, 3, "a key must be a single word"),
    // Orgs.
    ("  hq:\n", "    api_budget: on\n  hq:\n", 8, 17, "`api_budget` cannot be `on`"),
    ("  hq:\n", "    api_budget: {}\n  hq:\n", 8, 5, "`api_budget` needs the key `keep`"),
    (
        "  hq:\n",
        "    api_budget: { keep: 96% }\n  hq:\n",
        8,
        25,
        "`keep` must be a share of the org's API calls, or a number of them",
    ),
    (
        "  hq:\n",
        "    api_budget: { keep: some }\n  hq:\n",
        8,
        25,
        "`keep` must be a share of the org's API calls, or a number of them",
    ),
    ("    login_url: https://acme.my.salesforce.com\n", "", 3, 3, "an org needs the key `login_url`"),
    ("login_url: https://acme", "login_uri: https://acme", 4, 5, "an org has no key `login_uri`"),
    ("https://acme.my.salesforce.com", "acme.my.salesforce.com", 4, 16, "`login_url` is not a URL"),
    ("https://acme", "http://acme", 4, 16, "`login_url` is not encrypted"),
    ("https://acme", "ftp://acme", 4, 16, "`login_url` must start with https://"),
    (
        "acme.my.salesforce.com",
        "acme.lightning.force.com",
        4,
        16,
        "`login_url` is a host for browsers, not for programs",
    ),
    ("acme.my.salesforce.com", "acme.my.site.com", 4, 16, "`login_url` is a host for browsers, not for programs"),
    (
        "acme.my.salesforce.com",
        "login.salesforce.com",
        4,
        16,
        "login.salesforce.com and test.salesforce.com take no client credentials",
    ),
    (
        "acme.my.salesforce.com",
        "test.salesforce.com",
        4,
        16,
        "login.salesforce.com and test.salesforce.com take no client credentials",
    ),
    ("acme.my.salesforce.com", "na123.salesforce.com", 4, 16, "`login_url` is not a My Domain host"),
    ("https://acme", "https://me:pw@acme", 4, 16, "`login_url` has a user or password in it"),
    ("acme.my.salesforce.com", "acme.my.salesforce.com/services", 4, 16, "`login_url` goes on behind the host"),
    ("${EMEA_KEY}", "${EMEA_KAY}", 6, 12, "the environment variable EMEA_KAY is not set"),
    ("${EMEA_KEY}", "x${1}", 6, 13, "this is no reference to an environment variable"),
    ("${EMEA_KEY}", "${EMPTY}", 6, 12, "the consumer key is empty"),
    ("${EMEA_SECRET}", "${EMPTY}", 7, 15, "the consumer secret is empty"),
    ("${EMEA_SECRET}", "[a]", 7, 15, "`secret` must be a single value, not a list"),
    ("hq.secret", "no.secret", 10, 58, "the secret file cannot be read: there is no such file"),
    ("hq.secret", "blank", 10, 58, "the consumer secret is empty"),
    ("  hq:\n", "  hq:\n    client_name: my bridge\n", 9, 18, "`client_name` is not a name that Salesforce takes"),
    ("  hq:\n", "  hq:\n    api_version: v60\n", 9, 18, "`api_version` is not an API version"),
    ("  hq:\n", "  hq:\n    api_version: 37.0\n", 9, 18, "this API version cannot be used"),
    (
        "  hq:\n",
        "  hq:\n    pubsub: http://api.pubsub.salesforce.com\n",
        9,
        13,
        "`pubsub` is not encrypted, and not on this machine",
    ),
    ("  hq:\n", "  hq:\n    pubsub: https://host:7443/x\n", 9, 13, "`pubsub` goes on behind the host"),
    ("  hq:\n", "  hq:\n    pubsub: nearby\n", 9, 13, "`pubsub` is no address"),
    ("  hq:\n", "  hq:\n    journal: [/data/Whatever]\n", 9, 15, "there is no channel of this kind"),
    ("  hq:\n", "  hq:\n    journal: [/event/A__e, /event/A__e]\n", 9, 28, "the channel is named twice"),
    ("  hq:\n", "  hq:\n    transport: websocket\n", 9, 16, "`transport` cannot be `websocket`"),
    // Privacy.
    ("  hq:\n", "  hq:\n    privacy: { objects: { Contact: {} } }\n", 9, 27, "no field is named here"),
    ("  hq:\n", "  hq:\n    privacy: { object: { Contact: {} } }\n", 9, 16, "`privacy` has no key `object`"),
    (
        "  hq:\n",
        "  hq:\n    privacy: { objects: { Contact: { leaveout: [A__c] } } }\n",
        9,
        38,
        "the privacy of an object has no key `leaveout`",
    ),
    ("  hq:\n", "  hq:\n    privacy: { objects: { Contact: { hash: [Email] } } }\n", 9, 38, "`hash` needs a secret"),
    ("  hq:\n", "  hq:\n    privacy: { hash_secret: \"${EMEA_KEY}\" }\n", 9, 29, "the secret for hashes is too short"),
    (
        "  hq:\n",
        "  hq:\n    privacy: { hash_secret: { file: no.secret } }\n",
        9,
        37,
        "the secret file cannot be read: there is no such file",
    ),
    (
        "  hq:\n",
        "  hq:\n    privacy: { objects: { Contact: { mask: [A.B.C] } } }\n",
        9,
        45,
        "`A.B.C` is not a source field",
    ),
    (
        "  hq:\n",
        "  hq:\n    privacy: { objects: { Contact: { leave_out: [MailingStreet], mask: [MailingAddress.Street] } } }\n",
        9,
        73,
        "the field is named twice for this object",
    ),
    (
        "  hq:\n",
        "  hq:\n    privacy: { objects: { Contact: { mask: [Id] } } }\n",
        9,
        45,
        "the bridge knows records by their ids",
    ),
    // Pipelines.
    (", start: tip }", ", every: 5s }", 13, 76, "`every` is for objects that are polled"),
    (", start: tip }", ", source: poll }", 13, 24, "an object that is polled has no channel"),
    (", start: tip }", ", source: stream }", 13, 84, "`source` cannot be `stream`"),
    ("name: contacts", "name: accounts", 21, 11, "another pipeline has this name already"),
    ("name: contacts", "nam: contacts", 21, 5, "a pipeline has no key `nam`"),
    ("    to: { org: hq, object: Contact, key: Emea_Id__c }\n", "", 21, 5, "a pipeline needs the key `to`"),
    (
        "- name: contacts",
        "- accounts\n  - name: contacts",
        21,
        5,
        "a pipeline must be a block of keys, not a single value",
    ),
    (
        "org: emea, channel: /data/ChangeEvents",
        "org: emae, channel: /data/ChangeEvents",
        22,
        18,
        "there is no such org under `orgs`",
    ),
    ("org: hq, object: Contact", "org: mars, object: Contact", 23, 16, "there is no such org under `orgs`"),
    ("org: hq, object: Contact", "org: emea, object: Contact", 23, 16, "source org and target org are the same"),
    ("/data/ChangeEvents", "/data/AccountChangeEvent", 22, 33, "this channel does not carry the pipeline's object"),
    ("/data/ChangeEvents", "/data/Contact", 22, 33, "there is no channel of this kind"),
    ("/data/ChangeEvents", "/event/Order__e", 22, 33, "this channel carries no changes of records"),
    ("/data/ChangeEvents", "ChangeEvents", 22, 33, "`ChangeEvents` is not a channel"),
    ("object: Contact }", "object: 1st }", 22, 61, "`1st` is not an object's API name"),
    ("object: Account, start", "object: account, start", 13, 67, "the object is not written as its channel writes it"),
    ("start: tip", "start: tp", 13, 83, "`start` cannot be `tp`"),
    ("on_delete: ignore", "on_delete: flag", 20, 16, "no field is named that can be set"),
    ("on_delete: ignore", "on_delete: drop", 20, 16, "`on_delete` cannot be `drop`"),
    ("on_delete: ignore", "flag: NAME", 20, 11, "`fields` fills this field, too"),
    ("on_delete: ignore", "flag: { field: Gone__c }", 20, 5, "a flag needs the key `set`"),
    ("on_delete: ignore", "when_no_longer_matching: keep", 20, 5, "without a condition every record matches"),
    ("on_delete: ignore", "on_delete: delete\n    may_delete: all", 21, 17, "`may_delete` cannot be `all`"),
    ("on_delete: ignore", "may_delete: any", 20, 5, "this pipeline deletes nothing in the target"),
    ("on_delete: ignore", "assignment_rules: active", 20, 23, "`assignment_rules` cannot be `active`"),
    (
        "on_delete: ignore",
        "assignment_rules: 001000000000001AAA",
        20,
        23,
        "`assignment_rules` cannot be `001000000000001AAA`",
    ),
    ("on_delete: ignore", "key_changes: stop", 20, 18, "`key_changes` cannot be `stop`"),
    ("on_delete: ignore", "duplicates: save", 20, 17, "`duplicates` cannot be `save`"),
    ("on_delete: ignore", "when_target_gone: remake", 20, 23, "`when_target_gone` cannot be `remake`"),
    ("on_delete: ignore", "on_undelete: keep", 20, 18, "`on_undelete` cannot be `keep`"),
    (
        "on_delete: ignore",
        "when: Industry != \"Test\"\n    when_no_longer_matching: delete\n    on_undelete: ignore",
        22,
        18,
        "a record that came back is not told from one that matches again (when_no_longer_matching: delete)",
    ),
    ("on_delete: ignore", "coalesce: no", 20, 15, "`coalesce` cannot be `no`"),
    ("on_delete: ignore", "when: 7 + 1", 20, 11, "a condition is true or false, and this gives a number"),
    ("on_delete: ignore", "when: 'Industry = \"x\"'", 20, 21, "a single `=` compares nothing"),
    ("{ value: EMEA }", "{ cel: 'Name + \"${EMEA_KEY}\"' }", 18, 25, "an expression takes no variables"),
    ("{ value: EMEA }", "{ cel: 'uper(Name)' }", 18, 26, "there is no function `uper`"),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: acounts, expect: { skip: true } }]",
        2,
        30,
        "there is no such pipeline",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, expect: { skip: true } }]",
        2,
        11,
        "nothing happens in this test",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: {} }]",
        2,
        52,
        "a test expects exactly one thing",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: { skip: true }, link: x }]",
        2,
        82,
        "`x` is not a record id",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: { Id: Acme }, expect: { skip: true } }]",
        2,
        54,
        "`Acme` is not a record id",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: { skip: true }, link: 00Q000000000001AAA }]",
        2,
        82,
        "the last three characters of this record id do not fit the others",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: { skip: true }, lookups: [{ org: hq, object: User, by: Email, value: x }] }]",
        2,
        88,
        "an answer to a lookup needs the key `gives`",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: { skip: true }, lookups: [{ org: hq, object: User, by: Email, value: x, gives: Ada }] }]",
        2,
        139,
        "`Ada` is not a record id",
    ),
    (
        "version: 1",
        "version: 1\ntests: [{ name: x, pipeline: accounts, record: {}, expect: { wait: true, skip: true } }]",
        2,
        52,
        "a test expects exactly one thing",
    ),
    ("LastName: Name.LastName", "LastName: LastName", 24, 41, "change events carry `LastName` as `Name.LastName`"),
    (
        "LastName: Name.LastName",
        "LastName: { cel: upper(LastName) }",
        24,
        48,
        "change events carry `LastName` as `Name.LastName`",
    ),
    (
        "Name: Name\n",
        "Name: { from: BillingCity, truncate: 80 }\n",
        17,
        21,
        "change events carry `BillingCity` as `BillingAddress.City`",
    ),
    (
        "Name: Name\n",
        "Name: BillingAddress\n",
        17,
        13,
        "`BillingAddress` is a compound field: only its parts have a value",
    ),
    ("Name: Name\n", "Name: upper(Name)\n", 17, 13, "this is no source field"),
    (
        "Name: Name\n",
        "Name: Owner.Name\n",
        17,
        13,
        "`Owner.Name` is a field of another record, and no change event carries it",
    ),
    (
        "Name: Name\n",
        "Name: { cel: upper(Employer__r.Name) }\n",
        17,
        20,
        "`Employer__r.Name` is a field of another record, and no change event carries it",
    ),
    ("on_delete: ignore", "when: !has(Name)", 20, 21, "a tag (`!name`) means nothing here"),
    (
        "LastName: Name.LastName",
        "LastName: Name",
        24,
        41,
        "`Name` of a Contact is a compound field: only its parts have a value",
    ),
    (
        "on_delete: ignore",
        "when: BillingCountry == \"CH\"",
        20,
        11,
        "change events carry `BillingCountry` as `BillingAddress.Country`",
    ),
    ("on_delete: ignore", "on_delete: ignore\n    whenever: x", 21, 5, "a pipeline has no key `whenever`"),
    ("key: Emea_Id__c }", "key: Other__c }", 14, 42, "the key is not filled by any of the `fields`"),
    ("key: Emea_Id__c }", "key: emea_id__c }", 14, 42, "the key is not filled by any of the `fields`"),
    ("Emea_Id__c: Id\n", "Emea_Id__c: { value: 1 }\n", 16, 19, "the key must be filled from a field of the source"),
    ("Name: Name\n", "Name: Name\n      name: Phone\n", 18, 7, "the target field `name` is filled twice"),
    ("Name: Name\n", "Name: Name\n      Name: Phone\n", 18, 7, "this key is here twice"),
    ("Name: Name\n", "Name: A.B.C\n", 17, 13, "`A.B.C` is not a source field"),
    ("Name: Name\n", "Na-me: Name\n", 17, 7, "`Na-me` is not a field's API name"),
    ("Name: Name\n", "Name:\n", 17, 7, "`Name` has no value"),
    ("Name: Name\n", "Name: [Name]\n", 17, 13, "`Name` must be a single value, not a list"),
    ("{ value: EMEA }", "{}", 18, 7, "nothing fills this field"),
    (
        "{ value: EMEA }",
        "{ from: Industry, default: x }",
        18,
        36,
        "`default` is for values that a `table` does not list",
    ),
    ("{ value: EMEA }", "{ from: Industry, table: {} }", 18, 36, "`table` is empty"),
    ("{ value: EMEA }", "{ from: Industry, table: { a: [b] } }", 18, 48, "`a` must be a single value, not a list"),
    (
        "{ value: EMEA }",
        "{ from: Industry, truncate: yes }",
        18,
        46,
        "`truncate` must be a number of characters, or true",
    ),
    (
        "{ value: EMEA }",
        "{ from: Industry, truncate: false }",
        18,
        46,
        "`truncate` must be a number of characters, or true",
    ),
    (
        "{ value: EMEA }",
        "{ from: Industry, truncate: 0 }",
        18,
        46,
        "`truncate` must be a number of characters, or true",
    ),
    ("{ value: EMEA }", "{ from: Industry, write_on: [] }", 18, 46, "the field is never written"),
    ("{ value: EMEA }", "{ from: Industry, write_on: [delete] }", 18, 47, "`write_on` cannot be `delete`"),
    ("{ value: EMEA }", "{ from: Industry, on_null: no }", 18, 45, "`on_null` cannot be `no`"),
    ("{ value: EMEA }", "{ value: 1, truncate: 3 }", 18, 30, "a constant has no key `truncate`"),
    (
        "Emea_Id__c: Id\n      Name",
        "Emea_Id__c: { from: Id, truncate: 3 }\n      Name",
        16,
        27,
        "the key must be written as it is, each time: it finds the record again",
    ),
    (
        "Emea_Id__c: Id\n      Name",
        "Emea_Id__c: { from: Id, table: { a: b } }\n      Name",
        16,
        27,
        "the key must be filled from a field of the source",
    ),
    ("{ value: EMEA }", "{ vale: EMEA }", 18, 20, "a field's rule has no key `vale`"),
    ("{ value: EMEA }", "{ value: [a] }", 18, 27, "`value` must be a single value, not a list"),
    ("{ value: EMEA }", "{ value: 0042 }", 18, 27, "this may be meant as a number or as text"),
    ("{ value: EMEA }", "{ value: x, parent: accounts }", 18, 30, "a constant has no key `parent`"),
    ("{ parent: accounts, from: ParentId }", "{ parent: [], from: ParentId }", 19, 27, "no pipeline is named"),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: [accounts, acounts], from: ParentId }",
        19,
        27,
        "there is no such pipeline",
    ),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: [accounts, contacts, accounts], from: ParentId }",
        19,
        27,
        "two of these pipelines read Account",
    ),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: accounts, from: ParentId, if_missing: later }",
        19,
        65,
        "`if_missing` cannot be `later`",
    ),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: accounts, from: ParentId, on_null: skip }",
        19,
        53,
        "a reference to a parent has no key `on_null`",
    ),
    ("{ value: EMEA }", "{ value: EMEA, if_missing: wait }", 18, 33, "a constant has no key `if_missing`"),
    ("{ value: EMEA }", "{ from: Industry, if_missing: wait }", 18, 36, "a source field has no key `if_missing`"),
    // What is found in the target.
    ("{ value: EMEA }", "{ find: Contact, by: Email }", 18, 7, "nothing is looked for"),
    (
        "{ value: EMEA }",
        "{ find: Contact, by: Email, from: Email__c, cel: 'Email__c' }",
        18,
        46,
        "two values are looked for",
    ),
    (
        "{ value: EMEA }",
        "{ find: Contact, from: Email__c }",
        18,
        7,
        "a record that is found by a value needs the key `by`",
    ),
    (
        "{ value: EMEA }",
        "{ find: a contact, by: Email, from: A__c }",
        18,
        26,
        "`a contact` is not an object's API name",
    ),
    (
        "{ value: EMEA }",
        "{ find: Contact, by: Email, from: A__c, on_null: { value: x } }",
        18,
        67,
        "`on_null` must be a single value, not a block of keys",
    ),
    (
        "{ value: EMEA }",
        "{ find: Contact, by: Email, from: A__c, table: { a: b } }",
        18,
        58,
        "a record that is found by a value has no key `table`",
    ),
    ("{ value: EMEA }", "{ record_type: ' ' }", 18, 33, "`record_type` is empty"),
    ("{ value: EMEA }", "{ record_type: A, if_missing: skip }", 18, 36, "a record type has no key `if_missing`"),
    ("{ value: EMEA }", "{ owner: '' }", 18, 27, "`owner` is empty"),
    ("{ value: EMEA }", "{ owner: A, from: OwnerId }", 18, 30, "an owner has no key `from`"),
    ("{ value: EMEA }", "{ from: OwnerId, as: user }", 18, 39, "`as` cannot be `user`"),
    ("{ value: EMEA }", "{ from: RecordTypeId, as: record_type, match: email }", 18, 57, "`match` is for users"),
    (
        "{ value: EMEA }",
        "{ from: RecordTypeId, as: record_type, fallback: A }",
        18,
        57,
        "`fallback` is for owners: write `default`",
    ),
    (
        "{ value: EMEA }",
        "{ from: OwnerId, as: owner, default: A }",
        18,
        46,
        "`default` is for record types: write `fallback`",
    ),
    ("{ value: EMEA }", "{ from: OwnerId, as: owner, match: name }", 18, 53, "`match` cannot be `name`"),
    ("{ value: EMEA }", "{ from: OwnerId, as: owner, table: {} }", 18, 46, "`table` is empty"),
    ("{ value: EMEA }", "{ from: OwnerId, as: owner, table: { a: '' } }", 18, 58, "`a` is empty"),
    (
        "{ value: EMEA }",
        "{ from: Owner.Name, as: owner }",
        18,
        18,
        "`Owner.Name` is a field of another record, and no change event carries it",
    ),
    (
        "Emea_Id__c: Id\n      Name",
        "Emea_Id__c: { find: Contact, by: Email, from: A__c }\n      Name",
        16,
        19,
        "the key must be filled from a field of the source",
    ),
    ("{ value: EMEA }", "{ from: Industry, match: email }", 18, 36, "a source field has no key `match`"),
    ("parent: accounts", "parent: acounts", 19, 27, "there is no such pipeline"),
    ("parent: accounts", "parent: other", 19, 27, "there is no such pipeline"),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: accounts }",
        19,
        7,
        "a reference to a parent needs the key `from`",
    ),
    (
        "    fields: { Emea_Id__c: Id, LastName: Name.LastName }",
        "    fields: Name",
        24,
        13,
        "`fields` must be a block of keys, not a single value",
    ),
    // Not YAML.
    ("name: accounts", "name: 'accounts", 12, 11, "this is not YAML: unclosed quote"),
    (
        "consumer, secret",
        "${A}, secret",
        10,
        33,
        "this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'",
    ),
    ("  hq:\n", "\thq:\n", 7, 15, "this is not YAML: while scanning a plain scalar, found a tab"),
    ("orgs:\n", "orgs: *o\n", 2, 7, "this is not YAML: while parsing node, found unknown anchor"),
];

#[test]
fn each_problem_has_its_place_and_its_words() {
    let mut others = Vec::new();
    for (piece, other, line, column, message) in TABLE {
        let found = found(&with(piece, other));
        if found != [(*line, *column, (*message).to_owned())] {
            others.push(format!("{piece:?} replaced by {other:?}: {found:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// `GOOD` with a privacy rule for the accounts of the source, and one field filled otherwise.
fn private(rule: &str, fill: &str) -> String {
    let text = with("  hq:\n", &format!("    privacy: {{ objects: {{ account: {rule} }} }}\n  hq:\n"));
    text.replace("{ value: EMEA }", fill)
}

#[test]
fn a_mapping_of_what_is_left_out_is_refused_at_its_place() {
    let left_out = "the source org's `privacy` leaves this field out";
    for (rule, fill, column) in [
        ("{ leave_out: [SSN__c] }", "SSN__c", 18),
        ("{ leave_out: [SSN__c] }", "{ from: ssn__c }", 26),
        ("{ leave_out: [SSN__c] }", "{ from: SSN__c, table: { a: b } }", 26),
        ("{ leave_out: [SSN__c] }", "{ cel: 'lower(SSN__c)' }", 32),
        ("{ leave_out: [SSN__c] }", "{ cel: 'has(SSN__c) ? 1 : 2' }", 30),
        ("{ leave_out: [SSN__c] }", "{ parent: accounts, from: SSN__c }", 28),
        // A compound and its parts, by the names of events and of REST.
        ("{ leave_out: [BillingAddress] }", "BillingAddress.City", 18),
        ("{ leave_out: [BillingAddress] }", "BillingPostalCode", 18),
        ("{ leave_out: [BillingAddress.City] }", "BillingCity", 18),
        ("{ leave_out: [BillingCity] }", "BillingAddress.City", 18),
        ("{ leave_out: [BillingCity] }", "BillingAddress", 18),
        ("{ leave_out: [BillingCity] }", "{ cel: 'BillingAddress.City' }", 26),
        ("{ leave_out: [Loc__c] }", "Loc__Latitude__s", 18),
    ] {
        let expected = (19, column, left_out.to_owned());
        let found = found(&private(rule, fill));
        // That events name a part otherwise is said as well.
        assert!(found.contains(&expected), "{fill} with {rule}: {found:?}");
    }
    let when = with("on_delete: ignore", "when: SSN__c != \"x\"");
    let when = when.replace("  hq:\n", "    privacy: { objects: { Account: { leave_out: [SSN__c] } } }\n  hq:\n");
    assert_eq!(found(&when), [(21, 11, left_out.to_owned())]);
    // Another field, another object, another org.
    for (rule, fill) in
        [("{ leave_out: [BillingAddress.Street] }", "BillingAddress.City"), ("{ mask: [Phone] }", "Phone")]
    {
        assert_eq!(found(&private(rule, fill)), []);
    }
    for object in ["Contact", "Account"] {
        let elsewhere = format!("  hq:\n    privacy: {{ objects: {{ {object}: {{ leave_out: [SSN__c] }} }} }}\n");
        assert_eq!(found(&with("  hq:\n", &elsewhere).replace("{ value: EMEA }", "SSN__c")), []);
    }
}

#[test]
fn what_privacy_hides_finds_no_parent_and_tells_no_records_apart_and_hash_needs_a_secret() {
    let text = private("{ mask: [ParentId] }", "Industry");
    assert_eq!(found(&text), [(20, 27, "a lookup needs the value as it is, and `privacy` hides it".to_owned())]);
    let text =
        private("{ mask: [AccountNumber] }", "Industry").replacen("Emea_Id__c: Id", "Emea_Id__c: AccountNumber", 1);
    let alike = "the key must tell records apart, and `mask` makes them alike";
    assert_eq!(found(&text), [(17, 19, alike.to_owned())]);
    let text = private("{ mask: [Phone] }", "{ find: Contact, by: Phone, cel: 'trim(Phone)' }");
    assert_eq!(found(&text), [(19, 18, "a lookup needs the value as it is, and `privacy` hides it".to_owned())]);
    let text = private("{ mask: [Phone] }", "{ cel: 'hash(Name)' }");
    assert_eq!(found(&text), [(19, 26, "`hash` needs a secret".to_owned())]);
    let text = text.replace("privacy: {", "privacy: { hash_secret: 0123456789abcdef,");
    assert_eq!(found(&text), []);
}

#[test]
fn a_file_without_content_is_one_problem() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "~"] {
        assert_eq!(found(text), [(1, 1, "the file is empty".to_owned())], "{text:?}");
    }
    for (text, what) in [("- a\n", "a list"), ("text\n", "a single value")] {
        assert_eq!(found(text), [(1, 1, format!("the config must be a block of keys, not {what}"))]);
    }
}

#[test]
fn lists_and_blocks_without_content_are_found() {
    let head = GOOD.split("orgs:").next().unwrap();
    assert_eq!(
        found(&format!("{head}orgs: {{}}\npipelines: []\n")),
        [(2, 1, "`orgs` names no org".to_owned()), (3, 1, "`pipelines` is an empty list".to_owned())]
    );
    assert_eq!(
        found(&format!("{head}orgs: [emea]\npipelines: none\n")),
        [
            (2, 7, "`orgs` must be a block of keys, not a list".to_owned()),
            (3, 12, "`pipelines` must be a list, not a single value".to_owned())
        ]
    );
}

#[test]
fn a_field_has_one_writer_whatever_its_case() {
    let second = "
  - name: more
    from: { org: emea, channel: /data/ChangeEvents, object: Account }
    to: { org: hq, object: account, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, NAME: Name }
";
    let message = "another pipeline writes this field of the same records".to_owned();
    assert_eq!(found(&format!("{GOOD}{second}")), [(29, 31, message.clone())]);
    // The key may be shared only if both fill it alike.
    let other_key = second.replace("Id, NAME: Name", "Number__c");
    assert_eq!(found(&format!("{GOOD}{other_key}")), [(29, 15, message)]);
    // Another source object fills other records.
    assert_eq!(found(&format!("{GOOD}{}", second.replace("object: Account", "object: Opportunity"))), []);
}

#[test]
fn a_parent_goes_the_same_way_as_its_child() {
    let third = GOOD.replace(
        "  hq:\n",
        "  apac: { login_url: https://apac.my.salesforce.com, client_credentials: { key: a, secret: b } }\n  hq:\n",
    );
    for (org, with, message) in [
        (
            "org: hq, object: Contact",
            "org: apac, object: Contact",
            "the parent's pipeline writes to another org than this one",
        ),
        (
            "org: emea, channel: /data/ChangeEvents",
            "org: apac, channel: /data/ChangeEvents",
            "the parent's pipeline reads from another org than this one",
        ),
    ] {
        let text = third
            .replace("LastName: Name.LastName", "AccountId: { parent: accounts, from: AccountId }")
            .replace(org, with);
        assert_eq!(found(&text), [(25, 52, message.to_owned())]);
    }
}

#[test]
fn an_owner_is_not_found_by_what_privacy_hides_of_users() {
    let owner = |object: &str, rule: &str, keys: &str| {
        let privacy =
            format!("    privacy: {{ hash_secret: 0123456789abcdef, objects: {{ {object}: {rule} }} }}\n  hq:\n");
        found(&with("  hq:\n", &privacy).replace("{ value: EMEA }", &format!("{{ from: OwnerId, as: owner{keys} }}")))
    };
    let hidden = |column: &str| {
        let message = format!("owners are known by the {column} of a user, and the source org's `privacy` hides it");
        vec![(19, 18, message)]
    };
    for (rule, keys, column) in [
        ("{ leave_out: [Email] }", ", match: email", "Email"),
        ("{ hash: [email] }", ", match: email", "Email"),
        ("{ mask: [Username] }", ", match: username", "Username"),
        ("{ mask: [FederationIdentifier] }", "", "FederationIdentifier"),
        ("{ mask: [Username] }", ", table: { Tier_1: Support }", "Username"),
    ] {
        assert_eq!(owner("User", rule, keys), hidden(column), "{rule} {keys}");
    }
    assert_eq!(owner("User", "{ mask: [Email] }", ", match: username"), []);
    assert_eq!(owner("User", "{ mask: [Username] }", ", match: email"), []);
    assert_eq!(owner("Contact", "{ mask: [Email] }", ", match: email"), []);
}

#[test]
fn five_problems_are_all_found_in_the_order_of_the_file() {
    let text = GOOD
        .replace("https://acme.my.salesforce.com", "https://acme.lightning.force.com")
        .replace("${EMEA_SECRET}", "${NOT_SET}")
        .replace("from: ParentId }", "form: ParentId }")
        .replace("on_delete: ignore", "on_delete: drop")
        .replace("object: Contact, key: Emea_Id__c", "object: Contact, key: Apac_Id__c");
    let expected = [
        (4, 16, "`login_url` is a host for browsers, not for programs"),
        (7, 15, "the environment variable NOT_SET is not set"),
        (19, 37, "a reference to a parent has no key `form`"),
        (20, 16, "`on_delete` cannot be `drop`"),
        (23, 42, "the key is not filled by any of the `fields`"),
    ];
    assert_eq!(found(&text), expected.map(|(line, column, message)| (line, column, message.to_owned())));
}
