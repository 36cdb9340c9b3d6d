//! What waits, and where: delayed, behind a token that somebody holds, or ready.

use super::*;

impl Outbox {
    pub(super) fn put(&mut self, write: Write, tries: u32, cohort: Cohort, not_before: Option<Instant>, now: Instant) {
        let mut write = write;
        let (mut tries, mut cohort, mut not_before) = (tries, cohort, not_before);
        let mut since = (tries == 0 && cohort.id() == 0).then_some(now);
        // By source first: a record's own order goes before the order of a key that it shares.
        let same = |outbox: &Self, write: &Write| {
            let by_source = write.covers.iter().find_map(|cover| outbox.by_source.get(&cover.source).copied());
            by_source.or_else(|| outbox.joinable(write).next())
        };
        while let Some(older) = same(self, &write).and_then(|id| self.remove(id)) {
            tries = tries.max(older.tries);
            cohort = Cohort::default();
            not_before = not_before.max(older.not_before);
            since = since.min(older.since);
            write = match older.write.then(write) {
                Ok(merged) => merged,
                Err(covers) => {
                    self.handed.push(Handed::Read { covers, delete: None, sent: false });
                    return;
                }
            };
        }
        self.next_id += 1;
        let id = self.next_id;
        let weight = write.weight();
        self.weight += weight;
        let call = call_of(&write).filter(|_| self.lanes.has_bulk());
        let fit = call.map_or(Fit::No, |call| fits(&write, &call));
        for source in sources(&write) {
            self.by_source.insert(source, id);
        }
        self.by_key.entry(write.key.clone()).or_default().push(id);
        if decides(&write) {
            for parent in write.makes() {
                self.deciders.entry(parent).or_default().push(id);
            }
        }
        // A placeholder place; `place` decides at once.
        self.waiting
            .insert(id, Waiting { write, place: Place::Delayed(now), tries, cohort, not_before, since, weight, fit });
        self.place(id, now);
    }

    /// What waits for the same record of the target and may become one write with this.
    pub(super) fn joinable(&self, write: &Write) -> impl Iterator<Item = WriteId> {
        let waiting = self.by_key.get(&write.key).into_iter().flatten();
        waiting.copied().filter(|id| self.waiting.get(id).is_some_and(|other| other.write.merges_with(write)))
    }

