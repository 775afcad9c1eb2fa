// Goal: tells how this compiler lays out every struct of the header, for the
// comparison with Rust, with ctypes and with the layout that was frozen. Lines:
// "STRUCT size BYTES", "STRUCT align BYTES", "STRUCT.FIELD OFFSET BYTES".

#include <stdio.h>

#include "clone_group.h"

#define STRUCT(name)                                                           \
    do {                                                                       \
        struct behind {                                                        \
            char byte;                                                         \
            struct name value;                                                 \
        };                                                                     \
        printf("%s size %lu\n", #name, (unsigned long)sizeof(struct name));    \
        printf("%s align %lu\n", #name,                                        \
               (unsigned long)offsetof(struct behind, value));                 \
    } while (0)

#define FIELD(name, field)                                                     \
    printf("%s.%s %lu %lu\n", #name, #field,                                   \
           (unsigned long)offsetof(struct name, field),                        \
           (unsigned long)sizeof(((struct name *)NULL)->field))

static void print_config(void)
{
    STRUCT(clone_group_config);
    FIELD(clone_group_config, struct_size);
    FIELD(clone_group_config, flags);
    FIELD(clone_group_config, lu_blocks);
    FIELD(clone_group_config, block_bytes);
    FIELD(clone_group_config, extent_blocks);
    FIELD(clone_group_config, clones_max);
    FIELD(clone_group_config, requests_max);
    FIELD(clone_group_config, copies_max);
    FIELD(clone_group_config, copy_buffer_bytes);
    FIELD(clone_group_config, buffer_align_bytes);
    FIELD(clone_group_config, persist_unit_bytes);
    FIELD(clone_group_config, page_bytes);
    FIELD(clone_group_config, page_writes_max);
    FIELD(clone_group_config, intent_extents_max);
    FIELD(clone_group_config, recopies_max);
    FIELD(clone_group_config, group_id);
}

static void print_io(void)
{
    STRUCT(clone_group_io);
    FIELD(clone_group_io, struct_size);
    FIELD(clone_group_io, operation);
    FIELD(clone_group_io, id);
    FIELD(clone_group_io, lu);
    FIELD(clone_group_io, flags);
    FIELD(clone_group_io, first_block);
    FIELD(clone_group_io, block_count);
    FIELD(clone_group_io, offset_bytes);
    FIELD(clone_group_io, length_bytes);
    FIELD(clone_group_io, source_lu);
    FIELD(clone_group_io, reserved);
    FIELD(clone_group_io, buffer);
    FIELD(clone_group_io, payload);
}

static void print_event(void)
{
    STRUCT(clone_group_event);
    FIELD(clone_group_event, struct_size);
    FIELD(clone_group_event, kind);
    FIELD(clone_group_event, lu);
    FIELD(clone_group_event, status);
    FIELD(clone_group_event, value);
    FIELD(clone_group_event, text);
    FIELD(clone_group_event, name);
}

static void print_ops(void)
{
    STRUCT(clone_group_ops);
    FIELD(clone_group_ops, struct_size);
    FIELD(clone_group_ops, reserved);
    FIELD(clone_group_ops, context);
    FIELD(clone_group_ops, read);
    FIELD(clone_group_ops, write);
    FIELD(clone_group_ops, flush);
    FIELD(clone_group_ops, discard);
    FIELD(clone_group_ops, write_zeroes);
    FIELD(clone_group_ops, copy);
    FIELD(clone_group_ops, persist_read);
    FIELD(clone_group_ops, persist_write);
    FIELD(clone_group_ops, persist_flush);
    FIELD(clone_group_ops, done);
    FIELD(clone_group_ops, event);
    FIELD(clone_group_ops, wake);
    FIELD(clone_group_ops, enter_critical);
    FIELD(clone_group_ops, leave_critical);
    FIELD(clone_group_ops, clock);
    FIELD(clone_group_ops, log);
}

static void print_lu(void)
{
    STRUCT(clone_group_lu);
    FIELD(clone_group_lu, struct_size);
    FIELD(clone_group_lu, flags);
    FIELD(clone_group_lu, identity);
}

static void print_set(void)
{
    STRUCT(clone_group_set);
    FIELD(clone_group_set, struct_size);
    FIELD(clone_group_set, reserved);
    FIELD(clone_group_set, id);
    FIELD(clone_group_set, opaque);
}

static void print_info(void)
{
    STRUCT(clone_group_info);
    FIELD(clone_group_info, struct_size);
    FIELD(clone_group_info, state);
    FIELD(clone_group_info, conditions);
    FIELD(clone_group_info, restoring_lu);
    FIELD(clone_group_info, extents_total);
    FIELD(clone_group_info, restore_generation);
    FIELD(clone_group_info, protected_restore_extents);
    FIELD(clone_group_info, persistent_delta_extents);
    FIELD(clone_group_info, requests);
    FIELD(clone_group_info, cod_queue_depth);
    FIELD(clone_group_info, reversing_lu);
    FIELD(clone_group_info, reserved);
    FIELD(clone_group_info, set_id);
}

static void print_clone_info(void)
{
    STRUCT(clone_group_clone_info);
    FIELD(clone_group_clone_info, struct_size);
    FIELD(clone_group_clone_info, lu);
    FIELD(clone_group_clone_info, state);
    FIELD(clone_group_clone_info, conditions);
    FIELD(clone_group_clone_info, extents_left);
    FIELD(clone_group_clone_info, extents_copied);
    FIELD(clone_group_clone_info, extents_failed);
    FIELD(clone_group_clone_info, first_failed_extent);
    FIELD(clone_group_clone_info, identity);
    FIELD(clone_group_clone_info, label);
    FIELD(clone_group_clone_info, extents_to_copy);
    FIELD(clone_group_clone_info, copy_time_ns);
    FIELD(clone_group_clone_info, extents_skipped);
    FIELD(clone_group_clone_info, verify_extents_left);
    FIELD(clone_group_clone_info, verify_extents_failed);
    FIELD(clone_group_clone_info, mismatched_extents);
    FIELD(clone_group_clone_info, first_mismatched_extents);
}

static void print_lu_info(void)
{
    STRUCT(clone_group_lu_info);
    FIELD(clone_group_lu_info, struct_size);
    FIELD(clone_group_lu_info, flags);
    FIELD(clone_group_lu_info, reads);
    FIELD(clone_group_lu_info, writes);
    FIELD(clone_group_lu_info, flushes);
    FIELD(clone_group_lu_info, read_errors);
    FIELD(clone_group_lu_info, write_errors);
    FIELD(clone_group_lu_info, flush_errors);
    FIELD(clone_group_lu_info, identity);
}

static void print_statistics(void)
{
    STRUCT(clone_group_statistics);
    FIELD(clone_group_statistics, struct_size);
    FIELD(clone_group_statistics, cod_queue_peak);
    FIELD(clone_group_statistics, host_reads);
    FIELD(clone_group_statistics, host_writes);
    FIELD(clone_group_statistics, host_flushes);
    FIELD(clone_group_statistics, redirected_reads);
    FIELD(clone_group_statistics, cod_queued);
    FIELD(clone_group_statistics, cod_extents);
    FIELD(clone_group_statistics, sync_extents);
    FIELD(clone_group_statistics, sync_copies);
    FIELD(clone_group_statistics, overwritten_extents);
    FIELD(clone_group_statistics, collisions);
    FIELD(clone_group_statistics, exclusive_copies);
    FIELD(clone_group_statistics, page_writes);
    FIELD(clone_group_statistics, page_waits);
    FIELD(clone_group_statistics, superblock_writes);
    FIELD(clone_group_statistics, engine_flushes);
    FIELD(clone_group_statistics, io_errors);
    FIELD(clone_group_statistics, metadata_errors);
    FIELD(clone_group_statistics, cod_wait_ns_max);
    FIELD(clone_group_statistics, cod_wait_ns_total);
    FIELD(clone_group_statistics, skipped_extents);
    FIELD(clone_group_statistics, verified_extents);
    FIELD(clone_group_statistics, mismatched_extents);
}

int main(void)
{
    print_config();
    print_io();
    print_event();
    print_ops();
    print_lu();
    print_set();
    print_info();
    print_clone_info();
    print_lu_info();
    print_statistics();
    return 0;
}
