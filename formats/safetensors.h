/* The header of a .safetensors file, apart from any file: for the reader, the directory reader and
 * the fuzzer. */
#ifndef QC_FORMATS_SAFETENSORS_H
#define QC_FORMATS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "formats/format.h"
#include "quant/qtype.h"

#define QC_SAFETENSORS_MAX_HEADER 100000000u /* the reference's limit */

extern const struct qc_format qc_format_safetensors;

/* One entry; everything it points to lives in the arena given. */
struct qc_safetensors_entry {
	const char *name; /* decoded, without NUL inside */
	const struct qc_qtype *type;
	uint32_t n_dims;
	const uint64_t *dims; /* GGUF order: the reverse of the file's shape */
	uint64_t begin, end;  /* counted from the first byte behind the header */
};

struct qc_safetensors_header {
	struct qc_safetensors_entry *entries; /* sorted by name, byte by byte */
	size_t n;
};

/* A name of the element types, as the file spells it ("F8_E4M3"), and the type; NULL when i is past
 * the end. */
const char *qc_safetensors_dtype(unsigned i, const struct qc_qtype **type);

/* Parse and check the `size` bytes of JSON at `text`, which `data_bytes` bytes of tensor data
 * follow. Every rule of the reference reader: closed list of types, exact sizes, ranges that cover
 * the data without hole or overlap; and ours: no name twice (escapes decoded), no NUL in a name.
 * QC_BAD_INPUT, QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_safetensors_parse(struct qc_safetensors_header *header, const char *text,
				    size_t size, uint64_t data_bytes, struct qc_arena *arena,
				    struct qc_err *err);

/*
 * safetensors_write.c
 */

/* Whether there is a dtype for it. */
bool qc_safetensors_can_hold(const struct qc_qtype *type);

/* Lay out one file: sorts `tensors` as the reference writes them (widest dtype first, then by
 * name), gives each its offset from the start of the file, and builds the header with the metadata
 * {"format":"pt"}, padded with spaces to a multiple of 8. Names are unique. QC_UNSUPPORTED: a type
 * that safetensors lacks, a name that is not UTF-8, a header or file that is too large. */
QC_MUST_CHECK
enum qc_status qc_safetensors_layout(struct qc_out_tensor **tensors, size_t n,
				     struct qc_out_file *out, struct qc_err *err);

/* A single file of all tensors, whatever the wish: a format's layout. */
QC_MUST_CHECK
enum qc_status qc_safetensors_layout_out(struct qc_out_tensor *tensors, size_t n,
					 const struct qc_layout_wish *wish, struct qc_out *out,
					 struct qc_err *err);

/* QC_UNSUPPORTED when two tensors have the same name. */
QC_MUST_CHECK
enum qc_status qc_safetensors_check_names(const struct qc_out_tensor *tensors, size_t n,
					  struct qc_err *err);

#endif
