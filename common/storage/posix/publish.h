/* Giving a finished file its final name, never over something that stands there. */
#pragma once

enum publish_method {
    PUBLISH_RENAME_NOREPLACE = 1, /* one step, atomic everywhere it exists */
    PUBLISH_LINK = 2,             /* link + unlink: atomic too */
    PUBLISH_LOCKED_RENAME = 4,    /* see publish.c: atomic among this program's processes on one machine */
    PUBLISH_ANY = 7,
};

/* 0 or a negative errno; -EEXIST when the name is taken. Tries the methods in the order above. */
int publish_rename(int dir_fd, const char *temp, const char *name, unsigned methods);
