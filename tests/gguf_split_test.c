/* Split GGUF sets: opened from any of their files, refused when they do not fit together. */
#include "tests/gguf_build.h"

#define N_SHARDS 3

struct shard {
	uint32_t no, count, total;
	bool has_total;
	const char *tensor;
};

static char folder[] = "/tmp/gguf_split_XXXXXX";

static const char *shard_path(unsigned no)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/m-%05u-of-%05u.gguf", folder, no + 1, N_SHARDS);
	return path;
}

static void save(const char *path, const struct build *b)
{
	FILE *f = fopen(path, "wb");

	NEED(f && fwrite(b->data, 1, b->n, f) == b->n && !fclose(f), "cannot write %s", path);
}

/* The first shard carries the metadata, each one tensor. */
static void build_shard(struct build *b, const struct shard *shard, bool is_first)
{
	uint64_t dim = 8;

	build_head(b, 3, 1, 2u + shard->has_total + is_first);
	if (is_first)
		build_kv_string(b, "general.name", "split");
	build_kv_uint(b, "split.no", QC_KV_U16, shard->no);
	build_kv_uint(b, "split.count", QC_KV_U16, shard->count);
	if (shard->has_total)
		build_kv_uint(b, "split.tensors.count", QC_KV_I32, shard->total);
	build_tensor(b, shard->tensor, 1, &dim, 0, 0);
	build_align(b, 32);
	for (int i = 0; i < 8; i++)
		build_uint(b, qc_f32_bits((float)(shard->no * 8 + (unsigned)i)), 4);
}

static void save_set(const struct shard set[N_SHARDS])
{
	struct build b = {0};

	for (unsigned i = 0; i < N_SHARDS; i++) {
		build_shard(&b, &set[i], i == 0);
		save(shard_path(i), &b);
	}
	free(b.data);
}

static const struct shard good[N_SHARDS] = {
	{0, 3, 3, true, "a"},
	{1, 3, 3, true, "b"},
	{2, 3, 3, true, "c"},
};

static void a_set_opens_from_any_of_its_files(void)
{
	save_set(good);
	for (unsigned i = 0; i < N_SHARDS; i++) {
		struct qc_model model;
		struct qc_err err = {0};

		if (qc_model_open_as(&model, &qc_format_gguf, shard_path(i), &err)) {
			FAIL_AT("from shard %u: %s", i, err.text);
			continue;
		}
		CHECK(model.n_tensors == 3 && model.n_files == 3, "%zu tensors, %zu files",
		      model.n_tensors, model.n_files);
		CHECK(!strcmp(model.format_detail, "GGUF v3, 3 shards"), "'%s'",
		      model.format_detail);
		CHECK(model.meta.n >= 1 && qc_meta_find(&model.meta, "general.name"),
		      "no general.name");
		CHECK(!qc_meta_find(&model.meta, "split.no") &&
			      !qc_meta_find(&model.meta, "split.count") &&
			      !qc_meta_find(&model.meta, "split.tensors.count"),
		      "split keys are still there");
		for (unsigned t = 0; t < 3; t++) {
			const struct qc_tensor *tensor = &model.tensors[t];
			float *v = tensor_values(tensor);

			CHECK(tensor->name[0] == "abc"[t] && tensor->file == t, "'%s' in file %u",
			      tensor->name, tensor->file);
			CHECK(v[7] == (float)(t * 8 + 7), "'%s'[7] = %g", tensor->name,
			      (double)v[7]);
			free(v);
		}
		qc_model_close(&model);
	}
}

static void refused(const char *path, const char *words)
{
	struct qc_model model;
	struct qc_err err = {0};

	if (!qc_model_open_as(&model, &qc_format_gguf, path, &err))
		FAIL_AT("accepted, expected '%s'", words);
	else
		CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
	qc_model_close(&model);
}

