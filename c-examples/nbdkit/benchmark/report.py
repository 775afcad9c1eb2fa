"""The results as a file."""
from basics import GIB, median
from parts import EXTENTS_THAT_DIFFER, LOADED

WHATS = ["MB/s", "IOPS before", "IOPS during", "IOPS after", "p50 us", "p99 us"]
HEADS = ["copied, MB/s", "IOPS before", "IOPS during", "IOPS after", "p50 during, us", "p99 during, us"]
LIMITS = ["file plugin", "direct"]

LOADED_TEXT = {
    "mixed, unlimited": ("Under 4 KiB random load, 70 % reads, copies as quick as they can",
                         "No cap, and a minimum above what the disk can do."),
    "mixed, hosts first": ("The same load, hosts first (as the array is set without being told)",
                           "The array copies 32 MiB/s while hosts are busy, and on demand what hosts access; the"
                           " loop 32 MiB/s. Afterwards nothing differs: the first write to each extent writes the"
                           " map again."),
    "reads, hosts first": ("Passed through: random 4 KiB reads of what the restore does not touch",
                           "Half of the LU is restored, the reads go to the other half."),
}


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values):
    """Median (least to most)."""
    if not values:
        return ""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def alone(samples):
    rows = [[who, spread(samples.get("alone", who, "MB/s"))] for who in ("copy loop", "array")]
    rows.append(["**array / copy loop**", spread(samples.ratios("alone", "array", "copy loop", "MB/s"))])
    return "## Restore without load\n\n" + table(["", "MB/s"], rows)


def loaded(samples, part):
    title, text = LOADED_TEXT[part]
    limits = [limit for limit in LIMITS if samples.get(part, limit, "MB/s")]
    rows = [[who, *(spread(samples.get(part, who, what)) for what in WHATS)] for who in [*limits, "array"]]
    for limit in limits:
        rows.append([f"**array / {limit}**",
                     *(spread(samples.ratios(part, "array", limit, what)) for what in WHATS)])
    demand = spread(samples.get(part, "array", "MB/s on demand"))
    return (f"## {title}\n\n{text} Of what the array copied, {demand} MB/s were copied on demand.\n\n"
            + table(["", *HEADS], rows))


def first_reads(samples, sizes_gib):
    rate = median(samples.get("alone", "copy loop", "MB/s"))
    rows = []
    for gib in sizes_gib:
        part = f"first read {gib} GiB"
        take = lambda who, what, part=part: samples.get(part, who, what)
        rows.append([f"{gib} GiB", spread(take("direct", "read ms")), spread(take("array", "read ms")),
                     spread(take("array", "command ms")), spread(take("array", "restored read ms")),
                     spread(take("array", "sum ms")), f"{gib * GIB / rate / 1e3:.0f}",
                     f"{sum(take('array', 'still copying'))} of {len(take('array', 'still copying'))}"])
    heads = ["LU", "a read, direct", "a read, array", "restore command", "first restored read",
             "**command + read**", "a whole copy first", "copy still ran"]
    return ("## From the restore command to the first restored read, in ms\n\n"
            f"Sparse LUs; {EXTENTS_THAT_DIFFER} extents all over the LU differ, with real data. The read is of the"
            " last one, whose turn has not come: it is copied on demand. Its content is checked.\n\n"
            + table(heads, rows))


def results(samples, machine, loads, how, sizes_gib):
    about = [["measured", how]] + [list(pair) for pair in machine]
    about.append(["load average", "before each round: " + ", ".join(loads[:-1]) + "; at the end: " + loads[-1]])
    parts = [
        "# Results of the benchmark\n\nWritten by `make -C c-examples/nbdkit benchmark`; README.md says what is"
        " measured. Median (least to most) of the rounds; ratios are of values of the same round. MB are"
        " 10^6 bytes.\n",
        table(["", ""], about),
        alone(samples),
        *(loaded(samples, part) for part, *_ in LOADED),
        first_reads(samples, sizes_gib),
    ]
    return "\n".join(parts)
