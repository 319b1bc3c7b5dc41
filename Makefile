# qconv: `make demo` and `make check` do everything on a fresh machine; `make help` lists the rest.

VERSION := 0.1.0
PREFIX  ?= /usr/local
BUILD   ?= build
CC      ?= cc
CFLAGS  ?= -O2 -g
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)

# -ffp-contract=off: scalar C is the definition of every byte, on every compiler and ISA.
QC_CFLAGS := -std=c11 -D_GNU_SOURCE -DQC_VERSION='"$(VERSION)"' -I. -ffp-contract=off -fno-strict-overflow \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla -Wcast-qual -fopenmp
QC_LIBS   := -lopenblas -lpcre2-8 -lutf8proc -lxxhash -lz -lm -lpthread

MACHINE := $(shell $(CC) -dumpmachine)
SRC := $(sort $(wildcard base/*.c quant/*.c formats/*.c formats/arch/*.c calib/*.c convert/*.c))
ifneq ($(filter x86_64-%,$(MACHINE)),)
SRC += $(sort $(wildcard quant/x86/*.c))
endif
ifneq ($(filter aarch64-%,$(MACHINE)),)
SRC += $(sort $(wildcard quant/arm/*.c))
endif
# Strict ISO mode would evaluate float expressions in double there, as old glibc's float_t says.
ifneq ($(filter s390x-%,$(MACHINE)),)
QC_CFLAGS += -fexcess-precision=fast
endif
# main.c, cli.c and cmd_*.c are the program; everything else is the library.
PROGRAM_SRC := $(filter convert/main.c convert/cli.c convert/cmd_%.c,$(SRC))
LIB_SRC     := $(filter-out $(PROGRAM_SRC),$(SRC))
# Tables that a program of the build machine (compiled by HOSTCC) computes from checked-in data.
HOSTCC      ?= cc
GEN         := iq_near
GEN_OBJ     := $(GEN:%=$(BUILD)/gen/%.o)
LIB_OBJ     := $(LIB_SRC:%.c=$(BUILD)/obj/%.o) $(GEN_OBJ)
PROGRAM_OBJ := $(PROGRAM_SRC:%.c=$(BUILD)/obj/%.o)
TESTS       := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/*_test.c)))
FUZZERS     := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
HEADERS     := $(sort $(wildcard base/*.h quant/*.h quant/*/*.h formats/*.h formats/arch/*.h calib/*.h convert/*.h tests/*.h))

.PHONY: all demo check accuracy search-table bench memory interop fuzz asan headers layers format install uninstall clean help deps test-programs own-programs \
	hashes FORCE
.DELETE_ON_ERROR:

all: $(BUILD)/qconv $(BUILD)/libqconv.a $(BUILD)/qconv.h

help:
	@echo 'make demo       install what is missing, build, convert the sample model, verify it'
	@echo 'make check      the same, then all tests'
	@echo 'make            build/qconv, build/libqconv.a, build/qconv.h'
	@echo 'make interop    the real client: libllama loads, tokenizes, computes and quantizes against us (needs npm)'
	@echo 'make bench      CPU time and memory beside libllama'"'"'s quantizer (needs npm)'
	@echo 'make memory     peak memory against what --dry-run says (FULL=1: calibration of a billion parameters)'
	@echo 'make accuracy   KL divergence by type: reference, search, calibrated (MODELS=DIR: more models and texts)'
	@echo 'make search-table  squared error by type, reference beside search, on the golden inputs and every matrix of the sample models'
	@echo 'make fuzz       every fuzz target for FUZZ_SECONDS (20) each (needs clang)'
	@echo 'make asan       all test programs under AddressSanitizer and UBSan'
	@echo 'make hashes     one output hash over compilers, optimization levels, ISAs and thread counts'
	@echo 'make headers    every header compiles alone;  make layers  folders include only what they may'
	@echo 'make format     clang-format over the tree'
	@echo 'make install    into PREFIX (/usr/local) below DESTDIR; make uninstall'

deps:
	@sh tests/install-deps.sh

# Objects depend on the flags they were made with.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@echo '$(CC) $(CFLAGS) $(QC_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(QC_CFLAGS)' > $@

# Each SIMD variant is compiled for its own ISA and reached only after a run-time check.
$(BUILD)/obj/%_avx2.o: ISA_CFLAGS := -mavx2 -mf16c
$(BUILD)/obj/%_avx512.o: ISA_CFLAGS := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mf16c -mprefer-vector-width=512

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(QC_CFLAGS) $(CFLAGS) $(ISA_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/gen/iq_near: quant/gen/iq_near.c quant/iq_grids.c quant/iq_grids.h
	@mkdir -p $(@D)
	$(HOSTCC) -std=c11 -O2 -I. -o $@ $(filter %.c,$^)

$(GEN:%=$(BUILD)/gen/%.c): $(BUILD)/gen/%.c: $(BUILD)/gen/%
	$< $@

$(GEN_OBJ): $(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(CC) $(QC_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/libqconv.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/qconv: $(PROGRAM_OBJ) $(BUILD)/libqconv.a
	$(CC) $(QC_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(QC_LIBS)

$(BUILD)/qconv.h: convert/qconv.h
	@mkdir -p $(@D)
	cp $< $@

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/libqconv.a
	@mkdir -p $(@D)
	$(CC) $(QC_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(QC_LIBS) -ldl

# Programs that the test scripts use.
TOOLS := $(BUILD)/tests/interop $(BUILD)/tests/interop_fp4 $(BUILD)/tests/interop_imatrix $(BUILD)/tests/interop_split $(BUILD)/tests/peak_memory $(BUILD)/tests/interop_types $(BUILD)/tests/interop_bytes $(BUILD)/tests/llama_kl $(BUILD)/tests/interop_lora $(BUILD)/tests/tiny_safetensors $(BUILD)/tests/make_model $(BUILD)/tests/make_shapes $(BUILD)/tests/make_tokenizer $(BUILD)/tests/bench $(BUILD)/tests/bench_peer $(BUILD)/tests/bench_prompt $(BUILD)/tests/tokenize_lines $(BUILD)/tests/search_table
$(BUILD)/tests/interop $(BUILD)/tests/interop_fp4 $(BUILD)/tests/interop_types $(BUILD)/tests/interop_bytes $(BUILD)/tests/llama_kl $(BUILD)/tests/interop_lora $(BUILD)/tests/bench_peer $(BUILD)/tests/bench_prompt $(BUILD)/tests/tokenize_lines: $(BUILD)/obj/tests/llama_client.o

# The sample program as a user builds it: from the public header and the library alone.
$(BUILD)/logits: samples/logits.c $(BUILD)/libqconv.a $(BUILD)/qconv.h
	$(CC) -std=c11 $(CFLAGS) -I$(BUILD) $(LDFLAGS) -o $@ $< $(BUILD)/libqconv.a -fopenmp $(QC_LIBS)

test-programs: own-programs $(TOOLS)

# Those that need no real client, which a sanitizer's build cannot load.
own-programs: all $(BUILD)/logits $(TESTS) $(BUILD)/tests/tiny_safetensors $(FUZZERS:%=$(BUILD)/tests/replay_%)

# The same fuzz target with a plain main() that replays its corpus: needs no fuzzer.
$(BUILD)/tests/replay_%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/replay.o $(BUILD)/libqconv.a
	@mkdir -p $(@D)
	$(CC) $(QC_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(QC_LIBS)

demo: deps
	@$(MAKE) -j$(JOBS) all
	@BUILD=$(BUILD) sh samples/demo.sh

check: deps
	@$(MAKE) -j$(JOBS) test-programs
	@BUILD=$(BUILD) CC='$(CC)' sh tests/run.sh

interop: deps
	@$(MAKE) -j$(JOBS) test-programs
	@BUILD=$(BUILD) sh tests/interop.sh

accuracy: deps
	@$(MAKE) -j$(JOBS) all
	@BUILD=$(BUILD) sh tests/accuracy.sh

search-table: deps
	@$(MAKE) -j$(JOBS) $(BUILD)/tests/search_table
	@echo 'golden inputs'; $(BUILD)/tests/search_table
	@for m in samples/tiny-gemma3 $(wildcard tests/data/models/*); do \
		if [ -f $$m/model.safetensors ] || [ -f $$m/model.safetensors.index.json ]; then \
			echo $$m; $(BUILD)/tests/search_table $$m || exit 1; fi; done

bench: deps
	@$(MAKE) -j$(JOBS) test-programs
	@BUILD=$(BUILD) sh tests/bench.sh

memory: deps
	@$(MAKE) -j$(JOBS) all $(BUILD)/tests/make_model $(BUILD)/tests/peak_memory
	@BUILD=$(BUILD) sh tests/memory.sh
	@BUILD=$(BUILD) FULL='$(FULL)' sh tests/memory_engine.sh

asan: deps
	@$(MAKE) -j$(JOBS) BUILD=$(BUILD)-asan CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' own-programs
	@BUILD=$(BUILD)-asan ASAN_OPTIONS=detect_leaks=1 sh tests/run.sh

hashes: deps
	@BUILD=$(BUILD) CC='$(CC)' sh tests/hashes.sh

FUZZ_SECONDS ?= 20
fuzz: deps
	@BUILD=$(BUILD)-fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) JOBS=$(JOBS) FUZZERS='$(FUZZERS)' sh tests/fuzz/run.sh

headers:
	@for h in $(HEADERS); do \
		$(CC) $(QC_CFLAGS) -Wno-unused-function -fsyntax-only -x c $$h || exit 1; done; echo "headers: $(words $(HEADERS)) compile alone"

layers:
	@sh tests/layers.sh

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/qconv $(DESTDIR)$(PREFIX)/bin/qconv
	install -m 644 $(BUILD)/libqconv.a $(DESTDIR)$(PREFIX)/lib/libqconv.a
	install -m 644 convert/qconv.h $(DESTDIR)$(PREFIX)/include/qconv.h
	install -m 644 man/qconv.1 $(DESTDIR)$(PREFIX)/share/man/man1/qconv.1

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/qconv $(DESTDIR)$(PREFIX)/lib/libqconv.a $(DESTDIR)$(PREFIX)/include/qconv.h \
		$(DESTDIR)$(PREFIX)/share/man/man1/qconv.1

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz $(BUILD)-hash-*

-include $(LIB_OBJ:.o=.d) $(PROGRAM_OBJ:.o=.d)
-include $(patsubst %.c,$(BUILD)/obj/%.d,$(wildcard tests/*.c tests/fuzz/*.c))
.SECONDARY:
