#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/aws_environment.h"
#include "auth/aws_plan.h"

static char home[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.aws/%s", home, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void set(enum aws_variable variable, const char *value)
{
    setenv(aws_environment_name(variable), value, 1);
}

static int setup(void **state)
{
    (void)state;
    for (int v = 0; v <= AWS_HOME; v++)
        unsetenv(aws_environment_name((enum aws_variable)v));
    snprintf(home, sizeof home, "/tmp/test_aws_plan.XXXXXX");
    assert_non_null(mkdtemp(home));
    char path[128];
    snprintf(path, sizeof path, "%s/.aws", home);
    assert_int_equal(mkdir(path, 0700), 0);
    set(AWS_HOME, home);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = {".aws/config", ".aws/credentials", ".aws", ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", home, files[i]);
        remove(path);
    }
    return 0;
}

#define KEYS "aws_access_key_id = AKIA\naws_secret_access_key = HIDDEN\n"

/* What a profile of the config file leads to: "keys 1 2" = base and the roles' ARNs in order, or the error's
 * words. */
static void profiles_become_plans(void **state)
{
    (void)state;
    static const struct {
        const char *config, *plan;
        int code;
    } cases[] = {
        {"[profile p]\n" KEYS, "keys", 0},
        {"[profile p]\nregion = eu-west-1\n" KEYS, "keys @eu-west-1", 0},
        {"[profile \"p\"]\n" KEYS, "keys", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\n" KEYS, "keys 1", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nregion=eu\nrole_arn=2\nsource_profile=r\n"
         "[profile r]\n" KEYS,
         "keys 2 1 @eu", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=p\n" KEYS, "keys 1", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=p\n", "leads back", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=p\n",
         "leads back", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=q\n",
         "leads back", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n", "\"q\"", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nregion=eu\n", "holds no credentials",
         ERROR_INPUT},
        {"[profile p]\nrole_arn=1\n" KEYS, "needs source_profile", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=q\ncredential_source=Environment\n", "both", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\ncredential_source=Ec2InstanceMetadata\n", "metadata 1", 0},
        {"[profile p]\nrole_arn=1\ncredential_source=EcsContainer\n", "container 1", 0},
        {"[profile p]\nrole_arn=1\ncredential_source=Environment\n", "AWS_ACCESS_KEY_ID is not set",
         ERROR_INPUT},
        {"[profile p]\nrole_arn=1\ncredential_source=Moon\n", "credential_source must be", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nweb_identity_token_file=/t\n", "web identity", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nweb_identity_token_file=/t\n",
         "web identity 1", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=a\n[profile a]\nrole_arn=2\nsource_profile=b\n"
         "[profile b]\nrole_arn=3\nsource_profile=c\n[profile c]\nrole_arn=4\nsource_profile=d\n[profile d]\n" KEYS,
         "keys 4 3 2 1", 0},
        {"[profile p]\nrole_arn=1\nsource_profile=a\n[profile a]\nrole_arn=2\nsource_profile=b\n"
         "[profile b]\nrole_arn=3\nsource_profile=c\n[profile c]\nrole_arn=4\nsource_profile=d\n"
         "[profile d]\nrole_arn=5\nsource_profile=e\n[profile e]\nrole_arn=6\ncredential_source=EcsContainer\n",
         "too many source_profile steps", ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=p\nduration_seconds=899\n" KEYS, "duration_seconds",
         ERROR_INPUT},
        {"[profile p]\nrole_arn=1\nsource_profile=p\nduration_seconds=1h\n" KEYS, "duration_seconds",
         ERROR_INPUT},
        {"[profile p]\naws_access_key_id = AKIA\n", "no secret access key", ERROR_INPUT},
        {"[profile p]\naws_access_key_id = A KIA\naws_secret_access_key = HIDDEN\n", "a blank", ERROR_INPUT},
        {"[profile p]\nsso_session = x\n", "single sign-on", ERROR_UNSUPPORTED},
        {"[profile p]\ncredential_process = /bin/x\n", "credential_process", ERROR_UNSUPPORTED},
        {"[p]\n" KEYS, "no such profile", ERROR_INPUT},
        {"[profile p]\nregion=eu\n", "metadata @eu", 0},
    };
    static const char *const bases[] = {"keys", "web identity", "container", "metadata"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_plan plan;
        struct error err = {0};
        struct strbuf text;
        strbuf_init(&text, 512);
        write_file("config", cases[i].config);
        int rc = aws_plan_make(&plan, "p", AWS_CHAIN_FULL, NULL, &err);
        if (rc == 0) {
            strbuf_puts(&text, bases[plan.base]);
            for (int r = 0; r < plan.n_roles; r++)
                strbuf_printf(&text, " %s", plan.roles[r].arn);
            if (plan.region)
                strbuf_printf(&text, " @%s", plan.region);
        }
        bool as_wanted = rc == cases[i].code && (rc ? strstr(err.message, cases[i].plan) != NULL
                                                    : strcmp(strbuf_cstr(&text), cases[i].plan) == 0);
        if (!as_wanted)
            fail_msg("%s: %s %s", cases[i].config, strbuf_cstr(&text), err.message);
        assert_null(strstr(err.message, "HIDDEN"));
        strbuf_deinit(&text);
        aws_plan_deinit(&plan);
    }
}

static void assert_source(const char *profile, const char *source)
{
    struct aws_plan plan;
    struct error err = {0};
    if (aws_plan_make(&plan, profile, AWS_CHAIN_FULL, NULL, &err))
        fail_msg("wanted %s: %s", source, err.message);
    const char *got = plan.base == AWS_BASE_KEYS           ? plan.keys.source
                      : plan.base == AWS_BASE_WEB_IDENTITY ? plan.web_identity.arn
                      : plan.base == AWS_BASE_CONTAINER    ? "container"
                                                           : "metadata";
    assert_string_equal(got, source);
    aws_plan_deinit(&plan);
}

/* All sources at once, then one after the other taken away. */
static void the_order_is_botocores(void **state)
{
    (void)state;
    set(AWS_ACCESS_KEY_ID, "AKIA");
    set(AWS_SECRET_ACCESS_KEY, "HIDDEN");
    set(AWS_WEB_IDENTITY_TOKEN_FILE, "/t");
    set(AWS_ROLE_ARN, "web role");
    set(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, "/c");
    write_file("credentials", "[default]\n" KEYS);
    write_file(
        "config",
        "[profile roles]\nrole_arn=role of a profile\nweb_identity_token_file=/t\n[profile keys]\n" KEYS);
    assert_source(NULL, "environment");
    assert_source("keys", "profile keys");
    assert_source("roles", "role of a profile");
    set(AWS_DEFAULT_PROFILE, "roles");
    assert_source(NULL, "role of a profile");
    set(AWS_PROFILE, "keys");
    assert_source(NULL, "web role");
    assert_source("keys", "profile keys");
    unsetenv("AWS_PROFILE");
    unsetenv("AWS_DEFAULT_PROFILE");
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_source(NULL, "web role");
    unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
    assert_source(NULL, "profile default");
    write_file("credentials", "");
    assert_source(NULL, "container");
    unsetenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    assert_source(NULL, "metadata");
}

static void files_are_where_the_environment_says(void **state)
{
    (void)state;
    char path[128];
    write_file("config", "[default]\n" KEYS "region=eu-west-1\n");
    write_file("credentials", "[default]\naws_access_key_id=AKIA2\naws_secret_access_key=HIDDEN\n");
    struct aws_plan plan;
    assert_int_equal(aws_plan_make(&plan, NULL, AWS_CHAIN_FULL, NULL, NULL), 0);
    assert_string_equal(plan.keys.access_key_id, "AKIA2"); /* the credentials file wins */
    assert_string_equal(plan.region, "eu-west-1");
    aws_plan_deinit(&plan);
    snprintf(path, sizeof path, "%s/.aws/config", home);
    set(AWS_CONFIG_FILE, "/nowhere");
    set(AWS_SHARED_CREDENTIALS_FILE, path);
    assert_int_equal(aws_plan_make(&plan, NULL, AWS_CHAIN_FULL, "us-west-2", NULL), 0);
    assert_string_equal(plan.keys.access_key_id, "AKIA");
    assert_string_equal(plan.region, "us-west-2");
    aws_plan_deinit(&plan);
    set(AWS_REGION, "us-east-2");
    assert_int_equal(aws_plan_make(&plan, NULL, AWS_CHAIN_FULL, "", NULL), 0);
    assert_string_equal(plan.region, "us-east-2");
    aws_plan_deinit(&plan);
    unsetenv("HOME");
    unsetenv("AWS_CONFIG_FILE");
    struct error err = {0};
    set(AWS_SHARED_CREDENTIALS_FILE, home); /* a directory */
    assert_int_equal(aws_plan_make(&plan, NULL, AWS_CHAIN_FULL, NULL, &err), ERROR_INPUT);
    assert_non_null(strstr(err.message, home));
    aws_plan_deinit(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(profiles_become_plans, setup, teardown),
        cmocka_unit_test_setup_teardown(the_order_is_botocores, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_where_the_environment_says, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
