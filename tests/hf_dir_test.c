/* Reading Hugging Face directories: which files make the model, and what is said of those that make
 * none. */
#include "formats/hf.h"

#include "tests/st_files.h"

#define SHARD_1 "model-00001-of-00002.safetensors"
#define SHARD_2 "model-00002-of-00002.safetensors"
#define INDEX	"model.safetensors.index.json"

/* A file of one-byte tensors with the given one-letter names. */
static const char *letters(const char *file, const char *names)
{
	char header[1024] = "{";

	for (size_t i = 0; names[i]; i++)
		snprintf(header + strlen(header), sizeof(header) - strlen(header),
			 "%s\"%c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}",
			 i ? "," : "", names[i], i, i + 1);
	strcat(header, "}");
	return st_file(file, header, names, strlen(names));
}

/* The folder, or a file in it, must hold exactly these tensors in this order, each the byte of its
 * own name. */
static void holds(const char *path, const char *names)
{
	struct qc_model model;

	if (!st_opens(&model, path))
		return;
	CHECK(model.n_tensors == strlen(names), "%s: %zu tensors, not %s", path, model.n_tensors,
	      names);
	for (size_t i = 0; i < model.n_tensors && names[i]; i++) {
		const struct qc_tensor *t = &model.tensors[i];
		size_t size;
		uint8_t *raw = st_raw(t, &size);

		CHECK(t->stored_name[0] == names[i], "%s: '%s' at %zu of %s", path, t->stored_name,
		      i, names);
		CHECK(size == 1 && raw[0] == (uint8_t)names[i], "%s: '%s' holds %d", path, t->name,
		      raw[0]);
		free(raw);
	}
	qc_model_close(&model);
}

static void shards_are_read_by_file_name_and_tensors_by_name(void)
{
	st_begin();
	letters(SHARD_1, "db");
	letters(SHARD_2, "ca");
	st_text(INDEX, "{\"metadata\":{\"total_size\":4.0},\"weight_map\":{\"a\":\"" SHARD_2
		       "\",\"b\":\"" SHARD_1 "\",\"c\":\"" SHARD_2 "\",\"d\":\"" SHARD_1 "\"}}");
	holds(st_dir, "bdac");
	holds(st_path(INDEX), "bdac");	 /* the index means its directory */
	holds(st_path(SHARD_2), "bdac"); /* and so does any shard */
	st_end();
}

static void an_index_and_its_shards_must_agree(void)
{
	st_begin();
	letters(SHARD_1, "ab");
	st_text(INDEX, "{\"weight_map\":{\"a\":\"" SHARD_1 "\",\"b\":\"" SHARD_1
		       "\",\"c\":\"" SHARD_2 "\"}}");
	st_refused(st_dir, "1 of 2 shards are missing: '" SHARD_2 "'");
	letters(SHARD_2, "d");
	st_refused(st_dir, "tensor 'd' lies in");
	letters(SHARD_2, "b");
	st_refused(st_dir, "tensor 'b' lies in");
	letters(SHARD_2, "");
	st_refused(st_dir, "tensor 'c' is in the index, but not in '" SHARD_2 "'");
	letters(SHARD_2, "c");
	holds(st_dir, "abc");
	st_text(SHARD_2, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
	st_refused(st_dir, "git lfs pull");
	letters("model-00003-of-00003.safetensors", "c");
	letters(SHARD_2, "c");
	st_refused(st_path("model-00003-of-00003.safetensors"), "lists no file");
	st_text(INDEX, "{\"weight_map\":{\"a\":\"../" SHARD_1 "\"}}");
	st_refused(st_dir, "plain file name");
	st_end();
}

static void shards_without_an_index_must_be_complete(void)
{
	st_begin();
	letters("model-00001-of-00003.safetensors", "a");
	letters("model-00003-of-00003.safetensors", "c");
	st_refused(st_dir, "shard 2 of 3 is missing");
	letters("model-00002-of-00003.safetensors", "b");
	holds(st_dir, "abc");
	unlink(st_path("model-00003-of-00003.safetensors"));
	st_refused(st_dir, "shard 3 of 3 is missing");
	letters("model-00003-of-00003.safetensors", "b");
	st_refused(st_dir, "tensor 'b' is in two files");
	letters("model-extra.safetensors", "x");
	letters("model-00003-of-00003.safetensors", "c");
	st_refused(st_dir, "pass the one to read");
	letters("model.safetensors", "z"); /* one file with everything comes before its parts */
	holds(st_dir, "z");
	st_end();
}

static void one_other_file_is_the_model(void)
{
	struct qc_model model;

	st_begin();
	letters("weights.safetensors", "a");
	holds(st_dir, "a");
	letters("more.safetensors", "b");
	st_refused(st_dir, "2 .safetensors files ('more.safetensors', 'weights.safetensors', ...)");
	holds(st_path("more.safetensors"), "b");
	unlink(st_path("more.safetensors"));
	unlink(st_path("weights.safetensors"));
	letters("consolidated.safetensors", "c");
	st_text("config.json", "{\"model_type\":\"llama\"}");
	if (st_opens(&model, st_dir)) {
		CHECK(!model.arch && strstr(model.arch_note, "Mistral"), "note '%s'",
		      model.arch_note);
		qc_model_close(&model);
	}
	st_end();
}

static void other_directories_are_told_apart(void)
{
	st_begin();
	st_refused(st_dir, "no .safetensors file");
	st_text("m.gguf", "GGUF");
	st_refused(st_dir, "pass the .gguf file itself");
	st_text("pytorch_model-00001-of-00002.bin", "PK\3\4");
	st_refused(st_dir, "convert them to safetensors first");
	st_text("adapter_config.json", "{}");
	letters("adapter_model.safetensors", "a");
	st_refused(st_dir, "LoRA adapter");
	letters("model.safetensors", "m"); /* a merged model beside its adapter */
	holds(st_dir, "m");
	st_end();
}

static void an_unknown_architecture_is_a_bag_that_says_so(void)
{
	struct qc_model model;

	st_begin();
	letters("model.safetensors", "ba");
	st_text("config.json", "{\"model_type\":\"no_such_architecture\",\"architectures\":["
			       "\"NoSuchForCausalLM\"]}");
	holds(st_dir, "ab");
	if (st_opens(&model, st_dir)) {
		CHECK(!model.arch && model.arch_note && model.layout == QC_LAYOUT_PLAIN,
		      "note '%s'", model.arch_note);
		CHECK(!strcmp(model.format->name, "hf"), "%s", model.format->name);
		qc_model_close(&model);
	}
	if (st_opens(
		    &model,
		    st_path("model.safetensors"))) { /* the file alone finds the same config.json */
		CHECK(!model.arch && !strstr(model.arch_note, "no config.json"), "note '%s'",
		      model.arch_note);
		qc_model_close(&model);
	}
	st_text("config.json", "{\"model_type\":");
	st_refused(st_dir, "config.json");
	st_end();
}

int main(void)
{
	shards_are_read_by_file_name_and_tensors_by_name();
	an_index_and_its_shards_must_agree();
	shards_without_an_index_must_be_complete();
	one_other_file_is_the_model();
	other_directories_are_told_apart();
	an_unknown_architecture_is_a_bag_that_says_so();
	return test_end();
}
