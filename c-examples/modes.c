#include "modes.h"

#include <stdio.h>
#include <string.h>

static const struct mode *const MODES[] = {
    &MODE_RESTORE, &MODE_REVERSE, &MODE_CANCEL, &MODE_RETARGET, &MODE_SETS, &MODE_VERIFY,
};

int mode_named(const char *name, const struct mode **mode)
{
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        if (strcmp(name, MODES[i]->name) == 0) {
            *mode = MODES[i];
            return 1;
        }
    }
    fprintf(stderr, "demo: --mode needs one of");
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
        fprintf(stderr, " %s", MODES[i]->name);
    fprintf(stderr, ", not '%s'\n", name);
    return 0;
}

const struct mode *mode_first(void)
{
    return MODES[0];
}
