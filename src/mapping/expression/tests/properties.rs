//! What holds for every source and every record.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const FIELDS: [&str; 6] = ["A", "B", "C", "D.City", "E", "F"];

/// Expressions of all kinds over all kinds of values, most of them nonsense that fails.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => select(FIELDS.to_vec()).prop_map(str::to_owned),
        1 => select(vec!["1", "0", "2.50", "-3", "\"x\"", "\"a;b\"", "\"2024-01-31\"", "true", "false", "null", "x", "change.user"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let operators = select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in"]);
        prop_oneof![
            3 => (inner.clone(), select(vec!["&&", "||"]), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            3 => (inner.clone(), operators, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{{{a}: {b}}}[{c}]")),
            1 => (inner.clone(), select(vec!["map", "filter", "all", "exists", "exists_one"]), inner.clone())
                .prop_map(|(a, f, b)| format!("split({a}, \";\").{f}(x, {b})")),
            2 => (inner.clone(), select(vec!["has", "blank", "upper", "text", "number", "size", "date", "year", "id18", "hash", "mask", "abs", "round"]))
                .prop_map(|(a, f)| format!("{f}({a})")),
            2 => (inner.clone(), inner, select(vec!["default", "coalesce", "null_if", "contains", "left", "min", "add_days", "days_between", "join", "split"]))
                .prop_map(|(a, b, f)| format!("{f}({a}, {b})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let json = |text: &'static str| serde_json::from_str::<serde_json::Value>(text).map(Value::from).unwrap();
    prop_oneof![
        2 => Just(Value::Null),
        3 => any::<bool>().prop_map(Value::Bool),
        2 => select(vec!["0", "1", "2.5", "-7", "99999999999999999999999999999999", "0.00000000000000000000000000000000001", "1e300"]).prop_map(json),
        2 => select(vec!["", " ", "x", "a;b;c", "Zoë", "5", "2024-01-31", "2024-01-31T10:15:00Z", "0000-01-01T00:00:00+23:59", "9999-12-31", "001D000000IqhSL", "T👍T"])
            .prop_map(Value::text),
        1 => ".{0,12}".prop_map(Value::text),
        1 => Just(Value::Compound([("City".to_owned(), Value::text("Bern"))].into())),
    ]
}

fn record() -> impl Strategy<Value = Given> {
    (prop::collection::vec(value(), FIELDS.len()), any::<bool>()).prop_map(|(values, event)| Given {
        fields: FIELDS.iter().map(|name| (*name).to_owned()).zip(values).collect(),
        header: event.then(header),
        key: true,
    })
}

fn outcome_of(source: &str, given: &Given) -> Option<Result<Value, Unevaluated>> {
    Expression::compile(source).ok().map(|expression| expression.evaluate(given))
}

proptest! {
    /// So a change that carries only some fields is mapped as the whole record would be.
    #[test]
    fn an_answer_on_part_of_a_record_is_the_answer_on_the_whole(
        source in expression(),
        whole in record(),
        known in subsequence(FIELDS.to_vec(), 0..FIELDS.len()),
    ) {
        let Ok(expression) = Expression::compile(&source) else { return Ok(()) };
        let mut part = whole.clone();
        part.fields.retain(|name, _| known.contains(&name.as_str()));
        match expression.evaluate(&part) {
            Err(Unevaluated::Unknown(path)) => {
                prop_assert!(!part.fields.contains_key(path.as_str()));
                prop_assert!(expression.reads().contains(&path));
            }
            answer => prop_assert_eq!(answer, expression.evaluate(&whole), "{}", source),
        }
    }

    #[test]
    fn on_a_whole_record_nothing_is_unknown_and_failures_name_fields_that_are_read(source in expression(), whole in record()) {
        let Ok(expression) = Expression::compile(&source) else { return Ok(()) };
        match expression.evaluate(&whole) {
            Err(Unevaluated::Unknown(path)) => prop_assert!(path.as_str() == "x", "{path} in {source}"),
            Err(Unevaluated::NoHeader) => prop_assert!(expression.reads_header() && whole.header.is_none()),
            Err(Unevaluated::Failed { inputs, .. }) => {
                prop_assert!(inputs.iter().all(|path| expression.reads().contains(path)));
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn no_source_of_words_of_the_language_panics(
        words in prop::collection::vec(select(vec![
            "A", "B.City", "change", ".", "user", "(", ")", "[", "]", "{", "}", ",", ":", "?", "+", "-", "*", "/", "%", "==", "!=", "<",
            "&&", "||", "!", "in", "1", "2.5", "0x1F", "1u", "'a'", "\"b\"", "r'\\d'", "b'x'", "'''t'''", "null", "true", "has", "map",
            "filter", "exists", "default", "upper", "matches", "date", "\n", "// c", "AND", "=", "`A`", "ä", "\\", "_", "1e999", "?.", "x",
        ]), 0..25),
        spaced in any::<bool>(),
        whole in record(),
    ) {
        let source = words.join(if spaced { " " } else { "" });
        outcome_of(&source, &whole);
    }

    #[test]
    fn no_mutation_of_a_good_source_panics_and_every_problem_has_its_place(
        source in prop_oneof![expression(), select(FUNCTIONS.iter().map(|function| function.example.to_owned()).collect::<Vec<_>>())],
        at in any::<prop::sample::Index>(),
        removed in 0usize..4,
        put in ".{0,3}",
        whole in record(),
    ) {
        let mut characters: Vec<char> = source.chars().collect();
        let from = at.index(characters.len() + 1);
        let to = (from + removed).min(characters.len());
        characters.splice(from..to, put.chars());
        let mutated: String = characters.into_iter().collect();
        if let Err(problems) = Expression::compile(&mutated) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(mutated.get(problem.span.clone()).is_some(), "{:?} in {}", problem, mutated);
                prop_assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
            }
        } else {
            outcome_of(&mutated, &whole);
        }
    }

    #[test]
    fn no_text_panics(source in ".{0,60}") {
        outcome_of(&source, &Given::default());
    }

    /// Passed through, it keeps every digit.
    #[test]
    fn numbers_come_out_as_they_went_in(text in "-?[0-9]{1,40}(\\.[0-9]{1,40})?") {
        let value = Value::Number(text.parse().unwrap());
        let given = Given { fields: [("A".to_owned(), value.clone())].into(), ..Given::default() };
        for source in ["A", "coalesce(null, A)", "true ? A : 0", "[A][0]", "{1: A}[1]"] {
            prop_assert_eq!(outcome_of(source, &given), Some(Ok(value.clone())), "{}", source);
        }
        prop_assert_eq!(outcome_of("A == number(text(A)) && A <= A && !(A < A)", &given), Some(Ok(Value::Bool(true))));
    }

    #[test]
    fn any_two_numbers_have_one_order(one in "-?[0-9]{1,34}(\\.[0-9]{1,34})?", other in "-?[0-9]{1,34}(\\.[0-9]{1,34})?") {
        let given = Given {
            fields: [("A", &one), ("B", &other)].into_iter().map(|(name, text)| (name.to_owned(), Value::Number(text.parse().unwrap()))).collect(),
            ..Given::default()
        };
        let holds = |source: &str| compile(source).holds(&given).unwrap();
        prop_assert_eq!([holds("A < B"), holds("A == B"), holds("A > B")].iter().filter(|holds| **holds).count(), 1);
        let scaled = |text: &str| -> i128 {
            // The first 15 digits tell, where they differ.
            (text.parse::<f64>().unwrap() * 1e3).clamp(-1e37, 1e37) as i128
        };
        if (scaled(&one) - scaled(&other)).unsigned_abs() > scaled(&one).unsigned_abs() / 1_000_000_000 + 1 {
            prop_assert_eq!(holds("A < B"), scaled(&one) < scaled(&other));
        }
    }
}
