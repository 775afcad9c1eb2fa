#![forbid(unsafe_code)]
//! The superblock as it lies in the persistent area (docs/format.md): what the group is and in which
//! state. Two slots; each change of state is one write of it, which commits the change (R31).

use crate::clone::{CloneRecord, CloneState};
use crate::config::Config;
use crate::error::Error;
use crate::geometry::index;
use crate::knock_out::kept;
use crate::map_page::{Reader, Writer};
use crate::parts;
use crate::set::Prepared;

/// Version of the durable format.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"CLONEGRP";
const HEADER_BYTES: u64 = 128;
const RECORD_BYTES: u64 = 128;
const CRC_BYTES: usize = 4;
const FLAG_PAUSED: u32 = 0x1;
const FLAG_SOURCE_INVALID: u32 = 0x2;
/// Incompatible feature: one column for each Clone.
const FEATURE_MAP_PER_CLONE: u32 = 0x1;
const FLAG_PREPARED: u32 = 0x4;
const FLAG_PAGES_DISTRUSTED: u32 = 0x8;
const RECORD_FULL: u32 = 0x1;
const RECORD_FAILED: u32 = 0x2;
const RECORD_PREPARED_FRACTURE: u32 = 0x4;
const RECORD_PREPARED_RESTORE: u32 = 0x8;
const RECORDS_AT: usize = 128;
const SEQUENCE_AT: usize = 32;

/// The durable state of a group, but for its Clones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupRecord {
    /// Counts the restores; a Protected Restore Map belongs to one of them (R9).
    pub restore_generation: u64,
    /// The LU that is being restored from, or 0.
    pub restoring: u32,
    /// The LU of a Reverse Synchronization, or 0.
    pub reversing: u32,
    /// Background copies are paused.
    pub paused: bool,
    /// The Source is a mixture (R38).
    pub source_invalid: bool,
    /// Identity of the Source.
    pub source_identity: [u8; 16],
    /// The set that the group is prepared for, or the last one that it committed; 0 if none (R77).
    pub set_id: u64,
    /// Prepared: the outcome of the set is not known.
    pub prepared: bool,
    /// Pages that were lost are being written again: one with a single valid copy is lost, too (N18).
    pub pages_distrusted: bool,
}

/// Bytes of a superblock for so many Clones.
pub fn bytes_needed(clones_max: u32) -> u64 {
    HEADER_BYTES + RECORD_BYTES * u64::from(clones_max) + 4
}

/// Writes a superblock into `image`, all of it.
pub fn encode(
    image: &mut [u8],
    config: &Config,
    sequence: u64,
    group: &GroupRecord,
    clones: impl Iterator<Item = CloneRecord>,
) {
    image.fill(0);
    let superblock_bytes = crate::geometry::count32(crate::geometry::count(image.len()));
    // Of a known length, here and below, so that no field is checked for its place.
    let Some(bytes) = image.first_chunk_mut::<RECORDS_AT>() else { return };
    let mut writer = Writer { bytes, at: 0 };
    writer.put(MAGIC);
    writer.u32(FORMAT_VERSION);
    writer.u32(superblock_bytes);
    writer.put(&config.group_id);
    writer.u64(sequence);
    // Feature words: compatible, read-only compatible, incompatible (R79).
    writer.u32(0);
    writer.u32(0);
    writer.u32(flag(config.map_per_clone(), FEATURE_MAP_PER_CLONE));
    writer.u32(
        flag(group.paused, FLAG_PAUSED)
            | flag(group.source_invalid, FLAG_SOURCE_INVALID)
            | flag(group.prepared, FLAG_PREPARED)
            | flag(group.pages_distrusted, FLAG_PAGES_DISTRUSTED),
    );
    writer.u64(config.geometry.lu_blocks());
    writer.u32(config.geometry.block_bytes());
    writer.u32(config.geometry.extent_blocks());
    writer.u32(config.clones_max);
    writer.u32(config.page_bytes);
    writer.u32(config.persist_unit_bytes);
    writer.u32(config.columns());
    writer.u64(group.restore_generation);
    writer.u32(group.restoring);
    writer.u32(group.reversing);
    writer.u64(group.set_id);
    writer.put(&group.source_identity);
    for (number, clone) in clones.enumerate() {
        let record = image.get_mut(record_at(number)..).and_then(|rest| rest.first_chunk_mut::<RECORDS_AT>());
        let Some(bytes) = record else { return };
        let mut writer = Writer { bytes, at: 0 };
        writer.u32(clone.state.number());
        writer.u32(
            flag(clone.full, RECORD_FULL)
                | flag(clone.failed, RECORD_FAILED)
                | flag(clone.prepared == Some(Prepared::Fracture), RECORD_PREPARED_FRACTURE)
                | flag(clone.prepared == Some(Prepared::Restore), RECORD_PREPARED_RESTORE),
        );
        writer.u64(clone.synced_below);
        writer.put(&clone.identity);
        writer.put(&clone.label);
    }
    if let Some((body, crc)) = image.split_last_chunk_mut::<CRC_BYTES>() {
        *crc = crate::checksum::hash(body).to_le_bytes();
    }
}

/// What one slot of the superblock turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Slot {
    /// Not read yet.
    #[default]
    Unread,
    /// Nothing of ours: neither a superblock nor the rest of one.
    Empty,
    /// A superblock that was not written to its end, or was damaged.
    Damaged,
    /// It could not be read.
    Unreadable(i32),
    /// Written by a format version that this library does not know.
    Unknown,
    /// Written for more Clones than are configured: longer than what was read.
    Longer,
    /// Valid, with its sequence number.
    Valid(u64),
}

