use std::sync::Arc;

use super::*;
use crate::config::{IfMissing, SaveOptions};
use crate::event::{ObjectName, RecordId, Seq, Value};
use crate::org::{Lost, Refusal as OrgRefusal};
use crate::publish::{Cell, Cover, FlightId, Key, Lane, Manner, Reference, Source};
use crate::store::{Parent, PipelineId};

/// The delay of a record that was sent so many times.
const EACH: Duration = Duration::from_secs(1);
const TARGET: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Company {
    Alone,
    InCompany,
}
use Company::{Alone, InCompany};

fn object() -> ObjectName {
    "Account".parse().unwrap()
}

fn upsert() -> Call {
    Call::Upsert { object: object(), key_field: "Key__c".parse().unwrap(), options: SaveOptions::default() }
}

fn update() -> Call {
    Call::Update { object: object(), options: SaveOptions::default() }
}

fn delete() -> Call {
    Call::Delete { object: object() }
}

fn record_id(n: usize) -> RecordId {
    format!("001{n:012}").parse().unwrap()
}

fn write(n: usize, body: Body) -> Write {
    let source = Source { pipeline: PipelineId(1), record: record_id(n) };
    Write {
        key: Key::Record { object: object(), id: record_id(n) },
        key_field: "Key__c".parse().unwrap(),
        body,
        if_created: false,
        manner: Manner::default(),
        lock_keys: Vec::new(),
        waits_for: Vec::new(),
        covers: vec![Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false }],
    }
}

/// A batch of one, or with a neighbour behind it.
fn batch(call: Call, company: Company, first: Write, tries: u32) -> Batch {
    let mut writes = vec![first];
    if company == InCompany {
        writes.push(write(2, Body::Whole([].into())));
    }
    let tries = writes.iter().map(|_| tries).collect();
    Batch { flight: FlightId(1), call, lane: Lane::Collections, writes: Arc::new(writes), tries }
}

fn now() -> Instant {
    // One moment for all asserts of a thread.
    thread_local!(static NOW: Instant = Instant::now());
    NOW.with(|now| *now)
}

fn judged(batch: &Batch, answer: Result<Vec<SaveResult>, CallError>) -> Judgement {
    judge(batch, &answer, now(), Delays { record: |tries| EACH * (tries + 1), target: TARGET })
}

fn saved() -> SaveResult {
    SaveResult::Saved { id: record_id(9), created: None }
}

fn refused(code: &str, message: &str) -> SaveResult {
    SaveResult::Refused(OrgRefusal::new(RecordError::new(code, message, vec!["Name".to_owned()]), Vec::new()))
}

/// What becomes of the first write when its org refuses it; its neighbour is saved.
fn verdict(call: Call, company: Company, body: Body, tries: u32, code: &str) -> Verdict {
    let batch = batch(call, company, write(1, body), tries);
    let mut results = vec![refused(code, "")];
    results.extend((company == InCompany).then(saved));
    judged(&batch, Ok(results)).verdicts.remove(0)
}

fn whole() -> Body {
    Body::Whole([].into())
}

fn partial() -> Body {
    Body::Partial([].into())
}

fn again(tries: u32) -> Verdict {
    Verdict::Retry { at: now() + EACH * (tries + 1) }
}

#[track_caller]
fn assert_failed(verdict: Verdict, code: &str) {
    let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
    assert_eq!((refusal.state, refusal.code.as_str(), refusal.waits_for), (ParkedState::Failed, code, None));
    assert_eq!(refusal.fields, ["Name"]);
}

#[test]
fn a_saved_record_is_saved_and_after_a_delete_it_is_gone() {
    for (call, expected) in [
        (upsert(), Verdict::Saved { id: record_id(9), created: None }),
        (update(), Verdict::Saved { id: record_id(9), created: None }),
        (delete(), Verdict::Deleted),
    ] {
        assert_eq!(judged(&batch(call, Alone, write(1, whole()), 0), Ok(vec![saved()])).verdicts, [expected]);
    }
}

#[test]
fn each_record_has_its_own_verdict() {
    let batch = batch(update(), InCompany, write(1, partial()), 0);
    let judgement = judged(&batch, Ok(vec![refused("STRING_TOO_LONG", ""), saved()]));
    assert!(matches!(judgement.verdicts[..], [Verdict::Refused(_), Verdict::Saved { .. }]));
    assert_eq!((judgement.pause, judgement.remedy), (None, None));
}

