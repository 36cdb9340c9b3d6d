//! For any data and any query, the engine finds what the definition says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::World;
use super::naive::{Account, Data, Given, Invoice, order};
use crate::org::Id;
use crate::soql::tests::print;
use crate::soql::{Comparison, Condition, Expression, Literal, Path, Pattern, PatternPart, Place, Set, Value, parse};

const FIELDS: [&str; 9] = [
    "Ext__c",
    "Text__c",
    "Quantity__c",
    "Amount__c",
    "Paid__c",
    "Due__c",
    "Tags__c",
    "Account__r.Name",
    "Account__r.NumberOfEmployees",
];
const TAGS: [&str; 3] = ["Red", "Green", "Blue"];

fn text() -> impl Strategy<Value = String> {
    "[abA]{1,2}"
}

fn day() -> impl Strategy<Value = NaiveDate> {
    (1_u32..4).prop_map(|day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap())
}

fn tags() -> impl Strategy<Value = BTreeSet<String>> {
    prop::sample::subsequence(TAGS.to_vec(), 0..=3).prop_map(|tags| tags.into_iter().map(str::to_owned).collect())
}

fn invoice(accounts: usize) -> impl Strategy<Value = Invoice> {
    (
        prop::option::of(text()),
        prop::option::of(-1_i64..3),
        prop::option::of(-150_i64..300),
        any::<bool>(),
        prop::option::of(day()),
        tags(),
        prop::option::of(0..accounts),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(text, quantity, amount, paid, due, tags, account, deleted)| Invoice {
            ext: String::new(),
            text,
            quantity,
            amount,
            paid,
            due,
            tags,
            account,
            deleted,
        })
}

fn data() -> impl Strategy<Value = Data> {
    let account = (text(), prop::option::of(0_i64..3)).prop_map(|(name, employees)| Account { name, employees });
    prop::collection::vec(account, 1..4).prop_flat_map(|accounts| {
        let invoices = prop::collection::vec(invoice(accounts.len()), 0..12);
        (Just(accounts), invoices).prop_map(|(accounts, mut invoices)| {
            for (n, invoice) in invoices.iter_mut().enumerate() {
                invoice.ext = format!("{}{}", if n % 2 == 0 { 'x' } else { 'X' }, n / 2);
            }
            Data { accounts, invoices }
        })
    })
}

fn expression(name: &str) -> Expression {
    Expression::Path(Path { names: name.split('.').map(str::to_owned).collect(), at: Place::default() })
}

fn literal(value: Value) -> Literal {
    Literal { value, at: Place::default() }
}

