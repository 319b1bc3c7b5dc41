/*
 * Experts beside a dense network (Gemma 4's 26B-A4B), of which no small trained model exists: one
 * block on one token against the formulas written down plainly, in double. With one token attention
 * gives back the values, so what is left is short.
 */
#include <math.h>

#include "calib/forward.h"
#include "tests/arch_model.h"

enum { D = 32, FF = 16, X = 8, N_EXPERTS = 4, USED = 2, HEAD = 16, HEADS = 2, VOCAB = 20 };

#define CONFIG                                                                                     \
	"{\"architectures\": [\"Gemma4ForCausalLM\"], \"hidden_size\": 32, "                       \
	"\"intermediate_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "        \
	"\"num_key_value_heads\": 2, \"head_dim\": 16, \"global_head_dim\": 16, "                  \
	"\"num_global_key_value_heads\": 1, \"attention_k_eq_v\": true, \"sliding_window\": 8, "   \
	"\"num_kv_shared_layers\": 0, \"hidden_size_per_layer_input\": 0, "                        \
	"\"enable_moe_block\": true, \"num_experts\": 4, \"top_k_experts\": 2, "                   \
	"\"moe_intermediate_size\": 8, \"final_logit_softcapping\": 30.0, \"vocab_size\": 20, "    \
	"\"rms_norm_eps\": 1e-6}"

/* Number `index` of the numbers that `key` begins, in -1 .. 1. */
static float number(const char *key, uint64_t index)
{
	uint64_t h = 14695981039346656037u ^ index * 0x9e3779b97f4a7c15;

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 1099511628211u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9;
	return (float)(int32_t)(h >> 32) / 2147483648.0f;
}

/* The same gate and up whether they are one tensor of all experts or two an expert. */
static float expert_number(const char *name, uint64_t index)
{
	const char *at = strstr(name, "experts.") + 8;
	const bool single = *at >= '0' && *at <= '9', fused = strstr(name, "gate_up");
	const uint64_t size = strstr(name, "down") ? D * X : fused ? 2 * X * D : X * D;
	uint64_t expert = single ? strtoull(at, NULL, 10) : index / size;
	const uint64_t within = index % size;
	const bool up = fused ? within >= X * D : strstr(name, "up_proj") != NULL;

	if (strstr(name, "down"))
		return number("down", expert * size + within);
	return number(up ? "up" : "gate", expert * X * D + within % (X * D));
}

static void fill(const char *name, float *values, uint32_t n_dims, const uint64_t *dims)
{
	uint64_t n = 1;

	for (uint32_t i = 0; i < n_dims; i++)
		n *= dims[i];
	for (uint64_t i = 0; i < n; i++) {
		if (strstr(name, "experts."))
			values[i] = 0.3f * expert_number(name, i);
		else if (n_dims < 2)
			values[i] = 1 + 0.4f * number(name, i);
		else
			values[i] = 0.3f * number(name, i);
	}
}

static void make(struct qc_model *model, bool one_by_one)
{
	const uint64_t dims[] = {D, 2 * X, N_EXPERTS};
	struct qc_err err = {0};

	NEED(!am_config(model, CONFIG, &err), "%s", err.text);
	am_fill(model, "model.", one_by_one, fill);
	if (!one_by_one)
		am_add(model, "model.layers.0.experts.gate_up_proj", 3, dims, fill);
	NEED(!qc_arch_name_tensors(model, &err), "%s", err.text);
}

static void logits_of(struct qc_model *model, uint32_t token, float *logits)
{
	const struct qc_forward_options options = {.threads = 2};
	struct qc_forward *forward;
	struct qc_err err = {0};

	NEED(!qc_forward_open(&forward, model, &options, &err), "%s", err.text);
	NEED(!qc_forward_windows(forward, &token, 1, 1, &err), "%s", err.text);
	NEED(!qc_forward_logits(forward, 0, 1, logits, &err), "%s", err.text);
	qc_forward_close(forward);
}

/* A block's tensor, or another one, by the end of its name. */
static float *weight(const struct qc_model *model, const char *name)
{
	char block[96];
	const struct qc_tensor *tensor = qc_model_find(model, name);

	snprintf(block, sizeof(block), "blk.0.%s", name);
	tensor = tensor ? tensor : qc_model_find(model, block);
	NEED(tensor, "no tensor %s", name);
	return am_read(tensor);
}

