#include "event_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

const char *const event_type_names[EVENT_TYPES + 1] = {"backup",        "backup_deleted", "queue",
                                                       "configuration", "operation",      NULL};

static struct event *place_of(struct event_log *log, uint64_t number)
{
    return &log->ring[number % EVENT_LOG_MAX];
}

static void forget_oldest(struct event_log *log)
{
    struct event *oldest = place_of(log, log->first++);
    log->bytes -= oldest->size;
    log->forgotten_ms = oldest->at_ms;
    free(oldest->text);
    *oldest = (struct event){0};
}

void event_log_deinit(struct event_log *log)
{
    while (log->first < log->next)
        forget_oldest(log);
}

void event_log_begin(struct event_log *log, int64_t at_ms)
{
    event_log_deinit(log);
    log->epoch = (uint32_t)random_u64();
    log->since_ms = log->at_ms = at_ms;
    log->forgotten_ms = 0;
    /* Numbers go on, so that no stream takes one of this epoch for one of the last; 0 stands for none. */
    if (log->next == 0)
        log->first = log->next = 1;
}

static void print_id(char id[EVENT_ID_SIZE], int64_t at_ms, uint32_t epoch, uint64_t number)
{
    snprintf(id, EVENT_ID_SIZE, "%" PRId64 "-%08" PRIx32 "-%" PRIu64, at_ms, epoch, number);
}

bool event_log_add(struct event_log *log, const struct event *facts, const char *data)
{
    struct event event = *facts;
    char head[EVENT_ID_SIZE + 64], id[EVENT_ID_SIZE];
    if (event.at_ms < log->at_ms)
        event.at_ms = log->at_ms;
    print_id(id, event.at_ms, log->epoch, log->next);
    int n = snprintf(head, sizeof head, "id: %s\nevent: %s\ndata: ", id, event_type_names[event.type]);
    size_t head_size = (size_t)n, data_size = strlen(data);
    event.size = head_size + data_size + 2;
    event.text = malloc(event.size);
    if (event.text == NULL)
        return false;
    memcpy(event.text, head, head_size);
    for (size_t i = 0; i < data_size; i++)
        event.text[head_size + i] = data[i] == '\n' || data[i] == '\r' ? ' ' : data[i];
    memcpy(event.text + head_size + data_size, "\n\n", 2);
    while (log->first < log->next &&
           (log->next - log->first >= EVENT_LOG_MAX || log->bytes + event.size > EVENT_LOG_BYTES_MAX))
        forget_oldest(log);
    *place_of(log, log->next++) = event;
    log->bytes += event.size;
    log->at_ms = event.at_ms;
    return true;
}

const struct event *event_log_get(const struct event_log *log, uint64_t number)
{
    return number >= log->first && number < log->next ? &log->ring[number % EVENT_LOG_MAX] : NULL;
}

void event_log_id(const struct event_log *log, char id[EVENT_ID_SIZE])
{
    print_id(id, log->at_ms, log->epoch, log->next - 1);
}

/* Digits of the base up to `end`, at least one; false otherwise. */
static bool read_number(const char **at, int base, char end, uint64_t *ret)
{
    char *stop;
    if (strchr("0123456789abcdef", **at) == NULL || **at == '\0')
        return false;
    *ret = strtoull(*at, &stop, base);
    if (*stop != end || stop - *at > 20)
        return false;
    *at = end ? stop + 1 : stop;
    return true;
}

/* The first event not older than that; they stand in order of time. */
static uint64_t first_since(const struct event_log *log, int64_t at_ms)
{
    uint64_t low = log->first, high = log->next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (log->ring[middle % EVENT_LOG_MAX].at_ms < at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool event_log_find(const struct event_log *log, const char *id, uint64_t *ret_number)
{
    uint64_t at_ms, epoch, number;
    if (!read_number(&id, 10, '-', &at_ms) || !read_number(&id, 16, '-', &epoch) ||
        !read_number(&id, 10, '\0', &number) || at_ms > INT64_MAX)
        return false;
    if (epoch == log->epoch) {
        *ret_number = number + 1;
        return number < log->next && number + 1 >= log->first;
    }
    /* Another server's: what it had not told by then was committed after this. */
    int64_t safe_ms = (int64_t)at_ms - EVENT_LOG_MARGIN_MS;
    if (log->since_ms > safe_ms || log->forgotten_ms >= safe_ms || safe_ms > log->at_ms)
        return false;
    *ret_number = first_since(log, safe_ms);
    return true;
}
