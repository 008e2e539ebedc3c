/*
 * GET /docs: a page that lets a person read /openapi.json and try it; Swagger UI, from files of ours and of
 * npm (docs/README.md) and from no other host.
 *
 * The page itself and what starts it are compiled in; Swagger UI's files are read from a folder, all of them
 * or none, when somebody first asks: in the thread pool, once. While they are not there every path under
 * /docs is 404 and says what to install, and each request looks again.
 */
#pragma once

#include "route.h"

struct docs;

/* folder: "" = beside the program (docs/), or where it is installed (../share/backupmanager/docs/). */
int docs_new(uv_loop_t *loop, const char *folder, struct docs **ret_docs, struct error *err);

/* Before the server ends: requests that wait for the files are replied to. NULL is fine. */
void docs_close(struct docs *docs);
/* After the server has ended; once docs_close. The memory goes when the thread has come back. NULL is fine.
 */
void docs_free(struct docs *docs);

/* / -> /docs; /docs; /docs/{name}: one of the files that the page consists of. */
void docs_redirect(struct api *api, struct http_request *request);
void docs_page(struct api *api, struct http_request *request);
void docs_file(struct api *api, struct http_request *request);
