//! The operations of the table, each on Clone 1, and what became of them.

use std::ptr::null;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::common::world::TAG_OPERATION;
use super::observe::{Observed, STATES, Snapshot, ios, status_name};
use super::situations::Place;

/// An operation by its name on the page.
pub struct Operation {
    pub name: &'static str,
    call: fn(&mut Place, u64) -> i32,
}

const TAG: u64 = TAG_OPERATION + (1 << 20);

const fn operation(name: &'static str, call: fn(&mut Place, u64) -> i32) -> Operation {
    Operation { name, call }
}

macro_rules! calls {
    ($($name:literal => |$group:ident, $tag:ident| $call:expr;)*) => {
        [$(operation($name, |place, $tag| {
            let $group = place.world.group();
            // SAFETY: a live group.
            unsafe { $call }
        }),)*]
    };
}

const SIMPLE: [Operation; 19] = calls! {
    "add" => |group, tag| clone_group_clone_add(group, 1, tag);
    "remove" => |group, tag| clone_group_clone_remove(group, 1, tag);
    "synchronize" => |group, tag| clone_group_synchronize(group, 1, tag);
    "fracture" => |group, tag| clone_group_fracture(group, 1, null(), 0, tag);
    "protected_restore" => |group, tag| clone_group_protected_restore(group, 1, tag);
    "reverse_synchronize" => |group, tag| clone_group_reverse_synchronize(group, 1, tag);
    "retarget" => |group, tag| clone_group_retarget(group, 1, tag);
    "cancel" => |group, tag| clone_group_cancel(group, 1, tag);
    "source_accept" => |group, tag| clone_group_source_accept(group, tag);
    "verify" => |group, tag| clone_group_verify(group, 1, 0, tag);
    "verify_stop" => |group, tag| clone_group_verify_stop(group, tag);
    "pause" => |group, tag| clone_group_pause(group, tag);
    "resume" => |group, tag| clone_group_resume(group, tag);
    "metadata_repair" => |group, tag| clone_group_metadata_repair(group, tag);
    "set_resolve, commit" => |group, tag| clone_group_set_resolve(group, 1, tag);
    "set_resolve, abort" => |group, tag| clone_group_set_resolve(group, 0, tag);
    "format" => |group, tag| clone_group_format(group, 0, tag);
    "recover" => |group, tag| clone_group_recover(group, 0, tag);
    "close" => |group, tag| clone_group_close(group, tag);
};

const OTHERS: [Operation; 3] = [
    operation("set_fracture", |place, tag| {
        let (group, set) = (place.world.group(), &mut *place.set);
        // SAFETY: a live group, and a set that lives as long as it does.
        unsafe { clone_group_set_fracture(&group, &1, 1, set, null(), tag) }
    }),
    operation("set_protected_restore", |place, tag| {
        let (group, set) = (place.world.group(), &mut *place.set);
        // SAFETY: a live group, and a set that lives as long as it does.
        unsafe { clone_group_set_protected_restore(&group, &1, 1, set, tag) }
    }),
    operation("lu_attach", |place, _| {
        let struct_size = size_of::<clone_group_lu>() as u32;
        let lu = clone_group_lu { struct_size, flags: CLONE_GROUP_LU_VOLATILE_CACHE, identity: [2; 16] };
        // SAFETY: a live group and a valid struct.
        unsafe { clone_group_lu_attach(place.world.group(), 1, &lu) }
    }),
];

/// All of them.
pub const OPERATIONS: [Operation; 22] = {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, commit, abort, o, p, q] = SIMPLE;
    let [set_fracture, set_restore, attach] = OTHERS;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, set_fracture, set_restore, commit, abort, attach, o, p, q]
};

impl Operation {
    /// Calls it, waits for `done`, and tells what became of it.
    pub fn observe(&self, place: &mut Place) -> Observed {
        if self.name == "verify_stop" {
            // SAFETY: a live group.
            place.world.run_operation(|group, tag| unsafe { clone_group_verify(group, 1, 0, tag) });
        }
        place.rest();
        place.world.inner.borrow_mut().note_fracture();
        let before = Snapshot::of(&place.world);
        let since = place.world.inner.borrow().submissions.len();
        let status = (self.call)(place, TAG);
        if self.name == "protected_restore" {
            let restorable = before.clone_conditions[1] & CLONE_GROUP_CONDITION_RESTORABLE != 0;
            assert_eq!(restorable, status == CLONE_GROUP_PENDING, "what clone_group_clone_query() foretells");
        }
        let outcome = match status {
            CLONE_GROUP_OK => Ok("OK, "),
            CLONE_GROUP_PENDING => done(place),
            error => Err(status_name(error)),
        };
        place.rest();
        let after = Snapshot::of(&place.world);
        let seen = ios(&place.world, since, 0);
        match outcome {
            Err(error) if before.group_state == after.group_state => {
                assert_eq!(seen, Vec::<String>::new(), "{}: {error}, and I/O", self.name);
                before.assert_same(&after, &format!("{}: {error}", self.name));
                error
            }
            Err(error) => format!("{error}, {}", changes(&before, &after, &seen)),
            Ok(how) => how.to_owned() + &changes(&before, &after, &seen),
        }
    }
}

