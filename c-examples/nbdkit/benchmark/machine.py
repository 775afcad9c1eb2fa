"""What the figures were measured on."""
import os
import platform
import re
import subprocess


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def said_by(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def cpu():
    found = re.search(r"^model name\s*: (.*)", text_of("/proc/cpuinfo"), re.MULTILINE)
    name = found.group(1) if found else platform.machine()
    virtual = ", virtual" if re.search(r"^flags.*\bhypervisor\b", text_of("/proc/cpuinfo"), re.MULTILINE) else ""
    return f"{name}{virtual}, {len(os.sched_getaffinity(0))} cores"


def memory():
    found = re.search(r"MemTotal: *(\d+)", text_of("/proc/meminfo"))
    return f"{int(found.group(1)) / (1 << 20):.1f} GiB" if found else "unknown"


def disk(folder):
    source, kind, options = (said_by("findmnt", "-nro", "SOURCE,FSTYPE,OPTIONS", "-T", folder).split() + [""] * 3)[:3]
    name = os.path.basename(os.path.realpath(source)) if source else ""
    block = f"/sys/class/block/{name}"
    whole = block if os.path.isdir(block + "/queue") else os.path.dirname(os.path.realpath(block))
    scheduler = re.search(r"\[(.*)\]", text_of(whole + "/queue/scheduler"))
    cache = text_of(whole + "/queue/write_cache").strip()
    model = text_of(whole + "/device/model").strip()
    parts = [f"{source} ({model})" if model else source, f"{kind} ({options})"]
    parts += [f"scheduler {scheduler.group(1)}"] if scheduler else []
    parts += [f"cache: {cache}"] if cache else []
    return ", ".join(parts)


def first_line(*command):
    return (said_by(*command).splitlines() or ["unknown"])[0]


def load_average():
    return "%.2f" % os.getloadavg()[0]


def describe(folder):
    """Pairs of words."""
    project = os.path.dirname(os.path.abspath(__file__))
    return [
        ("processor", cpu()),
        ("memory", memory()),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("disk", disk(folder)),
        ("programs", f"{first_line('nbdkit', '--version')}, {first_line('fio', '--version')}, "
                     f"Python {platform.python_version()}, {first_line('gcc', '--version')}, "
                     f"{first_line('rustc', '--version')}"),
        ("this library", said_by("git", "-C", project, "describe", "--always", "--dirty", "--tags") or "unknown"),
    ]
