/*
 * What servers have told this process of themselves: the region of a bucket, how far their clock is from
 * ours. Kept for the life of the process in a bounded table, the oldest entry making room; asked and told
 * from the loop's thread only. What is wrong here heals itself: the server complains, and tells again.
 */
#pragma once

#include <stdint.h>

#include "storage/s3/config.h"

/* NULL = not known; valid until the next s3_learn_... */
const char *s3_learned_region(const struct s3_config *config);
void s3_learn_region(const struct s3_config *config, const char *region);

/* Server's clock minus ours; 0 = not known to differ. Per endpoint, whatever the bucket. */
int64_t s3_learned_clock_ms(const struct s3_config *config);
void s3_learn_clock_ms(const struct s3_config *config, int64_t offset_ms);

/* For tests: a process that has just begun. */
void s3_learned_forget(void);
