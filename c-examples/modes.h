// What can be demonstrated, each in a file of its own.
#ifndef MODES_H
#define MODES_H

#include "hosts.h"
#include "record.h"
#include "settings.h"

enum { LIVES_MOST = 8 };

struct demo {
    const struct settings *settings;
    struct record *record;
    struct extents corrupted;   // extents that the disaster hits
    struct extents tuesday;     // extents written between the two Fractures
    int life;                   // which one runs
    int ready;                  // pipe: one byte when the array may be killed
};

// Each life is that of an array process. All but the last are killed some moment
// after they called may_be_killed(); the last returns.
struct mode {
    const char *name;
    int (*prepare)(struct demo *demo); // before the first life; may be NULL. Returns 1 if it could.
    void (*lives[LIVES_MOST])(struct demo *demo);
    void (*table)(const struct demo *demo);
};

extern const struct mode MODE_RESTORE, MODE_REVERSE, MODE_CANCEL, MODE_RETARGET, MODE_SETS,
    MODE_VERIFY;

// Finds a mode. Returns 0 after it has said which ones there are.
int mode_named(const char *name, const struct mode **mode);
const struct mode *mode_first(void);

#endif
