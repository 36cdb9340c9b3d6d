//! What a header means, what a row becomes, and what results look like.

use std::time::Duration;

use super::*;
use crate::Scenario;
use crate::bulk::csv::tests::sheet;
use crate::bulk::csv::{Delimiter, LineEnding};
use crate::org::{FieldLevel, Org, Write};

fn org() -> Org {
    Scenario::standard().org("one", 5, Duration::ZERO..=Duration::ZERO, 0).unwrap()
}

fn spec(org: &Org, object: &str, operation: Operation, key: Option<&str>) -> Spec {
    let (index, definition) = org.schema.find(object).unwrap();
    let field = |name: &str| definition.find(name).filter(|_| name != "Id").map(|(field, _)| field);
    let key = key.map(|name| Key { name: name.into(), field: field(name) });
    let (object_name, origin) = (object.into(), String::new());
    Spec { object: index, object_name, operation, key, assignment_rule: None, origin }
}

fn resolved(object: &str, operation: Operation, key: Option<&str>, version: u32, text: &str) -> Result<String, String> {
    let org = org();
    let spec = spec(&org, object, operation, key);
    let sheet = sheet(text.to_owned(), Format::default());
    let columns = Columns::resolve(&org, &org.integration_user(), &spec, version, &sheet)?;
    let (cells, fault) = sheet.row(0);
    Ok(match columns.write(&spec, &cells, fault) {
        Ok(Write::Create { fields, .. }) => format!("create {}", Json::Object(fields)),
        Ok(Write::Update { id, fields, .. }) => format!("update {id} {}", Json::Object(fields)),
        Ok(Write::Upsert { fields, .. }) => format!("upsert {}", Json::Object(fields)),
        Ok(Write::Delete { id }) => format!("delete {id}"),
        Ok(other) => format!("{other:?}"),
        Err(error) => error_text(&error),
    })
}

