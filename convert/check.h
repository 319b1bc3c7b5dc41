/* Verification: what is on disk, read back; never what was in memory. */
#ifndef QC_CONVERT_CHECK_H
#define QC_CONVERT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "convert/qconv.h"
#include "formats/model.h"

/* One tensor against the source it was made from, over all elements, sums in double:
 * relative RMSE = sqrt(sum (x - y)^2 / sum x^2) (0 when both are zero), max |x - y|, cosine, SQNR =
 * -20 log10(rel RMSE) dB. */
struct qc_tensor_error {
	const char *name;
	const char *type; /* of the file that is verified */
	const char *source_type;
	uint64_t n;
	double rel_rmse, max_abs, cosine, sqnr_db;
	bool exact; /* no difference at all */
};

enum qc_hash_state { QC_HASH_NO_MANIFEST = 0, QC_HASH_EQUAL, QC_HASH_DIFFERENT };

struct qc_check_report {
	struct qc_arena arena;
	size_t n_tensors;
	uint64_t bytes;
	enum qc_hash_state hashes;
	const char *first_difference; /* text: which tensor or the file; NULL */
	/* with a source to compare against: one entry per tensor, in file order */
	struct qc_tensor_error *errors;
	size_t n_errors, n_exact;
	const char **missing; /* tensors of the source (by canonical name) that the file lacks */
	size_t n_missing;
	const char **extra; /* and the reverse */
	size_t n_extra;
	const char **mismatched; /* same name, other shape */
	size_t n_mismatched;
	double total_rel_rmse; /* over the elements of all compared tensors that are not exact */
};

/* Read `path` completely: container structure, finite block scales (each qtype's check), and hashes
 * against the manifest beside it when there is one. QC_DIFFERENT when a hash differs. With
 * `against` (any input qconv reads; may be NULL), compare every tensor; QC_DIFFERENT when names or
 * shapes differ. The report is filled as far as it got in either case. */
QC_MUST_CHECK
enum qc_status qc_check(struct qc_check_report *report, const char *path, const char *against,
			const struct qconv_options *options, struct qc_err *err);

/* The same of two open models, without a manifest and without a verdict: what is missing, extra or
 * of another shape is in the report. Brings the models into one layout. */
QC_MUST_CHECK
enum qc_status qc_check_models(struct qc_check_report *report, struct qc_model *file,
			       struct qc_model *source, const struct qconv_options *options,
			       struct qc_err *err);

void qc_check_report_clear(struct qc_check_report *report);

/* XXH3-128 of a whole file, by sequential reads of 1 MiB. */
QC_MUST_CHECK
enum qc_status qc_hash_file(const struct qc_file *file, const struct qconv_options *options,
			    struct qc_digest128 *digest, struct qc_err *err);

#endif
