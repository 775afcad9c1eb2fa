#![forbid(unsafe_code)]
//! CRC-32 (IEEE) of superblocks and map pages.
//!
//! The hosted build has crate crc32fast, which is fast. The firmware build has a table of 64 bytes: the tables of
//! crc32fast were a fifth of all code and data on Cortex-M, and on s390x and powerpc its loops keep bounds checks,
//! which are reachable panics (`tools/firmware-proof` shows it).

#[cfg(feature = "std")]
pub use crc32fast::Hasher;
#[cfg(not(feature = "std"))]
pub use small::Hasher;

/// The checksum of some bytes.
pub fn hash(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(any(not(feature = "std"), test))]
mod small {
    use crate::geometry::index;

    /// What four bits do to the checksum.
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];

    /// A checksum that grows.
    pub struct Hasher {
        state: u32,
    }

    impl Hasher {
        /// Of nothing.
        pub fn new() -> Hasher {
            Hasher { state: u32::MAX }
        }

        /// More bytes.
        pub fn update(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.state = nibble(nibble(self.state ^ u32::from(byte)));
            }
        }

        /// The checksum.
        pub fn finalize(self) -> u32 {
            !self.state
        }
    }

    fn nibble(state: u32) -> u32 {
        state >> 4 ^ TABLE.get(index(u64::from(state & 15))).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// Both builds write the same checksums, in whatever pieces the bytes come.
        #[test]
        fn small_is_as_fast_ones(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0..600_usize) {
            let cut = cut.min(bytes.len());
            let mut small = super::small::Hasher::new();
            small.update(&bytes[..cut]);
            small.update(&bytes[cut..]);
            prop_assert_eq!(small.finalize(), super::hash(&bytes));
        }
    }
}
