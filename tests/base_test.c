/* base/ below files and JSON: sizes, text, errors, memory, string maps, UTF-8,
 * hashes. */
#include <errno.h>
#include <inttypes.h>

#include "tests/test.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/strmap.h"
#include "base/text.h"
#include "base/utf8.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The byte at `i` of a test's data. */
static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

#define PATTERN_SIZE 100000

static void sizes_that_overflow_are_refused_and_leave_the_result_alone(void)
{
	uint64_t out = 42;

	CHECK(!qc_mul(1ull << 32, 1ull << 32, &out) && out == 42, "2^32 * 2^32 gave %" PRIu64, out);
	CHECK(!qc_add(UINT64_MAX, 1, &out) && out == 42, "2^64-1 + 1 gave %" PRIu64, out);
	CHECK(!qc_align_up(UINT64_MAX - 5, 32, &out) && out == 42, "2^64-6 up to 32 gave %" PRIu64,
	      out);
	CHECK(!qc_align_up(UINT64_MAX, 2, &out) && out == 42, "2^64-1 up to 2 gave %" PRIu64, out);
	CHECK(qc_mul(1ull << 32, (1ull << 32) - 1, &out) && out == 0xffffffff00000000u, "%" PRIx64,
	      out);
	CHECK(qc_mul(0, UINT64_MAX, &out) && out == 0, "0 * 2^64-1 gave %" PRIu64, out);
	CHECK(qc_add(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX, "%" PRIu64, out);
	CHECK(qc_align_up(UINT64_MAX - 31, 32, &out) && out == UINT64_MAX - 31, "%" PRIu64, out);
	CHECK(qc_align_up(33, 32, &out) && out == 64, "33 up to 32 gave %" PRIu64, out);
	CHECK(qc_align_up(0, 32, &out) && out == 0, "0 up to 32 gave %" PRIu64, out);
	CHECK(qc_align_up(10, 7, &out) && out == 14, "10 up to 7 gave %" PRIu64, out);
	CHECK(qc_divide_up(UINT64_MAX, 2) == 1ull << 63 && !qc_divide_up(0, 7) &&
		      qc_divide_up(7, 7) == 1 && qc_divide_up(8, 7) == 2,
	      "divided up");
}

static void ends_of_names_are_told(void)
{
	const char *names[] = {"b", "a/b", "a", ""};
	char buf[8];

	CHECK(qc_text_ends("a.weight", ".weight") && qc_text_ends(".weight", ".weight") &&
		      qc_text_ends("a", "") && !qc_text_ends("weight", ".weight") &&
		      !qc_text_ends("a.weight2", ".weight") && !qc_text_ends("", "a"),
	      "ends");
	CHECK(qc_text_has_extension("a.GGUF", ".gguf") &&
		      !qc_text_has_extension(".gguf", ".gguf") &&
		      !qc_text_has_extension("a.gguf2", ".gguf"),
	      "extensions");
	CHECK(!strcmp(qc_text_behind("a.b.c", '.'), "c") &&
		      !strcmp(qc_text_behind("abc", '.'), "abc") &&
		      !strcmp(qc_text_base_name("/a.b/"), ""),
	      "what is behind");
	qsort(names, 4, sizeof(*names), qc_text_order);
	CHECK(!*names[0] && !strcmp(names[1], "a") && !strcmp(names[2], "a/b") && *names[3] == 'b',
	      "%s %s %s %s", names[0], names[1], names[2], names[3]);
	CHECK(qc_text_replace("axbxc", "x", "--", buf, sizeof(buf)) && !strcmp(buf, "a--bxc"), "%s",
	      buf);
	CHECK(!qc_text_replace("axbxc", "x", "----", buf, sizeof(buf)), "it does not fit");
	CHECK(!qc_text_replace("abc", "x", "y", buf, sizeof(buf)), "there is none");
}

static void little_endian_bytes_survive_at_any_alignment(void)
{
	uint8_t bytes[9] = {0};

	qc_put_le64(bytes + 1, 0x0102030405060708u);
	CHECK(bytes[1] == 8 && bytes[8] == 1, "stored %d ... %d", bytes[1], bytes[8]);
	CHECK(qc_le64(bytes + 1) == 0x0102030405060708u, "%" PRIx64, qc_le64(bytes + 1));
	CHECK(qc_le32(bytes + 1) == 0x05060708u, "%" PRIx32, qc_le32(bytes + 1));
	CHECK(qc_le16(bytes + 1) == 0x0708u, "%x", qc_le16(bytes + 1));
}

static void errors_show_no_control_characters(void)
{
	struct qc_err err = {0};
	enum qc_status s =
		qc_fail(&err, QC_BAD_INPUT, "a%sb", "\x1b[31m\n\x7f\xc2\x9b\x80\xc3\xa9");

	CHECK(s == QC_BAD_INPUT && err.status == s, "status %d, %d", s, err.status);
	CHECK(!strcmp(err.text, "a?[31m?????\xc3\xa9"
				"b"),
	      "'%s'", err.text);
}

static void long_errors_end_in_dots_between_characters(void)
{
	char name[1500];
	struct qc_err err = {0};
	size_t n;

	/* every phase of a three-byte character across the cut */
	for (size_t phase = 0; phase < 3; phase++) {
		memset(name, 'x', phase);
		for (size_t i = phase; i + 3 < sizeof(name); i += 3)
			memcpy(name + i, "\xe5\xb1\x82", 4);
		CHECK(qc_fail(&err, QC_IO, "%s", name) == QC_IO, "status %d", err.status);
		n = strlen(err.text);
		CHECK(n < sizeof(err.text) && n > sizeof(err.text) - 6, "%zu bytes", n);
		CHECK(!strcmp(err.text + n - 3, "..."), "ends in '%s'", err.text + n - 3);
		CHECK(qc_utf8_valid(err.text, n), "cut inside a character");
		CHECK(!strchr(err.text, '?'), "'%s'", err.text);
	}
	memset(name, 'y', 639);
	name[639] = 0;
	CHECK(qc_fail(&err, QC_IO, "%s", name) == QC_IO && !strcmp(err.text, name),
	      "639 bytes were cut");
	name[639] = 'y', name[640] = 0;
	CHECK(qc_fail(&err, QC_IO, "%s", name) == QC_IO && strlen(err.text) == 639,
	      "640 bytes were not cut");
}

static void errors_say_where_and_keep_their_status_and_cause(void)
{
	struct qc_err err = {0};
	char path[2000];
	enum qc_status s = qc_fail(&err, QC_UNSUPPORTED, "type %d", 7);

	CHECK(s == QC_UNSUPPORTED, "%d", s);
	s = qc_fail_in(&err, "tensor '%s'", "a");
	CHECK(s == QC_UNSUPPORTED && !strcmp(err.text, "tensor 'a': type 7"), "%d '%s'", s,
	      err.text);
	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = 0;
	s = qc_fail_in(&err, "reading '%s'", path);
	CHECK(s == QC_UNSUPPORTED && strstr(err.text, "...: tensor 'a': type 7"), "%d '%s'", s,
	      err.text);
	s = qc_fail_errno(&err, ENOENT, "cannot open '%s'", path);
	CHECK(s == QC_IO && strstr(err.text, "...: No such file"), "%d '%s'", s, err.text);
	s = qc_fail_errno(&err, ENOENT, "cannot open '%s'", "x");
	CHECK(!strcmp(err.text, "cannot open 'x': No such file or directory"), "'%s'", err.text);
	s = qc_fail(&err, QC_IO, "again: %s", err.text);
	CHECK(!strcmp(err.text, "again: cannot open 'x': No such file or directory"), "'%s'",
	      err.text);
	CHECK(qc_no_memory(&err) == QC_NO_MEMORY && err.status == QC_NO_MEMORY, "%d", err.status);
}

static void every_status_has_its_exit_code(void)
{
	static const int codes[] = {0, 1, 1, 1, 1, 2, 3, 4, 130};

	for (size_t i = 0; i < COUNT(codes); i++)
		CHECK(qc_exit_code((enum qc_status)i) == codes[i], "status %zu: %d", i,
		      qc_exit_code((enum qc_status)i));
}

static void an_arena_gives_zeroed_aligned_separate_memory(void)
{
	struct qc_arena arena = {0};
	uint8_t *previous = NULL;
	size_t total = 0, previous_size = 0;

	for (size_t i = 0; i < 3000; i++) {
		size_t size = i * i % 997 + (i % 100 ? 0 : 300000);
		uint8_t *p = qc_arena_alloc(&arena, size);

		NEED(p, "no memory");
		CHECK((uintptr_t)p % 16 == 0, "%p is not aligned", (void *)p);
		for (size_t k = 0; k < size; k++)
			if (p[k])
				FAIL_AT("allocation %zu is not zeroed", i);
		memset(p, 0xaa, size);
		CHECK(p != previous || !previous_size, "allocation %zu was handed out twice", i);
		previous = p, previous_size = size;
		total += size;
	}
	CHECK(arena.bytes >= total, "%zu bytes accounted for of %zu", arena.bytes, total);
	qc_arena_clear(&arena);
	CHECK(!arena.blocks && !arena.bytes, "%zu bytes after clearing", arena.bytes);
	CHECK(qc_arena_alloc(&arena, 0), "no pointer for 0 bytes");
	qc_arena_clear(&arena);
}

static void an_arena_refuses_impossible_sizes(void)
{
	struct qc_arena arena = {0};

	CHECK(!qc_arena_alloc(&arena, SIZE_MAX), "SIZE_MAX bytes");
	CHECK(!qc_arena_alloc(&arena, SIZE_MAX - 15), "SIZE_MAX - 15 bytes");
	CHECK(!qc_arena_array(&arena, 1ull << 61, 16), "2^61 * 16 wraps to 2^65");
	CHECK(!qc_arena_array(&arena, UINT64_MAX, 8), "2^64-1 elements");
	CHECK(!qc_arena_copy(&arena, "", SIZE_MAX), "a string of SIZE_MAX bytes");
	CHECK(arena.bytes == 0, "%zu bytes were handed out", arena.bytes);
	qc_arena_clear(&arena);
}

static void an_arena_copies_and_prints_text(void)
{
	struct qc_arena arena = {0};
	char *copy = qc_arena_copy(&arena, "abcdef", 3), *text,
	     *empty = qc_arena_copy(&arena, NULL, 0);

	NEED(copy && empty, "no memory");
	CHECK(!strcmp(copy, "abc") && !*empty, "'%s' '%s'", copy, empty);
	text = qc_arena_printf(&arena, "blk.%d.%5000s", 3, "x");
	NEED(text, "no memory");
	CHECK(strlen(text) == 5006 && !strncmp(text, "blk.3. ", 7), "%zu bytes", strlen(text));
	qc_arena_clear(&arena);
}

#define MANY 1000000

static void a_string_map_holds_a_million_keys(void)
{
	struct qc_strmap map = {0};
	struct qc_err err = {0};
	char *keys = malloc((size_t)MANY * 8);
	size_t wrong = 0;
	bool was_there;

	NEED(keys, "no memory");
	CHECK(!qc_strmap_find(&map, "a", 1), "found in an empty map");
	for (uint32_t i = 0; i < MANY; i++) {
		char *key = keys + (size_t)i * 8;

		snprintf(key, 8, "k%06u", i);
		NEED(!qc_strmap_add(&map, key, 7, i, &was_there, &err), "%s", err.text);
		wrong += was_there;
	}
	CHECK(!wrong && map.n_used == MANY, "%zu were there, %zu used", wrong, map.n_used);
	for (uint32_t i = 0; i < MANY; i++) {
		char key[8];
		const uint64_t *value;

		snprintf(key, sizeof(key), "k%06u", i);
		value = qc_strmap_find(&map, key, 7);
		wrong += !value || *value != i;
		wrong += qc_strmap_find(&map, key, 6) != NULL; /* a prefix is another key */
	}
	CHECK(!wrong, "%zu look-ups went wrong", wrong);
	CHECK(!qc_strmap_add(&map, "k000005", 7, 99, &was_there, &err) && was_there,
	      "not recognised");
	CHECK(*qc_strmap_find(&map, "k000005", 7) == 5, "an old value was replaced");
	qc_strmap_clear(&map);
	CHECK(!map.slots && !qc_strmap_find(&map, "k000005", 7), "not cleared");
	free(keys);
}

static void a_string_map_takes_empty_and_binary_keys(void)
{
	struct qc_strmap map = {0};
	struct qc_err err = {0};
	bool was_there;

	NEED(!qc_strmap_add(&map, "", 0, 1, &was_there, &err) && !was_there, "empty key");
	NEED(!qc_strmap_add(&map, "a\0b", 3, 2, &was_there, &err) && !was_there, "binary key");
	NEED(!qc_strmap_add(&map, "a", 1, 3, &was_there, &err) && !was_there, "its beginning");
	NEED(!qc_strmap_add(&map, NULL, 0, 4, &was_there, &err) && was_there,
	     "the empty key again");
	CHECK(*qc_strmap_find(&map, "", 0) == 1, "empty key");
	CHECK(*qc_strmap_find(&map, "a\0b", 3) == 2, "binary key");
	CHECK(*qc_strmap_find(&map, "a", 1) == 3, "its beginning");
	CHECK(!qc_strmap_find(&map, "a\0", 2), "a key that is not there");
	qc_strmap_clear(&map);
}

static void every_code_point_encodes_to_valid_utf8_but_surrogates(void)
{
	size_t wrong = 0;

	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		char text[4];
		size_t n = qc_utf8_put(code, text);
		bool is_surrogate = code >= 0xd800 && code <= 0xdfff;

		wrong += n != (code < 0x80 ? 1u : code < 0x800 ? 2u : code < 0x10000 ? 3u : 4u);
		wrong += qc_utf8_valid(text, n) == is_surrogate;
		wrong += qc_utf8_length(text, n) != (is_surrogate ? 0 : n);
		wrong += qc_utf8_valid(text, n - 1) && n > 1; /* truncated */
	}
	CHECK(!wrong, "%zu wrong answers", wrong);
}

