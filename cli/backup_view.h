/* How backups look to people. */
#pragma once

#include <jansson.h>
#include <stdio.h>

void backup_view_list(json_t *backups);
void backup_view_one(json_t *backup);

/* One line: what is going on now ("dumping: 34.2 MiB read", "main 45 %, external pending"). */
void backup_view_progress(const json_t *backup, char *out, size_t size);
