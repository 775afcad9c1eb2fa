// Two groups of one database: fractured together under load, killed in the middle,
// resolved after Recovery, and restored together.
#include "modes.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ledger.h"
#include "steps.h"

enum { CLONE = 1, ROUNDS = 5 };

struct database {
    struct demo *demo;
    struct ledger *ledger;
    struct settings settings[GROUPS];
    struct controller groups[GROUPS];
    struct clone_group *handles[GROUPS];
    struct writers *writers;
    pthread_t pollers[GROUPS];
    pthread_mutex_t mutex;
    int stopping;
};

// ------------------------------------------------- a thread polls each group

struct poller {
    struct database *database;
    struct controller *controller;
};

static int is_stopping(struct database *database)
{
    int stopping;

    pthread_mutex_lock(&database->mutex);
    stopping = database->stopping;
    pthread_mutex_unlock(&database->mutex);
    return stopping;
}

static void *poller_thread(void *argument)
{
    struct poller *poller = argument;

    while (!is_stopping(poller->database))
        controller_poll(poller->controller, COPY_BUDGET, 1);
    return NULL;
}

static void start_load(struct database *database)
{
    static struct poller pollers[GROUPS];
    struct demo *demo = database->demo;

    database->stopping = 0;
    for (uint32_t i = 0; i < GROUPS; i++) {
        pollers[i] = (struct poller){database, &database->groups[i]};
        if (pthread_create(&database->pollers[i], NULL, poller_thread, &pollers[i]) != 0)
            give_up("cannot start a thread that polls");
    }
    database->writers = writers_start(database->groups, database->ledger, demo->settings,
                                      &demo->record->figures);
}

static void stop_polling(struct database *database)
{
    pthread_mutex_lock(&database->mutex);
    database->stopping = 1;
    pthread_mutex_unlock(&database->mutex);
    for (uint32_t i = 0; i < GROUPS; i++)
        pthread_join(database->pollers[i], NULL);
}

static void must(struct controller *controller, struct request *request, int32_t status,
                 const char *call)
{
    status = controller_wait(controller, request, status);
    if (status != CLONE_GROUP_OK)
        give_up("%s: %s", call, clone_group_status_text(status));
}

// ------------------------------------------------------------- the sets

static void set_prepare(struct database *database, struct clone_group_set *set)
{
    struct ledger *ledger = database->ledger;
    int32_t status;

    for (uint32_t i = 0; i < GROUPS; i++)
        database->groups[i].of_set = (struct request){0};
    // Never used before, also not in an earlier life: the ledger outlasts them.
    status = clone_group_set_init(set, sizeof *set, ledger->set_id + 1);
    if (status != CLONE_GROUP_OK)
        give_up("set_init: %s", clone_group_status_text(status));
    ledger_set_begins(ledger, database->demo->settings, ledger->set_id + 1);
}

// Waits for both groups: others poll them.
static void set_must(struct database *database, int32_t status, const char *call)
{
    for (uint32_t i = 0; i < GROUPS; i++)
        must(&database->groups[i], &database->groups[i].of_set, status, call);
    ledger_set_done(database->ledger, database->demo->settings);
}

static void fracture_both(struct database *database)
{
    static const uint32_t LUS_OF_SET[GROUPS] = {CLONE, CLONE};
    struct figures *figures = &database->demo->record->figures;
    struct clone_group_set set;
    uint64_t began_ns = now_ns();

    set_prepare(database, &set);
    set_must(database,
             clone_group_set_fracture(database->handles, LUS_OF_SET, GROUPS, &set, LABEL_MONDAY,
                                      TAG_OF_SET),
             "set_fracture");
    figures->kill_within_ns = (now_ns() - began_ns) * 3 / 2 + 1;
    figure(figures, "both fractured in", "%.3f ms", (double)(now_ns() - began_ns) / 1e6);
}

