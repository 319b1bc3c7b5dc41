/*
 * A text that grows: what its tokens leave for later ones (keys and values of every block) is kept,
 * so that appending computes the new ones alone.
 */
#ifndef QC_CALIB_SESSION_H
#define QC_CALIB_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/forward.h"

struct qc_session;

/* What a session takes, in bytes, beside the model. */
struct qc_session_plan {
	uint64_t cache;	  /* keys and values: blocks * 2 * kv width * most tokens */
	uint64_t kept;	  /* weights that stay decoded ... */
	uint64_t weights; /* ... of so many */
	uint64_t work;	  /* one call: weights that do not stay, activations, logits */
	uint64_t peak;	  /* of cache, kept and work; UINT64_MAX: beyond counting */
};

/* For at most `most` tokens. `memory`: bytes that all of it may take, 0: half of the machine's
 * memory; what cache and work leave of it is for weights. */
void qc_session_plan(const struct qc_forward *forward, size_t most, uint64_t memory,
		     struct qc_session_plan *plan);

/* `forward` must outlive the session; several sessions may use it in turn. Its weights stay decoded
 * from now on, as far as the plan has it for the first session. QC_USAGE: `most` is 0 or too large;
 * QC_UNSUPPORTED: `memory` is given and too little; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_session_open(struct qc_session **session, struct qc_forward *forward, size_t most,
			       uint64_t memory, struct qc_err *err);
void qc_session_close(struct qc_session *session); /* NULL is allowed */

/* Tokens that it has. */
size_t qc_session_length(const struct qc_session *session);

/* Append n >= 1 ids. logits[(n - first) * vocab]: what follows ids first .. n - 1 of these; none
 * when first is n. On failure the session is what it was. QC_USAGE: more than `most` tokens; errors
 * of qc_forward_windows(). */
QC_MUST_CHECK
enum qc_status qc_session_append(struct qc_session *session, const uint32_t *ids, size_t n,
				 size_t first, float *logits, struct qc_err *err);

#endif
