//! How a controller goes down and comes up again: power is lost, or the group is closed; then it recovers, or is
//! formatted over.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::life::Life;
use crate::common::draw::weighted;
use crate::common::world::{Habits, Profile};

/// How it goes down, and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Power,
    Close,
    Format,
}

const WAYS: [Way; 3] = [Way::Power, Way::Close, Way::Format];

impl Life {
    pub(super) fn restart(&mut self) {
        let way = WAYS[weighted(&self.swarm.restarts, &mut self.rng)];
        match way {
            Way::Close => self.close_among_faults(),
            _ => self.power_loss(),
        }
        match way {
            Way::Format => self.calmly(Life::format_over),
            _ => self.calmly(Life::recover),
        }
    }

    /// Nothing fails, hangs or comes in between.
    pub(super) fn calmly(&mut self, act: impl FnOnce(&mut Life)) {
        let (profile, habits) = (self.world.inner.borrow().profile, self.world.inner.borrow().habits);
        let faults = {
            let inner = &mut *self.world.inner.borrow_mut();
            (std::mem::take(&mut inner.lasting), std::mem::take(&mut inner.bad_blocks))
        };
        self.behave_as(
            Profile { faults: 0, metadata_faults: 0, ..profile },
            Habits { hangs: 0, slow: 0, reenters: 0, ..habits },
        );
        act(self);
        self.behave_as(profile, habits);
        let inner = &mut *self.world.inner.borrow_mut();
        (inner.lasting, inner.bad_blocks) = faults;
    }

    fn behave_as(&self, profile: Profile, habits: Habits) {
        let inner = &mut *self.world.inner.borrow_mut();
        inner.profile = profile;
        inner.habits = habits;
    }

    /// Some steps from now.
    fn power_fails_within(&mut self, steps: u64) {
        let after = self.rng.u64(1..steps);
        let inner = &mut *self.world.inner.borrow_mut();
        inner.power_fails_at = inner.steps + after;
    }

    fn power_loss(&mut self) {
        if self.rng.bool() {
            // In the middle of a turn.
            self.power_fails_within(40);
            for _ in 0..200 {
                if self.world.power_is_off() {
                    break;
                }
                self.any_turn();
            }
        }
        self.lose_power();
    }

    /// Hosts, the controller or the library.
    fn any_turn(&mut self) {
        match self.rng.usize(..4) {
            0 => self.host(),
            1 => self.world.complete_some(self.swarm.completions),
            2 => drop(self.world.poll(self.swarm.budget)),
            _ => drop(self.world.step(self.swarm.budget)),
        }
        self.follow();
    }

    pub(super) fn lose_power(&mut self) {
        let keep = [0, 64, 128, 256][self.rng.usize(..4)];
        self.lose_power_keeping(keep);
    }

    /// Of 256 things that are not durable so many are kept.
    fn lose_power_keeping(&mut self, keep: u32) {
        if self.rng.usize(..4) == 0 {
            self.world.destroy();
        }
        let mut fate = self.rng.fork();
        self.world.lose_power(move || fate.u32(..256) < keep);
        self.pending = None;
        (self.patience, self.expected) = (0, None);
        self.aborted.clear();
    }

    /// Where LUs fail now and then, some fail often at the end.
    fn close_among_faults(&mut self) {
        let faults = self.world.inner.borrow().profile.faults;
        if faults > 0 && self.rng.bool() {
            self.world.inner.borrow_mut().profile.faults = 65536 / 4;
        }
        self.close();
        self.world.inner.borrow_mut().profile.faults = faults;
    }

    /// In order, with requests and copies under way and hosts that go on; or power is lost meanwhile.
    fn close(&mut self) {
        // SAFETY: a live group.
        let asked = self.world.operation(|group, tag| unsafe { clone_group_close(group, tag) });
        let Ok(tag) = asked else {
            self.counts.count("operations refused", 1);
            return self.lose_power();
        };
        if self.rng.usize(..4) == 0 {
            self.power_fails_within(60);
        }
        for _ in 0..200_000 {
            if self.world.power_is_off() {
                return self.lose_power();
            }
            if let Some(status) = self.world.done_operation(tag) {
                self.check_closed(status);
                return self.lose_power();
            }
            self.any_turn();
        }
        panic!("a close does not end");
    }

