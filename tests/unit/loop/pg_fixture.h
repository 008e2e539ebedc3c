/* What the tests of pg.c share: a PostgreSQL of their own, which they may kill and start again, and one
 * client per test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/pg.h"
#include "servers.h"

extern struct server server;
extern char url[256]; /* of that PostgreSQL */

/* One for each test, by setup and teardown. */
struct fixture {
    uv_loop_t loop;
    struct pg_client *client;
    int closed;
};

/* What on_tally has counted. */
struct tally {
    int answers;
    int errors;
    int64_t last;
    bool in_order;
    struct error err;
};

#define UNNAMED(text, n)                                                                                     \
    &(const struct pg_statement)                                                                             \
    {                                                                                                        \
        .sql = text, .n_params = n                                                                           \
    }

void open_client(struct fixture *f, struct pg_options options);
/* For pg_client_close; data is a fixture. */
void count_closed(void *data);
void close_client(struct fixture *f);
void must_run(struct fixture *f, const char *sql);
int64_t must_get(struct fixture *f, const char *sql);
int run_error(struct fixture *f, const char *sql, struct error *err);
void on_tally(void *data, const struct pg_results *results, const struct error *err);
void wait_for(struct fixture *f, const struct tally *t, int n);
void start_postgres(void);
struct pg_request *request(struct fixture *f);
int group_setup(void **state);
int group_teardown(void **state);
int setup(void **state);
int teardown(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
