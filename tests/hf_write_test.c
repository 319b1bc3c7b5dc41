/* Outputs that are Hugging Face directories: the same bytes as transformers writes, all of it or
 * nothing. */
#include <errno.h>
#include <fcntl.h>

#include "convert/manifest.h"
#include "formats/hf.h"
#include "formats/safetensors.h"
#include "quant/types.h"
#include "tests/convert_run.h"
#include "tests/st_files.h"

#define GEMMA "samples/tiny-gemma3"
#define LLAMA "tests/data/models/tiny-llama"
#define NF4   "tests/data/models/tiny-gemma3-bnb-nf4"

/* Refused with `part` in the text; nothing is left behind but what was there. */
static void fails(const char *input, const char *name, const struct qconv_options *options,
		  int code, const char *part)
{
	struct qconv_error error = {0};
	int got = qconv_convert(input, st_path(name), options, NULL, &error);
	DIR *dir = opendir(st_dir);
	struct dirent *entry;

	CHECK(got == code && strstr(error.text, part), "%s to %s: %d '%s', expected %d '%s'", input,
	      name, got, error.text, code, part);
	while ((entry = readdir(dir)))
		CHECK(!strstr(entry->d_name, ".tmp"), "'%s' is left behind", entry->d_name);
	closedir(dir);
}

/* Every file of `dir` is in the output `name` with the same bytes. */
static void same_files(const char *dir_path, const char *name)
{
	DIR *dir = opendir(dir_path);
	struct dirent *entry;
	size_t n = 0;

	NEED(dir, "cannot list %s", dir_path);
	while ((entry = readdir(dir))) {
		char path[1024], copy[400];
		size_t size_a, size_b;
		char *a, *b;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		snprintf(copy, sizeof(copy), "%s/%s", name, entry->d_name);
		a = test_load(path, &size_a);
		b = test_load(st_path(copy), &size_b);
		CHECK(size_a == size_b && !memcmp(a, b, size_a), "%s is not the same in %s",
		      entry->d_name, name);
		free(a);
		free(b);
		n++;
	}
	closedir(dir);
	CHECK(n >= 3, "%zu files in %s", n, dir_path);
}

static void a_checkpoint_written_back_is_the_same_files(void)
{
	/* the two shards were cut at this size */
	struct qconv_options llama = {.shard_bytes = 4065280}, gemma = {0};

	st_begin();
	converts(LLAMA, "llama", &llama);
	same_files(LLAMA, "llama");
	converts(GEMMA, "gemma", &gemma);
	same_files(GEMMA, "gemma");
	st_end();
}

static void nf4_is_the_file_that_bitsandbytes_made(void)
{
	struct qconv_options options = {
		.quant = "NF4", .double_quant = true, .method = "reference"};

	st_begin();
	converts(GEMMA, "out", &options);
	same_files(NF4, "out");
	st_end();
}

static void config_says_what_the_weights_are(void)
{
	struct qconv_options options = {.quant = "bf16"};
	char *config;

	st_begin();
	converts(NF4, "bf16", &options);
	config = test_load(st_path("bf16/config.json"), NULL);
	CHECK(!strstr(config, "quantization_config"), "still quantized: %s", config);
	free(config);
	options.quant = "f32";
	converts(LLAMA, "f32/", &options); /* a slash says directory */
	config = test_load(st_path("f32/config.json"), NULL);
	CHECK(strstr(config, "\"torch_dtype\": \"float32\""), "%s", config);
	free(config);
	st_end();
}

/* A gemma with a vision tower, which GGUF has no use for. */
static void write_with_vision_tensor(void)
{
	static const char entry[] =
		",\"vision_tower.a.weight\":{\"dtype\":\"BF16\",\"shape\":[2,2],"
		"\"data_offsets\":[%llu,%llu]}}";
	size_t size, header, end, config_size;
	char *data = test_load(GEMMA "/model.safetensors", &size), *out, text[256];
	char *config = test_load(GEMMA "/config.json", &config_size);

	header = (size_t)qc_le64(data);
	for (end = 8 + header; data[end - 1] != '}';)
		end--;
	snprintf(text, sizeof(text), entry, (unsigned long long)(size - 8 - header),
		 (unsigned long long)(size - header));
	out = malloc(size + sizeof(text) + 8);
	NEED(out, "no memory");
	memcpy(out, data, end - 1);
	memcpy(out + end - 1, text, strlen(text));
	qc_put_le64(out, end - 1 + strlen(text) - 8);
	memcpy(out + end - 1 + strlen(text), data + 8 + header, size - 8 - header);
	memcpy(out + end - 1 + strlen(text) + size - 8 - header, "abcdefgh", 8);
	NEED(!mkdir(st_path("in"), 0777), "cannot make a folder");
	st_write("in/model.safetensors", out, end - 1 + strlen(text) + size - header);
	st_write("in/config.json", config, config_size);
	free(config);
	free(data);
	free(out);
}

