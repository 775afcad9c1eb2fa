//! What a call did, in the words of the tables.

use std::ffi::CStr;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::common::device::Device;
use super::common::world::{TAG_OPERATION, World};
use super::situations::{PROFILE, Place};

/// A cell.
pub type Observed = String;

/// The states of a Clone by their numbers.
pub const STATES: [&str; 7] = [
    "Absent",
    "OutOfSync",
    "Synchronizing",
    "Synchronized",
    "Fractured",
    "ReverseSynchronizing",
    "Restoring",
];

const EXTENTS: usize = PROFILE.blocks / PROFILE.extent_blocks;
const VALUE: u64 = 0x77;

type Map = Vec<bool>;

/// Everything that a call may change.
#[derive(Clone)]
pub struct Snapshot {
    pub group_state: u32,
    pub conditions: u32,
    /// By LU; of the Source nothing.
    pub states: Vec<u32>,
    pub clone_conditions: Vec<u32>,
    generation: u64,
    content: Vec<Vec<u64>>,
    area: Vec<u8>,
    /// D of Clone 1, D of Clone 2, P.
    pub maps: [Map; 3],
}

fn map(world: &World, kind: u32, lu: u32) -> Map {
    let mut bytes = [0_u8; EXTENTS / 8];
    let (bits, length) = (bytes.as_mut_ptr(), bytes.len() as u64);
    // SAFETY: a live group and so many bytes.
    let status = unsafe { clone_group_map_read(world.group(), kind, lu, 0, EXTENTS as u64, bits, length) };
    if status == CLONE_GROUP_ERR_NO_LU {
        return vec![false; EXTENTS];
    }
    assert_eq!(status, CLONE_GROUP_OK);
    (0..EXTENTS).map(|extent| bytes[extent / 8] >> (extent % 8) & 1 == 1).collect()
}

impl Snapshot {
    pub fn of(world: &World) -> Snapshot {
        let (info, clones) = (world.info(), [world.clone_info(1), world.clone_info(2)]);
        let inner = world.inner.borrow();
        let (content, area) = (
            inner.devices.iter().map(|device: &Device| device.now.clone()).collect(),
            inner.area.now.clone(),
        );
        drop(inner);
        Snapshot {
            group_state: info.state,
            conditions: info.conditions,
            states: vec![0, clones[0].state, clones[1].state],
            clone_conditions: vec![0, clones[0].conditions, clones[1].conditions],
            generation: info.restore_generation,
            content,
            area,
            maps: [
                map(world, CLONE_GROUP_MAP_DELTA, 1),
                map(world, CLONE_GROUP_MAP_DELTA, 2),
                map(world, CLONE_GROUP_MAP_PROTECTED_RESTORE, 0),
            ],
        }
    }

    /// After an error everything is as it was.
    pub fn assert_same(&self, after: &Snapshot, what: &str) {
        assert_eq!(self.group_state, after.group_state, "{what}: the group changed");
        assert_eq!(self.conditions, after.conditions, "{what}: conditions changed");
        assert_eq!(self.states, after.states, "{what}: a Clone changed");
        assert_eq!(self.clone_conditions, after.clone_conditions, "{what}: conditions of a Clone changed");
        assert_eq!(self.generation, after.generation, "{what}: the generation changed");
        assert_eq!(self.content, after.content, "{what}: an LU was written");
        assert_eq!(self.area, after.area, "{what}: metadata was written");
        assert_eq!(self.maps, after.maps, "{what}: a map changed");
    }
}

/// STATE for CLONE_GROUP_ERR_STATE.
pub fn status_name(status: i32) -> String {
    // SAFETY: static texts.
    let name = unsafe { CStr::from_ptr(clone_group_status_name(status)) }.to_str().expect("a name");
    let name = name.strip_prefix("CLONE_GROUP_").unwrap_or(name);
    name.strip_prefix("ERR_").unwrap_or(name).to_owned()
}

fn lu_name(lu: u32) -> &'static str {
    ["S", "C1", "C2"].get(lu as usize).copied().unwrap_or("?")
}

/// I/Os of LUs since then: `S+C1` one leg to each, `F(S)` a flush, `copy C1-S` a read of the Clone and a write to the
/// Source; `durable` if it is written through (FUA).
pub fn ios(world: &World, since: usize, asked: u32) -> Vec<String> {
    let inner = world.inner.borrow();
    let mut words: Vec<(u32, u32, Vec<&str>)> = Vec::new();
    for &(operation, lu, flags) in &inner.submissions[since..] {
        if lu == CLONE_GROUP_LU_NONE {
            continue;
        }
        match words.last_mut() {
            Some(last) if last.0 == operation && last.1 == flags => last.2.push(lu_name(lu)),
            _ => words.push((operation, flags, vec![lu_name(lu)])),
        }
    }
    let mut seen: Vec<String> = Vec::new();
    for (operation, flags, mut lus) in words {
        lus.sort_by_key(|lu| ["S", "C1", "C2"].iter().position(|name| name == lu));
        let lus = lus.join("+");
        let of_library = flags & CLONE_GROUP_IO_HOST == 0 && operation != CLONE_GROUP_IO_FLUSH;
        let word = match operation {
            CLONE_GROUP_IO_FLUSH => format!("F({lus})"),
            CLONE_GROUP_IO_READ if of_library => format!("from {lus}"),
            CLONE_GROUP_IO_WRITE
                if of_library && seen.last().is_some_and(|last| last.starts_with("from")) =>
            {
                let from = seen.pop().expect("the read");
                format!("copy {}-{lus}", from.trim_start_matches("from "))
            }
            _ if of_library => format!("the library writes {lus}"),
            _ if operation == asked => lus,
            CLONE_GROUP_IO_WRITE_ZEROES => format!("{lus} zeroed"),
            _ => format!("operation {operation} to {lus}"),
        };
        seen.push(if flags & CLONE_GROUP_IO_FUA == 0 { word } else { format!("{word} durable") });
    }
    seen
}

