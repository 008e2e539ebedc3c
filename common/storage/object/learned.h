/*
 * What servers have told this process of themselves: how far their clock is from ours, and a word about a
 * container (S3: its region). Kept for the life of the process in a bounded table, the oldest entry making
 * room; asked and told from the loop's thread only. What is wrong here heals itself: the server complains,
 * and tells again.
 */
#pragma once

#include <stdint.h>

/* Server's clock minus ours; 0 = not known to differ. */
int64_t object_learned_clock_ms(const char *endpoint);
void object_learn_clock_ms(const char *endpoint, int64_t offset_ms);

/* At most 63 bytes. NULL = not known; valid until the next object_learn_... */
const char *object_learned_word(const char *endpoint, const char *container);
void object_learn_word(const char *endpoint, const char *container, const char *word);

/* For tests: a process that has just begun. */
void object_learned_forget(void);
