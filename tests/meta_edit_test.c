/* Metadata from text, and changing it in a file: by a new file, in place, and after a crash. */
#include "convert/meta_edit.h"
#include "formats/meta_text.h"
#include "base/hash.h"
#include "tests/gguf_build.h"
#include "tests/st_files.h"
#include "tests/sync_watch.h"

static void values_keep_the_types_of_their_keys(void)
{
	static const struct {
		const char *text;
		enum qc_kv_type type, elem;
		uint64_t n;
		const char *bytes; /* hexadecimal */
	} cases[] = {
		{"u8=255", QC_KV_U8, QC_KV_U8, 1, "ff"},
		{"i8=-128", QC_KV_I8, QC_KV_I8, 1, "80"},
		{"u32=4294967295", QC_KV_U32, QC_KV_U32, 1, "ffffffff"},
		{"new=-2:i16", QC_KV_I16, QC_KV_I16, 1, "feff"},
		{"u8=7:u64", QC_KV_U64, QC_KV_U64, 1, "0700000000000000"},
		{"new=18446744073709551615:u64", QC_KV_U64, QC_KV_U64, 1, "ffffffffffffffff"},
		{"new=-9223372036854775808:i64", QC_KV_I64, QC_KV_I64, 1, "0000000000000080"},
		{"f32=1.5", QC_KV_F32, QC_KV_F32, 1, "0000c03f"},
		{"f32=1e-6", QC_KV_F32, QC_KV_F32, 1, "bd378635"},
		{"new=1:f64", QC_KV_F64, QC_KV_F64, 1, "000000000000f03f"},
		{"new=true:bool", QC_KV_BOOL, QC_KV_BOOL, 1, "01"},
		{"string=a:b=c", QC_KV_STRING, QC_KV_STRING, 1, "613a623d63"},
		{"string=a:u32:string", QC_KV_STRING, QC_KV_STRING, 1, "613a753332"},
		{"string=", QC_KV_STRING, QC_KV_STRING, 1, ""},
		{"list=[1, -2]", QC_KV_ARRAY, QC_KV_I16, 2, "0100feff"},
		{"list=[]", QC_KV_ARRAY, QC_KV_I16, 0, ""},
		{"new=[\"a\", \"\\u00e9\"]:string[]", QC_KV_ARRAY, QC_KV_STRING, 2,
		 "0100000000000000610200000000000000c3a9"},
		{"new=[true,false]:bool[]", QC_KV_ARRAY, QC_KV_BOOL, 2, "0100"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct qc_arena arena = {0};
		struct qc_meta meta = {.arena = &arena};
		struct qc_err err = {0};
		const struct qc_kv *kv;
		char key[16], hex[64] = "";

		NEED(!qc_meta_set_text(&meta, "u8=1:u8", &err) &&
			     !qc_meta_set_text(&meta, "i8=1:i8", &err) &&
			     !qc_meta_set_text(&meta, "u32=1:u32", &err) &&
			     !qc_meta_set_text(&meta, "f32=1:f32", &err) &&
			     !qc_meta_set_text(&meta, "string=x:string", &err) &&
			     !qc_meta_set_text(&meta, "list=[5]:i16[]", &err),
		     "%s", err.text);
		CHECK(!qc_meta_set_text(&meta, cases[i].text, &err), "%s: %s", cases[i].text,
		      err.text);
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(cases[i].text, "="), cases[i].text);
		kv = qc_meta_find(&meta, key);
		NEED(kv, "%s: no key", cases[i].text);
		for (size_t b = 0; b < kv->bytes; b++)
			snprintf(hex + 2 * b, 3, "%02x", kv->data[b]);
		CHECK(kv->type == cases[i].type && kv->elem == cases[i].elem &&
			      kv->n == cases[i].n && !strcmp(hex, cases[i].bytes),
		      "%s: type %d of %d, %llu elements, bytes %s, expected %s", cases[i].text,
		      kv->type, kv->elem, (unsigned long long)kv->n, hex, cases[i].bytes);
		qc_meta_clear(&meta);
		qc_arena_clear(&arena);
	}
}

