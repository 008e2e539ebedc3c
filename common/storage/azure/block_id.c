#include "storage/azure/block_id.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

struct block_id {
    unsigned char session[AZURE_SESSION_BYTES];
    uint32_t number, crc32c;
} __attribute__((packed));

void azure_session_draw(char ret[AZURE_SESSION_SIZE])
{
    random_hex(ret, AZURE_SESSION_BYTES);
}

bool azure_session_is_valid(const char *session)
{
    return strlen(session) == AZURE_SESSION_SIZE - 1 &&
           strspn(session, "0123456789abcdef") == AZURE_SESSION_SIZE - 1;
}

static void session_bytes(const char *session, unsigned char ret[AZURE_SESSION_BYTES])
{
    for (size_t i = 0; i < AZURE_SESSION_BYTES; i++) {
        const char hex[] = {session[2 * i], session[2 * i + 1], '\0'};
        ret[i] = (unsigned char)strtoul(hex, NULL, 16);
    }
}

void azure_block_id(const char *session, uint32_t number, uint32_t crc32c, char ret[AZURE_BLOCK_ID_SIZE])
{
    struct block_id id = {.number = htobe32(number), .crc32c = htobe32(crc32c)};
    session_bytes(session, id.session);
    EVP_EncodeBlock((unsigned char *)ret, (const unsigned char *)&id, sizeof id);
}

bool azure_block_id_parse(const char *id, const char *session, uint32_t *ret_number, uint32_t *ret_crc32c)
{
    struct block_id found;
    char again[AZURE_BLOCK_ID_SIZE];
    if (strlen(id) != AZURE_BLOCK_ID_SIZE - 1 ||
        EVP_DecodeBlock((unsigned char *)&found, (const unsigned char *)id, AZURE_BLOCK_ID_SIZE - 1) !=
            sizeof found)
        return false;
    /* libcrypto overlooks blanks and padding: the name itself must be the one that we give */
    azure_block_id(session, be32toh(found.number), be32toh(found.crc32c), again);
    if (strcmp(again, id) != 0)
        return false;
    *ret_number = be32toh(found.number);
    *ret_crc32c = be32toh(found.crc32c);
    return true;
}
