/*
 * Adapters in the real client: interop_lora QCONV LIBDIR WORKDIR TEXT
 *
 * libllama applies the GGUF adapter that --lora-only wrote to the base model while it computes; we
 * merge the same adapter into the weights. Both must give one loss: for the trained adapter of
 * tiny-gemma3, on upper-cased TEXT (what it was trained for), also the one known; for one of random
 * numbers on tiny-llama, whose q and k rows are permuted in GGUF.
 */
#include <ctype.h>
#include <math.h>

#include "base/bytes.h"
#include "tests/llama_client.h"
#include "tests/st_build.h"

enum { WINDOWS = 8, WINDOW = 256, BOS_GEMMA = 2, BOS_LLAMA = 1 };

/* Of the trained adapter on the upper-cased samples/generated-heldout.txt: libllama's, with the
 * base and the adapter in f32. */
#define KNOWN_LOSS 2.342900

struct setup {
	const char *qconv, *workdir;
	struct llama_client client;
	int32_t windows[WINDOWS * WINDOW];
	char *text;
	size_t size;
};

static void convert(const struct setup *s, const char *base, const char *options, const char *name,
		    char *path, size_t size)
{
	char command[4096];

	snprintf(path, size, "%s/%s.gguf", s->workdir, name);
	snprintf(command, sizeof(command), "'%s' '%s' '%s' %s --force --quiet", s->qconv, base,
		 path, options);
	NEED(system(command) == 0, "%s failed", command);
}

static struct llama_model *load(struct setup *s, const char *path)
{
	struct llama_model *model = llama_client_load(&s->client, path);

	NEED(model, "libllama does not load %s: %s", path, s->client.log);
	return model;
}

/* The text's first tokens, in windows that begin with BOS. */
static void cut_windows(struct setup *s, const struct llama_model *model, int32_t bos)
{
	const size_t room = s->size + 16;
	int32_t *ids = malloc(room * sizeof(*ids)), n;

	NEED(ids, "no memory");
	n = s->client.tokenize(s->client.model_vocab(model), s->text, (int32_t)s->size, ids,
			       (int32_t)room, false, false);
	NEED(n >= WINDOWS * (WINDOW - 1), "the text has %d tokens", n);
	for (size_t w = 0; w < WINDOWS; w++) {
		s->windows[w * WINDOW] = bos;
		memcpy(s->windows + w * WINDOW + 1, ids + w * (WINDOW - 1),
		       (WINDOW - 1) * sizeof(*ids));
	}
	free(ids);
}

/* With the adapter file unless it is NULL. */
static double loss(struct setup *s, const char *path, const char *adapter, int32_t bos)
{
	struct llama_model *model = load(s, path);
	double nll;

	cut_windows(s, model, bos);
	s->client.adapter = adapter ? s->client.adapter_load(model, adapter) : NULL;
	CHECK(!adapter || s->client.adapter, "libllama does not load %s: %s", adapter,
	      s->client.log);
	nll = llama_client_nll(&s->client, model, s->windows, WINDOWS, WINDOW);
	s->client.adapter = NULL;
	s->client.model_free(model); /* and its adapters */
	return nll;
}

/* Returns the merged model's loss. */
static double merged_and_applied_agree(struct setup *s, const char *base, const char *adapter,
				       const char *type, int32_t bos)
{
	char options[2048], plain_path[1024], merged_path[1024], adapter_path[1024];
	double plain, merged, applied;

	snprintf(options, sizeof(options), "--q %s", type);
	convert(s, base, options, "plain", plain_path, sizeof(plain_path));
	snprintf(options, sizeof(options), "--q %s --lora '%s'", type, adapter);
	convert(s, base, options, "merged", merged_path, sizeof(merged_path));
	snprintf(options, sizeof(options), "--lora '%s' --lora-only", adapter);
	convert(s, base, options, "adapter", adapter_path, sizeof(adapter_path));
	plain = loss(s, plain_path, NULL, bos);
	merged = loss(s, merged_path, NULL, bos);
	applied = loss(s, plain_path, adapter_path, bos);
	printf("%s %s: base %.6f, merged %.6f, adapter applied by libllama %.6f\n", base, type,
	       plain, merged, applied);
	CHECK(fabs(merged - applied) <= 2e-3, "%s: merged %g, applied %g", base, merged, applied);
	CHECK(fabs(plain - merged) > 0.05, "%s: the adapter changes nothing: %g, %g", base, plain,
	      merged);
	return merged;
}

static void the_trained_adapter_has_its_loss(struct setup *s)
{
	static const char base[] = "samples/tiny-gemma3",
			  adapter[] = "tests/data/models/tiny-gemma3-lora";
	double got;

	for (size_t i = 0; i < s->size; i++)
		s->text[i] = (char)toupper((unsigned char)s->text[i]);
	got = merged_and_applied_agree(s, base, adapter, "bf16", BOS_GEMMA);
	CHECK(fabs(got - KNOWN_LOSS) <= 2e-3, "loss %.6f, %.6f is known", got, KNOWN_LOSS);
}

static void add_random(struct st_build *b, const char *name, size_t rows, size_t cols, float size)
{
	uint8_t *bytes = malloc(rows * cols * 4);
	uint64_t state = rows * 31 + cols;
	char shape[64];

	NEED(bytes, "no memory");
	for (size_t i = 0; i < rows * cols; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		qc_put_le32(bytes + 4 * i,
			    qc_f32_bits(size * ((float)(state >> 40) / (1 << 23) - 1)));
	}
	snprintf(shape, sizeof(shape), "[%zu,%zu]", rows, cols);
	st_add(b, name, "F32", shape, bytes, rows * cols * 4);
	free(bytes);
}

static void permuted_rows_are_adapted_where_they_are(struct setup *s)
{
	static const struct {
		const char *module;
		size_t out, in;
	} modules[] = {{"self_attn.q_proj", 256, 256},
		       {"self_attn.k_proj", 128, 256},
		       {"self_attn.v_proj", 128, 256},
		       {"mlp.down_proj", 256, 768}};
	struct st_build b = {0};
	char name[256];

	st_begin();
	for (int layer = 0; layer < 4; layer++)
		for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
			snprintf(name, sizeof(name),
				 "base_model.model.model.layers.%d.%s.lora_A.weight", layer,
				 modules[i].module);
			add_random(&b, name, 8, modules[i].in, 0.2f);
			snprintf(name, sizeof(name),
				 "base_model.model.model.layers.%d.%s.lora_B.weight", layer,
				 modules[i].module);
			add_random(&b, name, modules[i].out, 8, 0.2f);
		}
	st_save(&b, "adapter_model.safetensors");
	/* two alphas: the file has one, lora_b carries the difference */
	st_text("adapter_config.json",
		"{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 8, \"use_rslora\": true, "
		"\"alpha_pattern\": {\"k_proj\": 5, \"layers.3.mlp.down_proj\": 2}}");
	(void)merged_and_applied_agree(s, "tests/data/models/tiny-llama", st_dir, "f32", BOS_LLAMA);
	st_end();
}

int main(int argc, char **argv)
{
	struct setup s = {0};
	char why[512];

	NEED(argc == 5, "usage: interop_lora QCONV LIBDIR WORKDIR TEXT");
	s.qconv = argv[1];
	s.workdir = argv[3];
	s.text = test_load(argv[4], &s.size);
	NEED(llama_client_open(&s.client, argv[2], why, sizeof(why)), "%s", why);
	permuted_rows_are_adapted_where_they_are(&s);
	the_trained_adapter_has_its_loss(&s);
	free(s.text);
	return test_end();
}
