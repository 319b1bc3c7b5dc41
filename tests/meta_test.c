/* formats/meta: an ordered list of typed keys. */
#include <inttypes.h>

#include "tests/test.h"

#include "base/bytes.h"
#include "formats/meta.h"

static void every_type_has_a_name_and_a_size(void)
{
	static const size_t bytes[QC_KV_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

	for (uint32_t type = 0; type < QC_KV_TYPES; type++) {
		CHECK(qc_kv_type_name(type), "type %u has no name", type);
		CHECK(qc_kv_type_bytes((enum qc_kv_type)type) == bytes[type], "type %u: %zu bytes",
		      type, qc_kv_type_bytes((enum qc_kv_type)type));
	}
	CHECK(!qc_kv_type_name(QC_KV_TYPES) && !qc_kv_type_name(UINT32_MAX),
	      "a type beyond the last");
	CHECK(!strcmp(qc_kv_type_name(4), "u32") && !strcmp(qc_kv_type_name(8), "string"), "names");
}

static void keys_keep_their_order_when_they_are_set_again(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_err err = {0};
	char key[] = "b";
	uint32_t u = 0;

	NEED(!qc_meta_set_u32(&meta, "a", 1, &err) && !qc_meta_set_u32(&meta, key, 2, &err) &&
		     !qc_meta_set_u32(&meta, "c", 3, &err) && !qc_meta_set_u32(&meta, "a", 4, &err),
	     "%s", err.text);
	key[0] = 'x'; /* keys are copied */
	CHECK(meta.n == 3, "%zu keys", meta.n);
	CHECK(!strcmp(meta.kvs[0].key, "a") && !strcmp(meta.kvs[1].key, "b") &&
		      !strcmp(meta.kvs[2].key, "c"),
	      "'%s' '%s' '%s'", meta.kvs[0].key, meta.kvs[1].key, meta.kvs[2].key);
	CHECK(qc_meta_u32(&meta, "a", &u) && u == 4, "%u", u);
	CHECK(qc_meta_u32(&meta, "b", &u) && u == 2, "%u", u);
	CHECK(!qc_meta_u32(&meta, "x", &u) && !qc_meta_find(&meta, ""), "absent keys");
	qc_meta_clear(&meta);
	CHECK(meta.n == 0 && meta.arena == &arena && !qc_meta_find(&meta, "a"), "not cleared");
	NEED(!qc_meta_set_u32(&meta, "a", 5, &err), "%s", err.text);
	CHECK(qc_meta_u32(&meta, "a", &u) && u == 5, "%u after clearing", u);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

static void removed_keys_are_gone_and_may_return_at_the_end(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_err err = {0};
	char key[16];
	uint32_t u = 0;

	for (uint32_t i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		NEED(!qc_meta_set_u32(&meta, key, i, &err), "%s", err.text);
	}
	for (uint32_t i = 0; i < 200; i += 3) {
		snprintf(key, sizeof(key), "k%u", i);
		qc_meta_remove(&meta, key);
		qc_meta_remove(&meta, key);
	}
	qc_meta_remove(&meta, "never there");
	CHECK(meta.n == 133, "%zu keys", meta.n);
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		u = UINT32_MAX;
		CHECK(qc_meta_u32(&meta, key, &u) == (i % 3 != 0), "%s", key);
		CHECK(i % 3 == 0 || u == i, "%s: %u", key, u);
	}
	NEED(!qc_meta_set_u32(&meta, "k0", 77, &err), "%s", err.text);
	CHECK(!strcmp(meta.kvs[meta.n - 1].key, "k0"), "'%s' is last", meta.kvs[meta.n - 1].key);
	CHECK(qc_meta_u32(&meta, "k0", &u) && u == 77, "%u", u);
	CHECK(!strcmp(meta.kvs[0].key, "k1"), "'%s' is first", meta.kvs[0].key);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

static void set_int(struct qc_meta *meta, const char *key, enum qc_kv_type type, uint64_t bits)
{
	struct qc_err err = {0};
	uint8_t data[8];

	qc_put_le64(data, bits);
	NEED(!qc_meta_set(meta, key, type, type, 1, data, qc_kv_type_bytes(type), &err), "%s",
	     err.text);
}

static void u32_takes_any_integer_that_fits(void)
{
	static const struct {
		enum qc_kv_type type;
		uint64_t bits;
		bool fits;
		uint32_t value;
	} cases[] = {
		{QC_KV_U8, 255, true, 255},
		{QC_KV_I8, 127, true, 127},
		{QC_KV_I8, 0xff, false, 0},
		{QC_KV_U16, 65535, true, 65535},
		{QC_KV_I16, 0x8000, false, 0},
		{QC_KV_U32, UINT32_MAX, true, UINT32_MAX},
		{QC_KV_I32, INT32_MAX, true, INT32_MAX},
		{QC_KV_I32, UINT32_MAX, false, 0},
		{QC_KV_U64, UINT32_MAX, true, UINT32_MAX},
		{QC_KV_U64, 1ull << 32, false, 0},
		{QC_KV_U64, UINT64_MAX, false, 0},
		{QC_KV_I64, 5, true, 5},
		{QC_KV_I64, UINT64_MAX, false, 0},
		{QC_KV_I64, 1ull << 63, false, 0},
		{QC_KV_F32, 0, false, 0},
		{QC_KV_F64, 0, false, 0},
		{QC_KV_BOOL, 1, false, 0},
		{QC_KV_STRING, 0, false, 0},
	};
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t u = 0;

		set_int(&meta, "k", cases[i].type, cases[i].bits);
		CHECK(qc_meta_u32(&meta, "k", &u) == cases[i].fits && u == cases[i].value,
		      "%s %" PRIx64 ": %u", qc_kv_type_name(cases[i].type), cases[i].bits, u);
	}
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

static void values_are_kept_as_little_endian_bytes(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_err err = {0};
	const struct qc_kv *kv;
	const char *text = NULL;
	size_t len = 0;
	float f = 0;
	bool b = false;

	NEED(!qc_meta_set_u32(&meta, "u", 0x01020304, &err) &&
		     !qc_meta_set_f32(&meta, "f", 1.5f, &err) &&
		     !qc_meta_set_bool(&meta, "b", true, &err) &&
		     !qc_meta_set_string(&meta, "s", "a\0b", 3, &err) &&
		     !qc_meta_set_string(&meta, "e", "", 0, &err),
	     "%s", err.text);
	kv = qc_meta_find(&meta, "u");
	CHECK(kv->bytes == 4 && !memcmp(kv->data, "\4\3\2\1", 4) && kv->n == 1, "%zu bytes",
	      kv->bytes);
	kv = qc_meta_find(&meta, "f");
	CHECK(kv->bytes == 4 && !memcmp(kv->data, "\0\0\xc0\x3f", 4), "%zu bytes", kv->bytes);
	CHECK(qc_meta_f32(&meta, "f", &f) && f == 1.5f && !qc_meta_f32(&meta, "u", &f), "%g",
	      (double)f);
	CHECK(qc_meta_bool(&meta, "b", &b) && b && !qc_meta_bool(&meta, "u", &b), "bool");
	CHECK(qc_meta_string(&meta, "s", &text, &len) && len == 3 && !memcmp(text, "a\0b", 3),
	      "%zu", len);
	CHECK(qc_meta_string(&meta, "e", &text, &len) && len == 0 && text, "%zu", len);
	CHECK(!qc_meta_string(&meta, "u", &text, &len) && !qc_meta_string(&meta, "-", &text, &len),
	      "kind");
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

#define MANY 262144

static void string_arrays_walk_in_order(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_kv_builder build = {0};
	struct qc_err err = {0};
	const struct qc_kv *kv;
	const char *text;
	char expect[16];
	size_t at = 0, len, wrong = 0, n = 0;

	for (int i = 0; i < MANY; i++) {
		len = (size_t)snprintf(expect, sizeof(expect), "%d", i);
		NEED(!qc_kv_push_string(&build, expect, i ? len : 0, &err), "%s", err.text);
	}
	NEED(!qc_meta_set(&meta, "tokens", QC_KV_ARRAY, QC_KV_STRING, build.n, build.data,
			  build.bytes, &err),
	     "%s", err.text);
	free(build.data);
	kv = qc_meta_find(&meta, "tokens");
	CHECK(kv->n == MANY && kv->elem == QC_KV_STRING, "%" PRIu64 " elements", kv->n);
	while (qc_kv_next_string(kv, &at, &text, &len)) {
		size_t digits = n ? (size_t)snprintf(expect, sizeof(expect), "%zu", n) : 0;

		wrong += len != digits || memcmp(text, expect, len);
		n++;
	}
	CHECK(n == MANY && !wrong, "%zu strings, %zu wrong", n, wrong);
	CHECK(at == kv->bytes, "stopped at %zu of %zu", at, kv->bytes);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

static void a_broken_string_array_ends_early(void)
{
	static const uint8_t wild[9] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'a'};
	struct qc_kv kv = {.type = QC_KV_ARRAY,
			   .elem = QC_KV_STRING,
			   .n = 1,
			   .data = wild,
			   .bytes = sizeof(wild)};
	const char *text;
	size_t at = 0, len;

	CHECK(!qc_kv_next_string(&kv, &at, &text, &len) && at == 0, "a length of 2^64-1");
	kv.bytes = 7;
	CHECK(!qc_kv_next_string(&kv, &at, &text, &len), "half a length");
	at = SIZE_MAX;
	CHECK(!qc_kv_next_string(&kv, &at, &text, &len), "an offset beyond the end");
}

static void a_builder_counts_elements_and_refuses_to_overflow(void)
{
	struct qc_kv_builder build = {0};
	struct qc_err err = {0};
	uint8_t four[4] = {1, 2, 3, 4};

	NEED(!qc_kv_push(&build, four, 4, &err) && !qc_kv_push(&build, four, 2, &err), "%s",
	     err.text);
	CHECK(build.n == 2 && build.bytes == 6 && !memcmp(build.data, "\1\2\3\4\1\2", 6),
	      "%zu bytes", build.bytes);
	CHECK(qc_kv_push(&build, four, SIZE_MAX, &err) == QC_NO_MEMORY, "SIZE_MAX bytes");
	CHECK(qc_kv_push_string(&build, "", SIZE_MAX - 3, &err) == QC_NO_MEMORY,
	      "a string of SIZE_MAX - 3");
	CHECK(build.n == 2 && build.bytes == 6, "%zu bytes", build.bytes);
	free(build.data);
}

int main(void)
{
	every_type_has_a_name_and_a_size();
	keys_keep_their_order_when_they_are_set_again();
	removed_keys_are_gone_and_may_return_at_the_end();
	u32_takes_any_integer_that_fits();
	values_are_kept_as_little_endian_bytes();
	string_arrays_walk_in_order();
	a_broken_string_array_ends_early();
	a_builder_counts_elements_and_refuses_to_overflow();
	return test_end();
}
