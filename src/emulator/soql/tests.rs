//! The grammar, and what no text may do to it.

mod given;
pub mod print;
mod properties;

use super::dates::{DateSpan, Unit};
use super::*;

fn refused(text: &str) -> String {
    parse(text).unwrap_err().message
}

fn filter(text: &str) -> Condition {
    parse_condition(text).unwrap()
}

fn right(text: &str) -> Value {
    match filter(text) {
        Condition::Compare { right, .. } => right.value,
        other => panic!("{other:?}"),
    }
}

fn path(names: &[&str]) -> Expression {
    Expression::Path(Path { names: names.iter().map(|name| (*name).to_owned()).collect(), at: Place::default() })
}

fn text(text: &str) -> Literal {
    Literal { value: Value::Text(text.into()), at: Place::default() }
}

#[test]
fn a_query_with_everything_is_read() {
    let query = parse(
        "select Id, a.Owner.Name, toLabel(Status) s, (SELECT Id FROM Contacts WHERE Name LIKE 'a%' ORDER BY Name LIMIT 3)\n\
         from Account a using scope mine where Source_Id__c IN ('a\\'b', 'c') and (Name != null OR (not IsDeleted = true))\n\
         with security_enforced order by SystemModstamp desc nulls last, Id limit 10 offset 5 for view",
    )
    .unwrap();
    let [
        Selected::Value { .. },
        Selected::Value { what, alias: None },
        Selected::Value { what: call, alias: Some(alias) },
        Selected::Children(children),
    ] = query.select.as_slice()
    else {
        panic!("{:?}", query.select)
    };
    assert_eq!((what, what.at().0), (&path(&["a", "Owner", "Name"]), 11));
    assert!(matches!(call, Expression::Call(call) if call.function == Function::ToLabel));
    assert_eq!((alias.text.as_str(), query.alias.as_ref().unwrap().text.as_str()), ("s", "a"));
    assert_eq!((children.from.text.as_str(), children.limit, children.order.len()), ("Contacts", Some(3), 1));
    let Some(Condition::All(parts)) = &query.filter else { panic!("no AND") };
    let set = Set::List(vec![text("a'b"), text("c")]);
    assert_eq!(parts[0], Condition::In { left: path(&["Source_Id__c"]), negated: false, set });
    assert!(matches!(&parts[1], Condition::Any(both) if matches!(both[1], Condition::Not(_))));
    assert_eq!((query.order.len(), query.order[0].descending, query.order[0].nulls_last), (2, true, true));
    assert_eq!((query.limit, query.offset), (Some(10), 5));
}

#[test]
fn groups_and_aggregates_are_read() {
    let query = parse(
        "SELECT Industry, CALENDAR_YEAR(CreatedDate), COUNT(Id) n, MAX(AnnualRevenue) FROM Account \
         GROUP BY Industry, CALENDAR_YEAR(CreatedDate) HAVING COUNT(Id) > 1 ORDER BY COUNT(Id) DESC",
    )
    .unwrap();
    assert_eq!((query.group.len(), query.order[0].by.is_aggregate()), (2, true));
    assert!(matches!(query.having, Some(Condition::Compare { left, .. }) if left.is_aggregate()));
    assert!(parse("SELECT COUNT() FROM Account").unwrap().is_count());
    assert!(!parse("SELECT COUNT(Id) FROM Account").unwrap().is_count());
    assert!(matches!(
        parse("SELECT FIELDS(all), Id FROM Account LIMIT 2").unwrap().select[0],
        Selected::Fields(FieldGroup::All, _)
    ));
}

#[test]
fn a_semi_join_is_a_query_within_a_list() {
    let Condition::In { negated: true, set: Set::Query(inner), .. } =
        filter("Id NOT IN (SELECT AccountId FROM Contact WHERE LastName = 'x')")
    else {
        panic!("no semi-join")
    };
    assert_eq!(inner.from.text, "Contact");
}

#[test]
fn pseudo_paths_of_rules_are_paths() {
    let Condition::All(parts) = filter("Changed.Phone = true AND Old.Phone != null AND IsNew = false") else {
        panic!("no AND")
    };
    assert!(matches!(&parts[0], Condition::Compare { left, .. } if *left == path(&["Changed", "Phone"])));
    assert!(parse_condition("Phone = '1' ORDER BY Id").is_err());
}

#[test]
fn keywords_may_name_objects_and_fields() {
    for text in [
        "SELECT Group.Name, Limit, Order FROM GroupMember WHERE Offset = 1 ORDER BY Group.Name",
        "SELECT Id FROM Group WHERE Type = 'Queue' ORDER BY Name",
        "SELECT Id FROM Order ORDER BY Id",
        "SELECT Like.Name, First, Last FROM X GROUP BY Like.Name",
        "SELECT Count, Fields, Format FROM X WHERE Sum > 1",
    ] {
        assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
    }
    assert_eq!(parse("SELECT Id FROM Order ORDER BY Id").unwrap().order.len(), 1);
    assert_eq!(parse("SELECT Id FROM Group LIMIT 1").unwrap().alias, None);
}

