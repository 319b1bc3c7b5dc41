/* What the files of the forward pass share: forward.c (states), forward_plan.c (their sizes),
 * embed_tokens.c, block.c (one block), experts.c, head.c (logits), loaded.c (decoded weights). */
#ifndef QC_CALIB_FORWARD_PARTS_H
#define QC_CALIB_FORWARD_PARTS_H

#include "calib/forward.h"
#include "calib/rows.h"

/* Room that the decoded weights of one half of a block after the other take. */
struct qc_slab {
	float *base; /* NULL: not made yet */
	uint64_t size, used;
	uint32_t n_holders;
};

struct qc_kept;
struct qc_session;

struct qc_forward {
	struct qc_graph graph;
	struct qc_forward_options options;
	int threads;
	size_t n_windows, length, rows; /* of the states; rows = n_windows * length */
	size_t chunk;			/* windows that go through a half of a block at a time */
	struct qc_rows x;		/* [rows, width] the residual stream; in the end, normed */
	struct qc_rows ple;   /* [n_blocks * rows, ple_width] embeddings of the blocks' own */
	struct qc_spill file; /* of the rows, when they are not in memory */
	float *x_buffer, *ple_buffer; /* then: those of one chunk, [chunk * length, ...]; NULL */
	float *cosines[QC_ROPES], *sines[QC_ROPES];
	float *work;			      /* for one chunk */
	float *attention_work;		      /* for all threads */
	struct qc_rows expert_in, expert_out; /* [rows, width] */
	float *expert_buffer;		      /* as x_buffer */
	uint32_t *chosen; /* [rows, n_used] experts of every row, their weights */
	float *chosen_weights;
	uint32_t *by_expert;		 /* places in `chosen`, in the order of experts */
	size_t *expert_starts;		 /* n_experts + 1 places in `by_expert` */
	struct qc_rows *kept_k, *kept_v; /* n_blocks: [rows, kv width] for later blocks; n 0 */
	float *rounded;			 /* [chunk * length, widest input that is rounded] */
	bool has_input_scales;
	float *head;	 /* the decoded output head, where it is small enough to stay */
	bool head_stays; /* in any case */
	struct qc_slab *slab;
	struct qc_kept *kept;	    /* weights that stay decoded; NULL: none */
	struct qc_session *session; /* that the call continues; NULL */
	size_t past;		    /* tokens that it has already */
};

/* A decoded weight. */
struct qc_matrix {
	const struct qc_weight *weight; /* NULL: not there */
	uint64_t index;
	float *w, *bias; /* bias NULL: none */
	float scale;
	bool rounds_inputs;
	float input_scale;    /* 0: of each row's own */
	struct qc_slab *slab; /* that w is in; NULL: malloc */
	bool is_kept;	      /* w and bias are borrowed from f->kept */
};

/* forward_plan.c: floats of work space a row; windows that go through a half of a block at a time;
 * whether their states go to a file. */
uint64_t qc_work_columns(const struct qc_graph *graph);
/* Of the widest input that is rounded. */
uint64_t qc_rounded_columns(const struct qc_forward *f);
size_t qc_chunk_windows(size_t n_windows, size_t length);
bool qc_must_spill(const struct qc_forward *f, size_t n_windows, size_t length);
/* Floats of the largest group of weights that are decoded together. */
uint64_t qc_largest_weights(const struct qc_graph *graph);
/* Bytes of that file. */
uint64_t qc_spilled_bytes(const struct qc_graph *graph, uint64_t rows);

/* forward.c: room for rows * a * b floats (malloc), at least one; NULL when memory is out. */
float *qc_floats(uint64_t rows, uint64_t a, uint64_t b);

/* forward.c: QC_INTERRUPTED once option `stop` is set. */
QC_MUST_CHECK
enum qc_status qc_forward_stopped(const struct qc_forward *f, struct qc_err *err);

/* forward.c: the parts of qc_forward_windows(), for those who go through the blocks themselves:
 * what the first block sees; after each block, its states checked; the final norm. */
