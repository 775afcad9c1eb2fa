// The control tool of the array: commands in, tables, bars and pictures out.
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "show.h"
#include "watch.h"

enum { TIMEOUT_S = 30, PATH_BYTES = 4096 };

static const char HELP[] =
    "usage: clonectl [options] COMMAND [CLONE]\n"
    "Controls an array. CLONE is a number, or its name: clone1.\n"
    "\n"
    "  status              what there is, and what runs (--watch: until Ctrl-C)\n"
    "  add CLONE           makes the LU a Clone; remove CLONE takes it out again\n"
    "  synchronize CLONE   copies the Source to the Clone, and mirrors it from then on\n"
    "  fracture CLONE      stops the mirroring: the Clone is a point in time (--label TEXT)\n"
    "  restore CLONE       the Source is what the Clone is, at once; copied in the background\n"
    "  reverse CLONE       the same, but the Clone is mirrored at once and no longer protected\n"
    "  retarget CLONE      gives the restore that runs another Clone\n"
    "  cancel CLONE        gives the copy of or from the Clone up\n"
    "  accept              takes the Source as a canceled restore left it\n"
    "  verify CLONE        compares the Clone with the Source (--mark: what differs is copied)\n"
    "  verify-stop         ends that\n"
    "  pause, resume       background copies; resume also tries again what failed\n"
    "  repair              writes all metadata anew, after a write of it failed\n"
    "  rate                how fast copies run (--cap SIZE, --minimum SIZE, a second; cap 0: none)\n"
    "  map CLONE           a picture of the copy, or of what differs\n"
    "  events              what happened (--after NUMBER, --follow)\n"
    "  statistics          counters\n"
    "\n"
    "  -d, --dir DIR       folder of the array ($CLONE_ARRAY_DIR, else the current one)\n"
    "  -s, --socket PATH   its control socket (DIR/control)\n"
    "  -w, --watch         stay until the copy is done, with a bar and a picture\n"
    "  -j, --json          the answer as the array gives it; with --watch one line a second\n"
    "  -l, --label TEXT    of a fracture: at most 64 bytes\n"
    "  -m, --mark          of a verify\n"
    "      --cap SIZE, --minimum SIZE   of rate: bytes, or with K, M, G\n"
    "      --after NUMBER, -f, --follow   of events\n"
    "      --cells NUMBER  of map: characters of the picture (256)\n"
    "  -t, --timeout S     how long to wait for an answer (30)\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 done, 1 failed (or the copy that was watched stopped), 2 wrong usage,\n"
    "3 no array answers, 4 refused: the state does not allow it, and nothing has changed.\n";

enum { CAP = 256, MINIMUM, AFTER, CELLS };

static const char SHORT[] = "d:s:wjl:mft:h";
static const struct option LONG[] = {
    {"dir", required_argument, NULL, 'd'},     {"socket", required_argument, NULL, 's'},
    {"watch", no_argument, NULL, 'w'},         {"json", no_argument, NULL, 'j'},
    {"label", required_argument, NULL, 'l'},   {"mark", no_argument, NULL, 'm'},
    {"follow", no_argument, NULL, 'f'},        {"timeout", required_argument, NULL, 't'},
    {"cap", required_argument, NULL, CAP},     {"minimum", required_argument, NULL, MINIMUM},
    {"after", required_argument, NULL, AFTER}, {"cells", required_argument, NULL, CELLS},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

struct options {
    const char *dir;
    const char *socket;
    bool watch;
    bool json;
    bool follow;
    uint64_t timeout_s;
    json_t *command;    // grows with what was said
    uint64_t clone;
};

static void wrong_usage(const char *format, const char *value)
{
    fputs("clonectl: ", stderr);
    fprintf(stderr, format, value);
    fputs("\nTry 'clonectl --help'.\n", stderr);
    exit(EXIT_USAGE);
}

// A whole number, perhaps with K, M, G or T.
static uint64_t number(const char *option, const char *text)
{
    static const char UNITS[] = "KMGT";
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || errno != 0)
        wrong_usage("%s needs a number", option);
    if (*end != '\0') {
        const char *unit = strchr(UNITS, toupper((unsigned char)*end));
        unsigned int shift = unit == NULL ? 0 : 10 * (unsigned int)(unit - UNITS + 1);

        if (unit == NULL || end[1] != '\0' || value > UINT64_MAX >> shift)
            wrong_usage("%s needs a number, or one with K, M, G or T", option);
        value <<= shift;
    }
    if (value > INT64_MAX)
        wrong_usage("%s: the number is too large", option);
    return value;
}

static void say_number(struct options *options, const char *key, const char *option,
                       const char *text)
{
    json_object_set_new(options->command, key, json_integer((json_int_t)number(option, text)));
}

static void say_label(struct options *options, const char *text)
{
    json_t *label = json_string(text);

    if (label == NULL)
        wrong_usage("%s must be text", "--label");
    json_object_set_new(options->command, "label", label);
}

