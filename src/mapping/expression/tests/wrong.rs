//! What is refused before any record is seen.

use super::*;

/// Source, what the caret stands under, and words of message or remedy.
fn refused(source: &str) -> (String, String) {
    let problems = match Expression::compile(source) {
        Err(problems) => problems,
        Ok(_) => panic!("{source} is accepted"),
    };
    let first = &problems[0];
    (source[first.span.clone()].to_owned(), format!("{}: {}", first.message, first.remedy))
}

#[test]
fn what_people_bring_along_is_refused_with_what_to_write_instead() {
    for (source, caret, said) in [
        ("Name = \"x\"", "=", "write `==`"),
        ("A == 1 AND B == 2", "AND", "a && b"),
        ("A == 1 or B == 2", "or", "a || b"),
        ("AND(A, B)", "AND", "a && b"),
        ("NOT(A)", "NOT", "`!(…)`"),
        ("A <> 1", "<>", "`!=`"),
        ("A & B", "&", "`&&`"),
        ("A | B", "|", "`||`"),
        ("Name LIKE \"A%\"", "LIKE", "contains"),
        ("A IS NULL", "IS", "== null"),
        ("A == TRUE", "TRUE", "`true`"),
        ("A == NULL", "NULL", "`null`"),
        ("IF(A, 1, 2)", "IF", "? this : that"),
        ("if(A, 1, 2)", "if", "? this : that"),
        ("A == “x”", "“", "quotation"),
        ("A == \"x\";", ";", "one expression"),
        ("Näme", "Näme", "letters a to z"),
        ("\"abc", "\"", "never closed"),
        ("(A + 1", "(", "never closed"),
        ("A + 1)", ")", "closes nothing"),
        ("(A]", "]", "write `)`"),
        ("{!A}", "{!", "alone"),
        ("A +", "", "too early"),
        ("A B", "B", "does not belong"),
        ("99999999999999999999 > A", "99999999999999999999", "with a point"),
        ("\"\\q\"", "\"", ""),
        ("5u", "5u", "no letter"),
        ("b\"x\" == A", "b", "bytes"),
        ("Account.Owner.Name", "Account.Owner.Name", "map the parent"),
        ("while", "while", "keeps for itself"),
        ("Foo{a: 1}", "{", "table"),
        ("_x", "_x", "cannot be a field"),
        ("\"ü👍\" == A B", "B", "does not belong"),
        ("\"ü\" == A\n  && B\n  C", "C", "does not belong"),
        ("\"ü\" == A &&\n \"ü\" == uper(B)", "uper", "upper"),
    ] {
        let (at, shown) = refused(source);
        assert!(shown.contains(said), "{source}: {shown}");
        assert_eq!(at, caret, "{source}: {shown}");
    }
}

#[test]
fn a_date_in_another_form_than_the_org_s_is_refused_where_it_is_compared_as_one() {
    for (source, caret) in [
        ("CloseDate < \"2026-1-5\"", "\"2026-1-5\""),
        ("\"31.01.2026\" >= When__c", "\"31.01.2026\""),
        ("CreatedDate > \"2026-01-05T10:00:00\"", "\"2026-01-05T10:00:00\""),
        ("CloseDate == \"01/31/2026\"", "\"01/31/2026\""),
        ("date(Since__c) != \"2026-2-30\"", "\"2026-2-30\""),
        ("change.time < \"2026/01/05\"", "\"2026/01/05\""),
        ("CloseDate in [\"2026-01-05\", \"2026-1-6\"]", "["),
        ("Name == \"x\" && add_days(CloseDate, 1) == \"2026-1-5\"", "\"2026-1-5\""),
    ] {
        let (at, shown) = refused(source);
        assert!(shown.contains("compared as text"), "{source}: {shown}");
        assert_eq!(at, caret, "{source}: {shown}");
    }
    for source in [
        "CloseDate < \"2026-01-05\"",
        "CreatedDate >= \"2026-01-05T10:00:00Z\"",
        // These may well be texts.
        "Batch__c == \"2026-1-5\"",
        "Batch_Date__c == \"2026-1-5\"",
        "format_date(CloseDate, \"dd.MM.yyyy\") == \"31.01.2026\"",
        "Version__c < \"1.2.3\"",
        "Name + \"2026-1-5\"",
    ] {
        compile(source);
    }
}