static void values_that_do_not_fit_are_refused(void)
{
	static const char *const cases[] = {
		"novalue",	  "=1",
		"new=1",	  "n=256:u8",
		"n=-1:u32",	  "n=-129:i8",
		"n=1.5:u32",	  "n=:u32",
		"n= 1x:u32",	  "n=nan:f32",
		"n=1e39:f32",	  "n=inf:f64",
		"n=yes:bool",	  "n=1:bool",
		"n=[1:u8[]",	  "n=1:u8[]",
		"n=[\"a\"]:u8[]", "n=[1]:string[]",
		"n=[256]:u8[]",	  "n=\xff:string",
		"\xff=1:u8",	  "n=18446744073709551616:u64",
		"n=[[1]]:u8[]",	  "n=[null]:f32[]",
		"n=0x10:u32",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct qc_arena arena = {0};
		struct qc_meta meta = {.arena = &arena};
		struct qc_err err = {0};

		CHECK(qc_meta_set_text(&meta, cases[i], &err) == QC_USAGE, "'%s': status %d '%s'",
		      cases[i], err.status, err.text);
		CHECK(!meta.n, "'%s': a key was set", cases[i]);
		qc_meta_clear(&meta);
		qc_arena_clear(&arena);
	}
}

/* Two small tensors. */
static void make_file(const char *path)
{
	struct build b = {0};
	uint64_t dim = 8;
	FILE *f = fopen(path, "wb");

	build_head(&b, 3, 2, 2);
	build_kv_string(&b, "general.name", "name");
	build_kv_uint(&b, "a.number", QC_KV_U32, 7);
	build_tensor(&b, "x", 1, &dim, 0, 0);
	build_tensor(&b, "y", 1, &dim, 0, 32);
	build_align(&b, 32);
	for (unsigned i = 0; i < 16; i++)
		build_uint(&b, qc_f32_bits((float)i), 4);
	NEED(f && fwrite(b.data, 1, b.n, f) == b.n && !fclose(f), "cannot write %s", path);
	free(b.data);
}

static enum qc_status edit(const char *path, const char *set, bool in_place,
			   struct qc_meta_outcome *outcome, struct qc_err *err)
{
	static const struct qconv_options options;
	struct qc_meta_edits edits = {.sets = &set, .n_sets = 1, .in_place = in_place};
	struct qc_gguf_header header;
	enum qc_status s;

	*outcome = (struct qc_meta_outcome){0};
	s = qc_meta_edit_recover(path, &outcome->restored, err);
	if (s || qc_gguf_header_open(&header, path, err))
		return err->status;
	s = qc_meta_edit_apply(&header, &edits, err);
	if (!s)
		s = qc_meta_edit_write(&header, &edits, &options, outcome, err);
	qc_gguf_header_close(&header);
	return s;
}

static void has(const char *path, const char *name, uint32_t number)
{
	struct qc_model model = {0};
	struct qc_err err = {0};
	const char *text = "";
	size_t len = 0;
	uint32_t found = 0;
	float y[8] = {0};
	struct qc_scratch scratch = {0};

	NEED(!qc_gguf_open_stored(&model, path, &err), "%s", err.text);
	CHECK(qc_meta_string(&model.meta, "general.name", &text, &len) && len == strlen(name) &&
		      !memcmp(text, name, len),
	      "%.*s, expected %s", (int)len, text, name);
	CHECK(qc_meta_u32(&model.meta, "a.number", &found) && found == number, "%u, expected %u",
	      found, number);
	NEED(model.n_tensors == 2 &&
		     !qc_source_read_f32(model.tensors[1].source, 0, 8, y, &scratch, &err),
	     "%s", err.text);
	CHECK(y[0] == 8 && y[7] == 15, "%g ... %g, expected 8 ... 15", y[0], y[7]);
	qc_model_close(&model);
}