/// Asks for blocks of an LU, and waits.
fn ask(place: &Place, operation: u32, lu: usize, payload: &mut [u64]) -> Result<(), String> {
    let group = place.world.group();
    if !matches!(operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH) {
        // The devices hold map pages against what hosts may see (I5).
        let written = if operation == CLONE_GROUP_IO_WRITE { VALUE } else { 0 };
        let models = &mut place.world.inner.borrow_mut().models[lu];
        models[place.first..place.first + place.count].iter_mut().for_each(|block| block.begin(written));
    }
    let (lu, first, count) = (lu as u32, place.first as u64, place.count as u64);
    let (payload, tag) = (payload.as_mut_ptr().cast(), TAG_OPERATION - 2);
    // SAFETY: a live group; the payload lives until the request is done, which is waited for.
    let status = unsafe {
        match operation {
            CLONE_GROUP_IO_READ => clone_group_host_read(group, lu, first, count, payload, 0, tag),
            CLONE_GROUP_IO_WRITE => clone_group_host_write(group, lu, first, count, payload, 0, tag),
            CLONE_GROUP_IO_FLUSH => clone_group_host_flush(group, lu, tag),
            CLONE_GROUP_IO_DISCARD => clone_group_host_discard(group, lu, first, count, 0, tag),
            _ => clone_group_host_write_zeroes(group, lu, first, count, 0, tag),
        }
    };
    match status {
        CLONE_GROUP_OK => return Ok(()),
        CLONE_GROUP_PENDING => {}
        error => return Err(status_name(error)),
    }
    for _ in 0..1000 {
        place.world.poll(64);
        let done = place.world.inner.borrow_mut().finished.pop();
        match done {
            Some((_, CLONE_GROUP_OK)) => return Ok(()),
            Some((_, error)) => return Err(format!("then {}", status_name(error))),
            None => {}
        }
    }
    panic!("a host request does not end");
}

/// A host request, and what the devices and the maps saw of it.
pub fn host_request(place: &Place, operation: u32, lu: usize) -> Observed {
    let before = Snapshot::of(&place.world);
    let since = place.world.inner.borrow().submissions.len();
    let mut payload = vec![VALUE; place.count];
    let outcome = ask(place, operation, lu, &mut payload);
    let after = Snapshot::of(&place.world);
    let seen = ios(&place.world, since, operation);
    if let Err(error) = outcome {
        assert_eq!(seen, Vec::<String>::new(), "{error}, and I/O");
        // Bits that were set for a write stay set if it fails: who reads them copies too much (R33).
        before.assert_same(&Snapshot { maps: before.maps.clone(), ..after.clone() }, &error);
        return error + &bits(place, &before, &after);
    }
    if operation == CLONE_GROUP_IO_READ {
        let of = if lu == 0 { place.view } else { lu };
        assert_eq!(payload, before.content[of][place.first..place.first + place.count], "what was read");
    }
    assert_eq!(before.states, after.states, "a host request changed a state");
    check_content(place, operation, &seen, &before, &after);
    let observed = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
    observed + &bits(place, &before, &after)
}

/// Bits of the extent that changed; no others may.
fn bits(place: &Place, before: &Snapshot, after: &Snapshot) -> String {
    let mut bits = Vec::new();
    for (map, name) in ["D1", "D2", "P"].iter().enumerate() {
        for extent in 0..EXTENTS {
            let asked = extent == place.first / PROFILE.extent_blocks;
            match (before.maps[map][extent], after.maps[map][extent]) {
                (was, is) if was == is => {}
                _ if !asked => panic!("{name} of extent {extent} changed"),
                (false, _) => bits.push((*name).to_owned()),
                (true, _) => bits.push(format!("no {name}")),
            }
        }
    }
    if !bits.is_empty() {
        return format!("; {}", bits.join(" "));
    }
    String::new()
}

/// The LUs that took part hold what was written, and nothing else changed.
fn check_content(place: &Place, operation: u32, seen: &[String], before: &Snapshot, after: &Snapshot) {
    let mut expected = before.content.clone();
    let blocks = place.first..place.first + place.count;
    for word in seen {
        let word = word.trim_end_matches(" durable");
        if let Some(copied) = word.strip_prefix("copy ") {
            let from = if copied == "C1-S" { 1 } else { 2 };
            let first = place.first / PROFILE.extent_blocks * PROFILE.extent_blocks;
            let extent = first..first + PROFILE.extent_blocks;
            let content = before.content[from][extent.clone()].to_vec();
            expected[0][extent].copy_from_slice(&content);
            continue;
        }
        if operation == CLONE_GROUP_IO_READ || word.starts_with("F(") {
            continue;
        }
        let (lus, zeroed) = word.strip_suffix(" zeroed").map_or((word, false), |lus| (lus, true));
        let zeroed = zeroed || operation == CLONE_GROUP_IO_WRITE_ZEROES;
        for lu in lus.split('+') {
            let lu = ["S", "C1", "C2"].iter().position(|name| *name == lu).expect("an LU");
            for block in blocks.clone() {
                expected[lu][block] = match operation {
                    _ if zeroed => 0,
                    // A device may take the hint or leave it.
                    CLONE_GROUP_IO_DISCARD => after.content[lu][block],
                    _ => VALUE,
                };
            }
        }
    }
    assert_eq!(expected, after.content, "what the LUs hold");
}
