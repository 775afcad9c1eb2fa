//! A Reverse Synchronization: one extent of one block, writes of hosts to it that overlap, legs that fail, a payload that
//! is not stable, host flushes, a flush that fails, power losses at every point.
//!
//! ```text
//!   write:  older ones first --> G := 1 --> page durable --> S and C --> both done --> ack
//!   copy:   claim --> (exclusive: no write under way) --> read C --> write S --> D := 0
//!                                                    a write at any time between: D stays
//!   sweep:  D = 0, no write --> F(S), F(C) --> G := 0 --> page
//!   flip:   D = 0 --> gate closed --> drain --> F(S), F(C) --> superblock {Synchronized} --> hosts read S
//! ```
//!
//! Flushes are one step: no bit hangs on what completes during one (R20 is in `restore.rs`). Flushes fail only while no
//! host write is under way; N8 is needed otherwise.

use crate::checker::{Bounds, Model, Steps};
use crate::medium::{BITS_5, Block, Values, each, only};
use crate::{packed, rules, stages};

rules! {
    R22_CLONE = "a host flush reaches the Clone",
    R22_SOURCE = "a host flush reaches the Source",
    R40 = "the intent is durable before either leg",
    R41_READS = "hosts read the Clone until the flip",
    R41_RECOVERY = "Recovery takes the Clone for right",
    R42 = "a write is acknowledged after both legs",
    R43 = "overlapping writes one after the other",
    R44_BEFORE = "a copy collides with writes under way when it begins",
    R44_DURING = "a copy collides with writes that begin during it",
    R46 = "after so many collisions writes wait for the copy",
    R47_LEGS = "no intent is cleared beside a write",
    R47_SOURCE = "F(S) before an intent is cleared",
    R47_CLONE = "F(C) before an intent is cleared",
    R48_DRAIN = "what is under way finishes before the flip",
    R48_HELD = "held writes are not waited for",
    R48_SOURCE = "F(S) before the flip",
    R48_CLONE = "F(C) before the flip",
    R50_SOURCE = "a leg to the Source that failed leaves D",
    R50_CLONE = "a leg to the Clone that failed leaves D",
    R51 = "an unstable payload leaves D",
    N10_INTENTS = "a failed flush makes every intent a difference",
    N10_COPY = "a failed flush spoils the copy under way",
    R58 = "a Synchronized Clone with an intent comes up Synchronizing",
}

const BEFORE: u8 = 0;
const CLONE: u8 = 1;
const WRITES: usize = 3;
/// Collisions after which a copy is exclusive.
const RECOPIES: u8 = 1;

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
    enum Life {
        Reversing,
        /// The gate is closed.
        Draining,
        Committing,
        Synchronized,
    }
}

packed! {
    struct State {
        source: Block => BITS_5,
        clone: Block => BITS_5,
        /// What hosts may find after a power loss.
        host: Block => BITS_5,
        /// What a read may return: more than one value if writes overlapped.
        current: Values => 5,
        writes: [Write; WRITES] => 6,
        to_source: [Leg; WRITES] => 6,
        to_clone: [Leg; WRITES] => 6,
        /// The write whose payload is not stable, plus 1.
        unstable: u8 => 2,
        /// Writes that overlapped each in time.
        beside: [u8; WRITES] => 9,
        d: bool => 1,
        g: bool => 1,
        page: bool => 1,
        dirty: bool => 1,
        page_writing: bool => 1,
        image: bool => 1,
        copying: Copying => 2,
        buffer: u8 => 3,
        collided: bool => 1,
        spoiled: bool => 1,
        exclusive: bool => 1,
        collisions: u8 => 2,
        life: Life => 2,
        /// A host flush has to reach these still: 1 the Source, 2 the Clone.
        flushing: u8 => 2,
        host_flush: bool => 1,
        writes_left: u8 => 2,
        flushes_left: u8 => 1,
        losses_left: u8 => 2,
        failures_left: u8 => 1,
        reads_left: u8 => 1,
        volatile: bool => 1,
    }
}

/// See the module.
pub struct Reverse {
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

