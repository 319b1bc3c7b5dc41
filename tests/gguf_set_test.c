/* Writing split sets: where files begin, the bytes that llama-gguf-split would write, and that a
 * set appears whole or leaves what was there. */
#include "convert/output.h"
#include "tests/gguf_build.h"
#include "tests/st_files.h"

#include "quant/types.h"

enum { TENSORS = 9 };

static const uint64_t sizes[TENSORS] = {8, 8, 80, 8, 24, 16, 8, 4, 40}; /* elements */

static void fill(struct qc_out_tensor *tensors)
{
	static const char *const names[TENSORS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};

	for (size_t i = 0; i < TENSORS; i++)
		tensors[i] =
			(struct qc_out_tensor){names[i], 1, &sizes[i], &qc_f32, sizes[i] * 4, 0, 0};
}

/* The files' first tensors, e.g. "0 3 5". */
static void files_text(const struct qc_out_tensor *tensors, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (size_t i = 0; i < TENSORS; i++)
		if (!i || tensors[i].file != tensors[i - 1].file)
			used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? " " : "",
						 i);
}

static void files_begin_where_the_limits_say(void)
{
	/* padded to 32 bytes the tensors have 32 32 320 32 96 64 32 32 160 */
	static const struct {
		struct qc_split split;
		const char *files;
	} cases[] = {
		{{.max_tensors = 1}, "0 1 2 3 4 5 6 7 8"},
		{{.max_tensors = 4}, "0 4 8"},
		{{.max_tensors = 9}, "0"},
		{{.max_bytes = 384},
		 "0 3 8"}, /* 32 + 32 + 320 fits; 32 + 96 + ... + 160 does not */
		{{.max_bytes = 383}, "0 2 4 8"},
		{{.max_bytes = 1}, "0 1 2 3 4 5 6 7 8"},
		{{.max_bytes = UINT64_MAX}, "0"},
		{{.max_bytes = 384, .max_tensors = 2}, "0 2 4 6 8"},
	};
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_err err = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct qc_layout_wish wish = {.meta = &meta, .split = cases[i].split};
		struct qc_out_tensor tensors[TENSORS];
		struct qc_out out = {0};
		char text[64];

		fill(tensors);
		NEED(!qc_gguf_layout_out(tensors, TENSORS, &wish, &out, &err), "%s", err.text);
		files_text(tensors, text, sizeof(text));
		CHECK(!strcmp(text, cases[i].files), "case %zu: '%s', expected '%s'", i, text,
		      cases[i].files);
		qc_out_clear(&out);
	}
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

/* Byte by byte what llama-gguf-split writes: the metadata in the first file only, then split.no,
 * split.tensors.count and split.count (which it sets last) as u16, i32 and u16. */
