//! The first Synchronization of a Clone, the mirroring that follows, its Fracture, and what happens after it: one extent
//! of one block, with the rest of the LU around it (pages that are written for other extents' sake, a leg that fails
//! elsewhere). One column for all Clones, or one for each, with another Clone that stays mirrored.
//!
//! ```text
//!   OutOfSync, full --synchronize--> Synchronizing --D = 0, F(S), F(C)--> Synchronized --fracture--> Fractured
//!         ^   (gate, drain)            |  |   ^ SyncedBelow: F(S), F(C)       |     (gate, drain, F(C), F(S))
//!         `---- a leg or a flush fails-'  `---'                               |
//!         `-------------------------------------------------------------------'
//!
//!   mirrored write:  G := 1 --> page durable --> S and C --> both done --> ack
//!   tracked write:   D := 1 --> page durable --> S --> ack
//!   copy:            claim --> read S --> write C --> D := 0     a write at any time between: D stays
//!   sweep:           D = 0, no write --> F(S), F(C) --> G := 0 --> page
//! ```
//!
//! Each change is one superblock. Flushes are one step, and fail only beside no host write (N8).

use crate::checker::{Bounds, Model, Steps};
use crate::medium::{BITS_5, Block, Values, each, only};
use crate::{packed, rules, stages};

rules! {
    R1_TRACKED = "a tracked write has its bit durable first",
    R40 = "a mirrored write has its intent durable first",
    R42 = "a write is acknowledged after both legs",
    R43 = "overlapping writes one after the other",
    R44_BEFORE = "a copy collides with writes under way when it begins",
    R44_DURING = "a copy collides with writes that begin during it",
    R47_LEGS = "no intent is cleared beside a write",
    R47_SOURCE = "F(S) before an intent is cleared",
    R47_CLONE = "F(C) before an intent is cleared",
    R49 = "no leg is left out while a copy runs",
    R52 = "a leg to the Clone that failed leaves D",
    R53 = "a write is classified when it is submitted",
    R54_DELTA = "Synchronized only with D = 0",
    R54_CLONE = "F(C) before Synchronized",
    R55_HOLD = "hosts are held for a Fracture",
    R55_DRAIN = "what is under way finishes before a Fracture",
    R55_CLONE = "F(C) before a Fracture",
    R56 = "a leg that failed in the drain keeps the Clone from being fractured",
    R58 = "a Synchronized Clone with an intent comes up Synchronizing",
    R73_FULL = "a Clone that was never synchronized is full",
    R73_FLUSH = "F(C) before synced_below moves",
    N1 = "F(S) before Synchronized and before synced_below moves",
    N3 = "a failed F(S) distrusts the mirrored Clone",
    N4_INTENTS = "a Clone that failed inherits the intents",
    N4_FULL = "a Clone that failed, and was never synchronized, differs from synced_below on",
    N7 = "F(S) before a Fracture",
    N9 = "the first write of a state epoch has its page written",
}

const FIRST: u8 = 0;
const OTHER: u8 = 1;
const WRITES: usize = 3;

fn data(write: usize) -> u8 {
    2 + write as u8
}

stages! {
    enum Write {
        Unused,
        Waiting,
        Submitted,
        Done,
    }
}

stages! {
    enum Leg {
        None,
        UnderWay,
        Done,
    }
}

stages! {
    enum Copying {
        Idle,
        Reading,
        Writing,
    }
}

stages! {
    enum Clone {
        OutOfSync,
        Synchronizing,
        Synchronized,
        Fractured,
    }
}

stages! {
    enum Change {
        None,
        Synchronize,
        SyncedBelow,
        Synchronized,
        Fracture,
        Record,
    }
}

packed! {
    /// What a superblock says of the Clone.
    struct Record {
        state: Clone => 2,
        full: bool => 1,
        /// `synced_below` is behind the extent.
        synced: bool => 1,
    }
}

