/* Names of blocks, lists of them, the state that an upload is taken up from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/azure/block_id.h"
#include "storage/azure/block_list.h"
#include "storage/azure/list_page.h"
#include "storage/azure/resume.h"

#define SESSION "00112233445566778899aabbccddeeff"

static void ids_hold_session_number_and_digest(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {1, 2, 255, 256, 50000, UINT32_MAX};
    char id[AZURE_BLOCK_ID_SIZE], other[AZURE_SESSION_SIZE];
    uint32_t number, crc32c;
    azure_block_id(SESSION, 1, 0xe3069283, id);
    assert_string_equal(id, "ABEiM0RVZneImaq7zN3u/wAAAAHjBpKD");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        azure_block_id(SESSION, numbers[i], ~numbers[i], id);
        assert_int_equal(strlen(id), AZURE_BLOCK_ID_SIZE - 1); /* all of one length */
        assert_true(azure_block_id_parse(id, SESSION, &number, &crc32c));
        assert_int_equal(number, numbers[i]);
        assert_int_equal(crc32c, ~numbers[i]);
    }
    azure_session_draw(other);
    assert_true(azure_session_is_valid(other));
    number = 77;
    assert_false(azure_block_id_parse(id, other, &number, &crc32c));
    assert_false(azure_block_id_parse("", SESSION, &number, &crc32c));
    assert_false(azure_block_id_parse("AAAA", SESSION, &number, &crc32c));
    assert_false(azure_block_id_parse("ABEiM0RVZneImaq7zN3u/wAAAAHjBp*-", SESSION, &number, &crc32c));
    assert_false(azure_block_id_parse("ABEiM0RVZneImaq7zN3u/wAAAAHjBpKDAAAA", SESSION, &number, &crc32c));
    assert_int_equal(number, 77);
    char again[AZURE_SESSION_SIZE];
    azure_session_draw(again);
    assert_string_not_equal(again, other);
    assert_false(azure_session_is_valid(""));
    assert_false(azure_session_is_valid("00112233445566778899AABBCCDDEEFF"));
    assert_false(azure_session_is_valid("00112233445566778899aabbccddeeff0"));
}

struct seen {
    int n;
    char text[400];
};

static void on_block(void *data, const struct azure_block *block)
{
    struct seen *seen = data;
    size_t n = strlen(seen->text);
    snprintf(seen->text + n, sizeof seen->text - n, "%s=%llu ", block->id, (unsigned long long)block->size);
    seen->n++;
}

static void lists_of_blocks(void **state)
{
    (void)state;
    static const char list[] =
        "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks><Block><Name>Q0M=</Name>"
        "<Size>5</Size></Block></CommittedBlocks><UncommittedBlocks><Block><Name>QUE=</Name><Size>1</Size>"
        "</Block><Block><Name>no size</Name></Block><Block><Size>3</Size></Block><Block><Size>4</Size>"
        "<Name>QkI=</Name></Block></UncommittedBlocks></BlockList>";
    struct seen seen = {0};
    struct error err = {0};
    assert_int_equal(azure_block_list_read(list, sizeof list - 1, on_block, &seen, &err), 0);
    assert_string_equal(seen.text, "QUE==1 QkI==4 ");
    seen = (struct seen){0};
    assert_int_equal(azure_block_list_read("<BlockList/>", 12, on_block, &seen, &err), 0);
    assert_int_equal(seen.n, 0);
    assert_int_equal(azure_block_list_read("<Other/>", 8, on_block, &seen, &err), ERROR_PROTOCOL);
    for (size_t size = 0; size < sizeof list - 1; size++)
        assert_int_equal(azure_block_list_read(list, size, on_block, &seen, &err), ERROR_PROTOCOL);
}

static bool on_entry(void *data, const struct storage_entry *entry)
{
    struct seen *seen = data;
    size_t n = strlen(seen->text);
    snprintf(seen->text + n, sizeof seen->text - n, "%s=%llu@%lld%s ", entry->key,
             (unsigned long long)entry->size, (long long)entry->time_ms,
             entry->upload_id ? entry->upload_id : "");
    return ++seen->n < 4;
}

#define DATE "<Last-Modified>Sun, 02 Nov 2025 08:00:00 GMT</Last-Modified>"
#define BLOB(name, more) "<Blob><Name>" name "</Name><Properties>" DATE more "</Properties></Blob>"
#define PAGE(blobs, marker)                                                                                     \
    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://x/\" " \
    "ContainerName=\"c\"><Prefix>db/</Prefix><Blobs>" blobs "</Blobs><NextMarker>" marker                       \
    "</NextMarker></EnumerationResults>"
#define EMPTY_MD5 "<Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5>"

static const char some[] = PAGE(BLOB("db/a &amp; b", "<Content-Length>7</Content-Length>")
                                    BLOB("other/c", "<Content-Length>8</Content-Length>")
                                        BLOB("db/e", "<Content-Length>0</Content-Length>" EMPTY_MD5)
                                            BLOB("db/u", "<Content-Length>0</Content-Length>")
                                                BLOB("db/dir", "<Content-Length>0</Content-Length>"
                                                               "<ResourceType>directory</ResourceType>"),
                                "2!72!next");

