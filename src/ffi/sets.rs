//! The entry points for several groups at once (R77).

use super::handle::{self, guard};
use super::structs;
use super::types::*;
use crate::error::Error;
use crate::group::Operation;
use crate::parts;
use crate::set::{MEMBERS_MAX, Votes};

/// Fills `set` for one call of clone_group_set_fracture() or
/// clone_group_set_protected_restore(). `id` names the set in the superblocks: not
/// 0, and another one for every set, also after a restart (a time, a counter, a
/// random number).
///
/// Context: any context.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_STRUCT_SIZE (the caller's struct is smaller than the library's).
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
///
/// # Safety
/// `set` must be NULL or point to `struct_size` writable bytes that no group uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_set_init(set: *mut clone_group_set, struct_size: u32, id: u64) -> i32 {
    guard(None, || {
        parts::needs(parts::SETS)?;
        if set.is_null() || !set.is_aligned() || id == 0 {
            return Err(Error::Invalid);
        }
        if struct_size < structs::size_field::<clone_group_set>() {
            return Err(Error::StructSize);
        }
        // SAFETY: the caller's promise; the struct is inside `struct_size`.
        unsafe {
            structs::init(set.cast(), struct_size);
            (*set).id = id;
        }
        Ok(CLONE_GROUP_OK)
    })
}

/// Fractures a Clone of each group at one point in time: what
/// clone_group_fracture() does, for `count` groups, of which `lus[i]` is the Clone
/// of `groups[i]`. No write is in any of the Clones without those that were
/// acknowledged, to any of the groups, before it was submitted: the Clones of a
/// database on several LUs fit together, also after a power loss in the middle
/// (R77). `label` (64 bytes, or NULL for zeroes) and `tag` are those of every
/// group.
///
/// Each group is polled as always, by whichever thread. It holds its hosts from
/// the moment at which it begins until the last group got as far, so poll all of
/// them; a group that waits for the others returns CLONE_GROUP_MORE from its
/// polls. clone_group_abort() with the tag, on any of the groups, gives the whole
/// set up, unless it is decided. If power is lost before a `done` call, it may be
/// found committed nevertheless, on all groups alike.
///
/// Each group calls `done` once. CLONE_GROUP_OK on one of them means that the set
/// is committed, and any error but those of metadata that it failed and nothing
/// changed on any group. CLONE_GROUP_ERR_CANCELED says that another group failed,
/// or that it was aborted. If a metadata write fails, what the area says is
/// unknown (R33), and
/// - before the decision, the set fails: this group refuses host writes until
///   clone_group_metadata_repair(), the others go on;
/// - after it, the group that could not write it down serves no hosts:
///   CLONE_GROUP_CONDITION_PREPARED, and CLONE_GROUP_EVENT_PREPARED. Repair its
///   metadata, then resolve it.
///
/// After a power loss, Recovery brings groups up that are prepared
/// (CLONE_GROUP_CONDITION_PREPARED): see clone_group_set_resolve(). Begin no other
/// set with one of these groups before all of them are resolved.
///
/// A group that is destroyed before it called `done` fails the set likewise.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows on every group; or at once, and no
/// `done` follows on any of them, CLONE_GROUP_ERR_INVALID (also: `count` over
/// CLONE_GROUP_SET_GROUPS_MAX, a group named twice, a set that was used before or
/// whose id a group knows already), CLONE_GROUP_ERR_STRUCT_SIZE (`set` was not
/// filled), or the first status with which a group refused, as
/// clone_group_fracture(): CLONE_GROUP_ERR_BUSY and so on. The set may be used
/// again then.
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
///
/// # Safety
/// `groups` must be NULL or `count` pointers that are NULL or live handles, `lus`
/// NULL or `count` numbers, `set` NULL or filled, and valid as its type says,
/// `label` NULL or 64 readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_set_fracture(
    groups: *const *mut clone_group,
    lus: *const u32,
    count: u32,
    set: *mut clone_group_set,
    label: *const u8,
    tag: u64,
) -> i32 {
    let fracture = |lu| Operation::Fracture { lu };
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        let label = structs::label(label);
        start(&Members { groups, lus, count }, set, fracture, &label, tag)
    }
}

/// Begins a Protected Restore of each group at one point in time: what
/// clone_group_protected_restore() does, for `count` groups, each from the Clone
/// `lus[i]`. No write that hosts submit after one of the restores began is lost to
/// another one that begins later, also after a power loss in the middle (R77).
/// Nothing is copied before the set is committed.
///
/// All else as clone_group_set_fracture().
///
/// Context: any thread.
/// Returns as clone_group_set_fracture(), with the statuses of
/// clone_group_protected_restore().
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
///
/// # Safety
/// As clone_group_set_fracture().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_set_protected_restore(
    groups: *const *mut clone_group,
    lus: *const u32,
    count: u32,
    set: *mut clone_group_set,
    tag: u64,
) -> i32 {
    let restore = |lu| Operation::ProtectedRestore { lu };
    // SAFETY: the caller's promise about all pointers.
    unsafe { start(&Members { groups, lus, count }, set, restore, &[0; 64], tag) }
}