    /// What a write sends to the Source.
    fn sent(&self, write: usize) -> u8 {
        // What a payload that changes leaves there matters only while the Clone counts.
        let reversing = matches!(self.life, Life::Reversing | Life::Draining);
        if reversing && usize::from(self.unstable) == write + 1 { BEFORE } else { data(write) }
    }

    fn under_way_to_source(&self) -> Values {
        let copy = if self.copying == Copying::Writing { only(self.buffer) } else { 0 };
        (0..WRITES)
            .filter(|&write| self.to_source[write] == Leg::UnderWay)
            .fold(copy, |values, write| values | only(self.sent(write)))
    }

    fn under_way_to_clone(&self) -> Values {
        (0..WRITES)
            .filter(|&write| self.to_clone[write] == Leg::UnderWay)
            .fold(0, |values, write| values | only(data(write)))
    }

    fn flush_source(&mut self) {
        let under_way = self.under_way_to_source();
        self.source.flush(under_way);
    }

    fn flush_clone(&mut self) {
        let under_way = self.under_way_to_clone();
        self.clone.flush(under_way);
    }

    fn recorded(&self) -> bool {
        self.page && (!self.page_writing || self.image)
    }
}

impl Reverse {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn reads_clone(&self, state: &State) -> bool {
        state.life != Life::Synchronized && self.on(Rule::R41_READS)
    }