/* Counting all valid strings of a length finds any that is wrongly taken or refused. */
static void exactly_the_right_number_of_byte_strings_is_utf8(void)
{
	const size_t one = 128, two = 1920, three = 65536 - 2048 - 2048;
	size_t n_two = 0, n_three = 0, n_four = 0;
	uint8_t b[4];

	for (uint32_t i = 0; i < 1u << 16; i++) {
		b[0] = (uint8_t)i, b[1] = (uint8_t)(i >> 8);
		n_two += qc_utf8_valid(b, 2);
	}
	for (uint32_t i = 0; i < 1u << 24; i++) {
		b[0] = (uint8_t)i, b[1] = (uint8_t)(i >> 8), b[2] = (uint8_t)(i >> 16);
		n_three += qc_utf8_valid(b, 3);
	}
	CHECK(n_two == one * one + two, "%zu of two bytes", n_two);
	CHECK(n_three == one * one * one + 2 * one * two + three, "%zu of three bytes", n_three);
	/* 4-byte sequences: third and fourth byte from one valid and three invalid values */
	for (uint32_t i = 0; i < 1u << 15; i++) {
		static const uint8_t tails[4] = {0x80, 0x7f, 0xc0, 0xff};

		b[0] = (uint8_t)(0xf0 | (i & 7)), b[1] = (uint8_t)(i >> 3);
		b[2] = tails[i >> 11 & 3], b[3] = tails[i >> 13];
		n_four += qc_utf8_valid(b, 4);
	}
	CHECK(n_four == 48 + 3 * 64 + 16, "%zu of four bytes", n_four);
}

