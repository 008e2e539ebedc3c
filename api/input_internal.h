/* What the files of input*.c share. */
#pragma once

#include "input.h"

/* root (taken over; NULL: memory is out) against the table. problem is initialised and holds
 * no error yet; NULL: it does now. */
struct input *input_from_object(json_t *root, const struct input_field *fields, size_t n_fields,
                                struct problem *problem);
