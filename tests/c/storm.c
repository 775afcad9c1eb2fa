// Goal: clone_group_io_complete() may preempt anything, also the holder of the
// group's lock on the same CPU, as an interrupt does: it never waits, and no
// completion is lost. All I/Os are completed by a signal handler.
// - Everywhere, a timer fires many thousand times a second.
// - On x86-64 the processor's trap flag also interrupts the program after every
//   single instruction of the library's calls, for the first STEPS_EACH of each
//   part of a life. The handler calls clone_group_io_complete() each time: with
//   the id of an I/O that is under way, or, most of the time, with one that is
//   over (which must be refused).
// If a completion waited for the lock it would wait for ever: an alarm ends
// that. At the end all requests are done and the data is right.

#define _GNU_SOURCE // REG_EFL

#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "array.h"

enum { DEADLOCK_SECONDS = 60, IDLE_POLLS = 200, COMPLETE_ONE_OF = 50,
       STEPS_EACH = 8000, TIMER_LIVES = 20, STEPPED_LIVES = 3 };

static struct array array;

// I/Os under way. The handler keeps off while `busy`.
static uint64_t under_way[ARRAY_IN_FLIGHT_MAX];
static volatile uint32_t under_way_count;
static volatile sig_atomic_t busy;
static volatile uint64_t last_over; // an id that was completed

static timer_t timer;
static int is_stepping;
static volatile uint32_t steps_left;
static uint64_t interrupts, interrupts_locked;
static uint64_t completions, completions_locked, accepted;
static uint64_t handler_random = 1;
static uint32_t idle_polls;

// array_random() belongs to the code that is interrupted.
static uint64_t dice(uint64_t bound)
{
    handler_random = handler_random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (handler_random >> 33) % bound;
}

static void complete_one(void)
{
    uint32_t index = (uint32_t)dice(under_way_count);
    uint64_t id = under_way[index];

    under_way[index] = under_way[--under_way_count];
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_io_complete(array.group, id, CLONE_GROUP_OK));
    last_over = id;
    completions++;
    completions_locked += array.critical != 0;
}

// ------------------------------------------------------------ single steps

#if defined(__x86_64__)
#define CAN_STEP 1
#define TRAP_FLAG 0x100

// Leaves the red zone of the caller as it is.
static __attribute__((noinline)) void set_trap_flag(uint64_t set, uint64_t keep)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t"
                     "andq %1, (%%rsp)\n\torq %0, (%%rsp)\n\tpopfq\n\t"
                     "lea 128(%%rsp), %%rsp"
                     :
                     : "r"(set), "r"(keep)
                     : "memory", "cc");
}

static void end_steps(void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}
#else
#define CAN_STEP 0
#define TRAP_FLAG 0

static void set_trap_flag(uint64_t set, uint64_t keep)
{
    (void)set;
    (void)keep;
}

static void end_steps(void *context)
{
    (void)context;
}
#endif

static void begin_steps(void)
{
    if (is_stepping && steps_left > 0) {
        set_trap_flag(TRAP_FLAG, ~0ULL);
    }
}

static void pause_steps(void)
{
    if (is_stepping) {
        set_trap_flag(0, ~(uint64_t)TRAP_FLAG);
    }
}

// -------------------------------------------------------------- interrupts

// The next interrupt of the timer. Each one asks for the next, so that the
// program gets on, however slow this machine's signals are.
static void ask_for_interrupt(void)
{
    struct itimerspec once = {{0, 0}, {0, 60000}};

    CHECK(timer_settime(timer, 0, &once, NULL) == 0);
}

static void on_interrupt(int number, siginfo_t *info, void *context)
{
    (void)info;
    interrupts++;
    interrupts_locked += array.critical != 0;
    if (!busy && under_way_count > 0
        && (number == SIGUSR1 || dice(COMPLETE_ONE_OF) == 0)) {
        complete_one();
    } else if (last_over != 0) {
        CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                     clone_group_io_complete(array.group, last_over,
                                             CLONE_GROUP_OK));
    }
    if (number == SIGUSR1) {
        ask_for_interrupt();
    } else if (steps_left > 0 && --steps_left == 0) {
        end_steps(context);
    }
}