QC_MUST_CHECK
enum qc_status qc_forward_start(struct qc_forward *f, const uint32_t *ids, size_t n_windows,
				size_t length, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_forward_block_done(struct qc_forward *f, uint32_t block, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_forward_finish(struct qc_forward *f, struct qc_err *err);

/* embed_tokens.c: f->x and f->ple from the ids of all rows. */
QC_MUST_CHECK
enum qc_status qc_embed(struct qc_forward *f, const uint32_t *ids, struct qc_err *err);

/* head.c: bytes of the decoded head, or of the part of it that is decoded at a time. */
uint64_t qc_head_bytes(const struct qc_forward *f);

/* kept.c: where the decoded matrix `index` of a weight is kept, NULL when none is; whether so many
 * bytes more may be, and a place for them. */
const struct qc_matrix *qc_kept_find(const struct qc_forward *f, const struct qc_weight *weight,
				     uint64_t index);
bool qc_kept_has_room(const struct qc_forward *f, uint64_t bytes);
void qc_kept_add(const struct qc_forward *f, struct qc_matrix *matrix);
void qc_kept_free(struct qc_forward *f);

/* session.c: keys and values of block `block` for all positions, from 0 on, [most, kv width]. */
float *qc_session_keys(const struct qc_session *session, uint32_t block);
float *qc_session_values(const struct qc_session *session, uint32_t block);

/* loaded.c: decode matrix `index` of a weight with its bias and scale. Cleared on failure. */
QC_MUST_CHECK
enum qc_status qc_matrix_load(const struct qc_forward *f, const struct qc_weight *weight,
			      uint64_t index, struct qc_matrix *matrix, struct qc_err *err);
void qc_matrix_clear(struct qc_matrix *matrix);

/* loaded.c: whether the input of a weight of a block is rounded, by option `inputs`. */
bool qc_rounds_inputs(const struct qc_forward *f, const struct qc_weight *weight);

/* loaded.c: y[rows, n] = x times rows [first, first + n) of the matrix, scaled, with bias. The
 * caller of option `input` sees x when first is 0. */
QC_MUST_CHECK
enum qc_status qc_matrix_apply_rows(const struct qc_forward *f, const struct qc_matrix *matrix,
				    uint64_t first, uint64_t n, const float *x, size_t rows,
				    float *y, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_matrix_apply(const struct qc_forward *f, const struct qc_matrix *matrix,
			       const float *x, size_t rows, float *y, struct qc_err *err);

/* loaded.c: y = the norm of x by a loaded vector; x itself when the vector is not there. y may be
 * x. Rows have as many columns as the vector, `n` without one. */
void qc_matrix_norm(const struct qc_forward *f, const struct qc_matrix *vector, const float *x,
		    size_t rows, size_t n, float *y);

/* The weights of one half of a block. Zeroed is empty. */
struct qc_loaded {
	struct qc_matrix slots[QC_SLOTS];
};
/* Load those of `slots` (ended by QC_SLOTS) that the block has: matrix 0 of each. */
QC_MUST_CHECK
enum qc_status qc_loaded_read(const struct qc_forward *f, const struct qc_graph_block *block,
			      const enum qc_slot *slots, struct qc_loaded *loaded,
			      struct qc_err *err);
void qc_loaded_clear(struct qc_loaded *loaded);

/* block.c: a part of a block with its weights decoded, for those who go through it a chunk of
 * windows at a time: qc_half_run() takes the windows [first, first + f->chunk) that there are. An
 * error of option `input` comes back with the states of these windows as they were. Experts are not
 * among the parts: qc_experts_run() belongs between the first two. */
struct qc_half_kind;
extern const struct qc_half_kind qc_half_attention, qc_half_feed_forward, qc_half_end;
struct qc_half {
	struct qc_forward *f;
	const struct qc_half_kind *kind;
	uint32_t block;
	struct qc_loaded loaded;
};
QC_MUST_CHECK
enum qc_status qc_half_open(struct qc_forward *f, uint32_t block, const struct qc_half_kind *kind,
			    struct qc_half *half, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_half_run(const struct qc_half *half, size_t first, struct qc_err *err);
void qc_half_close(struct qc_half *half);

/* block.c: all windows through block `i`. */
QC_MUST_CHECK
enum qc_status qc_block_run(struct qc_forward *f, uint32_t i, struct qc_err *err);
/* Floats of work space that a row takes in a block. */
uint64_t qc_block_work(const struct qc_graph *graph, uint32_t i);

/* experts.c: expert_out = what the experts make of x, all rows. */
QC_MUST_CHECK
enum qc_status qc_experts_run(struct qc_forward *f, const struct qc_graph_block *block,
			      struct qc_err *err);
uint64_t qc_experts_work(const struct qc_graph *graph, const struct qc_graph_block *block);

#endif
