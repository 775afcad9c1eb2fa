#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "modes.h"
#include "pattern.h"

enum { BLOCKS_PER_MIB = 1048576 / BLOCK_BYTES, BLOCKS_PER_KIB = 1024 / BLOCK_BYTES };
enum { EXTENTS_PER_HOST = 40 }; // fewer, and hosts restore all of it before the kill

static const char HELP[] =
    "usage: demo [options]\n"
    "Shows a Clone Group on a file-backed array while hosts use it, and kills the array half way.\n"
    "\n"
    "  -m, --mode MODE          restore   a Protected Restore (the default)\n"
    "                           reverse   a Reverse Synchronization\n"
    "                           cancel    a restore that is canceled, and one that is accepted\n"
    "                           retarget  a restore that is given another Clone\n"
    "                           sets      two groups of one database, fractured together\n"
    "                           verify    thin Clones, and a corruption that is found and mended\n"
    "  -s, --size-mib N         size of each of the three LUs (1024)\n"
    "  -b, --blocks N           the same in blocks of 512 bytes, for odd sizes\n"
    "  -e, --extent-kib N       extent size, a power of two (64)\n"
    "  -d, --dir DIR            empty or new folder for the files, which stay there\n"
    "                           (a fresh one in $TMPDIR, removed at the end)\n"
    "  -S, --seed N             seed of all generated data and host requests (random)\n"
    "  -H, --hosts N            host threads (4)\n"
    "  -w, --workers N          I/O threads of the array (4)\n"
    "  -n, --no-volatile-cache  declare that a completed write is durable\n"
    "  -D, --host-durable       an acknowledged host write is durable, without flush\n"
    "  -r, --redirect-reads     reads of what is not copied yet go to the Clone\n"
    "  -p, --map-per-clone      after a kill less is copied again (CLONE_GROUP_CONFIG_MAP_PER_CLONE)\n"
    "  -h, --help               this text\n"
    "\n"
    "Exit status: 0 all held, 1 something did not (or could not be done), 2 wrong usage.\n";

static const char SHORT[] = "m:s:b:e:d:S:H:w:nDrph";
static const struct option LONG[] = {
    {"mode", required_argument, NULL, 'm'},
    {"size-mib", required_argument, NULL, 's'},
    {"blocks", required_argument, NULL, 'b'},
    {"extent-kib", required_argument, NULL, 'e'},
    {"dir", required_argument, NULL, 'd'},
    {"seed", required_argument, NULL, 'S'},
    {"hosts", required_argument, NULL, 'H'},
    {"workers", required_argument, NULL, 'w'},
    {"no-volatile-cache", no_argument, NULL, 'n'},
    {"host-durable", no_argument, NULL, 'D'},
    {"redirect-reads", no_argument, NULL, 'r'},
    {"map-per-clone", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

// Reads a whole number between the limits. Returns 0 and names the option if it is none.
static int number(const char *option, const char *text, uint64_t least, uint64_t most,
                  uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || *value < least
        || *value > most) {
        fprintf(stderr, "demo: --%s needs a number from %" PRIu64 " to %" PRIu64 ", not '%s'\n",
                option, least, most, text);
        return 0;
    }
    return 1;
}

static int number32(const char *option, const char *text, uint32_t least, uint32_t most,
                    uint32_t *value)
{
    uint64_t wide;

    if (!number(option, text, least, most, &wide))
        return 0;
    *value = (uint32_t)wide;
    return 1;
}

static int extent_size(const char *text, uint32_t *blocks)
{
    uint32_t kib;

    if (!number32("extent-kib", text, 1, 1024, &kib))
        return 0;
    if ((kib & (kib - 1)) != 0) {
        fprintf(stderr, "demo: --extent-kib needs a power of two, not '%s'\n", text);
        return 0;
    }
    *blocks = kib * BLOCKS_PER_KIB;
    return 1;
}

// Takes one option. Returns 1 to go on, as settings_parse() does.
static int take(struct settings *settings, int option)
{
    int good = 1;

    switch (option) {
    case 'm': good = mode_named(optarg, &settings->mode); break;
    case 's':
        good = number("size-mib", optarg, 1, 1 << 24, &settings->lu_blocks);
        settings->lu_blocks *= BLOCKS_PER_MIB;
        break;
    case 'b': good = number("blocks", optarg, 1, UINT64_C(1) << 35, &settings->lu_blocks); break;
    case 'e': good = extent_size(optarg, &settings->extent_blocks); break;
    case 'd': settings->dir = optarg; break;
    case 'S': good = number("seed", optarg, 0, UINT64_MAX, &settings->seed); break;
    case 'H': good = number32("hosts", optarg, 1, HOSTS_MOST, &settings->hosts); break;
    case 'w': good = number32("workers", optarg, 1, WORKERS_MOST, &settings->workers); break;
    case 'n': settings->volatile_cache = 0; break;
    case 'D': settings->host_durable = 1; break;
    case 'r': settings->redirect_reads = 1; break;
    case 'p': settings->map_per_clone = 1; break;
    case 'h':
        fputs(HELP, stdout);
        return 0;
    default: // getopt_long has said what is wrong
        fputs("Try 'demo --help'.\n", stderr);
        return -1;
    }
    return good ? 1 : -1;
}

static uint64_t fresh_seed(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t state = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    state ^= (uint64_t)getpid() << 40;
    return random_next(&state) % 1000000000; // short enough to be typed again
}

int settings_parse(struct settings *settings, int argc, char **argv)
{
    int option;
    int answer = 1;

    *settings = (struct settings){
        .mode = mode_first(),
        .group = "",
        .lu_blocks = (uint64_t)1024 * BLOCKS_PER_MIB,
        .extent_blocks = 64 * BLOCKS_PER_KIB,
        .seed = fresh_seed(),
        .hosts = 4,
        .workers = 4,
        .volatile_cache = 1,
    };
    while (answer == 1 && (option = getopt_long(argc, argv, SHORT, LONG, NULL)) != -1)
        answer = take(settings, option);
    if (answer != 1)
        return answer;
    if (optind < argc) {
        fprintf(stderr, "demo: unexpected argument '%s'\n", argv[optind]);
        return -1;
    }
    settings->extents =
        (settings->lu_blocks + settings->extent_blocks - 1) / settings->extent_blocks;
    if (settings->extents < settings->hosts * EXTENTS_PER_HOST) {
        fprintf(stderr, "demo: %" PRIu64 " extents per LU are too few for %" PRIu32 " hosts, "
                "it takes %" PRIu32 ": raise --size-mib, or lower --extent-kib or --hosts\n",
                settings->extents, settings->hosts, settings->hosts * EXTENTS_PER_HOST);
        return -1;
    }
    return 1;
}
