/*
 * config.json made of a GGUF's metadata: the way back of arch/config.c.
 *
 * The rows of an architecture's key table are read from right to left: a row's first path gets the
 * key's value. What no row can say is written by the architecture's own function (struct qc_arch,
 * `config`), which comes first, so that a member that it has put is not put again.
 */
#ifndef QC_FORMATS_ARCH_CONFIG_BACK_H
#define QC_FORMATS_ARCH_CONFIG_BACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "formats/arch/arch.h"

#define QC_CONFIG_MEMBERS 96

/* The members of one object so far, in any order: they are sorted when they are written. Texts live
 * in `arena`. */
struct qc_config_out {
	const struct qc_model *model; /* of a known architecture, with the GGUF's metadata */
	struct qc_arena *arena;
	uint64_t n_vocab;   /* tokens; else rows of the embedding */
	const float *freqs; /* values of rope_freqs.weight, which the model has no more; NULL */
	uint64_t n_freqs;
	bool tied; /* there is no output head */
	bool out_of_memory;
	struct {
		const char *name, *text;
	} members[QC_CONFIG_MEMBERS];
	size_t n;
};

bool qc_config_has(const struct qc_config_out *out, const char *name);

/* Put a member unless it is there. The text form takes JSON, the formats of printf and its
 * arguments; memory that is out is told at the end. */
QC_PRINTF(3, 4)
void qc_config_put(struct qc_config_out *out, const char *name, const char *format, ...);
void qc_config_put_u32(struct qc_config_out *out, const char *name, uint32_t value);
void qc_config_put_f32(struct qc_config_out *out, const char *name, float value);
void qc_config_put_bool(struct qc_config_out *out, const char *name, bool value);
void qc_config_put_string(struct qc_config_out *out, const char *name, const char *text,
			  size_t len);

/* {a}.KEY as the member `name`; nothing when there is no such key. */
void qc_config_copy_u32(struct qc_config_out *out, const char *name, const char *key);
void qc_config_copy_f32(struct qc_config_out *out, const char *name, const char *key);

/* layer_types: "sliding_attention" where is_sliding() says so, else "full_attention". */
void qc_config_put_layer_types(struct qc_config_out *out,
			       bool (*is_sliding)(const struct qc_model *model, uint32_t layer));

/* rope_back.c: rope_theta, rope_local_base_freq and rope_scaling. QC_UNSUPPORTED when rope_freqs
 * are no values that the rope type llama3 gives. */
QC_MUST_CHECK
enum qc_status qc_config_put_rope(struct qc_config_out *out, struct qc_err *err);

/* Whether the model has a tensor of this GGUF name in its first block. */
bool qc_config_has_tensor(const struct qc_config_out *out, const char *pattern);

/* Of the architectures: NAME_back.c. */
QC_MUST_CHECK
enum qc_status qc_llama_config(struct qc_config_out *out, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_gemma3_config(struct qc_config_out *out, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_gemma4_config(struct qc_config_out *out, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_gpt_oss_config(struct qc_config_out *out, struct qc_err *err);

/* All of config.json, NUL-terminated in the arena, for a model that qc_layout_back() has brought to
 * Hugging Face's names; `freqs` as above. */
QC_MUST_CHECK
enum qc_status qc_arch_config_text(const struct qc_model *model, struct qc_arena *arena,
				   const float *freqs, uint64_t n_freqs, const char **text,
				   size_t *size, struct qc_err *err);

#endif
