/* The driver of azure_blob, and what its files share. See README.md. */
#pragma once

#include "storage/azure/config.h"
#include "storage/object/customer_key.h"
#include "storage/object/protocol.h"

extern const struct storage_driver storage_azure;
extern const struct object_protocol azure_protocol; /* protocol.c */

struct azure_session {
    struct object_session base; /* first */
    struct azure_config config;
    struct object_customer_key customer_key; /* base64 NULL = none */
};

static inline struct azure_session *azure_session_of(const struct object_session *session)
{
    return (struct azure_session *)(uintptr_t)session;
}

/* object_ask.flags */
enum {
    /* A success is about a blob: without an ETag something else has answered in the store's place. */
    AZURE_ASK_ABOUT_BLOB = 1 << 0,
};

/* A draft about a blob, with what every one of them has: the flag above, and the customer's key. */
void azure_blob_draft(const struct object_session *session, struct object_draft *draft, const char *operation,
                      const char *method, const char *key);

/* Whether an emulator (Azurite) answers for this container, as far as it has answered yet. */
bool azure_is_emulator(const struct azure_session *session);

/* storage_driver's; put.c, read.c, delete.c */
int azure_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err);
int azure_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err);
int azure_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err);
int azure_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err);
int azure_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err);
