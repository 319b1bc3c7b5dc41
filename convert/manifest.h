/*
 * OUT.qconv.json: what was made of what, with checksums. Reproducible: no time, no host, no
 * absolute path.
 *
 * { "qconv": "0.1.0", "file": {"name", "bytes", "xxh3_128"}, of a directory "files": [the same of
 * every file in it], "format", "architecture", "recipe",
 * "method", "options": {...}, with --lora "adapters": [{"name", "scale", "what"}], "sources":
 * [{"name", "bytes", "xxh3_128"}], "dropped": [{"name", "reason"}], "tensors": [{"name", "type",
 * "shape", in a directory "file", "offset", "bytes", "xxh3_128"}] }
 *
 * It stands beside a file, or beside the first file of a set (which has "files" like a directory);
 * in a directory it is one of the files (qconv.json), so that it appears, moves and goes with them.
 * The digest of a directory as a whole is convert/read_back.h's.
 */
#ifndef QC_CONVERT_MANIFEST_H
#define QC_CONVERT_MANIFEST_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/jobs.h"
#include "convert/plan.h"
#include "convert/qconv.h"

/* The path of the manifest that belongs to the file `output`, to the set that it is a file of by
 * its name or, when it is one, to the directory (malloc), or NULL. */
char *qc_manifest_path(const char *output);

/* Build the text (malloc). */
QC_MUST_CHECK
enum qc_status qc_manifest_build(const struct qc_plan *plan, const struct qconv_options *options,
				 const char *output, const struct qc_job_results *results,
				 char **text, size_t *size, struct qc_err *err);

/* One tensor or the file as the manifest of `output` has it. */
struct qc_manifest_entry {
	const char *name, *type;
	const char *file; /* of a tensor in a directory: which one; else NULL */
	uint64_t offset, bytes;
	char xxh3_128[33];
};
struct qc_manifest {
	struct qc_arena arena;
	struct qc_manifest_entry file;
	struct qc_manifest_entry *files; /* of a directory; their names are plain */
	size_t n_files;
	struct qc_manifest_entry *tensors;
	size_t n_tensors;
};
/* QC_IO when there is none; QC_BAD_INPUT when it is not one of ours. */
QC_MUST_CHECK
enum qc_status qc_manifest_read(struct qc_manifest *manifest, const char *path, struct qc_err *err);
void qc_manifest_clear(struct qc_manifest *manifest);

#endif
