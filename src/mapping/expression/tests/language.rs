//! What an expression gives.

use serde_json::{Value as Json, json};

use super::*;

fn record() -> Given {
    let mut given = given(json!({
        "Id": "001D000000IqhSLIAZ",
        "Name": "Zoë AG",
        "Industry": "Banking",
        "Empty": null,
        "Spaces": " \t",
        "Amount": 5,
        "Price__c": 1.19,
        "NumberOfEmployees": 100,
        "Long__c": serde_json::from_str::<Json>("123456789012345678901234567890.123456789").unwrap(),
        "IsActive__c": true,
        "Interests__c": "Golf;Chess",
        "CloseDate": "2024-01-31",
        "CreatedDate": "2024-01-31T10:15:00.000Z",
        "LastModifiedDate": "2024-01-31T11:15:00.000+0100",
        "BillingAddress": {"City": "Bern", "Country": null},
        "BillingAddress.City": "Bern",
        "BillingAddress.Country": null,
        "Name.LastName": "Miller",
    }));
    given.header = Some(header());
    given
}

fn gives(source: &str) -> Json {
    match compile(source).evaluate(&record()) {
        Ok(value) => json(value),
        Err(stop) => panic!("{source}: {stop:?}"),
    }
}

fn fails(source: &str) -> (String, Vec<String>) {
    match compile(source).evaluate(&record()) {
        Err(Unevaluated::Failed { reason, inputs }) => (reason, inputs.iter().map(ToString::to_string).collect()),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn fields_parts_and_header_are_read_by_name() {
    for (source, wanted) in [
        ("Name", json!("Zoë AG")),
        ("Industry != \"Test\"", json!(true)),
        ("BillingAddress.City", json!("Bern")),
        ("BillingAddress[\"City\"]", json!("Bern")),
        ("BillingAddress . City", json!("Bern")),
        ("BillingAddress.Country", json!(null)),
        ("Name.LastName", json!("Miller")),
        ("id15(Id)", json!("001D000000IqhSL")),
        ("change.user", json!("005D000000IqhSLIAZ")),
        ("change.client", json!("OrgBridge")),
        ("change.kind", json!("UPDATE")),
        ("change.time", json!("2024-04-26T18:38:23.000Z")),
        ("change.time > datetime(\"2024-04-26T18:38:00Z\")", json!(true)),
        ("same_id(change.user, \"005D000000IqhSL\")", json!(true)),
        ("has(change.user)", json!(true)),
    ] {
        assert_eq!(gives(source), wanted, "{source}");
    }
}

#[test]
fn numbers_are_decimals_and_nothing_else() {
    for (source, wanted) in [
        ("Amount * 2", "10"),
        ("2 * Amount", "10"),
        ("Amount / 2", "2.5"),
        ("Amount * 1.19", "5.95"),
        ("Price__c * 3", "3.57"),
        ("0.1 + 0.2", "0.3"),
        ("Amount - 7", "-2"),
        ("-Amount", "-5"),
        ("-Amount - -3", "-2"),
        ("7 % 4", "3"),
        ("-7.5 % 2", "-1.5"),
        ("1 / 3", "0.3333333333333333333333333333"),
        ("12345678901234567.89 + 0.01", "12345678901234567.9"),
        ("Long__c", "123456789012345678901234567890.123456789"),
        ("default(Long__c, 0)", "123456789012345678901234567890.123456789"),
        ("Amount == 5.0 ? Long__c : 0", "123456789012345678901234567890.123456789"),
        ("1e3 + .5", "1000.5"),
        ("[10, 20][1]", "20"),
        ("size(Name) + 1", "7"),
        ("NumberOfEmployees / 3 * 3", "100"),
        ("10 - 2 - 3", "5"),
        ("2 + 3 * 4", "14"),
        ("0x10 + 0", "16"),
    ] {
        let wanted: Json = serde_json::from_str(wanted).unwrap();
        if source == "NumberOfEmployees / 3 * 3" {
            // 28 digits, and no more.
            assert_eq!(gives("round(NumberOfEmployees / 3 * 3, 20)"), wanted);
        } else {
            assert_eq!(gives(source), wanted, "{source}");
        }
    }
    for truth in [
        "size(Name) + 1 > 3",
        "NumberOfEmployees >= 100",
        "!(Amount > 1000.5)",
        "Amount == 5.0",
        "Amount == 5",
        "Long__c > 1",
        "-1 > -2",
        "Long__c == Long__c",
        "Long__c > 99999999999999999999999999999.0",
        "99999999999999999999999999999.0 < Long__c",
        "!(Long__c < 0 - 1)",
        "Amount in [1, 5.0]",
        "{5: true}[Amount]",
        "\"5\" != text(6)",
        "!(Amount in [\"5\"])",
    ] {
        assert_eq!(gives(truth), json!(true), "{truth}");
    }
    for (source, reason) in [
        ("Amount / (Amount - 5)", "`/` cannot divide by zero"),
        ("Amount % (Amount - 5)", "`%` cannot divide by zero"),
        ("Long__c * 2", "`*` has more than 28 digits to reckon with"),
        ("9999999999999999999999999999.0 * Amount * 1000", "`*` has more than 28 digits to reckon with"),
    ] {
        assert_eq!(fails(source).0, reason, "{source}");
    }
}

#[test]
fn an_empty_field_is_null_and_reckons_with_nothing() {
    for truth in [
        "Empty == null",
        "null == Empty",
        "Empty != 5",
        "Name != null",
        "!has(Empty)",
        "has(Name)",
        "has(BillingAddress.City)",
        "!has(BillingAddress.Country)",
        "blank(Empty)",
        "blank(Spaces)",
        "!blank(Amount)",
        "default(Empty, 7) == 7",
        "default(Amount, 7) == 5",
        "coalesce(Empty, Spaces, Name) == Spaces",
        "coalesce(Empty, null) == null",
        "null_if(Name, \"Zoë AG\") == null",
        "null_if(Empty, \"x\") == null",
        "upper(Empty) == null",
        "replace(Name, \"x\", Empty) == null",
        "!contains(Empty, \"x\")",
        "!contains(Name, Empty)",
        "!startsWith(Empty, \"x\")",
        "!matches(Empty, \"x\")",
        "!same_id(Empty, Id)",
        "split(Empty, \";\") == []",
        "!(\"Golf\" in split(Empty, \";\"))",
        "!split(Empty, \";\").exists(x, true)",
        "join([Empty, Spaces, Name], \"-\") == Name",
        "join([Empty], \"-\") == null",
        "{\"A\": 1}[Empty] == null",
        "lookup({\"A\": 1}, Empty, 3) == 3",
        "round(Empty, 2) == null",
        "min(Amount, Empty) == null",
        "date(Empty) == null",
        "add_days(CloseDate, Empty) == null",
        "hash(Empty) == null",
        "mask(Empty) == null",
        "id18(Empty) == null",
        "text(Empty) == null",
        "Empty in [null, 1]",
        "!(Empty in {\"a\": 1})",
        "!(\"x\" in Empty)",
    ] {
        assert_eq!(compile(truth).holds(&record()), Ok(true), "{truth}");
    }
    for (source, in_reason) in [
        ("Empty + 1", "default("),
        ("1 - Empty", "default("),
        ("-Empty", "needs a number, and got nothing (null)"),
        ("Empty + \"x\"", "default("),
        ("Empty > 5", "has(Field)"),
        ("5 <= Empty", "has(Field)"),
        ("Empty ? 1 : 2", "needs true or false, and got nothing (null)"),
        ("!Empty", "needs true or false"),
    ] {
        let (reason, inputs) = fails(source);
        assert!(reason.contains(in_reason), "{source}: {reason}");
        assert_eq!(inputs, ["Empty"], "{source}");
    }
}

#[test]
fn text_functions_count_in_characters() {
    for (source, wanted) in [
        ("upper(\"straße zoë\")", json!("STRASSE ZOË")),
        ("lower(\"ÄÖÜ\")", json!("äöü")),
        ("Name.upper()", json!("ZOË AG")),
        ("trim(\"\u{a0} a b \\n\")", json!("a b")),
        ("replace(\"aaa\", \"a\", \"bb\")", json!("bbbbbb")),
        ("left(Name, 3)", json!("Zoë")),
        ("left(Name, 99)", json!("Zoë AG")),
        ("left(Name, -1)", json!("")),
        ("right(Name, 2)", json!("AG")),
        ("right(Name, 0)", json!("")),
        ("right(Name, 99)", json!("Zoë AG")),
        ("substring(Name, 2, 3)", json!("ë")),
        ("substring(Name, 4)", json!("AG")),
        ("substring(Name, 4, 2)", json!("")),
        ("substring(Name, 40, 50)", json!("")),
        ("pad_left(Amount, 3, \"0\")", json!("005")),
        ("pad_left(\"12345\", 3, \"0\")", json!("12345")),
        ("pad_left(\"ë\", 3, \"ü\")", json!("üüë")),
        ("size(\"👍ë\")", json!(2)),
        ("size({\"a\": 1})", json!(1)),
        ("text(Price__c)", json!("1.19")),
        ("text(IsActive__c)", json!("true")),
        ("text(date(CloseDate))", json!("2024-01-31")),
        ("number(\"-1.50\") + 1", serde_json::from_str("-0.5").unwrap()),
        ("number(Amount)", json!(5)),
        ("initial_caps(\"o'neil MC-DONALD é\")", json!("O'neil Mc-Donald É")),
        ("join(split(Interests__c, \";\"), \", \")", json!("Golf, Chess")),
        ("split(\"a\", \";\")[0]", json!("a")),
        ("\"a\" + 'b' + \"\"\"c\"\"\"", json!("abc")),
        ("r\"\\d\" + \"\\t\"", json!("\\d\t")),
        ("Name.contains(\"oë\")", json!(true)),
        ("contains(Name, \"OË\")", json!(false)),
        ("endsWith(Name, \"AG\")", json!(true)),
        ("Name.startsWith(\"Zo\")", json!(true)),
        ("matches(Name, \"^Z.ë\")", json!(true)),
        ("Name.matches(r\"\\d\")", json!(false)),
        ("\"a\" < \"b\"", json!(true)),
    ] {
        assert_eq!(gives(source), wanted, "{source}");
    }
    assert_eq!(fails("upper(Amount)").0, "`upper` needs text as its first argument, and got a number: write `text(…)`");
    assert_eq!(
        fails("left(Name, Amount / 2)").0,
        "`left` needs a whole number as its second argument, and got a fraction or one too large"
    );
    assert!(fails("Name + Amount").0.contains("`text(…)`"));
    assert!(fails("number(Name)").0.contains("1234.56"));
    assert!(fails("pad_left(Name, 4, Name)").0.contains("single character"));
    assert!(fails("split(Name, substring(Name, 0, 0))").0.contains("separator"));
    assert!(fails("\"x\" in Name").0.contains("contains("));
}

#[test]
fn what_can_never_be_equal_is_no_comparison() {
    for (source, in_reason) in [
        (
            "Amount == \"5\"",
            "`==` cannot compare a number with text: turn one into the other by `number(…)` or `text(…)`",
        ),
        ("IsActive__c != \"true\"", "`!=` cannot compare true or false with text: write true and false without quotes"),
        ("Interests__c == [\"Golf\"]", "`x in list`"),
        ("BillingAddress == \"Bern\"", "`BillingAddress.City`"),
        ("date(CloseDate) == Name", "the text is no date"),
        ("Name < Amount", "`<` cannot compare text with a number"),
        ("IsActive__c < true", "`<` cannot compare true or false with true or false"),
    ] {
        let (reason, _) = fails(source);
        assert!(reason.contains(in_reason), "{source}: {reason}");
    }
}

#[test]
fn number_functions() {
    for (source, wanted) in [
        ("round(1.005, 2)", "1.01"),
        ("round(-1.005, 2)", "-1.01"),
        ("round(Price__c)", "1"),
        ("round(2.5)", "3"),
        ("floor(-0.5)", "-1"),
        ("ceil(-0.5)", "0"),
        ("abs(-Amount)", "5"),
        ("min(Amount, 4, 6)", "4"),
        ("max(Amount, 4, 6)", "6"),
    ] {
        assert_eq!(gives(source), serde_json::from_str::<Json>(wanted).unwrap(), "{source}");
    }
    assert_eq!(gives("max(\"a\", \"b\")"), json!("b"));
    assert!(fails("round(Price__c, Amount - 6)").0.contains("0 to 28"));
    assert!(fails("min(Amount, Name)").0.contains("cannot compare"));
}

#[test]
fn dates_and_moments_compare_in_every_form_and_shift_in_utc() {
    for truth in [
        "CloseDate == \"2024-01-31\"",
        "CloseDate < \"2024-02-01\"",
        "CloseDate >= date(\"2024-01-31\")",
        "date(\"2024-01-31\") == CloseDate",
        // The same moment, written in two ways.
        "CreatedDate == LastModifiedDate",
        "CreatedDate <= LastModifiedDate && CreatedDate >= LastModifiedDate",
        "CreatedDate == \"2024-01-31T10:15:00Z\"",
        "CreatedDate < \"2024-01-31T10:15:01Z\"",
        "CreatedDate > CloseDate",
        "CreatedDate < \"2024-02-01\"",
        "datetime(CloseDate) == \"2024-01-31T00:00:00Z\"",
        "date(CreatedDate) == CloseDate",
        // Still the day before in UTC.
        "date(\"2024-02-01T00:30:00+01:00\") == date(\"2024-01-31\")",
        "year(CreatedDate) == 2024 && month(CreatedDate) == 1 && day(CreatedDate) == 31",
        "add_days(CloseDate, -31) == \"2023-12-31\"",
        "add_days(CreatedDate, 1) == \"2024-02-01T10:15:00Z\"",
        "add_months(CloseDate, -2) == \"2023-11-30\"",
        "add_months(CloseDate, 13) == \"2025-02-28\"",
        "days_between(CloseDate, \"2024-03-01\") == 30",
        "days_between(\"2024-03-01\", CreatedDate) == -30",
        "max(CloseDate, \"2024-02-01\") == \"2024-02-01\"",
        "CloseDate in [date(\"2024-01-31\")]",
        "{\"2024-01-31\": true}[date(CreatedDate)]",
    ] {
        assert_eq!(compile(truth).holds(&record()), Ok(true), "{truth}");
    }
    for (source, wanted) in [
        ("date(CreatedDate)", "2024-01-31"),
        ("datetime(CloseDate)", "2024-01-31T00:00:00.000Z"),
        ("datetime(LastModifiedDate)", "2024-01-31T10:15:00.000Z"),
        ("add_days(CloseDate, 1)", "2024-02-01"),
        ("add_days(CreatedDate, 1)", "2024-02-01T10:15:00.000Z"),
        ("format_date(CreatedDate, \"d.M.yy HH:mm:ss.SSS\")", "31.1.24 10:15:00.000"),
        ("format_date(CloseDate, \"yyyyMMdd'T'HH ''\")", "20240131T00 '"),
        ("CreatedDate", "2024-01-31T10:15:00.000Z"),
    ] {
        assert_eq!(gives(source), json!(wanted), "{source}");
    }
    for (source, in_reason) in [
        ("date(Name)", "2024-01-31"),
        ("date(replace(CloseDate, \"01-31\", \"02-30\"))", "2024-01-31"),
        ("datetime(replace(CreatedDate, \"Z\", \"\"))", "zone"),
        ("date(CloseDate) < Name", "the text is no date"),
        ("date(CloseDate) + 1", "add_days"),
        ("add_days(CloseDate, Amount * 99999999)", "calendar"),
        ("add_months(CloseDate, Amount * 99999999999)", "calendar"),
        ("format_date(CloseDate, Name)", "other letters"),
    ] {
        let (reason, _) = fails(source);
        assert!(reason.contains(in_reason), "{source}: {reason}");
    }
}

#[test]
fn ids_compare_in_both_forms() {
    assert_eq!(gives("id18(id15(Id))"), json!("001D000000IqhSLIAZ"));
    assert_eq!(gives("same_id(Id, \"001D000000IqhSL\")"), json!(true));
    assert_eq!(gives("same_id(Id, \"001D000000IqhSM\")"), json!(false));
    assert!(fails("id18(Name)").0.contains("record id"));
    assert!(fails("same_id(Id, Name)").0.contains("record id"));
}

#[test]
fn hash_is_keyed_and_mask_keeps_the_ends() {
    // HMAC-SHA256 by another program: printf 5.95 | openssl dgst -sha256 -hmac 'a key of this test only'
    let hashed = gives("hash(Amount * 1.19)");
    assert_eq!(hashed, json!(HASHED));
    assert_eq!(gives("hash(\"5.95\")"), hashed);
    let mut keyless = record();
    keyless.key = false;
    let Err(Unevaluated::Failed { reason, inputs }) = compile("hash(Name)").evaluate(&keyless) else { panic!() };
    assert_eq!(reason, "`hash` needs `hash_secret` under `privacy` of the source org, and the config has none");
    assert_eq!(inputs, ["Name".parse().unwrap()]);
    for (plain, masked) in [
        ("", ""),
        ("abc", "***"),
        ("abcd", "a**d"),
        ("Zoë Müller", "Z********r"),
        ("anna.lee@mail.acme.com", "a******e@mail.acme.com"),
        ("bo@acme.com", "**@acme.com"),
        ("@acme.com", "@*******m"),
        ("a b@c", "a***c"),
    ] {
        assert_eq!(gives(&format!("mask(\"{plain}\")")), json!(masked), "{plain}");
    }
    assert!(fails("mask(Amount)").0.contains("text(…)"));
}

const HASHED: &str = "d5af5b863d45674f844ad9817b5d2d44571486ea4975658503e91637a58080f5";

#[test]
fn tables_and_lists() {
    for (source, wanted) in [
        ("{\"Banking\": \"B\", \"Other\": \"O\"}[Industry]", json!("B")),
        ("lookup({\"A\": \"B\"}, Industry, \"?\")", json!("?")),
        ("Industry in {\"Banking\": 1}", json!(true)),
        ("Industry in [\"Banking\", \"Energy\"]", json!(true)),
        ("\"Golf\" in split(Interests__c, \";\")", json!(true)),
        ("{true: \"yes\", false: \"no\"}[IsActive__c]", json!("yes")),
        ("{\"a\": {\"b\": 1}}.a.b", json!(1)),
        ("has({\"a\": 1}.a) && !has({\"a\": 1}.b)", json!(true)),
        ("[1, 2] + [3] == [1, 2, 3]", json!(true)),
        ("split(Interests__c, \";\").map(i, upper(i)).filter(i, i != \"GOLF\")[0]", json!("CHESS")),
        ("[1, 2, 3].map(x, x > 1, x * Amount) == [10, 15]", json!(true)),
        ("[[1], [2, 3]].map(xs, xs.map(x, x + 1)) == [[2], [3, 4]]", json!(true)),
        ("[1, 2].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, false)", json!(true)),
        ("[1, 1].exists_one(x, x == 1)", json!(false)),
        ("[1, 2].existsOne(x, x == 1)", json!(true)),
        ("[1, 2].exists(Name, Name == 2)", json!(true)),
    ] {
        assert_eq!(gives(source), wanted, "{source}");
    }
    let (reason, inputs) = fails("{\"A\": \"B\"}[Industry]");
    assert!(reason.contains("finds no entry"), "{reason}");
    assert_eq!(inputs, ["Industry"]);
    assert!(fails("split(Interests__c, \";\")[7]").0.contains("counts from 0"));
    assert!(fails("split(Interests__c, \";\")").0.contains("join("));
    assert!(fails("Amount.map(x, x)[0]").0.contains("needs a list"));
    assert!(fails("[1].exists(x, Amount + x)").0.contains("true or false"));
    // What fails on an entry names the fields of the expression.
    assert_eq!(fails("split(Interests__c, \";\").map(x, number(x))[0]").1, ["Interests__c"]);
}

#[test]
fn a_failure_names_functions_and_fields_and_no_value() {
    let secret = "4111-XQZ";
    let mut given = record();
    given.fields.insert("Card__c".to_owned(), Value::text(secret));
    for source in [
        "number(Card__c)",
        "date(Card__c)",
        "Card__c + 1",
        "Card__c > 1",
        "Card__c ? 1 : 2",
        "id18(Card__c)",
        "{\"a\": 1}[Card__c]",
        "round(Card__c)",
        "format_date(CloseDate, Card__c)",
        "{Card__c: 1}[Amount]",
        "Card__c.map(x, x)[0]",
    ] {
        let Err(stop) = compile(source).evaluate(&given) else { panic!("{source}") };
        for shown in [stop.to_string(), format!("{stop:?}")] {
            assert!(!shown.contains(secret) && shown.contains("Card__c"), "{source}: {shown}");
        }
    }
}

#[test]
fn only_true_or_false_holds() {
    assert_eq!(compile("Amount > 1").holds(&record()), Ok(true));
    assert_eq!(compile("IsActive__c").holds(&record()), Ok(true));
    for source in ["Name", "Empty", "Amount"] {
        let Err(Unevaluated::Failed { reason, .. }) = compile(source).holds(&record()) else { panic!("{source}") };
        assert!(reason.contains("a filter is true or false"), "{reason}");
    }
    for (source, kind) in [("Amount * 2", "a number"), ("\"x\"", "text"), ("change.user", "text")] {
        assert_eq!(compile(source).never_holds(), Some(kind), "{source}");
    }
    for source in ["Name", "Amount > 2", "IsActive__c && true", "has(Name)", "contains(Name, \"x\")"] {
        assert_eq!(compile(source).never_holds(), None, "{source}");
    }
}

#[test]
fn what_it_reads_is_known_before_any_record() {
    let expression = compile(
        "has(BillingAddress.City) && Name.startsWith(\"A\") ? default(Region__c, BillingAddress[\"Country\"]) \
         : [1].map(Name, Name + Amount)[0] == 1 ? Id : null",
    );
    let reads: Vec<&str> = expression.reads().iter().map(FieldPath::as_str).collect();
    assert_eq!(reads, ["Amount", "BillingAddress.City", "BillingAddress.Country", "Id", "Name", "Region__c"]);
    assert!(!expression.reads_header());
    assert!(compile("change.kind == \"CREATE\"").reads_header());
    assert!(compile("has(change.user)").reads_header());
}
