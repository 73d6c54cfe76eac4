# SPDX-License-Identifier: MIT
# The rules of tests, lint, benchmarks, soaks and fuzzers; included by the Makefile at the top, which says what they have
# in common: programs, flags, $(obj) and $(bin), `objects` and `link`.

library_src  := $(filter-out relay/daemon/main.c,$(relay_src))

unit_tests   := $(wildcard tests/unit/test_*.c)
kill_src     := $(filter-out %/kill_start.c,$(wildcard tests/unit/kill_*.c))
unit_src     := $(filter-out $(unit_tests) $(kill_src),$(wildcard tests/unit/*.c))
fault_tests  := $(wildcard tests/fault/test_*.c)
fault_src    := $(filter-out $(fault_tests) tests/fault/refuse.c,$(wildcard tests/fault/*.c))
transfer_src := $(wildcard tests/bench/transfer*.c)
bench_src    := $(filter-out $(transfer_src),$(wildcard tests/bench/*.c))
soak_src     := $(wildcard tests/soak/*.c) $(addprefix tests/bench/,cost.c histogram.c wire.c)

fuzz_targets := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_src     := tests/fuzz/fuzz.c $(addprefix tests/unit/,parse_rig.c handover_sample.c sync_reader.c frame_rig.c put_right.c)
fuzz_tools   := fuzz_relaycat fuzz_relayctl

unit_bins    := $(unit_tests:tests/%.c=$(test)/%)
fault_bins   := $(fault_tests:tests/%.c=$(test)/%)
fuzz_bins    := $(fuzz_targets:tests/%.c=$(test)/%)
preloaded    := $(bin)/librefuse.so $(bin)/liballocation.so $(bin)/libprobe.so

.PHONY: tests compile test test-repeat test-service test-clients test-package lint fuzz fuzzers bench bench-isolation bench-workers \
	bench-compressed bench-history bench-matrix bench-transfer bench-peers bench-sweep torture soak soak-short soak-upgrade soak-crash \
	soak-fuzz coverage

tests: all $(unit_bins) $(fault_bins) $(preloaded)

# For what a second compiler says of them (tests/clang): the programs, and all else without objects, which warnings do
# not need.
looked_at     = $(patsubst %.c,$(obj)/%.looked,$(1))
compile: all $(call looked_at,$(unit_tests) $(unit_src) $(kill_src) $(fault_tests) $(fault_src) $(fuzz_targets) $(fuzz_src) \
	tests/fuzz/hostile_server.c)

$(obj)/%.looked: %.c $(obj)/flags
	$(call say,LOOK)
	@mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -fsyntax-only -MMD -MP -MF $@.d -MT $@ $< && touch $@

# --- compile and link ---------------------------------------------------------------------------------------------

$(bin)/relay-soak: $(call objects,$(soak_src) $(base_src))
	$(call link)

$(bin)/relay-bench: $(call objects,$(bench_src) $(base_src))
	$(call link) -lm

# Peers that are libraries: made when make bench-peers has installed them.
peer_bins    := $(bin)/relay-peer-zmq $(bin)/relay-peer-nng
$(bin)/relay-peer-%: $(obj)/tests/bench/peers/%.o
	$(call link) -l$*

$(bin)/relay-transfer: $(call objects,$(transfer_src) tests/bench/wire.c relay/tools/shared/positions.c $(base_src))
	$(call link)

# There are many tests, and gold, where it is, links each in half the time.
quick_link   := $(if $(wildcard /usr/bin/ld.gold),-fuse-ld=gold)

# The tests link against everything but main().
$(obj)/librelay.a: $(call objects,$(library_src))
	$(call say,AR)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(unit_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(unit_src)) $(obj)/librelay.a
	$(call link,$(quick_link)) $(LIBS) -lcmocka

# All kept structs, so that each has its kill test: tests/unit/kill_rig.h.
build/kept_tables.def: $(relay_src)
	@mkdir -p $(@D)
	$(Q)sed -n 's/^#define KEPT_TABLE *\(.*\)/KEPT_TABLE(\1)/p' $(filter relay/%,$^) >$@
$(call objects,$(kill_src) tests/unit/test_kept_kill.c): build/kept_tables.def
$(call looked_at,$(kill_src) tests/unit/test_kept_kill.c): build/kept_tables.def
$(test)/unit/test_kept_kill: $(call objects,$(kill_src))

# The load of the benchmarks is tested like the rest.
$(test)/unit/test_bench_follower: $(call objects,$(addprefix tests/bench/,dialect.c follower.c reader.c wire.c))
$(test)/unit/test_bench_loose: $(call objects,$(addprefix tests/bench/,loose.c wire.c))

# Fault tests put tests/fault/wrap.c between the code and these calls.
wrapped := splice tee vmsplice pipe2 socketpair recv send sendmsg accept4 pread sendfile mincore realloc \
	deflateInit2_ EVP_Digest
$(fault_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(fault_src)) $(obj)/librelay.a
	$(call link,$(quick_link) $(addprefix -Wl$(comma)--wrap=,$(wrapped))) $(LIBS) -lcmocka

# libFuzzer brings main(); `make fuzz` sets compiler and sanitizers.
$(fuzz_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(fuzz_src)) $(obj)/librelay.a
	$(call link,-fsanitize=fuzzer $(fuzz_link)) $(obj)/librelay.a $(LIBS) -lcmocka

# A feed with its publisher; and relaycat reads what comes out of it.
$(test)/fuzz/fuzz_relay_intake: $(call objects,tests/unit/feed_rig.c $(addprefix relay/tools/relaycat/,packet_check.c packet_reader.c))

# Tools as they are, but for their main() and their calls to the network (tests/fuzz/hostile_server.c).
served := connect_address_open connect_address_wait recv send stop_install stop_is_requested
$(fuzz_tools:%=$(test)/fuzz/%): $(call objects,tests/fuzz/hostile_server.c $(tool_src))
$(fuzz_tools:%=$(test)/fuzz/%): fuzz_link := $(addprefix -Wl$(comma)--wrap=,$(served))
$(test)/fuzz/fuzz_relaycat: $(call objects,$(filter-out %/main.c,$(relaycat_src)))
$(test)/fuzz/fuzz_relayctl: $(call objects,$(filter-out %/relayctl.c,$(relayctl_src)))

fuzzers: $(fuzz_bins)

# They go under a running relay by LD_PRELOAD, so they are always built plain.
$(bin)/librefuse.so: tests/fault/refuse.c
$(bin)/liballocation.so: tests/torture/allocation.c
$(bin)/libprobe.so: tests/model/probe.c
$(preloaded): tests/rules.mk
	$(call say,LINK)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -Irelay -I. $(WARNINGS) -O2 -g -fPIC -shared -o $@ $(filter %.c,$^)

-include $(patsubst %.o,%.d,$(call objects,$(bench_src) $(soak_src) $(unit_tests) $(unit_src) $(kill_src) $(fault_tests) \
	$(fault_src) $(fuzz_targets) $(fuzz_src) tests/fuzz/hostile_server.c $(transfer_src) $(wildcard tests/bench/peers/*.c)))
-include $(wildcard $(obj)/tests/*/*.looked.d)

# --- use ----------------------------------------------------------------------------------------------------------

test:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/run $(SUITES)

test-repeat:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/repeat $(SUITES)

test-service:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/run service

.PHONY: test-cluster
test-cluster:
	@tests/install-packages cluster
	@exec env MAKEFLAGS= PYTEST_ARGS='-m cluster' tests/run e2e

.PHONY: test-kernels test-power-cuts
test-kernels:
	@tests/install-packages kernels
	@exec env MAKEFLAGS= tests/kernels/run $(SUITES)

test-power-cuts: all
	@tests/install-packages kernels
	@exec env MAKEFLAGS= tests/kernels/power_cuts

test-clients:
	@tests/install-packages clients
	@exec env MAKEFLAGS= PYTEST_ARGS='-m clients' tests/run e2e

lint: all
	@RELAY_BIN_DIR=$(bin) RELAY_OBJ_DIR=$(obj) tests/lint/run $(LINTS)

bench: all $(bin)/relay-bench
	@RELAY_BIN_DIR=$(bin) tests/bench/run

bench-isolation: all $(bin)/relay-bench
	@tests/install-packages peers || echo 'note: measured is what is installed'
	@RELAY_BIN_DIR=$(bin) tests/bench/isolation

bench-workers: all $(bin)/relay-bench
	@RELAY_BIN_DIR=$(bin) tests/bench/workers

bench-compressed: all
	@RELAY_BIN_DIR=$(bin) tests/bench/compressed

bench-history: all $(bin)/relay-bench
	@tests/install-packages peers || echo 'note: measured is what is installed'
	@RELAY_BIN_DIR=$(bin) tests/bench/history

bench-matrix: all $(bin)/relay-bench
	@RELAY_BIN_DIR=$(bin) tests/bench/matrix

bench-transfer: $(bin)/relay-transfer
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/bench/transfer

bench-peers: all $(bin)/relay-bench
	@tests/install-packages peers
	@$(MAKE) --no-print-directory $(peer_bins)
	@RELAY_BIN_DIR=$(bin) tests/bench/compare

bench-sweep: all $(bin)/relay-bench
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/bench/sweep

soak-short: all $(bin)/relay-soak
	@RELAY_BIN_DIR=$(bin) tests/soak/run

soak-upgrade: all $(bin)/relay-soak
	@RELAY_BIN_DIR=$(bin) tests/soak/run --only upgrade
	@reason=$$(tests/service/run --why-not); [ -z "$$reason" ] && exec tests/service/run --soak || echo "restarts left out: $$reason"

torture: all $(preloaded)
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/torture/run $(TORTURE)

soak: all $(preloaded)
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/model/run --rest --seconds $${SECONDS:-7200} $(addprefix --seed ,$(SEED))

# A sanitizer build of its own.
soak-fuzz:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/model/soak $(SEED)

# relay killed 200 times beside its history, and as often with a file of it damaged.
.PHONY: soak-history
soak-history:
	@tests/install-packages test
	@exec env MAKEFLAGS= RELAY_KILLS=200 PYTEST_ARGS='-k test_history_kill --timeout 3600' tests/run e2e

soak-crash: all
	@reason=$$(tests/service/run --why-not); [ -z "$$reason" ] && exec tests/service/run --soak-crash || echo "left out: $$reason"

# Builds of its own: clang, and coverage in all that is fuzzed.
fuzz:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/fuzz/run $(TARGETS)

# A build of its own.
coverage:
	@tests/install-packages coverage
	@exec env MAKEFLAGS= tests/coverage/run $(SUITES)

test-package: deb
	@exec env MAKEFLAGS= tests/package/run
