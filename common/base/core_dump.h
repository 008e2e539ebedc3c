/* Core dumps of programs that hold secrets. */
#pragma once

/*
 * This program and its children leave no core dump: a core holds passwords and keys in clear, for years
 * perhaps. By the soft limit of RLIMIT_CORE, which systemd-coredump keeps to as well: `prlimit --pid PID
 * --core=unlimited` gives a developer cores again. Not by PR_SET_DUMPABLE: it would hide /proc/PID/fd and
 * smaps from whoever watches the process.
 */
void core_dump_forbid(void);