static void synchronize_both(struct database *database)
{
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct controller *controller = &database->groups[i];
        struct request request = {0};

        if (controller_clone(controller, CLONE).state != CLONE_GROUP_CLONE_SYNCHRONIZED
            && controller_clone(controller, CLONE).state != CLONE_GROUP_CLONE_SYNCHRONIZING)
            must(controller, &request,
                 clone_group_synchronize(controller->group, CLONE, REQUEST_TAG(&request)),
                 "synchronize");
        while (controller_clone(controller, CLONE).state != CLONE_GROUP_CLONE_SYNCHRONIZED)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static void one_round(struct database *database)
{
    synchronize_both(database);
    fracture_both(database);
    check_cut(database->groups, database->ledger, database->demo->settings,
              &database->demo->record->figures, CLONE, 1);
}

static void fracture_and_be_killed(struct database *database)
{
    synchronize_both(database);
    step_begin(&database->demo->record->figures, "fracture both, and kill the array meanwhile");
    may_be_killed(database->demo);
    fracture_both(database);
    for (;;)
        pause();
}

// ------------------------------------------------------------- the lives

static void open_both(struct database *database, struct demo *demo, enum controller_start start)
{
    memset(database, 0, sizeof *database);
    database->demo = demo;
    database->ledger = demo->record->ledger;
    pthread_mutex_init(&database->mutex, NULL);
    for (uint32_t i = 0; i < GROUPS; i++) {
        database->settings[i] = group_settings(demo->settings, i);
        controller_open(&database->groups[i], &database->settings[i], start);
        database->handles[i] = database->groups[i].group;
    }
}

static void first_life(struct demo *demo)
{
    static struct database database;
    struct figures *figures = &demo->record->figures;

    step_begin(figures, "make the array, and format two groups");
    open_both(&database, demo, CONTROLLER_FORMAT);
    for (uint32_t i = 0; i < GROUPS; i++)
        controller_must(&database.groups[i],
                        clone_group_clone_add(database.handles[i], CLONE,
                                              controller_tag(&database.groups[i])),
                        "clone_add");
    start_load(&database);
    step_begin(figures, "%" PRIu32 " writers; synchronize and fracture both Clones",
               demo->settings->hosts);
    one_round(&database);
    fracture_and_be_killed(&database);
}

// The rule of clone_group_set_resolve(). Returns 1 if the last set was committed.
static int resolve(struct database *database, struct figures *figures)
{
    uint64_t id = database->ledger->set_id;
    uint32_t prepared = 0;
    uint32_t committed = 0;
    int is_prepared[GROUPS];
    int commit;

    for (uint32_t i = 0; i < GROUPS; i++) {
        struct clone_group_info info = controller_info(&database->groups[i]);

        is_prepared[i] = (info.conditions & CLONE_GROUP_CONDITION_PREPARED) != 0;
        prepared += is_prepared[i] && info.set_id == id;
        committed += !is_prepared[i] && info.set_id == id;
        check(figures, !is_prepared[i] || info.set_id == id,
              "group %c is %s set %" PRIu64, "AB"[i],
              is_prepared[i] ? "prepared for" : info.set_id == id ? "through with" : "not in", id);
    }
    commit = prepared + committed == GROUPS;
    for (uint32_t i = 0; i < GROUPS; i++)
        if (is_prepared[i])
            controller_must(&database->groups[i],
                            clone_group_set_resolve(database->handles[i], (uint32_t)commit,
                                                    controller_tag(&database->groups[i])),
                            "set_resolve");
    remark("the set is %s", commit ? "committed" : "given up");
    figure(figures, commit ? "a killed set, committed" : "a killed set, given up",
           "%" PRIu32 " prepared, %" PRIu32 " committed at Recovery", prepared, committed);
    return commit;
}

static void recover_both(struct database *database, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    int commit;

    step_begin(figures, "start the array again: Recovery of both, and resolve");
    open_both(database, demo, CONTROLLER_RECOVER);
    commit = resolve(database, figures);
    for (uint32_t i = 0; i < GROUPS; i++)
        check(figures,
              (controller_clone(&database->groups[i], CLONE).state == CLONE_GROUP_CLONE_FRACTURED)
                  == commit,
              "Clone %d of group %c is %s", CLONE, "AB"[i], commit ? "fractured" : "mirrored");
    check_cut(database->groups, database->ledger, demo->settings, figures, 0, 0);
    if (commit)
        check_cut(database->groups, database->ledger, demo->settings, figures, CLONE, 1);
    start_load(database);
}

static void later_life(struct demo *demo)
{
    static struct database database;

    recover_both(&database, demo);
    fracture_and_be_killed(&database);
}

static void restore_both(struct database *database)
{
    static const uint32_t LUS_OF_SET[GROUPS] = {CLONE, CLONE};
    struct figures *figures = &database->demo->record->figures;
    struct clone_group_set set;

    step_begin(figures, "restore both Sources together");
    set_prepare(database, &set);
    set_must(database,
             clone_group_set_protected_restore(database->handles, LUS_OF_SET, GROUPS, &set,
                                               TAG_OF_SET),
             "set_protected_restore");
    for (uint32_t i = 0; i < GROUPS; i++)
        while (controller_events(&database->groups[i], CLONE_GROUP_EVENT_RESTORED) == 0)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void last_life(struct demo *demo)
{
    static struct database database;
    struct figures *figures = &demo->record->figures;

    recover_both(&database, demo);
    step_begin(figures, "%d more rounds without a kill", ROUNDS);
    for (int i = 0; i < ROUNDS; i++)
        one_round(&database);
    figure(figures, "consistent Fractures checked", "%" PRIu64, database.ledger->fractures);
    writers_stop(database.writers);
    restore_both(&database);
    stop_polling(&database);
    check_cut_restored(database.groups, demo->settings, figures, CLONE);
    step_begin(figures, "close both groups");
    for (uint32_t i = 0; i < GROUPS; i++)
        controller_close(&database.groups[i]);
}

static int prepare(struct demo *demo)
{
    demo->record->ledger = ledger_create();
    return demo->record->ledger != NULL;
}

const struct mode MODE_SETS = {
    .name = "sets",
    .prepare = prepare,
    .lives = {first_life, later_life, later_life, later_life, later_life, last_life},
    .table = rows_table,
};