static void on_alarm(int number)
{
    static const char text[] = "stood still: a completion waits for the lock, "
                               "or was lost\n";

    (void)number;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

// ------------------------------------------------------------------- array

// Every I/O is accepted, and completed by an interrupt: perhaps by the one that
// comes before this callback has returned.
static int keep(struct array *the_array, const struct clone_group_io *io,
                int32_t *result)
{
    pause_steps(); // moving data is no part of the library
    busy = 1;
    array_move(the_array, io);
    CHECK(under_way_count < ARRAY_IN_FLIGHT_MAX);
    under_way[under_way_count++] = io->id;
    accepted++;
    idle_polls = 0;
    *result = CLONE_GROUP_PENDING;
    busy = 0;
    begin_steps();
    return 1;
}

// `wake` comes from inside the interrupt; the array polls anyway.
static void on_wake(void *context)
{
    CHECK(context == &array);
}

// Called once in each poll. If a timer is late, wait for it.
static uint64_t on_clock(void *context)
{
    static uint64_t now_ns;
    struct timespec moment = {0, 50000};

    (void)context;
    if (steps_left == 0 && under_way_count > 0 && ++idle_polls > IDLE_POLLS) {
        nanosleep(&moment, NULL);
    }
    return now_ns += 1000;
}

static void open_array(void)
{
    array_init(&array, 3);
    array.config.copies_max = 3;
    array.lu_flags = CLONE_GROUP_LU_VOLATILE_CACHE;
    array.hook = keep;
    array.restless = 1;
    array.ops.wake = on_wake;
    array.ops.clock = on_clock;
    last_over = 0;
}

// -------------------------------------------------------------------- life

#define STORM(statement)                                                       \
    do {                                                                       \
        steps_left = STEPS_EACH;                                               \
        begin_steps();                                                         \
        statement;                                                             \
        pause_steps();                                                         \
        steps_left = 0;                                                        \
    } while (0)

static void life(void)
{
    unsigned char *source;
    unsigned char *point;

    open_array();
    array_make(&array);
    array_open(&array);
    STORM(CHECK_STATUS(CLONE_GROUP_OK,
                       array_finish(&array,
                                    clone_group_format(array.group, 0,
                                                       array_tag(&array)))));
    source = array_image(&array, array.lu[0]);
    STORM(array_add_clone(&array, 1));
    STORM(array_add_clone(&array, 2));
    STORM(array_synchronize(&array, 1));
    STORM(array_write_burst(&array, 0, source));
    STORM(array_settle(&array));
    STORM(array_fracture(&array, 1));
    point = array_image(&array, source);
    STORM(array_synchronize(&array, 2));
    STORM(array_write_burst(&array, 0, source));
    STORM(array_settle(&array));
    CHECK_EQUAL(0, memcmp(array.lu[2], source, (size_t)array.lu_bytes));
    STORM(array_restore(&array, 1));
    memcpy(source, point, (size_t)array.lu_bytes);
    STORM(array_expect_range(&array, 0, source, 3, 30));
    STORM(array_write_burst(&array, 0, source));
    STORM(array_write(&array, 0, source, 40, 16));
    STORM(array_settle(&array));
    CHECK_EQUAL(0, memcmp(array.lu[0], source, (size_t)array.lu_bytes));
    CHECK_EQUAL(0, memcmp(array.lu[1], point, (size_t)array.lu_bytes));
    CHECK_EQUAL(1, array.event_count[CLONE_GROUP_EVENT_RESTORED]);
    STORM(CHECK_STATUS(CLONE_GROUP_OK,
                       array_finish(&array,
                                    clone_group_close(array.group,
                                                      array_tag(&array)))));
    last_over = 0; // the group ends, and its ids with it
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(array.group));
    CHECK_EQUAL(0, under_way_count);
    array_free(&array);
    free(source);
    free(point);
}

// One interrupt does not preempt another one.
static void take_interrupts(int number)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_interrupt;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    CHECK(sigaddset(&action.sa_mask, SIGTRAP) == 0);
    CHECK(sigaddset(&action.sa_mask, SIGUSR1) == 0);
    CHECK(sigaction(number, &action, NULL) == 0);
}

static void report(const char *what)
{
    printf("%s: %llu interrupts, %llu with the lock held; %llu completions, "
           "%llu with the lock held\n",
           what, (unsigned long long)interrupts,
           (unsigned long long)interrupts_locked,
           (unsigned long long)completions,
           (unsigned long long)completions_locked);
    CHECK_EQUAL(accepted, completions);
    interrupts = interrupts_locked = 0;
    completions = completions_locked = accepted = 0;
}

static void start_timer(void)
{
    struct sigevent event;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    ask_for_interrupt();
}

int main(int argc, char **argv)
{
    uint32_t lives;

    array_seed(argc, argv);
    handler_random = array_random(1000000007);
    CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
    take_interrupts(SIGTRAP);
    take_interrupts(SIGUSR1);
    alarm(DEADLOCK_SECONDS);
    start_timer();
    for (lives = 0; lives < TIMER_LIVES; lives++) {
        life();
    }
    CHECK(interrupts > 1000);
    report("timer");
    is_stepping = CAN_STEP;
    for (lives = 0; lives < STEPPED_LIVES && CAN_STEP; lives++) {
        life();
    }
    if (CAN_STEP) {
        CHECK(interrupts_locked > 50000);
        CHECK(completions_locked > 100);
        report("single steps");
    }
    return 0;
}