    // ------------------------------------------------------------------- hosts

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        if let (true, Some(write)) =
            (state.writes_left > 0, state.writes.iter().position(|&write| write == Write::Unused))
        {
            for unstable in [false, true] {
                // One payload of a life may change while it is written.
                if unstable && (state.unstable != 0 || state.failures_left == 0) {
                    continue;
                }
                let mut next = *state;
                next.writes_left -= 1;
                if unstable {
                    next.unstable = write as u8 + 1;
                    next.failures_left -= 1;
                }
                for other in (0..WRITES).filter(|&other| state.is_open(other)) {
                    next.beside[other] |= only(write as u8);
                    next.beside[write] |= only(other as u8);
                }
                next.writes[write] = Write::Waiting;
                next.host.submit(data(write));
                steps.to(if unstable { "write {}, not stable" } else { "write {}" }, write as u8, next);
            }
        }
        if state.reads_left > 0 && state.open() == 0 {
            let view = if self.reads_clone(state) { state.clone.now } else { state.source.now };
            if state.current != only(view) {
                let mut next = *state;
                next.reads_left -= 1;
                next.current = only(view);
                steps.to("a host reads {}", view, next);
            }
        }
        self.host_flush_steps(state, steps);
        for write in 0..WRITES {
            match state.writes[write] {
                Write::Waiting => self.send(state, write, steps),
                Write::Submitted => self.leg_steps(state, write, steps),
                _ => {}
            }
        }
    }

    fn host_flush_steps(&self, state: &State, steps: &mut Steps<State>) {
        if state.flushes_left > 0 && !state.host_flush && state.volatile {
            let mut next = *state;
            next.flushes_left -= 1;
            next.host_flush = true;
            next.flushing = u8::from(self.on(Rule::R22_SOURCE)) | u8::from(self.on(Rule::R22_CLONE)) << 1;
            next.host.sealed = state.current | state.open();
            steps.to("host flush", 0, next);
        }
        if state.flushing & 1 != 0 {
            let mut next = *state;
            next.flushing &= 2;
            next.flush_source();
            steps.to("F(S) for the host", 0, next);
        }
        if state.flushing & 2 != 0 {
            let mut next = *state;
            next.flushing &= 1;
            next.flush_clone();
            steps.to("F(C) for the host", 0, next);
        }
        if state.host_flush && state.flushing == 0 {
            let mut next = *state;
            next.host_flush = false;
            next.host.flushed();
            steps.to("host flush is acknowledged", 0, next);
        }
    }

    fn send(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        let held = matches!(state.life, Life::Draining | Life::Committing);
        let older = (0..write).any(|older| state.writes[older] == Write::Waiting);
        let overlaps = older || state.submitted();
        if held || overlaps && self.on(Rule::R43) || state.exclusive {
            return;
        }
        let mut next = *state;
        if !state.g {
            (next.g, next.dirty) = (true, true);
            steps.to("write {} sets its intent", write as u8, next);
        } else if state.recorded() || !self.on(Rule::R40) {
            next.writes[write] = Write::Submitted;
            next.to_source[write] = Leg::UnderWay;
            next.to_clone[write] = Leg::UnderWay;
            next.source.submit(state.sent(write));
            next.clone.submit(data(write));
            // A copy that overlaps it is made again (R44).
            next.collided |= state.copying != Copying::Idle && self.on(Rule::R44_DURING);
            next.d |= usize::from(state.unstable) == write + 1 && self.on(Rule::R51);
            steps.to("write {} goes to both", write as u8, next);
        }
    }

    fn leg_steps(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        if state.to_source[write] == Leg::UnderWay {
            let mut next = *state;
            next.to_source[write] = Leg::Done;
            let under_way = next.under_way_to_source();
            next.source.complete(state.sent(write), !state.volatile, under_way);
            self.end_legs(&mut next, write);
            steps.to("write {}: the Source has it", write as u8, next);
            if state.failures_left > 0 && state.life != Life::Synchronized {
                let mut next = *state;
                next.failures_left -= 1;
                next.to_source[write] = Leg::Done;
                // The host does not hear of it.
                next.d |= self.on(Rule::R50_SOURCE);
                self.end_legs(&mut next, write);
                steps.to("write {} to the Source fails", write as u8, next);
            }
        }
        if state.to_clone[write] == Leg::UnderWay {
            let mut next = *state;
            next.to_clone[write] = Leg::Done;
            let under_way = next.under_way_to_clone();
            next.clone.complete(data(write), !state.volatile, under_way);
            self.end_legs(&mut next, write);
            steps.to("write {}: the Clone has it", write as u8, next);
            if state.failures_left > 0
                && state.life != Life::Synchronized
                && state.to_source[write] == Leg::Done
            {
                let mut next = *state;
                next.failures_left -= 1;
                next.to_clone[write] = Leg::Done;
                next.writes[write] = Write::Done;
                (next.to_source[write], next.to_clone[write]) = (Leg::None, Leg::None);
                next.d |= self.on(Rule::R50_CLONE);
                // The host is told: it finds the old value or the new one.
                next.current |= only(data(write));
                steps.to("write {} to the Clone fails, the host is told", write as u8, next);
            }
        }
    }

    fn end_legs(&self, next: &mut State, write: usize) {
        let both = next.to_source[write] == Leg::Done && next.to_clone[write] == Leg::Done;
        let either = !self.on(Rule::R42) && next.to_source[write] == Leg::Done;
        if !both && !either || next.writes[write] != Write::Submitted {
            if both {
                (next.to_source[write], next.to_clone[write]) = (Leg::None, Leg::None);
            }
            return;
        }
        if both {
            (next.to_source[write], next.to_clone[write]) = (Leg::None, Leg::None);
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
        let copies = matches!(state.life, Life::Reversing | Life::Draining);
        match state.copying {
            Copying::Idle if state.d && copies => {
                let exclusive = state.collisions >= RECOPIES && self.on(Rule::R46);
                let mut next = *state;
                if exclusive && !state.exclusive {
                    next.exclusive = true;
                    steps.to("copy is claimed, writes wait for it", 0, next);
                } else if !exclusive || !state.submitted() {
                    next.copying = Copying::Reading;
                    next.collided = state.submitted() && self.on(Rule::R44_BEFORE);
                    steps.to("copy begins to read the Clone", 0, next);
                }
            }
            Copying::Idle => {}
            Copying::Reading => {
                for value in each(only(state.clone.now) | state.under_way_to_clone()) {
                    let mut next = *state;
                    next.copying = Copying::Writing;
                    next.buffer = value;
                    next.source.submit(value);
                    steps.to("copy has read {}, writes the Source", value, next);
                }
            }
            Copying::Writing => {
                let mut next = *state;
                next.copying = Copying::Idle;
                next.buffer = 0;
                let under_way = next.under_way_to_source();
                next.source.complete(state.buffer, !state.volatile, under_way);
                (next.collided, next.spoiled, next.exclusive) = (false, false, false);
                if state.spoiled {
                    steps.to("copy is over and does not count", 0, next);
                } else if state.collided {
                    next.collisions = (state.collisions + 1).min(3);
                    steps.to("copy is over and collided: D stays", 0, next);
                } else {
                    (next.d, next.collisions) = (false, 0);
                    steps.to("copy is over, D := 0", 0, next);
                }
            }
        }
    }

    // ---------------------------------------------------------------- metadata

    fn metadata_steps(&self, state: &State, steps: &mut Steps<State>) {
        if state.dirty && !state.page_writing {
            let mut next = *state;
            (next.dirty, next.page_writing, next.image) = (false, true, state.g);
            steps.to("page {} is submitted", u8::from(state.g), next);
        }
        if state.page_writing {
            let mut next = *state;
            (next.page, next.page_writing, next.image) = (state.image, false, false);
            steps.to("page {} is durable", u8::from(state.image), next);
        }
        let quiet = !state.submitted() || !self.on(Rule::R47_LEGS);
        let waits = (0..WRITES).any(|write| state.writes[write] == Write::Waiting);
        if state.g
            && !state.d
            && quiet
            && !waits
            && !state.dirty
            && !state.page_writing
            && state.life != Life::Committing
        {
            let mut next = *state;
            if self.on(Rule::R47_SOURCE) {
                next.flush_source();
            }
            if self.on(Rule::R47_CLONE) {
                next.flush_clone();
            }
            (next.g, next.dirty) = (false, true);
            steps.to("F(S), F(C), the sweeper clears G", 0, next);
        }
        // A flush fails, and that LU drops what it had cached.
        let idle = state.volatile && !state.submitted() && state.life == Life::Reversing && !state.host_flush;
        if state.failures_left > 0 && idle {
            for clone in [false, true] {
                let lu = if clone { state.clone } else { state.source };
                if let Some(value) = each(lu.kept).find(|&value| value != lu.now) {
                    let mut next = *state;
                    next.failures_left -= 1;
                    let left = Block { kept: only(value), now: value, sealed: 0 };
                    if clone {
                        next.clone = left;
                        next.current |= only(value);
                    } else {
                        let under_way = state.under_way_to_source();
                        next.source = Block { kept: left.kept | under_way, ..left };
                    }
                    next.d |= state.g && self.on(Rule::N10_INTENTS);
                    next.spoiled |= state.copying != Copying::Idle && self.on(Rule::N10_COPY);
                    steps.to(
                        if clone { "F(C) fails, {} is left" } else { "F(S) fails, {} is left" },
                        value,
                        next,
                    );
                }
            }
        }
    }

    fn life_steps(&self, state: &State, steps: &mut Steps<State>) {
        let copied = !state.d && state.copying == Copying::Idle;
        let mut next = *state;
        match state.life {
            Life::Reversing if copied => {
                next.life = Life::Draining;
                steps.to("D = 0: the gate closes", 0, next);
            }
            Life::Draining => {
                let under_way = state.submitted() && self.on(Rule::R48_DRAIN);
                let held = state.writes.contains(&Write::Waiting) && !self.on(Rule::R48_HELD);
                if copied && !under_way && !held && !state.dirty && !state.page_writing && state.flushing == 0
                {
                    if self.on(Rule::R48_SOURCE) {
                        next.flush_source();
                    }
                    if self.on(Rule::R48_CLONE) {
                        next.flush_clone();
                    }
                    next.life = Life::Committing;
                    steps.to("F(S), F(C), superblock {Synchronized} is submitted", 0, next);
                }
            }
            Life::Committing => {
                next.life = Life::Synchronized;
                steps.to("superblock {Synchronized} is durable, hosts read the Source", 0, next);
            }
            Life::Reversing | Life::Synchronized => {}
        }
    }

    // ---------------------------------------------------------------- recovery

    fn power_losses(&self, state: &State, steps: &mut Steps<State>) {
        if state.losses_left == 0 {
            return;
        }
        let lives: &[Life] = match state.life {
            Life::Committing => &[Life::Reversing, Life::Synchronized],
            Life::Synchronized => &[Life::Synchronized],
            _ => &[Life::Reversing],
        };
        let pages: &[bool] = if state.page_writing { &[state.page, state.image] } else { &[state.page] };
        for &life in lives {
            for &page in pages {
                for source in each(state.source.kept) {
                    for clone in each(state.clone.kept) {
                        steps.power_loss(self.recover(state, life, page, source, clone));
                    }
                }
            }
        }
    }

    fn recover(
        &self,
        state: &State,
        life: Life,
        page: bool,
        source: u8,
        clone: u8,
    ) -> Result<State, &'static str> {
        if source != clone && !page {
            return Err("I2: the LUs differ, and no bit says so");
        }
        let reversing = life == Life::Reversing;
        let of_clone = reversing && self.on(Rule::R41_RECOVERY);
        let view = if of_clone { clone } else { source };
        if state.host.kept >> view & 1 == 0 {
            return Err(if view == BEFORE {
                "I8: a host reads what was there before"
            } else {
                "I8: an acknowledged write is lost, or what was read changed"
            });
        }
        // A Synchronized Clone that may differ is copied from the Source at once (R58).
        let synchronizes = life == Life::Synchronized && page && self.on(Rule::R58);
        let clone = if synchronizes { source } else { clone };
        if life == Life::Synchronized && clone != source {
            return Err("a Clone that is Synchronized differs from the Source");
        }
        Ok(State {
            source: Block::holding(source),
            clone: Block::holding(clone),
            host: Block::holding(view),
            current: only(view),
            writes: state.writes.map(|write| if write == Write::Unused { write } else { Write::Done }),
            to_source: [Leg::None; WRITES],
            to_clone: [Leg::None; WRITES],
            beside: [0; WRITES],
            d: page && reversing,
            g: page,
            page,
            dirty: false,
            page_writing: false,
            image: false,
            copying: Copying::Idle,
            buffer: 0,
            collided: false,
            spoiled: false,
            exclusive: false,
            collisions: 0,
            life,
            flushing: 0,
            host_flush: false,
            losses_left: state.losses_left - 1,
            ..*state
        })
    }
}

