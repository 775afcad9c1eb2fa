// Goal: the header stands alone. It is the only thing included here, and all
// that it needs must come with it; with CLONE_GROUP_NO_BARE_NAMES a program may
// have its own functions under the bare names.

#include "clone_group.h"

#ifdef CLONE_GROUP_NO_BARE_NAMES
static int recover(void)
{
    return 0;
}

static int host_write(void)
{
    return recover();
}
#endif

int main(void)
{
#ifdef CLONE_GROUP_NO_BARE_NAMES
    if (host_write() != 0) {
        return 1;
    }
#endif
    return clone_group_abi_version() == CLONE_GROUP_ABI_VERSION ? 0 : 1;
}