    /// It may fail only if something else did; then the group is as after a power loss.
    fn check_closed(&mut self, status: i32) {
        if status == CLONE_GROUP_OK {
            self.world.check_closed();
            self.counts.count("closed", 1);
        } else {
            let inner = self.world.inner.borrow();
            assert!(inner.fault_seen || inner.metadata_fault_seen, "a close failed with {status}");
        }
        assert_eq!(self.world.read_now(0, 0, 1), Err(CLONE_GROUP_ERR_CLOSED), "a closed group serves hosts");
    }

    // ------------------------------------------------------------------ Format

    /// Over a valid group it asks first; then it leaves the old group, none or the new one, whenever power is lost (R74).
    fn format_over(&mut self) {
        self.world.inner.borrow_mut().damage.heal();
        self.world.power_on();
        let older = self.world.sequences();
        let found = self.world.inner.borrow().area.now.clone();
        assert_eq!(self.format(0), CLONE_GROUP_ERR_METADATA_EXISTS, "a format goes over a valid group (R74)");
        assert!(
            self.world.inner.borrow().area.now == found,
            "a format that was refused changed the metadata"
        );
        match self.format_slowly() {
            None => {
                self.lose_power_keeping(128);
                self.recover_from_format(&older);
            }
            Some(status) => {
                assert_eq!(status, CLONE_GROUP_OK);
                self.begin_anew(&older);
            }
        }
    }

    /// Flushes are slower than writes, so that what does not wait for them is there before. `None`: power is lost.
    fn format_slowly(&mut self) -> Option<i32> {
        // SAFETY: a live group.
        let format = |group, tag| unsafe { clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, tag) };
        let tag = self.world.operation(format).expect("it is accepted");
        loop {
            let done = self.world.done_operation(tag);
            if done.is_some() || self.rng.usize(..16) == 0 {
                return done;
            }
            self.world.poll(4);
            if self.rng.usize(..8) == 0 {
                self.world.complete_some(1);
            } else {
                self.world.complete_where(|io| io.operation != CLONE_GROUP_IO_PERSIST_FLUSH);
            }
        }
    }

    fn format(&self, flags: u32) -> i32 {
        // SAFETY: a live group.
        self.world.run_operation(|group, tag| unsafe { clone_group_format(group, flags, tag) })
    }

    /// Sequence numbers go on, so that no slot of the old group can count again.
    fn begin_anew(&mut self, older: &[u64]) {
        let newer = self.world.sequences();
        assert!(
            newer.iter().min() > older.iter().max(),
            "{newer:?} after {older:?}: a stale slot would count (R74)"
        );
        self.world.begins_anew();
        self.counts.count("formatted anew", 1);
    }

    /// Power was lost in the middle of a format.
    fn recover_from_format(&mut self, older: &[u64]) {
        let (outlook, found) = (self.world.outlook(), self.world.sequences());
        self.world.power_on();
        let status = self.start(0);
        assert_eq!(status, outlook.status, "Recovery of an unfinished format (R74)");
        match status {
            CLONE_GROUP_OK if found.iter().max() > older.iter().max() => {
                self.world.begins_anew();
                self.counts.count("formats cut short, and there", 1);
            }
            CLONE_GROUP_OK => {
                self.check_recovered();
                self.counts.count("formats cut short before they began", 1);
            }
            status => {
                let none = [CLONE_GROUP_ERR_METADATA_MISSING, CLONE_GROUP_ERR_METADATA_DAMAGED];
                assert!(none.contains(&status), "Recovery of an unfinished format: {status} (R74)");
                assert_eq!(self.format(0), CLONE_GROUP_OK, "no group is there, and it cannot be formatted");
                self.world.begins_anew();
                self.counts.count("formats cut short, and none there", 1);
            }
        }
    }
}