static void tensors_that_gguf_drops_are_kept(void)
{
	struct qconv_options options = {.strict = true};
	struct qc_model model = {0};
	struct qc_err err = {0};
	struct qc_manifest manifest;
	char *path;
	bool found = false;

	st_begin();
	write_with_vision_tensor();
	NEED(!qc_model_open(&model, st_path("in"), &err), "%s", err.text);
	CHECK(model.n_drops == 1 && model.n_dropped == 1, "%zu dropped", model.n_drops);
	qc_model_close(&model);
	converts(st_path("in"), "out", &options);
	path = qc_manifest_path(st_path("out"));
	NEED(path && !qc_manifest_read(&manifest, path, &err), "%s", err.text);
	for (size_t i = 0; i < manifest.n_tensors; i++)
		found = found || !strcmp(manifest.tensors[i].name, "vision_tower.a.weight");
	CHECK(found, "the vision tower is gone");
	qc_manifest_clear(&manifest);
	free(path);
	st_end();
}

static void a_directory_is_replaced_only_when_it_is_ours(void)
{
	struct qconv_options options = {.quant = "f16"}, force = {.quant = "f16", .force = true};

	st_begin();
	converts(LLAMA, "out", &options);
	fails(LLAMA, "out", &options, QCONV_REFUSED, "--force");
	converts(LLAMA, "out", &force);
	NEED(!mkdir(st_path("other"), 0777), "cannot make a folder");
	converts(LLAMA, "other", &force); /* empty */
	st_text("other/notes.txt", "precious");
	converts(LLAMA, "other", &force); /* it has our manifest, and files only */
	unlink(st_path("other/qconv.json"));
	fails(LLAMA, "other", &force, QCONV_REFUSED, "qconv.json");
	fails(st_path("out"), "out", &force, QCONV_REFUSED, "input");
	st_text("file", "precious");
	fails(LLAMA, "file", &force, QCONV_REFUSED, "not a directory");
	NEED(!symlink(st_path("out"), st_path("link")), "cannot link");
	fails(LLAMA, "link", &force, QCONV_REFUSED, "not a directory");
	st_end();
}

static void interrupt(const struct qconv_progress *progress, void *user)
{
	if (progress->tensor_index >= 10)
		*(sig_atomic_t *)user = 1;
}

static void an_interrupted_run_leaves_nothing(void)
{
	volatile sig_atomic_t stop = 0;
	struct qconv_options options = {.quant = "nvfp4",
					.progress = interrupt,
					.user = (void *)(uintptr_t)&stop,
					.stop = &stop};

	st_begin();
	fails(GEMMA, "out", &options, QCONV_INTERRUPTED, "interrupted");
	CHECK(access(st_path("out"), F_OK) && errno == ENOENT, "there is an output");
	st_end();
}

static void flip(const char *name, off_t at)
{
	int fd = open(st_path(name), O_RDWR);
	char c;

	NEED(fd >= 0 && pread(fd, &c, 1, at) == 1, "cannot read %s", name);
	c ^= 1;
	NEED(pwrite(fd, &c, 1, at) == 1 && !close(fd), "cannot write %s", name);
}

static void verification_finds_a_changed_byte_in_any_file(void)
{
	struct qconv_options options = {.quant = "nf4", .shard_bytes = 2000000};
	struct qconv_error error;
	static const struct {
		const char *file, *text;
	} cases[] = {{"out/model-00002-of-00002.safetensors", "tensor '"},
		     {"out/tokenizer.json", "'tokenizer.json'"},
		     {"out/config.json", "'config.json'"}};

	st_begin();
	converts(GEMMA, "out", &options);
	CHECK(qconv_verify(st_path("out"), NULL, &error) == QCONV_DONE, "%s", error.text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stat st;
		off_t at = 30;

		if (!stat(st_path(cases[i].file), &st) && st.st_size > 500000)
			at = st.st_size - 100;
		flip(cases[i].file, at);
		CHECK(qconv_verify(st_path("out"), NULL, &error) == QCONV_DIFFERENT &&
			      strstr(error.text, cases[i].text),
		      "%s: '%s'", cases[i].file, error.text);
		flip(cases[i].file, at);
	}
	st_end();
}

static void the_index_is_that_of_the_shards(void)
{
	struct qconv_options options = {.quant = "bf16", .shard_bytes = 300000};
	struct qc_hf_index index;
	struct qc_model model = {0};
	struct qc_err err = {0};
	size_t size;
	char *text;

	st_begin();
	converts(LLAMA, "out", &options);
	text = test_load(st_path("out/model.safetensors.index.json"), &size);
	NEED(!qc_hf_index_parse(&index, text, size, &err), "%s", err.text);
	CHECK(index.n_tensors == 39 && index.n_shards > 10, "%zu tensors in %zu shards",
	      index.n_tensors, index.n_shards);
	CHECK(strstr(text, "\"total_size\": 7344640"), "%.80s", text);
	qc_hf_index_clear(&index);
	free(text);
	CHECK(!qc_model_open(&model, st_path("out"), &err), "%s", err.text);
	qc_model_close(&model);
	st_end();
}