/// Tells a prepared group (CLONE_GROUP_CONDITION_PREPARED) how its set ended, after
/// all groups of the set were recovered and those that lived on called `done`.
/// The rule: if each of them is prepared for this `set_id` or has committed it
/// (the same `set_id` without the condition), `commit` is 1 for all that are
/// prepared, else it is 0 for all of them. The rule gives the same answer after
/// another power loss.
///
/// Until then the group refuses host requests and operations with
/// CLONE_GROUP_ERR_PREPARED, but clone_group_close() and
/// clone_group_metadata_repair(). With 1 the change is made that was prepared, with
/// 0 the group goes on as if nothing had been asked for.
/// CLONE_GROUP_EVENT_SET_RESOLVED follows.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, or the status
/// of the persist callback that failed (the group is prepared still: repair, then
/// resolve it again); or at once CLONE_GROUP_ERR_INVALID (also: `commit` is
/// neither 0 nor 1), CLONE_GROUP_ERR_STATE (not prepared),
/// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED,
/// CLONE_GROUP_ERR_METADATA_FAILED.
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_set_resolve(group: *mut clone_group, commit: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe {
        handle::with(group, |handle| {
            parts::needs(parts::SETS)?;
            if commit > 1 {
                return Err(Error::Invalid);
            }
            let resolve = Operation::ResolveSet { commit: commit == 1 };
            handle.locked(|group| group.operate(resolve, &[0; 64], tag))?;
            handle.wake();
            Ok(CLONE_GROUP_PENDING)
        })
    }
}

/// The groups of a call, and their Clones.
struct Members {
    groups: *const *mut clone_group,
    lus: *const u32,
    count: u32,
}

impl Members {
    fn is_valid(&self) -> bool {
        let pointers = !self.groups.is_null() && self.groups.is_aligned();
        let numbers = !self.lus.is_null() && self.lus.is_aligned();
        pointers && numbers && (1..=MEMBERS_MAX).contains(&self.count)
    }

    /// # Safety
    /// `number` is below the count, and both arrays are as long as the caller said.
    unsafe fn get(&self, number: u32) -> (*mut clone_group, u32) {
        let at = crate::geometry::index(u64::from(number));
        // SAFETY: inside both arrays.
        unsafe { (self.groups.wrapping_add(at).read(), self.lus.wrapping_add(at).read()) }
    }
}

/// The shared word of a set, and its id.
///
/// # Safety
/// `set` is NULL or a set that stays where it is as long as its type says.
unsafe fn votes(set: *mut clone_group_set) -> Result<(&'static Votes, u64), Error> {
    // Atomics of a model checker are larger; no set is used under one.
    #[cfg(not(any(loom, shuttle)))]
    const {
        assert!(size_of::<Votes>() <= size_of::<[u64; 4]>())
    };
    if set.is_null() || !set.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: the caller's promise. Zeroes are a value of `Votes`, which is an atomic word, and it is smaller and less
    // aligned than what stands there. No group uses it any more after its `done`.
    unsafe {
        if (*set).struct_size < structs::size_field::<clone_group_set>() {
            return Err(Error::StructSize);
        }
        if (*set).id == 0 {
            return Err(Error::Invalid);
        }
        Ok((&*(&raw const (*set).opaque).cast::<Votes>(), (*set).id))
    }
}

/// Asks every group, and lets them begin if all agree. While it asks, none of them begins, whoever polls it: so what
/// was asked can be taken back, and no `done` follows then.
///
/// # Safety
/// As [`clone_group_set_fracture`].
unsafe fn start(
    members: &Members,
    set: *mut clone_group_set,
    operation: impl Fn(u32) -> Operation,
    label: &[u8; 64],
    tag: u64,
) -> i32 {
    guard(None, || {
        parts::needs(parts::SETS)?;
        // SAFETY: the caller's promise about all pointers.
        unsafe {
            let (votes, id) = votes(set)?;
            if !members.is_valid() || !votes.begin(members.count) {
                return Err(Error::Invalid);
            }
            for number in 0..members.count {
                let (group, lu) = members.get(number);
                let asked = handle::with(group, |handle| {
                    handle.locked(|group| group.ask_member(operation(lu), label, tag, votes, id))?;
                    Ok(CLONE_GROUP_OK)
                });
                if asked != CLONE_GROUP_OK {
                    take_back(members, number, votes);
                    return Err(Error::from_status(asked));
                }
            }
            votes.run();
            for number in 0..members.count {
                handle::with_any(members.get(number).0, |handle| {
                    handle.wake();
                    Ok(CLONE_GROUP_OK)
                });
            }
        }
        Ok(CLONE_GROUP_PENDING)
    })
}

/// The first `asked` groups forget what they were asked for.
///
/// # Safety
/// As [`clone_group_set_fracture`].
unsafe fn take_back(members: &Members, asked: u32, votes: &'static Votes) {
    for number in 0..asked {
        // SAFETY: the caller's promise about the arrays and the groups.
        unsafe {
            handle::with_any(members.get(number).0, |handle| {
                handle.locked(|group| group.take_member_back(votes));
                Ok(CLONE_GROUP_OK)
            });
        }
    }
    votes.withdraw();
}
