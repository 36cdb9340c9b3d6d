//! Each rule by itself, and a simulated org with other clients.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const MAX: u64 = 1_000;

fn usage(used: u64, at: Instant) -> ApiUsage {
    ApiUsage { used, max: MAX, at, calls: 0 }
}

/// A governor that was told these counts, by the minute; and the time of the last one.
fn told(budget: ApiBudget, counts: &[(u32, u64)]) -> (Governor, Instant) {
    let start = Instant::now();
    let mut governor = Governor::new(budget, start);
    let mut now = start;
    for (minute, used) in counts {
        now = start + MINUTE * *minute;
        governor.observe(Some(usage(*used, now)), false);
    }
    (governor, now)
}

fn forecast(counts: &[(u32, u64)]) -> (Forecast, Instant) {
    let (governor, now) = told(ApiBudget::Percent(10), counts);
    (governor.figures(0).unwrap().forecast.unwrap(), now)
}

fn linger(counts: &[(u32, u64)]) -> Option<u64> {
    match told(ApiBudget::Percent(10), counts).0.allowance(0) {
        Allowance::Go => None,
        Allowance::Larger { linger } => Some(linger.as_secs()),
        Allowance::Wait { .. } => panic!("{counts:?}"),
    }
}

#[test]
fn before_the_org_has_said_anything_calls_are_made() {
    let governor = Governor::new(ApiBudget::default(), Instant::now());
    assert_eq!((governor.allowance(7), governor.figures(7)), (Allowance::Go, None));
}

#[test]
fn calls_stop_where_what_is_left_is_kept_for_others_and_our_own_since_then_count() {
    let (governor, _) = told(ApiBudget::Percent(10), &[(0, 898)]);
    assert_eq!(governor.allowance(1), Allowance::Go);
    let until = governor.next_look();
    assert_eq!(governor.allowance(2), Allowance::Wait { until, why: Why::Kept });
    let (governor, _) = told(ApiBudget::Calls(2_000), &[(0, 0)]);
    assert!(matches!(governor.allowance(0), Allowance::Wait { .. }), "all of it is kept");
}

#[test]
fn where_nothing_is_counted_only_the_org_itself_holds_calls_up() {
    let (mut governor, now) = told(ApiBudget::Off, &[(0, 0), (10, 2_000)]);
    assert_eq!(governor.allowance(0), Allowance::Go);
    let figures = governor.figures(0).unwrap();
    assert_eq!((figures.used, figures.kept, figures.forecast), (2_000, None, None));
    governor.observe(Some(usage(2_000, now)), true);
    assert!(matches!(governor.allowance(0), Allowance::Wait { why: Why::Refused, .. }));
    governor.observe(Some(usage(2_000, now)), false);
    assert_eq!(governor.allowance(0), Allowance::Go);
}

#[test]
fn a_refusal_that_the_org_s_own_count_does_not_bear_out_is_no_reason_to_wait_for_it() {
    let (mut governor, now) = told(ApiBudget::Off, &[(0, 949)]);
    governor.observe(Some(usage(949, now)), true);
    assert_eq!(governor.allowance(0), Allowance::Go);
    governor.observe(Some(usage(950, now)), true);
    assert!(matches!(governor.allowance(0), Allowance::Wait { why: Why::Refused, .. }));
    let mut governor = Governor::new(ApiBudget::Off, now);
    governor.observe(None, true);
    assert!(matches!(governor.allowance(0), Allowance::Wait { why: Why::Refused, .. }), "nothing else is known");
}

#[test]
fn use_that_does_not_grow_lasts_however_much_of_it_there_is() {
    assert_eq!(forecast(&[(0, 880), (15, 880)]).0, Forecast::Enough);
    assert_eq!(forecast(&[(0, 880), (15, 400)]).0, Forecast::Enough, "what was used a day ago is free again");
    assert_eq!(linger(&[(0, 880), (15, 880)]), None);
}

#[test]
fn the_forecast_goes_by_the_growth_within_the_last_quarter_of_an_hour() {
    // Two calls a minute, and 400 are left.
    let (all, now) = forecast(&[(0, 470), (15, 500)]);
    assert_eq!(all, Forecast::UsedUp { at: now + 200 * MINUTE });
    // What was before does not count.
    let (late, now) = forecast(&[(0, 0), (45, 470), (60, 500)]);
    assert_eq!(late, Forecast::UsedUp { at: now + 200 * MINUTE });
    // Of one minute with many calls it is not assumed that the others were, or will be, the same.
    let (burst, now) = forecast(&[(0, 470), (1, 500)]);
    assert_eq!(burst, Forecast::UsedUp { at: now + 200 * MINUTE });
    // At one call in half an hour these last for longer than a day.
    assert_eq!(forecast(&[(0, 799), (30, 800)]).0, Forecast::Enough);
}

#[test]
fn calls_grow_by_steps_while_they_would_not_last_for_a_day() {
    for (used, expected) in [(440, None), (460, Some(1)), (680, Some(5)), (820, Some(30))] {
        assert_eq!(linger(&[(0, used - 30), (15, used)]), expected, "{used}");
        assert_eq!(linger(&[(0, used), (15, used)]), None, "{used}, and nobody uses more");
    }
}

