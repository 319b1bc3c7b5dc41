/*
 * Makes a synthetic llama checkpoint (bf16 safetensors, config.json, tokenizer.model) for
 * measuring, and beside it DIR.imatrix, a legacy importance matrix of random numbers:
 * make_model DIR LAYERS [VOCABULARY]
 *
 * Hidden 1024, mlp 4096, 16 heads, 4 kv heads, vocabulary 32000: 16 layers are 307 M parameters, 74
 * are 1.2 G. The weights are sums of uniform numbers scaled as a trained model's are, the same on
 * every machine.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "tests/create.h"
#include "tests/test.h"

enum { HIDDEN = 1024, MLP = 4096, HEADS = 16, KV_HEADS = 4, MAX_TENSORS = 2000 };

static int vocabulary = 32000;

struct entry {
	char name[96];
	uint64_t rows, cols; /* cols 0: one-dimensional */
};

static struct entry entries[MAX_TENSORS];
static int n_entries;

static void add(const char *name, uint64_t rows, uint64_t cols)
{
	NEED(n_entries < MAX_TENSORS, "too many tensors");
	snprintf(entries[n_entries].name, sizeof(entries->name), "%s", name);
	entries[n_entries].rows = rows;
	entries[n_entries++].cols = cols;
}

static void add_layer(int layer)
{
	static const struct {
		const char *name;
		uint64_t rows, cols;
	} parts[] = {
		{"input_layernorm", HIDDEN, 0},
		{"self_attn.q_proj", HIDDEN, HIDDEN},
		{"self_attn.k_proj", HIDDEN / HEADS * KV_HEADS, HIDDEN},
		{"self_attn.v_proj", HIDDEN / HEADS * KV_HEADS, HIDDEN},
		{"self_attn.o_proj", HIDDEN, HIDDEN},
		{"post_attention_layernorm", HIDDEN, 0},
		{"mlp.gate_proj", MLP, HIDDEN},
		{"mlp.up_proj", MLP, HIDDEN},
		{"mlp.down_proj", HIDDEN, MLP},
	};
	char name[96];

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		snprintf(name, sizeof(name), "model.layers.%d.%s.weight", layer, parts[i].name);
		add(name, parts[i].rows, parts[i].cols);
	}
}

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/* About normal: four 16-bit fields summed; deviation about 0.023 for matrices, norms near one. */
static void write_values(FILE *f, uint64_t n, float center, uint64_t *state)
{
	uint8_t block[4096];

	while (n) {
		uint64_t take = n < sizeof(block) / 2 ? n : sizeof(block) / 2;

		for (uint64_t i = 0; i < take; i++) {
			uint64_t z = next(state);
			int sum = (int)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) +
					(z >> 48)) -
				  131070;

			qc_put_le16(block + 2 * i,
				    (uint16_t)(qc_f32_bits(center + (float)sum * 0x1p-21f) >> 16));
		}
		NEED(fwrite(block, 2, take, f) == take, "cannot write");
		n -= take;
	}
}

static void write_safetensors(const char *dir)
{
	FILE *f = create(dir, "model.safetensors");
	char *header = malloc((size_t)n_entries * 256 + 64);
	size_t len = 0;
	uint64_t offset = 0, state = 1;
	uint8_t size[8];

	NEED(header, "no memory");
	header[len++] = '{';
	for (int i = 0; i < n_entries; i++) {
		const struct entry *e = &entries[i];
		uint64_t bytes = 2 * e->rows * (e->cols ? e->cols : 1);

		len += (size_t)sprintf(header + len,
				       "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%" PRIu64,
				       i ? "," : "", e->name, e->rows);
		if (e->cols)
			len += (size_t)sprintf(header + len, ",%" PRIu64, e->cols);
		len += (size_t)sprintf(header + len,
				       "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
				       offset + bytes);
		offset += bytes;
	}
	header[len++] = '}';
	while (len % 8)
		header[len++] = ' ';
	qc_put_le64(size, len);
	NEED(fwrite(size, 1, 8, f) == 8 && fwrite(header, 1, len, f) == len,
	     "cannot write the header");
	for (int i = 0; i < n_entries; i++)
		write_values(f, entries[i].rows * (entries[i].cols ? entries[i].cols : 1),
			     entries[i].cols ? 0 : 1, &state);
	NEED(!fclose(f), "cannot write the weights");
	free(header);
}