#[test]
fn unknown_functions_and_wrong_counts_are_found_with_what_was_meant() {
    for (source, caret, said) in [
        ("uper(Name)", "uper", "did you mean `upper`?"),
        ("UPPER(Name)", "UPPER", "did you mean `upper`?"),
        ("Name.starts_with(\"A\")", "starts_with", "did you mean `startsWith`?"),
        ("ISBLANK(Name)", "ISBLANK", "did you mean `blank`?"),
        ("TODAY()", "TODAY", "no clock"),
        ("now()", "now", "no clock"),
        ("string(Amount)", "string", "did you mean `text`?"),
        ("Name.upperAscii()", "upperAscii", "did you mean `upper`?"),
        ("addMonths(A, 1)", "addMonths", "did you mean `add_months`?"),
        ("BLANKVALUE(A, 1)", "BLANKVALUE", "did you mean `default`?"),
        ("ISPICKVAL(A, \"x\")", "ISPICKVAL", "Field == "),
        ("nonsense(A)", "nonsense", "there are has, blank"),
        ("upper()", "upper", "takes 1 argument, and got 0: write `upper(text)`"),
        ("left(Name)", "left", "takes 2 arguments, and got 1: write `left(text, count)`"),
        ("substring(Name, 1, 2, 3)", "substring", "takes 2 to 3 arguments"),
        ("min(1)", "min", "takes 2 or more arguments"),
        ("has()", "has", "takes 1 argument"),
        ("[1].map(x)", "map", "list.map(x, y)"),
        ("[1].map(1, x)", "map", "names each entry"),
        ("change.usr", "change.usr", "did you mean `change.user`?"),
        ("change.changeType", "change.changeType", "change.kind"),
        ("change == 1", "change", "change.user or change.client"),
        ("matches(Name, Pattern__c)", "matches", "in quotes"),
        ("matches(Name, \"(\")", "\"(\"", "cannot be read"),
        ("matches(Name, \"(?=x)\")", "\"(?=x)\"", "look-around"),
        ("matches(Name, \"(a{1000}){1000}\")", "\"(a{1000}){1000}\"", "too large"),
    ] {
        let (at, shown) = refused(source);
        assert!(shown.contains(said), "{source}: {shown}");
        assert_eq!(at, caret, "{source}: {shown}");
    }
}

#[test]
fn what_fails_for_every_record_is_refused() {
    for (source, caret, said) in [
        ("Amount + 1 / 0", "/", "divide by zero"),
        ("\"a\" + 1 == Name", "+", "text(…)"),
        ("date(\"2024-02-30\") < CloseDate", "date", "2024-01-31"),
        ("same_id(Id, \"001\") || same_id(\"001\", \"002\")", "same_id", "record id"),
        ("{\"A\": 1}[\"B\"]", "[", "finds no entry"),
        ("{\"A\": 1, \"A\": 2}[Name]", "\"A\"", "already"),
        ("{null: 1}[Name]", "null", "key"),
        ("-\"a\"", "-", "a number"),
        ("[Name]", "[Name]", "join("),
        ("{\"a\": Name}", "{\"a\": Name}", "look something up"),
        ("[1].map(x, x)", "[1].map(x, x)", "join("),
    ] {
        let (at, shown) = refused(source);
        assert!(shown.contains(said), "{source}: {shown}");
        assert_eq!(at, caret, "{source}: {shown}");
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_source() {
    let Err(problems) = Expression::compile("uper(Name) + lowr(Name) + left(Name)") else { panic!() };
    let told: Vec<usize> = problems.iter().map(|problem| problem.span.start).collect();
    assert_eq!(told, [0, 13, 26]);
    let Err(problems) = Expression::compile("A = 1 AND B <> 2") else { panic!() };
    assert_eq!(problems.len(), 3);
}

#[test]
fn long_and_deep_sources_are_refused_and_what_is_just_below_is_taken() {
    let joined = |count: usize| vec!["A"; count].join(" + ");
    assert!(Expression::compile(&joined(MAX_DEPTH)).is_ok());
    assert!(refused(&joined(MAX_DEPTH + 1)).1.contains("nested too deep"));
    let nested = |count: usize, open: &str, close: &str| format!("{}A{}", open.repeat(count), close.repeat(count));
    assert!(Expression::compile(&nested(MAX_DEPTH - 1, "(", ")")).is_ok());
    assert!(refused(&nested(MAX_DEPTH, "(", ")")).1.contains("nested too deep"));
    assert!(refused(&nested(1_300, "upper", "")).1.contains("4000"));
    for (open, close) in
        [("(", ")"), ("[", "]"), ("upper(", ")"), ("!(", ")"), ("{1: ", "}"), ("A ? 1 : ", ""), ("-(", ")")]
    {
        let source = nested(400, open, close);
        assert!(refused(&source).1.contains("nested too deep"), "{open}");
    }
    for (open, close) in [("A", ".upper()"), ("A", "[0]"), ("A", " - 1")] {
        let source = format!("{open}{}", close.repeat(400));
        assert!(refused(&source).1.contains("nested too deep"), "{close}");
    }
    // Many side by side are not deep.
    let cases: Vec<String> = (0..120).map(|at| format!("Industry == \"I{at}\"")).collect();
    assert!(Expression::compile(&cases.join(" || ")).is_ok());
    let table: Vec<String> = (0..200).map(|at| format!("\"K{at}\": \"V{at}\"")).collect();
    assert!(Expression::compile(&format!("{{{}}}[Industry]", table.join(", "))).is_ok());
    assert!(refused(&format!("\"{}\"", "x".repeat(MAX_SOURCE))).1.contains("4000"));
    assert!(refused(" ").1.contains("no expression"));
}

#[test]
fn a_third_fold_within_another_is_refused() {
    assert!(refused("[1].map(a, [1].map(b, [1].map(c, 1)))").1.contains("two within each other"));
    assert!(Expression::compile("[1].map(a, 1).map(b, 1).map(c, c)[0]").is_ok());
}