packed! {
    struct State {
        source: Block => BITS_5,
        clone: Block => BITS_5,
        host: Block => BITS_5,
        current: Values => 5,
        writes: [Write; WRITES] => 6,
        /// Which were taken for mirrored when they arrived (R53 off).
        arrived_mirrored: [bool; WRITES] => 3,
        to_source: [Leg; WRITES] => 6,
        to_clone: [Leg; WRITES] => 6,
        beside: [u8; WRITES] => 9,
        d: bool => 1,
        g: bool => 1,
        /// What the column of the Clone says.
        page: bool => 1,
        dirty: bool => 1,
        page_writing: bool => 1,
        image: bool => 1,
        copying: Copying => 2,
        buffer: u8 => 3,
        collided: bool => 1,
        /// In memory.
        record: Record => 4,
        /// In the area.
        superblock: Record => 4,
        next: Record => 4,
        change: Change => 3,
        committing: bool => 1,
        /// The gate is closed.
        held: bool => 1,
        /// What the Clone holds since it was fractured.
        cut: u8 => 3,
        writes_left: u8 => 2,
        flushes_left: u8 => 1,
        losses_left: u8 => 2,
        failures_left: u8 => 1,
        synchronizations_left: u8 => 2,
        /// Another page write, for another extent's sake.
        pages_left: u8 => 1,
        volatile: bool => 1,
        per_clone: bool => 1,
    }
}

/// See the module.
pub struct Synchronize {
    off: Option<Rule>,
    bounds: Bounds,
}

impl State {
    fn is_open(&self, write: usize) -> bool {
        matches!(self.writes[write], Write::Waiting | Write::Submitted)
    }

    fn open(&self) -> Values {
        (0..WRITES).filter(|&write| self.is_open(write)).fold(0, |values, write| values | only(data(write)))
    }

    fn submitted(&self) -> bool {
        self.writes.contains(&Write::Submitted)
    }

    fn mirrored(&self) -> bool {
        matches!(self.record.state, Clone::Synchronizing | Clone::Synchronized)
    }

    fn under_way_to_source(&self) -> Values {
        (0..WRITES)
            .filter(|&write| self.to_source[write] == Leg::UnderWay)
            .fold(0, |values, write| values | only(data(write)))
    }

    fn under_way_to_clone(&self) -> Values {
        let copy = if self.copying == Copying::Writing { only(self.buffer) } else { 0 };
        (0..WRITES)
            .filter(|&write| self.to_clone[write] == Leg::UnderWay)
            .fold(copy, |values, write| values | only(data(write)))
    }

    fn flush(&mut self, source: bool, clone: bool) {
        let (to_source, to_clone) = (self.under_way_to_source(), self.under_way_to_clone());
        if source {
            self.source.flush(to_source);
        }
        if clone {
            self.clone.flush(to_clone);
        }
    }

    /// The column of the Clone (columns.rs).
    fn column(&self) -> bool {
        if self.per_clone { self.d || self.mirrored() && self.g } else { self.d || self.g }
    }

    fn recorded(&self) -> bool {
        self.page && (!self.page_writing || self.image)
    }
}

impl Synchronize {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    /// The Clone failed: it is OutOfSync, and may differ wherever it was not flushed (R52, N4).
    fn fail_mirror(&self, next: &mut State) {
        if next.mirrored() {
            next.record.state = Clone::OutOfSync;
            next.d |= next.g && self.on(Rule::N4_INTENTS);
            next.d |= next.record.full && !next.record.synced && self.on(Rule::N4_FULL);
        }
    }