#[test]
fn what_passes_by_itself_is_tried_again_for_a_long_time_but_not_for_ever() {
    for company in [Alone, InCompany] {
        for tries in [0, 3, 19] {
            let locked = Verdict::Locked { at: now() + EACH * (tries + 1), records: Vec::new() };
            assert_eq!(verdict(update(), company, partial(), tries, "UNABLE_TO_LOCK_ROW"), locked);
            assert_eq!(verdict(update(), company, partial(), tries, "TOO_MANY_APEX_REQUESTS"), again(tries));
        }
        assert_failed(verdict(update(), company, partial(), 20, "UNABLE_TO_LOCK_ROW"), "UNABLE_TO_LOCK_ROW");
    }
}

#[test]
fn what_passes_in_hours_is_a_failed_record_only_after_hours() {
    let later = Verdict::Retry { at: now() + WAIT };
    for tries in [0, WAIT_MAX - 1] {
        assert_eq!(verdict(update(), InCompany, partial(), tries, "ENTITY_IS_LOCKED"), later);
    }
    assert_failed(verdict(update(), InCompany, partial(), WAIT_MAX, "ENTITY_IS_LOCKED"), "ENTITY_IS_LOCKED");
}

#[test]
fn what_a_neighbour_can_cause_is_a_failed_record_only_after_it_failed_alone_again_and_again() {
    assert_eq!(verdict(update(), InCompany, partial(), 1_000, "UNKNOWN_EXCEPTION"), Verdict::Split);
    for tries in [0, 2] {
        assert_eq!(verdict(update(), Alone, partial(), tries, "UNKNOWN_EXCEPTION"), again(tries));
    }
    assert_failed(verdict(update(), Alone, partial(), 3, "UNKNOWN_EXCEPTION"), "UNKNOWN_EXCEPTION");
}

#[test]
fn locked_rows_of_a_batch_come_back_together_and_name_what_was_locked() {
    let mut batch = batch(update(), InCompany, write(1, partial()), 2);
    batch.tries = vec![2, 0];
    let said = "unable to obtain exclusive access to this record or 2 records: 001000000000007AAA,001000000000008AAA";
    let judgement = judged(&batch, Ok(vec![refused("UNABLE_TO_LOCK_ROW", said), refused("UNABLE_TO_LOCK_ROW", "")]));
    let at = now() + EACH * 3;
    let records = vec![record_id(7), record_id(8)];
    let expected = [Verdict::Locked { at, records }, Verdict::Locked { at, records: Vec::new() }];
    assert_eq!((judgement.verdicts.as_slice(), judgement.pause), (&expected[..], None));
}

#[test]
fn what_runs_into_a_limit_of_apex_goes_out_in_smaller_batches_and_fails_only_alone() {
    let limit = |company, tries, code, said: &str| {
        let mut results = vec![refused(code, said)];
        results.extend((company == InCompany).then(saved));
        judged(&batch(update(), company, write(1, partial()), tries), Ok(results)).verdicts.remove(0)
    };
    for (code, said) in [
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: System.LimitException: Too many SOQL queries: 101"),
        ("CANNOT_EXECUTE_FLOW_TRIGGER", "Apex CPU time limit exceeded"),
        ("QUERY_TIMEOUT", ""),
    ] {
        assert_eq!(limit(InCompany, 9, code, said), Verdict::TooMuch, "{code}");
        assert_eq!(limit(Alone, 0, code, said), again(0), "{code}");
        assert_failed(limit(Alone, ALONE_MAX, code, said), code);
    }
    let body = br#"[{"errorCode":"EXCEEDED_MAX_SIZE_REQUEST","message":"Jane"}]"#;
    for answer in [CallError::from_answer(413, None, b""), CallError::from_answer(400, None, body)] {
        let judgement = judged(&batch(update(), InCompany, write(1, partial()), 0), Err(answer));
        assert_eq!(judgement.verdicts, [Verdict::TooMuch, Verdict::TooMuch]);
    }
}

fn many(count: usize, body: &Body) -> Batch {
    let writes: Vec<Write> = (1..=count).map(|n| write(n, body.clone())).collect();
    Batch {
        flight: FlightId(1),
        call: update(),
        lane: Lane::Collections,
        tries: vec![0; count],
        writes: Arc::new(writes),
    }
}