static void ascii_runs_do_not_hide_a_bad_byte(void)
{
	char text[40];

	for (size_t at = 0; at < sizeof(text); at++) {
		memset(text, 'a', sizeof(text));
		CHECK(qc_utf8_valid(text, sizeof(text)), "plain text refused");
		text[at] = '\xff';
		CHECK(!qc_utf8_valid(text, sizeof(text)), "0xff at %zu accepted", at);
	}
	CHECK(qc_utf8_valid("", 0), "the empty text refused");
}

static void check_hash(const char *what, const uint8_t *data, size_t size, const char *hex128,
		       uint64_t expect64)
{
	struct qc_hasher *h = qc_hasher_new();
	struct qc_hasher64 *h64 = qc_hasher64_new();
	char hex[33];

	NEED(h && h64, "no memory");
	/* pieces of growing size, after a false start */
	qc_hasher_add(h, "rubbish", 7);
	qc_hasher_reset(h);
	qc_hasher64_add(h64, "rubbish", 7);
	qc_hasher64_reset(h64);
	for (size_t at = 0, n = 1; at < size; at += n, n = n * 2 + 1) {
		if (n > size - at)
			n = size - at;
		qc_hasher_add(h, data + at, n);
		qc_hasher64_add(h64, data + at, n);
	}
	qc_digest128_hex(qc_hasher_digest(h), hex);
	CHECK(!strcmp(hex, hex128), "%s: %s, not %s", what, hex, hex128);
	CHECK(qc_hasher64_digest(h64) == expect64, "%s: %" PRIx64, what, qc_hasher64_digest(h64));
	CHECK(qc_hash64(data, size) == expect64, "%s: %" PRIx64, what, qc_hash64(data, size));
	qc_hasher_free(h);
	qc_hasher64_free(h64);
	qc_hasher_free(NULL);
	qc_hasher64_free(NULL);
}

