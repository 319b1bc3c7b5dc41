/* Editing JSON: what is not edited stays byte for byte. */
#include "base/json_edit.h"

#include "tests/test.h"

/* Set (or, with a NULL value, remove) one member of the object at `path` ("" = the root). */
static void edits(const char *text, const char *path, const char *key, const char *value,
		  const char *expected)
{
	struct qc_json json = {0};
	struct qc_json_edit edit = {.json = &json};
	struct qc_err err = {0};
	qc_json_value object;
	char *out = NULL;
	size_t size = 0;

	NEED(!qc_json_parse(&json, text, strlen(text), QC_JSON_ALLOW_NAN, &err), "%s", err.text);
	object = *path ? qc_json_path(&json, QC_JSON_ROOT, path) : QC_JSON_ROOT;
	CHECK(value ? !qc_json_edit_set(&edit, object, key, value, &err)
		    : !qc_json_edit_remove(&edit, object, key, &err),
	      "%s", err.text);
	CHECK(!qc_json_edit_apply(&edit, &out, &size, &err), "%s", err.text);
	CHECK(out && !strcmp(out, expected) && size == strlen(expected), "'%s', expected '%s'", out,
	      expected);
	free(out);
	qc_json_edit_clear(&edit);
	qc_json_clear(&json);
}

static void a_member_is_replaced_in_its_place(void)
{
	edits("{\"a\": 1 , \"b\":[1,2]}", "", "a", "true", "{\"a\": true , \"b\":[1,2]}");
	edits("{\"a\": 1 , \"b\":[1,2]}", "", "b", "{}", "{\"a\": 1 , \"b\":{}}");
	edits("{ \"b\" : \"x\\\"y\" }\n", "", "b", "null", "{ \"b\" : null }\n");
}

static void a_new_member_takes_its_place_in_the_order(void)
{
	edits("{\n  \"a\": 1,\n  \"c\": 2\n}\n", "", "b", "3",
	      "{\n  \"a\": 1,\n  \"b\": 3,\n  \"c\": 2\n}\n");
	edits("{\n  \"b\": 1,\n  \"c\": 2\n}", "", "a", "3",
	      "{\n  \"a\": 3,\n  \"b\": 1,\n  \"c\": 2\n}");
	edits("{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}", "", "c", "3",
	      "{\n  \"a\": 1,\n  \"b\": [\n    2\n  ],\n  \"c\": 3\n}");
	edits("{\"a\":1}", "", "b", "3", "{\"a\":1,\"b\": 3}");
	edits("{}", "", "a", "3", "{\"a\": 3}");
	edits("{\"ab\":1}", "", "a", "3", "{\"a\": 3,\"ab\":1}");
}

static void a_member_goes_with_its_line(void)
{
	edits("{\n  \"a\": 1,\n  \"b\": {\"x\": 1},\n  \"c\": 2\n}\n", "", "b", NULL,
	      "{\n  \"a\": 1,\n  \"c\": 2\n}\n");
	edits("{\n  \"a\": 1,\n  \"b\": 2\n}\n", "", "b", NULL, "{\n  \"a\": 1\n}\n");
	edits("{\n  \"a\": 1\n}\n", "", "a", NULL, "{\n}\n");
	edits("{\"a\": NaN, \"b\": 1}", "", "z", NULL, "{\"a\": NaN, \"b\": 1}");
}

static void nested_objects_are_edited_too(void)
{
	edits("{\"t\": {\"a\": 1, \"b\": 2}, \"u\": 1e400}", "t", "b", "0",
	      "{\"t\": {\"a\": 1, \"b\": 0}, \"u\": 1e400}");
	edits("{\"t\": {\"a\": 1, \"b\": 2}}", "t", "a", NULL, "{\"t\": {\"b\": 2}}");
}

static void several_edits_are_applied_at_once(void)
{
	const char *text = "{\n  \"b\": 1,\n  \"d\": {\"x\": 1},\n  \"e\": 5\n}";
	const char *expected = "{\n  \"a\": 0,\n  \"b\": 2,\n  \"d\": {\"w\": 9,\"x\": 1}\n}";
	struct qc_json json = {0};
	struct qc_json_edit edit = {.json = &json};
	struct qc_err err = {0};
	char *out = NULL;
	size_t size = 0;

	NEED(!qc_json_parse(&json, text, strlen(text), 0, &err), "%s", err.text);
	CHECK(!qc_json_edit_remove(&edit, QC_JSON_ROOT, "e", &err) &&
		      !qc_json_edit_set(&edit, qc_json_get(&json, QC_JSON_ROOT, "d"), "w", "9",
					&err) &&
		      !qc_json_edit_set(&edit, QC_JSON_ROOT, "b", "2", &err) &&
		      !qc_json_edit_set(&edit, QC_JSON_ROOT, "a", "0", &err) &&
		      !qc_json_edit_apply(&edit, &out, &size, &err),
	      "%s", err.text);
	CHECK(out && !strcmp(out, expected), "'%s'", out);
	free(out);
	qc_json_edit_clear(&edit);
	qc_json_clear(&json);
}

int main(void)
{
	a_member_is_replaced_in_its_place();
	a_new_member_takes_its_place_in_the_order();
	a_member_goes_with_its_line();
	nested_objects_are_edited_too();
	several_edits_are_applied_at_once();
	return test_end();
}