#[test]
fn calls_that_are_refused_for_nobodys_fault_rest_but_not_for_one_record_among_good_ones() {
    let forbidden = || refused("INVALID_FIELD_FOR_INSERT_UPDATE", "");
    let answers = |count| (0..count).map(|_| forbidden()).collect::<Vec<_>>();
    assert_eq!(judged(&many(10, &partial()), Ok(answers(10))).hold, Some(WAIT));
    let mut one_saved = answers(9);
    one_saved.push(saved());
    assert_eq!(judged(&many(10, &partial()), Ok(one_saved)).hold, None);
    assert_eq!(judged(&many(9, &partial()), Ok(answers(9))).hold, None);
}

#[test]
fn what_should_meet_every_record_and_meets_one_among_good_ones_is_a_failed_record_in_the_end() {
    let among = |tries| {
        let mut of_two = many(2, &partial());
        of_two.tries = vec![tries, 0];
        judged(&of_two, Ok(vec![refused("INVALID_FIELD_FOR_INSERT_UPDATE", ""), saved()])).verdicts.remove(0)
    };
    assert_eq!(among(0), Verdict::Retry { at: now() + WAIT });
    assert_failed(among(HELD_MAX), "INVALID_FIELD_FOR_INSERT_UPDATE");
    // Where nobody is saved it is nobody's fault, however long.
    let all = judged(&many(2, &partial()), Ok(vec![refused("INVALID_FIELD_FOR_INSERT_UPDATE", ""); 2]));
    assert_eq!(all.verdicts, vec![Verdict::Held { at: now() + WAIT }; 2]);
}

#[test]
fn an_object_that_is_gone_holds_its_calls_and_an_org_that_is_locked_all() {
    for (status, code, holds) in [(404, "NOT_FOUND", true), (400, "INVALID_TYPE", true), (403, "ORG_LOCKED", false)] {
        let body = format!(r#"[{{"errorCode":"{code}","message":"Jane"}}]"#);
        let judgement = judged(&many(2, &partial()), Err(CallError::from_answer(status, None, body.as_bytes())));
        assert_eq!((judgement.hold, judgement.pause), (Some(WAIT).filter(|_| holds), Some(WAIT).filter(|_| !holds)));
        assert_eq!(judgement.verdicts, vec![Verdict::Held { at: now() }; 2], "{code}");
    }
}

#[test]
fn a_column_that_the_org_does_not_have_makes_no_failed_record() {
    let with = |field: &str| Body::Partial([(field.parse().unwrap(), Cell::Value(Value::Null))].into());
    let body = br#"[{"errorCode":"INVALID_FIELD","message":"No such column 'Old__c' on sobject of type Account"}]"#;
    let refusal = || Err(CallError::from_answer(400, None, body));
    let all_have_it = judged(&many(3, &with("Old__c")), refusal());
    assert_eq!((all_have_it.hold, all_have_it.verdicts), (Some(WAIT), vec![Verdict::Held { at: now() + WAIT }; 3]));
    assert!(all_have_it.remedy.is_some());
    // Whoever has it is found, and held; the others go on.
    let mut mixed = many(2, &with("Old__c"));
    mixed.writes = Arc::new(vec![write(1, with("Old__c")), write(2, with("New__c"))]);
    assert_eq!(judged(&mixed, refusal()).verdicts, [Verdict::Split, Verdict::Split]);
    let alone = judged(&many(1, &with("Other__c")), refusal());
    assert_eq!((alone.hold, alone.verdicts), (None, vec![Verdict::Held { at: now() + WAIT }]));
}

#[test]
fn a_record_that_was_twice_in_a_request_goes_out_apart() {
    let twice = |company| {
        let batch = batch(upsert(), company, write(1, whole()), 0);
        let message = "Duplicate external id specified: 1";
        judged(&batch, Ok(vec![refused("DUPLICATE_VALUE", message), saved()])).verdicts.remove(0)
    };
    assert_eq!(twice(InCompany), Verdict::Split);
    assert_failed(twice(Alone), "DUPLICATE_VALUE");
}

#[test]
fn a_target_record_that_is_gone_ends_a_delete_and_makes_an_update_look_for_it_anew() {
    for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"] {
        assert_eq!(verdict(delete(), InCompany, Body::Delete, 0, code), Verdict::Deleted, "{code}");
        // It names no field, or its id.
        for fields in [Vec::new(), vec!["Id".to_owned()]] {
            let refused = SaveResult::Refused(OrgRefusal::new(RecordError::new(code, "", fields), Vec::new()));
            let gone = judged(&batch(update(), Alone, write(1, whole()), 0), Ok(vec![refused]));
            assert_eq!(gone.verdicts, [Verdict::Gone], "{code}");
        }
        // An upsert has no row of its own to lose.
        assert_eq!(verdict(upsert(), InCompany, whole(), 0, code), Verdict::Split, "{code}");
        assert_eq!(verdict(upsert(), Alone, whole(), 0, code), again(0), "{code}");
        assert_failed(verdict(upsert(), Alone, whole(), 3, code), code);
    }
}

