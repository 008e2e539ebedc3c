#include "event_stream.h"

#include <stdio.h>
#include <string.h>

bool event_filter_matches(const struct event_filter *filter, const struct event *event)
{
    if (filter->types && !(filter->types & 1u << event->type))
        return false;
    if (filter->backup_id && event->backup_id != filter->backup_id)
        return false;
    return filter->database_id == 0 || event->database_id == 0 || event->database_id == filter->database_id;
}

static void say(struct event_stream *stream, const char *text)
{
    size_t n = strlen(text);
    if (n > sizeof stream->lines - stream->n_lines) {
        stream->cut = true; /* it has taken nothing for long */
        return;
    }
    memcpy(stream->lines + stream->n_lines, text, n);
    stream->n_lines += n;
}

void event_stream_begin(struct event_stream *stream, const char *last_event_id, bool live)
{
    say(stream, "retry: 3000\n\n");
    stream->next = stream->log->next;
    if (!live)
        return;
    if (last_event_id == NULL)
        event_stream_reset(stream, "new");
    else if (!event_log_find(stream->log, last_event_id, &stream->next))
        event_stream_reset(stream, "unknown id");
}

void event_stream_reset(struct event_stream *stream, const char *reason)
{
    char id[EVENT_ID_SIZE], text[EVENT_ID_SIZE + 128];
    event_log_id(stream->log, id);
    snprintf(text, sizeof text, "id: %s\nevent: reset\ndata: {\"reason\":\"%s\"}\n\n", id, reason);
    if (stream->offset > 0)
        stream->cut = true; /* the event under way is gone with its epoch */
    else
        say(stream, text);
    stream->next = stream->log->next;
}

void event_stream_comment(struct event_stream *stream)
{
    if (stream->n_lines == 0 && stream->offset == 0)
        say(stream, ":\n\n");
}

void event_stream_end(struct event_stream *stream)
{
    stream->ends = true;
}

/* Moves on to the next event that it wants; NULL: none yet, or it has been forgotten (then `cut`). */
static const struct event *current(struct event_stream *stream)
{
    const struct event *event;
    while ((event = event_log_get(stream->log, stream->next)) &&
           !event_filter_matches(&stream->filter, event))
        stream->next++;
    if (event == NULL && stream->next < stream->log->first)
        stream->cut = true;
    return event;
}

bool event_stream_has_more(struct event_stream *stream)
{
    return stream->n_lines > 0 || stream->ends || stream->cut || current(stream) || stream->cut;
}

static size_t put_lines(struct event_stream *stream, char *buffer, size_t size)
{
    size_t n = stream->n_lines < size ? stream->n_lines : size;
    memcpy(buffer, stream->lines, n);
    stream->n_lines -= n;
    memmove(stream->lines, stream->lines + n, stream->n_lines);
    return n;
}

static size_t put_event(struct event_stream *stream, const struct event *event, char *buffer, size_t size)
{
    size_t rest = event->size - stream->offset, n = rest < size ? rest : size;
    memcpy(buffer, event->text + stream->offset, n);
    stream->offset += n;
    if (stream->offset == event->size) {
        stream->offset = 0;
        stream->next++;
    }
    return n;
}

ssize_t event_stream_read(struct event_stream *stream, char *buffer, size_t size)
{
    size_t n = 0;
    const struct event *event;
    while (n < size && !stream->cut) {
        if (stream->offset == 0 && stream->n_lines > 0)
            n += put_lines(stream, buffer + n, size - n);
        else if (stream->offset == 0 && stream->ends)
            break;
        else if ((event = current(stream)))
            n += put_event(stream, event, buffer + n, size - n);
        else
            break;
    }
    if (n > 0)
        return (ssize_t)n;
    if (stream->cut)
        return HTTP_STREAM_FAILED;
    return stream->ends ? HTTP_STREAM_END : HTTP_STREAM_WAIT;
}
