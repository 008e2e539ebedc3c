#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/driver.h"

static void disks_have_a_driver(void **state)
{
    (void)state;
    struct error err = {0};
    const struct storage_driver *local = NULL;
    const struct storage_driver *external = NULL;
    assert_int_equal(storage_driver_find("local", &local, &err), 0);
    assert_int_equal(storage_driver_find("local_external", &external, &err), 0);
    assert_non_null(local);
    assert_ptr_equal(local, external);
    assert_string_equal(local->name, "posix");
    assert_true(local->capabilities & STORAGE_CAP_LOCAL_PATH);
}

static void s3_and_its_kin_share_a_driver(void **state)
{
    (void)state;
    static const char *const types[] = {"s3", "minio", "spaces", "backblaze"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(types[i], &driver, &err), 0);
        assert_string_equal(driver->name, "s3");
        assert_true(driver->capabilities & STORAGE_CAP_ACCESS);
        assert_false(driver->capabilities & STORAGE_CAP_LOCAL_PATH);
    }
}

static void clouds_have_drivers_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *type, *name;
    } clouds[] = {{"azure_blob", "azure"}, {"gcs", "gcs"}};
    for (size_t i = 0; i < sizeof clouds / sizeof *clouds; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(clouds[i].type, &driver, &err), 0);
        assert_string_equal(driver->name, clouds[i].name);
        assert_true(driver->capabilities & STORAGE_CAP_ACCESS);
        assert_true(driver->capabilities & STORAGE_CAP_CREATE_ONLY);
        assert_false(driver->capabilities & STORAGE_CAP_LOCAL_PATH);
    }
}

static void unknown_types_list_the_known_ones(void **state)
{
    (void)state;
    static const char *const unknown[] = {"ftp", "", NULL, "LOCAL", "local "};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(unknown[i], &driver, &err), ERROR_INPUT);
        assert_non_null(
            strstr(err.message, "local, local_external, s3, minio, spaces, backblaze, azure_blob, gcs"));
    }
}

static void an_override_serves_its_own_types_only(void **state)
{
    (void)state;
    static const char *const types[] = {"local", "gcs", NULL};
    static const struct storage_driver fake = {.name = "fake", .storage_types = types};
    struct error err = {0};
    const struct storage_driver *driver = NULL;
    storage_driver_override(&fake);
    assert_int_equal(storage_driver_find("gcs", &driver, &err), 0);
    assert_ptr_equal(driver, &fake);
    assert_int_equal(storage_driver_find("local_external", &driver, &err), 0);
    assert_string_equal(driver->name, "posix");
    storage_driver_override(NULL);
    assert_int_equal(storage_driver_find("local", &driver, &err), 0);
    assert_string_equal(driver->name, "posix");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_have_a_driver),
        cmocka_unit_test(s3_and_its_kin_share_a_driver),
        cmocka_unit_test(clouds_have_drivers_of_their_own),
        cmocka_unit_test(unknown_types_list_the_known_ones),
        cmocka_unit_test(an_override_serves_its_own_types_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
