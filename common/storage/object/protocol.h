/*
 * What a store's protocol supplies, so that call.c can carry out its requests: one const table per driver.
 * Nothing of it blocks; everything runs on the loop's thread.
 */
#pragma once

#include "storage/object/call.h"
#include "storage/object/request.h"
#include "storage/object/session.h"

/* What an answer means. */
enum object_verdict {
    OBJECT_SUCCESS,   /* err untouched */
    OBJECT_FINAL,     /* err stands */
    OBJECT_TRANSIENT, /* err stands if no try is left, or the ask or the answer forbids another */
    /* What was wrong is repaired, or soon: begin runs at once, without using up a try. Only after
     * object_call_once said true, so that each kind of repair is made once per call. err is kept: it stands
     * if the repair comes to nothing. */
    OBJECT_AGAIN,
};

struct object_protocol {
    const struct storage_driver *driver;
    const char *container_word; /* "bucket": for messages, and the member of storage_config that names it */
    int (*check_key)(const char *key, struct error *err); /* ERROR_UNSAFE_PATH; see key.h */

    /* Session. session_init gets one with protocol, loop and access set and the rest zeroed, loads the
     * location's config, and fills what session.h names. On an error session_deinit doesn't run. */
    size_t session_size;
    int (*session_init)(struct object_session *session, const struct storage_location *location,
                        struct error *err);
    /* The text of secret_ref; copied where it is needed. NULL: no session has a secret_ref. */
    int (*take_secret)(struct object_session *session, const char *secret, struct error *err);
    void (*session_deinit)(struct object_session *session); /* may be NULL */

    /* Call. call_size bytes of the protocol's own, zeroed at first, kept from try to try, are got by
     * object_call_state. */
    size_t call_size;
    /* Each try: gets credentials, writes the request, hands it to object_call_send. Either all of it before
     * return; or it returns 0 having asked for something, whose callback calls object_call_send,
     * object_call_fail or object_call_give_up. An error returned ends the call, and nothing may be waited
     * for then. */
    int (*begin)(struct object_call *call, struct error *err);
    /* The call is cancelled while begin waits: what it asked for is to be forgotten. Never NULL where begin
     * may wait. */
    void (*forget)(struct object_call *call);
    /* The answer to what was asked, whatever its status. Fills code, message and request_id where the answer
     * holds them (they live in the call's state, or the response); unless it is a success also err:
     * code, retryable, native, message without context ("403 AccessDenied: Access Denied.; <way out>").
     * The engine adds operation, container and request id, and retry_after_ms by Retry-After where the
     * protocol has set none. What the store doesn't say is a proxy's word, and transient. */
    enum object_verdict (*judge)(struct object_call *call, struct object_answer *answer, struct error *err);
    /* The answer to an aside; NULL: none came. true: as OBJECT_AGAIN. false: the kept error stands. NULL
     * where no asides are sent. */
    bool (*judge_aside)(struct object_call *call, const struct http_response *response);
    /* When the memory of the state goes, later than done: the session may be gone already. May be NULL. */
    void (*call_deinit)(struct object_call *call);
};

/* For the protocol's functions. */

struct object_session *object_call_session(const struct object_call *call);
const struct object_ask *object_call_ask(const struct object_call *call);
void *object_call_state(const struct object_call *call);

/* Sends what begin has written, with the ask's body; in any case the request is deinitialised. On an error
 * begin returns it, or its callback calls object_call_fail. request->method may be another than the ask's. */
int object_call_send(struct object_call *call, struct object_request *request, struct error *err);
/* From a callback that begin waited for: the call ends. err gets its context here. */
void object_call_fail(struct object_call *call, const struct error *err);
/* The same, after OBJECT_AGAIN: there is nothing better than what was refused (no other keys), so that the
 * kept error stands. */
void object_call_give_up(struct object_call *call);

/* True at the first time for this bit in the call's life: kinds of repairs are the protocol's bits, up to 1
 * << 15. */
bool object_call_once(struct object_call *call, unsigned repair);

/* The server's clock, by the answer's Date. true: learned for the endpoint (learned.h), for the first time
 * in this call: OBJECT_AGAIN. */
bool object_call_repair_clock(struct object_call *call, const struct http_response *response);
/* Whether Date is more than 5 minutes away from what is known of the server's clock. */
bool object_call_is_skewed(const struct object_call *call, const struct http_response *response);
