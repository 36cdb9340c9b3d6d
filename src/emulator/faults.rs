//! Scripted faults of one org: what goes wrong, how often, drawn from the org's seed.
//!
//! Faults strike writes and deletes; with `reads` also reads and queries are refused and cut. What the request of a
//! cut line wanted may be done, not done yet, or never done: the client cannot tell, and that is the point.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The script, as `/emulator/faults` shows and takes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    pub refuse: Option<Refuse>,
    /// So many per cent of the records fail with UNABLE_TO_LOCK_ROW.
    pub lock_percent: f64,
    /// The work is done, then the line is cut.
    pub do_then_cut_percent: f64,
    /// The line is cut now and the work is done later.
    pub cut_then_apply: Option<Delayed>,
    /// The work is done now and the answer comes later.
    pub answer_late: Option<Delayed>,
    /// Writes wait until this is false again.
    pub hold: bool,
    /// Reads and queries are refused and cut as well.
    pub reads: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    #[serde(rename = "as")]
    pub kind: RefuseAs,
    #[serde(default = "always")]
    pub percent: f64,
    /// Seconds for a `Retry-After` header.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseAs {
    #[serde(rename = "503")]
    Unavailable,
    #[serde(rename = "REQUEST_LIMIT_EXCEEDED")]
    LimitExceeded,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delayed {
    #[serde(default = "always")]
    pub percent: f64,
    /// The shortest and the longest delay.
    pub delay_ms: [u64; 2],
}

fn always() -> f64 {
    100.0
}

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    Normal,
    Refuse(RefuseAs, Option<u64>),
    DoThenCut,
    CutThenApply(Duration),
    AnswerLate(Duration),
}

#[derive(Debug)]
pub struct Faults {
    script: Script,
    rng: fastrand::Rng,
}

impl Faults {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { script: Script::default(), rng }
    }

    pub fn script(&self) -> &Script {
        &self.script
    }

    pub fn clear(&mut self) {
        self.script = Script::default();
    }

    /// Lays the given keys over the script; null takes one out.
    ///
    /// # Errors
    /// What is wrong with the JSON; the script is then as before.
    pub fn merge(&mut self, changes: Json) -> Result<(), String> {
        let Json::Object(changes) = changes else { return Err("expected a JSON object".into()) };
        let mut script = serde_json::to_value(&self.script).map_err(|error| error.to_string())?;
        if let Some(script) = script.as_object_mut() {
            for (key, value) in changes {
                if value.is_null() {
                    script.remove(&key);
                } else {
                    script.insert(key, value);
                }
            }
        }
        self.script = serde_json::from_value(script).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Draws what happens to the next request.
    pub fn plan(&mut self, write: bool) -> Plan {
        let script = self.script.clone();
        if !write && !script.reads {
            return Plan::Normal;
        }
        if let Some(refuse) = &script.refuse
            && self.strikes(refuse.percent)
        {
            return Plan::Refuse(refuse.kind, refuse.retry_after);
        }
        if self.strikes(script.do_then_cut_percent) {
            return Plan::DoThenCut;
        }
        if !write {
            return Plan::Normal;
        }
        if let Some(later) = &script.cut_then_apply
            && self.strikes(later.percent)
        {
            return Plan::CutThenApply(self.delay(later));
        }
        if let Some(later) = &script.answer_late
            && self.strikes(later.percent)
        {
            return Plan::AnswerLate(self.delay(later));
        }
        Plan::Normal
    }

    /// Which of so many records are locked.
    pub fn locks(&mut self, records: usize) -> Vec<bool> {
        let percent = self.script.lock_percent;
        (0..records).map(|_| self.strikes(percent)).collect()
    }

    fn strikes(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.rng.f64() * 100.0 < percent
    }

    fn delay(&mut self, delayed: &Delayed) -> Duration {
        let [least, most] = delayed.delay_ms;
        Duration::from_millis(if most > least { self.rng.u64(least..=most) } else { least })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(script: Json) -> Faults {
        let mut faults = Faults::new(fastrand::Rng::with_seed(1));
        faults.merge(script).unwrap();
        faults
    }

    #[test]
    fn keys_are_laid_over_the_script_and_null_takes_one_out() {
        let mut faults = faults(json!({"lock_percent": 5, "refuse": {"as": "503"}}));
        faults.merge(json!({"hold": true, "refuse": null})).unwrap();
        assert_eq!(faults.script(), &Script { lock_percent: 5.0, hold: true, ..Script::default() });
    }

    #[test]
    fn a_script_that_cannot_be_read_changes_nothing() {
        let mut faults = faults(json!({"lock_percent": 5}));
        for bad in [json!({"lock_procent": 5}), json!({"refuse": {"as": "404"}}), json!([])] {
            assert!(faults.merge(bad).is_err());
        }
        assert_eq!(faults.script().lock_percent, 5.0);
    }

    #[test]
    fn reads_are_spared_unless_named() {
        let script = json!({"refuse": {"as": "REQUEST_LIMIT_EXCEEDED", "retry_after": 3}});
        let mut faults = faults(script);
        assert_eq!(faults.plan(true), Plan::Refuse(RefuseAs::LimitExceeded, Some(3)));
        assert_eq!(faults.plan(false), Plan::Normal);
        faults.merge(json!({"reads": true})).unwrap();
        assert_eq!(faults.plan(false), Plan::Refuse(RefuseAs::LimitExceeded, Some(3)));
    }

    #[test]
    fn about_the_named_share_of_records_is_locked() {
        let locked = faults(json!({"lock_percent": 10})).locks(10_000).into_iter().filter(|locked| *locked).count();
        assert!((800..1_200).contains(&locked), "{locked}");
    }
}
