/*
 * Bandwidth limits of groups. A socket whose group has used up what it earned is not watched until more is
 * earned; so libcurl is never paused, it merely isn't told yet. Who waits goes on in the order of arrival,
 * one chunk each: that is a fair share among those that have something to move, however many come and go.
 */
#include "loop/http_internal.h"

enum {
    CHUNK_MIN = 1024,
    CHUNK_MAX = 64 * 1024,
    CHUNKS_PER_SECOND = 20, /* small limits move small chunks, so that bytes flow evenly */
    EARN_MAX_MS = 50,       /* what may be saved up while nothing moves */
    WAKE_MIN_MS = 2,
};

static const int event_of[HTTP_DIRECTIONS] = {[HTTP_RECEIVE] = UV_READABLE, [HTTP_SEND] = UV_WRITABLE};

static int64_t chunk_of(const struct http_group *group)
{
    int64_t chunk = group->bytes_per_second / CHUNKS_PER_SECOND;
    return chunk < CHUNK_MIN ? CHUNK_MIN : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
}

size_t http_pace_chunk(const struct http_group *group, size_t n)
{
    if (group->bytes_per_second <= 0)
        return n;
    size_t chunk = (size_t)chunk_of(group);
    return n < chunk ? n : chunk;
}

static void earn(struct http_group *group, struct http_flow *flow)
{
    int64_t now = http_now_ms(group->client);
    int64_t elapsed = now - flow->at_ms;
    flow->at_ms = now;
    if (elapsed > 60000)
        elapsed = 60000;
    flow->credit += elapsed * group->bytes_per_second;
    int64_t most = EARN_MAX_MS * group->bytes_per_second;
    if (most < chunk_of(group) * 1000)
        most = chunk_of(group) * 1000;
    if (flow->credit > most)
        flow->credit = most;
}

void http_pace_take(struct http_group *group, int direction, size_t n)
{
    if (group->bytes_per_second <= 0)
        return;
    earn(group, &group->flows[direction]);
    group->flows[direction].credit -= (int64_t)n * 1000;
}

static void list_paced(struct http_group *group)
{
    struct http_client *client = group->client;
    if (group->paced)
        return;
    group->paced = true;
    group->next_paced = client->paced;
    client->paced = group;
    if (!uv_is_active((uv_handle_t *)&client->pace_timer))
        http_pace_run(client);
}

static void hold(struct http_watch *watch, int direction)
{
    struct http_request *request = watch->request;
    struct http_flow *flow = &request->group->flows[direction];
    watch->held |= event_of[direction];
    watch->next_held[direction] = NULL;
    if (flow->tail)
        flow->tail->next_held[direction] = watch;
    else
        flow->head = watch;
    flow->tail = watch;
    if (request->n_held++ == 0)
        request->held_at = http_now_ms(watch->client);
    list_paced(request->group);
}

/* What waited for its group's bandwidth wasn't stalled meanwhile. */
static void let_go(struct http_watch *watch, int direction)
{
    struct http_request *request = watch->request;
    watch->held &= ~event_of[direction];
    if (--request->n_held > 0)
        return;
    int64_t now = http_now_ms(watch->client);
    request->active_at = now;
    if (request->answer_due != INT64_MAX)
        request->answer_due += now - request->held_at;
}

int http_pace_pass(struct http_watch *watch, int events)
{
    struct http_request *request = watch->request;
    if (request == NULL || request->group->bytes_per_second <= 0 || request->state != HTTP_RUNNING)
        return events;
    for (int direction = 0; direction < HTTP_DIRECTIONS; direction++) {
        int event = event_of[direction];
        struct http_flow *flow = &request->group->flows[direction];
        if (!(events & event) || !request->moving[direction])
            continue;
        if (watch->granted & event) {
            watch->granted &= ~event;
            continue;
        }
        earn(request->group, flow);
        if (flow->head == NULL && flow->credit > 0)
            continue;
        hold(watch, direction);
        events &= ~event;
    }
    return events;
}

void http_pace_forget(struct http_watch *watch, int events)
{
    watch->granted &= ~events;
    for (int direction = 0; direction < HTTP_DIRECTIONS; direction++) {
        if (!(watch->held & events & event_of[direction]))
            continue;
        struct http_flow *flow = &watch->request->group->flows[direction];
        struct http_watch *previous = NULL, *w = flow->head;
        while (w != watch) {
            previous = w;
            w = w->next_held[direction];
        }
        if (previous)
            previous->next_held[direction] = watch->next_held[direction];
        else
            flow->head = watch->next_held[direction];
        if (flow->tail == watch)
            flow->tail = previous;
        let_go(watch, direction);
    }
}

/* Grants as many chunks as are earned; returns in how many ms to come again, 0 = nobody waits. */
static int64_t grant(struct http_group *group, int direction)
{
    struct http_flow *flow = &group->flows[direction];
    if (flow->head == NULL)
        return 0;
    earn(group, flow);
    int64_t chunk = chunk_of(group) * 1000;
    int64_t credit = flow->credit;
    bool unlimited = group->bytes_per_second <= 0;
    while (flow->head && (unlimited || credit > 0)) {
        struct http_watch *watch = flow->head;
        http_pace_forget(watch, event_of[direction]);
        watch->granted |= event_of[direction];
        http_watch_apply(watch);
        credit -= chunk;
    }
    if (flow->head == NULL)
        return 0;
    int64_t wait = -credit / group->bytes_per_second + 1;
    return wait < WAKE_MIN_MS ? WAKE_MIN_MS : wait;
}

static void on_pace_timer(uv_timer_t *timer)
{
    http_pace_run(timer->data);
}

void http_pace_run(struct http_client *client)
{
    int64_t soonest = 0;
    for (struct http_group **link = &client->paced; *link;) {
        struct http_group *group = *link;
        bool waits = false;
        for (int direction = 0; direction < HTTP_DIRECTIONS; direction++) {
            int64_t wait = grant(group, direction);
            waits |= wait > 0;
            if (wait > 0 && (soonest == 0 || wait < soonest))
                soonest = wait;
        }
        if (waits) {
            link = &group->next_paced;
            continue;
        }
        *link = group->next_paced;
        group->paced = false;
    }
    if (soonest > 0)
        uv_timer_start(&client->pace_timer, on_pace_timer, (uint64_t)soonest, 0);
    else
        uv_timer_stop(&client->pace_timer);
}