    // ------------------------------------------------------------------- hosts

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        if let (true, Some(write)) =
            (state.writes_left > 0, state.writes.iter().position(|&write| write == Write::Unused))
        {
            let mut next = *state;
            next.writes_left -= 1;
            for other in (0..WRITES).filter(|&other| state.is_open(other)) {
                next.beside[other] |= only(write as u8);
                next.beside[write] |= only(other as u8);
            }
            next.writes[write] = Write::Waiting;
            next.arrived_mirrored[write] = state.mirrored() && !self.on(Rule::R53);
            next.host.submit(data(write));
            steps.to("write {}", write as u8, next);
        }
        if state.flushes_left > 0 && state.volatile && !state.held {
            let mut next = *state;
            next.flushes_left -= 1;
            next.flush(true, state.mirrored());
            next.host.kept = state.current | state.open();
            steps.to("host flush", 0, next);
        }
        for write in 0..WRITES {
            match state.writes[write] {
                Write::Waiting => self.send(state, write, steps),
                Write::Submitted => self.leg_steps(state, write, steps),
                _ => {}
            }
        }
    }

    fn send(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        let older = (0..write).any(|older| state.writes[older] == Write::Waiting);
        let mirrored = if self.on(Rule::R53) { state.mirrored() } else { state.arrived_mirrored[write] };
        let overlaps = older || state.submitted();
        if state.held && self.on(Rule::R55_HOLD) || overlaps && self.on(Rule::R43) {
            return;
        }
        let mut next = *state;
        if mirrored || !state.per_clone {
            next.g = true;
        }
        next.d |= !mirrored;
        // Without N9 an intent that stands is taken for durable.
        let counts = self.on(Rule::N9) || !state.g || !mirrored;
        next.dirty |= counts && !(state.page || state.page_writing && state.image);
        if next != *state {
            steps.to("write {} sets its bit", write as u8, next);
            return;
        }
        let needs = if mirrored { self.on(Rule::R40) && counts } else { self.on(Rule::R1_TRACKED) };
        if needs && !state.recorded() || state.dirty && mirrored && self.on(Rule::R40) {
            return;
        }
        next.writes[write] = Write::Submitted;
        next.to_source[write] = Leg::UnderWay;
        next.source.submit(data(write));
        let copied_later = state.d && (state.copying == Copying::Idle || !self.on(Rule::R49));
        if mirrored && !copied_later {
            next.to_clone[write] = Leg::UnderWay;
            next.clone.submit(data(write));
        }
        next.collided |= state.copying != Copying::Idle && self.on(Rule::R44_DURING);
        steps.to(
            if mirrored { "write {} goes to both" } else { "write {} goes to the Source" },
            write as u8,
            next,
        );
    }

    fn leg_steps(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        if state.to_source[write] == Leg::UnderWay {
            let mut next = *state;
            next.to_source[write] = Leg::Done;
            let under_way = next.under_way_to_source();
            next.source.complete(data(write), !state.volatile, under_way);
            self.end_legs(&mut next, write);
            steps.to("write {}: the Source has it", write as u8, next);
        }
        if state.to_clone[write] == Leg::UnderWay {
            let mut next = *state;
            next.to_clone[write] = Leg::Done;
            let under_way = next.under_way_to_clone();
            next.clone.complete(data(write), !state.volatile, under_way);
            self.end_legs(&mut next, write);
            steps.to("write {}: the Clone has it", write as u8, next);
            if state.failures_left > 0 {
                let mut next = *state;
                next.failures_left -= 1;
                next.to_clone[write] = Leg::Done;
                if self.on(Rule::R52) {
                    next.d = true;
                    self.fail_mirror(&mut next);
                }
                self.end_legs(&mut next, write);
                steps.to("write {} to the Clone fails", write as u8, next);
            }
        }
    }

    fn end_legs(&self, next: &mut State, write: usize) {
        let source = next.to_source[write] == Leg::Done;
        let clone = next.to_clone[write] != Leg::UnderWay;
        if source && clone {
            (next.to_source[write], next.to_clone[write]) = (Leg::None, Leg::None);
        }
        if next.writes[write] != Write::Submitted || !source || !clone && self.on(Rule::R42) {
            return;
        }
        next.writes[write] = Write::Done;
        let acknowledged = (0..WRITES)
            .filter(|&other| next.beside[write] >> other & 1 == 1 && next.writes[other] == Write::Done);
        next.current = acknowledged.fold(only(data(write)), |values, other| values | only(data(other)));
        if !next.volatile {
            next.host.kept = next.current | next.open();
        }
    }

    // ------------------------------------------------------------------ copies

    fn copy_steps(&self, state: &State, steps: &mut Steps<State>) {
        match state.copying {
            Copying::Idle => {
                if state.d && state.record.state == Clone::Synchronizing && !state.held {
                    let mut next = *state;
                    next.copying = Copying::Reading;
                    next.collided = state.submitted() && self.on(Rule::R44_BEFORE);
                    steps.to("copy begins to read the Source", 0, next);
                }
            }
            Copying::Reading => {
                for value in each(only(state.source.now) | state.under_way_to_source()) {
                    let mut next = *state;
                    next.copying = Copying::Writing;
                    next.buffer = value;
                    next.clone.submit(value);
                    steps.to("copy has read {}, writes the Clone", value, next);
                }
            }
            Copying::Writing => {
                let mut next = *state;
                next.copying = Copying::Idle;
                next.buffer = 0;
                let under_way = next.under_way_to_clone();
                next.clone.complete(state.buffer, !state.volatile, under_way);
                next.collided = false;
                if state.mirrored() {
                    next.g |= state.per_clone;
                    next.d = state.collided;
                }
                steps.to(
                    if state.collided { "copy is over and collided" } else { "copy is over, D := 0" },
                    0,
                    next,
                );
            }
        }
    }

    // ------------------------------------------------------------ pages, faults

    fn metadata_steps(&self, state: &State, steps: &mut Steps<State>) {
        let another = state.pages_left > 0 && !state.dirty;
        if (state.dirty || another) && !state.page_writing {
            let mut next = *state;
            next.pages_left -= u8::from(another);
            (next.dirty, next.page_writing, next.image) = (false, true, state.column());
            steps.to("page {} is submitted", u8::from(next.image), next);
        }
        if state.page_writing {
            let mut next = *state;
            (next.page, next.page_writing, next.image) = (state.image, false, false);
            steps.to("page {} is durable", u8::from(state.image), next);
        }
        let quiet = !state.writes.contains(&Write::Submitted) || !self.on(Rule::R47_LEGS);
        let waits = state.writes.contains(&Write::Waiting);
        let spare = state.per_clone || !state.d;
        if state.g && spare && quiet && !waits && !state.held && !state.dirty && !state.page_writing {
            let mut next = *state;
            let clone = state.mirrored() && self.on(Rule::R47_CLONE);
            next.flush(self.on(Rule::R47_SOURCE), clone);
            (next.g, next.dirty) = (false, true);
            steps.to("flushes, the sweeper clears G", 0, next);
        }
        if state.failures_left == 0 || state.submitted() || state.held || state.change != Change::None {
            return;
        }
        if state.mirrored() {
            let mut next = *state;
            next.failures_left -= 1;
            self.fail_mirror(&mut next);
            steps.to("a leg to the Clone fails elsewhere", 0, next);
        }
        if !state.volatile || state.copying != Copying::Idle {
            return;
        }
        if let Some(value) = each(state.source.kept).find(|&value| value != state.source.now) {
            let mut next = *state;
            next.failures_left -= 1;
            next.source = Block::holding(value);
            next.current |= only(value);
            if self.on(Rule::N3) {
                self.fail_mirror(&mut next);
            }
            steps.to("F(S) fails, {} is left", value, next);
        }
    }

    // -------------------------------------------------------------- superblock

    fn change_steps(&self, state: &State, steps: &mut Steps<State>) {
        let record = state.record;
        let copied = !state.d && state.copying == Copying::Idle;
        if state.committing {
            let mut next = *state;
            (next.committing, next.held, next.change) = (false, false, Change::None);
            next.superblock = state.next;
            // What happened meanwhile counts (R54).
            let held = matches!(state.change, Change::Synchronize | Change::Fracture);
            let equal = !state.d || !self.on(Rule::R54_DELTA);
            next.record = match state.change {
                Change::Synchronized if record.state == Clone::Synchronizing && equal => state.next,
                Change::Synchronized => Record { full: false, synced: false, ..record },
                Change::SyncedBelow => Record { synced: true, ..record },
                _ if held => state.next,
                _ => record,
            };
            if state.change == Change::Fracture {
                next.cut = state.clone.now;
                if state.current >> state.clone.now & 1 == 0 {
                    return steps.wrong("superblock is durable", 0, "the Clone is no point in time");
                }
            }
            next.next = Record { state: Clone::OutOfSync, full: false, synced: false };
            return steps.to("superblock is durable", 0, next);
        }
        if state.change != Change::None {
            return self.commit(state, steps);
        }
        let mut next = *state;
        match record.state {
            Clone::OutOfSync | Clone::Fractured if state.synchronizations_left > 0 => {
                next.synchronizations_left -= 1;
                (next.change, next.held) = (Change::Synchronize, true);
                steps.to("synchronize: the gate closes", 0, next);
            }
            Clone::Synchronizing if copied || !self.on(Rule::R54_DELTA) && state.copying == Copying::Idle => {
                next.change = Change::Synchronized;
                steps.to("nothing is left to copy", 0, next);
                if record.full && !record.synced && copied {
                    next.change = Change::SyncedBelow;
                    steps.to("this extent and those before are copied", 0, next);
                }
            }
            Clone::Synchronized if !state.d => {
                (next.change, next.held) = (Change::Fracture, true);
                steps.to("fracture: the gate closes", 0, next);
            }
            _ => {}
        }
        if state.superblock != record {
            let mut next = *state;
            next.change = Change::Record;
            steps.to("a superblock is due", 0, next);
        }
    }

    /// Draining and flushing are over, or the change is given up.
    fn commit(&self, state: &State, steps: &mut Steps<State>) {
        let record = state.record;
        let drained = !state.submitted() && state.copying == Copying::Idle;
        let clean = !state.dirty && !state.page_writing;
        let mut next = *state;
        let (after, source, clone) = match state.change {
            Change::Synchronize if !drained || !clean => return,
            Change::Synchronize => (Record { state: Clone::Synchronizing, ..record }, false, false),
            Change::Fracture if (!drained || !clean) && self.on(Rule::R55_DRAIN) => return,
            Change::Fracture => {
                let equal = record.state == Clone::Synchronized && !state.d;
                if !equal && self.on(Rule::R56) {
                    (next.change, next.held) = (Change::None, false);
                    return steps.to("the Clone is not equal: no Fracture", 0, next);
                }
                (Record { state: Clone::Fractured, ..record }, self.on(Rule::N7), self.on(Rule::R55_CLONE))
            }
            Change::SyncedBelow | Change::Synchronized if record.state != Clone::Synchronizing => {
                next.change = Change::None;
                return steps.to("the Clone failed: given up", 0, next);
            }
            Change::SyncedBelow => {
                (Record { synced: true, ..record }, self.on(Rule::N1), self.on(Rule::R73_FLUSH))
            }
            Change::Synchronized if state.d && self.on(Rule::R54_DELTA) => {
                next.change = Change::None;
                return steps.to("something is left to copy again", 0, next);
            }
            Change::Synchronized => (
                Record { state: Clone::Synchronized, full: false, synced: false },
                self.on(Rule::N1),
                self.on(Rule::R54_CLONE),
            ),
            _ => (record, false, false),
        };
        next.flush(source, clone);
        (next.committing, next.next) = (true, after);
        steps.to("flushes, superblock is submitted", 0, next);
    }

    // ---------------------------------------------------------------- recovery

    fn power_losses(&self, state: &State, steps: &mut Steps<State>) {
        if state.losses_left == 0 {
            return;
        }
        let records: &[Record] =
            if state.committing { &[state.superblock, state.next] } else { &[state.superblock] };
        let pages: &[bool] = if state.page_writing { &[state.page, state.image] } else { &[state.page] };
        for &record in records {
            for &page in pages {
                for source in each(state.source.kept) {
                    for clone in each(state.clone.kept) {
                        steps.power_loss(self.recover(state, record, page, source, clone));
                    }
                }
            }
        }
    }

    fn recover(
        &self,
        state: &State,
        superblock: Record,
        page: bool,
        source: u8,
        clone: u8,
    ) -> Result<State, &'static str> {
        let d = page || superblock.full && !superblock.synced && self.on(Rule::R73_FULL);
        if source != clone && !d {
            return Err("I2: the Clone differs, and no bit says so");
        }
        if state.host.kept >> source & 1 == 0 {
            return Err("I8: an acknowledged write is lost");
        }
        let mut record = superblock;
        if record.state == Clone::Synchronized && d && self.on(Rule::R58) {
            record.state = Clone::Synchronizing;
        }
        if record.state == Clone::Synchronized && source != clone {
            return Err("a Clone that is Synchronized differs from the Source");
        }
        let committed = state.committing && state.change == Change::Fracture;
        let cut = if committed { state.clone.now } else { state.cut };
        if superblock.state == Clone::Fractured && clone != cut {
            return Err("a point in time changed");
        }
        Ok(State {
            source: Block::holding(source),
            clone: Block::holding(clone),
            host: Block::holding(source),
            current: only(source),
            writes: state.writes.map(|write| if write == Write::Unused { write } else { Write::Done }),
            arrived_mirrored: [false; WRITES],
            to_source: [Leg::None; WRITES],
            to_clone: [Leg::None; WRITES],
            beside: [0; WRITES],
            d,
            g: page && !state.per_clone,
            page,
            dirty: false,
            page_writing: false,
            image: false,
            copying: Copying::Idle,
            buffer: 0,
            collided: false,
            record,
            superblock,
            next: Record { state: Clone::OutOfSync, full: false, synced: false },
            change: Change::None,
            committing: false,
            held: false,
            cut,
            losses_left: state.losses_left - 1,
            ..*state
        })
    }
}