    /// Takes a waiting write out of every index.
    pub(super) fn remove(&mut self, id: WriteId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.unplace(id, &waiting);
        self.weight = self.weight.saturating_sub(waiting.weight);
        for source in sources(&waiting.write) {
            if self.by_source.get(&source) == Some(&id) {
                self.by_source.remove(&source);
            }
        }
        if let Some(ids) = self.by_key.get_mut(&waiting.write.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&waiting.write.key);
            }
        }
        if decides(&waiting.write) {
            for parent in waiting.write.makes() {
                if let Some(deciders) = self.deciders.get_mut(&parent) {
                    deciders.retain(|decider| *decider != id);
                    if deciders.is_empty() {
                        self.deciders.remove(&parent);
                        self.freed.push(parent);
                    }
                }
            }
        }
        Some(waiting)
    }

    pub(super) fn unplace(&mut self, id: WriteId, waiting: &Waiting) {
        match &waiting.place {
            Place::Ready(group) => {
                if let Some(ids) = self.ready.get_mut(group) {
                    ids.remove(&(waiting.write.age(), id));
                    if ids.is_empty() {
                        self.ready.remove(group);
                    }
                }
            }
            Place::Blocked(token) => {
                if let Some(ids) = self.blocked.get_mut(token) {
                    ids.retain(|blocked| *blocked != id);
                    if ids.is_empty() {
                        self.blocked.remove(token);
                    }
                }
            }
            Place::Delayed(at) => {
                self.delayed.remove(&(*at, id));
            }
        }
    }

    /// Decides anew where a ready write stands.
    pub(super) fn place_anew(&mut self, id: WriteId, now: Instant) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        self.unplace(id, &waiting);
        self.waiting.insert(id, waiting);
        self.place(id, now);
    }

    /// Decides where a waiting write stands: delayed, behind something, ready, or out of here.
    pub(super) fn place(&mut self, id: WriteId, now: Instant) {
        let Some(waiting) = self.waiting.get(&id) else { return };
        if let Some(at) = waiting.not_before.filter(|at| *at > now) {
            self.delay(id, at);
            return;
        }
        if let Some(token) = self.obstacle(id, &waiting.write) {
            self.block(id, token);
            return;
        }
        let open = waiting.write.references().find(|reference| reference.is_open());
        let open = open.map(|open| (open.parent.clone(), open.if_missing));
        let call = call_of(&waiting.write);
        match (call, open) {
            // Its other fields were left out, so there is nothing to send.
            (Some(Call::Update { .. }), None) if waiting.write.is_empty() => {
                if let Some(waiting) = self.remove(id) {
                    let id = waiting.write.key.linked();
                    self.handed.push(Handed::Settled { write: waiting.write, id, created: None });
                }
            }
            (Some(call), None) => {
                let group = Group { call, cohort: waiting.cohort.id() };
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.place = Place::Ready(group.clone());
                    waiting.not_before = None;
                }
                self.stay(&group, id);
            }
            (_, Some((parent, IfMissing::FillLater | IfMissing::Skip))) => {
                if let Some(waiting) = self.remove(id) {
                    let write = waiting.write.without(&parent);
                    self.put(write, waiting.tries, waiting.cohort, waiting.not_before, now);
                }
            }
            (_, Some((parent, if_missing))) => {
                let refusal = parent_missing(parent, if_missing, "Its parent has no counterpart in the target yet.");
                if let Some(waiting) = self.remove(id) {
                    self.park(waiting.write, refusal, false, false);
                }
            }
            (None, None) => {
                if let Some(waiting) = self.remove(id) {
                    self.hand_for_reading(waiting.write, false);
                }
            }
        }
    }

    /// The first thing that keeps a write from going out now.
    pub(super) fn obstacle(&self, id: WriteId, write: &Write) -> Option<Token> {
        if let Some(token) = exclusive(write).find(|token| self.busy.contains_key(token)) {
            return Some(token);
        }
        let coming = write.waits_for.iter().find(|parent| {
            let own = write.makes().any(|made| made == **parent);
            !own && self.is_undecided(parent) && !self.waits_in_a_circle(id, parent)
        });
        if let Some(parent) = coming {
            return Some(Token::Deciding(parent.clone()));
        }
        let locked = write.lock_keys.iter().cloned().map(Token::Counterpart);
        let learned = self.locks.of(write).map(Token::Record);
        locked.chain(learned).find(|token| self.busy.contains_key(token))
    }

    /// Whether who makes `parent` waits, through others, for what `id` makes.
    pub(super) fn waits_in_a_circle(&self, id: WriteId, parent: &Parent) -> bool {
        let mut parent = parent;
        for _ in 0..CHAIN_MAX {
            let Some(&decider) = self.deciders.get(parent).and_then(|deciders| deciders.first()) else { return false };
            if decider == id {
                return true;
            }
            match self.waiting.get(&decider).map(|waiting| &waiting.place) {
                Some(Place::Blocked(Token::Deciding(next))) => parent = next,
                _ => return false,
            }
        }
        // So long a chain is treated as a circle: the org decides.
        true
    }

    /// Whether who makes `parent` waits, through others, for what this write makes.
    pub(super) fn leads_to(&self, parent: &Parent, write: &Write) -> bool {
        let makes: Vec<Parent> = write.makes().collect();
        let (mut seen, mut next) = (HashSet::new(), vec![parent]);
        while let Some(parent) = next.pop() {
            if makes.contains(parent) {
                return true;
            }
            if seen.len() < CHAIN_MAX && seen.insert(parent) {
                let deciders = self.deciders.get(parent).into_iter().flatten();
                next.extend(deciders.filter_map(|id| self.waiting.get(id)).flat_map(|one| &one.write.waits_for));
            }
        }
        // So many are treated as a circle: the write goes without its parent, and gets it later.
        seen.len() >= CHAIN_MAX
    }

    pub(super) fn block(&mut self, id: WriteId, token: Token) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.place = Place::Blocked(token.clone());
            self.blocked.entry(token).or_default().push(id);
        }
    }

    pub(super) fn delay(&mut self, id: WriteId, at: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.place = Place::Delayed(at);
            self.delayed.insert((at, id));
        }
    }

    pub(super) fn release(&mut self, token: &Token, now: Instant) {
        for id in self.blocked.remove(token).unwrap_or_default() {
            self.place(id, now);
        }
    }

    /// A decider that left without going out (merged into a delete, parked, handed for reading) leaves nobody waiting.
    pub(super) fn look_after_children(&mut self, now: Instant) {
        while let Some(parent) = self.freed.pop() {
            if !self.is_undecided(&parent) {
                self.release(&Token::Deciding(parent), now);
            }
        }
    }
}