#[test]
fn a_row_becomes_what_its_header_and_its_job_say() {
    use Operation::{Delete, Insert, Update, Upsert};
    let id = "0015e0000000001AAA";
    for (object, operation, key, text, write) in [
        ("Account", Insert, None, "Name,Phone\nA,\n", r#"create {"Name":"A"}"#.to_owned()),
        ("Account", Insert, None, "name,PHONE\nA,#N/A\n", r#"create {"Name":"A","Phone":null}"#.into()),
        ("Account", Insert, None, "Name\n #N/A\n", r#"create {"Name":" #N/A"}"#.into()),
        ("Account", Update, None, &*format!("Id,Phone\n{id},5\n"), format!(r#"update {id} {{"Phone":"5"}}"#)),
        ("Account", Update, None, "Id,Phone\n,5\n", "MISSING_ARGUMENT:Id not specified in an update call:--".into()),
        ("Account", Update, None, "Id,Phone\n001,5\n", "MALFORMED_ID:malformed id 001:Id --".into()),
        ("Account", Delete, None, &*format!("Id\n{id}\n"), format!("delete {id}")),
        ("Account", Delete, None, "Id\n\"\"\n", "MISSING_ARGUMENT:Id not specified in a delete call:--".into()),
        ("Account", Upsert, Some("Id"), "Id,Name\n,A\n", r#"create {"Name":"A"}"#.into()),
        (
            "Account",
            Upsert,
            Some("Source_Id__c"),
            "Source_Id__c,Parent.Emea_Id__c\na,b\n",
            r#"upsert {"Parent":{"Emea_Id__c":"b"},"Source_Id__c":"a"}"#.into(),
        ),
        (
            "Account",
            Insert,
            None,
            &*format!("Id,Name\n{id},A\n"),
            "INVALID_FIELD_FOR_INSERT_UPDATE:cannot specify Id in an insert call:Id --".into(),
        ),
        ("Invoice__c", Insert, None, "Paid__c,Quantity__c\n1,007\n", r#"create {"Paid__c":true,"Quantity__c":7}"#.into()),
        ("Invoice__c", Insert, None, "Paid__c,Weight__c\nFALSE,x\n", r#"create {"Paid__c":false,"Weight__c":"x"}"#.into()),
        (
            "Invoice__c",
            Insert,
            None,
            "Account__r.Source_Id__c,Text__c\n#N/A,1\n",
            r#"create {"Account__r":null,"Text__c":"1"}"#.into(),
        ),
        (
            "Task",
            Insert,
            None,
            "Contact:Who.Email,User:Owner.Username\na@b.example,u\n",
            r#"create {"Who":{"attributes":{"type":"Contact"},"Email":"a@b.example"},"Owner":{"attributes":{"type":"User"},"Username":"u"}}"#
                .into(),
        ),
        ("Account", Insert, None, "Name,Phone\nA\n", "INVALID_CSV_ROW:The row has 1 values, the header row has 2:--".into()),
    ] {
        let made = resolved(object, operation, key, 66, text).unwrap();
        let parse = |text: &str| text.split_once('{').map(|(head, rest)| (head.to_owned(), serde_json::from_str::<Json>(&format!("{{{rest}")).unwrap()));
        match parse(&write) {
            Some(expected) => assert_eq!(parse(&made), Some(expected), "{text}"),
            None => assert_eq!(made, write, "{text}"),
        }
    }
}

#[test]
fn values_and_rows_have_a_largest_size() {
    let row = |sizes: &[usize]| {
        let cells: Vec<String> = sizes.iter().map(|size| "ä".repeat(*size)).collect();
        let names = ["Name", "Phone", "Description", "Website"];
        let text = format!("{}\n{}\n", names[..sizes.len()].join(","), cells.join(","));
        resolved("Account", Operation::Insert, None, 66, &text).unwrap()
    };
    let refused =
        |limit: usize| format!("INVALID_CSV_ROW:The row has more than {limit} characters in a value or in all:--");
    assert!(row(&[131_072, 131_072, 131_072, 6_784]).starts_with("create"));
    assert_eq!(row(&[131_072, 131_072, 131_072, 6_785]), refused(400_000));
    assert_eq!(row(&[1, 131_073]), refused(131_072));
}

#[test]
fn a_header_that_means_nothing_fails_the_job() {
    use Operation::{Delete, Insert, Update, Upsert};
    let long = format!("Name,{}\nA,B\n", "x".repeat(32_000));
    for (object, operation, key, text, message) in [
        ("Account", Insert, None, "Name,Foo__c,Bar__c\nA,1,2\n", "Field name not found : Foo__c"),
        ("Account", Insert, None, "\u{feff}Name\nA\n", "Field name not found : \u{feff}Name"),
        ("Account", Insert, None, " Name\nA\n", "Field name not found :  Name"),
        ("Account", Insert, None, "Name,,Phone\nA,1,2\n", "Field name not found : "),
        ("Account", Insert, None, "Name,name\nA,B\n", "Field name occurs more than once : name"),
        (
            "Account",
            Insert,
            None,
            "Name, \"Phone\"\nA,B\n",
            "Failed to parse the header row: a quote inside a value that does not start with one",
        ),
        ("Account", Insert, None, &long, "The header row is longer than 32000 characters"),
        ("Account", Insert, None, "", "The file does not contain a header row"),
        ("Account", Insert, None, "Parent.Name\nA\n", "Field name not found : Parent.Name"),
        ("Account", Insert, None, "Mother.Source_Id__c\nA\n", "Field name not found : Mother.Source_Id__c"),
        (
            "Account",
            Insert,
            None,
            "Parent.Parent.Source_Id__c\nA\n",
            "Field name not found : Parent.Parent.Source_Id__c",
        ),
        (
            "Account",
            Insert,
            None,
            "Account:Parent.Source_Id__c\nA\n",
            "type is not needed for non polymorphic foreign key Account:Parent.Source_Id__c",
        ),
        ("Task", Insert, None, "Who.Email\nA\n", "type is needed for polymorphic foreign key Who.Email"),
        ("Task", Insert, None, "Account:Who.Source_Id__c\nA\n", "Field name not found : Account:Who.Source_Id__c"),
        ("Task", Insert, None, "Invoice:What.Ext__c\nA\n", "Field name not found : Invoice:What.Ext__c"),
        ("Account", Update, None, "Name\nA\n", "Field name not found : Id"),
        ("Account", Upsert, Some("Source_Id__c"), "Name\nA\n", "Field name not found : Source_Id__c"),
        ("Account", Upsert, Some("Id"), "Name\nA\n", "Field name not found : Id"),
        ("Account", Delete, None, "Id,Name\n,A\n", "The 'delete' batch must contain only ids"),
        ("Account", Delete, None, "Name\nA\n", "The 'delete' batch must contain only ids"),
    ] {
        let failed = resolved(object, operation, key, 66, text);
        assert_eq!(
            failed,
            Err(format!("InvalidBatch : {message}")),
            "{}",
            text.get(..60.min(text.len())).unwrap_or(text)
        );
    }
    // Before version 57 the type was written without its tail.
    assert!(resolved("Task", Insert, None, 56, "Invoice:What.Ext__c\nA\n").is_ok());
    assert!(resolved("Task", Insert, None, 57, "Invoice__c:What.Ext__c\nA\n").is_ok());
}

#[test]
fn a_hidden_field_is_as_unknown_as_any() {
    let mut org = org();
    let user = org.integration_user();
    let spec = spec(&org, "Account", Operation::Insert, None);
    let phone = org.schema.object(spec.object).find("Phone").unwrap().0;
    let sheet = sheet("Name,Phone\nA,1\n", Format::default());
    assert!(Columns::resolve(&org, &user, &spec, 66, &sheet).is_ok());
    org.set_field_level(&user, spec.object, phone, FieldLevel::Hidden);
    let failed = Columns::resolve(&org, &user, &spec, 66, &sheet).unwrap_err();
    assert_eq!(failed, "InvalidBatch : Field name not found : Phone");
}

fn results(format: Format, version: u32, rows: usize) -> Results {
    let delimiter = if format.delimiter == Delimiter::Pipe { "|" } else { "," };
    let end = if format.line_ending == LineEnding::Crlf { "\r\n" } else { "\n" };
    let text: String = (0..rows).map(|row| format!("{row}{delimiter}{end}")).collect();
    let sheet = sheet(format!("Name{delimiter}Phone{end}{text}"), format);
    let outcomes = (0..rows / 2).map(|row| match row % 2 {
        0 => Outcome::Saved { id: Id::new("001", "5e0", row as u64), created: row == 0 },
        _ => Outcome::Failed { id: None, error: "X:y \"z\":--".into() },
    });
    Results { sheet: Arc::new(sheet), outcomes: Arc::new(outcomes.collect()), version, format, seed: 3 }
}

#[test]
fn results_have_the_form_of_the_job_and_quotes_around_everything() {
    let results = results(Format { delimiter: Delimiter::Pipe, line_ending: LineEnding::Crlf }, 66, 4);
    let all = |kind| results.csv(kind, &results.rows(kind));
    let id = Id::new("001", "5e0", 0);
    assert_eq!(
        all(Kind::Successful),
        format!("\"sf__Id\"|\"sf__Created\"|\"Name\"|\"Phone\"\r\n\"{id}\"|\"true\"|\"0\"|\"\"\r\n")
    );
    assert_eq!(
        all(Kind::Failed),
        "\"sf__Id\"|\"sf__Error\"|\"Name\"|\"Phone\"\r\n\"\"|\"X:y \"\"z\"\":--\"|\"1\"|\"\"\r\n"
    );
    let mut unprocessed: Vec<_> = all(Kind::Unprocessed).lines().map(str::to_owned).collect();
    unprocessed.sort();
    assert_eq!(unprocessed, ["\"2\"|\"\"", "\"3\"|\"\"", "\"Name\"|\"Phone\""]);
}

#[test]
fn the_ids_of_failed_rows_came_with_version_53() {
    let header = |version| {
        let results = results(Format::default(), version, 4);
        results.csv(Kind::Failed, &[])
    };
    assert_eq!(header(52), "\"sf__Error\",\"Name\",\"Phone\"\n");
    assert_eq!(header(53), "\"sf__Id\",\"sf__Error\",\"Name\",\"Phone\"\n");
}

#[test]
fn the_order_of_results_is_not_that_of_the_upload_and_stays_the_same() {
    let results = results(Format::default(), 66, 100);
    let rows = results.rows(Kind::Unprocessed);
    assert!(!rows.is_sorted());
    assert_eq!(rows, results.rows(Kind::Unprocessed));
    let mut sorted = rows;
    sorted.sort_unstable();
    assert_eq!(sorted, (50..100).collect::<Vec<_>>());
}

#[test]
fn an_error_is_told_as_code_message_and_fields() {
    for (error, text) in [
        (
            SaveError::missing(vec!["LastName".into()]),
            "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
        ),
        (SaveError::unknown_id(), "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--"),
        (SaveError::new("X", "y").on("A").on("B"), "X:y:A,B --"),
    ] {
        assert_eq!(error_text(&error), text);
    }
}
