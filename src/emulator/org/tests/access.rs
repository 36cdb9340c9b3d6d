//! What users may see and do.

use serde_json::json;

use super::*;

fn limited(org: &Org) -> Caller {
    Caller::new(org.user_by_name("LIMITED@one.example.com").unwrap().id.clone(), "")
}

fn attempt(org: &mut Org, caller: &Caller, write: Write) -> Result<Id, SaveError> {
    org.transact(caller, vec![Ok(write)], &Options::default(), NOW)?.remove(0).map(|saved| saved.id)
}

#[test]
fn an_object_permission_is_needed_for_each_kind_of_write() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A"}));
    let caller = limited(&org);
    let write = create(&org, "Account", json!({"Name": "B"}));
    assert_eq!(code(attempt(&mut org, &caller, write)), "INSUFFICIENT_ACCESS");
    let write = update(&org, &id, json!({"Name": "B"}));
    assert!(attempt(&mut org, &caller, write).is_ok());
    assert_eq!(code(attempt(&mut org, &caller, Write::Delete { id })), "INSUFFICIENT_ACCESS_OR_READONLY");
    assert!(org.can_see_object(&caller.user, object(&org, "Account")));
    assert!(!org.can_see_object(&caller.user, object(&org, "Lead")));
}

#[test]
fn a_hidden_field_is_not_there_and_a_read_only_one_is_not_written() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A"}));
    let caller = limited(&org);
    let write = update(&org, &id, json!({"AnnualRevenue": 1}));
    let error = attempt(&mut org, &caller, write).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("INVALID_FIELD", "No such column 'AnnualRevenue' on sobject of type Account")
    );
    let write = update(&org, &id, json!({"Industry": "Media"}));
    let error = attempt(&mut org, &caller, write).unwrap_err();
    assert_eq!((error.code, error.fields), ("INVALID_FIELD_FOR_INSERT_UPDATE", vec!["Industry".to_owned()]));
}

#[test]
fn a_field_that_is_hidden_at_run_time_is_back_when_it_is_shown_again() {
    let mut org = org();
    let user = org.integration_user();
    let (account, phone) = (object(&org, "Account"), field(&org, "Account", "Phone"));
    org.set_field_level(&user, account, phone, FieldLevel::Hidden);
    let write = create(&org, "Account", json!({"Name": "A", "Phone": "1"}));
    assert_eq!(code(try_one(&mut org, write.clone())), "INVALID_FIELD");
    org.set_field_level(&user, account, phone, FieldLevel::Editable);
    assert!(try_one(&mut org, write).is_ok());
}

#[test]
fn a_private_record_of_somebody_else_is_not_there() {
    let mut org = org();
    let caller = limited(&org);
    let theirs = made(&mut org, "Vault__c", json!({"Name": "A"}));
    let write = create(&org, "Vault__c", json!({"Name": "B"}));
    let own = attempt(&mut org, &caller, write).unwrap();
    let write = update(&org, &theirs, json!({"Name": "C"}));
    assert_eq!(code(attempt(&mut org, &caller, write)), "INVALID_CROSS_REFERENCE_KEY");
    let write = update(&org, &own, json!({"Name": "C"}));
    assert!(attempt(&mut org, &caller, write).is_ok());
}

#[test]
fn an_inactive_user_owns_nothing_new() {
    let mut org = org();
    let inactive = org.user_by_name("nils@one.example.com").unwrap().id.clone();
    let write = create(&org, "Account", json!({"Name": "A", "OwnerId": inactive.as_str()}));
    let error = try_one(&mut org, write).unwrap_err();
    assert_eq!(error.code, "INACTIVE_OWNER_OR_USER");
    assert_eq!(
        error.message,
        format!("operation performed with inactive user [{}] as owner of account", inactive.short())
    );
}

#[test]
fn a_user_who_is_deactivated_by_a_write_is_inactive() {
    let mut org = org();
    let olga = org.user_by_name("olga@one.example.com").unwrap().id.clone();
    let write = update(&org, &olga, json!({"IsActive": false}));
    try_one(&mut org, write).unwrap();
    assert!(!org.user(&olga).unwrap().active);
}