#[test]
fn an_update_that_names_what_is_gone_is_read_whole_once_and_is_then_a_failed_record() {
    for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"] {
        assert_eq!(verdict(update(), InCompany, partial(), 0, code), Verdict::Reread, "{code}");
        assert_failed(verdict(update(), InCompany, whole(), 0, code), code);
    }
}

#[test]
fn an_update_that_lacks_fields_is_read_whole_once() {
    assert_eq!(verdict(update(), InCompany, partial(), 0, "REQUIRED_FIELD_MISSING"), Verdict::Reread);
    assert_failed(verdict(upsert(), InCompany, whole(), 0, "REQUIRED_FIELD_MISSING"), "REQUIRED_FIELD_MISSING");
}

#[test]
fn what_no_repetition_helps_is_a_failed_record_at_once_with_the_orgs_words_as_evidence() {
    let batch = batch(update(), InCompany, write(1, partial()), 0);
    let results = vec![refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Name must not be Jane"), saved()];
    let verdict = judged(&batch, Ok(results)).verdicts.remove(0);
    assert!(matches!(&verdict, Verdict::Refused(refusal) if refusal.evidence == "Name must not be Jane"));
    assert_failed(verdict, "FIELD_CUSTOM_VALIDATION_EXCEPTION");
}

#[test]
fn a_refusal_that_would_meet_every_record_waits_and_says_what_is_wrong() {
    let batch = batch(update(), InCompany, write(1, partial()), 0);
    let judgement = judged(&batch, Ok(vec![refused("INVALID_FIELD_FOR_INSERT_UPDATE", "Jane"), saved()]));
    assert_eq!(judgement.verdicts[0], Verdict::Retry { at: now() + WAIT });
    let remedy = judgement.remedy.unwrap();
    assert!(remedy.contains("Account") && remedy.contains("INVALID_FIELD_FOR_INSERT_UPDATE"), "{remedy}");
    assert!(!remedy.contains("Jane"), "{remedy}");
}

#[test]
fn a_child_waits_for_the_parent_that_the_message_names() {
    let mut child = write(1, whole());
    let parent = |n| Parent { target_object: object(), record: record_id(n) };
    let reference =
        |n| Cell::Parent(Reference { parent: parent(n), by_key: None, link: None, if_missing: IfMissing::Wait });
    let fields = [("A__c", reference(5)), ("B__c", reference(6)), ("C__c", Cell::Value(Value::Null))];
    child.body = Body::Whole(fields.map(|(name, cell)| (name.parse().unwrap(), cell)).into());
    let waits_for = |child: &Write, key: &str| {
        let message = format!("Foreign key external ID: {key} not found for field Key__c in entity Account");
        let batch = batch(upsert(), Alone, child.clone(), 0);
        match judged(&batch, Ok(vec![refused("INVALID_FIELD", &message)])).verdicts.remove(0) {
            Verdict::Refused(refusal) => (refusal.state, refusal.waits_for),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(waits_for(&child, record_id(6).as_str()), (ParkedState::Waiting, Some(parent(6))));
    assert_eq!(waits_for(&child, record_id(5).as_str()), (ParkedState::Waiting, Some(parent(5))));
    assert_eq!(waits_for(&child, "something else"), (ParkedState::Waiting, Some(parent(5))));
    // What names no parent cannot wait for one.
    assert_eq!(waits_for(&write(1, whole()), "x"), (ParkedState::Failed, None));
}

#[test]
fn a_missing_parent_is_left_out_or_fails_the_record_where_that_is_wanted() {
    let parent = Parent { target_object: object(), record: record_id(5) };
    let verdict = |if_missing| {
        let mut child = write(1, whole());
        let reference = Reference { parent: parent.clone(), by_key: None, link: None, if_missing };
        child.body = Body::Whole([("A__c".parse().unwrap(), Cell::Parent(reference))].into());
        let message =
            format!("Foreign key external ID: {} not found for field Key__c in entity Account", parent.record);
        judged(&batch(upsert(), Alone, child, 0), Ok(vec![refused("INVALID_FIELD", &message)])).verdicts.remove(0)
    };
    for if_missing in [IfMissing::FillLater, IfMissing::Skip] {
        assert_eq!(verdict(if_missing), Verdict::Without(parent.clone()));
    }
    let Verdict::Refused(refusal) = verdict(IfMissing::Fail) else { panic!("it is not refused") };
    assert_eq!(
        (refusal.state, refusal.code.as_str(), refusal.waits_for),
        (ParkedState::Failed, "PARENT_MISSING", None)
    );
}

#[test]
fn a_target_that_does_not_work_is_left_alone_as_long_as_it_asks_for() {
    let batch = batch(update(), InCompany, write(1, partial()), 7);
    for (asked, pause) in [(None, TARGET), (Some(1), TARGET), (Some(60), Duration::from_secs(60))] {
        let error = CallError::from_answer(503, asked.map(Duration::from_secs), b"<html>");
        let judgement = judged(&batch, Err(error));
        assert_eq!(judgement.pause, Some(pause));
        assert_eq!(judgement.verdicts, [Verdict::Held { at: now() }, Verdict::Held { at: now() }]);
        assert_eq!(judgement.remedy, None);
    }
    assert_eq!(judged(&batch, Err(CallError::NotSent)).pause, Some(TARGET));
}

#[test]
fn after_a_lost_answer_each_record_goes_again_at_once_the_first_time_and_later_each_time_after() {
    for lost in [Lost::Cut, Lost::TimedOut, Lost::Count { sent: 2, got: 1 }, Lost::Unreadable { status: 200 }] {
        let mut batch = batch(update(), InCompany, write(1, partial()), 0);
        batch.tries = vec![0, 3];
        let judgement = judged(&batch, Err(CallError::Unknown(lost)));
        let expected = [Verdict::Unknown { at: now() }, Verdict::Unknown { at: now() + EACH * 4 }];
        assert_eq!((judgement.verdicts.as_slice(), judgement.pause), (&expected[..], None));
    }
}

#[test]
fn a_request_that_is_refused_for_what_it_holds_is_split_until_the_record_is_alone() {
    let body = br#"[{"errorCode":"JSON_PARSER_ERROR","message":"Jane","fields":["Name"]}]"#;
    let answer = || Err(CallError::from_answer(400, None, body));
    let together = judged(&batch(update(), InCompany, write(1, partial()), 0), answer());
    assert_eq!(together.verdicts, [Verdict::Split, Verdict::Split]);
    let mut alone = judged(&batch(update(), Alone, write(1, partial()), 0), answer());
    assert_eq!(alone.pause, None);
    let verdict = alone.verdicts.remove(0);
    assert!(matches!(&verdict, Verdict::Refused(refusal) if refusal.evidence == "Jane"));
    assert_failed(verdict, "JSON_PARSER_ERROR");
}

#[test]
fn a_request_that_a_person_must_mend_stops_the_target_and_says_what_to_do() {
    let body = br#"[{"errorCode":"STORAGE_LIMIT_EXCEEDED","message":"Jane"}]"#;
    let batch = batch(update(), InCompany, write(1, partial()), 0);
    let judgement = judged(&batch, Err(CallError::from_answer(403, None, body)));
    assert_eq!(judgement.verdicts, [Verdict::Held { at: now() }, Verdict::Held { at: now() }]);
    assert_eq!(judgement.pause, Some(WAIT));
    let remedy = judgement.remedy.unwrap();
    assert!(remedy.contains("STORAGE_LIMIT_EXCEEDED") && remedy.contains("storage is full"), "{remedy}");
    assert!(!remedy.contains("Jane"), "{remedy}");
}

#[test]
fn an_org_that_fails_again_and_again_on_one_record_is_asked_in_halves_until_that_one_is_alone() {
    let failed = || Err(CallError::Unknown(Lost::Failed { status: 500, errors: Vec::new() }));
    let tried = |company, tries| {
        let mut batch = batch(update(), company, write(1, partial()), tries);
        batch.tries.iter_mut().for_each(|known| *known = tries);
        judged(&batch, failed()).verdicts.remove(0)
    };
    assert!(matches!(tried(InCompany, 2), Verdict::Unknown { .. }));
    assert!(matches!(tried(InCompany, 3), Verdict::UnknownSplit { .. }));
    assert!(matches!(tried(Alone, 5), Verdict::Unknown { .. }));
    assert!(matches!(tried(Alone, 6), Verdict::Unexplained(refusal) if refusal.code == "HTTP_500"));
}

#[test]
fn a_delete_that_is_refused_for_its_children_waits_for_theirs() {
    let refused = "DELETE_FAILED";
    assert_eq!(verdict(delete(), InCompany, Body::Delete, 0, refused), again(0));
    assert_failed(verdict(delete(), InCompany, Body::Delete, ALONE_MAX, refused), refused);
}

fn refused_with(error: RecordError, write: Write) -> Refusal {
    let batch = batch(upsert(), Alone, write, ALONE_MAX);
    let answer = vec![SaveResult::Refused(OrgRefusal::new(error, Vec::new()))];
    match judged(&batch, Ok(answer)).verdicts.remove(0) {
        Verdict::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_that_another_record_holds_is_told_from_other_unique_fields_and_names_the_holder() {
    let holder = "001000000000007";
    let says = |field: &str| format!("duplicate value found: {field} duplicates value on record with id: {holder}");
    for (fields, said) in [
        (vec!["Key__c".to_owned()], "duplicate value found: <unknown>".to_owned()),
        (vec![], says("Key__c")),
        (vec!["key__c".to_owned()], says("key__c")),
    ] {
        let error = RecordError::new("DUPLICATE_VALUE", &said, fields);
        let refusal = refused_with(error, write(1, whole()));
        assert_eq!(
            (refusal.code.as_str(), refusal.state, &refusal.fields[..]),
            (KEY_TAKEN, ParkedState::Failed, &["Key__c".to_owned()][..])
        );
        assert_eq!(
            refusal.evidence.contains(&format!("the record {holder} ")),
            said.contains(holder),
            "{}",
            refusal.evidence
        );
        assert!(refusal.evidence.contains("redrive") && refusal.evidence.ends_with(&said), "{}", refusal.evidence);
    }
    for field in ["Other_Key__c", "Phone"] {
        let error = RecordError::new("DUPLICATE_VALUE", &says(field), vec![field.to_owned()]);
        let refusal = refused_with(error, write(1, whole()));
        assert_eq!((refusal.code.as_str(), &refusal.fields[..]), ("DUPLICATE_VALUE", &[field.to_owned()][..]));
    }
}

#[test]
fn a_key_that_several_records_hold_names_them_all() {
    let said = "Account: more than one record found for external id field: [001000000000007AAA, 001000000000008AAA]";
    let refusal = refused_with(RecordError::new("DUPLICATE_EXTERNAL_ID", said, Vec::new()), write(1, whole()));
    assert_eq!(refusal.code, KEY_TAKEN);
    assert!(refusal.evidence.contains("the records 001000000000007AAA, 001000000000008AAA"), "{}", refusal.evidence);
}

#[test]
fn a_key_that_is_taken_holds_no_neighbours_and_is_tried_a_few_times_only() {
    let taken = || {
        let said = "duplicate value found: Key__c duplicates value on record with id: 001000000000007";
        SaveResult::Refused(OrgRefusal::new(
            RecordError::new("DUPLICATE_VALUE", said, vec!["Key__c".into()]),
            Vec::new(),
        ))
    };
    let in_company = batch(update(), InCompany, write(1, whole()), 0);
    let verdicts = judged(&in_company, Ok(vec![taken(), saved()])).verdicts;
    assert_eq!(verdicts, [Verdict::Split, Verdict::Saved { id: record_id(9), created: None }]);
    for tries in 0..ALONE_MAX {
        let alone = batch(update(), Alone, write(1, whole()), tries);
        assert_eq!(judged(&alone, Ok(vec![taken()])).verdicts, [again(tries)]);
    }
    let last = batch(update(), Alone, write(1, whole()), ALONE_MAX);
    assert!(
        matches!(&judged(&last, Ok(vec![taken()])).verdicts[0], Verdict::Refused(refusal) if refusal.code == KEY_TAKEN)
    );
}
