// Goal: every status of the header has its own name and a text that says what
// it means; a number that is not the library's is named as such. Prints each
// name that it checked, so that the caller can see that none is missing.

#include "array.h"

#define STATUS(name) {name, #name}

static const struct {
    int32_t status;
    const char *name;
} statuses[] = {
    STATUS(CLONE_GROUP_OK),
    STATUS(CLONE_GROUP_PENDING),
    STATUS(CLONE_GROUP_MORE),
    STATUS(CLONE_GROUP_RETRY),
    STATUS(CLONE_GROUP_ERR_IO),
    STATUS(CLONE_GROUP_ERR_NOMEM),
    STATUS(CLONE_GROUP_ERR_BUSY),
    STATUS(CLONE_GROUP_ERR_NO_LU),
    STATUS(CLONE_GROUP_ERR_INVALID),
    STATUS(CLONE_GROUP_ERR_NO_SPACE),
    STATUS(CLONE_GROUP_ERR_RANGE),
    STATUS(CLONE_GROUP_ERR_METADATA_DAMAGED),
    STATUS(CLONE_GROUP_ERR_NOT_SUPPORTED),
    STATUS(CLONE_GROUP_ERR_CANCELED),
    STATUS(CLONE_GROUP_ERR_STATE),
    STATUS(CLONE_GROUP_ERR_PROTECTED),
    STATUS(CLONE_GROUP_ERR_SOURCE_INVALID),
    STATUS(CLONE_GROUP_ERR_NOT_CONSISTENT),
    STATUS(CLONE_GROUP_ERR_METADATA_FAILED),
    STATUS(CLONE_GROUP_ERR_METADATA_FOREIGN),
    STATUS(CLONE_GROUP_ERR_METADATA_GEOMETRY),
    STATUS(CLONE_GROUP_ERR_METADATA_VERSION),
    STATUS(CLONE_GROUP_ERR_METADATA_EXISTS),
    STATUS(CLONE_GROUP_ERR_METADATA_MISSING),
    STATUS(CLONE_GROUP_ERR_RESTORE_MAP_LOST),
    STATUS(CLONE_GROUP_ERR_IDENTITY),
    STATUS(CLONE_GROUP_ERR_WORKSPACE),
    STATUS(CLONE_GROUP_ERR_CALLBACK_MISSING),
    STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT),
    STATUS(CLONE_GROUP_ERR_STALE_IO),
    STATUS(CLONE_GROUP_ERR_STRUCT_SIZE),
    STATUS(CLONE_GROUP_ERR_NOT_READY),
    STATUS(CLONE_GROUP_ERR_CLOSED),
    STATUS(CLONE_GROUP_ERR_NO_REQUEST),
    STATUS(CLONE_GROUP_ERR_PREPARED),
    STATUS(CLONE_GROUP_ERR_INTERNAL)
};

enum { STATUSES = sizeof statuses / sizeof *statuses };

static void check_known(size_t index)
{
    int32_t status = statuses[index].status;
    const char *text = clone_group_status_text(status);
    size_t other;

    printf("%s %s\n", statuses[index].name, text);
    CHECK(strcmp(statuses[index].name, clone_group_status_name(status)) == 0);
    CHECK(text != NULL && text[0] != '\0');
    // Static: the same pointer each time.
    CHECK(text == clone_group_status_text(status));
    for (other = 0; other < index; other++) {
        CHECK(statuses[other].status != status);
        CHECK(strcmp(clone_group_status_text(statuses[other].status), text)
              != 0);
    }
}

static void check_unknown(int32_t status)
{
    const char *name = clone_group_status_name(status);

    CHECK(name != NULL && name[0] != '\0');
    CHECK(strncmp(name, "CLONE_GROUP_", 12) != 0);
    CHECK(clone_group_status_text(status) != NULL);
    CHECK(clone_group_status_text(status)[0] != '\0');
}

int main(void)
{
    static const int32_t unknown[] = {
        4, 5, 22, 512, 1000, INT32_MAX, -1, -2, -4, -6, -999, -1050, -1098,
        -1100, INT32_MIN,
    };
    size_t index;

    for (index = 0; index < STATUSES; index++) {
        check_known(index);
    }
    for (index = 0; index < sizeof unknown / sizeof *unknown; index++) {
        check_unknown(unknown[index]);
    }
    CHECK_EQUAL(CLONE_GROUP_ABI_VERSION, clone_group_abi_version());
    CHECK(strchr(clone_group_version(), '.') != NULL);
    return 0;
}
