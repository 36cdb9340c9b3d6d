//! Any query that the grammar knows.

use proptest::prelude::*;

use super::super::ast::{
    Call, Comparison, Condition, Expression, FieldGroup, Function, Literal, Name, Order, Path, Pattern, PatternPart,
    Place, Query, Selected, Set, Value,
};
use super::super::dates::{DateSpan, Unit};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "Id",
            "Name",
            "Group",
            "Order",
            "Limit",
            "Count",
            "Offset",
            "LAST_WEEK",
            "Source_Id__c"
        ])
        .prop_map(str::to_owned),
        // No word of the grammar has two underscores.
        "[A-Za-z][A-Za-z0-9]{0,8}__[cr]",
    ]
}

fn named() -> impl Strategy<Value = Name> {
    name().prop_map(|text| Name { text, at: Place::default() })
}

fn alias() -> impl Strategy<Value = Option<Name>> {
    prop::option::of("[a-z]{1,5}__x".prop_map(|text| Name { text, at: Place::default() }))
}

fn path() -> impl Strategy<Value = Expression> {
    prop::collection::vec(name(), 1..4).prop_map(|names| Expression::Path(Path { names, at: Place::default() }))
}

fn expression() -> impl Strategy<Value = Expression> {
    let functions = vec![
        Function::Count,
        Function::CountDistinct,
        Function::Sum,
        Function::Avg,
        Function::Max,
        Function::CalendarMonth,
        Function::DayOnly,
        Function::ToLabel,
        Function::Format,
    ];
    prop_oneof![
        3 => path(),
        1 => (prop::sample::select(functions), path(), any::<bool>()).prop_map(|(function, path, twice)| {
            let call = |function, argument| {
                Expression::Call(Call { function, argument: Some(Box::new(argument)), at: Place::default() })
            };
            if twice { call(Function::Format, call(function, path)) } else { call(function, path) }
        }),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    let span =
        (prop::sample::select(vec![Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year]), 0..3, 0..500);
    let span = span.prop_map(|(unit, form, n): (Unit, i32, i32)| match form {
        0 => DateSpan { unit, from: -n, to: if unit == Unit::Day { 0 } else { -1 } },
        1 => DateSpan { unit, from: 1, to: n },
        _ => DateSpan { unit, from: -n, to: -n },
    });
    let instant = (-10_000_000_000_i64..10_000_000_000, 0..1000_u32);
    let instant = instant.prop_map(|(seconds, ms)| chrono::DateTime::from_timestamp(seconds, ms * 1_000_000).unwrap());
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        "\\PC{0,12}".prop_map(Value::Text),
        "[ab'\\\\\n\t_%]{0,6}".prop_map(Value::Text),
        "-?[0-9]{1,20}(\\.[0-9]{1,5})?(e-?[0-9]{1,3})?".prop_map(Value::Number),
        instant.clone().prop_map(|at| Value::Date(at.date_naive())),
        instant.clone().prop_map(Value::DateTime),
        instant.prop_map(|at| Value::Time(at.time())),
        span.prop_map(Value::Dates),
    ];
    value.prop_map(|value| Literal { value, at: Place::default() })
}

fn pattern() -> impl Strategy<Value = Literal> {
    let part = prop_oneof![
        prop::char::range('!', 'ž').prop_map(PatternPart::Char),
        prop::sample::select(vec!['\'', '\\', '_', '%', '\n']).prop_map(PatternPart::Char),
        Just(PatternPart::One),
        Just(PatternPart::Many),
    ];
    prop::collection::vec(part, 0..6)
        .prop_map(|parts| Literal { value: Value::Pattern(Pattern(parts)), at: Place::default() })
}

fn simple() -> impl Strategy<Value = Condition> {
    let comparison = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ]);
    let list = || prop::collection::vec(literal(), 1..4);
    prop_oneof![
        (expression(), comparison, literal()).prop_map(|(left, comparison, right)| Condition::Compare {
            left,
            comparison,
            right
        }),
        (expression(), pattern()).prop_map(|(left, right)| Condition::Compare {
            left,
            comparison: Comparison::Like,
            right
        }),
        (expression(), any::<bool>(), list()).prop_map(|(left, negated, list)| Condition::In {
            left,
            negated,
            set: Set::List(list)
        }),
        (expression(), any::<bool>(), list()).prop_map(|(left, negated, values)| Condition::Includes {
            left,
            negated,
            values
        }),
    ]
}

pub fn condition() -> impl Strategy<Value = Condition> {
    simple().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn selected() -> impl Strategy<Value = Selected> {
    let group = prop::sample::select(vec![FieldGroup::All, FieldGroup::Custom, FieldGroup::Standard]);
    prop_oneof![
        5 => (expression(), alias()).prop_map(|(what, alias)| Selected::Value { what, alias }),
        1 => group.prop_map(|group| Selected::Fields(group, Place::default())),
    ]
}

/// Without subqueries.
fn plain() -> impl Strategy<Value = Query> {
    let order = (expression(), any::<bool>(), any::<bool>()).prop_map(|(by, descending, nulls_last)| Order {
        by,
        descending,
        nulls_last,
    });
    let tail = (
        prop::collection::vec(expression(), 0..3),
        prop::option::of(condition()),
        prop::collection::vec(order, 0..3),
        prop::option::of(0_usize..5_000),
        0_usize..3_000,
    );
    let select = prop::collection::vec(selected(), 1..4);
    (select, named(), alias(), prop::option::of(condition()), tail).prop_map(
        |(select, from, alias, filter, (group, having, order, limit, offset))| Query {
            select,
            from,
            alias,
            filter,
            group,
            having,
            order,
            limit,
            offset,
        },
    )
}

pub fn query() -> impl Strategy<Value = Query> {
    let whole = (plain(), prop::option::of(plain()), prop::option::of(plain()));
    whole.prop_map(|(mut query, children, semi_join)| {
        query.select.extend(children.map(|children| Selected::Children(Box::new(children))));
        if let Some(inner) = semi_join {
            let left = Expression::Path(Path { names: vec!["Id".into()], at: Place::default() });
            query.filter = Some(Condition::In { left, negated: false, set: Set::Query(Box::new(inner)) });
        }
        query
    })
}
