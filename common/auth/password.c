#include "auth/password.h"

#include <crypt.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* scrypt, N = 2^14, r = 32, p = 1: libxcrypt's own default, in its words. */
#define SCHEME "$7$"
#define COST 7
#define SETTING_OF_COST "$7$CU..../...."

/* What an unknown user's password is compared with. Nobody knows a password for it: the digest is made up. */
#define NOBODY SETTING_OF_COST "9nWuJVb0pPLQkYSz4rOa1.$bS8EkGrNQ2yuYTTXMmEBN1pfWlDz7HoCx4xA5uV6iK3"

static bool is_bcrypt(const char *hash)
{
    return strncmp(hash, "$2a$", 4) == 0 || strncmp(hash, "$2b$", 4) == 0 || strncmp(hash, "$2y$", 4) == 0;
}

static bool is_known(const char *hash)
{
    return hash && (is_bcrypt(hash) || strncmp(hash, SCHEME, strlen(SCHEME)) == 0);
}

bool password_hash_is_old(const char *hash)
{
    return strncmp(hash, SETTING_OF_COST, strlen(SETTING_OF_COST)) != 0;
}

int password_acceptable(const char *password, struct error *err)
{
    size_t n = strlen(password);
    if (n < PASSWORD_MIN_BYTES || n > PASSWORD_MAX_BYTES)
        return error_set(err, ERROR_INPUT, false, "the password is too %s: use %d to %d bytes",
                         n < PASSWORD_MIN_BYTES ? "short" : "long", PASSWORD_MIN_BYTES, PASSWORD_MAX_BYTES);
    for (const char *p = password; *p; p++)
        if (iscntrl((unsigned char)*p))
            return error_set(
                err, ERROR_INPUT, false,
                "the password has a control character in it: use letters, digits, signs and spaces");
    return 0;
}

/* crypt_r with its 32 KiB of working memory overwritten. */
static int crypt_into(const char *password, const char *setting, char ret_hash[PASSWORD_HASH_SIZE])
{
    struct crypt_data *work = calloc(1, sizeof *work);
    if (work == NULL)
        return -1;
    const char *made = crypt_r(password, setting, work);
    bool whole = made && made[0] != '*' && strlen(made) < PASSWORD_HASH_SIZE;
    if (whole)
        memcpy(ret_hash, made, strlen(made) + 1);
    explicit_bzero(work, sizeof *work);
    free(work);
    return whole ? 0 : -1;
}

int password_hash(const char *password, char ret_hash[PASSWORD_HASH_SIZE], struct error *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (crypt_gensalt_rn(SCHEME, COST, NULL, 0, setting, sizeof setting) == NULL ||
        crypt_into(password, setting, ret_hash))
        return error_set(err, ERROR_SYSTEM, true,
                         "the password can't be hashed: no memory, or crypt(3) has no scrypt");
    return 0;
}

bool password_matches(const char *hash, const char *password)
{
    char made[PASSWORD_HASH_SIZE];
    bool known = is_known(hash);
    const char *wanted = known ? hash : NOBODY;
    bool same = crypt_into(password, wanted, made) == 0 && strlen(made) == strlen(wanted) &&
                CRYPTO_memcmp(made, wanted, strlen(wanted)) == 0;
    explicit_bzero(made, sizeof made);
    return known && same;
}

int password_generate(char ret_password[PASSWORD_GENERATED_SIZE], struct error *err)
{
    static const char letters[] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    enum { N = sizeof letters - 1, FAIR = 256 - 256 % N };
    int made = 0;
    while (made < PASSWORD_GENERATED_SIZE - 1) {
        unsigned char byte;
        if (RAND_bytes(&byte, 1) != 1)
            return error_set(err, ERROR_SYSTEM, true, "no randomness for a password");
        if (byte < FAIR)
            ret_password[made++] = letters[byte % N];
    }
    ret_password[made] = '\0';
    return 0;
}