impl Model for Synchronize {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "synchronize";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] =
        &[(Rule::R49, "a copy that meets such a write has collided, and D stays (R44)")];

    fn new(off: Option<Rule>, bounds: Bounds) -> Synchronize {
        Synchronize { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        let mut all = Vec::new();
        for number in 0..4 {
            let (volatile, per_clone) = (number & 1 != 0, number & 2 != 0);
            // A host wrote before there was a Clone, and did not flush.
            let cached = Block { kept: only(FIRST) | only(OTHER), ..Block::holding(FIRST) };
            let source = if volatile { cached } else { Block::holding(FIRST) };
            let added = Record { state: Clone::OutOfSync, full: true, synced: false };
            all.push(State {
                source,
                clone: Block::holding(OTHER),
                host: source,
                current: only(FIRST),
                writes: [Write::Unused; WRITES],
                arrived_mirrored: [false; WRITES],
                to_source: [Leg::None; WRITES],
                to_clone: [Leg::None; WRITES],
                beside: [0; WRITES],
                d: true,
                g: false,
                page: false,
                dirty: false,
                page_writing: false,
                image: false,
                copying: Copying::Idle,
                buffer: 0,
                collided: false,
                record: added,
                superblock: added,
                next: Record { state: Clone::OutOfSync, full: false, synced: false },
                change: Change::None,
                committing: false,
                held: false,
                cut: 0,
                writes_left: self.bounds.pick(1, 2, 2),
                flushes_left: self.bounds.pick(0, 1, 1),
                losses_left: self.bounds.pick(1, 1, 2),
                failures_left: 1,
                synchronizations_left: 2,
                pages_left: 1,
                volatile,
                per_clone,
            });
        }
        all
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.change_steps(state, steps);
        self.host_steps(state, steps);
        self.copy_steps(state, steps);
        self.metadata_steps(state, steps);
        self.power_losses(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        if (state.current | state.open()) >> state.source.now & 1 == 0 {
            return Some("I8: a host reads what it may not");
        }
        let fractured = state.record.state == Clone::Fractured;
        if fractured && (state.clone.now != state.cut || state.under_way_to_clone() != 0) {
            return Some("a point in time changed");
        }
        let quiet = !state.submitted() && state.under_way_to_clone() == 0;
        if quiet
            && state.record.state == Clone::Synchronized
            && state.source.now != state.clone.now
            && !state.d
            && !state.g
        {
            return Some("I2: a Clone that is Synchronized differs, and no bit says so");
        }
        if quiet && fractured && state.source.now != state.clone.now && !state.d {
            return Some("I2: the Source differs from a fractured Clone, and no bit says so");
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        state.open() == 0 && state.change == Change::None
    }
}
