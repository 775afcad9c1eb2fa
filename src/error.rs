#![forbid(unsafe_code)]
//! Every error of the library: its number, its name and what the caller can do about it.

use core::ffi::CStr;
use core::num::NonZeroI32;

/// The version of the library.
pub const VERSION: &CStr = c_text(concat!(env!("CARGO_PKG_VERSION"), "\0"));

/// Done (`CLONE_GROUP_OK`).
pub const OK: i32 = 0;
/// Accepted; it goes on (`CLONE_GROUP_PENDING`).
pub const PENDING: i32 = 1;
/// There is more to do (`CLONE_GROUP_MORE`).
pub const MORE: i32 = 2;
/// Not taken now, offer it again (`CLONE_GROUP_RETRY`).
pub const RETRY: i32 = 3;

/// What went wrong: its number. That is what callers of the C ABI get, and small, and "no error" needs no room beside
/// it. The texts are those of `clone_group_status_text`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("status {0}: {text}", text = text(self.status()).to_str().unwrap_or_default())]
pub struct Error(NonZeroI32);

impl Error {
    /// The number of the C ABI.
    pub fn status(self) -> i32 {
        self.0.get()
    }

    /// The error with this negative number.
    pub const fn from_status(status: i32) -> Error {
        match NonZeroI32::new(status) {
            Some(status) => Error(status),
            // A defect; `Error::Internal` cannot be named where it is made.
            None => Error(NonZeroI32::MIN),
        }
    }
}

macro_rules! errors {
    ($($variant:ident = $status:literal, $name:literal, $text:literal;)*) => {
        /// The errors of the library; any other one is a negative status of the controller's own.
        #[allow(non_upper_case_globals)]
        impl Error {
            $(#[doc = $text] pub const $variant: Error = Error::from_status($status);)*
        }

        /// The name of a status in the header; empty without texts.
        pub fn name(status: i32) -> &'static CStr {
            if !crate::parts::TEXTS {
                return c"";
            }
            match status {
                OK => c"CLONE_GROUP_OK",
                PENDING => c"CLONE_GROUP_PENDING",
                MORE => c"CLONE_GROUP_MORE",
                RETRY => c"CLONE_GROUP_RETRY",
                $($status => const { c_text(concat!($name, "\0")) },)*
                _ => c"not a status of clone_group",
            }
        }

        /// What a status means and what the caller can do; empty without texts.
        pub fn text(status: i32) -> &'static CStr {
            if !crate::parts::TEXTS {
                return c"";
            }
            match status {
                OK => c"done",
                PENDING => c"accepted; wait for done, or for I/O to complete",
                MORE => c"there is more to do; call again",
                RETRY => c"not taken now; the library offers the I/O again on a later poll",
                $($status => const { c_text(concat!($text, "\0")) },)*
                _ => c"a status of the controller's own callbacks, passed on unchanged",
            }
        }
    };
}

