use super::*;

#[test]
fn one_call_comes_after_the_other_until_one_comes_to_nothing() {
    let done = || Called::all(2, &Outcome::Done { answer: Map::new() });
    assert!(!done().ends_it());
    let unknown = || Called::all(1, &Outcome::Unknown(Why::new(TIMED_OUT, "")));
    assert!(unknown().ends_it());
    let paused = Called::paused(1, Why::new("X", ""), Duration::from_secs(7));
    assert!(paused.ends_it());
    let mut called = done();
    called.and(unknown());
    called.and(paused);
    assert_eq!((called.outcomes.len(), called.pause, called.remedy), (4, Some(Duration::from_secs(7)), None));
}

#[test]
fn what_was_said_is_cut_and_never_printed() {
    let why = Why::new("CODE", &"s".repeat(3_000));
    assert_eq!(why.evidence.len(), 2_000);
    let shown = format!("{:?} {why:?}", Outcome::Refused(why.clone()));
    assert!(shown.contains("CODE") && !shown.contains("sss"), "{shown}");
}