static void pages_of_blobs(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct object_list_page page = {0};
    assert_int_equal(azure_list_page_read(some, sizeof some - 1, STORAGE_LIST_OBJECTS, "db/", on_entry, &seen,
                                          &page, &err),
                     0);
    assert_string_equal(seen.text, "db/a & b=7@1762070400000 db/e=0@1762070400000 db/u=0@1762070400000 ");
    assert_true(page.truncated && !page.stopped);
    assert_string_equal(page.next, "2!72!next");
    object_list_page_deinit(&page);

    /* what has blocks only */
    seen = (struct seen){0};
    assert_int_equal(
        azure_list_page_read(some, sizeof some - 1, STORAGE_LIST_UPLOADS, "", on_entry, &seen, &page, &err),
        0);
    assert_string_equal(seen.text, "db/u=0@1762070400000uncommitted ");
    object_list_page_deinit(&page);

    seen = (struct seen){.n = 3};
    assert_int_equal(azure_list_page_read(some, sizeof some - 1, STORAGE_LIST_OBJECTS, "db/", on_entry, &seen,
                                          &page, &err),
                     0);
    assert_true(page.stopped);
    assert_int_equal(seen.n, 4);
    object_list_page_deinit(&page);

    static const char last[] = PAGE("", "");
    assert_int_equal(
        azure_list_page_read(last, sizeof last - 1, STORAGE_LIST_OBJECTS, "", on_entry, &seen, &page, &err),
        0);
    assert_false(page.truncated);
    assert_null(page.next);
    object_list_page_deinit(&page);
}

static void pages_that_are_none(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct object_list_page page = {0};
    for (size_t size = 0; size < sizeof some - 1; size++) {
        assert_int_equal(
            azure_list_page_read(some, size, STORAGE_LIST_OBJECTS, "db/", on_entry, &seen, &page, &err),
            ERROR_PROTOCOL);
        seen.text[0] = '\0';
    }
    assert_int_equal(
        azure_list_page_read("<Blobs/>", 8, STORAGE_LIST_OBJECTS, "", on_entry, &seen, &page, &err),
        ERROR_PROTOCOL);
    static const char bad[] = PAGE(BLOB("a", "<Content-Length>x</Content-Length>"), "next");
    assert_int_equal(
        azure_list_page_read(bad, sizeof bad - 1, STORAGE_LIST_OBJECTS, "", on_entry, &seen, &page, &err),
        ERROR_PROTOCOL);
    assert_null(page.next);
}

static void states(void **state)
{
    (void)state;
    const struct azure_resume written = {.session = SESSION,
                                         .endpoint = "shop",
                                         .container = "backups",
                                         .key = "a/\"b\"",
                                         .sha256 = "0123",
                                         .size = UINT64_C(12) << 40,
                                         .part_size = 5};
    struct azure_resume read = {0}, intent = written;
    struct error err = {0};
    char *text = azure_resume_text(&written);
    assert_non_null(strstr(text, AZURE_UNCOMMITTED)); /* what sweep looks for */
    assert_int_equal(azure_resume_parse(text, &read, &err), 0);
    assert_string_equal(read.session, SESSION);
    assert_true(azure_resume_same(&written, &read));
    free(text);
    azure_resume_deinit(&read);
    azure_resume_deinit(&read);

    intent.session = NULL;
    text = azure_resume_text(&intent);
    assert_int_equal(azure_resume_parse(text, &read, &err), 0);
    assert_null(read.session);
    free(text);
    azure_resume_deinit(&read);

    struct azure_resume others[] = {written, written, written, written, written, written};
    others[0].endpoint = "stop";
    others[1].container = "b";
    others[2].key = "a";
    others[3].sha256 = "4567";
    others[4].size--;
    others[5].part_size--;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(azure_resume_same(&written, &others[i]));

    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"uncommitted\": 5}",
        "{\"uncommitted\":\"short\",\"endpoint\":\"e\",\"container\":\"c\",\"key\":\"k\",\"sha256\":\"s\","
        "\"size\":1,\"part_size\":0}",
        "{\"uncommitted\":null,\"endpoint\":\"e\",\"container\":\"c\",\"key\":\"k\",\"sha256\":\"s\","
        "\"size\":-1,\"part_size\":0}",
        "{\"upload_id\":\"of another store\",\"endpoint\":\"e\",\"bucket\":\"c\",\"key\":\"k\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(azure_resume_parse(bad[i], &read, &err), ERROR_INPUT);
    char *large = malloc(AZURE_RESUME_MAX + 3);
    memset(large, ' ', AZURE_RESUME_MAX + 2);
    large[AZURE_RESUME_MAX + 2] = '\0';
    assert_int_equal(azure_resume_parse(large, &read, &err), ERROR_INPUT);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_hold_session_number_and_digest),
        cmocka_unit_test(lists_of_blocks),
        cmocka_unit_test(pages_of_blobs),
        cmocka_unit_test(pages_that_are_none),
        cmocka_unit_test(states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