/* Expected values as `xxhsum -H2` and `xxhsum -H1` print them. */
static void hashes_equal_xxhsum(void)
{
	static uint8_t data[PATTERN_SIZE];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	check_hash("nothing", data, 0, "99aa06d3014798d86001c324468d497f", 0xef46db3751d8e999u);
	check_hash("abc", (const uint8_t *)"abc", 3, "06b05ab6733a618578af5f94892f3950",
		   0x44bc2cf5ad770999u);
	check_hash("the pattern", data, sizeof(data), "faa51cdf3b1485174e16d63e05fac6ed",
		   0x4316421af31ed0c2u);
	CHECK(qc_hash_key("abc", 3, 1) != qc_hash_key("abc", 3, 2), "the seed does not matter");
}

int main(void)
{
	sizes_that_overflow_are_refused_and_leave_the_result_alone();
	ends_of_names_are_told();
	little_endian_bytes_survive_at_any_alignment();
	errors_show_no_control_characters();
	long_errors_end_in_dots_between_characters();
	errors_say_where_and_keep_their_status_and_cause();
	every_status_has_its_exit_code();
	an_arena_gives_zeroed_aligned_separate_memory();
	an_arena_refuses_impossible_sizes();
	an_arena_copies_and_prints_text();
	a_string_map_holds_a_million_keys();
	a_string_map_takes_empty_and_binary_keys();
	every_code_point_encodes_to_valid_utf8_but_surrogates();
	exactly_the_right_number_of_byte_strings_is_utf8();
	ascii_runs_do_not_hide_a_bad_byte();
	hashes_equal_xxhsum();
	return test_end();
}
