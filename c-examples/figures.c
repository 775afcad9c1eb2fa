#include "figures.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "controller.h"
#include "pattern.h"

// --------------------------------------------------------------- histograms

static unsigned bucket_of(uint64_t ns)
{
    unsigned exponent = 0;

    while (ns >> exponent > 15)
        exponent++;
    return exponent * 8 + (unsigned)(ns >> exponent); // 8 to 15, or less if exponent is 0
}

static uint64_t bucket_end(unsigned bucket)
{
    unsigned exponent = bucket < 16 ? 0 : bucket / 8 - 1;

    return (uint64_t)(bucket - exponent * 8 + 1) << exponent;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->buckets[bucket_of(ns)]++;
    histogram->count++;
}

uint64_t histogram_percentile(const struct histogram *histogram, unsigned percent)
{
    uint64_t wanted = (histogram->count * percent + 99) / 100;
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0)
            return bucket_end(i);
    }
    return 0;
}

// -------------------------------------------------------- steps and checks

void step_begin(struct figures *figures, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(figures->step, sizeof figures->step, format, arguments);
    va_end(arguments);
    printf("%2" PRIu32 "  %s\n", ++figures->steps, figures->step);
    alarm((unsigned)figures->step_seconds); // a demo that hangs says where
}

void check(struct figures *figures, int holds, const char *format, ...)
{
    va_list arguments;

    if (!holds)
        figures->failures++;
    fputs(holds ? "    ok      " : "    FAILED  ", stdout);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void remark(const char *format, ...)
{
    va_list arguments;

    fputs("            ", stdout);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void figure(struct figures *figures, const char *name, const char *format, ...)
{
    uint32_t row = 0;
    va_list arguments;

    while (row < figures->rows && strcmp(figures->row_names[row], name) != 0)
        row++;
    if (row == ROWS_MOST)
        give_up("more than %d figures", ROWS_MOST);
    snprintf(figures->row_names[row], sizeof figures->row_names[row], "%s", name);
    va_start(arguments, format);
    vsnprintf(figures->row_texts[row], sizeof figures->row_texts[row], format, arguments);
    va_end(arguments);
    if (row == figures->rows)
        figures->rows++;
}

// ----------------------------------------------------------------- progress

enum { BAR_WIDTH = 40 };

static double mb_per_second(uint64_t bytes, uint64_t ns)
{
    return ns == 0 ? 0 : (double)bytes * 1000 / (double)ns;
}

void progress_begin(struct progress *progress, uint64_t total_bytes)
{
    *progress = (struct progress){.total_bytes = total_bytes, .began_ns = now_ns()};
}

static void progress_draw(const struct progress *progress, uint64_t bytes, uint64_t now)
{
    uint64_t total = progress->total_bytes > 0 ? progress->total_bytes : 1;
    int full = (int)(bytes * BAR_WIDTH / total);

    printf("\r    [");
    for (int i = 0; i < BAR_WIDTH; i++)
        putchar(i < full ? '#' : '.');
    printf("] %3d %%  %6.0f MB/s ", (int)(bytes * 100 / total),
           mb_per_second(bytes, now - progress->began_ns));
    fflush(stdout);
}

void progress_show(struct progress *progress, uint64_t bytes)
{
    enum { EVERY_NS = 100000000 };
    uint64_t now = now_ns();

    if (!isatty(STDOUT_FILENO) || now - progress->shown_ns < EVERY_NS)
        return;
    progress->shown_ns = now;
    progress_draw(progress, bytes, now);
}

void progress_end(struct progress *progress)
{
    progress_draw(progress, progress->total_bytes, now_ns());
    putchar('\n');
}

// ---------------------------------------------------------------- the table

struct restored restored_since(const struct clone_group_statistics *before,
                               const struct clone_group_statistics *now)
{
    return (struct restored){
        .by_sync = now->sync_extents - before->sync_extents,
        .by_cod = now->cod_extents - before->cod_extents,
        .overwritten = now->overwritten_extents - before->overwritten_extents,
    };
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static void time_row(const char *name, uint64_t ns)
{
    printf("  %-36s%11.3f ms\n", name, ms(ns));
}

static void extents_row(const char *name, uint64_t first_life, uint64_t second_life)
{
    printf("  %-36s%11" PRIu64 "      %" PRIu64 " before the kill, %" PRIu64 " after\n", name,
           first_life + second_life, first_life, second_life);
}

static void rate_row(const char *name, uint64_t extents, uint64_t ns,
                     const struct settings *settings)
{
    uint64_t extent_bytes = (uint64_t)settings->extent_blocks * BLOCK_BYTES;

    printf("  %-36s%11.1f MB/s %" PRIu64 " extents in %.3f ms\n", name,
           mb_per_second(extents * extent_bytes, ns), extents, ms(ns));
}

static void latency_row(const char *name, const struct histogram *histogram)
{
    printf("  %-36s%11.3f ms   p99 %.3f ms, %" PRIu64 " requests\n", name,
           ms(histogram_percentile(histogram, 50)), ms(histogram_percentile(histogram, 99)),
           histogram->count);
}

void figures_table(const struct figures *figures, const struct settings *settings)
{
    const struct restored *first = &figures->first_life;
    const struct restored *second = &figures->second_life;
    uint64_t copied = first->by_sync + first->by_cod + second->by_sync + second->by_cod;

    puts("\nFigures");
    time_row("Protected Restore begun in", figures->begin_ns);
    time_row("first read of restored data after", figures->first_read_ns);
    printf("  %-36s%11" PRIu64 "\n", "extents to restore", figures->to_restore);
    extents_row("copied by the Sync Engine", first->by_sync, second->by_sync);
    extents_row("copied by the COD Engine", first->by_cod, second->by_cod);
    extents_row("overwritten by hosts", first->overwritten, second->overwritten);
    printf("  %-36s%11" PRIu32 "\n", "COD Queue peak", figures->cod_queue_peak);
    time_row("Recovery after the kill", figures->recover_ns);
    rate_row("restore beside the hosts, paced", copied,
             figures->restore_ns[0] + figures->restore_ns[1], settings);
    rate_row("second restore, not paced", figures->again_extents, figures->again_ns, settings);
    latency_row("host reads, p50", &figures->reads);
    latency_row("host writes, p50", &figures->writes);
}

void figures_rows(const struct figures *figures)
{
    puts("\nFigures");
    for (uint32_t row = 0; row < figures->rows; row++)
        printf("  %-36s%s\n", figures->row_names[row], figures->row_texts[row]);
    if (figures->reads.count > 0)
        latency_row("host reads, p50", &figures->reads);
    if (figures->writes.count > 0)
        latency_row("host writes, p50", &figures->writes);
}