/* The good set with shard `no` replaced. */
static void refused_with(unsigned no, struct shard shard, const char *words)
{
	struct shard set[N_SHARDS];

	memcpy(set, good, sizeof(set));
	set[no] = shard;
	save_set(set);
	refused(shard_path(0), words);
}

static void a_set_that_does_not_fit_is_refused(void)
{
	struct build b = {0};
	char elsewhere[128];

	refused_with(1, (struct shard){2, 3, 3, true, "b"}, "by its metadata this is shard 3 of 3");
	refused_with(1, (struct shard){1, 4, 3, true, "b"}, "by its metadata this is shard 2 of 4");
	refused_with(2, (struct shard){2, 3, 4, true, "c"},
		     "split.tensors.count is 4, in the first shard it is 3");
	refused_with(2, (struct shard){2, 3, 3, true, "a"}, "shard 3 of 3");
	refused_with(2, (struct shard){2, 3, 3, true, "a"},
		     "tensor 'a': there are two tensors of this name");
	refused_with(0, (struct shard){0, 3, 0, false, "a"}, "split.tensors.count is missing");
	refused_with(0, (struct shard){1, 3, 3, true, "a"}, "this is shard 2 of 3");
	refused_with(0, (struct shard){3, 3, 3, true, "a"}, "split.no is 3");
	refused_with(0, (struct shard){0, 0, 3, true, "a"}, "split.count is 0");

	save_set(good);
	NEED(!unlink(shard_path(1)), "cannot remove %s", shard_path(1));
	refused(shard_path(0), "shard 2 of 3");
	refused(shard_path(2), "No such file");
	save_set(good);
	NEED(!unlink(shard_path(0)), "cannot remove %s", shard_path(0));
	refused(shard_path(2), "No such file");

	build_shard(&b, &good[0], true);
	snprintf(elsewhere, sizeof(elsewhere), "%s/renamed.gguf", folder);
	save(elsewhere, &b);
	refused(elsewhere, "its name does not end in -00001-of-00003.gguf");
	unlink(elsewhere);
	free(b.data);
}

static void the_whole_count_must_be_there(void)
{
	struct shard set[N_SHARDS];

	memcpy(set, good, sizeof(set));
	for (unsigned i = 0; i < N_SHARDS; i++)
		set[i].total = 4;
	save_set(set);
	refused(shard_path(0), "the 3 shards have 3 tensors, split.tensors.count is 4");
}

static void names_of_shards_are_recognised(void)
{
	static const struct {
		const char *path;
		bool ok;
		uint32_t no, count;
	} cases[] = {
		{"m-00001-of-00003.gguf", true, 0, 3},
		{"d/e/m-00003-of-00003.gguf", true, 2, 3},
		{"m-00000-of-00003.gguf", false, 0, 0},
		{"m-00004-of-00003.gguf", false, 0, 0},
		{"m-0001-of-00003.gguf", false, 0, 0},
		{"m-00001-of-00003.safetensors", false, 0, 0},
		{"00001-of-00003.gguf", false, 0, 0},
		{".gguf", false, 0, 0},
		{"m-00001-to-00003.gguf", false, 0, 0},
		{"", false, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t prefix;
		uint32_t no, count;
		bool ok = qc_gguf_split_name(cases[i].path, &prefix, &no, &count);

		CHECK(ok == cases[i].ok, "'%s' gives %d", cases[i].path, ok);
		CHECK(!ok || (no == cases[i].no && count == cases[i].count &&
			      cases[i].path[prefix] == '-'),
		      "'%s': %u of %u", cases[i].path, no, count);
	}
}

int main(void)
{
	NEED(mkdtemp(folder), "cannot make a folder below /tmp");
	names_of_shards_are_recognised();
	a_set_opens_from_any_of_its_files();
	a_set_that_does_not_fit_is_refused();
	the_whole_count_must_be_there();
	for (unsigned i = 0; i < N_SHARDS; i++)
		unlink(shard_path(i));
	CHECK(!rmdir(folder), "%s is not empty", folder);
	return test_end();
}