impl Model for Reverse {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "reverse";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] = &[(
        Rule::R48_CLONE,
        "what C may lose keeps its intent until both are flushed (R47), and S counts then",
    )];

    fn new(off: Option<Rule>, bounds: Bounds) -> Reverse {
        Reverse { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        let mut all = Vec::new();
        for number in 0..4 {
            let (volatile, differs) = (number & 1 != 0, number & 2 != 0);
            let source = if differs { BEFORE } else { CLONE };
            all.push(State {
                source: Block::holding(source),
                clone: Block::holding(CLONE),
                host: Block::holding(CLONE),
                current: only(CLONE),
                writes: [Write::Unused; WRITES],
                to_source: [Leg::None; WRITES],
                to_clone: [Leg::None; WRITES],
                unstable: 0,
                beside: [0; WRITES],
                d: differs,
                g: differs,
                page: differs,
                dirty: false,
                page_writing: false,
                image: false,
                copying: Copying::Idle,
                buffer: 0,
                collided: false,
                spoiled: false,
                exclusive: false,
                collisions: 0,
                life: Life::Reversing,
                flushing: 0,
                host_flush: false,
                writes_left: self.bounds.pick(2, 2, 3),
                flushes_left: self.bounds.pick(0, 1, 1),
                losses_left: 1,
                failures_left: 1,
                reads_left: self.bounds.pick(0, 1, 1),
                volatile,
            });
        }
        all
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.life_steps(state, steps);
        self.host_steps(state, steps);
        self.copy_steps(state, steps);
        self.metadata_steps(state, steps);
        self.power_losses(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        let view = if self.reads_clone(state) { state.clone.now } else { state.source.now };
        if (state.current | state.open()) >> view & 1 == 0 {
            return Some("I8: a host reads what it may not");
        }
        if state.collisions > RECOPIES + 1 {
            return Some("I7: an extent is copied again and again");
        }
        let quiet = !state.submitted() && state.copying == Copying::Idle;
        if state.life == Life::Synchronized && quiet && state.source.now != state.clone.now && !state.g {
            return Some("I2: a Clone that is Synchronized differs, and no bit says so");
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        state.life == Life::Synchronized && state.open() == 0 && !state.host_flush
    }
}
