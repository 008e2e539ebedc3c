/* A backup's copies, and a storage driver's operations on the command's loop, one at a time, waited for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"
#include "storage/place.h"
#include "store/copy_work.h"

/* By priority; destination (name or id, NULL = all) narrows the choice: ERROR_NOT_FOUND when there is none.
 */
int copies_of(struct cli *cli, const json_t *backup, const char *destination, struct copies *ret,
              struct error *err);
/* Looks at a copy, reads or removes it (store/copy_work.h); ret_existed may be NULL. */
int copies_work(struct cli *cli, const struct copy *copy, enum copy_work_kind kind, bool *ret_existed,
                struct error *err);

/* Opens a place with what its driver needs: network, secrets, keys, the base of older paths. key may be NULL.
 */
int copies_open(struct cli *cli, const struct storage_columns *columns, const char *key,
                struct storage_place *ret, struct error *err);

/* sha256 is of the bytes that were read; out[STORAGE_SHA256_SIZE]. */
int copies_get(struct cli *cli, const struct storage_place *place, const char *key, int target_fd,
               bool stream, uint64_t *ret_size, char *ret_sha256, struct error *err);
int copies_stat(struct cli *cli, const struct storage_place *place, const char *key,
                struct storage_stat_result *ret, struct error *err);
/* Aborts one open upload of key; key itself stays. */
int copies_abort(struct cli *cli, const struct storage_place *place, const char *key, const char *upload_id,
                 bool *ret_existed, struct error *err);
/* Removes what the row's attempts up to this fence left near key (temporary files, the upload that
 * resume_state names); key itself stays. */
int copies_sweep(struct cli *cli, const struct storage_place *place, const char *key, int64_t row_id,
                 int64_t fence, const char *resume_state, struct error *err);
/* Each object, or open upload, whose key begins with prefix; each returns false when it has seen enough. */
int copies_list(struct cli *cli, const struct storage_place *place, enum storage_list_kind kind,
                const char *prefix, bool (*each)(void *data, const struct storage_entry *entry), void *data,
                struct error *err);
