// Every struct of src/ffi/types.rs and its fields, in the order of tests/c/layout.c, for a macro that makes something
// of them.
macro_rules! structs {
    ($made:ident) => {
        $made! {
            clone_group_config {
                struct_size, flags, lu_blocks, block_bytes, extent_blocks, clones_max, requests_max,
                copies_max, copy_buffer_bytes, buffer_align_bytes, persist_unit_bytes, page_bytes,
                page_writes_max, intent_extents_max, recopies_max, group_id,
            }
            clone_group_io {
                struct_size, operation, id, lu, flags, first_block, block_count, offset_bytes,
                length_bytes, source_lu, reserved, buffer, payload,
            }
            clone_group_event {
                struct_size, kind, lu, status, value, text,
                name,
            }
            clone_group_ops {
                struct_size, reserved, context, read, write, flush, discard, write_zeroes, copy,
                persist_read, persist_write, persist_flush, done, event, wake, enter_critical,
                leave_critical, clock, log,
            }
            clone_group_lu {
                struct_size, flags, identity,
            }
            clone_group_set {
                struct_size, reserved, id, opaque,
            }
            clone_group_info {
                struct_size, state, conditions, restoring_lu, extents_total, restore_generation,
                protected_restore_extents, persistent_delta_extents, requests, cod_queue_depth, reversing_lu,
                reserved, set_id,
            }
            clone_group_clone_info {
                struct_size, lu, state, conditions, extents_left, extents_copied, extents_failed,
                first_failed_extent, identity, label, extents_to_copy, copy_time_ns, extents_skipped,
                verify_extents_left, verify_extents_failed, mismatched_extents, first_mismatched_extents,
            }
            clone_group_lu_info {
                struct_size, flags, reads, writes, flushes, read_errors, write_errors, flush_errors, identity,
            }
            clone_group_statistics {
                struct_size, cod_queue_peak, host_reads, host_writes, host_flushes, redirected_reads,
                cod_queued, cod_extents, sync_extents, sync_copies, overwritten_extents, collisions,
                exclusive_copies, page_writes, page_waits, superblock_writes, engine_flushes, io_errors,
                metadata_errors, cod_wait_ns_max, cod_wait_ns_total, skipped_extents, verified_extents,
                mismatched_extents,
            }
        }
    };
}
