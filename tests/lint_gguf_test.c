/* Lint of GGUF: for every rule a good file and a bad one. */
#include "tests/gguf_build.h"
#include "tests/lint_cases.h"

/* ggml's numbers */
enum { F32 = 0, F16 = 1, NVFP4 = 40 };

/* The sections of a file, counted while they grow. */
struct sections {
	struct build kvs, table, data;
	uint64_t n_kvs, n_tensors;
};

static void add_u32(struct sections *s, const char *key, uint32_t value)
{
	build_kv_uint(&s->kvs, key, QC_KV_U32, value);
	s->n_kvs++;
}

static void add_f32(struct sections *s, const char *key, float value)
{
	build_kv_uint(&s->kvs, key, QC_KV_F32, qc_f32_bits(value));
	s->n_kvs++;
}

static void add_string(struct sections *s, const char *key, const char *value)
{
	build_kv_string(&s->kvs, key, value);
	s->n_kvs++;
}

/* n values of 4 bytes, all the same. */
static void add_array(struct sections *s, const char *key, enum qc_kv_type type, uint64_t n,
		      uint32_t value)
{
	build_kv_array(&s->kvs, key, type, n);
	for (uint64_t i = 0; i < n; i++)
		build_uint(&s->kvs, value, 4);
	s->n_kvs++;
}

/* n strings: "a", "b", ... */
static void add_strings(struct sections *s, const char *key, uint64_t n)
{
	build_kv_array(&s->kvs, key, QC_KV_STRING, n);
	for (uint64_t i = 0; i < n; i++)
		build_string(&s->kvs, &(char){(char)('a' + i)}, 1);
	s->n_kvs++;
}

/* Up to three dimensions (0: none); every f32 is `value`. */
static void add_tensor(struct sections *s, const char *name, uint32_t type, uint64_t cols,
		       uint64_t rows, uint64_t slices, float value)
{
	const uint64_t dims[3] = {cols, rows, slices};
	const uint64_t n = cols * (rows ? rows : 1) * (slices ? slices : 1);

	build_tensor(&s->table, name, slices ? 3 : rows ? 2 : 1, dims, type, s->data.n);
	s->n_tensors++;
	if (type == NVFP4)
		for (uint64_t i = 0; i < n / 64 * 36; i++)
			build_uint(&s->data, wrong("no factors") ? 1 : 0x38, 1);
	else
		for (uint64_t i = 0; i < n; i++)
			build_uint(&s->data, type == F32 ? qc_f32_bits(value) : 0x3c00,
				   type == F32 ? 4 : 2);
	build_align(&s->data, 32);
}

