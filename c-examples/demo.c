// A Clone Group on a file-backed, asynchronous array that is killed half way: a
// Protected Restore, or what --mode says. Every claim of the library that can be seen from outside is checked.
//
// The array runs in a process of its own. This process only starts it, kills it,
// starts it again, and prints what is in the record, which they share.
//
// A killed process is not a power loss: what it wrote with pwrite() is in the
// page cache and survives. What is lost is all that the library and the hosts
// knew in memory. Lost and torn writes are the subject of the crash tests.
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "array.h"
#include "bulk.h"
#include "modes.h"
#include "pattern.h"
#include "record.h"
#include "settings.h"

static volatile sig_atomic_t interrupted;
static volatile sig_atomic_t child;

static void on_signal(int number)
{
    interrupted = number;
    if (child > 0)
        kill((pid_t)child, SIGKILL);
}

static void handle_signals(void (*handler)(int))
{
    static const int NUMBERS[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {0};

    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        sigaction(NUMBERS[i], &action, NULL);
}

// --------------------------------------------------------- the scratch folder

// Makes the folder for the files: the user's, or a fresh one, whose name goes
// into `fresh`. Returns 0 after it has said what is wrong.
static int make_folder(struct settings *settings, char *fresh, size_t fresh_size)
{
    const char *parent = getenv("TMPDIR");

    if (settings->dir != NULL) {
        if (mkdir(settings->dir, 0700) == 0 || errno == EEXIST)
            return 1;
        fprintf(stderr, "demo: cannot make the folder '%s': %s\n", settings->dir,
                strerror(errno));
        return 0;
    }
    snprintf(fresh, fresh_size, "%s/clone_group-demo-XXXXXX",
             parent != NULL && *parent != '\0' ? parent : "/tmp");
    settings->dir = mkdtemp(fresh);
    if (settings->dir == NULL) {
        fprintf(stderr, "demo: cannot make a folder '%s': %s\n", fresh, strerror(errno));
        return 0;
    }
    return 1;
}

static int has_room(const struct settings *settings)
{
    uint64_t groups = settings->mode == &MODE_SETS ? 2 : 1;
    uint64_t needed = settings->lu_blocks
        * (groups * LUS * (uint64_t)BLOCK_BYTES + sizeof(struct block_record)) + (1 << 20);
    struct statvfs volume;
    uint64_t room;

    if (statvfs(settings->dir, &volume) != 0) {
        fprintf(stderr, "demo: cannot use the folder '%s': %s\n", settings->dir,
                strerror(errno));
        return 0;
    }
    room = (uint64_t)volume.f_bavail * volume.f_frsize;
    if (room >= needed)
        return 1;
    fprintf(stderr, "demo: '%s' has %" PRIu64 " MiB free, %" PRIu64 " are needed: lower "
            "--size-mib or name another --dir\n", settings->dir, room >> 20, needed >> 20);
    return 0;
}

// ---------------------------------------------------------------- the lives

// Starts an array process. In the array process it does not return.
static pid_t start_array(struct demo *demo, void (*life)(struct demo *))
{
    pid_t process;

    fflush(stdout);
    process = interrupted ? -1 : fork();
    if (process == 0) {
        handle_signals(SIG_DFL);
        life(demo);
        fflush(stdout);
        _exit(0);
    }
    child = process;
    return process;
}

// Waits for the end of the array process, and says so if it was not the one that
// was expected: exit with 0, or this signal.
static int ended_with(struct demo *demo, pid_t process, int expected_signal)
{
    int status = 0;

    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    child = 0;
    if (interrupted)
        fputs("\ndemo: interrupted\n", stderr);
    else if (expected_signal != 0 && WIFSIGNALED(status) && WTERMSIG(status) == expected_signal)
        return 1;
    else if (expected_signal == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        fprintf(stderr, "demo: step %" PRIu32 " (%s) took longer than %" PRIu64 " s\n",
                demo->record->figures.steps, demo->record->figures.step,
                demo->record->figures.step_seconds);
    else if (WIFSIGNALED(status))
        fprintf(stderr, "demo: the array process died of signal %d in step %" PRIu32 " (%s)\n",
                WTERMSIG(status), demo->record->figures.steps, demo->record->figures.step);
    return 0;
}

// A life that is killed some moment after the array said that it may be.
static int live_and_kill(struct demo *demo, void (*life)(struct demo *))
{
    const struct figures *figures = &demo->record->figures;
    uint64_t random = demo->settings->seed + (uint64_t)demo->life;
    struct timespec a_moment = {0, 0};
    int pipe_ends[2];
    char ready;
    pid_t process;
    ssize_t got;

    if (pipe(pipe_ends) != 0) {
        fprintf(stderr, "demo: cannot make a pipe: %s\n", strerror(errno));
        return 0;
    }
    demo->ready = pipe_ends[1];
    process = start_array(demo, life);
    close(pipe_ends[1]);
    if (process < 0) {
        fprintf(stderr, "demo: cannot start the array process: %s\n", strerror(errno));
        close(pipe_ends[0]);
        return 0;
    }
    do
        got = read(pipe_ends[0], &ready, 1);
    while (got < 0 && errno == EINTR);
    close(pipe_ends[0]);
    if (got == 1) {
        a_moment.tv_nsec = (long)random_below(&random, figures->kill_within_ns);
        nanosleep(&a_moment, NULL);
        kill(process, SIGKILL);
        puts("    killed the array process");
    }
    return ended_with(demo, process, SIGKILL) && got == 1;
}

static int live_to_the_end(struct demo *demo, void (*life)(struct demo *))
{
    pid_t process = start_array(demo, life);

    if (process < 0) {
        fputs("demo: cannot start the array process again\n", stderr);
        return 0;
    }
    return ended_with(demo, process, 0);
}

static int live(struct demo *demo)
{
    void (*const *lives)(struct demo *) = demo->settings->mode->lives;

    if (demo->settings->mode->prepare != NULL && !demo->settings->mode->prepare(demo)) {
        fputs("demo: no memory for what outlasts the array process\n", stderr);
        return 0;
    }
    for (demo->life = 0; lives[demo->life + 1] != NULL; demo->life++)
        if (!live_and_kill(demo, lives[demo->life]))
            return 0;
    return live_to_the_end(demo, lives[demo->life]);
}

// ---------------------------------------------------------------------- main

static void introduce(const struct settings *settings)
{
    printf("clone_group %s, %s: %" PRIu64 " blocks (%.1f MiB) per LU, %" PRIu64
           " extents of %" PRIu32 " KiB\n", clone_group_version(),
           settings->mode->name, settings->lu_blocks,
           (double)settings->lu_blocks * BLOCK_BYTES / 1048576, settings->extents,
           settings->extent_blocks * BLOCK_BYTES / 1024);
    printf("files in '%s', %s cache, hosts %s, seed %" PRIu64 "\n\n", settings->dir,
           settings->volatile_cache ? "volatile" : "no volatile",
           settings->host_durable ? "expect acknowledged writes to be durable"
                                  : "flush what must be durable",
           settings->seed);
}

// Runs the demonstration in a folder that is there. Returns 1 if all held.
static int run(const struct settings *settings)
{
    struct demo demo = {.settings = settings};
    uint64_t tuesday = settings->extents / 50 > 0 ? settings->extents / 50 : 1;
    int held = 0;

    demo.record = record_create(settings);
    if (demo.record == NULL)
        return 0;
    demo.record->figures.step_seconds = 120 + settings->lu_blocks * BLOCK_BYTES / 10000000;
    demo.record->figures.kill_within_ns = 30000000;
    demo.corrupted.count = settings->extents / 10;
    demo.corrupted.extents =
        choose_extents(settings, demo.corrupted.count, settings->seed ^ TAG_CORRUPTION);
    demo.tuesday.count = tuesday;
    demo.tuesday.extents = choose_extents(settings, tuesday, settings->seed ^ TAG_TUESDAY);
    introduce(settings);
    if (live(&demo)) {
        settings->mode->table(&demo);
        held = demo.record->figures.failures == 0;
        puts(held ? "\nAll held." : "\nNOT everything held: see FAILED above.");
    }
    free(demo.corrupted.extents);
    free(demo.tuesday.extents);
    record_destroy(demo.record);
    return held;
}

int main(int argc, char **argv)
{
    struct settings settings;
    char fresh[4096] = "";
    int go_on = settings_parse(&settings, argc, argv);
    int held;

    if (go_on != 1)
        return go_on == 0 ? 0 : 2;
    setvbuf(stdout, NULL, _IOLBF, 0); // what the killed process said must be seen
    handle_signals(on_signal);
    if (!make_folder(&settings, fresh, sizeof fresh))
        return 1;
    held = has_room(&settings) && run(&settings);
    if (*fresh != '\0') {
        array_remove_files(fresh);
        if (rmdir(fresh) != 0)
            fprintf(stderr, "demo: cannot remove the folder '%s': %s\n", fresh, strerror(errno));
    }
    return held ? 0 : 1;
}
