/* Throw-away servers of one test program, in a folder of their own; they die with the program. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
    char dir[64];
    const struct passwd *user; /* NULL = as we are */
    pid_t pid;
};

static inline void server_die(const char *what)
{
    fprintf(stderr, "test server: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* PostgreSQL refuses to run as root. */
static inline void server_init(struct server *s, const char *template, bool drop_root)
{
    *s = (struct server){0};
    snprintf(s->dir, sizeof s->dir, "/tmp/%s.XXXXXX", template);
    if (mkdtemp(s->dir) == NULL)
        server_die("mkdtemp");
    if (drop_root && geteuid() == 0) {
        s->user = getpwnam("postgres");
        if (s->user == NULL)
            s->user = getpwnam("nobody");
        if (s->user == NULL || chown(s->dir, s->user->pw_uid, s->user->pw_gid) != 0)
            server_die("chown");
    }
}

static inline pid_t server_spawn(const struct server *s, char *const argv[])
{
    pid_t pid = fork();
    if (pid < 0)
        server_die("fork");
    if (pid > 0)
        return pid;
    char log[96];
    snprintf(log, sizeof log, "%s/log", s->dir);
    if (s->user && (initgroups(s->user->pw_name, s->user->pw_gid) != 0 || setgid(s->user->pw_gid) != 0 ||
                    setuid(s->user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, s->user || geteuid() != 0 ? SIGQUIT : SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || chdir(s->dir) != 0)
        _exit(126);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

static inline void server_kill(struct server *s, int signum)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, signum);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline void server_deinit(struct server *s)
{
    server_kill(s, SIGQUIT);
    char *const argv[] = {"rm", "-rf", s->dir, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}
