/*
 * bench_meter FILE COMMAND...: runs the command and writes one line of JSON to FILE: seconds of wall time,
 * user and system CPU, and the peak of resident memory in KiB (the kernel's VmHWM of the process, its
 * program's mapped pages included). A program of its own because the kernel counts a parent's memory before
 * exec as the child's, so that no child of an interpreter can be seen below the interpreter's size. The
 * command's status is passed on.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_meter FILE COMMAND...\n");
        return 2;
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    pid_t pid = vfork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    struct rusage use;
    int status;
    if (pid < 0 || wait4(pid, &status, 0, &use) != pid) {
        perror("bench_meter");
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    FILE *out = fopen(argv[1], "w");
    if (out == NULL) {
        perror(argv[1]);
        return 1;
    }
    double wall = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    fprintf(out, "{\"wall\": %.4f, \"user\": %.4f, \"system\": %.4f, \"peak_kib\": %ld}\n", wall,
            seconds(use.ru_utime), seconds(use.ru_stime), use.ru_maxrss);
    fclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
