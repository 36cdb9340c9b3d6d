//! `orgbridge check` against two orgs: each mistake is found, at its place, and nothing is found where there is none.

use std::path::Path;
use std::sync::Arc;

use orgbridge::bridge;
use orgbridge::check::{self, Place};
use orgbridge::config::{self, Config, Severity};
use orgbridge::emulator::{Emulator, Options, Scenario};
use serde_json::{Value as Json, json};

struct Pair {
    emulator: Emulator,
    http: reqwest::Client,
}

impl Pair {
    async fn new() -> Self {
        Self::of(Options::default()).await
    }

    async fn of(options: Options) -> Self {
        orgbridge::org::install_crypto();
        let emulator = Emulator::start(options).await.unwrap();
        Self { emulator, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// A config with these pipelines.
    fn config(&self, pipelines: &str) -> Config {
        let org = |name: &str| {
            let running = self.emulator.org(name).unwrap();
            format!(
                "  {name}: {{ login_url: \"{}\", client_credentials: {{ key: \"{}\", secret: \"{}\" }} }}\n",
                running.base_url, running.client_id, running.client_secret
            )
        };
        let text = format!("version: 1\norgs:\n{}{}pipelines:\n{pipelines}", org("source"), org("target"));
        config::parse(&text, Path::new("b.yaml"), &|_| None, &|_| unreachable!()).unwrap_or_else(|why| panic!("{why}"))
    }

    async fn control(&self, org: &str, path: &str, body: Json) {
        let url = format!("{}/emulator/{path}", self.emulator.org(org).unwrap().base_url);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
    }

    /// What is found, as `severity place: message`.
    async fn found(&self, config: &Config) -> Vec<String> {
        let orgs = bridge::orgs(config).unwrap();
        let found = check::check(config, &orgs).await;
        for finding in &found {
            assert!(!finding.remedy.is_empty(), "{finding:?}");
        }
        let shown = found.into_iter().map(|finding| {
            let place = match finding.place {
                Place::Org(org) => org.to_string(),
                Place::Pipeline(_, path) => path.join("."),
            };
            format!("{} {place}: {} | {}", finding.severity.as_str(), finding.message, finding.remedy)
        });
        shown.collect()
    }
}

const ACCOUNTS: &str = "  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      Name: Name
      Phone: Phone
      Industry: Industry
      BillingCity: BillingAddress.City
      NumberOfEmployees: NumberOfEmployees
      AnnualRevenue: AnnualRevenue
      Region__c: { value: EMEA }
      ParentId: { parent: accounts, from: ParentId }
    on_delete: delete
";

#[tokio::test]
async fn between_two_orgs_that_fit_nothing_is_wrong() {
    let pair = Pair::new().await;
    let found = pair.found(&pair.config(ACCOUNTS)).await;
    let weighty: Vec<&String> = found.iter().filter(|found| !found.starts_with(Severity::Note.as_str())).collect();
    assert!(weighty.is_empty(), "{weighty:#?}");
}

/// (what is replaced, by what, how the finding begins)
const IN_THE_CONFIG: &[(&str, &str, &str)] = &[
    (
        "/data/AccountChangeEvent, object: Account }",
        "/data/ChangeEvents, object: Acount }",
        "error from.object: the org shows no object Acount | did you mean `Account`?",
    ),
    (
        "target, object: Account",
        "target, object: Acount",
        "error to.object: the org shows no object Acount | did you mean",
    ),
    (
        "target, object: Account",
        "target, object: account",
        "error to.object: the org writes this object with other capitals",
    ),
    ("Name: Name", "Name: Nam", "error fields.Name: Account shows no field Nam | did you mean `Name`?"),
    ("Phone: Phone", "Phone: phone", "error fields.Phone: the org writes phone with other capitals"),
    ("BillingAddress.City", "BillingAddress.Town", "error fields.BillingCity: Account has no part BillingAddress.Town"),
    ("Phone: Phone", "Phon: Phone", "error fields.Phon: Account has no field Phon | did you mean `Phone`?"),
    ("Phone: Phone", "BillingAddress: Phone", "error fields.BillingAddress: BillingAddress is a compound field"),
    ("Phone: Phone", "CreatedDate: Phone", "error fields.CreatedDate: CreatedDate cannot be written"),
    ("Phone: Phone", "Phone: { cel: 'upper(Fone__c)' }", "error fields.Phone: Account shows no field Fone__c"),
    (
        "    on_delete: delete\n",
        "    on_delete: delete\n    when: Idustry != \"x\"\n",
        "error when: Account shows no field Idustry",
    ),
    ("      Name: Name\n", "", "error fields: Account needs Name (Account Name), and nothing fills it"),
    ("Name: Name", "Name: { from: Name, write_on: update }", "error fields: Account needs Name"),
    (
        "NumberOfEmployees: NumberOfEmployees",
        "NumberOfEmployees: Name",
        "warning fields.NumberOfEmployees: Name is text, and NumberOfEmployees takes a number",
    ),
    (
        "NumberOfEmployees: NumberOfEmployees",
        "NumberOfEmployees: { value: many }",
        "error fields.NumberOfEmployees: the field takes a number",
    ),
    (
        "AnnualRevenue: AnnualRevenue",
        "Reviewed__c: NumberOfEmployees",
        "error fields.Reviewed__c: NumberOfEmployees and Reviewed__c are of different kinds",
    ),
    ("Phone: Phone", "Phone: Description", "warning fields.Phone: Description holds up to"),
    (
        "NumberOfEmployees: NumberOfEmployees",
        "NumberOfEmployees: { from: AccountNumber, truncate: true }",
        "warning fields.NumberOfEmployees: NumberOfEmployees is no text, so `truncate: true` cuts nothing",
    ),
    (
        "Phone: Phone",
        "Phone: { value: \"0123456789012345678901234567890123456789012\" }",
        "error fields.Phone: it is longer than the 40 characters of Phone",
    ),
    ("{ parent: accounts, from: ParentId }", "ParentId", "error fields.ParentId: ParentId holds ids of the source org"),
    (
        "{ parent: accounts, from: ParentId }",
        "{ parent: accounts, from: Name }",
        "warning fields.ParentId: Name of the source is no lookup",
    ),
    ("ParentId: { parent", "Website: { parent", "error fields.Website: Website is no lookup"),
    ("    on_delete: delete\n", "    flag: Gone__c\n", "error flag: Account has no field Gone__c"),
    (
        "    on_delete: delete\n",
        "    flag: { field: Erp_Number__c, set: gone }\n",
        "error flag: Erp_Number__c: the field takes a number",
    ),
    (
        "channel: /data/AccountChangeEvent",
        "channel: /data/Mine__chn",
        "error from.channel: the org has no channel /data/Mine__chn",
    ),
    (
        "    on_delete: delete\n",
        "    on_delete: delete\n    when: Industry != \"x\"\n",
        "note when: each change has to be read, for events do not carry Industry",
    ),
    (
        "key: Source_Id__c }\n    fields:\n      Source_Id__c: Id",
        "key: Name }\n    fields:\n      Source_Id__c: Id",
        "error to.key: Name is no External ID",
    ),
    (
        "Phone: Phone",
        "Rating: { value: Hat }",
        "error fields.Rating: the picklist does not take this value | did you mean `Hot`?",
    ),
    (
        "Phone: Phone",
        "Rating: { from: Industry, table: { Banking: Hot, Media: Lukewarm }, default: Cold }",
        "error fields.Rating: the picklist does not take this value",
    ),
    (
        "Phone: Phone",
        "RecordTypeId: { value: 0125e000000AbCdAAK }",
        "error fields.RecordTypeId: Account has no record type with this id | take the id of one of the target org",
    ),
    ("Phone: Phone", "Rating: Industry", "warning fields.Rating: the target's picklist takes no Agriculture"),
    (
        "Phone: Phone",
        "OwnerId: { parent: accounts, from: OwnerId }",
        "error fields.OwnerId: OwnerId leads to User, and the pipeline accounts writes Account",
    ),
    ("Region__c: { value: EMEA }", "Region__c: Contacts__c", "warning fields.Region__c: Contacts__c is a roll-up"),
    ("Phone: Phone", "Contacts__c: NumberOfEmployees", "error fields.Contacts__c: Contacts__c cannot be written"),
    (
        "NumberOfEmployees: NumberOfEmployees",
        "NumberOfEmployees: AnnualRevenue",
        "warning fields.NumberOfEmployees: AnnualRevenue has 16 digits",
    ),
    (
        "key: Source_Id__c }\n    fields:\n      Source_Id__c: Id",
        "key: Erp_Number__c }\n    fields:\n      Erp_Number__c: Id",
        "warning to.key: Erp_Number__c is not unique",
    ),
    ("Phone: Phone", "Phone: { value: 42 }", "error fields.Phone: the field takes text: write the value in quotes"),
    ("    on_delete: delete\n", "    flag: Description\n", "error flag: Description: the field takes text"),
    (
        "Phone: Phone",
        "Phone: { from: Phone, on_null: { value: 0 } }",
        "error fields.Phone: the field takes text: write the value in quotes",
    ),
];

#[tokio::test]
async fn each_mistake_in_a_config_is_found_at_its_place() {
    let pair = Pair::new().await;
    let mut missed = Vec::new();
    for (piece, other, expected) in IN_THE_CONFIG {
        assert!(ACCOUNTS.contains(piece), "{piece}");
        let found = pair.found(&pair.config(&ACCOUNTS.replacen(piece, other, 1))).await;
        if !found.iter().any(|found| found.starts_with(expected)) {
            missed.push(format!("{other:?}: wanted {expected:?}, found {found:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} missed: {}", missed.len(), missed.join("\n"));
}

const LOOKUPS: &str = "  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      Name: Name
      RecordTypeId: { from: RecordTypeId, as: record_type, table: { Business: Household }, default: Business }
  - name: cases
    from: { org: source, channel: /data/CaseChangeEvent, object: Case }
    to: { org: target, object: Case, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      AccountId: { parent: accounts, from: AccountId, if_missing: fill_later }
      ContactId: { find: Contact, by: Email, cel: 'lower(Subject)' }
      OwnerId:
        from: OwnerId
        as: owner
        table: { olga@source.example.com: olga@target.example.com, Support: Leads_EMEA }
        fallback: integration@target.example.com
  - name: lines
    from: { org: source, channel: /data/Invoice_Line__ChangeEvent, object: Invoice_Line__c }
    to: { org: target, object: Invoice_Line__c, key: Ext__c }
    fields:
      Ext__c: Id
      Invoice__c: { find: Invoice__c, by: Ext__c, from: Name, if_missing: wait, write_on: create }
  - name: tasks
    from: { org: source, channel: /data/TaskChangeEvent, object: Task }
    to: { org: target, object: Task, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      WhatId: { parent: [accounts, cases], from: WhatId }
      OwnerId: { owner: Support }
";

#[tokio::test]
async fn lookups_that_fit_have_nothing_wrong_and_each_that_does_not_is_found() {
    let pair = Pair::new().await;
    let found = pair.found(&pair.config(LOOKUPS)).await;
    let weighty: Vec<&String> = found.iter().filter(|found| !found.starts_with(Severity::Note.as_str())).collect();
    assert!(weighty.is_empty(), "{weighty:#?}");
    let mut missed = Vec::new();
    for (piece, other, expected) in IN_LOOKUPS {
        assert!(LOOKUPS.contains(piece), "{piece}");
        let found = pair.found(&pair.config(&LOOKUPS.replacen(piece, other, 1))).await;
        if !found.iter().any(|found| found.starts_with(expected)) {
            missed.push(format!("{other:?}: wanted {expected:?}, found {found:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} missed: {}", missed.len(), missed.join("\n"));
}

const IN_LOOKUPS: &[(&str, &str, &str)] = &[
    // Record types.
    (
        "default: Business }",
        "default: Busines }",
        "error fields.RecordTypeId: Account has no record type Busines | did you mean `Business`?",
    ),
    (
        "Business: Household",
        "Business: Partner",
        "error fields.RecordTypeId: Account has no record type Partner | make it",
    ),
    (
        "Business: Household",
        "Bisiness: Household",
        "warning fields.RecordTypeId: Account of the source has no record type Bisiness | did you mean `Business`?",
    ),
    (
        "RecordTypeId: { from: RecordTypeId, as: record_type, table: { Business: Household }, default: Business }",
        "RecordTypeId: { record_type: Partner }",
        "error fields.RecordTypeId: Account has no record type Partner",
    ),
    (
        "RecordTypeId: { from",
        "ParentId: { from",
        "error fields.ParentId: ParentId leads to Account, and RecordType is looked for",
    ),
    ("RecordTypeId: { from", "Region__c: { from", "warning fields.Region__c: Region__c is no lookup"),
    // Owners.
    (
        "Support: Leads_EMEA",
        "Support: Leads_EMAE",
        "error fields.OwnerId: the target has no queue Leads_EMAE | did you mean `Leads_EMEA`?",
    ),
    ("Support: Leads_EMEA", "Suport: Leads_EMEA", "warning fields.OwnerId: the source has no queue Suport"),
    (
        "com: olga@target",
        "com: olgo@target",
        "error fields.OwnerId: the target has no user olgo@target.example.com | look at the user name",
    ),
    ("{ olga@source", "{ olgo@source", "warning fields.OwnerId: the source has no user olgo@source.example.com"),
    (
        "fallback: integration@target",
        "fallback: nils@target",
        "error fields.OwnerId: the user nils@target.example.com of the target is not active",
    ),
    (
        "OwnerId: { owner: Support }",
        "OwnerId: { owner: Nobody }",
        "error fields.OwnerId: the target has no queue Nobody",
    ),
    (
        "default: Business }\n",
        "default: Business }\n      OwnerId: { owner: Support }\n",
        "error fields.OwnerId: OwnerId leads to User, and Group is looked for",
    ),
    (
        "default: Business }\n",
        "default: Business }\n      OwnerId: { owner: Support }\n",
        "error fields.OwnerId: the queue Support of the target may not own Account | add Account to its supported objects",
    ),
    // Records by a value.
    (
        "find: Contact",
        "find: Contct",
        "error fields.ContactId: the org shows no object Contct | did you mean `Contact`?",
    ),
    ("find: Contact, by: Email", "find: Contact, by: Emial", "error fields.ContactId: Contact has no field Emial"),
    (
        "find: Contact, by: Email",
        "find: Contact, by: HasOptedOutOfEmail",
        "error fields.ContactId: Contact.HasOptedOutOfEmail holds no text",
    ),
    (
        "find: Contact, by: Email",
        "find: Contact, by: Description",
        "error fields.ContactId: Contact cannot be searched by Description",
    ),
    (
        "find: Contact, by: Email",
        "find: Contact, by: Phone",
        "warning fields.ContactId: Contact.Phone is neither an External ID nor unique",
    ),
    (
        "find: Contact, by: Email",
        "find: Account, by: Source_Id__c",
        "error fields.ContactId: ContactId leads to Contact, and Account is looked for",
    ),
    (
        "find: Invoice__c, by: Ext__c",
        "find: Invoice__c, by: Ext_Number__c",
        "error fields.Invoice__c: Invoice__c.Ext_Number__c",
    ),
    ("lower(Subject)", "lower(Subjct)", "error fields.ContactId: Case shows no field Subjct"),
    // What happens where nothing is found.
    ("from: Name, if_missing: wait", "from: Name, if_missing: skip", "error fields.Invoice__c: Invoice__c is required"),
    // Parents.
    (
        "[accounts, cases], from: WhatId",
        "[accounts, lines], from: WhatId",
        "error fields.WhatId: WhatId leads to Account, Case, Opportunity, Invoice__c, and the pipeline lines writes",
    ),
];

/// Records that are private to their owners.
const VAULTS: &str = "  - name: vaults
    from: { org: source, source: poll, object: Vault__c }
    to: { org: target, object: Vault__c, key: Ext__c }
    fields: { Ext__c: Id, Name: Name }
";

/// As somebody who may not do much.
fn limited(org: &str) -> Json {
    json!([{"consumer_key": "limited", "consumer_secret": "limited-secret",
        "client_credentials_user": format!("limited@{org}.example.com")}])
}

#[tokio::test]
async fn what_is_wrong_in_an_org_is_found_and_said_in_the_words_of_setup() {
    let user = "integration@source.example.com";
    for (org, path, body, pipelines, expected) in [
        (
            "source",
            "capture",
            json!({"object": "Account", "on": false}),
            ACCOUNTS.to_owned(),
            "error from.channel: changes of Account do not come to /data/AccountChangeEvent | select it in Setup > Change \
             Data Capture",
        ),
        (
            "source",
            "access",
            json!({"user": user, "object": "Account", "field": "Phone", "access": "none"}),
            ACCOUNTS.to_owned(),
            "error fields.Phone: Account shows no field Phone",
        ),
        (
            "target",
            "access",
            json!({"user": "integration@target.example.com", "object": "Account", "field": "Phone", "access": "read"}),
            ACCOUNTS.to_owned(),
            "error fields.Phone: Phone cannot be written when a record is made | let the bridge's user edit it",
        ),
        (
            "target",
            "fields",
            json!({"object": "Account", "add": {"name": "Badge__c", "type": "string", "length": 20, "required": true}}),
            ACCOUNTS.to_owned(),
            "error fields: Account needs Badge__c",
        ),
        (
            "source",
            "fields",
            json!({"object": "Account", "add": {"name": "Full__c", "type": "formula", "formula": "{Name}"}}),
            ACCOUNTS.replace("Phone: Phone", "Phone: Full__c"),
            "warning fields.Phone: Full__c is a formula",
        ),
        (
            "target",
            "fields",
            json!({"object": "Account", "add": {"name": "Short__c", "type": "string", "length": 15, "external_id": true,
                "unique": true}}),
            ACCOUNTS.replace("Source_Id__c", "Short__c"),
            "error to.key: Short__c is too short for a record id",
        ),
        (
            "source",
            "users",
            json!({"username": user, "active": false}),
            ACCOUNTS.to_owned(),
            "error source: the login fails",
        ),
    ] {
        let pair = Pair::new().await;
        pair.control(org, path, body.clone()).await;
        let found = pair.found(&pair.config(&pipelines)).await;
        assert!(found.iter().any(|found| found.starts_with(expected)), "{body}: wanted {expected:?}, found {found:#?}");
    }
    for (org, pipelines, expected) in [
        (
            "source",
            ACCOUNTS.to_owned(),
            "error from.object: the bridge's user may not see all records of Account: its channel is refused",
        ),
        (
            "source",
            ACCOUNTS.replace("/data/AccountChangeEvent", "/data/ChangeEvents"),
            "error from.object: the bridge's user may not see all records of Account: its events do not come",
        ),
        (
            "source",
            ACCOUNTS
                .replace("/data/AccountChangeEvent, object: Account", "/data/UserChangeEvent, object: User")
                .replace("Name: Name", "Name: Name.LastName"),
            "error from.object: the bridge's user may not see all records of User",
        ),
        // Everybody sees accounts: that they are public is proof.
        ("source", ACCOUNTS.replace("channel: /data/AccountChangeEvent", "source: poll"), ""),
        (
            "source",
            VAULTS.to_owned(),
            "warning from.object: sharing may hide records of Vault__c: records of others are private",
        ),
        ("target", ACCOUNTS.to_owned(), "error to.object: the bridge's user may not create records of Account"),
        ("target", ACCOUNTS.to_owned(), "error to.object: the bridge's user may not delete records of Account"),
        (
            "target",
            VAULTS.to_owned(),
            "warning to.object: the bridge's user may not change records of Vault__c that others own",
        ),
    ] {
        let pair = Pair::new().await;
        pair.control(org, "apps", limited(org)).await;
        let mut config = pair.config(&pipelines);
        let secret = secrecy::SecretString::from("limited-secret");
        config.orgs.get_mut(&org.parse().unwrap()).unwrap().login =
            config::Login::ClientCredentials { key: "limited".to_owned(), secret };
        let found = pair.found(&config).await;
        if expected.is_empty() {
            assert!(!found.iter().any(|found| found.contains(" from.object: ")), "{org}: {found:#?}");
        } else {
            assert!(
                found.iter().any(|found| found.starts_with(expected)),
                "{org}: wanted {expected:?}, found {found:#?}"
            );
        }
    }
}

const PERSONS: &str = "  - name: people
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id, LastName: Name.LastName, PersonEmail: PersonEmail }
  - name: contacts
    from: { org: source, channel: /data/ContactChangeEvent, object: Contact }
    to: { org: target, object: Contact, key: Source_Id__c }
    fields: { Source_Id__c: Id, LastName: Name.LastName }
";

#[tokio::test]
async fn a_person_is_written_once_and_what_its_events_leave_out_is_told() {
    let scenario = Scenario::read("persons.yaml", "person_accounts: true\n").unwrap();
    let options = Options { scenario: Some(Arc::new(scenario)), ..Options::default() };
    let pair = Pair::of(options).await;
    let twice = "warning when: contacts of person accounts come here, and people writes the same persons as accounts";
    let left_out = "note fields.PersonEmail: each update of an account has to be read";
    let when = |pipeline: &str, when: &str| {
        let start = format!("  - name: {pipeline}\n");
        PERSONS.replace(&start, &format!("{start}    when: {when}\n"))
    };
    for (pipelines, expected) in [
        (PERSONS.to_owned(), &[twice][..]),
        (when("contacts", "IsPersonAccount != true"), &[]),
        (when("people", "IsPersonAccount != true"), &[]),
        (when("contacts", "Name.LastName != \"x\""), &[twice]),
    ] {
        let found = pair.found(&pair.config(&pipelines)).await;
        let found: Vec<&String> = found.iter().filter(|found| !found.contains("when the bridge writes")).collect();
        assert!(found.iter().all(|found| !found.starts_with("error")), "{found:#?}");
        for finding in [twice, left_out] {
            assert_eq!(found.iter().any(|found| found.starts_with(finding)), expected.contains(&finding), "{found:#?}");
        }
    }
    pair.control("source", "capture", json!({"object": "Contact", "on": false})).await;
    let accounts = PERSONS.split("  - name: contacts").next().unwrap();
    let found = pair.found(&pair.config(accounts)).await;
    assert!(found.iter().any(|found| found.starts_with(left_out)), "{found:#?}");
    assert!(!found.iter().any(|found| found.starts_with("error")), "{found:#?}");
}

#[tokio::test]
async fn a_value_that_the_record_type_does_not_have_is_found() {
    let scenario = Scenario::read(
        "types.yaml",
        "objects:
  - name: Account
    record_types:
      - { developer_name: Business, label: Business, default: true, picklists: { Rating: [Hot, Warm], Type: [Partner] } }
",
    );
    let pair = Pair::of(Options { scenario: Some(Arc::new(scenario.unwrap())), ..Options::default() }).await;
    let translated = "{ from: RecordTypeId, as: record_type }";
    for (fields, expected) in [
        (
            "Rating: { value: Cold }",
            "error fields.Rating: no record type that the records get (Business) has a value that is written here: the \
             picklist is restricted, so the org refuses such a record | add it in Setup > Object Manager > Account > \
             Record Types > Business > Picklists Available for Editing > Account Rating",
        ),
        ("Type: { value: Other }", "warning fields.Type: no record type that the records get (Business)"),
        (
            &format!("RecordTypeId: {translated}\n      Rating: {{ value: Cold }}"),
            "warning fields.Rating: records can get Business, which has not all values that are written here",
        ),
        ("RecordTypeId: { record_type: Household }\n      Rating: { value: Cold }", ""),
        ("Rating: { value: Hot }", ""),
    ] {
        let config = pair.config(&ACCOUNTS.replace("Phone: Phone", fields));
        let found = pair.found(&config).await;
        if expected.is_empty() {
            let weighty = found.iter().find(|found| !found.starts_with(Severity::Note.as_str()));
            assert_eq!(weighty, None, "{fields}");
        } else {
            assert!(found.iter().any(|found| found.starts_with(expected)), "{fields}: {found:#?}");
        }
    }
}

const ACTIONS: &str = "  - name: ship
    from: { org: source, channel: /event/Order_Shipped__e }
    when: Shipped__c == true
    action:
      org: target
      flow: Ship_Order
      delivery: at_most_once
      order_by: Order_Number__c
      answer: { object: Account, record: Note__c, fields: { Search_Name__c: result, Region__c: order } }
    fields:
      orderId: Order_Number__c
      amount: { cel: 'default(Quantity__c, 0)' }
  - name: say
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action:
      org: target
      apex: BridgeAction
      delivery: at_most_once
      answer: { fields: { Region__c: output } }
    fields: { message: Name }
  - name: publish
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    action:
      org: target
      event: Order_Shipped__e
      idempotency_key: Order_Number__c
      delivery: at_least_once
      answer: { event: Order_Shipped__e, fields: { Order_Number__c: id } }
    fields: { Note__c: Description, Quantity__c: NumberOfEmployees }
  - name: post
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    action: { webhook: { url: \"https://x.example.com/\", secret: 0123456789abcdef }, delivery: at_most_once }
    fields: { whatever: Name }
";

/// As [`IN_THE_CONFIG`].
const IN_ACTIONS: &[(&str, &str, &str)] = &[
    // What triggers them.
    (
        "/event/Order_Shipped__e",
        "/event/Order_Shiped__e",
        "error from.channel: the org shows no event Order_Shiped__e | did you mean `Order_Shipped__e`?",
    ),
    (
        "when: Shipped__c",
        "when: Shiped__c",
        "error when: Order_Shipped__e shows no field Shiped__c | did you mean `Shipped__c`?",
    ),
    (
        "order_by: Order_Number__c",
        "order_by: Order_No__c",
        "error action.order_by: Order_Shipped__e shows no field Order_No__c",
    ),
    ("record: Note__c", "record: Nota__c", "error action.answer.record: Order_Shipped__e shows no field Nota__c"),
    ("message: Name", "message: Nam", "error fields.message: Account shows no field Nam | did you mean `Name`?"),
    ("when: Rating", "when: Ratin", "error when: Account shows no field Ratin"),
    // Flows and Apex.
    (
        "flow: Ship_Order",
        "flow: Ship_Oder",
        "error action.flow: the org shows no flow Ship_Oder | look at its API name in Setup > Flows; it must be autolaunched \
         and active, and the bridge's user needs Run Flows",
    ),
    (
        "apex: BridgeAction",
        "apex: BridgeActions",
        "error action.apex: the org shows no Apex class with an invocable method BridgeActions | look at its name in Setup > \
         Apex Classes; it needs a method with @InvocableMethod",
    ),
    ("amount: {", "amuont: {", "error fields.amuont: Ship_Order has no input amuont | did you mean `amount`?"),
    (
        "{ cel: 'default(Quantity__c, 0)' }",
        "{ value: many }",
        "error fields.amount: the input takes a number | write a value that the input takes",
    ),
    (
        "message: Name",
        "message: { value: 4 }",
        "warning fields.message: the input takes text, and the org may refuse this | write the value in quotes",
    ),
    (
        "      orderId: Order_Number__c\n",
        "",
        "error fields: Ship_Order needs orderId, and nothing fills it | add `orderId: …` to the fields",
    ),
    (
        "order_by: Order",
        "idempotency_key: Request_Key\n      order_by: Order",
        "error action.idempotency_key: Ship_Order has no input Request_Key | did you mean `requestKey`?",
    ),
    (
        "order_by: Order",
        "idempotency_key: Told_Before\n      order_by: Order",
        "error action.idempotency_key: Ship_Order has no input Told_Before | make a variable of that name Available for input",
    ),
    (
        "{ Region__c: output }",
        "{ Region__c: outputs }",
        "warning action.answer.fields.Region__c: BridgeAction has no output outputs: Region__c would be emptied | did you mean \
         `output`?",
    ),
    // Events.
    (
        "      event: Order_Shipped__e",
        "      event: Order_Sent__e",
        "error action.event: the org shows no event Order_Sent__e",
    ),
    ("{ Note__c: Desc", "{ Notes__c: Desc", "error fields.Notes__c: Order_Shipped__e has no field Notes__c"),
    ("{ Note__c: Desc", "{ EventUuid: Desc", "error fields.EventUuid: EventUuid cannot be written"),
    (
        "Quantity__c: NumberOfEmployees",
        "Shipped_At__c: NumberOfEmployees",
        "error fields.Shipped_At__c: NumberOfEmployees and Shipped_At__c are of different kinds",
    ),
    (
        "idempotency_key: Order_Number__c",
        "idempotency_key: Quantity__c",
        "error fields: Order_Shipped__e needs Order_Number__c (Order Number), and nothing fills it",
    ),
    // Answers.
    (
        "object: Account, record",
        "object: Acount, record",
        "error action.answer.object: the org shows no object Acount | did you mean `Account`?",
    ),
    (
        "{ Region__c: output }",
        "{ Contacts__c: output }",
        "error action.answer.fields.Contacts__c: Contacts__c cannot be written",
    ),
    (
        "{ Order_Number__c: id }",
        "{ Note__c: id }",
        "error action.answer.fields: Order_Shipped__e needs Order_Number__c (Order Number), and nothing fills it",
    ),
];

#[tokio::test]
async fn actions_that_fit_have_nothing_wrong_and_each_that_does_not_is_found() {
    let pair = Pair::new().await;
    let found = pair.found(&pair.config(ACTIONS)).await;
    let weighty: Vec<&String> = found.iter().filter(|found| !found.starts_with(Severity::Note.as_str())).collect();
    assert!(weighty.is_empty(), "{weighty:#?}");
    let mut missed = Vec::new();
    for (piece, other, expected) in IN_ACTIONS {
        assert!(ACTIONS.contains(piece), "{piece}");
        let config = ACTIONS.replacen(piece, other, 1);
        // Nothing is filled twice.
        let config = match *other {
            "idempotency_key: Quantity__c" => config.replace(", Quantity__c: NumberOfEmployees", ""),
            _ => config,
        };
        let found = pair.found(&pair.config(&config)).await;
        if !found.iter().any(|found| found.starts_with(expected)) {
            missed.push(format!("{other:?}: wanted {expected:?}, found {found:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} missed: {}", missed.len(), missed.join("\n"));
}

/// How many requests an org was asked.
fn requests(pair: &Pair, org: &str) -> u64 {
    let calls = pair.emulator.org(org).unwrap().stats()["calls"].clone();
    calls.as_object().unwrap().values().filter_map(Json::as_u64).sum()
}

#[tokio::test]
async fn more_actions_of_the_same_flows_and_events_are_checked_with_no_more_requests() {
    let pair = Pair::new().await;
    let mut counts = Vec::new();
    let again = |n: usize| ACTIONS.replace("  - name: ", &format!("  - name: again-{n}-"));
    for config in [ACTIONS.to_owned(), format!("{ACTIONS}{}{}", again(1), again(2))] {
        let before = ["source", "target"].map(|org| requests(&pair, org));
        pair.found(&pair.config(&config)).await;
        let after = ["source", "target"].map(|org| requests(&pair, org));
        counts.push([after[0] - before[0], after[1] - before[1]]);
    }
    // Of the source and of the target: more is a request too many.
    assert_eq!(counts, [[12, 7], [12, 7]]);
}

#[tokio::test]
async fn an_action_whose_events_do_not_come_is_found() {
    let pair = Pair::new().await;
    pair.control("source", "capture", json!({"object": "Account", "on": false})).await;
    let found = pair.found(&pair.config(ACTIONS)).await;
    let lost =
        "error from.channel: changes of Account do not come to /data/AccountChangeEvent | select it in Setup > Change";
    assert_eq!(found.iter().filter(|found| found.starts_with(lost)).count(), 3, "{found:#?}");
    pair.control("source", "apps", limited("source")).await;
    let mut config = pair.config(ACTIONS);
    let secret = secrecy::SecretString::from("limited-secret");
    config.orgs.get_mut(&"source".parse().unwrap()).unwrap().login =
        config::Login::ClientCredentials { key: "limited".to_owned(), secret };
    let found = pair.found(&config).await;
    let hidden = "error from.object: the bridge's user may not see all records of Account: its channel is refused";
    assert_eq!(found.iter().filter(|found| found.starts_with(hidden)).count(), 3, "{found:#?}");
}

#[tokio::test]
async fn feedback_needs_fields_of_the_source_that_can_be_written_and_hold_it() {
    let pair = Pair::new().await;
    let user = "integration@source.example.com";
    for (feedback, hidden, expected) in [
        ("{ error: Region__c, last_synced: Reviewed__c }", None, ""),
        (
            "{ error: Regoin__c }",
            None,
            "error feedback.error: Account has no field Regoin__c | did you mean `Region__c`?",
        ),
        (
            "{ error: Reviewed__c }",
            None,
            "error feedback.error: Reviewed__c does not hold text | name a field of the type Text Area, or make one (Setup > \
             Object Manager > Account > Fields & Relationships)",
        ),
        ("{ last_synced: Region__c }", None, "error feedback.last_synced: Region__c does not hold a date with a time"),
        (
            "{ last_synced: Reviewed__c }",
            Some("Reviewed__c"),
            "error feedback.last_synced: Reviewed__c cannot be written | let the bridge's user edit it: Setup > Object \
             Manager > Account > Reviewed > Set Field-Level Security",
        ),
    ] {
        if let Some(field) = hidden {
            let access = json!({"user": user, "object": "Account", "field": field, "access": "read"});
            pair.control("source", "access", access).await;
        }
        let found = pair.found(&pair.config(&format!("{ACCOUNTS}    feedback: {feedback}\n"))).await;
        let weighty: Vec<&String> = found.iter().filter(|found| !found.starts_with(Severity::Note.as_str())).collect();
        if expected.is_empty() {
            assert!(weighty.is_empty(), "{feedback}: {weighty:#?}");
        } else {
            assert!(weighty.len() == 1 && weighty[0].starts_with(expected), "{feedback}: {found:#?}");
        }
    }
}
