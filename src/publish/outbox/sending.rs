//! What may go out next: of which call, by which lane, and what has to stay.

use super::*;

impl Outbox {
    /// When the writes of a group go out although they do not fill a call; none: at once.
    pub(super) fn lingers_until(&self, group: &Group, queue: &Queue) -> Option<Instant> {
        if self.linger.is_zero() || queue.len() >= self.sizes.of(group.call.object()) {
            return None;
        }
        let since = queue.iter().filter_map(|id| self.waiting.get(&id)).map(|waiting| waiting.since).min();
        since.flatten().map(|since| since + self.linger)
    }

    /// The first time at which something goes out that waits for company. What could go out by now waits for an answer.
    pub(super) fn lingering(&self) -> Option<Instant> {
        if self.linger.is_zero() || self.calls() >= self.window.size() {
            return None;
        }
        let open = self.ready.iter().filter(|(group, _)| self.holds.lets(&group.call));
        open.filter_map(|(group, queue)| self.lingers_until(group, queue)).min()
    }

    /// The next time at which `next_batch` may give more than now, if nothing else happens.
    pub fn wakeup(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(at, _)| *at);
        let held = self.holds.wakeup().filter(|_| !self.ready.is_empty());
        let next = [delayed, held, self.lingering()].into_iter().flatten().min();
        match (self.paused_until, self.ready.is_empty()) {
            (Some(pause), false) => Some(pause),
            (Some(pause), true) => next.map(|at| at.max(pause)),
            (None, _) => next,
        }
    }

    /// The oldest writes that can go out together, if the window has room.
    pub fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        if self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        self.paused_until = None;
        while let Some(&(at, id)) = self.delayed.first() {
            if at > now {
                break;
            }
            self.delayed.remove(&(at, id));
            self.place(id, now);
        }
        self.look_after_children(now);
        self.holds.tick(now);
        // A group can turn out to be blocked as a whole, or in part, hence the loop.
        loop {
            let (group, take, lane) = self.next_group(now)?;
            let most = match lane {
                Lane::Bulk => self.lanes.most(group.call.object()),
                Lane::Collections => self.sizes.of(group.call.object()),
            };
            let picked = self.pick(&group, take, most, now);
            let is_rest = self.ready.get(&group).is_none_or(|queue| queue.fitting() == 0);
            if lane == Lane::Bulk && is_rest && picked.len() < self.lanes.least(group.call.object()) {
                // Others are blocked, and these are too few without them.
                picked.into_iter().for_each(|id| self.stay(&group, id));
            } else if !picked.is_empty() {
                return Some(self.depart(group, picked, lane));
            }
        }
    }

    /// The call of the oldest write that can go out, and which of its writes go. A job is no exception: what is older may
    /// need a lock that its writes would take again and again.
    pub(super) fn next_group(&self, now: Instant) -> Option<(Group, Take, Lane)> {
        let worth = |group: &Group, queue: &Queue| self.lanes.is_worth(group.call.object(), queue.fitting(), now);
        let open = || self.ready.iter().filter(|(group, _)| self.holds.lets(&group.call));
        let free = |group: &Group| self.lanes.is_free(group.call.object());
        let jobs = open().filter(|(group, queue)| worth(group, queue) && free(group));
        let jobs =
            jobs.filter_map(|(group, queue)| Some((queue.first(Take::Fitting)?, (group, Take::Fitting, Lane::Bulk))));
        let has_room = self.calls() < self.window.size();
        let due = open()
            .filter(|(group, queue)| has_room && self.lingers_until(group, queue).is_none_or(|until| until <= now));
        let calls = due.filter_map(|(group, queue)| {
            // What is worth a job waits for the one that runs.
            let take = if worth(group, queue) { Take::Plain } else { Take::Any };
            Some((queue.first(take)?, (group, take, Lane::Collections)))
        });
        let (_, (group, take, lane)) = jobs.chain(calls).min_by_key(|(first, _)| *first)?;
        Some((group.clone(), take, lane))
    }

    /// Calls in flight. A job is none.
    pub(super) fn calls(&self) -> usize {
        self.flights.values().filter(|flight| flight.lane == Lane::Collections).count()
    }

    /// A write that was picked stays where it was.
    pub(super) fn stay(&mut self, group: &Group, id: WriteId) {
        if let Some(waiting) = self.waiting.get(&id) {
            let fits = group.cohort == 0 && self.lanes.takes(group.call.object(), waiting.fit);
            self.ready.entry(group.clone()).or_default().insert((waiting.write.age(), id), fits);
        }
    }

    pub(super) fn pick(&mut self, group: &Group, take: Take, most: usize, now: Instant) -> Vec<WriteId> {
        let mut picked: Vec<WriteId> = Vec::new();
        let mut held: HashSet<Token> = HashSet::new();
        let mut weight = 0;
        while picked.len() < most && weight < JOB_WEIGHT_MAX {
            let Some((_, id)) = self.ready.get_mut(group).and_then(|queue| queue.pop(take)) else { break };
            let Some(waiting) = self.waiting.get(&id) else { continue };
            if let Some(token) = self.obstacle(id, &waiting.write) {
                self.block(id, token);
                continue;
            }
            // Merging keeps keys and sources of waiting writes apart, so only a double key after a change of keys, or of
            // what may not be merged, can collide here. It waits for this batch.
            let own: Vec<Token> = exclusive(&waiting.write).collect();
            if own.iter().any(|token| held.contains(token)) {
                let at = now;
                self.delay(id, at);
                continue;
            }
            held.extend(own);
            weight += waiting.weight;
            picked.push(id);
        }
        if self.ready.get(group).is_some_and(Queue::is_empty) {
            self.ready.remove(group);
        }
        picked
    }

    pub(super) fn depart(&mut self, group: Group, picked: Vec<WriteId>, lane: Lane) -> Batch {
        self.next_id += 1;
        let flight = FlightId(self.next_id);
        if lane == Lane::Bulk {
            self.lanes.begun(group.call.object(), flight);
        }
        let (mut writes, mut tries) = (Vec::with_capacity(picked.len()), Vec::with_capacity(picked.len()));
        let mut cohort = Cohort::default();
        for id in picked {
            if let Some(waiting) = self.remove(id) {
                writes.push(waiting.write);
                tries.push(waiting.tries);
                cohort = waiting.cohort;
            }
        }
        let mut tokens = Vec::new();
        for write in &writes {
            tokens.extend(exclusive(write));
            tokens.extend(write.lock_keys.iter().cloned().map(Token::Counterpart));
            tokens.extend(self.locks.of(write).map(Token::Record));
            if decides(write) {
                tokens.extend(write.makes().map(Token::Deciding));
            }
        }
        for token in &tokens {
            self.busy.insert(token.clone(), flight);
        }
        let writes = Arc::new(writes);
        let object = group.call.object().clone();
        let departed = Flight { writes: writes.clone(), tries: tries.clone(), cohort, tokens, lane, object };
        self.flights.insert(flight, departed);
        self.holds.departs(&group.call, flight);
        Batch { flight, call: group.call, lane, writes, tries }
    }
}
