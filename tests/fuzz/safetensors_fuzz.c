/* The header of a .safetensors file: the input is a whole file. */
#include <stdint.h>

#include "base/bytes.h"
#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_safetensors_header header;
	struct qc_arena arena = {0};
	struct qc_err err = {0};
	size_t n;

	if (size < 8)
		return 0;
	/* a wrong length is the reader's to refuse: here it only says how much of the input is JSON
	 */
	n = qc_le64(data) < size - 8 ? (size_t)qc_le64(data) : size - 8;
	if (!qc_safetensors_parse(&header, (const char *)data + 8, n, size - 8 - n, &arena, &err)) {
		uint64_t rows, cols, covered = 0;

		for (size_t i = 0; i < header.n; i++) {
			const struct qc_safetensors_entry *e = &header.entries[i];

			qc_source_shape(e->type, e->n_dims, e->dims, &rows, &cols);
			covered += rows * cols / e->type->block_elems * e->type->block_bytes;
		}
		if (covered != size - 8 - n) /* what was accepted covers the data exactly */
			__builtin_trap();
	}
	qc_arena_clear(&arena);
	return 0;
}