#[test]
fn literals_have_their_types() {
    assert_eq!(right("a = -1.50"), Value::Number("-1.50".into()));
    assert_eq!(right("a = 1e+3"), Value::Number("1e+3".into()));
    assert_eq!(right("a = NULL"), Value::Null);
    assert_eq!(right("a = True"), Value::Bool(true));
    assert_eq!(right("a = 2026-03-01"), Value::Date("2026-03-01".parse().unwrap()));
    let noon: chrono::DateTime<chrono::Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    for text in ["12:00:00Z", "12:00:00.000Z", "13:00:00+01:00", "13:00:00.0+0100", "00:00:00-12:00", "12:00:00-00:00"]
    {
        assert_eq!(right(&format!("a >= 2026-03-01T{text}")), Value::DateTime(noon), "{text}");
    }
    assert!(matches!(right("a = 10:15:00.000Z"), Value::Time(_)));
    assert_eq!(right("a = LAST_N_DAYS:3"), Value::Dates(DateSpan { unit: Unit::Day, from: -3, to: 0 }));
    assert_eq!(right("a > this_fiscal_year"), Value::Dates(DateSpan { unit: Unit::Year, from: 0, to: 0 }));
    assert_eq!(right(r#"a = '\'\\\n\r\t\"ä'"#), Value::Text("'\\\n\r\t\"ä".into()));
    assert_eq!(right("a = ''"), Value::Text(String::new()));
    let parts = vec![PatternPart::Char('%'), PatternPart::Many, PatternPart::One, PatternPart::Char('_')];
    assert_eq!(right(r"a LIKE '\%%_\_'"), Value::Pattern(Pattern(parts)));
    assert_eq!(right("a = '50%_'"), Value::Text("50%_".into()));
}

#[test]
fn what_it_does_not_know_is_refused_by_name() {
    for (text, token) in [
        ("", "<EOF>"),
        ("SELECT Id", "<EOF>"),
        ("SELECT Id FROM Account WHERE", "<EOF>"),
        ("SELECT Id FROM Account WHERE Foo LIKES 'a'", "LIKES"),
        ("SELECT Name, FROM Account", "FROM"),
        ("SELECT FROM Account", "FROM"),
        ("SELECT Id FROM Account LIMIT x", "x"),
        ("SELECT Id FROM Account LIMIT -1", "-1"),
        ("SELECT Id FROM Account GROUP BY ROLLUP(Id)", "("),
        ("SELECT Id FROM Account WHERE Name = a", "a"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "OR"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND NOT Name = 'b'", "NOT"),
        ("SELECT Id FROM Account WHERE NOT Name = 'a' AND Name = 'b'", "AND"),
        ("SELECT Id FROM Account WHERE Name IN ()", ")"),
        ("SELECT Id FROM Account WHERE Name IN ('a',)", ")"),
        ("SELECT Id FROM Account WHERE (Name = 'a'", "<EOF>"),
        ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS", "<EOF>"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-03-01T00:00:00", "2026-03-01T00:00:00"),
        ("SELECT Id FROM Account;", ";"),
        ("SELECT Id FROM Account Account Account", "Account"),
        ("SELECT TYPEOF What WHEN Account THEN Phone END FROM Event", "WHEN"),
        ("SELECT Id FROM Account WHERE Name = 1.2.3", "1.2.3"),
        ("SELECT Id FROM Account WITH DATA CATEGORY x AT y", "DATA"),
        ("UPDATE Account", "UPDATE"),
    ] {
        assert_eq!(refused(text), format!("unexpected token: '{token}'"), "{text}");
    }
    assert_eq!(refused("SELECT Id FROM Account WHERE Name = :x"), "Bind variables only allowed in Apex code");
    assert_eq!(refused("SELECT Id FROM Account WHERE Id IN :x"), "Bind variables only allowed in Apex code");
    assert_eq!(refused("SELECT Id FROM Account ALL ROWS"), "ALL ROWS not allowed in this context");
    assert_eq!(refused("SELECT Id FROM Account WHERE Name = 'open"), "mismatched character '<EOF>' expecting '''");
    assert_eq!(refused("SELECT Id FROM Account WHERE D = 2026-02-30"), "Invalid date: 2026-02-30");
    assert!(refused(r"SELECT Id FROM Account WHERE Name = 'a\_'").contains(r"Illegal character sequence '\_'"));
    assert!(refused("SELECT COUNT(), Id FROM Account").contains("COUNT()"));
}

#[test]
fn an_error_points_at_its_place() {
    let text = "SELECT Id FROM Account WHERE Foo LIKES 'a'";
    assert_eq!(
        parse(text).unwrap_err().shown(text),
        format!("\n{text}\n{}^\nERROR at Row:1:Column:34\nunexpected token: 'LIKES'", " ".repeat(33))
    );
}

#[test]
fn bombs_are_refused() {
    let deep = |open: &str, n: usize| format!("SELECT Id FROM Account WHERE {}", open.repeat(n));
    assert!(refused(&deep("(", 10_000)).contains("too deeply"));
    assert!(refused(&deep("NOT (", 10_000)).contains("too deeply"));
    assert!(refused(&deep("Id IN (SELECT Id FROM Account WHERE ", 2_000)).contains("too deeply"));
    assert!(refused(&format!("SELECT {}", "(SELECT ".repeat(10_000))).contains("too deeply"));
    assert!(refused(&format!("SELECT {}", "MAX(".repeat(10_000))).contains("too deeply"));
    let long = deep(&format!("Name = '{}'", "a".repeat(100_000)), 1);
    assert_eq!(refused(&long), "SOQL statements cannot be longer than 100000 characters");
    assert_eq!(parse(&long).unwrap_err().shown(&long), "SOQL statements cannot be longer than 100000 characters");
    let of = |n: usize| parse(&deep(&format!("Name = '{}'", "ä".repeat(n)), 1));
    assert!(of(4_000).is_ok());
    assert!(of(4_001).unwrap_err().message.contains("4000"));
    let brackets = format!("{}Name = 'a'{}", "(".repeat(50), ")".repeat(50));
    assert!(parse_condition(&brackets).is_ok());
}
