#include "shared/oci/session.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static void slots_are_shared_by_key(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(registry_session_free) struct registry_session *session = registry_session_new(&err);
    struct session_slot *one = session_enter(session, "token a", &err), *two = session_enter(session, "token b", &err);
    assert_ptr_equal(session_enter(session, "token a", &err), one);
    assert_ptr_not_equal(one, two);
    assert_false(slot_is_good(one));
    slot_put(one, secret_new(SPAN("Bearer x"), &err), 60);
    assert_true(slot_is_good(one));
    assert_false(slot_is_good(two));
    assert_int_equal(one->generation, 1);
    assert_true(slot_remaining_s(one) > 50 && slot_remaining_s(one) <= 54); /* left before it expires */
    slot_put(one, secret_new(SPAN("Bearer y"), &err), 0);
    assert_false(slot_is_good(one));
    assert_int_equal(slot_remaining_s(one), 0);
    slot_put(one, NULL, 60);
    assert_false(slot_is_good(one));
}

static void slots_in_use_stay_when_there_are_many(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(registry_session_free) struct registry_session *session = registry_session_new(&err);
    struct session_slot *mine = session_enter(session, "mine", &err), *left = session_enter(session, "left", &err);
    slot_put(mine, secret_new(SPAN("value"), &err), 60);
    slot_put(left, secret_new(SPAN("value"), &err), 60);
    session_leave(session, left);
    for (int i = 0; i < 1000; i++) {
        char key[20];
        snprintf(key, sizeof key, "other %d", i);
        session_leave(session, session_enter(session, key, &err));
    }
    assert_ptr_equal(session_enter(session, "mine", &err), mine);
    assert_true(slot_is_good(mine));
    assert_false(slot_is_good(session_enter(session, "left", &err)));
}

static void clients_come_back_to_who_trusts_the_same(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(registry_session_free) struct registry_session *session = registry_session_new(&err);
    const struct http_client_options plain = { .ca_file = NULL }, own = { .ca_file = "/ca.pem" },
                                     guarded = { .refuse_private = true };
    struct http_client *first = session_borrow(session, &plain, &err), *second = session_borrow(session, &plain, &err);
    assert_ptr_not_equal(first, second);
    session_return(session, first);
    struct http_client *third = session_borrow(session, &own, &err), *fourth = session_borrow(session, &guarded, &err);
    assert_ptr_not_equal(third, first);
    assert_ptr_not_equal(fourth, first);
    assert_ptr_equal(session_borrow(session, &plain, &err), first);
    session_return(session, first);
    session_return(session, second);
    session_return(session, third);
    session_return(session, fourth);
    session_return(session, NULL);
}

static void more_clients_than_are_kept(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(registry_session_free) struct registry_session *session = registry_session_new(&err);
    const struct http_client_options plain = { .ca_file = NULL };
    struct http_client *clients[40];
    for (size_t i = 0; i < 40; i++)
        clients[i] = session_borrow(session, &plain, &err);
    for (size_t i = 0; i < 40; i++)
        session_return(session, clients[i]);
    struct http_client *again = session_borrow(session, &plain, &err);
    assert_non_null(again);
    session_return(session, again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_shared_by_key),
        cmocka_unit_test(slots_in_use_stay_when_there_are_many),
        cmocka_unit_test(clients_come_back_to_who_trusts_the_same),
        cmocka_unit_test(more_clients_than_are_kept),
    };
    return cmocka_run_group_tests_name("shared/oci/session", tests, NULL, NULL);
}