static void a_file_changes_and_its_tensors_do_not(void)
{
	static const char longer[] = "general.name=a name that is longer than the padding";
	struct qc_meta_outcome outcome;
	struct qc_err err = {0};
	const char *path;

	st_begin();
	path = st_path("a.gguf");
	make_file(path);
	CHECK(!edit(path, "a.number=8", false, &outcome, &err), "%s", err.text);
	has(path, "name", 8);
	CHECK(!edit(path, longer, false, &outcome, &err), "%s", err.text);
	has(path, strchr(longer, '=') + 1, 8);
	CHECK(!edit(path, "general.name=n", false, &outcome, &err), "%s", err.text);
	has(path, "n", 8);
	watch_syncs(st_path("a.gguf.qconv-undo"), 0);
	CHECK(!edit(path, "a.number=9", true, &outcome, &err), "%s", err.text);
	CHECK(synced.files[0] == 1 && synced.folders[1] == 1 && synced.files[1] == 1,
	      "%d, %d, %d: not the undo file, its folder, the file", synced.files[0],
	      synced.folders[1], synced.files[1]);
	has(path, "n", 9);
	CHECK(!edit(path, "a.number=9", true, &outcome, &err) && outcome.unchanged, "%s", err.text);
	CHECK(edit(path, longer, true, &outcome, &err) == QC_REFUSED, "%s", err.text);
	has(path, "n", 9);
	CHECK(edit(path, "general.alignment=64:u32", false, &outcome, &err) == QC_REFUSED, "%s",
	      err.text);
	CHECK(access(st_path("a.gguf.qconv-undo"), F_OK), "the undo file is still there");
	st_end();
}

/* The process died while it wrote the header in place: the undo file is there, the header torn. */
static void a_torn_header_comes_back(void)
{
	struct qc_meta_outcome outcome;
	struct qc_err err = {0};
	struct qc_digest128 digest;
	struct qc_hasher *hasher = qc_hasher_new();
	const char *path, *undo;
	char *bytes, hex[33];
	uint8_t total[8];
	size_t size, header;
	FILE *f;

	st_begin();
	path = st_path("a.gguf");
	undo = st_path("a.gguf.qconv-undo");
	make_file(path);
	bytes = test_load(path, &size);
	header = size - 64;
	NEED(hasher, "no memory");
	/* the header, the file's size, the data behind the header */
	qc_put_le64(total, size);
	qc_hasher_add(hasher, bytes, header);
	qc_hasher_add(hasher, total, sizeof(total));
	qc_hasher_add(hasher, bytes + header, size - header);
	digest = qc_hasher_digest(hasher);
	qc_hasher_free(hasher);
	qc_digest128_hex(digest, hex);
	f = fopen(undo, "wb");
	NEED(f && fprintf(f, "qconv-undo 2\n%s", hex) > 0 &&
		     fwrite(bytes, 1, header, f) == header && !fclose(f),
	     "cannot write %s", undo);
	f = fopen(path, "r+b");
	NEED(f && !fseek(f, 30, SEEK_SET) && fputs("torn torn torn torn", f) >= 0 && !fclose(f),
	     "cannot write %s", path);
	CHECK(!edit(path, "a.number=8", false, &outcome, &err) && outcome.restored, "%s", err.text);
	has(path, "name", 8);
	CHECK(access(undo, F_OK), "the undo file is still there");
	/* and an undo file that is itself damaged is not used */
	f = fopen(undo, "wb");
	NEED(f && fprintf(f, "qconv-undo 2\n%s", hex) > 0 && fwrite(bytes, 1, 9, f) == 9 &&
		     !fclose(f),
	     "cannot write %s", undo);
	CHECK(edit(path, "a.number=9", false, &outcome, &err) == QC_BAD_INPUT, "%s", err.text);
	has(path, "name", 8);
	/* nor one that was left beside a file that is another one now */
	f = fopen(undo, "wb");
	NEED(f && fprintf(f, "qconv-undo 2\n%s", hex) > 0 &&
		     fwrite(bytes, 1, header, f) == header && !fclose(f),
	     "cannot write %s", undo);
	f = fopen(path, "r+b");
	NEED(f && !fseek(f, -1, SEEK_END) && fputc('x', f) != EOF && !fclose(f), "cannot write %s",
	     path);
	CHECK(edit(path, "a.number=9", false, &outcome, &err) == QC_BAD_INPUT &&
		      strstr(err.text, "another file"),
	      "%s", err.text);
	free(bytes);
	st_end();
}

int main(void)
{
	values_keep_the_types_of_their_keys();
	values_that_do_not_fit_are_refused();
	a_file_changes_and_its_tensors_do_not();
	a_torn_header_comes_back();
	return test_end();
}
