/* Appending ids, with words remembered. */
#include <stdlib.h>

#include "calib/tokenizer_parts.h"

enum qc_status qc_run_put(struct qc_encoding_run *run, uint32_t id)
{
	struct qc_ids *out = run->out;

	if (out->n == out->cap) {
		const size_t cap = out->cap ? out->cap * 2 : 256;
		uint32_t *ids = cap > SIZE_MAX / 4 ? NULL : realloc(out->ids, cap * sizeof(*ids));

		if (!ids)
			return qc_no_memory(run->err);
		out->ids = ids;
		out->cap = cap;
	}
	out->ids[out->n++] = id;
	return QC_OK;
}

enum qc_status qc_run_put_bytes(struct qc_encoding_run *run, const char *bytes, size_t len)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < len; i++) {
		uint32_t id = run->tok->bytes[(uint8_t)bytes[i]];

		if (id == QC_NO_TOKEN)
			id = run->tok->unk;
		if (id != QC_NO_TOKEN)
			s = qc_run_put(run, id);
	}
	return s;
}

enum qc_status qc_run_word(struct qc_encoding_run *run, const char *text, size_t len,
			   enum qc_status (*encode)(struct qc_encoding_run *run, const char *text,
						    size_t len))
{
	struct qc_cached_word *slot;
	const size_t at = run->out->n;
	bool found;
	enum qc_status s = QC_OK;

	if (len > QC_MAX_CACHED_WORD)
		return encode(run, text, len);
	slot = qc_word_cache_find(&run->cache, text, len, &found);
	if (found) {
		for (size_t i = 0; !s && i < slot->n_ids; i++)
			s = qc_run_put(run, run->out->ids[slot->at + i]);
		return s;
	}
	s = encode(run, text, len);
	if (!s && slot)
		*slot = (struct qc_cached_word){
			.text = text,
			.len = (uint32_t)len,
			.n_ids = (uint32_t)(run->out->n - at),
			.at = at,
		};
	return s;
}

enum qc_status qc_run_merge(struct qc_encoding_run *run, const char *word,
			    const struct qc_merge_rule *rule)
{
	const struct qc_symbol *symbols;
	enum qc_status s = qc_merger_run(&run->merger, word, rule, run->err);

	symbols = run->merger.symbols;
	for (uint32_t i = run->merger.n ? 0 : QC_NO_SYMBOL; !s && i != QC_NO_SYMBOL;
	     i = symbols[i].next)
		s = symbols[i].id == QC_NO_TOKEN
			    ? qc_run_put_bytes(run, word + symbols[i].start,
					       symbols[i].end - symbols[i].start)
			    : qc_run_put(run, symbols[i].id);
	return s;
}