/// A literal that ends with NUL.
const fn c_text(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

errors! {
    Io = -5, "CLONE_GROUP_ERR_IO", "an I/O failed; see the controller's own log for the device";
    NoMemory = -12, "CLONE_GROUP_ERR_NOMEM", "no memory for the workspace; pass one of your own, or configure less";
    Busy = -16, "CLONE_GROUP_ERR_BUSY", "every slot is taken or another operation runs; poll, then try again";
    NoLu = -19, "CLONE_GROUP_ERR_NO_LU", "no LU has this number, or none is attached under it; call clone_group_lu_attach()";
    Invalid = -22, "CLONE_GROUP_ERR_INVALID", "an argument is NULL, zero, misaligned or contradicts another; see the header";
    NoSpace = -28, "CLONE_GROUP_ERR_NO_SPACE", "the persistent area is too small; clone_group_metadata_size() tells what is needed";
    Range = -34, "CLONE_GROUP_ERR_RANGE", "the range is empty or ends behind the end of the LU";
    MetadataDamaged = -84, "CLONE_GROUP_ERR_METADATA_DAMAGED", "no superblock is valid; bring the persistent area back, or format it";
    NotSupported = -95, "CLONE_GROUP_ERR_NOT_SUPPORTED", "the controller offers no callback for this operation";
    Canceled = -125, "CLONE_GROUP_ERR_CANCELED", "the request was aborted, or its group was closed";
    State = -1000, "CLONE_GROUP_ERR_STATE", "not allowed in the present state; clone_group_clone_query() tells the state";
    Protected = -1001, "CLONE_GROUP_ERR_PROTECTED", "the Clone is being restored from and is read-only until CLONE_GROUP_EVENT_RESTORED";
    SourceInvalid = -1002, "CLONE_GROUP_ERR_SOURCE_INVALID", "the Source is a mixture of two points in time; restore it from a Clone, or call clone_group_source_accept()";
    NotConsistent = -1003, "CLONE_GROUP_ERR_NOT_CONSISTENT", "the Clone is not a point in time; synchronize it, wait, then fracture it";
    MetadataFailed = -1004, "CLONE_GROUP_ERR_METADATA_FAILED", "metadata could not be written; mend the persistent area, then call clone_group_metadata_repair()";
    MetadataForeign = -1005, "CLONE_GROUP_ERR_METADATA_FOREIGN", "the metadata belongs to another group; check group_id and which area is read";
    MetadataGeometry = -1006, "CLONE_GROUP_ERR_METADATA_GEOMETRY", "the metadata describes another geometry; use the configuration it was formatted with";
    MetadataVersion = -1007, "CLONE_GROUP_ERR_METADATA_VERSION", "the metadata is of another format version or has unknown features; use a library that knows them";
    MetadataExists = -1008, "CLONE_GROUP_ERR_METADATA_EXISTS", "the area holds a valid group; recover it, or format with CLONE_GROUP_FORMAT_FORCE";
    MetadataMissing = -1009, "CLONE_GROUP_ERR_METADATA_MISSING", "the area was never formatted; call clone_group_format()";
    RestoreMapLost = -1010, "CLONE_GROUP_ERR_RESTORE_MAP_LOST", "a page of the Protected Restore Map is lost; bring the area back, or recover with CLONE_GROUP_RECOVER_ABANDON_RESTORE";
    Identity = -1011, "CLONE_GROUP_ERR_IDENTITY", "an LU has another identity than the metadata says; check which LU is attached under which number";
    Workspace = -1012, "CLONE_GROUP_ERR_WORKSPACE", "the workspace is NULL, misaligned or too small; see clone_group_workspace_size() and buffer_align_bytes";
    CallbackMissing = -1013, "CLONE_GROUP_ERR_CALLBACK_MISSING", "a required callback is NULL; see clone_group_ops";
    CallbackResult = -1014, "CLONE_GROUP_ERR_CALLBACK_RESULT", "a callback or completion returned a positive number that means nothing; return CLONE_GROUP_OK, not a count";
    StaleIo = -1015, "CLONE_GROUP_ERR_STALE_IO", "no I/O with this id is in flight; complete each I/O exactly once";
    StructSize = -1016, "CLONE_GROUP_ERR_STRUCT_SIZE", "the struct uses something that this library does not know; use a newer library";
    NotReady = -1017, "CLONE_GROUP_ERR_NOT_READY", "the group is not ready; format or recover it, and poll until that is done";
    Closed = -1018, "CLONE_GROUP_ERR_CLOSED", "the group is closing or closed; destroy it, create and recover it to go on";
    NoRequest = -1019, "CLONE_GROUP_ERR_NO_REQUEST", "no waiting request has this tag; it is done, or already submitted to an LU";
    Prepared = -1020, "CLONE_GROUP_ERR_PREPARED", "the outcome of a set of groups is not known; ask its other groups, then call clone_group_set_resolve()";
    Internal = -1099, "CLONE_GROUP_ERR_INTERNAL", "a defect of the library was caught; destroy the group, then create and recover it";
}

/// What a controller reported: nothing, or an error. Positive numbers were handled before (R81).
pub fn check(status: i32) -> Result<(), Error> {
    if status == OK { Ok(()) } else { Err(Error::from_status(status)) }
}