/* The header of one file of tensors that are given in another order. */
static void a_file_is_laid_out_as_the_reference_does(void)
{
	static const uint64_t two[] = {2}, three[] = {3}, matrix[] = {4, 1};
	static const char expected[] =
		"{\"__metadata__\":{\"format\":\"pt\"},"
		"\"z\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},"
		"\"m\":{\"dtype\":\"F32\",\"shape\":[1,4],\"data_offsets\":[16,32]},"
		"\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[32,36]},"
		"\"a\\\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[36,42]},"
		"\"u\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[42,45]}}";
	struct qc_out_tensor tensors[] = {
		{.name = "u", .n_dims = 1, .dims = three, .type = &qc_u8, .bytes = 3},
		{.name = "s", .type = &qc_f32, .bytes = 4},
		{.name = "a\"b", .n_dims = 1, .dims = three, .type = &qc_bf16, .bytes = 6},
		{.name = "m", .n_dims = 2, .dims = matrix, .type = &qc_f32, .bytes = 16},
		{.name = "z", .n_dims = 1, .dims = two, .type = &qc_i64, .bytes = 16},
	};
	struct qc_layout_wish wish = {0};
	struct qc_out out = {0};
	struct qc_err err = {0};
	size_t size;

	NEED(!qc_safetensors_layout_out(tensors, 5, &wish, &out, &err), "%s", err.text);
	size = (size_t)qc_le64(out.files[0].header);
	CHECK(size % 8 == 0 && size - strlen(expected) < 8 &&
		      out.files[0].header_bytes == 8 + size &&
		      !memcmp(out.files[0].header + 8, expected, strlen(expected)),
	      "%zu bytes: %.*s", size, (int)size, (char *)out.files[0].header + 8);
	CHECK(tensors[0].offset == 8 + size + 42 && out.total_bytes == 8 + size + 45,
	      "%llu of %llu", (unsigned long long)tensors[0].offset,
	      (unsigned long long)out.total_bytes);
	qc_out_clear(&out);
	tensors[1].name = "u";
	CHECK(qc_safetensors_layout_out(tensors, 5, &wish, &out, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "'u'"),
	      "two of one name: %s", err.text);
	qc_out_clear(&out);
	tensors[1].name = "s";
	tensors[1].type = &qc_q8_0;
	CHECK(qc_safetensors_layout_out(tensors, 5, &wish, &out, &err) == QC_UNSUPPORTED &&
		      strstr(err.text, "q8_0"),
	      "q8_0: %s", err.text);
	qc_out_clear(&out);
}

static void tensors_are_ordered_as_modules_are(void)
{
	static const char *const names[] = {
		"model.embed_tokens.weight",
		"model.layers.2.self_attn.q_proj.weight",
		"model.layers.2.self_attn.q_proj.bias",
		"model.layers.2.self_attn.k_proj.weight",
		"model.layers.2.self_attn.o_proj.weight",
		"model.layers.2.mlp.gate.weight",
		"model.layers.2.mlp.experts.9.gate_proj.weight",
		"model.layers.2.mlp.experts.9.up_proj.weight",
		"model.layers.2.mlp.experts.10.gate_proj.weight",
		"model.layers.2.input_layernorm.weight",
		"model.layers.10.self_attn.q_proj.weight",
		"model.norm.weight",
		"lm_head.weight",
	};
	const size_t n = sizeof(names) / sizeof(names[0]);

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			int order = qc_hf_name_order(names[i], names[j]);

			CHECK(i < j   ? order < 0
			      : i > j ? order > 0
				      : order == 0,
			      "%s, %s: %d", names[i], names[j], order);
		}
}

static void what_cannot_be_is_refused(void)
{
	struct qconv_options options = {0};
	static const struct {
		struct qconv_options options;
		const char *part;
	} cases[] = {
		{{.quant = "q4_0"}, "nvfp4"},
		{{.quant = "nvfp4", .layout = "gguf"}, "compressed-tensors"},
		{{.quant = "nf4", .layout = "modelopt"}, "one layout"},
		{{.quant = "bf16", .layout = "modelopt"}, "--layout"},
		{{.quant = "nf4", .blocksize = 48}, "48"},
		{{.quant = "nvfp4", .blocksize = 64}, "--blocksize"},
		{{.quant = "bf16", .double_quant = true}, "--double-quant"},
		{{.quant = "nf4", .pure = true}, "--pure"},
		{{.quant = "nf4", .method = "magic"}, "magic"},
	};

	st_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		fails(LLAMA, "out", &cases[i].options, QCONV_USAGE, cases[i].part);
	converts(LLAMA, "in.gguf", &options);
	converts(st_path("in.gguf"), "out", &options);
	st_end();
}

int main(void)
{
	a_checkpoint_written_back_is_the_same_files();
	nf4_is_the_file_that_bitsandbytes_made();
	config_says_what_the_weights_are();
	tensors_that_gguf_drops_are_kept();
	a_directory_is_replaced_only_when_it_is_ours();
	an_interrupted_run_leaves_nothing();
	verification_finds_a_changed_byte_in_any_file();
	the_index_is_that_of_the_shards();
	a_file_is_laid_out_as_the_reference_does();
	tensors_are_ordered_as_modules_are();
	what_cannot_be_is_refused();
	return test_end();
}
