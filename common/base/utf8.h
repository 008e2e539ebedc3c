/* Text from children and peers may be anything; what goes into rows and JSON must be UTF-8. */
#pragma once

/* Replaces every byte that isn't part of well-formed UTF-8 (RFC 3629), and every control character, by '?'.
 * In place. */
void utf8_clean(char *text);
