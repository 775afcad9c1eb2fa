//! The two slots of the superblock: which one is written next, which one Recovery takes, what is done about one that
//! stayed behind, failed or was damaged. The area has a volatile cache; a write that is not flushed may be there
//! after a power loss, may not be there, or be torn.
//!
//! ```text
//!   change:   older slot, sequence + 1 --> flush: committed --> other slot, sequence + 1 --> flush --> acknowledged
//!                       `--> fails: unknown; hosts do not write --> repair: the same slot, sequence + 1 ...
//!   Recovery: of two valid slots the one with the higher sequence; if they do not agree, a change is due
//! ```
//!
//! One slot may be damaged when nothing is under way or due: then nothing that was acknowledged is lost.

use crate::checker::{Bounds, Model, Steps};
use crate::{packed, rules, stages};

rules! {
    R30 = "never the slot that is the newest valid one",
    R31_HIGHER = "the higher sequence wins",
    R31_OTHER = "the other slot is rewritten before the change is acknowledged",
    R31_SEQUENCE = "each write has a higher sequence",
    R26 = "a slot is flushed before the other one is written",
    R33_SLOT = "after a failure the same slot is written again",
    R33_HOSTS = "hosts do not write while the result is unknown",
    N5 = "Recovery brings a slot that stayed behind up to date",
}

packed! {
    /// A slot, or an image on its way to one.
    struct Image {
        valid: bool => 1,
        sequence: u8 => 5,
        /// The number of the change that it says.
        content: u8 => 2,
    }
}

stages! {
    enum Stage {
        Idle,
        First,
        FirstFlush,
        Second,
        SecondFlush,
    }
}

packed! {
    struct State {
        slots: [Image; 2] => 16,
        /// What is on its way to each, if it is valid.
        pending: [Image; 2] => 16,
        stage: Stage => 3,
        /// What memory says.
        content: u8 => 2,
        /// What the superblock under way says.
        next: u8 => 2,
        sequence: u8 => 5,
        newest: u8 => 1,
        unknown: bool => 1,
        /// A change is due, or repair is needed.
        due: bool => 1,
        /// What was acknowledged.
        acknowledged: u8 => 2,
        /// Hosts wrote while the result of a superblock was unknown.
        wrote: bool => 1,
        losses_left: u8 => 2,
        failures_left: u8 => 2,
        damage_left: u8 => 1,
    }
}

/// See the module.
pub struct Superblock {
    off: Option<Rule>,
    bounds: Bounds,
}

const NOTHING: Image = Image { valid: false, sequence: 0, content: 0 };

impl Superblock {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn submit(&self, next: &mut State) {
        next.sequence += u8::from(self.on(Rule::R31_SEQUENCE) || next.stage == Stage::Second);
        let target = usize::from(if self.on(Rule::R30) { next.newest ^ 1 } else { next.newest });
        next.pending[target] = Image { valid: true, sequence: next.sequence, content: next.next };
    }

    fn change_steps(&self, state: &State, changes: u8, steps: &mut Steps<State>) {
        let mut next = *state;
        match state.stage {
            Stage::Idle => {
                next.stage = Stage::First;
                next.next = state.content;
                if state.due {
                    self.submit(&mut next);
                    steps.to("a superblock is due, or repair: {} again", state.content, next);
                } else if !state.unknown && state.content < changes {
                    next.next = state.content + 1;
                    self.submit(&mut next);
                    steps.to("change {} is submitted", next.next, next);
                }
            }
            Stage::First | Stage::Second => {
                next.stage = if state.stage == Stage::First { Stage::FirstFlush } else { Stage::SecondFlush };
                steps.to("slot is written", 0, next);
                self.fail(state, "slot fails", steps);
            }
            Stage::FirstFlush | Stage::SecondFlush => {
                self.flushed(state, steps);
                self.fail(state, "flush of the area fails", steps);
            }
        }
        if state.unknown && !self.on(Rule::R33_HOSTS) && !state.wrote && state.stage == Stage::Idle {
            let mut next = *state;
            next.wrote = true;
            steps.to("hosts write as after change {}", state.content, next);
        }
    }