#[test]
fn the_org_is_asked_every_five_minutes_and_less_often_while_no_calls_are_made() {
    let start = Instant::now();
    let mut governor = Governor::new(ApiBudget::default(), start);
    assert_eq!(governor.next_look(), start, "at once at the start");
    let mut pauses = Vec::new();
    // Its own call, then looks alone, then work, then looks alone.
    for calls in [1, 2, 3, 4, 9, 30, 31, 32] {
        governor.looked(calls, start);
        pauses.push((governor.next_look() - start).as_secs() / 60);
    }
    assert_eq!(pauses, [5, 10, 15, 15, 5, 5, 10, 15]);
}

#[test]
fn many_answers_are_remembered_as_few() {
    let start = Instant::now();
    let mut governor = Governor::new(ApiBudget::default(), start);
    for n in 0..20_000_u64 {
        governor.observe(Some(usage(n / 100, start + Duration::from_millis(100) * u32::try_from(n).unwrap())), false);
    }
    assert!(governor.samples.len() <= 130, "{}", governor.samples.len());
    // Six calls a minute: all but the last 33 minutes' are forgotten.
    assert!(matches!(governor.figures(0).unwrap().forecast, Some(Forecast::UsedUp { .. })));
}

/// An org with a limit, other clients, and a bridge that always has something to do.
struct Sim {
    start: Instant,
    /// Seconds since the start.
    now: u64,
    /// When each call of the last 24 hours came.
    log: VecDeque<u64>,
    /// Others' calls since the org was last heard.
    unheard: u64,
    governor: Governor,
    in_flight: u64,
    ended: u64,
    looks: Vec<u64>,
}

impl Sim {
    fn new(keep: u8) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: 0,
            log: VecDeque::new(),
            unheard: 0,
            governor: Governor::new(ApiBudget::Percent(keep), start),
            in_flight: 0,
            ended: 0,
            looks: Vec::new(),
        }
    }

    fn used(&self) -> u64 {
        self.log.len() as u64
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_secs(self.now)
    }

    /// A call ends; its answer has the count as it is now. None: the org refuses.
    fn end(&mut self) {
        self.ended += 1;
        self.hear(self.used() > MAX);
    }

    fn hear(&mut self, refused: bool) {
        let usage = ApiUsage { used: self.used(), max: MAX, at: self.at(), calls: self.ended };
        self.governor.observe(Some(usage), refused);
        self.unheard = 0;
    }

    fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        while self.log.front().is_some_and(|at| at + DAY.as_secs() <= self.now) {
            self.log.pop_front();
        }
        if self.governor.next_look() <= self.at() {
            let refused = self.used() >= MAX;
            if !refused {
                self.log.push_back(self.now);
            }
            self.ended += 1;
            self.looks.push(self.now);
            self.hear(refused);
            self.governor.looked(self.ended, self.at());
        }
    }

    fn others(&mut self, calls: u64) {
        let calls = calls.min(MAX.saturating_sub(self.used()));
        (0..calls).for_each(|_| self.log.push_back(self.now));
        self.unheard += calls;
    }

    /// Begins as many calls as it may, up to so many.
    fn work(&mut self, calls: u64, ceiling: u64) {
        for _ in 0..calls {
            let allowance = self.governor.allowance(self.ended);
            let figures = self.governor.figures(self.ended);
            match allowance {
                Allowance::Go => {}
                Allowance::Larger { .. } => {
                    let forecast = figures.and_then(|figures| figures.forecast);
                    assert!(matches!(forecast, Some(Forecast::UsedUp { .. })), "it lasts, and is spared: {figures:?}");
                }
                Allowance::Wait { .. } => return,
            }
            if self.used() >= MAX {
                // Refused: it counts for nobody but ourselves.
                self.ended += 1;
                self.hear(true);
                return;
            }
            let known = self.used().saturating_sub(self.unheard);
            assert!(known < ceiling + self.in_flight, "{known} of {ceiling} with {} in flight", self.in_flight);
            self.log.push_back(self.now);
            self.in_flight += 1;
        }
    }
}

proptest! {
    #[test]
    fn it_leaves_to_others_what_is_theirs_and_goes_on_when_there_is_more(
        // Looks alone are about a hundred a day.
        keep in 0_u8..=80,
        steps in proptest::collection::vec((0_u64..1_200, 0_u64..30, 0_u64..60, 0_u64..60), 1..200),
    ) {
        let mut sim = Sim::new(keep);
        let ceiling = MAX - u64::from(keep) * MAX / 100;
        for (seconds, others, work, ends) in steps {
            sim.pass(seconds);
            sim.others(others);
            sim.work(work, ceiling);
            for _ in 0..ends.min(sim.in_flight) {
                sim.in_flight -= 1;
                sim.end();
            }
        }
        let gaps: Vec<u64> = sim.looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        prop_assert!(gaps.iter().all(|gap| *gap >= LOOK_FIRST.as_secs()), "{gaps:?}");
        // Others stop, what is out is answered, and a day passes.
        for _ in 0..sim.in_flight {
            sim.end();
        }
        sim.in_flight = 0;
        for _ in 0..(DAY.as_secs() / 60 + 30) {
            sim.pass(60);
        }
        prop_assert!(!matches!(sim.governor.allowance(sim.ended), Allowance::Wait { .. }), "{:?}", sim.governor);
    }
}