/// Looks at a slot.
pub fn inspect(image: &[u8]) -> Slot {
    inspect_parts(image).unwrap_or(Slot::Empty)
}

fn inspect_parts(image: &[u8]) -> Option<Slot> {
    let mut reader = Reader { bytes: image, at: 0 };
    let magic: [u8; 8] = reader.array()?;
    if magic != *MAGIC {
        return Some(if image.iter().all(|&byte| byte == 0) { Slot::Empty } else { Slot::Damaged });
    }
    let version = reader.u32()?;
    let superblock_bytes = index(u64::from(reader.u32()?));
    // Magic, version, length and the checksum at the end stay where they are in every version. The length is
    // what this slot was written with: more than was read if the group was made for more Clones.
    let Some((body, crc)) =
        image.get(..superblock_bytes).and_then(|whole| whole.split_last_chunk::<CRC_BYTES>())
    else {
        return Some(Slot::Longer);
    };
    if crate::checksum::hash(body) != u32::from_le_bytes(*crc) && kept!(R29) {
        return Some(Slot::Damaged);
    }
    if version != FORMAT_VERSION {
        return Some(Slot::Unknown);
    }
    reader.at = reader.at.wrapping_add(16);
    Some(Slot::Valid(reader.u64()?))
}

/// A checksum of what a slot says but for its sequence number: two slots that agree have the same.
pub fn content_crc(image: &[u8]) -> u32 {
    let mut hasher = crate::checksum::Hasher::new();
    hasher.update(image.get(..SEQUENCE_AT).unwrap_or_default());
    let end = image.len().saturating_sub(CRC_BYTES);
    hasher.update(image.get(SEQUENCE_AT + 8..end).unwrap_or_default());
    hasher.finalize()
}

/// Checks a valid superblock against the configuration, and returns the state of the group (R32, R79).
pub fn decode(image: &[u8], config: &Config) -> Result<GroupRecord, Error> {
    decode_header(image, config).ok_or(Error::MetadataDamaged)?
}

fn decode_header(image: &[u8], config: &Config) -> Option<Result<GroupRecord, Error>> {
    let mut reader = Reader { bytes: image.first_chunk::<RECORDS_AT>()?, at: 16 };
    if reader.bytes16()? != config.group_id {
        return Some(Err(Error::MetadataForeign));
    }
    let _sequence = reader.u64()?;
    let _compatible = reader.u32()?;
    let read_only_compatible = reader.u32()?;
    let incompatible = reader.u32()?;
    // This library has no read-only service, so both kinds of unknown features are refused.
    if (read_only_compatible != 0 || incompatible & !features_known() != 0) && kept!(R79Features) {
        return Some(Err(Error::MetadataVersion));
    }
    let flags = reader.u32()?;
    let same_geometry = reader.u64()? == config.geometry.lu_blocks()
        && reader.u32()? == config.geometry.block_bytes()
        && reader.u32()? == config.geometry.extent_blocks()
        && reader.u32()? == config.clones_max
        && reader.u32()? == config.page_bytes
        && reader.u32()? == config.persist_unit_bytes
        && reader.u32()? == config.columns()
        && incompatible == flag(config.map_per_clone(), FEATURE_MAP_PER_CLONE);
    if !same_geometry && kept!(R32) {
        return Some(Err(Error::MetadataGeometry));
    }
    let restore_generation = reader.u64()?;
    let restoring = reader.u32()?;
    let reversing = reader.u32()?;
    let set_id = reader.u64()?;
    Some(Ok(GroupRecord {
        restore_generation,
        restoring,
        reversing,
        paused: flags & FLAG_PAUSED != 0,
        source_invalid: flags & FLAG_SOURCE_INVALID != 0,
        source_identity: reader.bytes16()?,
        set_id,
        prepared: flags & FLAG_PREPARED != 0,
        pages_distrusted: flags & FLAG_PAGES_DISTRUSTED != 0,
    }))
}

/// Features of this build.
fn features_known() -> u32 {
    flag(parts::MAP_PER_CLONE, FEATURE_MAP_PER_CLONE)
}

/// The record of a Clone; `number` counts from 0.
pub fn decode_clone(image: &[u8], number: usize) -> Option<CloneRecord> {
    let record = image.get(record_at(number)..)?.first_chunk::<RECORDS_AT>()?;
    let mut reader = Reader { bytes: record, at: 0 };
    let state = CloneState::from_number(reader.u32()?)?;
    let flags = reader.u32()?;
    Some(CloneRecord {
        state,
        full: flags & RECORD_FULL != 0,
        failed: flags & RECORD_FAILED != 0,
        prepared: prepared(flags)?,
        synced_below: reader.u64()?,
        identity: reader.bytes16()?,
        label: reader.array()?,
    })
}

/// What a record is prepared for; nobody is prepared for both.
fn prepared(flags: u32) -> Option<Option<Prepared>> {
    match (flags & RECORD_PREPARED_FRACTURE != 0, flags & RECORD_PREPARED_RESTORE != 0) {
        (false, false) => Some(None),
        (true, false) => Some(Some(Prepared::Fracture)),
        (false, true) => Some(Some(Prepared::Restore)),
        (true, true) => None,
    }
}

fn record_at(number: usize) -> usize {
    RECORDS_AT.wrapping_add(number.wrapping_mul(RECORDS_AT))
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}