static void write_config(const char *dir, int layers)
{
	FILE *f = create(dir, "config.json");

	fprintf(f,
		"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
		"\"hidden_size\": %d, "
		"\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": "
		"%d, "
		"\"num_key_value_heads\": %d, \"max_position_embeddings\": 4096, \"rms_norm_eps\": "
		"1e-05, "
		"\"rope_theta\": 10000.0, \"tie_word_embeddings\": false, \"hidden_act\": "
		"\"silu\", \"bos_token_id\": 1, "
		"\"eos_token_id\": 2, \"torch_dtype\": \"bfloat16\", \"vocab_size\": %d}\n",
		HIDDEN, MLP, layers, HEADS, KV_HEADS, vocabulary);
	NEED(!fclose(f), "cannot write config.json");
}

/* One SentencePiece piece: field 1 of the model, with text (1), score (2) and type (3). */
static void write_piece(FILE *f, const char *text, float score, int type)
{
	size_t len = strlen(text);
	uint8_t bits[4];

	qc_put_le32(bits, qc_f32_bits(score));
	fprintf(f, "%c%c%c%c%s%c", 0x0a, (int)(2 + len + 5 + 2), 0x0a, (int)len, text, 0x15);
	fwrite(bits, 1, 4, f);
	fprintf(f, "%c%c", 0x18, type);
}

static void write_tokenizer(const char *dir)
{
	FILE *f = create(dir, "tokenizer.model");
	char text[32];

	write_piece(f, "<unk>", 0, 2);
	write_piece(f, "<s>", 0, 3);
	write_piece(f, "</s>", 0, 3);
	for (int i = 0; i < 256; i++) {
		snprintf(text, sizeof(text), "<0x%02X>", i);
		write_piece(f, text, 0, 6);
	}
	for (int i = 259; i < vocabulary; i++) {
		snprintf(text, sizeof(text), "t%d", i);
		write_piece(f, text, (float)(259 - i), 1);
	}
	NEED(!fclose(f), "cannot write tokenizer.model");
}

static void write_word(FILE *f, uint32_t word)
{
	uint8_t bytes[4];

	qc_put_le32(bytes, word);
	fwrite(bytes, 1, 4, f);
}

/* Means of squares from 0.05 to 3, few of them large. */
static void write_importance(FILE *f, const char *name, uint32_t cols, uint64_t *state)
{
	write_word(f, (uint32_t)strlen(name));
	fputs(name, f);
	write_word(f, 1);
	write_word(f, cols);
	for (uint32_t i = 0; i < cols; i++) {
		float unit = (float)(next(state) >> 40) * 0x1p-24f;

		write_word(f, qc_f32_bits(0.05f + 3 * unit * unit * unit));
	}
}

static void write_imatrix(const char *dir, int layers)
{
	static const struct {
		const char *name;
		uint32_t cols;
	} parts[] = {{"attn_q", HIDDEN},      {"attn_k", HIDDEN},   {"attn_v", HIDDEN},
		     {"attn_output", HIDDEN}, {"ffn_gate", HIDDEN}, {"ffn_up", HIDDEN},
		     {"ffn_down", MLP}};
	enum { N_PARTS = sizeof(parts) / sizeof(*parts) };
	char text[4096];
	uint64_t state = 2;
	FILE *f;

	snprintf(text, sizeof(text), "%s.imatrix", dir);
	f = fopen(text, "wb");
	NEED(f, "cannot create %s", text);
	write_word(f, (uint32_t)(layers * N_PARTS + 1));
	for (int i = 0; i < layers; i++) {
		for (int k = 0; k < N_PARTS; k++) {
			snprintf(text, sizeof(text), "blk.%d.%s.weight", i, parts[k].name);
			write_importance(f, text, parts[k].cols, &state);
		}
	}
	write_importance(f, "output.weight", HIDDEN, &state);
	write_word(f, 1);
	write_word(f, 4);
	fputs("none", f);
	NEED(!ferror(f) && !fclose(f), "cannot write the importance matrix");
}

int main(int argc, char **argv)
{
	int layers = argc == 3 || argc == 4 ? atoi(argv[2]) : 0;

	if (argc == 4)
		vocabulary = atoi(argv[3]);
	NEED(layers > 0 && layers <= 200 && vocabulary >= 259,
	     "usage: make_model DIR LAYERS [VOCABULARY]");
	NEED(!mkdir(argv[1], 0777) || errno == EEXIST, "cannot create %s", argv[1]);
	add("model.embed_tokens.weight", (uint64_t)vocabulary, HIDDEN);
	for (int i = 0; i < layers; i++)
		add_layer(i);
	add("model.norm.weight", HIDDEN, 0);
	add("lm_head.weight", (uint64_t)vocabulary, HIDDEN);
	write_safetensors(argv[1]);
	write_config(argv[1], layers);
	write_tokenizer(argv[1]);
	write_imatrix(argv[1], layers);
	return 0;
}
