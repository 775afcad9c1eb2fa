// Goal: the header is valid C++11 and links as C. Structs are plain data there,
// and callbacks of a C++ program are accepted as they are.

#include "clone_group.h"

#include <cstring>
#include <type_traits>

static_assert(std::is_pod<clone_group_config>::value, "plain data");
static_assert(std::is_pod<clone_group_ops>::value, "plain data");
static_assert(std::is_pod<clone_group_lu>::value, "plain data");
static_assert(std::is_pod<clone_group_io>::value, "plain data");
static_assert(std::is_pod<clone_group_event>::value, "plain data");
static_assert(std::is_pod<clone_group_info>::value, "plain data");
static_assert(std::is_pod<clone_group_clone_info>::value, "plain data");
static_assert(std::is_pod<clone_group_statistics>::value, "plain data");

extern "C" {
static int32_t on_io(void *, const clone_group_io *)
{
    return CLONE_GROUP_OK;
}

static void on_done(void *, uint64_t, int32_t)
{
}
}

int main()
{
    clone_group_config config;
    clone_group_ops ops;
    clone_group *group = nullptr;

    if (clone_group_config_init(&config, sizeof config) != CLONE_GROUP_OK
        || clone_group_ops_init(&ops, sizeof ops) != CLONE_GROUP_OK) {
        return 1;
    }
    config.lu_blocks = 1000;
    ops.read = ops.write = ops.persist_read = ops.persist_write = on_io;
    ops.done = on_done;
    if (clone_group_create(&config, &ops, nullptr, 0, &group)
        != CLONE_GROUP_OK) {
        return 1;
    }
    if (std::strcmp(clone_group_status_name(CLONE_GROUP_ERR_BUSY),
                    "CLONE_GROUP_ERR_BUSY") != 0) {
        return 1;
    }
    return clone_group_destroy(group) == CLONE_GROUP_OK ? 0 : 1;
}
