/* tests/fakes/credential_server.py beside a test: it checks signatures and assertions by code of its own. */
#pragma once

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct credential_server {
    pid_t pid;
    int keep_open, out;
    char url[64], control[64];
} server;

static inline void server_start(void)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl("/usr/bin/python3", "python3", "-B", BM_SOURCE_DIR "/tests/fakes/credential_server.py",
              "--no-tls", NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server.keep_open = in[1];
    server.out = out[0];
    char line[1024];
    size_t n = 0;
    while (n < sizeof line - 1 && read(server.out, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    json_t *ports = json_loads(line, 0, NULL);
    if (ports == NULL)
        fail_msg("credential_server.py says: %s", line);
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d",
             (int)json_integer_value(json_object_get(ports, "http")));
    snprintf(server.control, sizeof server.control, "http://127.0.0.1:%d",
             (int)json_integer_value(json_object_get(ports, "control")));
    json_decref(ports);
}

static inline void server_stop(void)
{
    int status;
    close(server.keep_open);
    assert_int_equal(waitpid(server.pid, &status, 0), server.pid);
    close(server.out);
}
