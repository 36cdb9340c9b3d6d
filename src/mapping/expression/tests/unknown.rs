//! What an event does not carry: `U` and `V` are not known, `Yes`, `No`, `N` and `T` are.

use serde_json::json;

use super::*;

fn part() -> Given {
    given(json!({"Yes": true, "No": false, "N": 0, "T": "text", "Nil": null, "L": "a;b"}))
}

#[test]
fn logic_settles_what_it_can_in_either_order_and_a_branch_not_taken_is_not_asked() {
    for (source, wanted) in [
        ("No && U", json!(false)),
        ("U && No", json!(false)),
        ("Yes || U", json!(true)),
        ("U || Yes", json!(true)),
        ("U == 1 && V == 2 && No", json!(false)),
        ("!(U == 1 && No)", json!(true)),
        ("(U == 1 || Yes) && (No || Yes)", json!(true)),
        ("Yes ? 1 : U", json!(1)),
        ("No ? U : 2", json!(2)),
        ("coalesce(T, U)", json!("text")),
        ("default(T, U)", json!("text")),
        ("[1, 2].exists(x, x == 2 || U == x)", json!(true)),
        ("[1, 2].all(x, x == 2 && U == x)", json!(false)),
        // What fails on one side is settled by the other, too.
        ("1 / N > 1 && No", json!(false)),
        ("Yes || T > 1", json!(true)),
        ("has(change.user)", json!(false)),
        ("has(change.user) && change.user == \"x\"", json!(false)),
        ("change.user == \"x\" && No", json!(false)),
    ] {
        assert_eq!(compile(source).evaluate(&part()).map(json_of), Ok(wanted), "{source}");
    }
}

#[test]
fn what_no_logic_settles_must_be_read() {
    for source in [
        "U",
        "U && Yes",
        "Yes && U",
        "U || No",
        "No || U",
        "U ? 1 : 1",
        "Yes ? U : 1",
        "has(U)",
        "!has(U)",
        "blank(U)",
        "default(U, 1)",
        "default(Nil, U)",
        "coalesce(Nil, U, T)",
        "null_if(U, 1)",
        "U == null",
        "U != U",
        "T in [\"a\", U]",
        "T in {\"text\": U}",
        "{\"text\": 1, \"b\": U}[T]",
        "U.City",
        "upper(U)",
        "matches(U, \"x\")",
        "contains(Nil, U)",
        "[1].map(x, U)[0]",
        "[1, 2].exists(x, U == x)",
        "U.exists(x, true)",
        "hash(U)",
        // A failure beside what is not known: the whole record may settle it otherwise.
        "1 / N > 1 && U",
        "U && 1 / N > 1",
        "[1 / N, U][0]",
        "1 / N + U",
        "U + 1 / N",
        "min(T, N, U)",
        "change.user == \"x\" && U",
        "U && change.user == \"x\"",
    ] {
        let path = if source == "U.City" { "U.City" } else { "U" };
        let wanted = Unevaluated::Unknown(path.parse().unwrap());
        assert_eq!(compile(source).evaluate(&part()), Err(wanted), "{source}");
    }
}

#[test]
fn a_read_stands_for_no_event() {
    for source in [
        "change.user",
        "change.kind == \"UPDATE\"",
        "change.time > date(\"2024-01-01\")",
        "Yes && change.client == \"x\"",
    ] {
        assert_eq!(compile(source).evaluate(&part()), Err(Unevaluated::NoHeader), "{source}");
    }
}

fn json_of(value: Value) -> serde_json::Value {
    value.into()
}
