//! What problems look like, and what they never show.

use super::*;

fn shown(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn remedy(piece: &str, other: &str) -> String {
    let problems = read(&with(piece, other)).unwrap_err();
    problems.problems()[0].remedy.clone()
}

#[test]
fn a_problem_is_shown_with_its_line_and_what_to_do() {
    assert_eq!(
        shown(&with("on_delete: ignore", "on_delete: delet")),
        "\
error: `on_delete` cannot be `delet`
  --> etc/bridge.yaml:20:16
   |
20 |     on_delete: delet
   |                ^^^^^
   |
   = help: did you mean `delete`?

1 problem in etc/bridge.yaml"
    );
}

#[test]
fn colours_are_only_there_if_asked_for() {
    let problems = read(&with("version: 1", "version: 2")).unwrap_err();
    assert!(problems.render(true).contains('\u{1b}'));
    assert!(!problems.render(false).contains('\u{1b}'));
}

#[test]
fn a_remedy_names_what_was_probably_meant() {
    for (piece, other, expected) in [
        ("login_url", "login_uri", "did you mean `login_url`?"),
        ("parent: accounts", "parent: acounts", "did you mean `accounts`?"),
        (
            "channel: /data/ChangeEvents, object: Contact",
            "channel: /data/ContactChangeEvent, object: Lead__c",
            "the channel of `Lead__c` is /data/Lead__ChangeEvent",
        ),
        ("org: emea, channel: /data/ChangeEvents", "org: Emea, channel: /data/ChangeEvents", "did you mean `emea`?"),
        ("on_delete: ignore", "on_delete: ignored", "did you mean `ignore`?"),
        ("on_delete: ignore", "on_delete: remove", "write ignore or flag or delete"),
        (
            "on_delete: ignore",
            "on_delete: flag",
            "add `flag: Field__c` to the pipeline, a checkbox of the target object",
        ),
        (
            "acme.my.salesforce.com",
            "acme--uat.sandbox.lightning.force.com",
            "did you mean https://acme--uat.sandbox.my.salesforce.com?",
        ),
        (
            "https://acme.my.salesforce.com",
            "${BAD_URL}",
            "use the My Domain URL, https://MyDomain.my.salesforce.com (Setup > My Domain)",
        ),
        ("key: Emea_Id__c }", "key: emea_id__c }", "write it as under `fields`: Emea_Id__c"),
        ("key: Emea_Id__c }", "key: Hq_Id__c }", "add `Hq_Id__c: Id` to the pipeline's `fields`"),
        ("/data/ChangeEvents", "/data/AccountChangeEvent", "the channel of `Contact` is /data/ContactChangeEvent"),
        (
            "{ value: EMEA }",
            "{ find: Contact, by: Email }",
            "add `from:` with the source field that has the value, or `cel:`",
        ),
        (
            "{ value: EMEA }",
            "{ owner: '' }",
            "write the user name of a user (it has an @), or the developer name of a queue",
        ),
        ("{ value: EMEA }", "{ from: OwnerId, as: owner, match: federation }", "did you mean `federation_id`?"),
        ("{ value: EMEA }", "{ from: OwnerId, as: owner, fall_back: A }", "did you mean `fallback`?"),
        (
            "{ value: EMEA }",
            "{ from: Industry, match: email }",
            "it may have: from, table, default, write_on, on_null, truncate",
        ),
        ("version: 1", "version: 1\nversion: 1", "keep one of them; the first is in line 1"),
        ("${EMEA_KEY}", "${EMEA_KAY}", "set EMEA_KAY, or write $${ where you mean ${ itself"),
        ("consumer, secret", "${A}, secret", "between { and } a variable needs quotes: \"${NAME}\""),
        ("  hq:\n", "\thq:\n", "indent with blanks, not with tabs"),
        (
            "on_delete: ignore",
            "flag: { field: Gone__c, set: yes, I mean }",
            "between { and } a comma ends a value: put the value before it in quotes",
        ),
    ] {
        assert_eq!(remedy(piece, other), expected, "{other}");
    }
}

/// Every way in which somebody may have left a secret in a config that has some problem in the same line.
#[test]
fn no_problem_shows_a_secret() {
    const ORG: &str = "    client_credentials: { key: consumer, secret: { file: hq.secret } }";
    for org in [
        "    client_credentials: { key: consumer, secret: hunter3, more: x }",
        "    client_credentials: { secret: 'hunter3' }",
        "    client_credentials: { key: ${ }, secret: hunter3 }",
        "    client_credentials: { key: consumer, secret: \"x${NOT_SET}hunter3\" }",
        "    client_credentials: { key: consumer, secret: \"${hunter3\" }",
        "    client_credentials: { key: consumer, secret: [hunter3] }",
        "    client_credentials: { key: consumer, secret: { value: hunter3 } }",
        "    client_credentials: { key: consumer, secrets: hunter3 }",
        "    client_credentials: { key: consumer, sceret: hunter3 }",
        "    client_credentials: hunter3",
        "    client_secret: hunter3",
        "    client_credentials: { key: a, secret:hunter3 }",
        "    client_credentials: { key: a, secret=hunter3: x }",
        "    client_credentials: key=a secret=hunter3",
        "    secret=hunter3",
        "    client_credentials: { key: a, sceret: b, sceret: hunter3 }",
        "    client_credentials: { key: a, [b]: hunter3 }",
        "    client_credentials: { key: a, secret: b }\n--- { secret: hunter3 }",
        "    password: hunter3",
        "    login: { access_token: hunter3 }",
        "    client_credentials: { key: a, secret: b, secret: hunter3 }",
        "    client_credentials: { key: consumer, secret: ${",
        "    client_credentials:\n      secret: ${NOT_SET} # was hunter3",
        "    client_credentials:\n      secret: |\n        hunter3\n     bad: [",
        "    client_credentials:\n      secret: \"hunter3\n  on: {",
        "    client_credentials:\n      secret: \"hunter3",
        "    client_credentials:\n      secret: !x hunter3",
        "    client_credentials:\n      secret: hunter3: hunter3",
        "    client_credentials:\n      secret: hunter3 \n\t x: hunter3",
        "    client_credentials:\n      secret: @hunter3",
        "    client_credentials:\n      ? secret\n      : hunter3\n      : [",
        "    login_url: https://me:hunter3@hq.my.salesforce.com",
        "    login_uri: https://me:hunter3@hq.my.salesforce.com",
    ] {
        let problems = read(&with(ORG, org)).unwrap_err();
        for text in [problems.render(false), problems.render(true), format!("{problems:?}")] {
            assert!(!text.contains("hunter3"), "{org}\n{text}");
        }
    }
}

#[test]
fn what_a_variable_holds_is_not_shown() {
    for piece in [
        "https://acme.my.salesforce.com",
        "object: Account, start: tip",
        "channel: /data/ChangeEvents",
        "on_delete: ignore",
        "key: Emea_Id__c",
    ] {
        let key = piece.split_once(": ").map_or(String::new(), |(key, _)| format!("{key}: "));
        for value in ["hunter2", "https://hunter2.lightning.force.com", "hun ter2"] {
            let text = with(piece, &format!("{key}\"${{VALUE}}\"")).replace("${EMEA_", "${VALUE}${VALUE");
            let text = text.replace("${VALUEKEY}", "").replace("${VALUESECRET}", "");
            let env = |name: &str| (name == "VALUE").then(|| value.to_owned());
            let problems = parse(&text, Path::new("b.yaml"), &env, &file).unwrap_err().to_string();
            assert!(!problems.contains("hunter2") && !problems.contains("hun ter2"), "{problems}");
        }
    }
}

#[test]
fn hiding_a_secret_keeps_the_rest_of_the_line_and_its_place() {
    let text = with("secret: { file: hq.secret } }", "secret: a-very-long-one, more: x }");
    assert_eq!(
        shown(&text),
        "\
error: `client_credentials` has no key `more`
  --> etc/bridge.yaml:10:67
   |
10 |     client_credentials: { key: consumer, secret: ****, more: **** }
   |                                                        ^^^^
   |
   = help: it may have: key, secret

1 problem in etc/bridge.yaml"
    );
}
