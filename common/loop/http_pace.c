/*
 * Bandwidth limits of groups. Who wants to move bytes while its group has used up what it earned waits; so
 * does who comes while others wait. They go on in the order of arrival, one chunk each: a fair share among
 * those that have something to move, however many come and go.
 *
 * A sender waits by not being told that its socket is writable; libcurl itself is never paused in sending. A
 * receiver is paused, because libcurl reads all that has arrived, and does so from its own timer too.
 */
#include "loop/http_internal.h"

enum {
    CHUNK_MIN = 1024,
    CHUNK_MAX = 64 * 1024,
    CHUNKS_PER_SECOND = 20, /* small limits move small chunks, so that bytes flow evenly */
    RECEIVE_MAX = 16 * 1024,
    EARN_MAX_MS = 50, /* what may be saved up while nothing moves */
    IDLE_MAX_MS = 60000,
    WAKE_MIN_MS = 2,
    WAKE_MAX_MS = 60000,
};

static void on_pace_timer(uv_timer_t *timer);

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

size_t http_pace_buffer(const struct http_group *group)
{
    int64_t chunk = chunk_of(group);
    return (size_t)(chunk < RECEIVE_MAX ? chunk : RECEIVE_MAX);
}

static void earn(struct http_group *group, struct http_flow *flow)
{
    int64_t now = http_now_ms(group->client);
    int64_t elapsed = now - flow->at_ms;
    flow->at_ms = now;
    if (elapsed > IDLE_MAX_MS)
        elapsed = IDLE_MAX_MS;
    flow->credit += elapsed * group->bytes_per_second;
    int64_t most = EARN_MAX_MS * group->bytes_per_second;
    if (most < chunk_of(group) * 1000)
        most = chunk_of(group) * 1000;
    if (flow->credit > most)
        flow->credit = most;
}

void http_pace_take(struct http_group *group, enum http_direction direction, size_t n)
{
    if (group->bytes_per_second <= 0)
        return;
    earn(group, &group->flows[direction]);
    group->flows[direction].credit -= (int64_t)n * 1000;
}

/* -- waiting -- */

static void wake_in(struct http_client *client, int64_t ms)
{
    if (!client->closed)
        uv_timer_start(&client->pace_timer, on_pace_timer, (uint64_t)ms, 0);
}

static void hold(struct http_request *request, enum http_direction direction)
{
    struct http_group *group = request->group;
    struct http_client *client = request->client;
    struct http_flow *flow = &group->flows[direction];
    request->held[direction] = true;
    request->next_held[direction] = NULL;
    if (flow->tail)
        flow->tail->next_held[direction] = request;
    else
        flow->head = request;
    flow->tail = request;
    if (!request->held[!direction])
        request->held_at = http_now_ms(client);
    if (group->paced)
        return;
    group->paced = true;
    group->next_paced = client->paced;
    client->paced = group;
    if (!uv_is_active((uv_handle_t *)&client->pace_timer))
        wake_in(client, WAKE_MIN_MS);
}

/* What waited for its group's bandwidth wasn't stalled meanwhile. */
static void let_go(struct http_request *request, enum http_direction direction)
{
    request->held[direction] = false;
    if (request->held[!direction])
        return;
    int64_t now = http_now_ms(request->client);
    request->active_at = now;
    if (request->answer_due != INT64_MAX)
        request->answer_due += now - request->held_at;
}

bool http_pace_may(struct http_request *request, enum http_direction direction)
{
    struct http_group *group = request->group;
    struct http_flow *flow = &group->flows[direction];
    if (request->held[direction])
        return false;
    if (group->bytes_per_second <= 0 || request->state != HTTP_RUNNING)
        return true;
    if (request->granted[direction]) {
        request->granted[direction] = false;
        return true;
    }
    earn(group, flow);
    if (flow->head == NULL && flow->credit > 0)
        return true;
    hold(request, direction);
    return false;
}

static void forget(struct http_request *request, enum http_direction direction)
{
    if (!request->held[direction])
        return;
    struct http_flow *flow = &request->group->flows[direction];
    struct http_request *previous = NULL, *r = flow->head;
    while (r != request) {
        previous = r;
        r = r->next_held[direction];
    }
    if (previous)
        previous->next_held[direction] = request->next_held[direction];
    else
        flow->head = request->next_held[direction];
    if (flow->tail == request)
        flow->tail = previous;
    let_go(request, direction);
}

void http_pace_forget(struct http_request *request)
{
    for (int direction = 0; direction < HTTP_DIRECTIONS; direction++) {
        forget(request, direction);
        request->granted[direction] = false;
    }
}

/* -- going on -- */

static void go_on(struct http_request *request, enum http_direction direction)
{
    forget(request, direction);
    request->granted[direction] = true;
    if (direction == HTTP_SEND) {
        http_watch_request(request);
        return;
    }
    CURLcode rc = curl_easy_pause(request->easy, CURLPAUSE_CONT);
    if (rc != CURLE_OK)
        http_request_finish(request, rc);
}

/* Grants as many chunks as are earned; returns in how many ms to come again, 0 = nobody waits. */
static int64_t grant(struct http_group *group, enum http_direction direction)
{
    struct http_flow *flow = &group->flows[direction];
    if (flow->head == NULL)
        return 0;
    earn(group, flow);
    int64_t chunk = chunk_of(group) * 1000;
    struct http_request *last = flow->tail, *request = NULL;
    int64_t credit = flow->credit;
    bool unlimited = group->bytes_per_second <= 0;
    while (flow->head && (unlimited || credit > 0) && request != last) {
        request = flow->head;
        credit -= chunk;
        go_on(request, direction);
    }
    if (flow->head == NULL)
        return 0;
    if (unlimited)
        return WAKE_MIN_MS;
    int64_t wait = -credit / group->bytes_per_second + 1;
    return wait < WAKE_MIN_MS ? WAKE_MIN_MS : wait > WAKE_MAX_MS ? WAKE_MAX_MS : wait;
}

static void on_pace_timer(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
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
        wake_in(client, soonest);
}

void http_pace_changed(struct http_client *client)
{
    if (client->paced)
        wake_in(client, 0);
}