    fn flushed(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        let first = state.stage == Stage::FirstFlush;
        if self.on(Rule::R26) || !first {
            for slot in 0..2 {
                if state.pending[slot].valid {
                    next.slots[slot] = state.pending[slot];
                    next.pending[slot] = NOTHING;
                }
            }
        }
        next.newest ^= 1;
        next.unknown = false;
        next.content = state.next;
        next.wrote = false;
        if first && self.on(Rule::R31_OTHER) {
            next.stage = Stage::Second;
            self.submit(&mut next);
            steps.to("flushed: committed, the other slot is submitted", 0, next);
        } else {
            (next.stage, next.due) = (Stage::Idle, false);
            next.acknowledged = next.content;
            steps.to("flushed: acknowledged", 0, next);
        }
    }

    /// A write or its flush failed: whether it is there is unknown (R33).
    fn fail(&self, state: &State, text: &'static str, steps: &mut Steps<State>) {
        if state.failures_left == 0 {
            return;
        }
        for fate in 0..3 {
            let mut next = *state;
            next.failures_left -= 1;
            for slot in (0..2).filter(|&slot| state.pending[slot].valid) {
                next.slots[slot] = outcome(state, slot, fate);
                next.pending[slot] = NOTHING;
            }
            if matches!(state.stage, Stage::First | Stage::FirstFlush) {
                next.unknown = true;
            } else {
                next.acknowledged = state.content;
            }
            if !self.on(Rule::R33_SLOT) {
                next.newest ^= 1;
            }
            (next.stage, next.due) = (Stage::Idle, true);
            steps.to(text, 0, next);
        }
    }

    fn recover(&self, state: &State, slots: [Image; 2], steps: &mut Steps<State>) {
        let higher = slots[1].valid && (!slots[0].valid || slots[1].sequence > slots[0].sequence);
        let taken = if self.on(Rule::R31_HIGHER) { higher } else { !slots[0].valid };
        let image = slots[usize::from(taken)];
        let disagree = !slots[0].valid || !slots[1].valid || slots[0].content != slots[1].content;
        let recovered = if !image.valid {
            Err("both slots are lost")
        } else if image.content < state.acknowledged || image.content < state.content {
            Err("the group is taken back in time")
        } else if state.wrote && image.content != state.content {
            Err("hosts wrote in a state that is not the one that comes up")
        } else {
            Ok(State {
                slots,
                pending: [NOTHING; 2],
                stage: Stage::Idle,
                content: image.content,
                next: 0,
                sequence: image.sequence,
                newest: u8::from(taken),
                unknown: false,
                due: disagree && self.on(Rule::N5),
                acknowledged: image.content,
                wrote: false,
                losses_left: state.losses_left.saturating_sub(1),
                ..*state
            })
        };
        steps.power_loss(recovered);
    }
}

/// What becomes of a slot that is being written: as before, as intended, or torn.
fn outcome(state: &State, slot: usize, fate: u8) -> Image {
    match fate {
        _ if !state.pending[slot].valid => state.slots[slot],
        0 => state.slots[slot],
        1 => state.pending[slot],
        _ => NOTHING,
    }
}

impl Model for Superblock {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "superblock";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] = &[];

    fn new(off: Option<Rule>, bounds: Bounds) -> Superblock {
        Superblock { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        // After Format: both slots say the same.
        let slot = |sequence| Image { valid: true, sequence, content: 0 };
        vec![State {
            slots: [slot(2), slot(1)],
            pending: [NOTHING; 2],
            stage: Stage::Idle,
            content: 0,
            next: 0,
            sequence: 2,
            newest: 0,
            unknown: false,
            due: false,
            acknowledged: 0,
            wrote: false,
            losses_left: self.bounds.pick(2, 3, 3),
            failures_left: self.bounds.pick(2, 2, 3),
            damage_left: 1,
        }]
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.change_steps(state, self.bounds.pick(2, 3, 3), steps);
        if state.losses_left > 0 {
            for first in 0..3 {
                for second in 0..3 {
                    self.recover(state, [outcome(state, 0, first), outcome(state, 1, second)], steps);
                }
            }
        }
        if state.damage_left > 0 && state.stage == Stage::Idle && !state.due && !state.unknown {
            for slot in 0..2 {
                let mut damaged = State { damage_left: 0, ..*state };
                damaged.slots[slot] = NOTHING;
                self.recover(&damaged, damaged.slots, steps);
            }
        }
    }

    fn fault(&self, _: &State) -> Option<&'static str> {
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        state.stage == Stage::Idle && !state.due
    }
}