static void headers_are_llama_gguf_splits(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_layout_wish wish = {.meta = &meta, .split = {.max_tensors = 5}};
	struct qc_out_tensor tensors[TENSORS];
	struct qc_out out = {0};
	struct qc_err err = {0};

	fill(tensors);
	NEED(!qc_meta_set_string(&meta, "general.name", "x", 1, &err) &&
		     !qc_gguf_layout_out(tensors, TENSORS, &wish, &out, &err),
	     "%s", err.text);
	CHECK(out.is_set && out.n_files == 2, "%zu files", out.n_files);
	for (unsigned no = 0; no < out.n_files; no++) {
		struct build b = {0};
		uint64_t offset = 0;
		size_t first = no * 5, end = no ? TENSORS : 5;

		build_head(&b, 3, end - first, no ? 3 : 4);
		if (!no)
			build_kv_string(&b, "general.name", "x");
		build_kv_uint(&b, "split.no", QC_KV_U16, no);
		build_kv_uint(&b, "split.tensors.count", QC_KV_I32, TENSORS);
		build_kv_uint(&b, "split.count", QC_KV_U16, 2);
		for (size_t i = first; i < end; i++) {
			build_tensor(&b, tensors[i].name, 1, &sizes[i], 0, offset);
			offset += (sizes[i] * 4 + 31) / 32 * 32;
		}
		build_align(&b, 32);
		CHECK(b.n == out.files[no].header_bytes &&
			      !memcmp(b.data, out.files[no].header, b.n),
		      "file %u: the header has %zu bytes, expected %zu, or others", no,
		      out.files[no].header_bytes, b.n);
		CHECK(!strcmp(out.files[no].name,
			      no ? "-00002-of-00002.gguf" : "-00001-of-00002.gguf"),
		      "file %u is called '%s'", no, out.files[no].name);
		free(b.data);
	}
	qc_out_clear(&out);
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

static bool holds(const char *path, const char *text)
{
	char found[32] = "";
	FILE *f = fopen(path, "rb");

	if (f && !fread(found, 1, sizeof(found) - 1, f))
		found[0] = 0;
	if (f)
		fclose(f);
	return f && !strcmp(found, text);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");

	NEED(f && fputs(text, f) >= 0 && !fclose(f), "cannot write %s", path);
}

/* Open an output of three files of 3 bytes and fill them. */
static void begin_set(struct qc_output *output, bool force)
{
	struct qc_out_file files[3] = {{.total_bytes = 3}, {.total_bytes = 3}, {.total_bytes = 3}};
	struct qc_out out = {.files = files, .n_files = 3, .total_bytes = 9, .is_set = true};
	char names[3][32];
	struct qc_err err = {0};

	for (unsigned i = 0; i < 3; i++) {
		snprintf(names[i], sizeof(names[i]), "-%u.gguf", i);
		files[i].name = names[i];
	}
	NEED(!qc_output_create(output, st_path("s.gguf"), false, NULL, &out, force, &err), "%s",
	     err.text);
	for (unsigned i = 0; i < 3; i++)
		NEED(!qc_output_write(output, i, 0, "new", 3, &err), "%s", err.text);
}

static void a_set_appears_whole(void)
{
	struct qc_output output;
	struct qc_err err = {0};

	st_begin();
	begin_set(&output, false);
	CHECK(st_count() == 3, "%d files before the commit", st_count());
	CHECK(access(st_path("s-0.gguf"), F_OK), "the first file is there before the commit");
	CHECK(!qc_output_commit(&output, &err), "%s", err.text);
	for (unsigned i = 0; i < 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s-%u.gguf", i);
		CHECK(holds(st_path(name), "new"), "%s is not the new file", name);
	}
	CHECK(st_count() == 3, "%d files are left", st_count());
	begin_set(&output, true); /* and is given up */
	qc_output_close(&output);
	CHECK(st_count() == 3 && holds(st_path("s-0.gguf"), "new"), "%d files are left",
	      st_count());
	begin_set(&output, true);
	CHECK(!qc_output_commit(&output, &err), "%s", err.text);
	CHECK(st_count() == 3, "%d files are left after a replacement", st_count());
	st_end();
}

/* Whichever name cannot be taken: the others go, and what was there is back. */
static void a_set_that_fails_leaves_the_old_one(void)
{
	for (unsigned bad = 0; bad < 3; bad++) {
		struct qc_output output;
		struct qc_err err = {0};
		char name[32], busy[64];

		st_begin();
		for (unsigned i = 0; i < 3; i++) {
			snprintf(name, sizeof(name), "s-%u.gguf", i);
			if (i != bad)
				put(st_path(name), "old");
		}
		begin_set(&output, true);
		/* without the folder's temporary file the rename fails */
		snprintf(busy, sizeof(busy), "%s", output.writers[bad].temp_name);
		NEED(!unlink(st_path(busy)), "cannot remove %s", busy);
		CHECK(qc_output_commit(&output, &err) == QC_IO, "%d: '%s'", (int)err.status,
		      err.text);
		for (unsigned i = 0; i < 3; i++) {
			snprintf(name, sizeof(name), "s-%u.gguf", i);
			if (i != bad)
				CHECK(holds(st_path(name), "old"), "%s is not the old file", name);
			else
				CHECK(access(st_path(name), F_OK), "%s is there", name);
		}
		CHECK(st_count() == 2, "%d files are left", st_count());
		st_end();
	}
}

int main(void)
{
	files_begin_where_the_limits_say();
	headers_are_llama_gguf_splits();
	a_set_appears_whole();
	a_set_that_fails_leaves_the_old_one();
	return test_end();
}
