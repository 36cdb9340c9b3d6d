//! Where CEL and this language say the same, they are compared: the crate's own interpreter is the oracle.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;

fn numbers() -> BoxedStrategy<String> {
    let leaf = prop_oneof![select(vec!["N", "M", "0", "1", "-2", "3"]).prop_map(str::to_owned)];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), select(vec!["+", "-", "*", "%"]), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => inner.clone().prop_map(|a| format!("-({a})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("(T ? {a} : {b})")),
            1 => Just("size(S)".to_owned()),
            1 => Just("size([1, N].filter(x, x > 0))".to_owned()),
        ]
    })
    .boxed()
}

fn texts() -> BoxedStrategy<String> {
    let leaf = select(vec!["S", "R", "\"\"", "\"Zo\"", "'ë'"]).prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| (inner.clone(), inner).prop_map(|(a, b)| format!("({a} + {b})"))).boxed()
}

fn questions() -> BoxedStrategy<String> {
    let compared = select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        Just("T".to_owned()),
        (numbers(), compared.clone(), numbers()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        (texts(), compared, texts()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        (texts(), select(vec!["startsWith", "endsWith", "contains"]), texts())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (numbers(), numbers()).prop_map(|(a, b)| format!("({a} in [1, {b}])")),
        (texts(), texts()).prop_map(|(a, b)| format!("({a} in {{{b}: 1}})")),
        (select(vec!["all", "exists", "exists_one"]), numbers())
            .prop_map(|(f, a)| format!("[0, 1, N].{f}(x, x % 2 == {a})")),
        numbers().prop_map(|a| format!("([1, N].map(x, x + {a}) == [{a} + 1, N + {a}])")),
        texts().prop_map(|a| format!("({{{a}: 1}}[S] == 1)")),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), select(vec!["&&", "||"]), inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            1 => inner.clone().prop_map(|a| format!("!{a}")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn what_cel_says_is_said_here(source in questions(), n in -4i64..5, m in -4i64..5, s in select(vec!["", "Zo", "Zoë"]), t in any::<bool>()) {
        // What fails for every record is refused here before it is asked.
        let Ok(expression) = Expression::compile(&source) else { return Ok(()) };
        let given = given(json!({"N": n, "M": m, "S": s, "R": "ë", "T": t}));
        let mut context = cel::Context::default();
        context.add_variable_from_value("N", n);
        context.add_variable_from_value("M", m);
        context.add_variable_from_value("S", s);
        context.add_variable_from_value("R", "ë");
        context.add_variable_from_value("T", t);
        let theirs = cel::Program::compile(&source).unwrap().execute(&context);
        match (expression.holds(&given), theirs) {
            (Ok(ours), Ok(cel::Value::Bool(theirs))) => prop_assert_eq!(ours, theirs, "{}", source),
            (Err(Unevaluated::Failed { .. }), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{source}: {ours:?}, {theirs:?}"),
        }
    }
}