fn done(place: &Place) -> Result<&'static str, String> {
    for _ in 0..1000 {
        place.world.poll(64);
        match place.world.done_operation(TAG) {
            Some(CLONE_GROUP_OK) => return Ok(""),
            Some(error) => return Err(format!("then {}", status_name(error))),
            None => {}
        }
    }
    panic!("an operation does not end");
}

/// The state of Clone 1, and all else that changed.
fn changes(before: &Snapshot, after: &Snapshot, seen: &[String]) -> String {
    let mut words = vec![STATES[after.states[1] as usize].to_owned()];
    if before.states[2] != after.states[2] {
        words.push(format!("Clone 2 {}", STATES[after.states[2] as usize]));
    }
    if before.group_state != after.group_state {
        let names = ["new", "starting", "ready", "closing", "closed"];
        words.push(names[after.group_state as usize].to_owned());
    }
    let conditions = [
        (CLONE_GROUP_CONDITION_METADATA_FAILED, "METADATA_FAILED", "repaired"),
        (CLONE_GROUP_CONDITION_PAUSED, "paused", "not paused"),
        (CLONE_GROUP_CONDITION_SOURCE_INVALID, "Source invalid", "Source valid"),
        (CLONE_GROUP_CONDITION_POISONED, "poisoned", "not poisoned"),
        (CLONE_GROUP_CONDITION_PREPARED, "prepared", "not prepared"),
    ];
    let of_clone = [
        (CLONE_GROUP_CONDITION_STALLED, "stalled", "not stalled"),
        (CLONE_GROUP_CONDITION_FAILED, "failed", "not failed"),
        (CLONE_GROUP_CONDITION_VERIFYING, "verifying", "not verifying"),
    ];
    let mut note = |was: u32, is: u32, (bit, set, cleared): (u32, &str, &str)| {
        if was & bit != is & bit {
            words.push(if is & bit != 0 { set } else { cleared }.to_owned());
        }
    };
    for condition in conditions {
        note(before.conditions, after.conditions, condition);
    }
    for condition in of_clone {
        note(before.clone_conditions[1], after.clone_conditions[1], condition);
    }
    words.extend(maps(before, after));
    words.extend(seen.iter().cloned());
    words.join(", ")
}

/// What became of D1, D2 and P.
fn maps(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    fn union(a: &[bool], b: &[bool]) -> Vec<bool> {
        a.iter().zip(b).map(|(a, b)| a | b).collect()
    }
    fn without(a: &[bool], b: &[bool]) -> Vec<bool> {
        a.iter().zip(b).map(|(a, b)| a & !b).collect()
    }
    let names = ["D1", "D2", "P"];
    let order = [[2, 1], [0, 2], [1, 0]];
    let onto_source = |state: u32| state >= CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING;
    let begins = onto_source(after.states[1]) && !onto_source(before.states[1]);
    let mut words = Vec::new();
    for map in 0..3 {
        let (was, is) = (&before.maps[map], &after.maps[map]);
        // One map for all Clones may have said so before (R57).
        if was == is && !(map == 1 && begins) {
            continue;
        }
        let other = |join: fn(&[bool], &[bool]) -> Vec<bool>| {
            let others: [usize; 2] = order[map];
            others.into_iter().find(|&other| *is == join(was, &before.maps[other])).map(|map| names[map])
        };
        words.push(match (other(union), other(without)) {
            _ if map != 1 && is.iter().all(|bit| !bit) => format!("{}=0", names[map]),
            _ if is.iter().all(|bit| *bit) => format!("{}=1", names[map]),
            (Some(other), _) => format!("{}+{other}", names[map]),
            (None, Some(other)) => format!("{}-{other}", names[map]),
            _ => format!("{} changed", names[map]),
        });
    }
    words
}