static void rms(const double *x, int n, const float *w, double *y)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += x[i] * x[i];
	for (int i = 0; i < n; i++)
		y[i] = x[i] / sqrt(sum / n + 1e-6) * (w ? w[i] : 1);
}

static void norm(const struct qc_model *model, const char *name, const double *x, double *y)
{
	float *w = weight(model, name);

	rms(x, D, w, y);
	free(w);
}

static void times(const float *w, const double *x, int in, int out, double *y)
{
	for (int o = 0; o < out; o++) {
		y[o] = 0;
		for (int i = 0; i < in; i++)
			y[o] += w[o * in + i] * x[i];
	}
}

/* down(gelu(gate x) * up x), the gelu as its tanh approximation is written. */
static void gated(const float *gate, const float *up, const float *down, int width, const double *x,
		  double *y)
{
	double g[FF], u[FF];

	times(gate, x, D, width, g);
	times(up, x, D, width, u);
	for (int i = 0; i < width; i++)
		g[i] = 0.5 * g[i] *
		       (1 + tanh(sqrt(2 / acos(-1)) * (g[i] + 0.044715 * g[i] * g[i] * g[i]))) *
		       u[i];
	times(down, g, width, D, y);
}

/* The experts' share for the residual stream y. */
static void experts(const struct qc_model *model, const double *y, double *m)
{
	float *scale = weight(model, "ffn_gate_inp.scale");
	float *router = weight(model, "ffn_gate_inp.weight");
	float *of_expert = weight(model, "ffn_down_exps.scale");
	float *gate_up = weight(model, "ffn_gate_up_exps.weight");
	float *down = weight(model, "ffn_down_exps.weight");
	double r[D], g[D], p[N_EXPERTS], one[D], sum = 0, chosen = 0;

	rms(y, D, scale, r);
	for (int i = 0; i < D; i++)
		r[i] /= sqrt(D);
	times(router, r, D, N_EXPERTS, p);
	for (int e = 0; e < N_EXPERTS; e++)
		sum += p[e] = exp(p[e]);
	norm(model, "pre_ffw_norm_2.weight", y, g);
	memset(m, 0, D * sizeof(*m));
	for (int pass = 0; pass < 2; pass++)
		for (int e = 0; e < N_EXPERTS; e++) {
			int better = 0;

			for (int other = 0; other < N_EXPERTS; other++)
				better += p[other] > p[e];
			if (better >= USED)
				continue;
			if (!pass) {
				chosen += p[e] / sum;
				continue;
			}
			gated(gate_up + e * 2 * X * D, gate_up + (e * 2 + 1) * X * D,
			      down + e * D * X, X, g, one);
			for (int i = 0; i < D; i++)
				m[i] += p[e] / sum / chosen * of_expert[e] * one[i];
		}
	free(scale);
	free(router);
	free(of_expert);
	free(gate_up);
	free(down);
}

static void plainly(const struct qc_model *model, uint32_t token, double *logits)
{
	float *embedding = weight(model, "token_embd.weight");
	float *k_proj = weight(model, "attn_k.weight"),
	      *o_proj = weight(model, "attn_output.weight");
	float *gate = weight(model, "ffn_gate.weight"), *up = weight(model, "ffn_up.weight");
	float *down = weight(model, "ffn_down.weight");
	double x[D], a[D], v[HEAD], o[HEADS * HEAD], m[D], e[D];

	for (int i = 0; i < D; i++)
		x[i] = embedding[token * D + i] * sqrt(D);
	norm(model, "attn_norm.weight", x, a);
	times(k_proj, a, D, HEAD, v); /* no v_proj: the raw keys are the values */
	rms(v, HEAD, NULL, v);
	for (int i = 0; i < HEADS * HEAD; i++)
		o[i] = v[i % HEAD];
	times(o_proj, o, HEADS * HEAD, D, a);
	norm(model, "post_attention_norm.weight", a, a);
	for (int i = 0; i < D; i++)
		x[i] += a[i];
	norm(model, "ffn_norm.weight", x, a);
	gated(gate, up, down, FF, a, m);
	norm(model, "post_ffw_norm_1.weight", m, m);
	experts(model, x, e);
	norm(model, "post_ffw_norm_2.weight", e, e);
	for (int i = 0; i < D; i++)
		m[i] += e[i];
	norm(model, "post_ffw_norm.weight", m, m);
	for (int i = 0; i < D; i++)
		x[i] += m[i];
	norm(model, "output_norm.weight", x, x);
	times(embedding, x, D, VOCAB, logits);
	for (int i = 0; i < VOCAB; i++)
		logits[i] = 30 * tanh(logits[i] / 30);
	free(embedding);
	free(k_proj);
	free(o_proj);
	free(gate);
	free(up);
	free(down);
}