static void add_metadata(struct sections *s)
{
	if (!wrong("no architecture"))
		add_string(s, "general.architecture", wrong("bag") ? "unknown" : "llama");
	if (!wrong("no quantization version"))
		add_u32(s, "general.quantization_version", wrong("version 3") ? 3 : 2);
	if (!wrong("no file type"))
		add_u32(s, "general.file_type", 39);
	if (!wrong("no context"))
		add_u32(s, "llama.context_length", 128);
	add_u32(s, "llama.embedding_length", 64);
	add_u32(s, "llama.block_count", wrong("block missing") ? 2 : 1);
	add_u32(s, "llama.feed_forward_length", 64);
	add_u32(s, "llama.attention.head_count", wrong("heads") ? 4 : 2);
	add_u32(s, "llama.attention.head_count_kv", 1);
	add_u32(s, "llama.attention.key_length", 32);
	add_u32(s, "llama.rope.dimension_count", wrong("rope") ? 16 : 32);
	if (!wrong("no epsilon"))
		add_f32(s, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	if (wrong("experts") || wrong("expert count")) {
		add_u32(s, "llama.expert_count", 2);
		add_u32(s, "llama.expert_used_count", wrong("experts") ? 3 : 1);
	}
}

static void add_tokenizer(struct sections *s)
{
	const uint64_t n = wrong("tokens") ? 5 : 4;
	const bool bpe = wrong("no pre") || wrong("no merges");

	if (!wrong("no tokenizer"))
		add_string(s, "tokenizer.ggml.model",
			   wrong("unknown tokenizer") ? "abacus"
			   : bpe		      ? "gpt2"
						      : "llama");
	if (!wrong("no tokens"))
		add_strings(s, "tokenizer.ggml.tokens", n);
	if (!wrong("no scores") && !bpe)
		add_array(s, "tokenizer.ggml.scores", QC_KV_F32, n, 0);
	if (!wrong("no types"))
		add_array(s, "tokenizer.ggml.token_type", QC_KV_I32, n, 1);
	if (wrong("no pre"))
		add_strings(s, "tokenizer.ggml.merges", 0);
	if (wrong("no merges"))
		add_string(s, "tokenizer.ggml.pre", "gpt-2");
	if (!wrong("no end"))
		add_u32(s, "tokenizer.ggml.eos_token_id", wrong("end 7") ? 7 : 2);
}

static void add_tensors(struct sections *s)
{
	add_tensor(s, "token_embd.weight", F32, 64, 4, 0, 1);
	add_tensor(s, "output_norm.weight", wrong("f16 norm") ? F16 : F32, 64, 0, 0, 1);
	add_tensor(s, "blk.0.attn_norm.weight", F32, 64, 0, 0, 1);
	add_tensor(s, "blk.0.attn_q.weight", NVFP4, 64, 64, 0, 0);
	if (wrong("scale of 2"))
		add_tensor(s, "blk.0.attn_q.scale", F32, 2, 0, 0, 1);
	else if (wrong("heretic"))
		add_tensor(s, "blk.0.attn_q.weight.scale", F32, 1, 0, 0, 1);
	else if (!wrong("no factors"))
		add_tensor(s, "blk.0.attn_q.scale", F32, 1, 0, 0,
			   wrong("scale -1") ? -1 : 0x1p-10f);
	add_tensor(s, "blk.0.attn_q.input_scale", F32, 1, 0, 0, wrong("input scale 0") ? 0 : 0.01f);
	if (wrong("norm scale"))
		add_tensor(s, "blk.0.attn_norm.scale", F32, 1, 0, 0, 1);
	if (wrong("stray scale"))
		add_tensor(s, "blk.0.attn_x.scale", F32, 1, 0, 0, 1);
	add_tensor(s, "blk.0.attn_k.weight", F32, 64, 32, 0, 1);
	add_tensor(s, "blk.0.attn_v.weight", F32, 64, 32, 0, 1);
	add_tensor(s, "blk.0.attn_output.weight", F32, 64, 64, 0, 1);
	add_tensor(s, "blk.0.ffn_norm.weight", F32, 64, 0, 0, 1);
	if (wrong("expert count"))
		add_tensor(s, "blk.0.ffn_gate_exps.weight", F32, 64, 64, 3, 1);
	add_tensor(s, "blk.0.ffn_gate.weight", F32, 64, wrong("wide") ? 65 : 64, 0, 1);
	add_tensor(s, "blk.0.ffn_up.weight", F32, 64, 64, 0, 1);
	add_tensor(s, "blk.0.ffn_down.weight", F32, 64, 64, 0, 1);
	if (wrong("block too many"))
		add_tensor(s, "blk.7.attn_norm.weight", F32, 64, 0, 0, 1);
}

static const char *save(struct sections *s)
{
	struct build b = {.big_endian = s->kvs.big_endian};
	const char *path;

	build_head(&b, 3, s->n_tensors, s->n_kvs);
	build_bytes(&b, s->kvs.data, s->kvs.n);
	build_bytes(&b, s->table.data, s->table.n);
	build_align(&b, 32);
	build_bytes(&b, s->data.data, s->data.n);
	path = st_write("m.gguf", b.data, b.n);
	free(b.data);
	free(s->kvs.data);
	free(s->table.data);
	free(s->data.data);
	return path;
}

static const char *gguf_file(bool big_endian)
{
	struct sections s = {0};

	s.kvs.big_endian = s.table.big_endian = s.data.big_endian = big_endian;
	add_metadata(&s);
	add_tokenizer(&s);
	add_tensors(&s);
	return save(&s);
}

static void gguf_files_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"no architecture", "gguf-keys", QC_LINT_ERROR, "general.architecture", ""},
		{"bag", "gguf-keys", QC_LINT_WARNING, "general.architecture", "bag of tensors"},
		{"no context", "gguf-keys", QC_LINT_ERROR, "llama.context_length", ""},
		{"no epsilon", "gguf-keys", QC_LINT_ERROR, "layer_norm_rms_epsilon", ""},
		{"no quantization version", "gguf-quantization-version", QC_LINT_WARNING,
		 "quantization_version", ""},
		{"version 3", "gguf-quantization-version", QC_LINT_WARNING, "quantization_version",
		 "3"},
		{"no file type", "gguf-file-type", QC_LINT_WARNING, "file_type", ""},
		{"block missing", "gguf-blocks", QC_LINT_ERROR, "blk.1", "2 blocks"},
		{"block too many", "gguf-blocks", QC_LINT_ERROR, "blk.7.attn_norm", "too many"},
		{"heads", "gguf-shapes", QC_LINT_ERROR, "blk.0.attn_q.weight", "128x64"},
		{"wide", "gguf-shapes", QC_LINT_ERROR, "blk.0.ffn_gate.weight", "64x64"},
		{"rope", "gguf-rope", QC_LINT_ERROR, "rope.dimension_count", "32, the size"},
		{"experts", "gguf-experts", QC_LINT_ERROR, "expert_used_count", "1 to 2"},
		{"expert count", "gguf-experts", QC_LINT_ERROR, "ffn_gate_exps", "3 experts"},
		{"f16 norm", "gguf-vectors", QC_LINT_WARNING, "output_norm", "f32"},
		{"scale of 2", "gguf-scales", QC_LINT_ERROR, "attn_q.scale", "1 of them"},
		{"scale -1", "gguf-scales", QC_LINT_ERROR, "attn_q.scale", "-1"},
		{"input scale 0", "gguf-scales", QC_LINT_ERROR, "attn_q.input_scale", "0 at 0"},
		{"heretic", "gguf-scales", QC_LINT_ERROR, "attn_q.weight.scale", "in place of"},
		{"norm scale", "gguf-scales", QC_LINT_ERROR, "attn_norm.scale", "looked up"},
		{"stray scale", "gguf-scales", QC_LINT_ERROR, "attn_x.scale", "without a weight"},
		{"no factors", "gguf-nvfp4-range", QC_LINT_WARNING, "attn_q.weight", "subnormal"},
		{"no tokenizer", "tokenizer-model", QC_LINT_ERROR, "tokenizer.ggml.model", ""},
		{"unknown tokenizer", "tokenizer-model", QC_LINT_ERROR, "tokenizer.ggml.model",
		 "gpt2"},
		{"no tokens", "tokenizer-tokens", QC_LINT_ERROR, "tokenizer.ggml.tokens", ""},
		{"no merges", "tokenizer-merges", QC_LINT_ERROR, "tokenizer.ggml.merges", ""},
		{"no pre", "tokenizer-pre", QC_LINT_WARNING, "tokenizer.ggml.pre", ""},
		{"no scores", "tokenizer-scores", QC_LINT_ERROR, "tokenizer.ggml.scores", ""},
		{"no types", "tokenizer-types", QC_LINT_WARNING, "token_type", ""},
		{"tokens", "tokenizer-rows", QC_LINT_ERROR, "token_embd.weight", "5, one for"},
		{"end 7", "tokenizer-ids", QC_LINT_WARNING, "eos_token_id", "7"},
		{"no end", "tokenizer-ids", QC_LINT_WARNING, "eos_token_id", "no such key"},
		{0},
	};

	lint_wrong = NULL;
	lint_is_clean(gguf_file(false));
	lint_is_clean(gguf_file(true));
	for (const struct lint_case *c = cases; c->what; c++) {
		lint_wrong = c->what;
		lint_finds(gguf_file(false), c, "tokenizer-scores");
		lint_finds(gguf_file(true), c, "tokenizer-scores");
	}
	lint_wrong = NULL;
}

/* What llama.cpp wants of a model it does not want of an adapter. */
static void adapters_are_left_alone(void)
{
	struct sections s = {0};

	add_string(&s, "general.type", "adapter");
	add_string(&s, "general.architecture", "llama");
	add_tensor(&s, "blk.0.attn_q.weight.lora_a", F32, 64, 2, 0, 1);
	add_tensor(&s, "blk.0.attn_q.weight.lora_b", F32, 2, 64, 0, 1);
	lint_is_clean(save(&s));
}

int main(void)
{
	st_begin();
	gguf_files_are_examined();
	adapters_are_left_alone();
	every_rule_has_a_case(lint_rules_gguf);
	every_rule_has_a_case(lint_rules_gguf_scales);
	every_rule_has_a_case(lint_rules_tokenizer);
	st_end();
	return test_end();
}
