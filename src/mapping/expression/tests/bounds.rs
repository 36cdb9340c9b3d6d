//! What an expression may cost.

use serde_json::json;
use tokio::time::Instant;

use super::*;

fn deepest() -> Vec<String> {
    let nested = |open: &str, within: &str, close: &str, count: usize| {
        format!("{}{within}{}", open.repeat(count), close.repeat(count))
    };
    vec![
        nested("upper(", "T", ")", MAX_DEPTH - 1),
        nested("default(N, ", "T", ")", MAX_DEPTH - 1),
        nested("[", "T", "][0]", MAX_DEPTH / 2 - 1),
        nested("B ? 1 : ", "T", "", MAX_DEPTH - 1),
        nested("{1: ", "T", "}[1]", MAX_DEPTH / 2 - 1),
        nested("!(", "B", ")", MAX_DEPTH / 2 - 1),
        vec!["T"; MAX_DEPTH].join(" + "),
        format!("T{}", ".upper()".repeat(MAX_DEPTH - 2)),
        nested("(B && ", "B", ")", MAX_DEPTH - 1),
        nested("[1].map(x, ", "[1].map(y, T)[0]", ")[0]", 1),
    ]
}

/// A quarter of what a worker thread of the runtime has; measured in a build without optimisation.
#[test]
fn the_deepest_expression_fits_a_small_stack() {
    let given = given(json!({"T": "t", "B": true, "N": null}));
    for source in deepest() {
        let given = given.clone();
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let evaluated =
            thread.spawn(move || compile(&source).evaluate(&given).map(|_| source)).unwrap().join().unwrap();
        assert!(evaluated.is_ok(), "{evaluated:?}");
    }
}

#[test]
fn a_nest_of_long_lists_and_texts_ends_as_a_failure() {
    let text = "a,".repeat(60_000);
    let given = given(json!({"T": text, "S": "aaaaaaaaaa"}));
    for source in [
        "split(T, \",\").map(x, split(T, \",\").map(y, x + y)).size()",
        "split(T, \",\").map(x, replace(T, \"a\", \"bb\")).size()",
        "split(T, \",\").all(x, split(T, \",\").all(y, x == y || true))",
        "split(T, \",\").map(x, T).map(y, T + T).map(z, size(z)).size()",
        "split(T, \",\").exists(x, matches(T, \"(a|,)+b\"))",
    ] {
        let Err(Unevaluated::Failed { reason, .. }) = compile(source).evaluate(&given) else { panic!("{source}") };
        assert!(reason.contains("too many steps"), "{source}: {reason}");
    }
    for source in ["replace(T, \"a\", T)", "pad_left(S, 1000000000, \"x\")", "join([T, T, T, T, T, T, T, T, T], \",\")"]
    {
        let Err(Unevaluated::Failed { reason, .. }) = compile(source).evaluate(&given) else { panic!("{source}") };
        assert!(reason.contains("more than 1000000 characters"), "{source}: {reason}");
    }
    // What fits a field is reckoned with.
    assert_eq!(compile("size(split(T, \",\"))").evaluate(&given).map(json), Ok(json!(60_001)));
    assert_eq!(compile("split(T, \",\").filter(x, x == \"b\").size()").evaluate(&given).map(json), Ok(json!(0)));
}

/// `cargo test -p orgbridge --lib -- --ignored --nocapture nanoseconds`
#[test]
#[ignore = "a measurement"]
fn nanoseconds_for_an_evaluation() {
    let given = given(json!({
        "Industry": "Banking", "Amount": 5.5, "Name": "Acme", "FirstName": "Ann", "LastName": "Lee",
        "CreatedDate": "2024-01-31T10:15:00.000Z", "Interests__c": "Golf;Chess",
    }));
    for source in [
        "Industry != \"Test\"",
        "Amount * 1.19",
        "Amount > 1000 && Industry in [\"Banking\", \"Energy\"]",
        "{\"Banking\": \"B\", \"Energy\": \"E\"}[Industry]",
        "join([FirstName, LastName], \" \")",
        "format_date(add_days(CreatedDate, 30), \"yyyy-MM-dd\")",
        "split(Interests__c, \";\").exists(i, i == \"Chess\")",
        "hash(Name)",
    ] {
        let compiling = Instant::now();
        let expression = compile(source);
        let compiled = compiling.elapsed();
        let rounds = 20_000;
        let started = Instant::now();
        for _ in 0..rounds {
            assert!(expression.evaluate(&given).is_ok());
        }
        println!("{:>7} ns, compiled in {compiled:?}: {source}", started.elapsed().as_nanos() / rounds);
    }
}
