/*
 * Names of blocks: 24 bytes in base64, all of one length as Azure wants it.
 *
 *   16 bytes  drawn at random for an upload: two writers of one name never mix their blocks
 *    4 bytes  number of the part, big-endian
 *    4 bytes  CRC32C of the block's bytes, big-endian
 *
 * So the list of uncommitted blocks proves by itself which bytes a block was sent with: Azure took them only
 * after it had checked the request's own checksum. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define AZURE_SESSION_BYTES 16
#define AZURE_SESSION_SIZE 33  /* lower-case hex and a NUL */
#define AZURE_BLOCK_ID_SIZE 33 /* base64 and a NUL */

void azure_session_draw(char ret[AZURE_SESSION_SIZE]);
bool azure_session_is_valid(const char *session);

/* session: valid. */
void azure_block_id(const char *session, uint32_t number, uint32_t crc32c, char ret[AZURE_BLOCK_ID_SIZE]);
/* false: not a block of this session. */
bool azure_block_id_parse(const char *id, const char *session, uint32_t *ret_number, uint32_t *ret_crc32c);