fn written(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// A literal that fits a field.
fn fitting(field: &'static str) -> BoxedStrategy<Literal> {
    let value = match field {
        "Ext__c" => "[xX][0-5]".prop_map(Value::Text).boxed(),
        "Text__c" | "Account__r.Name" => "[abA]{0,2}".prop_map(Value::Text).boxed(),
        "Paid__c" => any::<bool>().prop_map(Value::Bool).boxed(),
        "Due__c" => day().prop_map(Value::Date).boxed(),
        "Tags__c" => {
            let parts = prop::sample::subsequence(TAGS.to_vec(), 1..=3);
            parts.prop_map(|parts| Value::Text(parts.join(";"))).boxed()
        }
        _ => (-3_i64..6, any::<bool>())
            .prop_map(|(halves, plain)| {
                Value::Number(if plain { written(halves * 50) } else { format!("{}e-2", halves * 50) })
            })
            .boxed(),
    };
    prop_oneof![5 => value, 1 => Just(Value::Null)].prop_map(literal).boxed()
}

fn simple() -> impl Strategy<Value = Condition> {
    prop::sample::select(FIELDS.to_vec()).prop_flat_map(|field| {
        let mut comparisons = vec![Comparison::Equal, Comparison::NotEqual];
        if !matches!(field, "Paid__c" | "Tags__c") {
            comparisons.extend([
                Comparison::Less,
                Comparison::LessOrEqual,
                Comparison::Greater,
                Comparison::GreaterOrEqual,
            ]);
        }
        let left = expression(field);
        let compare = (prop::sample::select(comparisons), fitting(field)).prop_map({
            let left = left.clone();
            move |(comparison, right)| Condition::Compare { left: left.clone(), comparison, right }
        });
        let list = (any::<bool>(), prop::collection::vec(fitting(field), 1..4)).prop_map({
            let left = left.clone();
            move |(negated, list)| Condition::In { left: left.clone(), negated, set: Set::List(list) }
        });
        let special = match field {
            "Tags__c" => (any::<bool>(), prop::collection::vec(fitting(field), 1..3))
                .prop_map(move |(negated, values)| Condition::Includes { left: left.clone(), negated, values })
                .boxed(),
            "Text__c" | "Ext__c" | "Account__r.Name" => {
                let part = prop_oneof![
                    Just(PatternPart::Many),
                    Just(PatternPart::One),
                    prop::sample::select(vec!['a', 'B', 'x', '1']).prop_map(PatternPart::Char),
                ];
                prop::collection::vec(part, 0..4)
                    .prop_map(move |parts| Condition::Compare {
                        left: left.clone(),
                        comparison: Comparison::Like,
                        right: literal(Value::Pattern(Pattern(parts))),
                    })
                    .boxed()
            }
            _ => compare.clone().boxed(),
        };
        prop_oneof![2 => compare, 1 => list, 1 => special]
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        6 => simple().boxed(),
        1 => (any::<bool>(), simple()).prop_map(|(negated, filter)| {
            let mut query = parse("SELECT Account__c FROM Invoice__c").unwrap();
            query.filter = Some(filter);
            Condition::In { left: expression("Account__c"), negated, set: Set::Query(Box::new(query)) }
        }).boxed(),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

/// The data as records of an org, and the accounts' ids.
fn world(data: &Data) -> (World, Vec<Id>) {
    let mut world = World::new();
    let accounts: Vec<Id> = data
        .accounts
        .iter()
        .map(|account| world.make("Account", json!({"Name": account.name, "NumberOfEmployees": account.employees})))
        .collect();
    for invoice in &data.invoices {
        let amount = invoice.amount.map(|amount| written(amount).parse::<serde_json::Number>().unwrap());
        let tags: Vec<&str> = invoice.tags.iter().map(String::as_str).collect();
        let id = world.make(
            "Invoice__c",
            json!({"Ext__c": invoice.ext, "Text__c": invoice.text, "Quantity__c": invoice.quantity, "Amount__c": amount,
                "Paid__c": invoice.paid, "Due__c": invoice.due.map(|due| due.to_string()), "Tags__c": tags.join(";"),
                "Account__c": invoice.account.map(|account| accounts[account].as_str())}),
        );
        if invoice.deleted {
            world.delete(&id);
        }
    }
    (world, accounts)
}

fn exts(records: &[Json]) -> Vec<String> {
    records.iter().map(|record| record["Ext__c"].as_str().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_finds_what_the_definition_says(
        data in data(),
        conditions in prop::collection::vec(condition(), 1..8),
        sort in prop::sample::select(vec!["Text__c", "Quantity__c", "Amount__c", "Due__c", "Account__r.Name", "Ext__c"]),
        descending in any::<bool>(), nulls_last in any::<bool>(), offset in 0_usize..3, limit in 0_usize..10,
    ) {
        let (world, accounts) = world(&data);
        for condition in &conditions {
            let filter = print::condition(condition);
            let direction = if descending { "DESC" } else { "ASC" };
            let nulls = if nulls_last { "LAST" } else { "FIRST" };
            let text = format!(
                "SELECT Ext__c FROM Invoice__c WHERE {filter} ORDER BY {sort} {direction} NULLS {nulls}, Ext__c LIMIT {limit} OFFSET {offset}"
            );
            let mut expected: Vec<&Invoice> =
                data.invoices.iter().filter(|invoice| !invoice.deleted && data.holds(condition, invoice)).collect();
            let chosen = expected.clone();
            expected.sort_by(|a, b| {
                let (x, y) = (data.field(a, sort), data.field(b, sort));
                let (null_x, null_y) = (x == Given::Null, y == Given::Null);
                let side = match (null_x, null_y) {
                    (false, false) if descending => order(&y, &x),
                    (false, false) => order(&x, &y),
                    _ if nulls_last => null_x.cmp(&null_y),
                    _ => null_y.cmp(&null_x),
                };
                side.then_with(|| a.ext.cmp(&b.ext))
            });
            let expected: Vec<String> =
                expected.into_iter().skip(offset).take(limit).map(|invoice| invoice.ext.clone()).collect();
            prop_assert_eq!(exts(&world.found(&text)), expected, "{}", text);

            let text = format!("SELECT COUNT(Ext__c) n, SUM(Amount__c) s, Quantity__c FROM Invoice__c WHERE {filter} GROUP BY Quantity__c");
            let mut groups: BTreeMap<Option<i64>, (usize, Option<i64>)> = BTreeMap::new();
            for invoice in &chosen {
                let (count, sum) = groups.entry(invoice.quantity).or_default();
                *count += 1;
                *sum = match (*sum, invoice.amount) {
                    (Some(sum), Some(amount)) => Some(sum + amount),
                    (sum, amount) => sum.or(amount),
                };
            }
            let found: BTreeMap<Option<i64>, (usize, Option<i64>)> = world.found(&text).iter().map(|group| {
                #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
                let sum = group["s"].as_f64().map(|sum| (sum * 100.0).round() as i64);
                (group["Quantity__c"].as_i64(), (group["n"].as_u64().unwrap() as usize, sum))
            }).collect();
            prop_assert_eq!(found, groups, "{}", text);

            let text = format!("SELECT Id, (SELECT Ext__c FROM Invoices__r WHERE {filter} ORDER BY Ext__c LIMIT {limit}) FROM Account");
            for (record, (n, id)) in world.found(&text).iter().zip(accounts.iter().enumerate()) {
                prop_assert_eq!(&record["Id"], id.as_str());
                let mut expected: Vec<String> =
                    chosen.iter().filter(|invoice| invoice.account == Some(n)).map(|invoice| invoice.ext.clone()).collect();
                expected.sort();
                expected.truncate(limit);
                let children = record["Invoices__r"]["records"].as_array().cloned().unwrap_or_default();
                prop_assert_eq!(exts(&children), expected, "{}", &text);
                prop_assert_eq!(record["Invoices__r"].is_null(), children.is_empty());
            }
        }
    }
}
