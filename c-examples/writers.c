#include "ledger.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "pattern.h"

struct writer {
    struct writers *all;
    pthread_t thread;
    uint32_t number;
};

struct writers {
    struct controller *groups;
    struct ledger *ledger;
    const struct settings *settings;
    struct figures *figures;
    pthread_mutex_t mutex;  // guards what follows, and the figures
    int stopping;
    struct writer writer[HOSTS_MOST];
};

struct ledger *ledger_create(void)
{
    struct ledger *ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return ledger == MAP_FAILED ? NULL : ledger;
}

struct settings group_settings(const struct settings *settings, uint32_t group)
{
    struct settings of_group = *settings;

    of_group.group = group == 0 ? "a-" : "b-";
    of_group.seed += group; // a block of one group is never right in the other
    return of_group;
}

uint64_t record_block(const struct settings *settings, uint32_t writer, uint64_t number)
{
    uint64_t places = (uint64_t)settings->hosts * RECORDS_KEPT;

    return (writer * (uint64_t)RECORDS_KEPT + number % RECORDS_KEPT)
        * (settings->lu_blocks / places);
}

static int is_stopping(struct writers *writers)
{
    int stopping;

    pthread_mutex_lock(&writers->mutex);
    stopping = writers->stopping;
    pthread_mutex_unlock(&writers->mutex);
    return stopping;
}

static void write_record(struct writer *writer, uint64_t position)
{
    struct writers *all = writer->all;
    struct writer_ledger *ledger = &all->ledger->writers[writer->number];
    uint32_t group = position % 2 == 0;
    uint64_t record = (position + 1) / 2;
    uint64_t block = record_block(all->settings, writer->number, record);
    struct request request = {0};
    uint8_t data[BLOCK_BYTES];
    uint64_t began_ns = now_ns();
    int32_t status;

    pattern_make(data, all->settings->seed + group, block, record);
    ledger->submitted_ns[position % TIMES_KEPT] = began_ns;
    ledger->submitted = position;
    status = controller_wait(
        &all->groups[group], &request,
        clone_group_host_write(all->groups[group].group, 0, block, 1, data, 0,
                               REQUEST_TAG(&request)));
    if (status != CLONE_GROUP_OK)
        give_up("a writer was refused: %s", clone_group_status_text(status));
    ledger->acknowledged_ns[position % TIMES_KEPT] = now_ns();
    ledger->acknowledged = position;
    pthread_mutex_lock(&all->mutex);
    histogram_add(&all->figures->writes, now_ns() - began_ns);
    pthread_mutex_unlock(&all->mutex);
}

// After a kill it begins with the record that was under way.
static void *writer_thread(void *argument)
{
    static const struct timespec A_MOMENT = {0, 200000};
    struct writer *writer = argument;

    while (!is_stopping(writer->all)) {
        write_record(writer, writer->all->ledger->writers[writer->number].acknowledged + 1);
        nanosleep(&A_MOMENT, NULL);
    }
    return NULL;
}

struct writers *writers_start(struct controller *groups, struct ledger *ledger,
                              const struct settings *settings, struct figures *figures)
{
    struct writers *writers = calloc(1, sizeof *writers);

    if (writers == NULL)
        give_up("no memory for the writers");
    writers->groups = groups;
    writers->ledger = ledger;
    writers->settings = settings;
    writers->figures = figures;
    pthread_mutex_init(&writers->mutex, NULL);
    for (uint32_t i = 0; i < settings->hosts; i++) {
        struct writer *writer = &writers->writer[i];

        writer->all = writers;
        writer->number = i;
        if (pthread_create(&writer->thread, NULL, writer_thread, writer) != 0)
            give_up("cannot start the writers");
    }
    return writers;
}

void writers_stop(struct writers *writers)
{
    pthread_mutex_lock(&writers->mutex);
    writers->stopping = 1;
    pthread_mutex_unlock(&writers->mutex);
    for (uint32_t i = 0; i < writers->settings->hosts; i++)
        pthread_join(writers->writer[i].thread, NULL);
    pthread_mutex_destroy(&writers->mutex);
    free(writers);
}

void ledger_set_begins(struct ledger *ledger, const struct settings *settings, uint64_t id)
{
    for (uint32_t i = 0; i < settings->hosts; i++) {
        ledger->writers[i].at_done = 0;
        ledger->writers[i].at_call = ledger->writers[i].acknowledged;
    }
    ledger->set_began_ns = now_ns();
    ledger->set_id = id;
}

void ledger_set_done(struct ledger *ledger, const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->hosts; i++)
        ledger->writers[i].at_done = ledger->writers[i].submitted;
}
