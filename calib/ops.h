/*
 * The arithmetic of a transformer between its matrix products, in f32, on rows of activations. All
 * work in place or on buffers that do not overlap, and run on `threads` OpenMP threads; results do
 * not depend on their number.
 */
#ifndef QC_CALIB_OPS_H
#define QC_CALIB_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * norm.c
 */

/* y = x / sqrt(mean(x^2) + eps) * weight for each of `rows` rows of `n`; weight NULL: 1. y may be
 * x. */
void qc_rms_norm(const float *x, size_t rows, size_t n, const float *weight, float eps, float *y,
		 int threads);

/* x[r, c] += bias[c] */
void qc_add_bias(float *x, size_t rows, size_t n, const float *bias, int threads);

/* x += y, `n` elements */
void qc_accumulate(float *x, const float *y, size_t n, int threads);

/* x *= factor, `n` elements */
void qc_scale(float *x, size_t n, float factor, int threads);

/* x = cap * tanh(x / cap), `n` elements */
void qc_softcap(float *x, size_t n, float cap, int threads);

/* What a gated network does: gate = act(gate) * up, element by element. */
enum qc_activation {
	QC_ACT_SILU,	  /* g sigmoid(g) u */
	QC_ACT_GELU_TANH, /* gelu in its tanh approximation, of g, times u */
	/* gpt-oss: g up to 7, u within -7 .. 7: g sigmoid(1.702 g) (u + 1) */
	QC_ACT_SWIGLU_CLAMPED,
};
void qc_activate(enum qc_activation kind, float *gate, const float *up, size_t n, int threads);

/*
 * rotary.c: rotary position embedding. Pair i of a head is turned by position * frequencies[i];
 * pairs are (i, i + n/2), or (2i, 2i + 1) when interleaved, of the first n = 2 * n_pairs elements.
 */
struct qc_rotary {
	uint32_t n_pairs;
	bool interleaved;
	float magnitude;    /* of the turned vectors: YaRN's factor; 1 */
	float *frequencies; /* n_pairs; malloc */
};

/* cos and sin (times the magnitude), [length, n_pairs] each, of positions first .. first + length -
 * 1. */
void qc_rotary_tables(const struct qc_rotary *rotary, size_t first, size_t length, float *cosines,
		      float *sines);

/* Turn `heads` heads of `head_size` in each of `rows` rows; row r is at place r % length of the
 * tables. */
void qc_rotary_apply(const struct qc_rotary *rotary, const float *cosines, const float *sines,
		     float *x, size_t rows, size_t length, size_t heads, size_t head_size,
		     int threads);

/*
 * attention.c: causal attention of windows that do not see each other.
 *
 *   out = softmax(scale q k') v       query head h uses key and value head h / (heads / heads_kv)
 */
struct qc_attention {
	const float *q;	    /* [n_windows * length, heads * head_size] */
	const float *k, *v; /* [n_windows * (past + length), heads_kv * head_size] */
	const float *sinks; /* one logit a head that takes part in the softmax and has no value;
			       NULL */
	float *out;	    /* as q */
	size_t n_windows, length, heads, heads_kv, head_size;
	size_t past;   /* positions before the first query: their keys and values come first */
	size_t window; /* a query sees that many positions, itself included; 0: all before it */
	float scale;
};

/* Floats of `work` that qc_attention() needs. */
size_t qc_attention_work(size_t past, size_t length, int threads);
void qc_attention(const struct qc_attention *attention, float *work, int threads);

/*
 * route.c: which experts see a row, and with what weight. The `used` largest of the `n` logits of
 * each row, the lower index first among equals, largest first; weights are the softmax over those.
 * (The softmax over all, renormalised over the chosen, is the same.)
 */
void qc_route(const float *logits, size_t rows, size_t n, size_t used, uint32_t *experts,
	      float *weights, int threads);

#endif