static void take(struct options *options, int option)
{
    switch (option) {
    case 'd': options->dir = optarg; break;
    case 's': options->socket = optarg; break;
    case 'w': options->watch = true; break;
    case 'j': options->json = true; break;
    case 'f': options->follow = true; break;
    case 't': options->timeout_s = number("--timeout", optarg); break;
    case 'l': say_label(options, optarg); break;
    case 'm': json_object_set_new(options->command, "mark", json_true()); break;
    case CAP: say_number(options, "cap_bytes_per_s", "--cap", optarg); break;
    case MINIMUM: say_number(options, "minimum_bytes_per_s", "--minimum", optarg); break;
    case AFTER: say_number(options, "after", "--after", optarg); break;
    case CELLS: say_number(options, "cells", "--cells", optarg); break;
    case 'h':
        fputs(HELP, stdout);
        exit(EXIT_DONE);
    default: // getopt_long has said what is wrong
        fputs("Try 'clonectl --help'.\n", stderr);
        exit(EXIT_USAGE);
    }
}

static _Noreturn void watch_status(bool json) // until Ctrl-C
{
    for (;;) {
        json_t *status = link_must(link_command("status"));

        if (!json && isatty(STDOUT_FILENO))
            printf("\033[H\033[J");
        if (json)
            print_json(status);
        else
            show_status(status);
        fflush(stdout);
        json_decref(status);
        sleep_ms(1000);
    }
}

// ----------------------------------------------------------------- commands

static int show_events(const struct options *options, json_t *answer)
{
    uint64_t after = 0;

    for (;;) {
        const json_t *list = json_object_get(answer, "events");
        size_t count = json_array_size(list);

        for (size_t i = 0; i < count; i++) {
            if (options->json)
                print_json(json_array_get(list, i));
            else
                show_event(json_array_get(list, i));
            after = get_number(json_array_get(list, i), "number");
        }
        fflush(stdout);
        json_decref(answer);
        if (count == 0 && !options->follow)
            return EXIT_DONE;
        if (count == 0)
            sleep_ms(REFRESH_MS);
        answer = link_must(json_pack("{ss sI}", "command", "events", "after", (json_int_t)after));
    }
}

static int show_answer(const struct options *options, const char *name, json_t *answer)
{
    int outcome = link_outcome(answer);

    if (outcome == EXIT_DONE && strcmp(name, "events") == 0)
        return show_events(options, answer);
    if (options->json) {
        print_json(answer);
    } else if (outcome != EXIT_DONE) {
    } else if (strcmp(name, "status") == 0) {
        show_status(answer);
    } else if (strcmp(name, "rate") == 0) {
        show_rate(json_object_get(answer, "rate"));
    } else if (strcmp(name, "statistics") == 0) {
        show_statistics(answer);
    } else if (strcmp(name, "map") == 0) {
        printf("clone%" PRIu64 " %s\n", get_number(answer, "clone"), get_text(answer, "state"));
        show_map(answer, isatty(STDOUT_FILENO) != 0);
        show_legend();
    }
    json_decref(answer);
    return outcome;
}

static int run(struct options *options, const char *name)
{
    json_t *before = link_must(link_command("status"));
    uint64_t events_after = get_number(json_object_get(before, "group"), "events");
    uint64_t clones = json_array_size(json_object_get(before, "clones"));
    bool is_map = strcmp(name, "map") == 0;
    int outcome;

    json_decref(before);
    if (options->watch && strcmp(name, "status") == 0)
        watch_status(options->json);
    if (options->watch && options->clone == 0)
        wrong_usage("'%s' is nothing to watch", name);
    if (options->watch && options->clone > clones)
        wrong_usage("there is no such Clone to watch with '%s'", name);
    if (options->watch && is_map)
        return watch_copy(options->clone, events_after, options->json);
    outcome = show_answer(options, name, link_ask(json_incref(options->command)));
    if (outcome == EXIT_DONE && options->watch)
        outcome = watch_copy(options->clone, events_after, options->json);
    return outcome;
}

static void take_clone(struct options *options, const char *text)
{
    static const char PREFIX[] = "clone";

    if (strncmp(text, PREFIX, strlen(PREFIX)) == 0)
        text += strlen(PREFIX);
    options->clone = number("CLONE", text);
    json_object_set_new(options->command, "clone", json_integer((json_int_t)options->clone));
}

int main(int argc, char **argv)
{
    struct options options = {.dir = getenv("CLONE_ARRAY_DIR"), .timeout_s = TIMEOUT_S};
    char path[PATH_BYTES];
    int option;

    options.command = json_object();
    argv[0] = (char *)"clonectl"; // getopt_long begins its messages with it
    while ((option = getopt_long(argc, argv, SHORT, LONG, NULL)) != -1)
        take(&options, option);
    if (optind == argc)
        wrong_usage("%s is missing", "COMMAND");
    if (argc - optind > 2)
        wrong_usage("'%s' is one argument too many", argv[optind + 2]);
    json_object_set_new(options.command, "command", json_string(argv[optind]));
    if (argc - optind == 2)
        take_clone(&options, argv[optind + 1]);
    snprintf(path, sizeof path, "%s/control", options.dir != NULL ? options.dir : ".");
    link_open(options.socket != NULL ? options.socket : path, (int)options.timeout_s);
    option = run(&options, argv[optind]);
    json_decref(options.command);
    return option;
}