static void experts_beside_a_dense_network_follow_the_formulas(void)
{
	struct qc_model model;
	float logits[VOCAB];
	double expected[VOCAB];

	make(&model, false);
	for (uint32_t token = 0; token < VOCAB; token++) {
		logits_of(&model, token, logits);
		plainly(&model, token, expected);
		for (int i = 0; i < VOCAB; i++)
			CHECK(fabs(logits[i] - expected[i]) < 2e-5,
			      "token %u, logit %d: %g, not %g", token, i, (double)logits[i],
			      expected[i]);
	}
	qc_model_close(&model);
}

static void gate_and_up_may_be_one_tensor_or_two(void)
{
	struct qc_model fused, split;
	float a[VOCAB], b[VOCAB];

	make(&fused, false);
	make(&split, true);
	for (uint32_t token = 0; token < VOCAB; token++) {
		logits_of(&fused, token, a);
		logits_of(&split, token, b);
		CHECK(!memcmp(a, b, sizeof(a)), "token %u: logit 0 is %g and %g", token,
		      (double)a[0], (double)b[0]);
	}
	qc_model_close(&fused);
	qc_model_close(&split);
}

/* In GGUF's layout already: what the graph itself must notice. */
static void a_graph_names_what_it_lacks_and_what_it_cannot_use(void)
{
	static const struct {
		const char *remove, *add, *why;
	} rows[] = {
		{"attn_q_norm", NULL, "block 0 lacks 'attn_q_norm'"},
		{"attn_k.", NULL, "block 0 lacks 'attn_k'"},
		{"ffn_gate_up_exps", NULL, "either ffn_gate_up_exps or"},
		{"output_norm", NULL, "'output_norm.weight'"},
		{NULL, "blk.0.attn_sinks.weight", "no place in the graph of gemma4"},
		{"ffn_norm", "blk.0.ffn_norm.weight", "is 3"},
	};
	const struct qc_forward_options options = {0};
	const uint64_t three = 3;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct qc_model model;
		struct qc_forward *forward;
		struct qc_err err = {0};
		size_t kept = 0;

		make(&model, false);
		NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
		for (size_t t = 0; t < model.n_tensors; t++)
			if (!rows[i].remove || !strstr(model.tensors[t].name, rows[i].remove))
				model.tensors[kept++] = model.tensors[t];
		model.n_tensors = kept;
		if (rows[i].add)
			am_add(&model, rows[i].add, 1, &three, fill);
		CHECK(qc_forward_open(&forward, &model, &options, &err) &&
			      strstr(err.text, rows[i].why),
		      "row %zu: '%s'", i, err.text);
		qc_model_close(&model);
	}
}

static void numbers_that_are_not_finite_are_found(void)
{
	const struct qc_forward_options options = {0};
	const uint32_t token = 3;

	for (int huge = 0; huge < 2; huge++) {
		struct qc_model model;
		struct qc_forward *forward;
		struct qc_err err = {0};
		float *values;
		const uint64_t n = D;

		make(&model, false);
		NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
		values = qc_arena_array(&model.arena, n, sizeof(*values));
		NEED(values, "no memory");
		for (size_t t = 0; t < model.n_tensors; t++)
			if (!strcmp(model.tensors[t].name, "blk.0.post_ffw_norm.weight"))
				model.tensors[t].source =
					qc_source_values(&model.arena, values, n, 1);
		for (uint64_t i = 0; i < n; i++)
			values[i] = huge ? 3.4e38f : i == 7 ? NAN : 1;
		NEED(!qc_forward_open(&forward, &model, &options, &err), "%s", err.text);
		CHECK(qc_forward_windows(forward, &token, 1, 1, &err) == QC_BAD_INPUT &&
			      strstr(err.text, huge ? "block 0: NaN or infinite activation"
						    : "post_feedforward_layernorm.weight"),
		      "'%s'", err.text);
		qc_forward_close(forward);
		qc_model_close(&model);
	}
}

int main(void)
{
	experts_beside_a_dense_network_follow_the_formulas();
	gate_and_up_may_be_one_tensor_or_two();
	a_graph_names_what_it_lacks_and_what_it_cannot_use();
	numbers_that_are_not_finite_are_found();
	return test_end();
}
